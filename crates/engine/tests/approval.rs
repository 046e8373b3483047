//! Approvals in a world of fakes: crashes, another policy, and requests of schedules that take no one else's place.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use handover_core::schedule::{Missed, Repeats, Schedule};
use handover_core::{ApprovalRule, FaultKind, Gate, Generation, Outcome, Refusal, Role, Row, Slots};
use handover_engine::{ApproveRequest, Binding, OrderRefused, Rebind, history, plan_digest};
use handover_testkit::fake::{FakeTarget, Script};

fn asking(gate: Gate) -> BTreeMap<Gate, ApprovalRule> {
    let rule = ApprovalRule { quorum: 1, expires: Duration::from_secs(3_600), approvers: BTreeSet::new() };
    BTreeMap::from([(gate, rule)])
}

/// What the rotation of a group waits for, as somebody sees it.
async fn seen(process: &Process, name: &str, gate: Gate) -> ApproveRequest {
    let view = process.handle.view(&group(name)).await.unwrap();
    let plan = plan_digest(view.plan.as_ref().unwrap());
    ApproveRequest { generation: view.row.last_generation, gate, plan, reason: None }
}

fn count(world: &World, event: &str) -> usize {
    world.events().iter().filter(|body| body.starts_with(&format!("{event} by "))).count()
}

/// F65: nothing is minted before the approval, also after restarts, and it is told once.
#[tokio::test(start_paused = true)]
async fn what_is_asked_for_outlives_restarts_and_starts_when_it_is_approved() {
    let mut world = World::new();
    world.policy.approvals = asking(Gate::Start);
    let process = world.start().await;
    process.handle.rotate(&group("db"), "anna").await.unwrap();
    process.kill().await;
    let process = world.start().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(history::row_word(&world.row()), "stage");
    assert!(world.state.sealed(&group("db")).is_empty(), "nothing is minted");
    assert_eq!(count(&world, history::APPROVAL_WANTED), 1);
    let request = seen(&process, "db", Gate::Start).await;
    let own = process.handle.approve(&group("db"), &request, "anna").await;
    assert_eq!(own, Err(OrderRefused::Refused(Refusal::OwnRequest)));
    process.handle.approve(&group("db"), &request, "ben").await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    assert_eq!((count(&world, history::APPROVED), count(&world, history::DENIED)), (1, 1));
    let again = process.handle.approve(&group("db"), &request, "ben").await;
    assert_eq!(again, Err(OrderRefused::Refused(Refusal::NotLive)));
    world.assert_at_rest();
    process.stop().await;
}

fn bound(world: &World, digest: &str) -> Rebind {
    let binding = world.binding(&group("db"), "db", &world.target, &Script::default());
    Rebind { bindings: vec![Binding { policy_digest: digest.into(), ..binding }], ..Rebind::default() }
}

/// S32: plan A is approved and plan B would run: it is asked for anew. One that cannot be planned waits, and says so.
#[tokio::test(start_paused = true)]
async fn another_policy_is_planned_and_asked_for_anew() {
    let mut world = World::new();
    world.policy.approvals = asking(Gate::Start);
    let process = world.start().await;
    process.handle.rotate(&group("db"), "anna").await.unwrap();
    let old = seen(&process, "db", Gate::Start).await;
    world.policy.passes_min = 0;
    process.handle.rebind(bound(&world, "unusable")).await.unwrap();
    process.until_fault(FaultKind::Misconfigured).await;
    let refused = process.handle.approve(&group("db"), &old, "ben").await;
    assert_eq!(refused, Err(OrderRefused::OtherPlan), "the plan is not that of the policy any more");
    world.policy.passes_min = 1;
    process.handle.rebind(bound(&world, "usable")).await.unwrap();
    until("the new plan", || count(&world, history::REPLANNED) == 1).await;
    assert_eq!(count(&world, history::APPROVAL_WANTED), 2);
    let refused = process.handle.approve(&group("db"), &old, "ben").await;
    assert_eq!(refused, Err(OrderRefused::OtherPlan));
    let new = seen(&process, "db", Gate::Start).await;
    assert_eq!(new.generation, old.generation, "the same request");
    process.handle.approve(&group("db"), &new, "ben").await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}

/// Where nobody is asked any more, what waited starts.
#[tokio::test(start_paused = true)]
async fn a_policy_that_asks_nobody_lets_it_start() {
    let mut world = World::new();
    world.policy.approvals = asking(Gate::Start);
    let process = world.start().await;
    process.handle.rotate(&group("db"), "anna").await.unwrap();
    world.policy.approvals.clear();
    process.handle.rebind(bound(&world, "nobody")).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_word_before_destroy_is_asked_for_when_the_brake_is_on() {
    let mut world = World::new();
    world.policy.approvals = asking(Gate::Destroy);
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success, "the first generation replaces nothing");
    process.handle.rotate(&group("db"), "anna").await.unwrap();
    process.until("drain").await;
    let early = seen(&process, "db", Gate::Destroy).await;
    let refused = process.handle.approve(&group("db"), &early, "ben").await;
    assert_eq!(refused, Err(OrderRefused::Refused(Refusal::ApprovalNotWanted)));
    process.until("disable").await;
    until("the record of it", || count(&world, history::APPROVAL_WANTED) == 1).await;
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    assert_eq!(history::row_word(&world.row()), "disable");
    process.handle.approve(&group("db"), &early, "ben").await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    process.stop().await;
}

/// What a schedule asks for takes no place of those that may be live, or nobody would be asked about the next.
#[tokio::test(start_paused = true)]
async fn requests_of_schedules_do_not_stand_in_each_others_way() {
    let hour = Duration::from_secs(3_600);
    let schedule = Schedule {
        repeats: Repeats::Every(hour),
        openings: None,
        spread: Duration::ZERO,
        jitter: Duration::ZERO,
        missed: Missed::RunOnce,
    };
    let names = ["db", "other"].map(group);
    let mut world = World { schedule: Some(Arc::new(schedule)), ..World::new() };
    world.options.scheduled_max = 1;
    world.policy.approvals = asking(Gate::Start);
    world.consumers.expect(&names[1], &consumer("app"), Role::Presenter);
    let script = Script::default();
    let targets = names.each_ref().map(|_| FakeTarget::new(&script, Slots::Fixed(2)));
    let bindings = names.iter().zip(&targets).map(|(name, target)| world.binding(name, name.as_str(), target, &script));
    let process = world.start_bound(&script, bindings.collect()).await;
    for name in &names {
        process.handle.rotate(name, "tester").await.unwrap();
        let request = seen(&process, name.as_str(), Gate::Start).await;
        process.handle.approve(name, &request, "ben").await.unwrap();
        process.until_row_of(name, "its end", |row| row.live().is_none()).await;
    }
    tokio::time::sleep(hour).await;
    for name in &names {
        let asked = |row: &Row| row.last_generation == Generation(2) && history::row_word(row) == "stage";
        process.until_row_of(name, "the request", asked).await;
    }
    process.stop().await;
}
