//! `handover explain`: what is happening to a group, for whom it waits, what comes next, and what can be done now.

use std::time::Duration;

use handover_api::{Awaited, Explanation, path};

use super::group;
use crate::cli::OneGroup;
use crate::config::duration::Span;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

pub(crate) async fn run(arguments: &OneGroup, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    let found: Explanation = remote.get(&path::group(path::EXPLAIN, group.as_str())).await?;
    printer.data(&found, text)?;
    super::status::alerts(&remote, Some(group.as_str()), printer).await;
    Ok(())
}

/// One explanation, for people.
fn text(found: &Explanation) -> String {
    let mut lines = vec![format!("{}: {}", found.group, found.summary)];
    let mut say = |name: &str, words: String| lines.push(format!("  {name:<12} {words}"));
    if let Some(since) = &found.since {
        let phase = found.phase.as_ref().map_or_else(String::new, |phase| format!(" ({phase})"));
        say("since", format!("{since}{phase}"));
    }
    let current = found.current.as_ref();
    let age = super::status::age(found.current_since.as_deref());
    say("in force", current.map_or_else(|| "none yet".to_owned(), |one| super::status::occupant(one) + &age));
    for evidence in &found.evidence {
        say("evidence", evidence.text.clone());
    }
    for awaited in &found.waiting_for {
        say("waiting", waiting(awaited));
    }
    if let Some(hold) = &found.hold {
        say("held", hold.text.clone());
    }
    if let Some(fault) = &found.last_fault {
        let at = fault.at.as_ref().map_or_else(String::new, |at| format!(", last at {at}"));
        say("trouble", format!("{} [{}]{at}; see {}", fault.text, fault.code, fault.page));
    }
    for litter in &found.litter {
        say("litter", litter.clone());
    }
    if let Some(campaign) = &found.campaign {
        say("campaign", campaign.clone());
    }
    say("next", found.next.text.clone());
    if let (Some(left_ms), Some(then)) = (found.next.deadline_ms, &found.next.then) {
        say("deadline", format!("in {}: {then}", rounded(left_ms)));
    }
    for obstacle in &found.next.obstacles {
        say("in the way", format!("{} ({})", obstacle.text, obstacle.hint));
    }
    if found.actions.is_empty() {
        say("you can", "nothing through this program, as things stand".to_owned());
    }
    let width = found.actions.iter().map(|action| action.command.len()).max().unwrap_or_default();
    for action in &found.actions {
        say("you can", format!("{:<width$}  {}", action.command, action.text));
    }
    lines.join("\n")
}

fn waiting(awaited: &Awaited) -> String {
    let got = match (awaited.publication, awaited.reach) {
        (Some(publication), Some(reach)) => format!("; it has publication {publication} as {}", reach.word()),
        (None, Some(_)) => "; it never acknowledged anything".to_owned(),
        (_, None) => String::new(),
    };
    let since = if awaited.remaining_ms.is_some() { String::new() } else { format!(" (since {})", awaited.since) };
    format!("{}{got}{since}", awaited.text)
}

/// Whole seconds, where there is at least one.
fn rounded(milliseconds: u64) -> Span {
    Span(if milliseconds < 1_000 {
        Duration::from_millis(milliseconds)
    } else {
        Duration::from_secs(milliseconds / 1_000)
    })
}

#[cfg(test)]
mod tests {
    use handover_api::{ActionView, EvidenceView, NextView, Reach};

    use super::*;

    #[test]
    fn who_is_waited_for_is_told_with_how_far_it_got() {
        let mut awaited = Awaited {
            kind: "consumer".to_owned(),
            text: "presenter worker has not acknowledged".to_owned(),
            subject: Some("worker".to_owned()),
            since: "2026-01-31T08:00:00Z".to_owned(),
            publication: Some(2),
            reach: Some(Reach::Used),
            remaining_ms: None,
        };
        assert_eq!(
            waiting(&awaited),
            "presenter worker has not acknowledged; it has publication 2 as used (since 2026-01-31T08:00:00Z)"
        );
        awaited.publication = None;
        awaited.reach = Some(Reach::Expected);
        assert!(waiting(&awaited).contains("never acknowledged anything"));
    }

    #[test]
    fn every_part_has_its_line() {
        let found = Explanation {
            group: "orders".to_owned(),
            summary: "waits until every presenter has loaded generation 2".to_owned(),
            since: Some("2026-01-31T08:00:00Z".to_owned()),
            current: None,
            current_since: None,
            generation: Some(2),
            phase: Some("propagate".to_owned()),
            status: None,
            evidence: vec![EvidenceView { kind: "presenters".to_owned(), text: "1 of 2".to_owned() }],
            waiting_for: Vec::new(),
            hold: None,
            last_fault: None,
            litter: vec!["the user orders_v1 was not dropped".to_owned()],
            campaign: None,
            next: NextView {
                text: "then".to_owned(),
                deadline_ms: Some(61_500),
                then: Some("it is held".to_owned()),
                obstacles: Vec::new(),
            },
            actions: vec![ActionView { command: "handover hold orders".to_owned(), text: "keeps it".to_owned() }],
        };
        assert_eq!(
            text(&found),
            "orders: waits until every presenter has loaded generation 2\n\
             \x20 since        2026-01-31T08:00:00Z (propagate)\n\
             \x20 in force     none yet\n\
             \x20 evidence     1 of 2\n\
             \x20 litter       the user orders_v1 was not dropped\n\
             \x20 next         then\n\
             \x20 deadline     in 1m1s: it is held\n\
             \x20 you can      handover hold orders  keeps it"
        );
    }
}
