//! One value written over another: what `immediate` does in the same phases.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{adopted, at_rest, learn, learn_at, plan, store, version};
use handover_core::{
    Effect, Fact, Generation, Mark, Occupant, Order, Outcome, Phase, Plan, Publication, Refusal, Row, Slot, Slots,
    Strategy, Tally, Timestamp, Undo, check, start, wants,
};

const OLD: Generation = Generation(1);
const NEW: Generation = Generation(2);

fn in_place() -> Plan {
    Plan { strategy: Strategy::Immediate, slots: Slots::Fixed(1), ..plan() }
}

fn effects(row: &Row, plan: &Plan) -> Vec<Effect> {
    wants(row, plan, Timestamp(0)).effects
}

fn pointed() -> Fact {
    Fact::Pointed { store: store(), version: version("v2") }
}

/// The started row, and the row after each of these facts.
fn rows(plan: &Plan, facts: impl IntoIterator<Item = Fact>) -> Vec<Row> {
    let mut rows = vec![start(&at_rest(), plan, Timestamp(0)).unwrap()];
    for fact in facts {
        let next = learn(rows.last().unwrap(), plan, fact);
        assert_eq!(check(&next, plan), []);
        rows.push(next);
    }
    rows
}

fn forward() -> [Fact; 7] {
    let proved = Fact::Refused(OLD);
    [Fact::Sealed, Fact::Accepted(NEW), Fact::LoggedIn(NEW), pointed(), adopted(2, true), proved, Fact::Discarded(OLD)]
}

#[test]
fn the_old_one_is_proved_to_be_refused_and_nothing_is_disabled_or_destroyed() {
    let plan = in_place();
    let rows = rows(&plan, forward());
    let old = at_rest().current.unwrap();
    let new = Occupant { generation: NEW, ..old };
    assert_eq!(rows[0].live().unwrap().to, new, "the slot of the old one");
    let asked: Vec<&str> = rows.iter().flat_map(|row| effects(row, &plan)).map(|effect| effect.kind()).collect();
    assert_eq!(asked, ["seal", "accept", "login", "point", "adoption", "prove", "adoption", "discard"]);
    assert_eq!(effects(&rows[5], &plan)[0], Effect::ProveRefused { who: old });
    let last = rows.last().unwrap();
    assert_eq!((last.rotation.as_ref().unwrap().phase.outcome(), last.current), (Some(Outcome::Success), Some(new)));
}

#[test]
fn without_verification_it_is_published_at_once_and_nothing_is_proved() {
    let plan = Plan { passes_min: 0, ..in_place() };
    let rows = rows(&plan, [Fact::Sealed, Fact::Accepted(NEW), pointed(), adopted(2, true)]);
    assert!(matches!(rows[2].live().unwrap().phase, Phase::Publish { .. }));
    assert!(matches!(rows[4].live().unwrap().phase, Phase::Destroy { .. }));
}

#[test]
fn the_way_back_puts_the_old_value_back_before_the_stores_point_back() {
    let plan = in_place();
    let old = at_rest().current.unwrap();
    let mut seen = Vec::new();
    for row in rows(&plan, forward().into_iter().take(6)) {
        let back = learn_at(&row, &plan, 0, Fact::Order(Order::Rollback));
        seen.push(match back.as_ref().map(|back| &back.rotation.as_ref().unwrap().phase) {
            Ok(Phase::Done(Outcome::Abandoned)) => "abandoned",
            Ok(Phase::Rollback(Undo::PutBack { pointers: None })) => "put back",
            Ok(Phase::Rollback(Undo::PutBack { pointers: Some(_) })) => "put back and point back",
            Err(Refusal::PastReturn) => "past return",
            other => panic!("{other:?}"),
        });
        if let Ok(back) = back
            && let Some(live) = back.live()
        {
            let mark = Mark { generation: live.to.generation, version: back.version };
            assert_eq!(effects(&back, &plan), [Effect::PutBack { who: old, mark }]);
        }
    }
    seen.dedup();
    assert_eq!(seen, ["abandoned", "put back", "put back and point back", "past return"]);
}

