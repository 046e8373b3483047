//! Steps of a rotation, one rule at a time. The explorer sees all of them together; these say which is which.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{POLL, adopted, at_rest, learn, learn_at, plan, rows, started, store, to_the_end, version};
use handover_core::{
    Blocker, Candidate, Cause, Deadline, Doubt, Effect, Fact, Fault, FaultKind, Generation, Hold, OnDeadline, Order,
    Outcome, Phase, Plan, Pointer, Publication, Refusal, Role, Row, Slots, Stretch, Tally, Timestamp, Touched, Undo,
    check, start, wants,
};

fn phase(row: &Row) -> &Phase {
    &row.rotation.as_ref().unwrap().phase
}

fn hold(row: &Row) -> Option<&Hold> {
    row.rotation.as_ref().unwrap().hold.as_ref()
}

fn rejected() -> Fact {
    Fact::Fault { effect: "accept", fault: Fault::untouched(FaultKind::Rejected, "too short") }
}

#[test]
fn a_rotation_walks_through_all_phases_to_success() {
    let plan = plan();
    let rows = rows(&plan, to_the_end().len());
    let last = rows.last().unwrap();
    assert_eq!(*phase(last), Phase::Done(Outcome::Success));
    assert_eq!(last.current.unwrap().generation, Generation(2));
    assert_eq!(last.heads[&store()], version("v2"));
    for (before, after) in rows.iter().zip(&rows[1..]) {
        assert_eq!(after.version, before.version.next(), "each changed row has the next version");
        assert_eq!(check(after, &plan), vec![]);
    }
}

#[test]
fn a_fact_that_changes_nothing_changes_no_version() {
    let plan = plan();
    let row = rows(&plan, 4).pop().unwrap();
    let behind = learn(&row, &plan, adopted(1, true));
    assert_eq!(learn(&behind, &plan, adopted(1, true)), behind);
}

#[test]
fn a_fact_of_another_phase_is_stale() {
    let plan = plan();
    let row = started(&plan);
    assert_eq!(learn_at(&row, &plan, 0, Fact::Destroyed(Generation(1))), Err(Refusal::Stale));
    assert_eq!(learn_at(&row, &plan, 0, Fact::Accepted(Generation(2))), Err(Refusal::Stale));
    assert_eq!(learn_at(&at_rest(), &plan, 0, Fact::Tick), Err(Refusal::NotLive));
}

#[test]
fn rollback_is_legal_from_every_phase_before_destroy() {
    let plan = plan();
    let mut seen = Vec::new();
    for row in rows(&plan, to_the_end().len() - 1) {
        let back = learn_at(&row, &plan, 30, Fact::Order(Order::Rollback));
        seen.push(match back.as_ref().map(phase) {
            Ok(Phase::Done(Outcome::Abandoned)) => "abandoned",
            Ok(Phase::Rollback(Undo::Revoke { .. })) => "revoke",
            Ok(Phase::Rollback(Undo::Unpublish { .. })) => "unpublish",
            Ok(Phase::Rollback(Undo::Release)) => "release",
            Err(Refusal::PastReturn) => "past return",
            other => panic!("{other:?}"),
        });
    }
    seen.dedup();
    assert_eq!(seen, ["abandoned", "revoke", "unpublish", "release", "past return"]);
}

#[test]
fn the_way_back_points_every_store_under_a_publication_of_its_own() {
    let plan = plan();
    let row = rows(&plan, 3).pop().unwrap();
    assert_eq!(row.publication, Publication(2));
    let back = learn(&row, &plan, Fact::Order(Order::Rollback));
    assert_eq!(back.publication, Publication(3));
    let effects = wants(&back, &plan, Timestamp(0)).effects;
    let expect = Some(version("v1"));
    let value = at_rest().current.unwrap();
    assert_eq!(effects, [Effect::Point { store: store(), value, publication: Publication(3), expect }]);
}

