//! The planner refuses what cannot end well, and says all that stands in the way.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{at_rest, learn, plan as fixed, policy, rows, started, store};
use handover_core::{
    Census, Fact, Fault, FaultKind, Minter, Obstacle, Order, Policy, Row, SeesUse, Slots, StoreCapability, Strategy,
    TargetCapability, Violation, check, plan,
};

fn census(row: &Row) -> Census<'_> {
    let target = TargetCapability {
        slots: Slots::Fixed(2),
        sees_use: SeesUse::Sampled,
        fences: true,
        verifies_rights: true,
        minter: Minter::Us,
    };
    let shelf = StoreCapability { stages: true, fences: true, versions_max: None, shared: false };
    Census {
        row,
        target,
        foreign: 0,
        findings: Vec::new(),
        stores: BTreeMap::from([(store(), shelf)]),
        policy_digest: "digest".to_owned(),
    }
}

#[test]
fn two_slots_give_dual_write() {
    let row = at_rest();
    let made = plan(&policy(), &census(&row)).unwrap();
    assert_eq!(made.strategy, Strategy::DualWrite);
    assert_eq!(made.policy_digest, "digest");
}

#[test]
fn every_obstacle_is_told_at_once() {
    let row = at_rest();
    let mut world = census(&row);
    world.target = TargetCapability {
        slots: Slots::Fixed(1),
        sees_use: SeesUse::No,
        fences: false,
        verifies_rights: false,
        minter: Minter::Us,
    };
    let asked = Policy { strategy: Some(Strategy::DualWrite), ..policy() };
    assert!(plan(&asked, &world).unwrap_err().contains(&Obstacle::Slots { needed: 2, there: 1 }));
    world.target.slots = Slots::Fixed(2);
    let finding = Fault::untouched(FaultKind::ReadOnly, "the endpoint is a replica");
    world.findings.push(finding.clone());
    world.stores.insert(store(), StoreCapability { stages: false, fences: false, versions_max: None, shared: false });
    let mut asked = Policy { strategy: Some(Strategy::Staged), ..policy() };
    asked.presenters = false;
    asked.passes_min = 0;
    let obstacles = plan(&asked, &world).unwrap_err();
    for expected in [
        Obstacle::TargetDoesNotFence,
        Obstacle::StoreDoesNotFence(store()),
        Obstacle::StoreDoesNotStage(store()),
        Obstacle::NoEvidence,
        Obstacle::QuietTooShort,
        Obstacle::Found(finding),
    ] {
        assert!(obstacles.contains(&expected), "{expected:?} is missing from {obstacles:?}");
    }
    assert!(
        obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Policy(words) if words.contains("passes_min")))
    );
    world.stores.clear();
    assert!(plan(&asked, &world).unwrap_err().contains(&Obstacle::NoStore));
}

#[test]
fn strategies_that_are_not_built_are_refused_by_name() {
    let row = at_rest();
    let asked = Policy { strategy: Some(Strategy::BlueGreen), ..policy() };
    assert_eq!(plan(&asked, &census(&row)), Err(vec![Obstacle::NotBuilt(Strategy::BlueGreen)]));
}

#[test]
fn the_default_strategy_follows_what_target_and_stores_can() {
    let (row, lax) = (at_rest(), Policy { accept_outage: true, ..policy() });
    let made = |slots, stages| {
        let mut world = census(&row);
        world.target.slots = slots;
        world.stores.values_mut().for_each(|store| store.stages = stages);
        plan(&lax, &world).map(|plan| (plan.strategy, plan.replaces_in_place()))
    };
    assert_eq!(made(Slots::Fixed(2), true), Ok((Strategy::DualWrite, false)));
    assert_eq!(made(Slots::Fresh, true), Ok((Strategy::DualWrite, false)));
    assert_eq!(made(Slots::Nowhere, true), Ok((Strategy::Staged, false)));
    assert_eq!(made(Slots::Nowhere, false), Ok((Strategy::DualWrite, false)));
    assert_eq!(made(Slots::Fixed(1), true), Ok((Strategy::Staged, true)));
    assert_eq!(made(Slots::Fixed(1), false), Ok((Strategy::Immediate, true)));
    let mut world = census(&row);
    world.target.slots = Slots::Fixed(1);
    assert_eq!(plan(&policy(), &world), Err(vec![Obstacle::Outage]), "one value is written over another");
}

