//! What the core says as data, in plain words: one set for the API, the command line and scenarios.

pub(crate) mod campaign;
pub(crate) mod explain;
pub(crate) mod recover;
pub(crate) mod waves;

use std::fmt::Write as _;

use handover_api::Status;
use handover_core::{
    Blocker, Breakage, Cause, Doubt, Fact, FaultKind, Hold, Obstacle, Outcome, Phase, Refusal, Role, Tally, Undo,
};
use handover_engine::history::{gate_word, order_word};

use crate::config::duration::Span;
use crate::server::view::time;

/// The published table from phases to statuses. A hold changes neither.
pub(crate) const fn status(phase: &Phase) -> Status {
    match phase {
        Phase::Stage => Status::Pending,
        Phase::Verify { .. } => Status::Verifying,
        Phase::Apply { .. }
        | Phase::Publish { .. }
        | Phase::Propagate { .. }
        | Phase::Drain { .. }
        | Phase::Disable { .. }
        | Phase::Destroy { .. }
        | Phase::Rollback(
            Undo::Release
            | Undo::PutBack { .. }
            | Undo::Unpublish { .. }
            | Undo::Return { .. }
            | Undo::Quiet { .. }
            | Undo::Revoke { .. },
        ) => Status::InProgress,
        Phase::Done(Outcome::Success) => Status::Success,
        Phase::Done(Outcome::RolledBack) => Status::RolledBack,
        Phase::Done(Outcome::Abandoned) => Status::Failed,
    }
}

/// Why it is rolled back, as one word.
pub(crate) const fn cause_kind(cause: Cause) -> &'static str {
    match cause {
        Cause::Ordered => "ordered",
        Cause::Unfit => "unfit",
        Cause::Deadline => "deadline",
        Cause::Abandoned => "abandoned",
    }
}

/// Why it is rolled back.
pub(crate) const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Ordered => "a person asked for it",
        Cause::Unfit => "the candidate failed verification",
        Cause::Deadline => "the phase's deadline passed",
        Cause::Abandoned => "it was given up, and its debt is paid on this way",
    }
}

/// A hold as one word.
pub(crate) const fn hold_kind(hold: &Hold) -> &'static str {
    match hold {
        Hold::Ordered => "ordered",
        Hold::Drift(_) => "drift",
        Hold::CandidatesSpent => "candidates_spent",
        Hold::Unfit => "unfit",
        Hold::Deadline => "deadline",
        Hold::ForceWanted => "force_wanted",
    }
}

/// Why nothing happens now, and what ends it.
pub(crate) fn hold(hold: &Hold) -> String {
    match hold {
        Hold::Ordered => "a person asked for it; resume to go on".to_owned(),
        Hold::Drift(store) => {
            format!("somebody else changed store {store}; resume to write over what is there, or roll back")
        }
        Hold::CandidatesSpent => {
            "the target rejected as many candidates as the plan allows; resume to mint one more, or roll back"
                .to_owned()
        }
        Hold::Unfit => "the candidate cannot do what the current generation can; grant what is missing and resume, \
                        or roll back"
            .to_owned(),
        Hold::Deadline => "the phase's deadline passed; resume to wait on, or roll back".to_owned(),
        Hold::ForceWanted => {
            "the phase's deadline passed, and the plan asks a person: force, resume to wait on, or roll back".to_owned()
        }
    }
}

/// Why the record is doubted, as one word.
pub(crate) const fn doubt_kind(doubt: &Doubt) -> &'static str {
    match doubt {
        Doubt::Restored => "restored",
        Doubt::TargetAhead => "target_ahead",
        Doubt::StoreAhead(_) => "store_ahead",
        Doubt::TargetBehind => "target_behind",
        Doubt::StoreBehind(_) => "store_behind",
        Doubt::TargetChanged => "target_changed",
    }
}

/// Why the record is doubted.
pub(crate) fn doubt(doubt: &Doubt) -> String {
    match doubt {
        Doubt::Restored => "the state was restored from a backup and not compared with the world since".to_owned(),
        Doubt::TargetAhead => "the target bears a mark that this state never wrote: the state is behind".to_owned(),
        Doubt::StoreAhead(store) => {
            format!("store {store} bears a publication that this state never intended: the state is behind")
        }
        Doubt::TargetBehind => {
            "the target does not bear what this state wrote there: it was set back, or changed by somebody else"
                .to_owned()
        }
        Doubt::StoreBehind(store) => {
            format!("store {store} bears an earlier publication, or none: it was set back, or changed by somebody else")
        }
        Doubt::TargetChanged => {
            "the target refuses the value that is in force: somebody changed it there by hand; `handover recover` sets it \
             again, or with --offline --push --password-file takes on the one that they set"
                .to_owned()
        }
    }
}

