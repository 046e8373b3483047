//! What groups have to do with each other: nothing. Outbox and drain.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::time::Duration;

use common::*;
use handover_core::{FaultKind, Order, Outcome};
use handover_engine::{Binding, history};
use handover_testkit::fake::{FakeSink, FakeTarget, Injection, Script};

fn world_of(groups: usize) -> World {
    let mut world = World::new();
    world.groups = (0..groups).map(|index| group(&format!("g{index}"))).collect();
    world.policy.presenters = false;
    world
}

/// Every group with a target of its own; those of `hung` never answer.
fn bindings(world: &World, script: &Script, hung: &Script, which: impl Fn(usize) -> bool) -> Vec<Binding> {
    let each = world.groups.iter().enumerate();
    each.map(|(index, group)| {
        let target = FakeTarget::new(script, handover_core::Slots::Fixed(2));
        if which(index) {
            world.binding(group, "black-hole", &target.seen_by(hung), script)
        } else {
            world.binding(group, &format!("t{}", index % 4), &target, script)
        }
    })
    .collect()
}

/// F06: other groups are not delayed.
#[tokio::test(start_paused = true)]
async fn a_silent_target_delays_no_other_group() {
    let mut took = Vec::new();
    for hanging in [false, true] {
        let world = world_of(200);
        let (script, hung) = (Script::default(), Script::default());
        let process =
            world.start_bound(&script, bindings(&world, &script, &hung, |index| hanging && index % 2 == 0)).await;
        for group in &world.groups {
            process.handle.rotate(group, "tester").await.unwrap();
        }
        for call in ["target.create", "target.verify", "target.census", "target.probe", "target.observe"] {
            hung.always(call, Injection::Hang);
        }
        let started = tokio::time::Instant::now();
        for group in world.groups.iter().skip(1).step_by(2) {
            process.until_row_of(group, "the end", |row| history::row_word(row) == "done").await;
        }
        took.push(started.elapsed());
        process.kill().await;
    }
    assert!(took[1] <= took[0] + Duration::from_secs(1), "alone {:?}, beside a black hole {:?}", took[0], took[1]);
}

#[tokio::test(start_paused = true)]
async fn an_order_does_not_wait_for_a_silent_target() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.script.once("target.create", Injection::Hang);
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("apply").await;
    let asked = tokio::time::Instant::now();
    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert_eq!(process.until_done().await, Outcome::RolledBack);
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_group_is_tried_ever_less_often() {
    let world = World::new();
    let process = world.start().await;
    process.script.always("target.create", Injection::Refuse(untouched(FaultKind::Unreachable)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    let mut events = process.handle.events();
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_secs(3_600) {
        events.recv().await.unwrap();
        // Hints hurry nothing: a chatty consumer is no reason to try again.
        process.handle.wake(&group("db"));
        assert!(process.script.calls("target.create") < 1_000, "it is tried without a pause");
    }
    let tries = process.script.calls("target.create");
    assert!((55..140).contains(&tries), "{tries} tries in an hour with at most a minute in between");
    let faulted = world.events().iter().filter(|line| line.starts_with(history::FAULTED)).count();
    assert_eq!(faulted, 1, "the same trouble is one line of history, not one a try");
    process.script.heal("target.create");
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_outbox_delivers_all_in_order_through_failures_of_one_sink() {
    let mut world = World::new();
    let script = Script::default();
    world.options.outbox_batch_max = 3;
    world.sinks = vec![FakeSink::new(&script, "good", "good.deliver"), FakeSink::new(&script, "bad", "bad.deliver")];
    script.always("bad.deliver", Injection::Hang);
    script.once("good.deliver", Injection::LoseReply(unknown(FaultKind::Unreachable)));
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    let all = || world.state.history().len() as u64;
    until("all records", || world.state.cursor_of("good") == all()).await;
    assert_eq!(world.state.cursor_of("bad"), 0);
    script.heal("bad.deliver");
    until("all records", || world.state.cursor_of("bad") == all()).await;
    for sink in &world.sinks {
        let mut positions: Vec<_> = sink.records().iter().map(|record| record.position).collect();
        positions.dedup();
        let mut distinct = positions.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct, (1..=all()).collect::<Vec<_>>(), "each record arrives at least once");
    }
    let bad: Vec<_> = world.sinks[1].records().iter().map(|record| record.position).collect();
    assert!(bad.is_sorted(), "in order: {bad:?}");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn drain_finishes_what_runs_and_the_next_start_goes_on() {
    let mut world = World::new();
    let script = Script::default();
    world.sinks = vec![FakeSink::new(&script, "audit", "audit.deliver")];
    let process = world.start().await;
    process.script.once("target.create", Injection::Delay(Duration::from_secs(5)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("apply").await;
    process.stop().await;
    assert_eq!(history::row_word(&world.row()), "verify", "the running call was finished and recorded");
    assert_eq!(world.state.cursor_of("audit"), world.state.history().len() as u64, "and delivered");
    let process = world.start().await;
    assert_eq!(process.until_done().await, Outcome::Success);
    assert_eq!(process.script.calls("target.create"), 0);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn drain_has_a_limit() {
    let mut world = World::new();
    world.options.call_deadline = Duration::from_secs(3_600);
    let process = world.start().await;
    process.script.always("target.create", Injection::Hang);
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("apply").await;
    let asked = tokio::time::Instant::now();
    process.stop().await;
    assert!(asked.elapsed() <= world.options.drain_limit + Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_state_store_that_fails_at_the_start_is_asked_again() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    process.kill().await;
    world.consumers.follow(&world.stores[&store_id("s0")]);
    world.state.free_lease();
    let script = Script::default();
    for _ in 0..3 {
        script.once("state.due", Injection::Refuse(untouched(FaultKind::Storage)));
        script.once("state.load", Injection::Refuse(untouched(FaultKind::Storage)));
    }
    let process = world.start_scripted(&script).await;
    until("the end", || world.row().live().is_none()).await;
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}
