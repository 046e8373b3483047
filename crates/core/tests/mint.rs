//! What differs where the provider mints (R7), one rule at a time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{adopted, at_rest, learn, learn_at, plan as ours, started, store, version};
use handover_core::{
    Candidate, Doubt, Effect, Fact, Fault, FaultKind, Generation, Hold, Label, Minter, Order, Outcome, Phase, Plan,
    Refusal, Row, Tally, Timestamp, Undo, wants,
};

fn plan() -> Plan {
    Plan { minter: Minter::Provider, brake_for: Duration::ZERO, quiet_min: Duration::ZERO, ..ours() }
}

fn phase(row: &Row) -> &Phase {
    &row.rotation.as_ref().unwrap().phase
}

fn effects(row: &Row) -> Vec<Effect> {
    wants(row, &plan(), Timestamp(0)).effects
}

fn label(generation: u64, candidate: u32) -> Label {
    Label { generation: Generation(generation), candidate: Candidate(candidate) }
}

fn sweep(to: Label, keep: Label) -> Effect {
    Effect::Sweep { to, keep: vec![keep] }
}

fn failed(fault: Fault) -> Fact {
    Fact::Fault { effect: "mint", fault }
}

fn applying() -> Row {
    learn(&started(&plan()), &plan(), Fact::Swept)
}

#[test]
fn stage_sweeps_and_apply_mints_under_the_label_that_is_fixed_by_then() {
    let staged = started(&plan());
    assert_eq!(effects(&staged), [sweep(label(2, 1), label(1, 1))]);
    assert_eq!(
        learn_at(&staged, &plan(), 0, Fact::Sealed),
        Err(Refusal::Stale),
        "nothing is sealed before it is minted"
    );
    let row = learn(&staged, &plan(), Fact::Swept);
    assert!(matches!(&effects(&row)[..], [Effect::Mint { who, .. }] if Label::of(*who) == label(2, 1)));
}

#[test]
fn a_probe_never_stands_in_for_the_value() {
    let row = applying();
    assert_eq!(learn_at(&row, &plan(), 0, Fact::Accepted(Generation(2))), Err(Refusal::Stale));
    let minted = learn(&row, &plan(), Fact::Minted(Generation(2)));
    assert!(matches!(phase(&minted), Phase::Verify { .. }));
}

#[test]
fn any_doubt_voids_the_candidate_and_a_refusal_does_not() {
    let row = applying();
    for fact in [Fact::Lost, failed(Fault::unknown(FaultKind::TimedOut, "no answer"))] {
        let next = learn(&row, &plan(), fact);
        assert_eq!(*phase(&next), Phase::Stage);
        assert_eq!(effects(&next), [sweep(label(2, 2), label(1, 1))], "another label, and the last one is swept");
    }
    let refused = learn(&row, &plan(), failed(Fault::untouched(FaultKind::Foreign, "no place is free")));
    assert_eq!(
        (phase(&refused), refused.rotation.as_ref().unwrap().to.candidate),
        (&Phase::Apply { staged: BTreeSet::new() }, Candidate(1))
    );
}

#[test]
fn losses_are_bounded() {
    let lost = learn(&applying(), &plan(), Fact::Lost);
    let parked = learn(&learn(&lost, &plan(), Fact::Swept), &plan(), Fact::Lost);
    assert_eq!(parked.rotation.as_ref().unwrap().hold, Some(Hold::CandidatesSpent));
    let resumed = learn(&parked, &plan(), Fact::Order(Order::Resume));
    assert_eq!(effects(&resumed), [sweep(label(2, 3), label(1, 1))]);
}

#[test]
fn a_refused_login_is_tried_again_and_nothing_applied_again() {
    let minted = learn(&applying(), &plan(), Fact::Minted(Generation(2)));
    let refused = learn(&minted, &plan(), Fact::Refused(Generation(2)));
    assert!(effects(&refused).iter().all(|effect| matches!(effect, Effect::Login { .. })), "{:?}", effects(&refused));
}

#[test]
fn there_is_no_brake_and_the_last_phase_sweeps() {
    let mut row = applying();
    for fact in [
        Fact::Minted(Generation(2)),
        Fact::LoggedIn(Generation(2)),
        Fact::Pointed { store: store(), version: version("v2") },
        adopted(2, true),
        Fact::Use(Tally::None),
    ] {
        row = learn(&row, &plan(), fact);
    }
    assert!(matches!(phase(&row), Phase::Destroy { .. }), "{:?}", phase(&row));
    assert_eq!(effects(&row), [sweep(label(2, 1), label(2, 1))], "all below what is in force goes");
    assert_eq!(learn_at(&row, &plan(), 0, Fact::Destroyed(Generation(1))), Err(Refusal::Stale));
    let done = learn(&row, &plan(), Fact::Swept);
    assert_eq!(*phase(&done), Phase::Done(Outcome::Success));
}

#[test]
fn the_way_back_sweeps_the_candidate_and_all_before_it() {
    let second = learn(&applying(), &plan(), Fact::Lost);
    let back = learn(&second, &plan(), Fact::Order(Order::Rollback));
    assert!(matches!(phase(&back), Phase::Rollback(Undo::Revoke { .. })));
    assert_eq!(effects(&back), [sweep(label(2, 3), label(1, 1))]);
    let done = learn(&back, &plan(), Fact::Swept);
    assert_eq!((phase(&done), done.current), (&Phase::Done(Outcome::RolledBack), at_rest().current));
}

#[test]
fn a_label_of_the_future_makes_the_record_doubted() {
    let ahead = Fault::untouched(FaultKind::Fenced, "a label that was never asked for");
    let row = learn(&started(&plan()), &plan(), Fact::Fault { effect: "sweep", fault: ahead });
    assert_eq!(row.doubt, Some(Doubt::TargetAhead));
    assert_eq!(effects(&row), []);
}

#[test]
fn where_we_mint_nothing_of_this_applies() {
    let staged = started(&ours());
    for fact in [Fact::Swept, Fact::Lost, Fact::Minted(Generation(2))] {
        assert_eq!(learn_at(&staged, &ours(), 0, fact.clone()), Err(Refusal::Stale));
        assert_eq!(learn_at(&learn(&staged, &ours(), Fact::Sealed), &ours(), 0, fact), Err(Refusal::Stale));
    }
}