#[test]
fn a_refused_write_is_read_back() {
    let plan = plan();
    let row = rows(&plan, 3).pop().unwrap();
    let head = |text: &str, ours: Option<u64>| Fact::Head {
        store: store(),
        version: Some(version(text)),
        ours: ours.map(Publication),
    };
    let ours = learn(&row, &plan, head("v2", Some(2)));
    assert!(matches!(phase(&ours), Phase::Propagate { .. }), "it bears our publication: the reply was lost");
    let late = learn(&row, &plan, head("v7", Some(1)));
    let Phase::Publish { pointers } = phase(&late) else { panic!("{:?}", phase(&late)) };
    assert_eq!(
        pointers.0[&store()],
        Pointer::Expect(Some(version("v7"))),
        "an older one of ours: the next expectation"
    );
    let foreign = learn(&row, &plan, head("v7", None));
    assert_eq!(hold(&foreign), Some(&Hold::Drift(store())));
    assert_eq!(wants(&foreign, &plan, Timestamp(0)).effects, [], "a hold takes effects away");
    let again = learn(&foreign, &plan, Fact::Order(Order::Resume));
    let read = learn(&again, &plan, head("v7", None));
    let effects = wants(&read, &plan, Timestamp(0)).effects;
    assert!(matches!(&effects[..], [Effect::Point { expect: Some(at), .. }] if *at == version("v7")), "{effects:?}");
}

#[test]
fn rejected_candidates_are_bounded_and_the_last_is_parked() {
    let plan = plan();
    let row = learn(&started(&plan), &plan, Fact::Sealed);
    let second = learn(&row, &plan, rejected());
    assert_eq!(*phase(&second), Phase::Stage);
    assert_eq!(second.rotation.as_ref().unwrap().to.candidate, Candidate(2));
    let refusal = learn_at(&second, &plan, 0, Fact::Order(Order::Abandon));
    assert_eq!(refusal, Err(Refusal::Touched), "a first candidate went out: only rollback is certain");
    let parked = learn(&learn(&second, &plan, Fact::Sealed), &plan, rejected());
    assert_eq!(hold(&parked), Some(&Hold::CandidatesSpent));
    let resumed = learn(&parked, &plan, Fact::Order(Order::Resume));
    assert_eq!(resumed.rotation.as_ref().unwrap().to.candidate, Candidate(3));
}

#[test]
fn a_lost_candidate_is_applied_again_and_a_broken_round_is_no_pass() {
    let mut plan = plan();
    plan.passes_min = 2;
    let row = rows(&plan, 3).pop().unwrap();
    assert!(matches!(phase(&row), Phase::Verify { passes: 1, reapply: false, .. }));
    let lost = learn(&row, &plan, Fact::Refused(Generation(2)));
    assert!(matches!(phase(&lost), Phase::Verify { passes: 0, reapply: true, .. }));
    let effects = wants(&lost, &plan, Timestamp(0)).effects;
    assert!(matches!(effects[0], Effect::EnsureAccepted { .. }), "{effects:?}");
    let broken = Fault { kind: FaultKind::TimedOut, touched: Touched::Nothing, detail: String::new() };
    let failed = learn(&row, &plan, Fact::Fault { effect: "login", fault: broken });
    assert!(matches!(phase(&failed), Phase::Verify { passes: 0, reapply: false, .. }));
}

#[test]
fn an_unfit_candidate_is_rolled_back_or_held() {
    let mut plan = plan();
    let row = rows(&plan, 2).pop().unwrap();
    let unfit = Fact::Fault { effect: "login", fault: Fault::untouched(FaultKind::Unfit, "lacks SELECT on t") };
    let back = learn(&row, &plan, unfit.clone());
    assert!(matches!(phase(&back), Phase::Rollback(Undo::Revoke { .. })));
    assert_eq!(back.rotation.as_ref().unwrap().cause, Some(Cause::Unfit));
    plan.auto_rollback = false;
    assert_eq!(hold(&learn(&row, &plan, unfit)), Some(&Hold::Unfit));
}

