//! Staged: the stores hold the candidate, apart and read back, before the target learns of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;

use common::{at_rest, learn, plan as dual, store};
use handover_core::{
    Blocker, Candidate, Effect, Fact, Fault, FaultKind, Generation, Occupant, Phase, Plan, Refusal, Row, Seen, Slot,
    Slots, Strategy, Timestamp, advance, check, start, wants,
};

fn plan() -> Plan {
    Plan { strategy: Strategy::Staged, ..dual() }
}

fn applying(plan: &Plan) -> Row {
    let row = start(&at_rest(), plan, Timestamp(0)).unwrap();
    learn(&row, plan, Fact::Sealed)
}

fn to(row: &Row) -> Occupant {
    row.rotation.as_ref().unwrap().to
}

fn staged(row: &Row) -> Fact {
    Fact::Staged { store: store(), who: to(row) }
}

#[test]
fn the_target_learns_of_it_when_every_store_holds_it() {
    let plan = plan();
    let row = applying(&plan);
    let wanted = wants(&row, &plan, Timestamp(0));
    assert_eq!(wanted.effects, [Effect::PutStaged { store: store(), who: to(&row) }]);
    assert_eq!(wanted.waiting_for, [Blocker::Staging(store())]);
    let accepted = Seen { now: Timestamp(0), fact: Fact::Accepted(Generation(2)) };
    assert_eq!(advance(&row, &plan, &accepted), Err(Refusal::Stale), "nobody asked the target yet");
    let row = learn(&row, &plan, staged(&row));
    assert_eq!(row.rotation.as_ref().unwrap().phase, Phase::Apply { staged: BTreeSet::from([store()]) });
    assert!(matches!(&wants(&row, &plan, Timestamp(0)).effects[..], [Effect::EnsureAccepted { .. }]));
    assert_eq!(check(&row, &plan), []);
    assert!(matches!(learn(&row, &plan, Fact::Accepted(Generation(2))).rotation.unwrap().phase, Phase::Verify { .. }));
}

#[test]
fn only_the_present_candidate_counts_as_staged() {
    let plan = plan();
    let row = applying(&plan);
    let before = staged(&row);
    let row = learn(&row, &plan, before.clone());
    let rejected = Fault::untouched(FaultKind::Rejected, "too short");
    let row = learn(&row, &plan, Fact::Fault { effect: "accept", fault: rejected });
    let row = learn(&row, &plan, Fact::Sealed);
    assert_eq!(to(&row).candidate, Candidate(2));
    let late = Seen { now: Timestamp(0), fact: before };
    assert_eq!(advance(&row, &plan, &late), Err(Refusal::Stale), "of the candidate before");
    assert!(matches!(&wants(&row, &plan, Timestamp(0)).effects[..], [Effect::PutStaged { .. }]));
}

#[test]
fn with_one_slot_it_is_written_over_the_old_one() {
    let plan = Plan { slots: Slots::Fixed(1), ..plan() };
    assert!(plan.replaces_in_place());
    let row = applying(&plan);
    assert_eq!(to(&row).slot, Slot(0));
    assert_eq!(check(&row, &plan), []);
    assert!(
        matches!(&wants(&row, &plan, Timestamp(0)).effects[..], [Effect::PutStaged { .. }]),
        "the stores come first"
    );
}
