//! Checks after publishing: rounds that must pass before anything is taken away, and the way back where they do not.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{adopted, at_rest, learn, learn_at, plan, started, store, version};
use handover_core::{
    Blocker, Cause, Effect, Fact, Fault, FaultKind, Generation, Hold, Moments, Opened, Order, Phase, Plan, Policy,
    Refusal, Roll, Row, Timestamp, Undo, Violation, check, start, wants,
};

const TO: Generation = Generation(2);

fn checked_plan(passes_min: u32) -> Plan {
    Plan { passes_min, checks: Moments { before_publish: true, after_publish: true }, ..plan() }
}

fn published(plan: &Plan) -> Row {
    let logins = (0..plan.passes_min).map(|_| Fact::LoggedIn(TO));
    let pointed = Fact::Pointed { store: store(), version: version("v2") };
    let facts = [Fact::Sealed, Fact::Accepted(TO)].into_iter().chain(logins).chain([pointed]);
    facts.fold(started(plan), |row, fact| learn(&row, plan, fact))
}

fn phase(row: &Row) -> &Phase {
    &row.rotation.as_ref().unwrap().phase
}

fn fault(kind: FaultKind) -> Fact {
    Fact::Fault { effect: "check", fault: Fault::untouched(kind, "check orders: words") }
}

fn passes(row: &Row) -> u32 {
    let Phase::Propagate { passes, .. } = phase(row) else { panic!("{:?}", phase(row)) };
    *passes
}

#[test]
fn nothing_is_taken_away_before_the_rounds_passed_in_a_row() {
    let plan = checked_plan(3);
    let mut row = published(&plan);
    let wanted = wants(&row, &plan, Timestamp(0));
    let who = row.rotation.as_ref().unwrap().to;
    assert!(wanted.effects.contains(&Effect::Check { who }), "{wanted:?}");
    assert!(wanted.waiting_for.contains(&Blocker::Verification { passes: 0, needed: 3 }), "{wanted:?}");
    for expected in 1..=2 {
        row = learn(&row, &plan, Fact::Checked(TO));
        assert_eq!(passes(&row), expected);
    }
    row = learn(&row, &plan, fault(FaultKind::TimedOut));
    assert_eq!(passes(&row), 0, "what could not be found out was not passed");
    for _ in 0..3 {
        row = learn(&row, &plan, Fact::Checked(TO));
    }
    assert_eq!((passes(&row), check(&row, &plan)), (3, vec![]));
    let wanted = wants(&row, &plan, Timestamp(0)).effects;
    assert!(!wanted.iter().any(|effect| matches!(effect, Effect::Check { .. })), "enough is enough");
    row = learn(&row, &plan, adopted(2, true));
    assert_eq!(passes(&row), 2, "the last one may have been long ago: one more after the presenters moved");
    row = learn(&row, &plan, Fact::Checked(TO));
    assert!(matches!(phase(&row), Phase::Drain { .. }), "{:?}", phase(&row));
}

#[test]
fn where_nobody_is_called_the_rounds_alone_are_waited_for() {
    let plan = Plan { presenters: false, ..checked_plan(1) };
    let row = published(&plan);
    assert!(matches!(phase(&row), Phase::Propagate { presenters: Roll::All, passes: 0, .. }), "{:?}", phase(&row));
    let row = learn(&row, &plan, Fact::Checked(TO));
    assert!(matches!(phase(&row), Phase::Drain { .. }), "{:?}", phase(&row));
    let without = Plan { presenters: false, ..plan };
    let without = Plan { checks: Moments { after_publish: false, ..without.checks }, ..without };
    assert!(matches!(phase(&published(&without)), Phase::Drain { .. }), "no check is configured");
}

#[test]
fn what_is_known_to_fail_goes_back_to_the_old_one() {
    let plan = checked_plan(1);
    let row = learn(&published(&plan), &plan, fault(FaultKind::Unfit));
    assert!(matches!(phase(&row), Phase::Rollback(Undo::Unpublish { .. })), "{:?}", phase(&row));
    assert_eq!(row.rotation.as_ref().unwrap().cause, Some(Cause::Unfit));
}