#[test]
fn an_incomplete_roll_holds_and_a_higher_publication_counts() {
    let plan = plan();
    let row = rows(&plan, 4).pop().unwrap();
    let incomplete = learn(&row, &plan, adopted(2, false));
    assert!(matches!(phase(&incomplete), Phase::Propagate { .. }), "unknown consumers count as not done");
    assert!(matches!(phase(&learn(&row, &plan, adopted(1, true))), Phase::Propagate { .. }));
    assert!(matches!(phase(&learn(&row, &plan, adopted(3, true))), Phase::Drain { .. }));
}

#[test]
fn unknown_use_is_never_zero_and_use_starts_the_quiet_time_again() {
    let plan = plan();
    let row = rows(&plan, 6).pop().unwrap();
    for seen in [Tally::Unknown, Tally::Some(2)] {
        let mut now = learn_at(&row, &plan, 5, Fact::Use(seen)).unwrap();
        for at in [10, 15] {
            now = learn_at(&now, &plan, at, Fact::Use(Tally::None)).unwrap();
        }
        assert!(matches!(phase(&now), Phase::Drain { .. }), "5 s of quiet are not 10 s, after {seen:?}");
        now = learn_at(&now, &plan, 20, Fact::Use(Tally::None)).unwrap();
        assert!(matches!(phase(&now), Phase::Disable { .. }));
    }
}

#[test]
fn a_clock_that_jumps_ends_no_wait() {
    let plan = plan();
    let row = rows(&plan, 6).pop().unwrap();
    let mut plan_longer = plan.clone();
    plan_longer.quiet_min = Duration::from_secs(60);
    let jumped = learn_at(&row, &plan_longer, 86_400, Fact::Use(Tally::None)).unwrap();
    let Phase::Drain { quiet, .. } = phase(&jumped) else { panic!("a day's jump must not end Drain") };
    assert_eq!(quiet.total, POLL * 2);
}

#[test]
fn a_brake_that_somebody_releases_is_put_on_again() {
    let plan = plan();
    let row = rows(&plan, 10).pop().unwrap();
    assert!(matches!(phase(&row), Phase::Disable { .. }));
    let off = learn_at(&row, &plan, 16, Fact::Accepted(Generation(1))).unwrap();
    let effects = wants(&off, &plan, Timestamp(16_000)).effects;
    assert!(matches!(effects[..], [Effect::EnsureRefused { .. }]), "{effects:?}");
}

#[test]
fn deadlines_hold_roll_back_end_sessions_or_ask_for_force() {
    let at_deadline = |stretch, then, steps: usize| {
        let mut plan = plan();
        plan.deadlines.insert(stretch, Deadline { after: Duration::from_secs(20), then });
        let mut row = rows(&plan, steps).pop().unwrap();
        for now_s in [100, 105, 110, 115] {
            row = learn_at(&row, &plan, now_s, Fact::Tick).unwrap();
            assert_eq!(hold(&row), None, "not before the deadline");
        }
        let row = learn_at(&row, &plan, 120, Fact::Tick).unwrap();
        let effects = wants(&row, &plan, Timestamp(120_000)).effects;
        (row, effects)
    };
    let (held, _) = at_deadline(Stretch::Propagate, OnDeadline::Hold, 4);
    assert_eq!(hold(&held), Some(&Hold::Deadline));
    let (asked, _) = at_deadline(Stretch::Propagate, OnDeadline::RequestForce, 4);
    assert_eq!(hold(&asked), Some(&Hold::ForceWanted));
    let (back, _) = at_deadline(Stretch::Verify, OnDeadline::Rollback, 2);
    assert_eq!(back.rotation.as_ref().unwrap().cause, Some(Cause::Deadline));
    let (drain, effects) = at_deadline(Stretch::Drain, OnDeadline::TerminateSessions, 5);
    assert!(matches!(phase(&drain), Phase::Drain { .. }));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::EndSessions { .. })), "{effects:?}");
}

