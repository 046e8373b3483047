//! `handover approvals` and `handover approve`: for whose word rotations wait, and giving it.

use std::time::Duration;

use handover_api::{ApprovalView, Approvals, ApproveRequest, Gate, PAGE_MAX, path};
use serde::Serialize;

use super::group;
use crate::cli::{self, GateArgument};
use crate::config::duration::Span;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

/// The shortest beginning of a plan's digest that names it.
const DIGEST_CHARS_MIN: usize = 8;

/// How many characters of it are shown.
const DIGEST_CHARS_SHOWN: usize = 16;

pub(crate) async fn list(arguments: &cli::Approvals, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    let only = arguments.group.as_deref().map(group).transpose()?;
    let only = only.map_or_else(String::new, |group| format!("&group={group}"));
    let mut all = Approvals { approvals: Vec::new(), next: None };
    loop {
        let after = all.next.take().map_or_else(String::new, |after| format!("&after={after}"));
        let page: Approvals = remote.get(&format!("{}?limit={PAGE_MAX}{only}{after}", path::APPROVALS)).await?;
        all.approvals.extend(page.approvals);
        all.next = page.next;
        if all.next.is_none() {
            break;
        }
    }
    printer.data(&all, |all| match all.approvals.as_slice() {
        [] => "no approval is asked for".to_owned(),
        approvals => approvals.iter().map(text).collect::<Vec<_>>().join("\n"),
    })
}

/// What was approved.
#[derive(Serialize)]
struct Approved {
    group: String,
    generation: u64,
    gate: Gate,
    plan: String,
}

pub(crate) async fn approve(arguments: &cli::Approve, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    let found: Approvals = remote.get(&format!("{}?group={group}", path::APPROVALS)).await?;
    let chosen = choose(&found.approvals, arguments)?;
    let (generation, gate, plan) = (chosen.generation, chosen.gate, chosen.plan.clone());
    let body = ApproveRequest { generation, gate, plan: plan.clone(), reason: arguments.reason.clone() };
    remote.order(&path::group(path::APPROVE, group.as_str()), &body).await?;
    let approved = Approved { group: group.to_string(), generation, gate, plan };
    printer.data(&approved, |approved| {
        let Approved { group, generation, gate, plan } = approved;
        format!("{group}: generation {generation} approved before {}, plan {}", gate.word(), short(plan))
    })
}

/// The approval that is meant.
fn choose<'a>(found: &'a [ApprovalView], arguments: &cli::Approve) -> Result<&'a ApprovalView, Failure> {
    let gate = arguments.gate.map(|gate| match gate {
        GateArgument::Start => Gate::Start,
        GateArgument::Disable => Gate::Disable,
        GateArgument::Destroy => Gate::Destroy,
    });
    let mut meant = found.iter().filter(|approval| gate.is_none_or(|gate| approval.gate == gate));
    let hint = format!("`handover approvals {}` shows what is asked for", arguments.group);
    let chosen = match (meant.next(), meant.next()) {
        (Some(only), None) => only,
        (Some(_), Some(_)) => {
            return Err(Failure::error("the rotation stands before two gates: say which with --gate").hint(hint));
        }
        (None, _) => return Err(Failure::refused("nobody is asked for this approval now").hint(hint)),
    };
    match &arguments.plan {
        Some(plan) if plan.len() < DIGEST_CHARS_MIN => {
            Err(Failure::error(format!("--plan takes at least {DIGEST_CHARS_MIN} characters of the digest")).hint(hint))
        }
        Some(plan) if !chosen.plan.starts_with(plan.as_str()) => {
            Err(Failure::refused("the rotation waits by another plan: nothing was approved").hint(hint))
        }
        Some(_) | None => Ok(chosen),
    }
}

/// One approval that is asked for, for people.
fn text(approval: &ApprovalView) -> String {
    let ApprovalView { group, generation, gate, quorum, missing, .. } = approval;
    let asked_by = approval.asked_by.as_deref().unwrap_or("a schedule");
    let mut lines =
        vec![format!("{group} before {}: {} of {quorum} given", gate.word(), quorum.saturating_sub(*missing))];
    let mut say = |name: &str, words: String| lines.push(format!("  {name:<12} {words}"));
    say("rotation", format!("to generation {generation}, asked for by {asked_by}, here since {}", approval.since));
    say("then", approval.text.clone());
    say("plan", short(&approval.plan).to_owned());
    for given in &approval.given {
        say("approved", format!("by {} at {}, counts until {}", given.by, given.at, given.expires_at));
    }
    if *missing > 0 {
        let who = if approval.approvers.is_empty() {
            "an approver's token that covers the group".to_owned()
        } else {
            format!("of {}", approval.approvers.join(", "))
        };
        let counts = Span(Duration::from_millis(approval.expires_ms));
        say("missing", format!("{missing}, {who}; an approval counts for {counts}"));
    }
    if approval.may_approve {
        say("you can", format!("handover approve {group} --gate {} --plan {}", gate.word(), short(&approval.plan)));
    }
    lines.join("\n")
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_CHARS_SHOWN).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use handover_api::GivenView;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn view(gate: Gate) -> ApprovalView {
        ApprovalView {
            group: "orders".to_owned(),
            generation: 2,
            gate,
            text: "the target refuses generation 1".to_owned(),
            plan: "0123456789abcdef".repeat(4),
            asked_by: Some("anna".to_owned()),
            since: "2026-01-31T08:00:00Z".to_owned(),
            quorum: 2,
            missing: 1,
            expires_ms: 3_600_000,
            approvers: Vec::new(),
            given: vec![GivenView {
                by: "ben".to_owned(),
                at: "2026-01-31T08:01:00Z".to_owned(),
                expires_at: "2026-01-31T09:01:00Z".to_owned(),
            }],
            may_approve: true,
        }
    }

    fn arguments(words: &[&str]) -> cli::Approve {
        let parsed = Cli::try_parse_from([&["handover", "approve", "orders"][..], words].concat()).unwrap();
        let Verb::Approve(arguments) = parsed.verb else { panic!("another verb") };
        arguments
    }

    #[test]
    fn what_is_approved_is_what_was_meant() {
        let one = [view(Gate::Disable)];
        let both = [view(Gate::Disable), view(Gate::Destroy)];
        assert_eq!(choose(&one, &arguments(&[])).unwrap().gate, Gate::Disable);
        assert_eq!(choose(&both, &arguments(&["--gate", "destroy"])).unwrap().gate, Gate::Destroy);
        assert_eq!(choose(&one, &arguments(&["--plan", "01234567"])).unwrap().gate, Gate::Disable);
        for (found, words) in [
            (&both[..], &[][..]),
            (&one, &["--gate", "start"]),
            (&[], &[]),
            (&one, &["--plan", "0123456789abcdee"]),
            (&one, &["--plan", "0123"]),
        ] {
            assert!(choose(found, &arguments(words)).is_err(), "{words:?}");
        }
    }

    #[test]
    fn who_gave_what_and_what_is_missing_is_told() {
        let told = text(&view(Gate::Disable));
        assert_eq!(
            told,
            "orders before disable: 1 of 2 given\n\
             \x20 rotation     to generation 2, asked for by anna, here since 2026-01-31T08:00:00Z\n\
             \x20 then         the target refuses generation 1\n\
             \x20 plan         0123456789abcdef\n\
             \x20 approved     by ben at 2026-01-31T08:01:00Z, counts until 2026-01-31T09:01:00Z\n\
             \x20 missing      1, an approver's token that covers the group; an approval counts for 1h\n\
             \x20 you can      handover approve orders --gate disable --plan 0123456789abcdef"
        );
    }
}
