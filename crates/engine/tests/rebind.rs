//! Another configuration while the engine runs: what changes, and above all what does not.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use handover_core::port::Sink;
use handover_core::{FaultKind, Outcome, Role, Slots};
use handover_engine::{Rebind, RebindRefused, RecoverRefused, RecoverRequest, StartRefused, history};
use handover_testkit::fake::{FakeSink, FakeTarget, Injection, Script};

fn bound(world: &World, script: &Script) -> Rebind {
    Rebind { bindings: vec![world.binding(&group("db"), "db", &world.target, script)], ..Rebind::default() }
}

fn removing(name: &str) -> Rebind {
    Rebind { removed: vec![group(name)], ..Rebind::default() }
}

fn sinks(sinks: &[&Arc<dyn Sink>]) -> Rebind {
    Rebind { sinks: sinks.iter().map(|sink| Arc::clone(sink)).collect(), ..Rebind::default() }
}

#[tokio::test(start_paused = true)]
async fn a_live_rotation_goes_on_at_once_by_its_plan_with_the_new_binding() {
    let mut world = World::new();
    let process = world.start().await;
    process.script.always("target.create", Injection::Refuse(untouched(FaultKind::Unauthenticated)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until_fault(FaultKind::Unauthenticated).await;
    let planned = process.handle.view(&group("db")).await.unwrap().plan.unwrap();
    // Another policy comes with it: it is for the next rotation.
    world.policy.quiet_min = Duration::from_secs(7_200);
    let (mended, asked) = (Script::default(), tokio::time::Instant::now());
    process.handle.rebind(bound(&world, &mended)).await.unwrap();
    process.until_row("the phase after", |row| history::row_word(row) == "verify").await;
    assert_eq!(asked.elapsed(), Duration::ZERO, "the wait after a failure is over");
    let tries = process.script.calls("target.create");
    assert_eq!(process.until_done().await, Outcome::Success);
    assert_eq!(process.script.calls("target.create"), tries, "the old binding is not used any more");
    let view = process.handle.view(&group("db")).await.unwrap();
    assert_eq!(view.plan.unwrap(), planned, "it kept the plan that it started with");
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    let next = process.handle.view(&group("db")).await.unwrap().plan.unwrap();
    assert_eq!(next.quiet_min, Duration::from_secs(7_200));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_ends_on_the_old_binding_and_is_looked_for_on_the_new_one() {
    let world = World::new();
    let process = world.start().await;
    process.script.once("target.create", Injection::Delay(Duration::from_secs(5)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    until("the call", || process.script.calls("target.create") == 1).await;
    let script = Script::default();
    process.handle.rebind(bound(&world, &script)).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    assert_eq!(script.calls("target.create"), 0, "it was done, and was found");
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_record_is_compared_with_the_new_binding_and_a_target_that_knows_nothing_of_it_is_not_written_to() {
    let world = World::new();
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    let (script, other) = (Script::default(), FakeTarget::new(&Script::default(), Slots::Fixed(2)));
    let binding = world.binding(&group("db"), "other", &other.seen_by(&script), &script);
    process.handle.rebind(Rebind { bindings: vec![binding], ..Rebind::default() }).await.unwrap();
    world.consumers.follow(&world.stores[&store_id("s0")]);
    process.until_fault(FaultKind::Missing).await;
    assert_eq!(script.calls("target.census"), 1, "as after a start");
    assert_eq!((other.accepting(), world.target.accepting()), (0, 2), "nothing was disabled anywhere");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_rotation_is_live_is_not_taken_away_and_nothing_else_changes() {
    let world = World::new();
    let process = world.start().await;
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    let other = world.binding(&group("other"), "db", &world.target, &Script::default());
    let refused = process.handle.rebind(Rebind { bindings: vec![other], ..removing("db") }).await;
    assert_eq!(refused, Err(RebindRefused::Live(vec![group("db")])));
    assert_eq!(process.handle.groups(), [group("db")]);
    let pinned = Rebind { at_rest: vec![group("db")], ..bound(&world, &process.script) };
    assert_eq!(process.handle.rebind(pinned).await, Err(RebindRefused::Live(vec![group("db")])));
    world.consumers.follow(&world.stores[&store_id("s0")]);
    assert_eq!(process.until_done().await, Outcome::Success);
    process.handle.rebind(removing("db")).await.unwrap();
    assert_eq!(process.handle.groups(), []);
    let refused = process.handle.rotate(&group("db"), "tester").await;
    assert_eq!(refused, Err(StartRefused::UnknownGroup(group("db"))));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_does_not_lose_its_binding_while_its_rotation_starts() {
    let world = World::new();
    let process = world.start().await;
    process.script.once("target.preflight", Injection::Delay(Duration::from_secs(5)));
    let handle = process.handle.clone();
    let starting = tokio::spawn(async move { handle.rotate(&group("db"), "tester").await });
    until("the look at the world", || process.script.calls("target.preflight") == 1).await;
    process.handle.rebind(removing("db")).await.unwrap();
    assert_eq!(starting.await.unwrap(), Err(StartRefused::UnknownGroup(group("db"))));
    assert_eq!(world.state.row(&group("db")), None, "nothing is live that has no target");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_does_not_lose_its_binding_while_it_is_recovered() {
    let world = World::new();
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    process.handle.doubt_all("tester", None).await.unwrap();
    let before = process.script.calls("target.census");
    process.script.once("target.census", Injection::Delay(Duration::from_secs(5)));
    let handle = process.handle.clone();
    let recovering =
        tokio::spawn(async move { handle.recover(&group("db"), RecoverRequest::default(), "tester").await });
    until("the look at the world", || process.script.calls("target.census") > before).await;
    process.handle.rebind(removing("db")).await.unwrap();
    assert_eq!(recovering.await.unwrap(), Err(RecoverRefused::UnknownGroup(group("db"))));
    assert_eq!(world.row().live(), None, "nothing is live that has no target");
    process.stop().await;
}

/// Else the values of a group that is configured again would be forgotten.
#[tokio::test(start_paused = true)]
async fn a_group_does_not_come_back_while_it_is_forgotten() {
    let world = World::new();
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    process.handle.rebind(removing("db")).await.unwrap();
    let removal = process.handle.removing(&group("db"), "tester", "a test").await.unwrap();
    let (handle, again) = (process.handle.clone(), bound(&world, &Script::default()));
    let coming = tokio::spawn(async move { handle.rebind(again).await });
    tokio::time::sleep(common::LIMIT).await;
    assert_eq!(process.handle.groups(), [], "it waits");
    process.handle.removed(&removal).await.unwrap();
    drop(removal);
    coming.await.unwrap().unwrap();
    assert_eq!((process.handle.groups(), world.state.row(&group("db"))), (vec![group("db")], None));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_comes_is_worked_on_and_an_unfinished_rotation_of_it_resumes() {
    let mut world = World::new();
    let process = world.start().await;
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    process.kill().await;
    world.consumers.follow(&world.stores[&store_id("s0")]);
    world.groups.clear();
    let process = world.start().await;
    assert_eq!(process.handle.groups(), []);
    let target = FakeTarget::new(&process.script, Slots::Fixed(2));
    world.consumers.expect(&group("new"), &consumer("app"), Role::Presenter);
    let mut rebind = bound(&world, &process.script);
    rebind.bindings.push(world.binding(&group("new"), "new", &target, &process.script));
    process.handle.rebind(rebind).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    process.handle.rotate(&group("new"), "tester").await.unwrap();
    process.until_row_of(&group("new"), "the end", |row| row.live().is_none() && row.current.is_some()).await;
    process.stop().await;
}

/// I7.
#[tokio::test(start_paused = true)]
async fn where_nothing_is_named_nobody_is_asked_and_nothing_is_written() {
    let world = World::new();
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    let (row, history) = (world.row(), world.events());
    let calls = |name: &str| process.script.calls(name);
    let all =
        ["target.create", "target.verify", "target.preflight", "target.census", "target.probe", "consumers.roll_call"];
    let before = all.map(calls);
    let mut events = process.handle.events();
    for _ in 0..10 {
        process.handle.rebind(Rebind::default()).await.unwrap();
    }
    // And a group at rest that is bound anew is only looked up.
    process.handle.rebind(bound(&world, &process.script)).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_secs(600), events.recv()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!((world.row(), world.events(), all.map(calls)), (row, history, before));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sinks_come_and_go_and_none_loses_its_place() {
    let world = World::new();
    let script = Script::default();
    let (stays, goes) = (FakeSink::new(&script, "stays", "stays"), FakeSink::new(&script, "goes", "goes"));
    let (one, two): (Arc<dyn Sink>, Arc<dyn Sink>) = (Arc::new(stays.clone()), Arc::new(goes.clone()));
    let process = world.start().await;
    process.rotate().await;
    process.handle.rebind(sinks(&[&one, &two])).await.unwrap();
    let all = || world.state.history().len() as u64;
    until("all that was there", || ["stays", "goes"].map(|name| world.state.cursor_of(name)) == [all(), all()]).await;
    process.handle.rebind(sinks(&[&one])).await.unwrap();
    let left_at = world.state.cursor_of("goes");
    process.rotate().await;
    until("the one that stayed", || world.state.cursor_of("stays") == all()).await;
    assert_eq!(world.state.cursor_of("goes"), left_at);
    assert_eq!(process.handle.sinks().len(), 1);
    // It returns as another object under its name.
    let again: Arc<dyn Sink> = Arc::new(goes.clone());
    process.handle.rebind(sinks(&[&one, &again])).await.unwrap();
    until("the one that returned", || world.state.cursor_of("goes") == all()).await;
    for sink in [&stays, &goes] {
        let positions: Vec<_> = sink.records().iter().map(|record| record.position).collect();
        assert_eq!(positions, (1..=all()).collect::<Vec<_>>(), "each record once and in order");
    }
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_objects_of_one_sink_do_not_deliver_at_the_same_time() {
    let world = World::new();
    let (slow, quick) = (Script::default(), Script::default());
    let old = FakeSink::new(&slow, "audit", "deliver");
    let new = FakeSink::new(&quick, "audit", "deliver");
    let process = world.start().await;
    slow.once("deliver", Injection::Delay(Duration::from_secs(5)));
    let (first, second): (Arc<dyn Sink>, Arc<dyn Sink>) = (Arc::new(old.clone()), Arc::new(new.clone()));
    process.handle.rebind(sinks(&[&first])).await.unwrap();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    until("a delivery that takes long", || slow.calls("deliver") == 1).await;
    process.handle.rebind(sinks(&[&second])).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    let all = || world.state.history().len() as u64;
    until("all records", || world.state.cursor_of("audit") == all()).await;
    let both = old.records().into_iter().chain(new.records());
    let positions: Vec<_> = both.map(|record| record.position).collect();
    assert_eq!(positions, (1..=all()).collect::<Vec<_>>(), "the new one goes on where the old one ended");
    assert_eq!(slow.calls("deliver"), 1);
    process.stop().await;
}