#[test]
fn a_group_s_first_rotation_has_nothing_to_retire_nor_to_return_to() {
    let plan = plan();
    let mut row = start(&Row::new(at_rest().group), &plan, Timestamp(0)).unwrap();
    for fact in [Fact::Sealed, Fact::Accepted(Generation(1)), Fact::LoggedIn(Generation(1))] {
        row = learn(&row, &plan, fact);
    }
    let refused = learn_at(&row, &plan, 0, Fact::Order(Order::Rollback));
    assert_eq!(refused, Err(Refusal::NothingToReturnTo));
    assert_eq!(wants(&row, &plan, Timestamp(0)).effects, [Effect::Head { store: store() }]);
    for fact in [
        Fact::Head { store: store(), version: None, ours: None },
        Fact::Pointed { store: store(), version: version("v1") },
        adopted(1, true),
    ] {
        row = learn(&row, &plan, fact);
    }
    assert_eq!(*phase(&row), Phase::Done(Outcome::Success));
}

#[test]
fn orders_apply_while_held_and_facts_do_not() {
    let plan = plan();
    let row = rows(&plan, 4).pop().unwrap();
    let held = learn(&row, &plan, Fact::Order(Order::Hold));
    let (free, still) = (wants(&row, &plan, Timestamp(0)), wants(&held, &plan, Timestamp(0)));
    assert_eq!((still.effects, still.wake_at), (vec![], None), "a hold takes effects away");
    assert_eq!(still.waiting_for[0], Blocker::Held(Hold::Ordered));
    assert_eq!(still.waiting_for[1..], free.waiting_for[..], "and leaves the reasons");
    assert!(!free.effects.is_empty() && !free.waiting_for.is_empty());
    assert_eq!(learn_at(&held, &plan, 0, adopted(2, true)), Err(Refusal::Held));
    assert_eq!(phase(&learn(&held, &plan, Fact::Order(Order::Resume))), phase(&row), "a hold never changes the phase");
    assert!(matches!(phase(&learn(&held, &plan, Fact::Order(Order::Rollback))), Phase::Rollback(_)));
    assert_eq!(learn_at(&row, &plan, 0, Fact::Order(Order::Resume)), Err(Refusal::NotHeld));
}

#[test]
fn force_ends_waits_and_never_replaces_a_proof() {
    let plan = plan();
    for (steps, forced) in [(0, false), (1, false), (2, false), (3, false), (4, true), (5, true), (8, false), (9, true)]
    {
        let row = rows(&plan, steps).pop().unwrap();
        let outcome = learn_at(&row, &plan, 0, Fact::Order(Order::Force));
        assert_eq!(outcome.is_ok(), forced, "in {:?}", phase(&row));
    }
}

/// A look at use that is old says nothing of now: a hold or a stopped process may lie in between.
#[test]
fn only_a_fresh_look_at_use_ends_drain_and_quiet() {
    let plan = plan();
    let drain = rows(&plan, 6).pop().unwrap();
    let back = learn(&rows(&plan, 4).pop().unwrap(), &plan, Fact::Order(Order::Rollback));
    let back = learn(&back, &plan, Fact::Pointed { store: store(), version: version("v3") });
    let quiet = learn(&back, &plan, adopted(3, true));
    assert!(matches!(phase(&quiet), Phase::Rollback(Undo::Quiet { .. })));
    for (row, publication) in [(drain, 2), (quiet, 3)] {
        let mut row = learn_at(&row, &plan, 0, adopted(publication - 1, true)).unwrap();
        for at in [0, 5, 10, 15] {
            row = learn_at(&row, &plan, at, Fact::Use(Tally::None)).unwrap();
        }
        let before = phase(&row).clone();
        let held = learn_at(&row, &plan, 15, Fact::Order(Order::Hold)).unwrap();
        let resumed = learn_at(&held, &plan, 86_400, Fact::Order(Order::Resume)).unwrap();
        let moved = learn_at(&resumed, &plan, 86_400, adopted(publication, true)).unwrap();
        assert_eq!(stage_of(phase(&moved)), stage_of(&before), "nobody has looked for a day");
        let used = learn_at(&moved, &plan, 86_400, Fact::Use(Tally::Some(1))).unwrap();
        assert_eq!(stage_of(phase(&used)), stage_of(&before), "it came into use again");
        let unused = learn_at(&moved, &plan, 86_400, Fact::Use(Tally::None)).unwrap();
        assert_ne!(stage_of(phase(&unused)), stage_of(&before));
    }
}

