//! Approvals: whose word counts, before what, and for how long.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{at_rest, learn_at, plan, rows, to_the_end};
use handover_core::{
    ApprovalRule, Blocker, ConsumerId, Deadline, Fact, Gate, Generation, Hold, Minter, OnDeadline, Order, Phase, Plan,
    Refusal, Row, Seen, Slots, Strategy, Stretch, Tally, Timestamp, Violation, Waited, advance, approvals, approve,
    check, replan, start, wants,
};

fn who(name: &str) -> ConsumerId {
    ConsumerId::parse(name).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

/// A plan that asks two people before a gate. Their word counts for an hour.
fn asking(gate: Gate) -> Plan {
    let rule = ApprovalRule { quorum: 2, expires: Duration::from_secs(3_600), approvers: BTreeSet::new() };
    Plan { approvals: BTreeMap::from([(gate, rule)]), ..plan() }
}

fn asked(plan: &Plan) -> Row {
    start(&at_rest(), plan, at(0)).unwrap().asked_by(who("anna"))
}

fn approved(row: &Row, plan: &Plan, gate: Gate, name: &str, now: Timestamp) -> Row {
    let next = approve(row, plan, gate, &who(name), now).unwrap();
    assert_eq!(next.version, row.version.next());
    assert_eq!(check(&next, plan), []);
    next
}

fn missing(row: &Row, plan: &Plan, now: Timestamp) -> Vec<(Gate, u32)> {
    let told = approvals(row.live().unwrap(), plan, now);
    told.iter().map(|approvals| (approvals.gate, approvals.missing())).collect()
}

/// A row in Drain in which everything but the word of people is there, at second 10.
fn drained(plan: &Plan) -> Row {
    let row = rows(plan, 8).pop().unwrap();
    assert!(matches!(row.live().unwrap().phase, Phase::Drain { .. }), "{row:?}");
    row
}

#[test]
fn what_is_asked_for_does_nothing_before_it_is_approved() {
    let plan = asking(Gate::Start);
    let row = asked(&plan);
    let wanted = wants(&row, &plan, at(0));
    assert_eq!(wanted.effects, []);
    assert_eq!(wanted.waiting_for, [Blocker::Approval { gate: Gate::Start, given: 0, needed: 2 }]);
    assert!(wanted.wake_at.is_some(), "it is looked at: the policy may change meanwhile");
    assert_eq!(learn_at(&row, &plan, 0, Fact::Sealed), Err(Refusal::Unapproved));
    let one = approved(&row, &plan, Gate::Start, "ben", at(1));
    assert_eq!(wants(&one, &plan, at(1)).effects, []);
    let two = approved(&one, &plan, Gate::Start, "carl", at(2));
    assert_eq!(wants(&two, &plan, at(2)).effects.len(), 1);
    let sealed = learn_at(&two, &plan, 3, Fact::Sealed).unwrap();
    assert_eq!(sealed.live().unwrap().phase, Phase::Apply { staged: BTreeSet::new() });
}

/// S32: whoever asks does not approve, a person counts once, and others than the named ones count for nothing.
#[test]
fn quorum_counts_people_and_never_the_one_who_asked() {
    let mut plan = asking(Gate::Start);
    let row = asked(&plan);
    assert_eq!(approve(&row, &plan, Gate::Start, &who("anna"), at(1)), Err(Refusal::OwnRequest));
    let one = approved(&row, &plan, Gate::Start, "ben", at(1));
    let again = approved(&one, &plan, Gate::Start, "ben", at(60));
    assert_eq!(missing(&again, &plan, at(60)), [(Gate::Start, 1)]);
    assert_eq!(missing(&again, &plan, at(3_601)), [(Gate::Start, 1)], "given again, it counts for longer");
    // By schedule nobody asked: anybody who is entitled may.
    let scheduled = start(&at_rest(), &plan, at(0)).unwrap();
    approved(&scheduled, &plan, Gate::Start, "anna", at(1));
    plan.approvals.get_mut(&Gate::Start).unwrap().approvers = BTreeSet::from([who("ben"), who("carl")]);
    assert_eq!(approve(&row, &plan, Gate::Start, &who("dora"), at(1)), Err(Refusal::NotAnApprover));
    approved(&row, &plan, Gate::Start, "carl", at(1));
    let mut forged = one;
    let own = (Gate::Start, who("anna"));
    let given = forged.rotation.as_ref().unwrap().approvals.values().next().copied().unwrap();
    forged.rotation.as_mut().unwrap().approvals.insert(own, given);
    assert_eq!(check(&forged, &plan), [Violation::OwnApproval]);
}

/// S32: a stale approval does not count, nor does one of a time that has not come.
#[test]
fn an_approval_runs_out() {
    let plan = asking(Gate::Start);
    let one = approved(&asked(&plan), &plan, Gate::Start, "ben", at(0));
    let two = approved(&one, &plan, Gate::Start, "carl", at(1_800));
    assert_eq!(missing(&two, &plan, at(3_599)), [(Gate::Start, 0)]);
    assert_eq!(missing(&two, &plan, at(3_600)), [(Gate::Start, 1)]);
    assert_eq!(missing(&two, &plan, at(5_400)), [(Gate::Start, 2)]);
    assert_eq!(missing(&two, &plan, at(-1)), [(Gate::Start, 2)], "the clock went back before it was given");
    assert_eq!(learn_at(&two, &plan, 3_600, Fact::Sealed), Err(Refusal::Unapproved), "it ran out while it was minted");
}

/// S32: an approval belongs to one rotation, and to the plan that it was given for.
#[test]
fn another_rotation_and_another_plan_begin_with_none() {
    let plan = asking(Gate::Start);
    let one = approved(&asked(&plan), &plan, Gate::Start, "ben", at(0));
    let two = approved(&one, &plan, Gate::Start, "carl", at(0));
    let abandoned = learn_at(&two, &plan, 1, Fact::Order(Order::Abandon)).unwrap();
    let next = start(&abandoned, &plan, at(2)).unwrap();
    assert_eq!(missing(&next, &plan, at(2)), [(Gate::Start, 2)]);
    let other = Plan { brake_for: Duration::ZERO, ..plan.clone() };
    let anew = replan(&two, &other, at(2)).unwrap();
    assert_eq!(missing(&anew, &other, at(2)), [(Gate::Start, 2)]);
    let (was, is) = (two.live().unwrap(), anew.live().unwrap());
    assert_eq!((was.to, &was.asked_by), (is.to, &is.asked_by), "the same request");
    let sealed = learn_at(&two, &plan, 3, Fact::Sealed).unwrap();
    assert_eq!(replan(&sealed, &other, at(3)), Err(Refusal::Touched));
    assert_eq!(approve(&sealed, &plan, Gate::Start, &who("dora"), at(3)), Err(Refusal::ApprovalNotWanted));
}

/// F65: where the approval never comes, both generations stay valid, no deadline decides it, and it goes on when it comes.
#[test]
fn before_disable_it_waits_where_both_are_valid() {
    let deadline = Deadline { after: Duration::from_secs(30), then: OnDeadline::Rollback };
    let plan = Plan { deadlines: BTreeMap::from([(Stretch::Drain, deadline)]), ..asking(Gate::Disable) };
    let mut row = drained(&plan);
    let quiet = row.version;
    for second in (15..100_000).step_by(500) {
        row = learn_at(&row, &plan, second, Fact::Use(Tally::None)).unwrap();
    }
    assert!(matches!(row.live().unwrap().phase, Phase::Drain { .. }));
    assert!(row.version.0 <= quiet.0 + 1, "it waits without a write for each look");
    let blocker = Blocker::Approval { gate: Gate::Disable, given: 0, needed: 2 };
    assert!(wants(&row, &plan, at(100_000)).waiting_for.contains(&blocker));
    let force = |row: &Row| advance(row, &plan, &Seen { now: at(100_000), fact: Fact::Order(Order::Force) });
    assert_eq!(force(&row), Err(Refusal::Unapproved), "force ends waits, and is no word of others");
    for name in ["anna", "ben"] {
        row = approved(&row, &plan, Gate::Disable, name, at(100_000));
    }
    let on = learn_at(&row, &plan, 100_001, Fact::Use(Tally::None)).unwrap();
    assert!(matches!(on.live().unwrap().phase, Phase::Disable { .. }));
    assert!(matches!(force(&row).unwrap().live().unwrap().phase, Phase::Disable { .. }));
    // The way back needs nobody's word.
    learn_at(&drained(&plan), &plan, 11, Fact::Order(Order::Rollback)).unwrap();
}

#[test]
fn a_deadline_counts_on_while_something_else_is_waited_for_as_well() {
    let deadline = Deadline { after: Duration::from_secs(30), then: OnDeadline::Hold };
    let plan = Plan { deadlines: BTreeMap::from([(Stretch::Drain, deadline)]), ..asking(Gate::Disable) };
    let mut row = rows(&plan, 5).pop().unwrap();
    for second in (0..60).step_by(5) {
        row = learn_at(&row, &plan, second, Fact::Use(Tally::Some(1))).unwrap_or(row);
    }
    assert_eq!(row.live().unwrap().hold, Some(Hold::Deadline));
}

#[test]
fn before_destroy_the_brake_is_held_until_it_is_approved() {
    let plan = asking(Gate::Destroy);
    let mut row = rows(&plan, 12).pop().unwrap();
    row = learn_at(&row, &plan, 1_000, Fact::Use(Tally::None)).unwrap();
    assert!(matches!(row.live().unwrap().phase, Phase::Disable { .. }));
    let force = Fact::Order(Order::Force);
    assert_eq!(learn_at(&row, &plan, 1_000, force), Err(Refusal::Unapproved));
    for name in ["ben", "carl"] {
        row = approved(&row, &plan, Gate::Destroy, name, at(1_000));
    }
    row = learn_at(&row, &plan, 1_001, Fact::Use(Tally::None)).unwrap();
    assert!(matches!(row.live().unwrap().phase, Phase::Destroy { .. }));
}

#[test]
fn where_there_is_no_brake_both_gates_stand_before_it() {
    let rule = asking(Gate::Disable).approvals[&Gate::Disable].clone();
    let plan = Plan {
        minter: Minter::Provider,
        brake_for: Duration::ZERO,
        approvals: BTreeMap::from([(Gate::Disable, rule.clone()), (Gate::Destroy, rule)]),
        ..plan()
    };
    let mut row = rows(&self::plan(), 5).pop().unwrap();
    let phase = |row: &Row| std::mem::discriminant(&row.live().unwrap().phase);
    let drain = phase(&row);
    if let Phase::Drain { quiet, .. } = &mut row.rotation.as_mut().unwrap().phase {
        *quiet = Waited { total: plan.quiet_min, seen_at: None };
    }
    assert_eq!(missing(&row, &plan, at(0)), [(Gate::Disable, 2), (Gate::Destroy, 2)]);
    for name in ["ben", "carl"] {
        row = approved(&row, &plan, Gate::Disable, name, at(0));
    }
    let still = learn_at(&row, &plan, 1, Fact::Use(Tally::None)).unwrap_or_else(|_| row.clone());
    assert_eq!(phase(&still), drain, "one of two gates is open");
    let nowhere = Plan { minter: Minter::Us, slots: Slots::Nowhere, ..plan };
    assert_eq!(missing(&still, &nowhere, at(1)), [(Gate::Disable, 0), (Gate::Destroy, 2)]);
}

#[test]
fn another_candidate_is_no_other_start_and_a_doubt_takes_no_word() {
    let plan = asking(Gate::Start);
    let mut row = asked(&plan);
    row.rotation.as_mut().unwrap().to.candidate.0 = 2;
    assert_eq!(missing(&row, &plan, at(0)), []);
    assert_eq!(wants(&row, &plan, at(0)).effects.len(), 1);
    let doubted = Row { doubt: Some(handover_core::Doubt::Restored), ..asked(&plan) };
    assert_eq!(approve(&doubted, &plan, Gate::Start, &who("ben"), at(0)), Err(Refusal::Doubted));
    assert_eq!(approve(&at_rest(), &plan, Gate::Start, &who("ben"), at(0)), Err(Refusal::NotLive));
}

#[test]
fn nobody_is_asked_where_the_plan_asks_nobody() {
    let plan = plan();
    let mut row = asked(&plan);
    for (second, fact) in to_the_end() {
        assert_eq!(missing(&row, &plan, at(second)), []);
        row = learn_at(&row, &plan, second, fact).unwrap();
    }
    assert_eq!(row.last_generation, Generation(2));
    let in_place = Plan { strategy: Strategy::Immediate, slots: Slots::Fixed(1), ..asking(Gate::Start) };
    assert_eq!(missing(&asked(&in_place), &in_place, at(0)), [(Gate::Start, 2)]);
}
