//! `handover schedule list`, `next`, `calendar`, `pause` and `resume`.

use handover_api::{Calendar, OrderRequest, PAGE_MAX, PlannedRotation, ScheduleView, Schedules, path};
use serde::Serialize;

use super::group;
use crate::cli::{Ordered, Schedule, ScheduleCalendar, ScheduleList, ScheduleNext};
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
        Schedule::Pause(arguments) => set(arguments, path::SCHEDULE_PAUSE, "paused", printer).await,
        Schedule::Resume(arguments) => set(arguments, path::SCHEDULE_RESUME, "resumed", printer).await,
    }
}

async fn list(arguments: &ScheduleList, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    let mut all = Schedules { schedules: Vec::new(), next: None };
    loop {
        let after = all.next.take().map_or_else(String::new, |after| format!("&after={after}"));
        let page: Schedules = remote.get(&format!("{}?limit={PAGE_MAX}{after}", path::SCHEDULES)).await?;
        all.schedules.extend(page.schedules);
        all.next = page.next;
        if all.next.is_none() {
            break;
        }
    }
    printer.data(&all, |all| match all.schedules.as_slice() {
        [] => "no group has a schedule".to_owned(),
        schedules => schedules.iter().map(line).collect::<Vec<_>>().join("\n"),
    })
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

/// What was taken.
#[derive(Serialize)]
struct Taken {
    group: String,
    schedule: &'static str,
}

async fn set(arguments: Ordered, template: &str, word: &'static str, printer: &Printer) -> Result<(), Failure> {
    let Ordered { group: name, reason, server } = arguments;
    let group = group(&name)?;
    Remote::new(&server)?.order(&path::group(template, group.as_str()), &OrderRequest { reason }).await?;
    let taken = Taken { group: group.to_string(), schedule: word };
    printer.data(&taken, |taken| format!("{}: schedule {}", taken.group, taken.schedule))
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
