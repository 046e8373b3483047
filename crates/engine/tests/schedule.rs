//! Rotations that are due by schedule, in a world of fakes, with a clock that jumps.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use handover_core::schedule::{Missed, Opening, Openings, Repeats, Schedule};
use handover_core::{
    Blocker, Deadline, FaultKind, Generation, OnDeadline, Order, Outcome, Row, Slots, Stretch, Timestamp,
};
use handover_engine::{Clock, Happening, history};
use handover_testkit::fake::{FakeTarget, Injection, Script};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY_MS: i64 = 24 * 3_600_000;

fn every(hours: u32) -> Option<Arc<Schedule>> {
    Some(Arc::new(schedule(Repeats::Every(HOUR * hours), None)))
}

fn schedule(repeats: Repeats, openings: Option<Arc<dyn Openings>>) -> Schedule {
    Schedule { repeats, openings, spread: Duration::ZERO, jitter: Duration::ZERO, missed: Missed::RunOnce }
}

/// Closed in between.
#[derive(Debug)]
struct ClosedFor {
    from: Timestamp,
    to: Timestamp,
}

impl Openings for ClosedFor {
    fn at(&self, now: Timestamp) -> Opening {
        if now < self.from {
            Opening::Open { until: Some(self.from) }
        } else if now < self.to {
            Opening::Closed { until: Some(self.to) }
        } else {
            Opening::Open { until: None }
        }
    }
}

fn count(world: &World, event: &str) -> usize {
    world.events().iter().filter(|body| body.starts_with(&format!("{event} by "))).count()
}

/// Lets time pass, for things that must not happen.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits until this generation is in force and no rotation is live.
async fn generation_after(process: &Process, generation: u64) {
    let fits = |row: &Row| {
        row.live().is_none() && row.current.is_some_and(|current| current.generation == Generation(generation))
    };
    until_row(process, fits).await;
}

