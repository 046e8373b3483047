//! What is happening to a group, in sentences: state, evidence, what comes next, and what each order would do.

use handover_core::{
    Gate, Hold, Obstacle, Occupant, OnDeadline, Opened, Order, Outcome, Phase, Plan, Pointers, Rotation, Row, Strategy,
    Stretch, Tally, Undo, Waited,
};

use crate::config::duration::Span;
use crate::server::view::time;

/// What state a group is in, in a sentence.
pub(crate) fn summary(row: &Row) -> String {
    if row.doubt.is_some() {
        return "nothing is done: the state and the world do not agree".to_owned();
    }
    let Some(rotation) = &row.rotation else {
        return match row.current {
            Some(current) => format!("generation {} is in force, as it was adopted", current.generation),
            None => "nothing was ever published: the group waits for its first rotation".to_owned(),
        };
    };
    let mut state = phase(rotation);
    if let Some(current) = row.current.filter(|current| row.is_tainted(current.generation)) {
        // It is what the rotation leads away from, or what nobody leads away from.
        let away = if row.live().is_some() { "" } else { ", and it is in force" };
        state.push_str(&format!("; generation {} is said to be compromised{away}", current.generation));
    }
    match &rotation.hold {
        Some(_) => format!("held while it {state}"),
        None => state,
    }
}

fn phase(rotation: &Rotation) -> String {
    let to = rotation.to.generation;
    let old = numbers(&rotation.retiring());
    let back = rotation.from.map_or_else(String::new, |from| format!(" to generation {}", from.generation));
    match &rotation.phase {
        Phase::Stage => format!("mints and seals generation {to}; nothing outside was touched by it"),
        Phase::Apply { .. } if rotation.replaces_in_place() => {
            format!("replaces {old} by generation {to} at the target")
        }
        Phase::Apply { .. } => format!("makes the target accept generation {to}"),
        Phase::Verify { .. } => format!("verifies generation {to} before anybody gets it"),
        Phase::Publish { .. } => format!("points the stores to generation {to}"),
        Phase::Propagate { opened: Opened::All, .. } => {
            format!("waits until every presenter has loaded generation {to}")
        }
        Phase::Propagate { opened: Opened::Nobody, .. } => {
            format!("calls the roll, to let the first wave of presenters read generation {to}")
        }
        Phase::Propagate { opened: Opened::Wave { number, cuts, .. }, .. } => {
            format!("lets presenters read generation {to} wave by wave: wave {number} of {} is open", cuts.len() + 1)
        }
        Phase::Drain { .. } => format!("waits until {old} is out of use"),
        Phase::Disable { .. } if rotation.leaving().is_empty() => format!("proves that the target refuses {old}"),
        Phase::Disable { .. } => format!("holds the brake: the target refuses {old}, and can accept it again"),
        Phase::Destroy { .. } if rotation.leaving().is_empty() => {
            format!("has the stores forget {old}: there is no way back")
        }
        Phase::Destroy { .. } => format!("has the target forget {old}: there is no way back"),
        Phase::Rollback(Undo::Release) => format!("goes back{back}: the brake is released"),
        Phase::Rollback(Undo::PutBack { .. }) => format!("goes back{back}: its value is put back at the target"),
        Phase::Rollback(Undo::Unpublish { .. }) => format!("goes back{back}: the stores are pointed back"),
        Phase::Rollback(Undo::Return { .. }) => format!("goes back{back}: presenters load it again"),
        Phase::Rollback(Undo::Quiet { .. }) => {
            format!("goes back{back}: {} goes out of use", numbers(&rotation.revoking()))
        }
        Phase::Rollback(Undo::Revoke { .. }) if rotation.withdrawing().is_empty() => {
            format!("goes back{back}: the stores forget {}", numbers(&rotation.revoking()))
        }
        Phase::Rollback(Undo::Revoke { .. }) => {
            format!("goes back{back}: the target forgets {}", numbers(&rotation.revoking()))
        }
        Phase::Done(Outcome::Success) => format!("generation {to} is in force; no rotation is live"),
        Phase::Done(Outcome::RolledBack) => match rotation.from {
            Some(from) => {
                format!("generation {} is in force again: the rotation to {to} was rolled back", from.generation)
            }
            None => format!("nothing is published: the rotation to {to} was rolled back"),
        },
        Phase::Done(Outcome::Abandoned) => format!("the rotation to generation {to} was given up; nothing was changed"),
    }
}