/// A blocker's kind as one constant word.
pub(crate) const fn blocker_kind(blocker: &Blocker) -> &'static str {
    match blocker {
        Blocker::Doubted(_) => "doubted",
        Blocker::Held(_) => "held",
        Blocker::Trouble(_) => "trouble",
        Blocker::Verification { .. } => "verification",
        Blocker::Consumer { .. } => "consumer",
        Blocker::RollIncomplete(_) => "roll_incomplete",
        Blocker::Store(_) => "store",
        Blocker::Staging(_) => "staging",
        Blocker::InUse { .. } => "in_use",
        Blocker::UseUnknown => "use_unknown",
        Blocker::Quiet { .. } => "quiet",
        Blocker::Overlap { .. } => "overlap",
        Blocker::Target(_) => "target",
        Blocker::Brake { .. } => "brake",
        Blocker::Approval { .. } => "approval",
        Blocker::Window { .. } => "window",
        Blocker::Soak { .. } => "soak",
        Blocker::WaveEmpty { .. } => "wave_empty",
    }
}

/// The consumer or store that a blocker names, if it names one.
pub(crate) fn blocker_subject(blocker: &Blocker) -> Option<&str> {
    match blocker {
        Blocker::Consumer { consumer, .. } => Some(consumer.as_str()),
        Blocker::Store(store) | Blocker::Staging(store) => Some(store.as_str()),
        Blocker::Doubted(_)
        | Blocker::Held(_)
        | Blocker::Trouble(_)
        | Blocker::Verification { .. }
        | Blocker::RollIncomplete(_)
        | Blocker::InUse { .. }
        | Blocker::UseUnknown
        | Blocker::Quiet { .. }
        | Blocker::Overlap { .. }
        | Blocker::Target(_)
        | Blocker::Brake { .. }
        | Blocker::Approval { .. }
        | Blocker::Window { .. }
        | Blocker::Soak { .. }
        | Blocker::WaveEmpty { .. } => None,
    }
}

/// Whom or what a phase waits for.
pub(crate) fn blocker(blocker: &Blocker) -> String {
    match blocker {
        Blocker::Doubted(why) => doubt(why),
        Blocker::Held(why) => format!("it is held: {}", hold(why)),
        Blocker::Trouble(kind) => format!("the last try failed: {} [{}]", fault_kind(*kind), kind.code()),
        Blocker::Verification { passes, needed } => {
            format!("{passes} of {needed} rounds of verification passed in a row")
        }
        Blocker::Consumer { consumer, role: called } => format!("{} {consumer} has not acknowledged", role(*called)),
        Blocker::RollIncomplete(called) => {
            format!("nobody knows yet every {} who should be there", role(*called))
        }
        Blocker::Staging(store) => format!("store {store} does not hold the staged value yet"),
        Blocker::Store(store) => format!("store {store} does not point to it yet"),
        Blocker::InUse { uses } => format!("what retires is in use: {uses} seen"),
        Blocker::UseUnknown => "nobody could look whether what retires is in use".to_owned(),
        Blocker::Quiet { remaining } => format!("what retires must be seen unused for another {}", Span(*remaining)),
        Blocker::Overlap { remaining } => format!("both generations stay valid for another {}", Span(*remaining)),
        Blocker::Target(what) => format!("the target has to {what}"),
        Blocker::Brake { remaining } => format!("the brake is held for another {}", Span(*remaining)),
        Blocker::Approval { gate, given, needed } => {
            format!("people have to approve before {}: {given} of {needed} have", gate_word(*gate))
        }
        Blocker::Window { opens_at: Some(at) } => {
            format!("no window is open until {}; both generations stay valid until then", time(*at))
        }
        Blocker::Soak { number, remaining } => {
            format!("all must be well in wave {number} for another {} before the next may read it", Span(*remaining))
        }
        Blocker::WaveEmpty { number } => {
            format!("nobody is left in wave {number}, so that it shows nothing; force opens the next one")
        }
        Blocker::Window { opens_at: None } => "no window is open, and none is known to open".to_owned(),
    }
}