/// Schedules take longer than anything else here.
async fn until_row(process: &Process, fits: impl Fn(&Row) -> bool) {
    let mut events = process.handle.events();
    let limit = Instant::now() + HOUR * 24 * 30;
    loop {
        let view = process.handle.view(&group("db")).await.unwrap();
        if fits(&view.row) {
            return;
        }
        let waited = tokio::time::timeout_at(limit, events.recv()).await;
        assert!(waited.is_ok(), "never came; last: {view:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_rotates_by_itself_and_the_first_time_is_a_persons() {
    let world = World { schedule: every(1), ..World::new() };
    let process = world.start().await;
    pass(HOUR * 5).await;
    assert!(world.state.row(&group("db")).is_none(), "nothing is in force: nothing is due");
    let began = Instant::now();
    process.rotate().await;
    generation_after(&process, 2).await;
    generation_after(&process, 3).await;
    let took = began.elapsed();
    assert!(took >= HOUR * 2 && took < HOUR * 2 + Duration::from_secs(300), "from start to start: {took:?}");
    let by = format!("{} by {}: ", history::STARTED, history::SCHEDULE);
    assert_eq!(world.events().iter().filter(|body| body.starts_with(&by)).count(), 2, "the history says who started");
    process.stop().await;
    world.assert_at_rest();
}

/// F56: starts and restarts of an idle fleet start nothing, and what is due runs all the same.
#[tokio::test(start_paused = true)]
async fn fifty_restarts_start_nothing_and_move_nothing() {
    let world = World { schedule: every(10), ..World::new() };
    let process = world.start().await;
    process.rotate().await;
    let began = Instant::now();
    process.kill().await;
    for _ in 0..50 {
        let process = world.start().await;
        pass(Duration::from_secs(600)).await;
        process.kill().await;
    }
    assert_eq!(count(&world, history::STARTED), 1);
    let process = world.start().await;
    generation_after(&process, 2).await;
    let took = began.elapsed();
    assert!(took < HOUR * 10 + Duration::from_secs(300), "no restart moved it: {took:?}");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_runs_once() {
    let world = World { schedule: every(1), ..World::new() };
    let process = world.start().await;
    process.rotate().await;
    process.stop().await;
    world.clock.jump(30 * DAY_MS);
    let process = world.start().await;
    generation_after(&process, 2).await;
    pass(Duration::from_secs(1_800)).await;
    assert_eq!(count(&world, history::STARTED), 2, "seven hundred were missed, one runs");
    process.stop().await;
}

/// F66: thirty days off, more late than may run at once: so many at a time, the most late first.
#[tokio::test(start_paused = true)]
async fn after_a_long_time_off_the_most_late_come_first_and_few_at_a_time() {
    let mut world = World { schedule: every(24), ..World::new() };
    let names: Vec<_> = (0..12).map(|number| group(&format!("g{number:02}"))).collect();
    world.policy.presenters = false;
    let script = Script::default();
    let targets: Vec<_> = names.iter().map(|_| FakeTarget::new(&script, Slots::Fixed(2))).collect();
    let start = async |world: &World| {
        let bindings = names.iter().zip(&targets);
        let bindings = bindings.map(|(name, target)| world.binding(name, name.as_str(), target, &script)).collect();
        world.state.free_lease();
        world.start_bound(&script, bindings).await
    };
    let process = start(&world).await;
    // The last one rotates first: it is the most late later.
    for name in names.iter().rev() {
        process.handle.rotate(name, "tester").await.unwrap();
        process.until_row_of(name, "its end", |row| row.live().is_none()).await;
    }
    process.stop().await;
    world.clock.jump(30 * DAY_MS);
    world.options.scheduled_max = 3;
    let process = start(&world).await;
    let mut events = process.handle.events();
    let (mut live, mut started) = (BTreeSet::new(), Vec::new());
    while started.len() < names.len() || !live.is_empty() {
        let event = tokio::time::timeout(LIMIT, events.recv()).await.unwrap().unwrap();
        let Happening::Committed { row, .. } = event.happening else { continue };
        if row.live().is_none() {
            live.remove(&event.group);
        } else if live.insert(event.group.clone()) {
            started.push(event.group);
        }
        assert!(live.len() <= 3, "{live:?}");
    }
    for (index, group) in started.iter().enumerate() {
        let wanted = names.len() - 1 - names.iter().position(|name| name == group).unwrap();
        assert!(index.abs_diff(wanted) < 3, "{group} came as number {index}: {started:?}");
    }
    process.stop().await;
}

/// F64: a group that is due while both its generations are valid waits until the rotation ends, and starts then.
#[tokio::test(start_paused = true)]
async fn what_is_due_during_an_overlap_is_queued() {
    let mut world = World { schedule: every(1), ..World::new() };
    world.policy.overlap_min = HOUR * 3;
    let process = world.start().await;
    process.rotate().await;
    let overlaps = |row: &Row| row.last_generation == Generation(2) && history::row_word(row) == "drain";
    until_row(&process, overlaps).await;
    pass(HOUR * 2).await;
    let seen = process.handle.schedule(&group("db")).await.unwrap().unwrap();
    assert!(seen.live && seen.due.unwrap().planned_at < process.handle.now(), "due, and queued: {seen:?}");
    assert_eq!(world.row().last_generation, Generation(2), "the twin is not touched");
    until_row(&process, |row| row.last_generation == Generation(3)).await;
    assert_eq!(world.row().current.map(|current| current.generation), Some(Generation(2)), "after it has ended");
    process.stop().await;
}

/// F65: a window that closes in the middle: it waits where both are valid, says so once, and goes on when it opens.
#[tokio::test(start_paused = true)]
async fn a_closed_window_parks_a_rotation_where_both_are_valid() {
    let mut world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.stop().await;
    let begun = Clock::now(&world.clock);
    let (from, to) = (begun.after(Duration::from_secs(20)), begun.after(HOUR * 8));
    world.schedule = Some(Arc::new(schedule(Repeats::Never, Some(Arc::new(ClosedFor { from, to })))));
    // A deadline of the phase is not for waiting for a window.
    let deadline = Deadline { after: HOUR, then: OnDeadline::Rollback };
    world.policy.deadlines.insert(Stretch::Drain, deadline);
    let process = world.start().await;
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    pass(HOUR * 7).await;
    let view = process.handle.view(&group("db")).await.unwrap();
    assert_eq!(history::row_word(&view.row), "drain");
    assert_eq!(view.wants.waiting_for[0], Blocker::Window { opens_at: Some(to) });
    assert_eq!(world.target.accepting(), 2, "both are valid");
    assert_eq!(count(&world, history::PARKED), 1, "said once");
    world.assert_served();
    generation_after(&process, 2).await;
    assert!(Clock::now(&world.clock) >= to);
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_who_forces_it_does_not_wait_for_a_window() {
    let mut world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.stop().await;
    let never = ClosedFor { from: Timestamp(0), to: Timestamp(i64::MAX) };
    world.schedule = Some(Arc::new(schedule(Repeats::Every(HOUR), Some(Arc::new(never)))));
    let process = world.start().await;
    pass(HOUR * 5).await;
    assert_eq!(world.row().last_generation, Generation(1), "late, and no window is open");
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    pass(HOUR).await;
    let reason = Some("the old one leaked".to_owned());
    process.handle.order(&group("db"), Order::Force, "tester", reason.clone()).await.unwrap();
    process.until("disable").await;
    pass(HOUR).await;
    assert_eq!(history::row_word(&world.row()), "disable", "what cannot be undone waits for a window again");
    process.handle.order(&group("db"), Order::Force, "tester", reason).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlives_restarts_and_a_live_rotation_goes_on() {
    let world = World { schedule: every(1), ..World::new() };
    let process = world.start().await;
    process.rotate().await;
    until_row(&process, |row| row.last_generation == Generation(2)).await;
    process.handle.pause(&group("db"), true, "tester", Some("freeze".to_owned())).await.unwrap();
    generation_after(&process, 2).await;
    pass(HOUR * 5).await;
    process.kill().await;
    let process = world.start().await;
    pass(HOUR * 5).await;
    assert_eq!(world.row().last_generation, Generation(2));
    assert!(process.handle.schedule(&group("db")).await.unwrap().unwrap().paused);
    process.handle.pause(&group("db"), false, "tester", None).await.unwrap();
    generation_after(&process, 3).await;
    assert_eq!((count(&world, history::PAUSED), count(&world, history::UNPAUSED)), (1, 1));
    process.stop().await;
    world.assert_at_rest();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_is_told_once_and_tried_again() {
    let world = World { schedule: every(1), ..World::new() };
    let process = world.start().await;
    process.rotate().await;
    process.script.always("target.preflight", Injection::Refuse(untouched(FaultKind::Unreachable)));
    pass(HOUR + Duration::from_secs(600)).await;
    let refused = process.handle.schedule(&group("db")).await.unwrap().unwrap().refused.unwrap();
    assert!((3..8).contains(&refused.tries), "ever less often: {refused:?}");
    assert_eq!(count(&world, history::NOT_STARTED), 1);
    assert_eq!(world.row().last_generation, Generation(1));
    process.script.heal("target.preflight");
    generation_after(&process, 2).await;
    assert!(process.handle.schedule(&group("db")).await.unwrap().unwrap().refused.is_none());
    process.stop().await;
}

/// F62: jumps of the clock lose no schedule: forward it is due sooner, back later, and it goes on either way.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_loses_no_schedule() {
    let world = World { schedule: every(10), ..World::new() };
    let process = world.start().await;
    process.rotate().await;
    let mut generation = 1;
    for jump in [3_600_000, -3_600_000, DAY_MS, -DAY_MS, 3_650 * DAY_MS, -3_650 * DAY_MS] {
        let began = Instant::now();
        world.clock.jump(jump);
        generation += 1;
        generation_after(&process, generation).await;
        let took = began.elapsed();
        assert!(took <= HOUR * 21, "after a jump by {jump} ms it took {took:?}");
    }
    process.stop().await;
}
