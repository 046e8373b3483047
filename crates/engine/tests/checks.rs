//! Checks beside the target's own verification: whatever is not a pass is none.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::sync::Arc;

use common::*;
use handover_core::{
    Cause, Deadline, Fault, FaultKind, Generation, Hold, Moments, OnDeadline, Outcome, Policy, Stretch,
};
use handover_engine::Rebind;
use handover_testkit::fake::{FakeCheck, FakeFinding};

const BEFORE: Moments = Moments { before_publish: true, after_publish: false };
const AFTER: Moments = Moments { before_publish: false, after_publish: true };

/// A world with these checks, in which one rotation succeeded.
async fn rotated(checks: &[FakeCheck]) -> (World, Process) {
    let mut world = World::new();
    world.checks = checks.iter().map(|check| Arc::new(check.clone()) as _).collect();
    let moments = checks.iter().map(handover_core::port::Check::moments).collect();
    world.policy = Policy { checks: moments, ..policy() };
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    (world, process)
}

fn evidence(world: &World, result: &str) -> usize {
    let wanted = format!("(\"result\", \"{result}\")");
    let is = |event: &&String| event.starts_with("checked ") && event.contains(&wanted);
    world.events().iter().filter(is).count()
}

#[tokio::test(start_paused = true)]
async fn checks_are_made_at_their_moments_as_often_as_rounds_must_pass() {
    let (before, after) = (FakeCheck::new("before", BEFORE), FakeCheck::new("after", AFTER));
    let (world, process) = rotated(&[before.clone(), after.clone()]).await;
    assert_eq!(before.asked(), [Generation(1); 2], "two passes");
    let asked = after.asked().len();
    assert!((2..=3).contains(&asked), "two passes, and perhaps one after the presenter moved: {asked}");
    assert_eq!(evidence(&world, "passed"), 2 + asked, "{:?}", world.events());
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_known_failure_rolls_back_before_publishing_and_after() {
    for moments in [BEFORE, AFTER] {
        let check = FakeCheck::new("orders-read", moments);
        let (world, process) = rotated(std::slice::from_ref(&check)).await;
        check.order([FakeFinding::Passed, FakeFinding::Failed("it reads nothing")]);
        assert_eq!(process.rotate().await, Outcome::RolledBack);
        let row = world.row();
        assert_eq!(row.current.unwrap().generation, Generation(1));
        assert_eq!(row.rotation.unwrap().cause, Some(Cause::Unfit));
        world.assert_at_rest();
        assert_eq!(evidence(&world, "failed"), 1);
        let told = world.events().join("\n");
        assert!(told.contains("check orders-read failed: it reads nothing"), "{told}");
        process.stop().await;
    }
}

/// F92: time-outs, panics, faults and skips are none of them a pass, and none of them a known failure.
#[tokio::test(start_paused = true)]
async fn whatever_is_unknown_is_asked_again_and_passes_nothing() {
    for moments in [BEFORE, AFTER] {
        let unknowns = [
            FakeFinding::Hangs,
            FakeFinding::Panics,
            FakeFinding::Unknown(untouched(FaultKind::Busy)),
            FakeFinding::Unknown(untouched(FaultKind::Misconfigured)),
            // What would be believed of a target says nothing here.
            FakeFinding::Unknown(untouched(FaultKind::Fenced)),
            FakeFinding::Unknown(untouched(FaultKind::Unfit)),
            FakeFinding::Unknown(untouched(FaultKind::Rejected)),
        ];
        let check = FakeCheck::new("api", moments);
        let (world, process) = rotated(std::slice::from_ref(&check)).await;
        let asked = check.asked().len();
        // A pass before each: were an unknown one a pass, two in a row would do.
        check.order(unknowns.iter().flat_map(|unknown| [FakeFinding::Passed, unknown.clone()]));
        assert_eq!(process.rotate().await, Outcome::Success);
        assert!(check.asked().len() >= asked + unknowns.len() * 2 + 2, "none of them counted");
        assert!(evidence(&world, "unknown") >= 3, "{:?}", world.events());
        assert_eq!(evidence(&world, "failed"), 0);
        assert!(world.row().doubt.is_none());
        world.assert_at_rest();
        process.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_unknown_ends_at_the_deadline() {
    let check = FakeCheck::new("api", AFTER);
    let mut world = World::new();
    world.checks = vec![Arc::new(check.clone())];
    let deadline = Deadline { after: std::time::Duration::from_secs(300), then: OnDeadline::Rollback };
    world.policy = Policy { checks: AFTER, deadlines: [(Stretch::Propagate, deadline)].into(), ..policy() };
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    check.order((0..10_000).map(|_| FakeFinding::Unknown(untouched(FaultKind::Unreachable))));
    assert_eq!(process.rotate().await, Outcome::RolledBack);
    assert_eq!(evidence(&world, "unknown"), 1, "told once, not at every try: {:?}", world.events());
    assert_eq!(world.row().rotation.unwrap().cause, Some(Cause::Deadline));
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_auto_rollback_it_is_held() {
    let check = FakeCheck::new("api", AFTER);
    let (mut world, process) = rotated(std::slice::from_ref(&check)).await;
    process.stop().await;
    world.policy.auto_rollback = false;
    let process = world.start().await;
    check.order([FakeFinding::Failed("no")]);
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until_row("a hold", |row| row.live().is_some_and(|live| live.hold == Some(Hold::Unfit))).await;
    world.assert_served();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_with_checks_does_not_go_on_without_any() {
    let check = FakeCheck::new("api", AFTER);
    let (world, process) = rotated(std::slice::from_ref(&check)).await;
    check.order((0..10_000).map(|_| FakeFinding::Unknown(untouched(FaultKind::Unreachable))));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    let bind = |checks: Vec<_>| {
        let world = World { checks, ..world.clone() };
        let binding = world.binding(&group("db"), "db", &world.target, &process.script);
        Rebind { bindings: vec![binding], removed: Vec::new(), at_rest: Vec::new(), sinks: Vec::new() }
    };
    process.handle.rebind(bind(Vec::new())).await.unwrap();
    process.until_fault(FaultKind::Misconfigured).await;
    let answers = FakeCheck::new("api", AFTER);
    process.handle.rebind(bind(vec![Arc::new(answers.clone())])).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    assert!(answers.asked().len() >= 2, "they had to pass");
    world.assert_at_rest();
    process.stop().await;
}

/// A check is a look: killed in between, it is simply made again.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_in_a_check_is_followed_by_one_that_asks_again() {
    let check = FakeCheck::new("api", AFTER);
    let (world, process) = rotated(std::slice::from_ref(&check)).await;
    check.order([FakeFinding::Hangs]);
    let asked = check.asked().len();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    until("the check", || check.asked().len() > asked).await;
    process.kill().await;
    let process = world.start().await;
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    process.stop().await;
}

/// Reasons are bounded.
#[tokio::test(start_paused = true)]
async fn a_reason_is_cut() {
    let check = FakeCheck::new("api", BEFORE);
    let (world, process) = rotated(std::slice::from_ref(&check)).await;
    let fault = Fault::untouched(FaultKind::Busy, "x".repeat(100_000));
    check.order([FakeFinding::Unknown(fault)]);
    assert_eq!(process.rotate().await, Outcome::Success);
    assert!(world.events().iter().all(|event| event.len() < 2_000));
    process.stop().await;
}
