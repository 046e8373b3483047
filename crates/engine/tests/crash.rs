//! A process that dies at every edge of every call, and the next one that goes on.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use common::*;
use handover_core::{FaultKind, Generation, Order, Outcome, Slot};
use handover_engine::history;
use handover_testkit::fake::{Injection, Script};

/// Far more edges than any run here has.
const EDGES_MAX: u64 = 5_000;

#[derive(Clone, Copy, Debug)]
enum Run {
    First,
    Second,
    RolledBack,
    Replaced,
    PutBack,
}

impl Run {
    const fn is_in_place(self) -> bool {
        matches!(self, Self::Replaced | Self::PutBack)
    }

    fn world(self) -> World {
        if self.is_in_place() { World::in_place() } else { World::new() }
    }

    /// What is published is accepted, but where one value is written over another.
    fn judge(self, world: &World) {
        if !self.is_in_place() {
            world.assert_served();
        }
    }
}

/// Lets a process die at an edge; `false` if the run ended before it was reached.
async fn die_at(run: Run, edge: u64) -> bool {
    let world = run.world();
    if !matches!(run, Run::First) {
        let process = world.start().await;
        process.rotate().await;
        process.stop().await;
    }
    if matches!(run, Run::PutBack) {
        world.consumers.stop();
    }
    world.state.free_lease();
    let script = Script::default();
    script.die_at(edge);
    let begun = async {
        let process = world.start_scripted(&script).await;
        if process.handle.rotate(&group("db"), "tester").await.is_ok() {
            match run {
                Run::First | Run::Second | Run::Replaced => drop(process.until_done().await),
                Run::PutBack => {
                    process.until("propagate").await;
                    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
                    world.consumers.follow(&world.stores[&store_id("s0")]);
                    process.until_done().await;
                }
                Run::RolledBack => {
                    process.until("disable").await;
                    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
                    process.until_done().await;
                }
            }
        }
        process
    };
    let ended = tokio::select! {
        () = script.died() => None,
        process = begun => Some(process),
    };
    run.judge(&world);
    world.consumers.follow(&world.stores[&store_id("s0")]);
    if let Some(process) = ended {
        process.kill().await;
        return false;
    }
    restart(&world, run, edge).await;
    true
}

/// The next process finishes what was begun, and starts nothing.
async fn restart(world: &World, run: Run, edge: u64) {
    let before = world.state.row(&group("db"));
    let minted = world.state.sealed(&group("db")).len();
    let process = world.start().await;
    let Some(live) = before.as_ref().and_then(|row| row.live()) else {
        // Nothing was begun, or all was done: a start changes nothing and starts nothing.
        drop(process.handle.view(&group("db")).await.unwrap());
        process.stop().await;
        assert_eq!(world.state.row(&group("db")), before, "{run:?}, edge {edge}: a start began something");
        return;
    };
    if matches!(run, Run::RolledBack | Run::PutBack) && live.cause.is_none() {
        process.handle.order(&group("db"), Order::Rollback, "tester", None).await.ok();
    }
    let outcome = process.until_done().await;
    run.judge(world);
    world.assert_at_rest();
    let row = world.row();
    assert_eq!(row.last_generation, before.unwrap().last_generation, "{run:?}, edge {edge}: another generation");
    let rotation = row.rotation.unwrap();
    if outcome == Outcome::Success {
        assert_eq!(rotation.to.candidate.0, 1, "{run:?}, edge {edge}: a second candidate was minted ({minted})");
    }
    assert_eq!(process.rotate().await, Outcome::Success, "{run:?}, edge {edge}: the next rotation");
    world.assert_at_rest();
    process.kill().await;
}

async fn at_every_edge(run: Run) {
    let mut reached = 0;
    for edge in 1..EDGES_MAX {
        if !die_at(run, edge).await {
            break;
        }
        reached = edge;
    }
    assert!((50..EDGES_MAX - 1).contains(&reached), "{run:?}: {reached} edges");
}

#[tokio::test(start_paused = true)]
async fn a_first_rotation_survives_a_death_at_every_edge() {
    at_every_edge(Run::First).await;
}

