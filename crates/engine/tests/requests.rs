//! Requests with a key are carried out once, however often they are sent.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use common::*;
use handover_core::{Generation, Order, Refusal};
use handover_engine::{Asker, OrderRefused, RequestKey, StartRefused, history};

fn key(name: &str, digest: u8) -> RequestKey {
    RequestKey::parse(name, [digest; 32]).unwrap()
}

fn asker<'a>(actor: &'a str, key: &'a RequestKey) -> Asker<'a> {
    Asker { actor, key: Some(key) }
}

fn lines(world: &World, event: &str) -> usize {
    world.events().iter().filter(|line| line.starts_with(event)).count()
}

#[tokio::test(start_paused = true)]
async fn a_repeated_start_gets_the_first_answer() {
    let world = World::new();
    let process = world.start().await;
    let (db, first, other) = (group("db"), key("k1", 1), key("k1", 2));
    assert_eq!(process.handle.rotate(&db, asker("anna", &first)).await, Ok(Generation(1)));
    assert_eq!(process.handle.rotate(&db, asker("anna", &first)).await, Ok(Generation(1)), "while it is live");
    process.until_done().await;
    assert_eq!(process.handle.rotate(&db, asker("anna", &first)).await, Ok(Generation(1)), "when it has ended");
    assert_eq!(process.handle.rotate(&db, asker("anna", &other)).await, Err(StartRefused::OtherRequest));
    assert_eq!(lines(&world, history::STARTED), 1);
    process.stop().await;

    let process = world.start().await;
    assert_eq!(process.handle.rotate(&db, asker("anna", &first)).await, Ok(Generation(1)), "after a restart");
    assert_eq!(
        process.handle.rotate(&db, asker("bert", &first)).await,
        Ok(Generation(2)),
        "keys are each caller's own"
    );
    process.until_done().await;
    let next = key("k2", 1);
    assert_eq!(process.handle.rotate(&db, asker("anna", &next)).await, Ok(Generation(3)), "another key, another order");
    process.until_done().await;
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sent_twice_at_once_it_is_carried_out_once() {
    let world = World::new();
    let process = world.start().await;
    let (db, once) = (group("db"), key("k1", 1));
    let send = || process.handle.rotate(&db, asker("anna", &once));
    assert_eq!(tokio::join!(send(), send(), send()), (Ok(Generation(1)), Ok(Generation(1)), Ok(Generation(1))));
    process.until_done().await;
    assert_eq!(lines(&world, history::STARTED), 1);

    world.target.set_sessions(Generation(1), 1);
    process.handle.rotate(&db, "anna").await.unwrap();
    process.until("drain").await;
    let held = key("k2", 1);
    let hold = || process.handle.order(&db, Order::Hold, asker("anna", &held), None);
    assert_eq!(tokio::join!(hold(), hold(), hold()), (Ok(()), Ok(()), Ok(())));
    assert_eq!(lines(&world, history::ORDERED), 1);
    process.handle.order(&db, Order::Resume, "anna", None).await.unwrap();
    hold().await.unwrap();
    let row = world.state.row(&db).unwrap();
    assert!(row.live().unwrap().hold.is_none(), "a late repeat does not hold it again");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_remembered() {
    let world = World::new();
    let process = world.start().await;
    let (db, once) = (group("db"), key("k1", 1));
    let hold = || process.handle.order(&db, Order::Hold, asker("anna", &once), None);
    assert_eq!(hold().await, Err(OrderRefused::Refused(Refusal::NotLive)));
    process.rotate().await;
    world.target.set_sessions(Generation(1), 1);
    process.handle.rotate(&db, "anna").await.unwrap();
    process.until("drain").await;
    assert_eq!(hold().await, Ok(()), "now it applies");
    process.stop().await;
}
