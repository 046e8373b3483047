//! Emergencies: what is cut, what is not, and what is remembered.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{adopted, at_rest, learn_at, plan, rows, started};
use handover_core::{
    Cause, ConsumerId, Deadline, Effect, Fact, Fault, FaultKind, Generation, Hold, Member, OnDeadline, Order, Phase,
    Plan, Publication, Reach, Refusal, RollCall, Row, RowVersion, Seen, Stretch, Tally, Terms, Timestamp, Violation,
    Wish, advance, breakage, check, preempt, start, wants,
};

const PLAIN: Wish = Wish { accept_breakage: false, end_sessions: false };

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

/// A plan with waits that nobody has time for.
fn slow() -> Plan {
    let day = Duration::from_secs(86_400);
    let back = Deadline { after: Duration::from_secs(60), then: OnDeadline::Rollback };
    let deadlines = [(Stretch::Propagate, back), (Stretch::Drain, back), (Stretch::Rollback, back)].into();
    Plan { quiet_min: day, overlap_min: day, deadlines, ..plan() }
}

fn urgent(wish: Wish) -> Plan {
    slow().in_emergency(&Terms { ceiling: Duration::from_secs(20), ..Terms::default() }, wish)
}

fn in_phase(rows: Vec<Row>, wanted: impl Fn(&Phase) -> bool) -> Row {
    rows.into_iter().find(|row| row.live().is_some_and(|live| wanted(&live.phase))).unwrap()
}

fn draining(plan: &Plan) -> Row {
    let row = in_phase(rows(plan, 5), |phase| matches!(phase, Phase::Drain { .. }));
    preempt(&row, at(0)).unwrap()
}

#[test]
fn the_order_stands_in_the_row_and_cuts_the_waits() {
    let plan = urgent(PLAIN);
    assert_eq!((plan.overlap_min, plan.quiet_min), (Duration::ZERO, Duration::from_secs(5)));
    assert_eq!(plan.deadlines.keys().collect::<Vec<_>>(), [&Stretch::Rollback], "nothing gives up by itself");
    assert!(!plan.auto_rollback && plan.passes_min == slow().passes_min);
    let row = start(&at_rest(), &plan, at(3)).unwrap().tainted(at(3));
    let taint = row.taint.unwrap();
    assert_eq!((taint.to, taint.at, taint.refused_at), (Generation(1), at(3), None));
    assert!(row.is_urgent() && check(&row, &plan).is_empty());
    let again = preempt(&row, at(9)).unwrap();
    assert_eq!(again.taint, row.taint, "the first word counts");
    assert_eq!(again.version, row.version.next());
    let made_up = Row { taint: Some(handover_core::Taint { to: Generation(99), ..taint }), ..row };
    assert_eq!(check(&made_up, &plan), [Violation::GenerationOrder]);
}

#[test]
fn use_does_not_keep_what_is_compromised_where_everybody_moved() {
    let row = draining(&urgent(PLAIN));
    let next = learn_at(&row, &urgent(PLAIN), 0, Fact::Use(Tally::Some(3))).unwrap();
    assert!(matches!(next.live().unwrap().phase, Phase::Disable { .. }));
    // Where nobody is declared, whoever uses it may be one of ours.
    let unknown = Plan { presenters: false, ..urgent(PLAIN) };
    let row = learn_at(&row, &unknown, 0, Fact::Use(Tally::Some(3))).unwrap();
    assert!(matches!(row.live().unwrap().phase, Phase::Drain { .. }));
    // And without an emergency use keeps it, as ever.
    let row = learn_at(&draining(&slow()), &slow(), 0, Fact::Use(Tally::Some(3))).unwrap();
    assert!(matches!(row.live().unwrap().phase, Phase::Drain { .. }));
}

#[test]
fn presenters_are_waited_for_until_their_breakage_was_accepted() {
    let behind = adopted(1, true);
    let walk = |plan: &Plan| {
        let mut row = in_phase(rows(plan, 4), |phase| matches!(phase, Phase::Propagate { .. }));
        row = preempt(&row, at(0)).unwrap();
        for second in (0..120).step_by(5) {
            row = learn_at(&row, plan, second, behind.clone()).unwrap_or(row);
        }
        row
    };
    assert!(matches!(walk(&urgent(PLAIN)).live().unwrap().phase, Phase::Propagate { .. }));
    let accepted = urgent(Wish { accept_breakage: true, ..PLAIN });
    assert!(matches!(walk(&accepted).live().unwrap().phase, Phase::Disable { .. }), "after a ceiling for each phase");
    // A second order takes nothing back that was accepted.
    let twice = accepted.clone().in_emergency(&Terms::default(), PLAIN);
    assert!(twice.urgency.unwrap().accept_breakage);
}

#[test]
fn what_is_not_proved_is_not_forced() {
    let accepted = urgent(Wish { accept_breakage: true, ..PLAIN });
    let checked = Plan { checks: handover_core::Moments { before_publish: false, after_publish: true }, ..accepted };
    let mut row = in_phase(rows(&checked, 4), |phase| matches!(phase, Phase::Propagate { .. }));
    for second in (0..120).step_by(5) {
        row = learn_at(&row, &checked, second, adopted(2, true)).unwrap();
    }
    assert!(matches!(row.live().unwrap().phase, Phase::Propagate { passes: 0, .. }), "its check was never made");
    assert_eq!(row.live().unwrap().hold, None, "it goes on trying");
}