fn stage_of(phase: &Phase) -> String {
    format!("{phase:?}").split(" {").take(1).collect()
}

#[test]
fn force_starts_the_deadline_s_time_anew() {
    let mut plan = plan();
    let after = Duration::from_secs(10);
    plan.deadlines.insert(Stretch::Rollback, Deadline { after, then: OnDeadline::RequestForce });
    let back = learn(&rows(&plan, 4).pop().unwrap(), &plan, Fact::Order(Order::Rollback));
    let mut row = learn(&back, &plan, Fact::Pointed { store: store(), version: version("v3") });
    for at in [5, 10, 15, 20] {
        row = learn_at(&row, &plan, at, Fact::Tick).unwrap();
    }
    assert_eq!(hold(&row), Some(&Hold::ForceWanted));
    let forced = learn_at(&row, &plan, 20, Fact::Order(Order::Force)).unwrap();
    let next = learn_at(&forced, &plan, 21, Fact::Use(Tally::None)).unwrap();
    assert_eq!(hold(&next), None, "or the person who forced it would have to resume it as well");
}

#[test]
fn an_unfit_round_takes_the_passes_before_it_away() {
    let mut plan = plan();
    (plan.passes_min, plan.auto_rollback) = (3, false);
    let mut row = rows(&plan, 2).pop().unwrap();
    for _ in 0..2 {
        row = learn(&row, &plan, Fact::LoggedIn(Generation(2)));
    }
    let unfit = Fact::Fault { effect: "login", fault: Fault::untouched(FaultKind::Unfit, "lacks SELECT on t") };
    let resumed = learn(&learn(&row, &plan, unfit), &plan, Fact::Order(Order::Resume));
    assert!(matches!(phase(&resumed), Phase::Verify { passes: 0, .. }), "{:?}", phase(&resumed));
}

/// Without presenters nobody is called, so nothing would ever end Return.
#[test]
fn a_superseding_rotation_without_presenters_finds_its_way_back() {
    let mut plan = plan();
    (plan.presenters, plan.slots) = (false, Slots::Fixed(3));
    let back = learn(&rows(&plan, 4).pop().unwrap(), &plan, Fact::Order(Order::Rollback));
    let quiet = learn(&back, &plan, Fact::Pointed { store: store(), version: version("v3") });
    assert!(matches!(phase(&quiet), Phase::Rollback(Undo::Quiet { .. })), "{:?}", phase(&quiet));
    let superseding = learn(&start(&quiet, &plan, Timestamp(0)).unwrap(), &plan, Fact::Sealed);
    let back = learn(&superseding, &plan, Fact::Order(Order::Rollback));
    assert!(matches!(phase(&back), Phase::Rollback(Undo::Quiet { .. })), "{:?}", phase(&back));
    assert!(!wants(&back, &plan, Timestamp(0)).effects.is_empty());
}

#[test]
fn overlap_counts_only_while_every_presenter_has_moved() {
    let mut plan = plan();
    plan.overlap_min = Duration::from_secs(20);
    let mut row = learn_at(&rows(&plan, 5).pop().unwrap(), &plan, 0, adopted(1, true)).unwrap();
    for at in [0, 5, 10, 15, 20, 25] {
        row = learn_at(&row, &plan, at, Fact::Use(Tally::None)).unwrap();
    }
    row = learn_at(&row, &plan, 25, adopted(2, true)).unwrap();
    for at in [30, 35, 40, 45] {
        row = learn_at(&row, &plan, at, Fact::Use(Tally::None)).unwrap();
        assert!(matches!(phase(&row), Phase::Drain { .. }), "at {at} s, and all moved at 25 s");
    }
    row = learn_at(&row, &plan, 50, Fact::Use(Tally::None)).unwrap();
    assert!(matches!(phase(&row), Phase::Disable { .. }), "{:?}", phase(&row));
}