/// `generation 1`, or `generations 1 and 2`.
fn numbers(occupants: &[Occupant]) -> String {
    let all: Vec<String> = occupants.iter().map(|occupant| occupant.generation.to_string()).collect();
    match all.as_slice() {
        [] => "nothing".to_owned(),
        [one] => format!("generation {one}"),
        [rest @ .., last] => format!("generations {} and {last}", rest.join(", ")),
    }
}

/// What was observed in the present phase, as `(kind, text)`. Roll calls are the caller's: the row keeps only who is
/// behind.
pub(crate) fn evidence(row: &Row, plan: &Plan) -> Vec<(&'static str, String)> {
    let Some(rotation) = row.live() else { return Vec::new() };
    let mut found: Vec<(&'static str, String)> = emergency(row, plan).into_iter().collect();
    found.extend(in_phase(rotation, plan));
    found
}

/// How an emergency changes the rotation.
fn emergency(row: &Row, plan: &Plan) -> Option<(&'static str, String)> {
    let urgency = plan.urgency?;
    let behind = match (urgency.accept_breakage, plan.presenters) {
        (true, _) => "who is left behind when the ceiling is reached breaks, as was accepted",
        (false, true) => "presenters are waited for without an end",
        (false, false) => "nobody is left behind",
    };
    let sessions = if urgency.end_sessions { "; open sessions are ended once it is refused" } else { "" };
    let refused = match row.taint.and_then(|taint| taint.refused_at) {
        Some(at) => format!("; it is refused since {}", time(at)),
        None => String::new(),
    };
    Some(("emergency", format!("waits are cut; {behind}{sessions}{refused}")))
}

fn in_phase(rotation: &Rotation, plan: &Plan) -> Vec<(&'static str, String)> {
    match &rotation.phase {
        Phase::Apply { staged } if plan.strategy == Strategy::Staged => plan
            .stores
            .iter()
            .map(|store| {
                let holds = if staged.contains(store) { "holds generation" } else { "does not yet hold generation" };
                ("staged", format!("store {store} {holds} {} apart, as it was sealed", rotation.to.generation))
            })
            .collect(),
        Phase::Verify { passes, reapply, .. } => {
            let again = if *reapply { "; the target refused it last, so it is applied again" } else { "" };
            vec![("passes", format!("{passes} of {} rounds of verification passed in a row{again}", plan.passes_min))]
        }
        Phase::Propagate { passes, opened, .. } => propagated(*passes, opened, plan),
        Phase::Publish { pointers } => stores(pointers, rotation.to),
        Phase::Rollback(Undo::Unpublish { pointers }) => {
            rotation.from.map_or_else(Vec::new, |from| stores(pointers, from))
        }
        Phase::Drain { quiet, tally, overlap, .. } => {
            let mut found = used(&rotation.retiring(), *tally, *quiet, plan);
            if !plan.overlap_min.is_zero() {
                found.push(("overlap", format!("both were valid for {}", of(*overlap, plan.overlap_min))));
            }
            found
        }
        Phase::Rollback(Undo::Quiet { quiet, tally, .. }) => used(&rotation.revoking(), *tally, *quiet, plan),
        Phase::Disable { refused, held, .. } => vec![
            ("refused", format!("proved to be refused: {} of {}", refused.len(), rotation.retiring().len())),
            ("brake", format!("the brake was held for {}", of(*held, plan.brake_for))),
        ],
        Phase::Destroy { gone } => vec![("forgotten", format!("{} of {}", gone.len(), rotation.retiring().len()))],
        Phase::Rollback(Undo::Revoke { gone }) => {
            vec![("forgotten", format!("{} of {}", gone.len(), rotation.revoking().len()))]
        }
        Phase::Stage
        | Phase::Apply { .. }
        | Phase::Rollback(Undo::Release | Undo::PutBack { .. } | Undo::Return { .. })
        | Phase::Done(_) => Vec::new(),
    }
}

fn propagated(passes: u32, opened: &Opened, plan: &Plan) -> Vec<(&'static str, String)> {
    let needed = plan.passes_after_publish();
    let passes = (needed > 0).then(|| ("passes", format!("{passes} of {needed} rounds of checks passed in a row")));
    let wave = match opened {
        Opened::Wave { number, soaked, .. } => {
            let soak = of(*soaked, opened.soak(plan));
            Some(("wave", format!("wave {number} of {} is open; all was well for {soak}", plan.waves.len() + 1)))
        }
        Opened::Nobody => Some(("wave", "no wave is open: nobody reads it yet".to_owned())),
        Opened::All if plan.waves.is_empty() => None,
        Opened::All => Some(("wave", "all waves are open".to_owned())),
    };
    wave.into_iter().chain(passes).collect()
}

fn stores(pointers: &Pointers, to: Occupant) -> Vec<(&'static str, String)> {
    let landed = pointers.0.iter().filter(|(store, _)| pointers.missing().all(|(missing, _)| missing != *store));
    let landed = landed.map(|(store, _)| ("store", format!("store {store} points to generation {}", to.generation)));
    let missing = pointers
        .missing()
        .map(|(store, _)| ("store", format!("store {store} does not point to generation {} yet", to.generation)));
    landed.chain(missing).collect()
}

fn used(who: &[Occupant], tally: Tally, quiet: Waited, plan: &Plan) -> Vec<(&'static str, String)> {
    let who = numbers(who);
    let seen = match tally {
        Tally::None => "not in use at the last look".to_owned(),
        Tally::Some(uses) => format!("in use at the last look: {uses} seen"),
        Tally::Unknown => "not known to be unused: nobody could look yet".to_owned(),
    };
    vec![("use", format!("{who} {seen}")), ("quiet", format!("{who} was unused for {}", of(quiet, plan.quiet_min)))]
}

/// `2s of 30s`. Whole seconds, except where the goal is shorter than a few of them.
fn of(waited: Waited, goal: std::time::Duration) -> String {
    let whole = std::time::Duration::from_secs(waited.total.as_secs());
    let shown = if goal.as_secs() < 5 || waited.reached(goal) { waited.total } else { whole };
    format!("{} of {}", Span(shown), Span(goal))
}

/// How many are there of those who are called, in words.
pub(crate) fn roll(called: &str, there: usize, all: usize, publication: u64, reach: &str, complete: bool) -> String {
    let complete = if complete { "" } else { "; more may be expected, the list is not complete" };
    format!("{there} of {all} {called}s have publication {publication} as {reach}{complete}")
}

/// What comes after the present phase, once what it waits for is there.
pub(crate) fn next(rotation: &Rotation) -> String {
    if rotation.hold.is_some() {
        return "nothing until a person decides".to_owned();
    }
    let (to, old) = (rotation.to.generation, numbers(&rotation.retiring()));
    let text = match &rotation.phase {
        Phase::Stage => format!("the target is made to accept generation {to}"),
        Phase::Apply { .. } => format!("generation {to} is verified"),
        Phase::Verify { .. } => format!("the stores are pointed to generation {to}"),
        Phase::Publish { .. } => format!("presenters load generation {to}"),
        Phase::Propagate { opened: Opened::Nobody, .. } => "the first wave of presenters may read it".to_owned(),
        Phase::Propagate { opened: Opened::Wave { .. }, .. } => "the next wave of presenters may read it".to_owned(),
        Phase::Propagate { .. } | Phase::Drain { .. } if rotation.retiring().is_empty() => {
            "the rotation ends".to_owned()
        }
        Phase::Propagate { .. } if rotation.leaving().is_empty() => {
            format!("it is proved that the target refuses {old}")
        }
        Phase::Propagate { .. } => format!("{old} is watched until it is out of use"),
        Phase::Drain { .. } => format!("the target is made to refuse {old}, reversibly"),
        Phase::Disable { .. } if rotation.leaving().is_empty() => format!("the stores forget {old}, for good"),
        Phase::Disable { .. } => format!("the target forgets {old}, for good"),
        Phase::Destroy { .. } => "the rotation ends".to_owned(),
        Phase::Rollback(Undo::PutBack { pointers: None }) => "the candidate is forgotten".to_owned(),
        Phase::Rollback(Undo::Release | Undo::PutBack { pointers: Some(_) }) => {
            "the stores are pointed back".to_owned()
        }
        Phase::Rollback(Undo::Unpublish { .. }) => "presenters load it again".to_owned(),
        Phase::Rollback(Undo::Return { .. }) if rotation.withdrawing().is_empty() => {
            format!("the stores forget {}", numbers(&rotation.revoking()))
        }
        Phase::Rollback(Undo::Return { .. }) => {
            format!("{} is watched until it is out of use", numbers(&rotation.revoking()))
        }
        Phase::Rollback(Undo::Quiet { .. }) => format!("the target forgets {}", numbers(&rotation.revoking())),
        Phase::Rollback(Undo::Revoke { .. }) => "the rotation ends, rolled back".to_owned(),
        Phase::Done(_) => return "nothing until somebody starts a rotation".to_owned(),
    };
    format!("once nothing is waited for, by itself: {text}")
}

/// What happens once a gate is approved.
pub(crate) fn gate(gate: Gate, rotation: &Rotation) -> String {
    let old = numbers(&rotation.retiring());
    match gate {
        Gate::Start => format!("the rotation to generation {} starts", rotation.to.generation),
        Gate::Disable => format!("the target is made to refuse {old}, reversibly"),
        Gate::Destroy => format!("{old} is forgotten: there is no way back"),
    }
}

/// What happens when the deadline of a stretch passes.
pub(crate) const fn on_deadline(stretch: Stretch, then: OnDeadline) -> &'static str {
    match (then, stretch) {
        (OnDeadline::Rollback, Stretch::Rollback) | (OnDeadline::Hold, _) => "it is held until a person decides",
        (OnDeadline::Rollback, _) => "it is rolled back if there is a way back, else held",
        (OnDeadline::TerminateSessions, Stretch::Drain) => "sessions of what retires are ended until it is out of use",
        (OnDeadline::TerminateSessions, _) => "it is held until a person decides",
        (OnDeadline::Force, _) => "who is left behind is not waited for any longer",
        (OnDeadline::RequestForce, _) => "it is held, and a person is asked to force it",
    }
}