/// One who is called in a role.
pub(crate) const fn role(role: Role) -> &'static str {
    match role {
        Role::Verifier => "verifier",
        Role::Presenter => "presenter",
    }
}

/// What went wrong.
pub(crate) const fn fault_kind(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Unreachable => "no connection",
        FaultKind::TimedOut => "no answer in time",
        FaultKind::Busy => "the other side takes no work for now",
        FaultKind::Unauthenticated => "our own credential was refused",
        FaultKind::NotPermitted => "our own credential lacks a right",
        FaultKind::ReadOnly => "the endpoint cannot write",
        FaultKind::Rejected => "the target's policy rejects the value",
        FaultKind::Unfit => "the candidate cannot do what the current generation can",
        FaultKind::Fenced => "a later change stands there already",
        FaultKind::Conflict => "the store is at another version than expected",
        FaultKind::Foreign => "what is there is not ours",
        FaultKind::Missing => "what should be there is not",
        FaultKind::Misconfigured => "the configuration asks for what cannot be",
        FaultKind::Unsupported => "the other side cannot do this",
        FaultKind::Corrupt => "stored data does not check out",
        FaultKind::Storage => "no space, or the disk failed",
        FaultKind::Bug => "an invariant of ours is broken",
    }
}

/// Why an order or a start is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Denial {
    /// One constant word.
    pub(crate) code: &'static str,
    /// In a sentence.
    pub(crate) detail: &'static str,
    /// The next step.
    pub(crate) hint: &'static str,
}

/// A refusal in words.
pub(crate) const fn refusal(refusal: Refusal) -> Denial {
    let (code, detail, hint) = match refusal {
        Refusal::Doubted => (
            "doubted",
            "the record may not be what the world is at",
            "`handover recover` compares them, and says what it would do with --check",
        ),
        Refusal::NotLive => ("not_live", "there is no live rotation", "start one with `handover rotate`"),
        Refusal::Live => ("live", "a rotation of this group is live", "`handover explain` says what it waits for"),
        Refusal::NoFreeSlot => {
            ("no_free_slot", "no slot of the target is free for another generation", "let the live rotation end first")
        }
        Refusal::Held => ("held", "the rotation is held", "`handover resume` lets it go on"),
        Refusal::NotHeld => ("not_held", "the rotation is not held", "`handover status` shows where it stands"),
        Refusal::Stale => ("stale", "the rotation has moved on", "look again with `handover status`"),
        Refusal::Touched => (
            "touched",
            "something outside may have been touched: it cannot be abandoned",
            "`handover rollback` takes it back",
        ),
        Refusal::PastReturn => (
            "past_return",
            "the old generation is being forgotten: there is no way back",
            "let it end, then start a new rotation with `handover rotate`",
        ),
        Refusal::AlreadyBack => ("already_back", "it is on its way back already", "wait for it"),
        Refusal::NothingToReturnTo => (
            "nothing_to_return_to",
            "the group's first generation was published: there is nothing older to return to",
            "let it end, then start a new rotation",
        ),
        Refusal::ApprovalNotWanted => (
            "approval_not_wanted",
            "nobody is asked for this approval now",
            "`handover approvals` shows what is asked for",
        ),
        Refusal::OwnRequest => (
            "own_request",
            "whoever asked for a rotation does not approve it",
            "have somebody else approve; another token of yours does not help, the person counts",
        ),
        Refusal::NotAnApprover => {
            ("not_an_approver", "the group's policy names others who may approve", "`handover approvals` shows who may")
        }
        Refusal::Unapproved => (
            "unapproved",
            "people have to approve first, and nothing stands for that",
            "`handover approvals` shows who has to; `handover rollback` takes the rotation back",
        ),
        Refusal::NotForceable => {
            ("not_forceable", "what this phase waits for cannot be forced", "`handover status` shows for what it waits")
        }
    };
    Denial { code, detail, hint }
}

/// An obstacle as one word.
pub(crate) const fn obstacle_kind(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Live => "live",
        Obstacle::Doubted(_) => "doubted",
        Obstacle::NotBuilt(_) => "not_built",
        Obstacle::Outage => "outage",
        Obstacle::Slots { .. } => "slots",
        Obstacle::Taken { .. } => "taken",
        Obstacle::TargetDoesNotFence => "target_does_not_fence",
        Obstacle::NoBrake => "no_brake",
        Obstacle::StoreDoesNotFence(_) => "store_does_not_fence",
        Obstacle::StoreDoesNotStage(_) => "store_does_not_stage",
        Obstacle::StoreReadByAll(_) => "store_read_by_all",
        Obstacle::NoStore => "no_store",
        Obstacle::NoEvidence => "no_evidence",
        Obstacle::QuietTooShort => "quiet_too_short",
        Obstacle::Policy(_) => "policy",
        Obstacle::Found(_) => "found",
    }
}

