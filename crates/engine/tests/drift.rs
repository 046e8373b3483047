//! What somebody else changes at a store or a target while nothing rotates.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use handover_core::{Course, Doubt, FaultKind, Obstacle, Outcome, Phase};
use handover_engine::history::{DRIFT_OVER, DRIFTED};
use handover_engine::{RecoverRequest, StartRefused};
use handover_secret::Secret;
use tokio::time::Instant;

use crate::common::{World, group, store_id, until};

/// How often an event was told.
fn told(world: &World, event: &str) -> usize {
    world.events().iter().filter(|line| line.starts_with(event)).count()
}

/// F86: it is told once within the interval, stays, and is told again only when it is another one.
#[tokio::test(start_paused = true)]
async fn what_others_write_at_rest_is_told_and_left_alone() {
    let mut world = World::new();
    let shared = store_id("s1");
    let store = world.stores[&shared].clone().shared();
    world.stores.insert(shared, store.clone());
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(told(&world, DRIFTED), 0, "what we published is no drift");
    for number in 1..=2 {
        store.write_by_other(&group("db"), Secret::from_text("of somebody else".to_owned()));
        let since = Instant::now();
        until("drift", || told(&world, DRIFTED) == number).await;
        assert!(since.elapsed() <= world.options.drift_every + Duration::from_secs(1), "{:?}", since.elapsed());
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(told(&world, DRIFTED), number, "once");
    }
    assert!(store.published(&group("db")).is_none(), "nobody wrote over it");
    let view = process.handle.view(&group("db")).await.unwrap();
    assert_eq!(view.drift.map(|seen| seen.fault.kind), Some(FaultKind::Conflict));
    assert!(view.faults.iter().any(|seen| seen.effect == "drift" && seen.fault.kind == FaultKind::Conflict));
    // The next rotation holds there until a person says that it may be written over.
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until_row("a hold", |row| row.live().is_some_and(|live| live.hold.is_some())).await;
    process.handle.order(&group("db"), handover_core::Order::Resume, "tester", None).await.unwrap();
    let view = process.until_row("success", |row| row.live().is_none()).await;
    assert_eq!(view.row.rotation.unwrap().phase, Phase::Done(Outcome::Success));
    until("the end of drift", || told(&world, DRIFT_OVER) == 1).await;
    assert!(process.handle.view(&group("db")).await.unwrap().drift.is_none());
    // A store that nobody else writes to is not looked at.
    world.stores[&store_id("s0")].write_by_other(&group("db"), Secret::from_text("x".to_owned()));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(told(&world, DRIFTED), 2);
}

/// F87: it is told within the interval, and nothing is rotated on top of it before it is recovered: set again, or taken on.
#[tokio::test(start_paused = true)]
async fn what_others_change_at_the_target_is_told_and_not_rotated_over() {
    let world = World::new();
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    tokio::time::sleep(world.options.login_every * 3).await;
    assert_eq!((world.target.logins_refused(), told(&world, "doubted")), (0, 0), "what we set is let in");

    // Asked for at once, the start looks for itself.
    let slot = process.handle.view(&group("db")).await.unwrap().row.current.unwrap().slot;
    world.target.tamper(slot, Secret::from_text("of a hurried administrator".to_owned()));
    let refused = process.handle.rotate(&group("db"), "tester").await.unwrap_err();
    let changed = |obstacle: &Obstacle| *obstacle == Obstacle::Doubted(Doubt::TargetChanged);
    assert!(matches!(&refused, StartRefused::Obstacles(all) if all.iter().any(changed)), "{refused:?}");
    // Nobody asks: it is noticed, once, by one more login.
    tokio::time::sleep(world.options.login_every * 3).await;
    assert_eq!(told(&world, "doubted"), 1);
    let doubted = process.handle.view(&group("db")).await.unwrap().row;
    assert_eq!(doubted.doubt, Some(Doubt::TargetChanged));

    let recovered = process.handle.recover(&group("db"), RecoverRequest::default(), "tester").await.unwrap();
    assert_eq!((recovered.course, recovered.row.doubt), (Course::Reasserts, None));
    world.assert_served();
    assert_eq!(process.rotate().await, Outcome::Success);

    // The same again, and what was set by hand is kept: it is published under the same generation.
    let slot = process.handle.view(&group("db")).await.unwrap().row.current.unwrap().slot;
    let by_hand = || Secret::from_text("of a second administrator".to_owned());
    world.target.tamper(slot, by_hand());
    until("doubt", || told(&world, "doubted") == 2).await;
    let request = RecoverRequest { value: Some(by_hand()), ..RecoverRequest::default() };
    let recovered = process.handle.recover(&group("db"), request, "tester").await.unwrap();
    assert_eq!(recovered.course, Course::Follows);
    process.until_row("its publication", |row| row.live().is_none()).await;
    assert!(world.published("s0").is_some_and(|value| value.matches(&by_hand())));
    assert_eq!(process.rotate().await, Outcome::Success);
}
