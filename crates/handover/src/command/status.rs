//! `handover status`: where groups stand, and for whom they wait.

use std::time::Duration;

use handover_api::{
    AlertView, Alerts, GroupStatus, GroupSummary, MemberView, OccupantView, SinkFailing, SinkView, Sinks,
    UnreadableGroup, WaveView, path,
};

use super::group;
use crate::cli::Status;
use crate::config::duration::Span;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

pub(crate) async fn run(arguments: &Status, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    if let Some(name) = &arguments.group {
        let found: GroupStatus = remote.get(&path::group(path::GROUP, group(name)?.as_str())).await?;
        printer.data(&found, text)?;
        alerts(&remote, Some(&found.group), printer).await;
        return Ok(());
    }
    let groups = remote.groups().await?;
    printer.data(&groups, |groups| {
        let lines: Vec<String> =
            groups.groups.iter().map(summary).chain(groups.unreadable.iter().map(unreadable)).collect();
        if lines.is_empty() { "no group".to_owned() } else { lines.join("\n") }
    })?;
    // Beside the groups, not among them: a server that does not say how its sinks do still says how groups stand.
    if let Ok(sinks) = remote.get::<Sinks>(path::SINKS).await {
        for line in sinks.sinks.iter().filter_map(failing) {
            printer.say(&line);
        }
    }
    alerts(&remote, None, printer).await;
    Ok(())
}

/// Says which alerts stand. Beside what was asked for: a server that does not say them is no error.
pub(crate) async fn alerts(remote: &Remote, group: Option<&str>, printer: &Printer) {
    let query = group.map_or_else(String::new, |group| format!("?group={group}"));
    let Ok(found) = remote.get::<Alerts>(&format!("{}{query}", path::ALERTS)).await else { return };
    for AlertView { group, alert, since, text, hint } in found.alerts {
        printer.say(&format!("alert {alert} of {group} since {since}: {text}; `{hint}`"));
    }
}

/// What is wrong with a sink, if something is.
fn failing(sink: &SinkView) -> Option<String> {
    let failing = sink.failing.as_ref()?;
    let (name, waiting) = (&sink.sink, sink.waiting);
    let SinkFailing { since, code, detail } = failing;
    Some(format!("sink {name} fails since {since}, {waiting} records wait: {detail} [{code}]"))
}

/// A line about one whose record cannot be read.
pub(crate) fn unreadable(found: &UnreadableGroup) -> String {
    format!("{:<32} cannot be read: {} [{}]", found.group, found.detail, found.code)
}

pub(crate) fn summary(group: &GroupSummary) -> String {
    let generation =
        group.generation.map_or_else(|| "no generation".to_owned(), |number| format!("generation {number}"));
    let status = group.status.map_or("never rotated", handover_api::Status::word);
    let phase = group.phase.as_ref().map(|phase| format!(" ({phase})")).unwrap_or_default();
    let hold = group.hold.as_ref().map(|hold| format!(", held: {hold}")).unwrap_or_default();
    let age = age(group.current_since.as_deref()).replacen(',', " ", 1);
    format!("{:<32} {generation:<16} {:<24}{age}", group.group, format!("{status}{phase}{hold}")).trim_end().to_owned()
}

/// One group, for people.
pub(crate) fn text(found: &GroupStatus) -> String {
    let current = found.current.as_ref().map_or_else(|| "none yet".to_owned(), occupant);
    let mut lines = vec![
        format!("{} on {}", found.group, found.target),
        format!("  in force     {current}, publication {}{}", found.publication, age(found.current_since.as_deref())),
    ];
    if let Some(rotation) = &found.rotation {
        let from = rotation.from.as_ref().map_or_else(|| "none".to_owned(), |from| from.generation.to_string());
        lines.push(format!("  rotation     {from} -> {}, {}", rotation.to.generation, rotation.status.word()));
        let observed = Span(Duration::from_secs(rotation.elapsed_ms / 1_000));
        lines.push(format!("  phase        {} since {}, observed for {observed}", rotation.phase, rotation.entered_at));
        let details = [("held", &rotation.hold), ("trouble", &rotation.trouble), ("rolled back", &rotation.cause)];
        for (name, detail) in details {
            lines.extend(detail.as_ref().map(|detail| format!("  {name:<12} {detail}")));
        }
        lines.extend(rotation.wave.map(|wave| match wave {
            WaveView { open, of: Some(of) } => format!("  waves        {open} of {of} may read it"),
            WaveView { .. } => "  waves        none may read it yet".to_owned(),
        }));
        lines.extend(rotation.waiting_for.iter().map(|waiting| format!("  waiting      {}", waiting.text)));
    }
    lines.extend(
        found.schedule.iter().map(|schedule| format!("  schedule     {}: {}", schedule.repeats, schedule.text)),
    );
    lines.extend(found.consumers.iter().map(consumer));
    lines.join("\n")
}

pub(crate) fn occupant(occupant: &OccupantView) -> String {
    format!("generation {} in slot {}", occupant.generation, occupant.slot)
}

/// How old what is in force is, in its two largest units.
pub(crate) fn age(since: Option<&str>) -> String {
    let age = since.and_then(|since| {
        let since: jiff::Timestamp = since.parse().ok()?;
        u64::try_from(jiff::Timestamp::now().as_second() - since.as_second()).ok()
    });
    age.map_or_else(String::new, |seconds| format!(", for {}", Span(Duration::from_secs(coarse(seconds)))))
}

/// Cut to the two largest units: whoever asks for days does not ask for seconds.
const fn coarse(seconds: u64) -> u64 {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let unit = if seconds >= DAY {
        HOUR
    } else if seconds >= HOUR {
        MINUTE
    } else {
        1
    };
    seconds - seconds % unit
}

fn consumer(member: &MemberView) -> String {
    let got = member.publication.map_or_else(String::new, |publication| format!(" publication {publication}"));
    format!("  {:<12} {} {}{got}", member.role.word(), member.consumer, member.reach.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sink_that_fails_is_worth_a_line() {
        let mut sink = SinkView { sink: "siem".to_owned(), position: 7, waiting: 3, failing: None };
        assert_eq!(failing(&sink), None);
        sink.failing = Some(SinkFailing {
            since: "2026-01-31T08:00:00Z".to_owned(),
            code: "HO0101".to_owned(),
            detail: "no connection".to_owned(),
        });
        let line = "sink siem fails since 2026-01-31T08:00:00Z, 3 records wait: no connection [HO0101]";
        assert_eq!(failing(&sink).as_deref(), Some(line));
    }

    #[test]
    fn an_age_is_told_in_its_two_largest_units() {
        assert_eq!(coarse(59), 59);
        assert_eq!(coarse(3_725), 3_720);
        assert_eq!(coarse(2 * 86_400 + 3_725), 2 * 86_400 + 3_600);
        assert_eq!(age(None), "", "what is not known is not shown");
    }
}