/// An obstacle in words.
pub(crate) fn obstacle(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Live => "a rotation of this group is live".to_owned(),
        Obstacle::Doubted(why) => format!("{}; `handover recover` compares them", doubt(why)),
        Obstacle::Outage => {
            "the new value is written over the old one at the target, so that consumers fail until they have loaded it, and \
             the policy does not accept that"
                .to_owned()
        }
        Obstacle::NotBuilt(kind) => format!("the strategy {} cannot be executed yet", strategy(*kind)),
        Obstacle::Slots { needed, there } => format!("{needed} slots are needed and the target has {there}"),
        Obstacle::Taken { foreign, there } => {
            format!(
                "of the provider's {there} places {foreign} are taken by credentials of others, which are never deleted"
            )
        }
        Obstacle::NoBrake => {
            "the provider mints the credential and compares no marks: a late brake would outlast its release".to_owned()
        }
        Obstacle::TargetDoesNotFence => "the target cannot fence: a late write could kill a live credential".to_owned(),
        Obstacle::StoreDoesNotFence(store) => {
            format!("store {store} cannot fence: a late write could bring a revoked credential back")
        }
        Obstacle::StoreDoesNotStage(store) => {
            format!("store {store} cannot keep a value apart from what is current, and the strategy stages it there first")
        }
        Obstacle::StoreReadByAll(store) => {
            format!("the policy has waves, and whoever reads store {store} itself reads what it publishes, in any wave")
        }
        Obstacle::NoStore => "the group has no store: nobody could fetch the new value".to_owned(),
        Obstacle::NoEvidence => "the target does not show use: nothing can prove that the old one is unused".to_owned(),
        Obstacle::QuietTooShort => {
            "no presenter is declared, so quiet_min must be longer than fetch_to_load_max".to_owned()
        }
        Obstacle::Policy(words) => format!("policy: {words}"),
        Obstacle::Found(fault) => fault.to_string(),
    }
}

pub(crate) use handover_engine::history::strategy_word as strategy;

/// What was learnt.
pub(crate) fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Sealed => "a candidate is minted and sealed".to_owned(),
        Fact::Swept => "what served nobody is deleted at the provider".to_owned(),
        Fact::Staged { store, who } => {
            format!("store {store} holds generation {} apart, as it was sealed", who.generation)
        }
        Fact::Minted(generation) => format!("the provider minted generation {generation}, and its value is sealed"),
        Fact::Lost => "the provider may have minted it, and nobody holds its value: the candidate is void".to_owned(),
        Fact::Accepted(generation) => format!("the target accepts generation {generation}"),
        Fact::LoggedIn(generation) => format!("a round of verification passed with generation {generation}"),
        Fact::Checked(generation) => format!("a round of checks passed with generation {generation}"),
        Fact::Refused(generation) => format!("the target refuses generation {generation}"),
        Fact::Head { store, version: Some(version), ours: Some(publication) } => {
            format!("store {store} is at {version}, which bears our publication {publication}")
        }
        Fact::Head { store, version: Some(version), ours: None } => {
            format!("store {store} is at {version}, which is not ours")
        }
        Fact::Head { store, version: None, .. } => format!("store {store} holds nothing"),
        Fact::Pointed { store, version } => format!("store {store} points to it, at {version}"),
        Fact::Adoption { role: called, call } => {
            let mut text = format!("{} roll:", role(*called));
            if call.members.is_empty() {
                text.push_str(" nobody is expected");
            }
            for (index, member) in call.members.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let acked = member.acked.map_or_else(|| "nothing".to_owned(), |(acked, _)| acked.to_string());
                // Writing to a string cannot fail.
                let _ = write!(text, "{comma} {} has {acked}", member.consumer);
            }
            if !call.complete {
                text.push_str("; the list is not complete");
            }
            text
        }
        Fact::Use(Tally::None) => "no use seen".to_owned(),
        Fact::Use(Tally::Some(uses)) => format!("in use: {uses} seen"),
        Fact::Use(Tally::Unknown) => "use unknown".to_owned(),
        Fact::Released(generation) => format!("generation {generation} is released"),
        Fact::PutBack(generation) => format!("generation {generation} is put back"),
        Fact::Discarded(generation) => format!("the stores forgot generation {generation}"),
        Fact::Destroyed(generation) => format!("the target forgot generation {generation}"),
        Fact::Revoked(generation) => format!("generation {generation} is revoked"),
        Fact::SessionsEnded => "old sessions were ended".to_owned(),
        Fact::Fault { effect, fault } => format!("{effect} failed: {fault}"),
        Fact::Tick => "time passed".to_owned(),
        Fact::Order(order) => format!("ordered: {}", order_word(*order)),
    }
}

