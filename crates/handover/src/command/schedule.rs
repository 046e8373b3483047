//! `handover schedule list`, `next`, `calendar`, `pause` and `resume`.

use handover_api::{Calendar, OrderRequest, PAGE_MAX, PlannedRotation, ScheduleState, ScheduleView, Schedules, path};
use serde::Serialize;

use super::group;
use crate::cli::{Schedule, ScheduleCalendar, ScheduleList, ScheduleNext, SchedulePause};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

/// How far ahead the next rotations are looked for, in days.
const NEXT_DAYS: u32 = 400;

pub(crate) async fn run(arguments: Schedule, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        Schedule::List(arguments) => list(&arguments, printer).await,
        Schedule::Next(arguments) => next(&arguments, printer).await,
        Schedule::Calendar(arguments) => calendar(&arguments, printer).await,
        Schedule::Pause(arguments) => set(arguments, &PAUSE, printer).await,
        Schedule::Resume(arguments) => set(arguments, &RESUME, printer).await,
    }
}

async fn list(arguments: &ScheduleList, printer: &Printer) -> Result<(), Failure> {
    let all = schedules(&Remote::new(&arguments.server)?).await?;
    printer.data(&all, |all| match all.schedules.as_slice() {
        [] => "no group has a schedule".to_owned(),
        schedules => schedules.iter().map(line).collect::<Vec<_>>().join("\n"),
    })
}

/// All of them, page by page.
async fn schedules(remote: &Remote) -> Result<Schedules, Failure> {
    let mut all = Schedules { schedules: Vec::new(), next: None };
    loop {
        let after = all.next.take().map_or_else(String::new, |after| format!("&after={after}"));
        let page: Schedules = remote.get(&format!("{}?limit={PAGE_MAX}{after}", path::SCHEDULES)).await?;
        all.schedules.extend(page.schedules);
        all.next = page.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

fn line(schedule: &ScheduleView) -> String {
    let ScheduleView { group, repeats, state, text, .. } = schedule;
    format!("{group:<32} {repeats:<28} {:<16} {text}", state.word())
}

async fn next(arguments: &ScheduleNext, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    let of = match &arguments.group {
        Some(name) => format!("&group={}", group(name)?),
        None => String::new(),
    };
    let query = format!("{}?days={NEXT_DAYS}&limit={}{of}", path::CALENDAR, arguments.limit);
    let found: Calendar = remote.get(&query).await?;
    printer.data(&found, |found| match found.rotations.as_slice() {
        [] => "nothing is planned".to_owned(),
        rotations => {
            rotations.iter().map(|one| format!("{}  {}", one.start_at, one.group)).collect::<Vec<_>>().join("\n")
        }
    })
}

async fn calendar(arguments: &ScheduleCalendar, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    let query = format!("{}?days={}&limit={PAGE_MAX}", path::CALENDAR, arguments.days);
    let found: Calendar = remote.get(&query).await?;
    if found.more {
        printer.say("There is more than is shown; --days shows fewer days.");
    }
    printer.data(&found, days)
}

/// Day by day, in UTC.
fn days(found: &Calendar) -> String {
    if found.rotations.is_empty() {
        return format!("nothing is planned until {}", found.until);
    }
    let mut lines = Vec::new();
    let mut day = "";
    for PlannedRotation { start_at, group, .. } in &found.rotations {
        let (date, time) = start_at.split_once('T').unwrap_or((start_at, ""));
        if date != day {
            day = date;
            lines.push(format!("{date} UTC"));
        }
        let time = time.split(['.', 'Z']).next().unwrap_or(time);
        lines.push(format!("  {time}  {group}"));
    }
    lines.join("\n")
}

/// What a schedule can be told.
struct Change {
    template: &'static str,
    word: &'static str,
    /// Whether a schedule that stands like this is left out where all are told.
    is_done: fn(ScheduleState) -> bool,
}

const PAUSE: Change =
    Change { template: path::SCHEDULE_PAUSE, word: "paused", is_done: |state| matches!(state, ScheduleState::Paused) };
const RESUME: Change = Change {
    template: path::SCHEDULE_RESUME,
    word: "resumed",
    is_done: |state| !matches!(state, ScheduleState::Paused),
};

/// What was taken.
#[derive(Serialize)]
struct Taken {
    group: String,
    schedule: &'static str,
}

impl Taken {
    fn line(&self) -> String {
        format!("{}: schedule {}", self.group, self.schedule)
    }
}

async fn set(arguments: SchedulePause, change: &Change, printer: &Printer) -> Result<(), Failure> {
    let SchedulePause { group: name, all: _, reason, server } = arguments;
    let remote = Remote::new(&server)?;
    let order = OrderRequest { reason };
    let Some(name) = name else { return set_all(&remote, &order, change, printer).await };
    let group = group(&name)?;
    remote.order(&path::group(change.template, group.as_str()), &order).await?;
    printer.data(&Taken { group: group.to_string(), schedule: change.word }, Taken::line)
}

/// One order for each group. One that is refused keeps none of the others back.
async fn set_all(remote: &Remote, order: &OrderRequest, change: &Change, printer: &Printer) -> Result<(), Failure> {
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for schedule in schedules(remote).await?.schedules {
        if (change.is_done)(schedule.state) {
            continue;
        }
        match remote.order(&path::group(change.template, &schedule.group), order).await {
            Ok(()) => taken.push(Taken { group: schedule.group, schedule: change.word }),
            Err(failure) => {
                printer.say(&format!("{}: {}", schedule.group, failure.parts().0));
                left.push(schedule.group);
            }
        }
    }
    printer.data(&taken, |taken| match taken.as_slice() {
        [] => format!("no schedule had to be {}", change.word),
        all => all.iter().map(Taken::line).collect::<Vec<_>>().join("\n"),
    })?;
    match left.as_slice() {
        [] => Ok(()),
        left => {
            Err(Failure::refused(format!("{} schedules were not {}: {}", left.len(), change.word, left.join(", ")))
                .hint("the same command again tells only those that are left"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_has_a_line_for_each_day() {
        let planned = |start_at: &str, group: &str| PlannedRotation {
            start_at: start_at.to_owned(),
            group: group.to_owned(),
            planned_at: start_at.to_owned(),
        };
        let found = Calendar {
            from: String::new(),
            until: "2026-02-14T00:00:00Z".to_owned(),
            rotations: vec![
                planned("2026-01-31T08:00:00Z", "orders"),
                planned("2026-01-31T08:00:01.5Z", "reports"),
                planned("2026-02-01T02:30:00Z", "orders"),
            ],
            more: false,
        };
        assert_eq!(
            days(&found),
            "2026-01-31 UTC\n  08:00:00  orders\n  08:00:01  reports\n2026-02-01 UTC\n  02:30:00  orders"
        );
        assert_eq!(days(&Calendar { rotations: Vec::new(), ..found }), "nothing is planned until 2026-02-14T00:00:00Z");
    }
}