#[test]
fn replacing_in_place_has_to_be_accepted_and_needs_one_slot_and_no_evidence() {
    let row = at_rest();
    let asked = Policy { strategy: Some(Strategy::Immediate), ..policy() };
    assert_eq!(plan(&asked, &census(&row)), Err(vec![Obstacle::Outage]));
    let accepted = Policy { accept_outage: true, passes_min: 0, ..asked };
    let mut world = census(&row);
    world.target.slots = Slots::Fixed(1);
    world.target.sees_use = SeesUse::No;
    let made = plan(&accepted, &world).unwrap();
    assert_eq!((made.strategy, made.passes_min), (Strategy::Immediate, 0));
    let beside = Policy { strategy: None, ..accepted };
    world.target.slots = Slots::Fixed(2);
    world.target.sees_use = SeesUse::Counted;
    assert!(
        matches!(plan(&beside, &world).unwrap_err()[..], [Obstacle::Policy(words)] if words.contains("accept_outage"))
    );
}

#[test]
fn a_live_rotation_is_in_the_way_unless_it_can_be_superseded() {
    let fixed = fixed();
    let live = started(&fixed);
    assert_eq!(plan(&policy(), &census(&live)), Err(vec![Obstacle::Live]));
    let published = rows(&fixed, 4).pop().unwrap();
    let mut back = learn(&published, &fixed, Fact::Order(Order::Rollback));
    let pointed = Fact::Pointed { store: store(), version: common::version("v3") };
    back = learn(&back, &fixed, pointed);
    assert_eq!(plan(&policy(), &census(&back)), Err(vec![Obstacle::Slots { needed: 3, there: 2 }]));
    let mut roomy = census(&back);
    roomy.target.slots = Slots::Fixed(3);
    assert!(plan(&policy(), &roomy).is_ok());
}

#[test]
fn check_names_what_a_row_breaks() {
    let fixed = fixed();
    let mut shared = started(&fixed);
    shared.rotation.as_mut().unwrap().to.slot = handover_core::Slot(0);
    assert!(matches!(check(&shared, &fixed)[..], [Violation::SlotShared(_, _)]));
    let mut older = started(&fixed);
    older.rotation.as_mut().unwrap().to.generation = handover_core::Generation(1);
    assert!(check(&older, &fixed).contains(&Violation::GenerationOrder));
    let mut unpublished = rows(&fixed, 3).pop().unwrap();
    let mut elsewhere = fixed.clone();
    elsewhere.stores.insert(handover_core::StoreId::parse("backup").unwrap());
    assert!(matches!(check(&unpublished, &elsewhere)[..], [Violation::Pointers(_)]));
    unpublished.publication = handover_core::Publication(0);
    assert!(check(&unpublished, &fixed).contains(&Violation::NoPublication));
    let mut other = started(&fixed);
    other.current = None;
    assert_eq!(check(&other, &fixed), [Violation::Current]);
}

#[test]
fn a_provider_that_mints_needs_room_and_has_no_brake() {
    let row = at_rest();
    let mut world = census(&row);
    world.target.minter = Minter::Provider;
    world.target.fences = false;
    assert_eq!(plan(&policy(), &world).unwrap().minter, Minter::Provider, "labels fence it");
    let braked = Policy { brake_for: Duration::from_secs(1), ..policy() };
    assert_eq!(plan(&braked, &world), Err(vec![Obstacle::NoBrake]));
    world.foreign = 1;
    assert_eq!(plan(&policy(), &world), Err(vec![Obstacle::Taken { foreign: 1, there: 2 }]));
    world.target.slots = Slots::Fixed(3);
    assert!(plan(&policy(), &world).is_ok());
}