#[test]
fn what_passed_long_ago_verifies_nothing() {
    let plan = Plan { passes_min: 2, verifiers: true, ..plan() };
    let mut row = rows(&plan, 2).pop().unwrap();
    for _ in 0..2 {
        row = learn(&row, &plan, Fact::LoggedIn(Generation(2)));
    }
    let call = |acked| {
        let Fact::Adoption { call, .. } = adopted(acked, true) else { panic!("an adoption") };
        Fact::Adoption { role: Role::Verifier, call }
    };
    row = learn(&row, &plan, call(1));
    assert!(matches!(phase(&row), Phase::Verify { passes: 2, .. }), "still waiting for the verifiers");
    row = learn(&row, &plan, call(2));
    assert!(matches!(phase(&row), Phase::Verify { passes: 1, .. }), "one more round, now that they are done");
    let published = learn(&row, &plan, Fact::LoggedIn(Generation(2)));
    assert!(matches!(phase(&published), Phase::Publish { .. }));
    let held = learn(&row, &plan, Fact::Order(Order::Hold));
    let resumed = learn(&held, &plan, Fact::Order(Order::Resume));
    assert!(matches!(phase(&resumed), Phase::Verify { passes: 0, .. }), "a hold may have lasted for days");
}

#[test]
fn a_brake_held_for_no_time_needs_a_look_after_the_proof() {
    let plan = Plan { brake_for: Duration::ZERO, ..plan() };
    let row = rows(&plan, 8).pop().unwrap();
    let proved = learn(&row, &plan, Fact::Refused(Generation(1)));
    assert!(matches!(phase(&proved), Phase::Disable { .. }), "nobody has looked since");
    let used = learn(&proved, &plan, Fact::Use(Tally::Some(1)));
    assert!(matches!(phase(&used), Phase::Disable { .. }), "and somebody uses it");
    let unused = learn(&used, &plan, Fact::Use(Tally::None));
    assert!(matches!(phase(&unused), Phase::Destroy { .. }));
}

#[test]
fn a_doubted_row_starts_nothing_wants_nothing_and_takes_no_order() {
    let plan = plan();
    for row in [vec![at_rest()], rows(&plan, to_the_end().len())].concat() {
        let row = Row { doubt: Some(Doubt::Restored), ..row };
        let wanted = wants(&row, &plan, Timestamp(0));
        assert_eq!((wanted.effects, wanted.wake_at), (vec![], None));
        assert_eq!(wanted.waiting_for, [Blocker::Doubted(Doubt::Restored)]);
        assert_eq!(start(&row, &plan, Timestamp(0)), Err(Refusal::Doubted));
        if row.live().is_some() {
            for order in [Order::Hold, Order::Resume, Order::Rollback, Order::Abandon, Order::Force] {
                assert_eq!(learn_at(&row, &plan, 0, Fact::Order(order)), Err(Refusal::Doubted));
            }
            assert_eq!(learn_at(&row, &plan, 0, Fact::Tick), Ok(row.clone()));
        }
    }
}

#[test]
fn a_higher_mark_or_a_later_publication_puts_the_record_in_doubt() {
    let plan = plan();
    let applying = rows(&plan, 1).pop().unwrap();
    let fault = Fault::untouched(FaultKind::Fenced, "a higher mark stands");
    let fenced = learn(&applying, &plan, Fact::Fault { effect: "accept", fault });
    assert_eq!(fenced.doubt, Some(Doubt::TargetAhead));
    let publishing = rows(&plan, 3).pop().unwrap();
    let later = Publication(publishing.publication.0 + 1);
    let head = Fact::Head { store: store(), version: Some(version("later")), ours: Some(later) };
    assert_eq!(learn(&publishing, &plan, head).doubt, Some(Doubt::StoreAhead(store())));
}