#[test]
fn where_there_is_no_way_back_it_stays_and_says_so() {
    let held = |row: &Row| row.rotation.as_ref().unwrap().hold.clone();
    let plan = Plan { auto_rollback: false, ..checked_plan(2) };
    let row = learn(&learn(&published(&plan), &plan, Fact::Checked(TO)), &plan, fault(FaultKind::Unfit));
    assert_eq!((held(&row), passes(&row)), (Some(Hold::Unfit), 0));
    let resumed = learn(&row, &plan, Fact::Order(Order::Resume));
    assert_eq!((held(&resumed), passes(&resumed)), (None, 0));
    // A group's first generation has nothing to return to.
    let plan = checked_plan(1);
    let fresh = Row { current: None, last_generation: Generation(1), heads: [].into(), ..at_rest() };
    let facts = [
        Fact::Sealed,
        Fact::Accepted(TO),
        Fact::LoggedIn(TO),
        Fact::Head { store: store(), version: None, ours: None },
        Fact::Pointed { store: store(), version: version("v2") },
        fault(FaultKind::Unfit),
    ];
    let first = start(&fresh, &plan, Timestamp(0)).unwrap();
    let row = facts.into_iter().fold(first, |row, fact| learn(&row, &plan, fact));
    assert_eq!(held(&row), Some(Hold::Unfit));
}

#[test]
fn a_proof_is_not_forced_and_an_answer_about_another_is_stale() {
    let plan = checked_plan(1);
    let row = published(&plan);
    assert_eq!(learn_at(&row, &plan, 0, Fact::Order(Order::Force)), Err(Refusal::NotForceable));
    assert_eq!(learn_at(&row, &plan, 0, Fact::Checked(Generation(1))), Err(Refusal::Stale));
    let passed = learn(&row, &plan, Fact::Checked(TO));
    let forced = learn(&passed, &plan, Fact::Order(Order::Force));
    assert!(matches!(phase(&forced), Phase::Drain { .. }), "those who did not load it are not waited for");
}

#[test]
fn more_rounds_than_asked_for_cannot_have_come_from_here() {
    let plan = checked_plan(1);
    let mut row = published(&plan);
    row.rotation.as_mut().unwrap().phase =
        Phase::Propagate { presenters: Roll::Uncalled, passes: 2, opened: Opened::All };
    assert_eq!(check(&row, &plan), [Violation::Bounds]);
}

#[test]
fn a_check_without_a_round_of_verification_is_refused() {
    let moments = Moments { before_publish: true, after_publish: false };
    let said = common_policy(moments, 0);
    assert!(said.iter().any(|words| words.contains("where a check is configured")), "{said:?}");
    assert!(common_policy(moments, 1).is_empty());
}

/// What the planner says of a policy with these checks, in place, where no verification might be made else.
fn common_policy(checks: Moments, passes_min: u32) -> Vec<String> {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use handover_core::{Census, Minter, Obstacle, Reach, SeesUse, Slots, StoreCapability, Strategy, TargetCapability};
    let policy = Policy {
        strategy: Some(Strategy::Immediate),
        accept_outage: true,
        passes_min,
        quiet_min: Duration::ZERO,
        overlap_min: Duration::ZERO,
        brake_for: Duration::ZERO,
        poll: Duration::from_secs(1),
        reach_min: Reach::Loaded,
        auto_rollback: true,
        candidates_max: 1,
        deadlines: BTreeMap::new(),
        approvals: BTreeMap::new(),
        verifiers: false,
        presenters: true,
        fetch_to_load_max: Duration::ZERO,
        max_retries: 0,
        retry_after: Duration::from_secs(60),
        checks,
        waves: Vec::new(),
        emergency: handover_core::Terms::default(),
    };
    let row = at_rest();
    let store_capability = StoreCapability { stages: false, fences: true, versions_max: None, shared: false };
    let census = Census {
        row: &row,
        target: TargetCapability {
            slots: Slots::Fixed(1),
            sees_use: SeesUse::No,
            fences: true,
            verifies_rights: false,
            minter: Minter::Us,
        },
        foreign: 0,
        findings: Vec::new(),
        stores: BTreeMap::from([(store(), store_capability)]),
        policy_digest: "digest".to_owned(),
    };
    let Err(obstacles) = handover_core::plan(&policy, &census) else { return Vec::new() };
    obstacles
        .into_iter()
        .map(|obstacle| match obstacle {
            Obstacle::Policy(words) => words.to_owned(),
            Obstacle::Live
            | Obstacle::Doubted(_)
            | Obstacle::NotBuilt(_)
            | Obstacle::Outage
            | Obstacle::Slots { .. }
            | Obstacle::Taken { .. }
            | Obstacle::TargetDoesNotFence
            | Obstacle::NoBrake
            | Obstacle::StoreDoesNotFence(_)
            | Obstacle::NoStore
            | Obstacle::NoEvidence
            | Obstacle::QuietTooShort
            | Obstacle::StoreReadByAll(_)
            | Obstacle::StoreDoesNotStage(_)
            | Obstacle::Found(_) => format!("{obstacle:?}"),
        })
        .collect()
}