/// What clears an obstacle.
pub(crate) fn obstacle_hint(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Live => "wait for it; `handover explain` says for whom it waits, and what can be done".to_owned(),
        Obstacle::Doubted(_) => "`handover recover` compares state and world, and says which is right".to_owned(),
        Obstacle::Outage => "set accept_outage = true in the group's policy, or another strategy".to_owned(),
        Obstacle::NotBuilt(_) => "set strategy = \"dual_write\" in the group's policy, or leave it out".to_owned(),
        Obstacle::Slots { .. } => {
            "a superseding rotation needs one place more than the target has: let the rollback end first".to_owned()
        }
        Obstacle::Taken { .. } => "delete at the provider what nobody needs".to_owned(),
        Obstacle::NoBrake => "set brake_for = \"0s\" in the group's policy".to_owned(),
        Obstacle::TargetDoesNotFence => "use a target that can; see docs/connectors/".to_owned(),
        Obstacle::NoEvidence => {
            "use a target that can; where there is no target, name all consumers. See docs/connectors/".to_owned()
        }
        Obstacle::StoreReadByAll(_) => {
            "leave the waves out, or publish the group in the embedded store alone".to_owned()
        }
        Obstacle::StoreDoesNotFence(_) | Obstacle::StoreDoesNotStage(_) | Obstacle::NoStore => {
            "name a store that can with `stores` in the group; see docs/connectors/".to_owned()
        }
        Obstacle::QuietTooShort => {
            "raise quiet_min in the group's policy, lower fetch_to_load_max, or declare the consumers".to_owned()
        }
        Obstacle::Policy(_) => "change the group's policy in the configuration, and restart the server".to_owned(),
        Obstacle::Found(fault) => format!("see docs/errors/{}.md", fault.kind.code()),
    }
}