/// Who would be left behind.
pub(crate) fn breakage(breakage: &Breakage) -> String {
    let names: Vec<&str> = breakage.who.iter().map(handover_core::ConsumerId::as_str).collect();
    let who = match names.as_slice() {
        [] => None,
        names => Some(format!("these presenters have not loaded what is in force: {}", names.join(", "))),
    };
    let unknown = breakage.unknown.then(|| "others may use it, whom nobody knows".to_owned());
    let all: Vec<String> = who.into_iter().chain(unknown).collect();
    if all.is_empty() { "nobody is left behind".to_owned() } else { all.join("; ") }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use handover_core::{Opened, Pointers, Roll, StoreId, Waited};
    use handover_engine::history::phase_word;

    use super::*;

    /// The cells of a table's rows on a page.
    fn rows(page: &str) -> Vec<Vec<&str>> {
        page.lines()
            .filter(|line| line.starts_with("| "))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect()
    }

    #[test]
    fn the_documented_table_is_the_one_in_force() {
        let rows = rows(include_str!("../../../docs/phases.md"));
        let documented = |name: &str| -> Vec<&str> {
            let named = |row: &&Vec<&str>| row[0].split(", ").any(|word| word.eq_ignore_ascii_case(name));
            rows.iter().filter(named).map(|row| row[row.len() - 1].trim_matches('`')).collect()
        };
        let phases = [
            Phase::Stage,
            Phase::Apply { staged: BTreeSet::new() },
            Phase::Verify { passes: 0, reapply: false, verifiers: Roll::All },
            Phase::Publish { pointers: Pointers(BTreeMap::new()) },
            Phase::Propagate { presenters: Roll::All, passes: 0, opened: Opened::All },
            Phase::Drain {
                quiet: Waited::default(),
                tally: Tally::Unknown,
                overlap: Waited::default(),
                presenters: Roll::All,
            },
            Phase::Disable { refused: BTreeSet::new(), held: Waited::default(), presenters: Roll::All },
            Phase::Destroy { gone: BTreeSet::new() },
            Phase::Rollback(Undo::Release),
            Phase::Rollback(Undo::PutBack { pointers: None }),
            Phase::Rollback(Undo::Unpublish { pointers: Pointers(BTreeMap::new()) }),
            Phase::Rollback(Undo::Return { presenters: Roll::All }),
            Phase::Rollback(Undo::Quiet { quiet: Waited::default(), tally: Tally::Unknown, presenters: Roll::All }),
            Phase::Rollback(Undo::Revoke { gone: BTreeSet::new() }),
        ];
        for phase in phases {
            assert_eq!(documented(phase_word(&phase)), [status(&phase).word()], "{phase:?}");
        }
        let outcomes = [Outcome::Success, Outcome::RolledBack, Outcome::Abandoned];
        let ends: Vec<&str> = outcomes.iter().map(|outcome| status(&Phase::Done(*outcome)).word()).collect();
        assert_eq!(documented("done"), ends);
    }

    #[test]
    fn every_hold_is_documented() {
        let rows = rows(include_str!("../../../docs/phases.md"));
        let holds = [
            Hold::Ordered,
            Hold::Drift(StoreId::parse("a").unwrap()),
            Hold::CandidatesSpent,
            Hold::Unfit,
            Hold::Deadline,
            Hold::ForceWanted,
        ];
        for held in holds {
            let kind = format!("`{}`", hold_kind(&held));
            assert!(rows.iter().any(|row| row[0] == kind), "docs/phases.md lacks {kind}");
            assert!(hold(&held).contains("resume"), "every hold says what ends it");
        }
    }
}