#[test]
fn a_published_one_is_walked_back_and_discarded_once_everybody_returned() {
    let plan = in_place();
    let old = at_rest().current.unwrap();
    let published = rows(&plan, forward().into_iter().take(4)).pop().unwrap();
    let back = learn(&published, &plan, Fact::Order(Order::Rollback));
    assert_eq!(back.publication, Publication(2), "nothing is published yet");
    let unpublish = learn(&back, &plan, Fact::PutBack(OLD));
    let expect = Some(version("v2"));
    let publication = Publication(3);
    assert_eq!(effects(&unpublish, &plan), [Effect::Point { store: store(), value: old, publication, expect }]);
    let fact = Fact::Pointed { store: store(), version: version("v3") };
    let returning = learn(&unpublish, &plan, fact);
    let revoke = learn(&returning, &plan, adopted(3, true));
    assert_eq!(effects(&revoke, &plan), [Effect::Discard { who: published.live().unwrap().to }]);
    let last = learn(&revoke, &plan, Fact::Discarded(NEW));
    assert_eq!(last.rotation.as_ref().unwrap().phase.outcome(), Some(Outcome::RolledBack));
    assert_eq!(last.current, Some(old));
}

#[test]
fn only_another_value_in_the_same_place_leads_out_of_one_that_cannot_be_put_back() {
    let plan = in_place();
    let applied = rows(&plan, forward().into_iter().take(4)).pop().unwrap();
    let back = learn(&applied, &plan, Fact::Order(Order::Rollback));
    let beside = Plan { slots: Slots::Fixed(9), ..common::plan() };
    assert_eq!(start(&back, &beside, Timestamp(0)), Err(Refusal::Live));
    let over = start(&back, &plan, Timestamp(0)).unwrap();
    let live = over.live().unwrap();
    assert_eq!((live.to.slot, live.owed.clone()), (Slot(0), vec![applied.live().unwrap().to]));
    assert_eq!(check(&over, &plan), []);
    // The stores may point to what is owed: the way back writes them, however early it begins.
    let given_up = learn(&over, &plan, Fact::Order(Order::Rollback));
    assert!(matches!(given_up.live().unwrap().phase, Phase::Rollback(Undo::PutBack { pointers: Some(_) })));
}

#[test]
fn what_keeps_a_slot_of_its_own_is_still_watched_and_destroyed() {
    // A rollback of twins is superseded by a rotation in place: the owed one sits in the other slot.
    let twins = plan();
    let facts = [Fact::Sealed, Fact::Accepted(NEW), Fact::LoggedIn(NEW), pointed()];
    let mut row = start(&at_rest(), &twins, Timestamp(0)).unwrap();
    for fact in facts {
        row = learn(&row, &twins, fact);
    }
    row = learn(&row, &twins, Fact::Order(Order::Rollback));
    row = learn(&row, &twins, Fact::Pointed { store: store(), version: version("v3") });
    let plan = Plan { slots: Slots::Fixed(2), ..in_place() };
    let mut over = start(&row, &plan, Timestamp(0)).unwrap();
    let third = Generation(3);
    let moved = Fact::Pointed { store: store(), version: version("v4") };
    for fact in [Fact::Sealed, Fact::Accepted(third), Fact::LoggedIn(third), moved, adopted(4, true)] {
        over = learn(&over, &plan, fact);
    }
    let owed = Occupant { generation: NEW, slot: Slot(1), ..at_rest().current.unwrap() };
    assert!(effects(&over, &plan).contains(&Effect::CountUse { of: vec![owed] }));
    for now_s in [0, 5, 10] {
        over = learn_at(&over, &plan, now_s, Fact::Use(Tally::None)).unwrap();
    }
    let mark = Mark { generation: third, version: over.version };
    let old = at_rest().current.unwrap();
    assert_eq!(effects(&over, &plan), [Effect::ProveRefused { who: old }, Effect::EnsureRefused { who: owed, mark }]);
}