/// What an order would do to a rotation that stands where this one does.
pub(crate) fn order(order: Order, rotation: &Rotation) -> String {
    match order {
        Order::Hold => "keeps it where it is".to_owned(),
        Order::Resume => match &rotation.hold {
            Some(Hold::Drift(store)) => format!("goes on, and writes over what somebody else wrote to store {store}"),
            Some(Hold::CandidatesSpent) => "goes on with one more value".to_owned(),
            Some(Hold::Ordered | Hold::Unfit | Hold::Deadline | Hold::ForceWanted) | None => {
                "goes on; the time until the deadline starts anew".to_owned()
            }
        },
        Order::Rollback => match rotation.from {
            Some(from) => format!("takes it back to generation {}", from.generation),
            None => format!("takes it back: generation {} is revoked", rotation.to.generation),
        },
        Order::Abandon => "gives it up; nothing was touched".to_owned(),
        Order::Force => force(rotation).to_owned(),
    }
}

const fn force(rotation: &Rotation) -> &'static str {
    match &rotation.phase {
        Phase::Verify { .. } => {
            "stops waiting for verifiers, and publishes: those who did not acknowledge may refuse it"
        }
        Phase::Propagate { opened: Opened::Wave { .. }, .. } => {
            "stops watching this wave, and lets the next one read it"
        }
        Phase::Propagate { .. } => "stops waiting for presenters: those who did not load it may lose access later",
        Phase::Drain { .. } => "stops waiting for use to end: whoever still uses what retires is refused. Irreversible",
        Phase::Disable { .. } => "ends the brake now: what retires is forgotten for good. Irreversible",
        Phase::Rollback(Undo::Return { .. } | Undo::Quiet { .. }) => {
            "stops waiting on the way back: whoever still uses the candidate is refused. Irreversible"
        }
        Phase::Stage
        | Phase::Apply { .. }
        | Phase::Publish { .. }
        | Phase::Destroy { .. }
        | Phase::Rollback(Undo::Release | Undo::PutBack { .. } | Undo::Unpublish { .. } | Undo::Revoke { .. })
        | Phase::Done(_) => "stops waiting",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handover_core::{Candidate, Generation, Slot, Timestamp};

    use super::*;

    #[test]
    fn what_retires_is_named_by_its_numbers() {
        let occupant = |number| Occupant { generation: Generation(number), slot: Slot(0), candidate: Candidate(1) };
        assert_eq!(numbers(&[]), "nothing");
        assert_eq!(numbers(&[occupant(1)]), "generation 1");
        assert_eq!(numbers(&[occupant(1), occupant(2), occupant(3)]), "generations 1, 2 and 3");
    }

    #[test]
    fn waiting_is_shown_against_its_goal() {
        let waited = |ms| Waited { total: Duration::from_millis(ms), seen_at: Some(Timestamp(0)) };
        assert_eq!(of(waited(12_345), Duration::from_secs(30)), "12s of 30s");
        assert_eq!(of(waited(250), Duration::from_millis(300)), "250ms of 300ms");
        assert_eq!(of(Waited::default(), Duration::from_secs(60)), "0s of 1m");
    }

    #[test]
    fn a_deadline_says_what_it_does_there() {
        assert!(on_deadline(Stretch::Drain, OnDeadline::TerminateSessions).starts_with("sessions"));
        assert!(on_deadline(Stretch::Publish, OnDeadline::TerminateSessions).starts_with("it is held"));
        assert!(on_deadline(Stretch::Rollback, OnDeadline::Rollback).starts_with("it is held"));
    }
}
