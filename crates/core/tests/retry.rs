//! When a rotation that failed is tried once more.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{at_rest, learn, plan, rows};
use handover_core::{
    ConsumerId, Doubt, Fact, Fault, FaultKind, Generation, Order, Outcome, Phase, Policy, Row, Timestamp, retry_at,
    start,
};

fn policy(max_retries: u32) -> Policy {
    Policy { max_retries, retry_after: Duration::from_secs(60), ..common::policy() }
}

/// A rotation to the next generation, from `row`, that failed verification and went back to the end.
fn failed(row: &Row) -> Row {
    let plan = plan();
    let mut row = start(row, &plan, Timestamp(0)).unwrap();
    let to = row.rotation.as_ref().unwrap().to.generation;
    for fact in [Fact::Sealed, Fact::Accepted(to)] {
        row = learn(&row, &plan, fact);
    }
    let unfit = Fault::untouched(FaultKind::Unfit, "a check failed");
    row = learn(&row, &plan, Fact::Fault { effect: "login", fault: unfit });
    row = learn(&row, &plan, Fact::Revoked(to));
    assert_eq!(row.rotation.as_ref().unwrap().phase, Phase::Done(Outcome::RolledBack));
    row
}

fn wait(row: &Row, policy: &Policy) -> Option<Duration> {
    let ended = row.rotation.as_ref().unwrap().entered_at;
    retry_at(row, policy).map(|at| at.since(ended))
}

#[test]
fn attempts_are_bounded_and_ever_farther_apart() {
    let (policy, minute) = (policy(3), Duration::from_secs(60));
    let mut row = failed(&at_rest());
    let mut waits = Vec::new();
    for retries in 0..3_u32 {
        assert_eq!(row.cadence.retries, retries);
        let waited = wait(&row, &policy).unwrap();
        let least = minute * 2_u32.pow(retries);
        assert!(waited >= least && waited < least * 2, "attempt {retries} after {waited:?}");
        waits.push(waited);
        let next = start(&row, &plan(), Timestamp(0)).unwrap().as_retry_of(&row);
        row = Row { cadence: next.cadence, ..failed(&row) };
    }
    assert_eq!(retry_at(&row, &policy), None, "three were made");
    assert_eq!(row.last_generation, Generation(5), "each had a generation of its own");
    let begun = start(&row, &plan(), Timestamp(0)).unwrap();
    assert_eq!(begun.cadence.retries, 0, "what a person or a schedule starts counts from the beginning");
    assert_eq!(
        wait(&failed(&at_rest()), &Policy { max_retries: 3, ..policy }),
        Some(waits[0]),
        "nothing is drawn by lot"
    );
}

#[test]
fn only_what_is_known_to_have_failed_is_tried_again() {
    let row = failed(&at_rest());
    assert!(retry_at(&row, &policy(1)).is_some());
    assert_eq!(retry_at(&row, &policy(0)), None);
    let paused = Row { cadence: handover_core::schedule::Cadence { paused: true, ..row.cadence }, ..row.clone() };
    assert_eq!(retry_at(&paused, &policy(1)), None);
    assert_eq!(retry_at(&Row { doubt: Some(Doubt::Restored), ..row }, &policy(1)), None);
    let plan = plan();
    for live in rows(&plan, 6) {
        assert_eq!(retry_at(&live, &policy(9)), None, "it is live");
    }
    let ordered = learn(&rows(&plan, 2).pop().unwrap(), &plan, Fact::Order(Order::Rollback));
    let ended = learn(&ordered, &plan, Fact::Revoked(Generation(2)));
    assert_eq!(ended.rotation.as_ref().unwrap().phase, Phase::Done(Outcome::RolledBack));
    assert_eq!(retry_at(&ended, &policy(9)), None, "a person took it back");
    assert_eq!(retry_at(&at_rest(), &policy(9)), None);
}

#[test]
fn whoever_asked_for_the_first_attempt_asked_for_all() {
    let mut row = failed(&at_rest());
    let anna = ConsumerId::parse("anna").unwrap();
    row.rotation.as_mut().unwrap().asked_by = Some(anna.clone());
    let again = start(&row, &plan(), Timestamp(0)).unwrap().as_retry_of(&row);
    assert_eq!(again.rotation.unwrap().asked_by, Some(anna));
    assert_eq!(BTreeSet::from([again.cadence.retries]), BTreeSet::from([1]));
}
