//! Values that are written over each other in one slot.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use common::*;
use handover_core::{FaultKind, Generation, Order, Outcome, Row};
use handover_testkit::fake::Injection;

#[tokio::test(start_paused = true)]
async fn a_value_is_replaced_in_place_and_put_back_by_a_rollback() {
    let world = World::in_place();
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    assert_eq!(process.rotate().await, Outcome::Success);
    world.assert_at_rest();
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
    process.until("return").await;
    world.consumers.follow(&world.stores[&store_id("s0")]);
    assert_eq!(process.until_done().await, Outcome::RolledBack);
    world.assert_at_rest();
    let row = world.row();
    assert_eq!(row.current.map(|current| current.generation), Some(Generation(2)));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_value_that_the_target_does_not_take_back_is_written_over_by_another() {
    let world = World::in_place();
    let process = world.start().await;
    process.rotate().await;
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    process.script.always("target.create", Injection::Refuse(untouched(FaultKind::Rejected)));
    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
    let refused = |row: &Row| row.live().is_some_and(|live| live.trouble == Some(FaultKind::Rejected));
    process.until_row("the refusal", refused).await;
    process.script.heal("target.create");
    world.consumers.follow(&world.stores[&store_id("s0")]);
    process.handle.supersede(&group("db"), "tester", "the old value is not taken back").await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    process.stop().await;
}