#[tokio::test(start_paused = true)]
async fn a_rotation_survives_a_death_at_every_edge() {
    at_every_edge(Run::Second).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_survives_a_death_at_every_edge() {
    at_every_edge(Run::RolledBack).await;
}

#[tokio::test(start_paused = true)]
async fn a_value_written_over_another_survives_a_death_at_every_edge() {
    at_every_edge(Run::Replaced).await;
}

#[tokio::test(start_paused = true)]
async fn putting_a_value_back_survives_a_death_at_every_edge() {
    at_every_edge(Run::PutBack).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_probes_before_it_acts() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.script.always("target.create", Injection::HangAfter);
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("apply").await;
    until("both twins", || world.target.accepting() == 2).await;
    process.kill().await;
    let process = world.start().await;
    assert_eq!(process.until_done().await, Outcome::Success);
    assert_eq!(process.script.calls("target.create"), 0, "the label told that it had landed");
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_without_this_rotations_mark_is_written_whatever_it_looks_like() {
    for (call, word) in [("target.disable", "disable"), ("target.destroy", "destroy")] {
        let world = World::new();
        let process = world.start().await;
        process.rotate().await;
        process.script.always(call, Injection::Hang);
        process.handle.rotate(&group("db"), "tester").await.unwrap();
        process.until(word).await;
        process.kill().await;
        // Somebody did by hand what we want, and left the mark of the rotation before.
        world.target.set_as_by_other(Slot(0), Generation(1), word == "disable");
        let process = world.start().await;
        assert_eq!(process.until_done().await, Outcome::Success);
        let written = world.target.writes().iter().filter(|(name, ..)| *name == call).count();
        assert_eq!(written, 1, "{call}: without a mark of ours nothing refuses a late write");
        process.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_mark_is_told_by_login() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.script.once("target.create", Injection::LoseReply(unknown(FaultKind::Unreachable)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.script.always("target.census", Injection::Refuse(untouched(FaultKind::Unreachable)));
    process.until_fault(FaultKind::Unreachable).await;
    process.kill().await;
    let process = world.start().await;
    assert_eq!(process.until_done().await, Outcome::Success);
    assert_eq!(process.script.calls("target.create"), 0);
    // One for what the label did not tell, one for the proof of refusal.
    assert_eq!(process.script.calls("target.probe"), 2);
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_without_unfinished_work_touches_nothing() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.stop().await;
    let (commits, writes) = (world.state.commits(&group("db")).len(), world.target.writes().len());
    let process = world.start().await;
    for _ in 0..20 {
        tokio::time::sleep(world.options.sweep_every).await;
    }
    assert!(process.script.log().iter().all(|call| call.starts_with("state.")), "{:?}", process.script.log());
    assert_eq!((world.state.commits(&group("db")).len(), world.target.writes().len()), (commits, writes));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_an_answer_is_read_back() {
    for injection in [
        Injection::LoseReply(unknown(FaultKind::Storage)),
        Injection::Refuse(unknown(FaultKind::Storage)),
        Injection::HangAfter,
        Injection::Hang,
        Injection::Refuse(untouched(FaultKind::Storage)),
    ] {
        for nth in 1..12 {
            let world = World::new();
            let process = world.start().await;
            process.rotate().await;
            process.handle.rotate(&group("db"), "tester").await.unwrap();
            let before = process.script.calls("state.commit");
            while process.script.calls("state.commit") < before + nth - 1 && world.row().live().is_some() {
                tokio::time::timeout(LIMIT, process.handle.events().recv()).await.unwrap().unwrap();
            }
            process.script.once("state.commit", injection.clone());
            assert_eq!(process.until_done().await, Outcome::Success, "{injection:?} at {nth}");
            process.script.heal("state.commit");
            world.assert_at_rest();
            assert_eq!(world.row().last_generation, Generation(2));
            process.kill().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_engine_is_fenced_and_does_no_harm() {
    for phase in ["apply", "verify", "publish", "propagate", "drain", "disable", "destroy"] {
        let world = World::new();
        let first = world.start().await;
        first.rotate().await;
        let slow = match phase {
            "apply" => "target.create",
            "verify" => "target.verify",
            "publish" => "store.point",
            "propagate" => "consumers.roll_call",
            "drain" => "target.observe",
            "disable" => "target.disable",
            _ => "target.destroy",
        };
        // The first engine is slow with what this phase wants, and by then another one holds the lease.
        let wait = world.options.call_deadline.mul_f32(0.9);
        first.script.always(slow, Injection::Delay(wait));
        first.handle.rotate(&group("db"), "tester").await.unwrap();
        first.until(phase).await;
        let second = world.start().await;
        assert_eq!(second.until_done().await, Outcome::Success, "{phase}");
        world.assert_at_rest();
        assert_eq!(second.rotate().await, Outcome::Success, "{phase}");
        tokio::time::sleep(wait).await;
        world.assert_at_rest();
        assert_eq!(world.row().last_generation, Generation(3), "{phase}");
        let started = first.handle.rotate(&group("db"), "tester").await;
        assert!(started.is_err(), "{phase}: without the lease nothing is started: {started:?}");
        first.kill().await;
        second.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_takes_up_work_again_when_it_gets_the_lease_back() {
    let world = World::new();
    let first = world.start().await;
    first.rotate().await;
    world.consumers.stop();
    first.handle.rotate(&group("db"), "tester").await.unwrap();
    first.until("propagate").await;
    let second = world.start().await;
    second.handle.order(&group("db"), Order::Hold, "tester", None).await.unwrap();
    second.handle.order(&group("db"), Order::Resume, "tester", None).await.unwrap();
    second.kill().await;
    world.state.free_lease();
    world.consumers.follow(&world.stores[&store_id("s0")]);
    assert_eq!(first.until_done().await, Outcome::Success);
    world.assert_at_rest();
    assert_eq!(history::row_word(&world.row()), "done");
    first.stop().await;
}