#[test]
fn sessions_are_ended_once_the_old_one_is_refused() {
    let plan = urgent(Wish { end_sessions: true, ..PLAIN });
    let ends =
        |row: &Row| wants(row, &plan, at(0)).effects.iter().any(|effect| matches!(effect, Effect::EndSessions { .. }));
    let row = learn_at(&draining(&plan), &plan, 0, Fact::Use(Tally::Some(1))).unwrap();
    assert!(!ends(&row), "who is ended before would log in again");
    let row = learn_at(&row, &plan, 7, Fact::Refused(Generation(1))).unwrap();
    assert!(ends(&row));
    assert_eq!(row.taint.unwrap().refused_at, Some(at(7)));
    let same = learn_at(&row, &plan, 8, Fact::SessionsEnded).unwrap();
    assert_eq!(same, row, "what is ended again and again is no news");
    // The brake is off again: it is not refused any more.
    let back = advance(&row, &plan, &Seen { now: at(9), fact: Fact::Order(Order::Rollback) }).unwrap();
    assert_eq!(back.taint.unwrap().refused_at, None);
    assert!(back.is_tainted(Generation(1)));
}

#[test]
fn nothing_goes_back_to_what_is_compromised_by_itself() {
    let plan = urgent(PLAIN);
    let row = in_phase(rows(&plan, 2), |phase| matches!(phase, Phase::Verify { .. }));
    let fault = Fault::untouched(FaultKind::Unfit, "it lacks a right");
    let held = learn_at(&row, &plan, 0, Fact::Fault { effect: "login", fault }).unwrap();
    let live = held.live().unwrap();
    assert_eq!((&live.hold, live.cause), (&Some(Hold::Unfit), None::<Cause>));
}

#[test]
fn what_waits_is_taken_over_and_what_was_found_stays() {
    let plan = slow();
    let row = in_phase(rows(&plan, 5), |phase| matches!(phase, Phase::Drain { .. }));
    let held = |hold: Hold| {
        let mut row = row.clone();
        row.rotation.as_mut().unwrap().hold = Some(hold);
        preempt(&row, at(1)).unwrap().rotation.unwrap().hold
    };
    for goes_on in [Hold::Ordered, Hold::Deadline, Hold::ForceWanted] {
        assert_eq!(held(goes_on), None);
    }
    for stays in [Hold::Drift(common::store()), Hold::CandidatesSpent, Hold::Unfit] {
        assert_eq!(held(stays.clone()), Some(stays));
    }
    let back = advance(&row, &plan, &Seen { now: at(1), fact: Fact::Order(Order::Rollback) }).unwrap();
    assert_eq!(preempt(&back, at(1)), Err(Refusal::AlreadyBack));
    assert_eq!(preempt(&at_rest(), at(1)), Err(Refusal::NotLive));
    let doubted = Row { doubt: Some(handover_core::Doubt::Restored), ..row };
    assert_eq!(preempt(&doubted, at(1)), Err(Refusal::Doubted));
}

#[test]
fn who_would_break_is_whoever_has_not_loaded_what_is_published() {
    let consumer = |name: &str| ConsumerId::parse(name).unwrap();
    let member = |name, acked: Option<u64>| Member {
        consumer: consumer(name),
        acked: acked.map(|publication| (Publication(publication), Reach::Loaded)),
    };
    let call = |complete| RollCall { members: vec![member("web", Some(1)), member("worker", None)], complete };
    let found = breakage(&at_rest(), Some(&call(true)));
    assert_eq!((found.who.into_iter().collect::<Vec<_>>(), found.unknown), (vec![consumer("worker")], false));
    assert!(breakage(&at_rest(), Some(&call(false))).unknown);
    assert!(breakage(&at_rest(), None).unknown, "nobody knows who presents it");
    let everybody = RollCall { members: vec![member("web", Some(1))], complete: true };
    assert!(breakage(&at_rest(), Some(&everybody)).is_none());
    // While the stores are pointed to the new one, nobody can have it yet; once they are, who has not is behind.
    let mut publishing = in_phase(rows(&plan(), 3), |phase| matches!(phase, Phase::Publish { .. }));
    assert!(breakage(&publishing, Some(&everybody)).is_none());
    let propagating = in_phase(rows(&plan(), 4), |phase| matches!(phase, Phase::Propagate { .. }));
    assert!(!breakage(&propagating, Some(&everybody)).is_none());
    publishing.current = None;
    assert!(breakage(&publishing, None).is_none(), "there is nothing in force");
    assert_eq!(started(&plan()).version, RowVersion(10));
}

#[test]
fn waves_are_over_and_everybody_is_called() {
    use handover_core::{Opened, Picked, Roll, Wave};
    let wave = Wave { members: Picked::Count(1), soak: Duration::from_secs(3_600) };
    let slow = Plan { waves: vec![wave], ..plan() };
    let row = in_phase(rows(&slow, 4), |phase| matches!(phase, Phase::Propagate { .. }));
    let waits = learn_at(&row, &slow, 0, adopted(2, true)).unwrap();
    assert!(matches!(waits.live().unwrap().phase, Phase::Propagate { opened: Opened::Wave { .. }, .. }), "{waits:?}");
    let urgent = slow.in_emergency(&Terms::default(), PLAIN);
    let next = preempt(&waits, at(1)).unwrap();
    let open = Phase::Propagate { presenters: Roll::Uncalled, passes: 0, opened: Opened::All };
    assert_eq!(next.live().unwrap().phase, open);
    assert_eq!(check(&next, &urgent), []);
    let next = learn_at(&next, &urgent, 1, adopted(2, true)).unwrap();
    assert!(matches!(next.live().unwrap().phase, Phase::Drain { .. }), "{next:?}");
}
