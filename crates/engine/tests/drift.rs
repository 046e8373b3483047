//! What somebody else writes to a store while nothing rotates.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use handover_core::{FaultKind, Outcome, Phase};
use handover_engine::history::{DRIFT_OVER, DRIFTED};
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
