//! Whole rotations, forward and back, with answers that come, come late, or never come.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use handover_core::{
    Cause, Deadline, FaultKind, Generation, Hold, Obstacle, OnDeadline, Order, Outcome, Phase, Publication, Reach,
    Refusal, Role, Slot, Slots, Stretch, Undo,
};
use handover_engine::{OrderRefused, StartRefused, history};
use handover_secret::Secret;
use handover_testkit::fake::Injection;
use tokio::sync::Notify;

#[tokio::test(start_paused = true)]
async fn three_rotations_in_a_row_over_the_same_two_slots() {
    let world = World::new();
    let process = world.start().await;
    for generation in 1..=3 {
        assert_eq!(process.rotate().await, Outcome::Success);
        world.assert_at_rest();
        let row = world.row();
        assert_eq!(row.current.unwrap().generation, Generation(generation));
        assert_eq!(row.current.unwrap().slot, Slot(if generation % 2 == 1 { 0 } else { 1 }));
    }
    assert_eq!(process.script.calls("target.create"), 3, "one create each, and no probe on the first try");
    assert_eq!(process.script.calls("target.census"), 3, "one look at the labels for each plan, none beside it");
    assert_eq!(world.target.logins_refused(), 2, "one refused login for each proof, none beside it");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_takes_as_long_as_the_plan_says() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let started = tokio::time::Instant::now();
    process.rotate().await;
    let took = started.elapsed();
    // One poll between two passes, twenty seconds of quiet, fifteen of brake; a poll of slack for each.
    assert!(took >= Duration::from_secs(40) && took <= Duration::from_secs(55), "{took:?}");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rotation_needs_nine_commits_where_nothing_waits() {
    let mut world = World::new();
    let zero = Duration::ZERO;
    world.policy =
        handover_core::Policy { passes_min: 1, quiet_min: zero, overlap_min: zero, brake_for: zero, ..policy() };
    let process = world.start().await;
    process.rotate().await;
    let before = world.state.commits(&group("db")).len();
    process.rotate().await;
    let rows = world.state.commits(&group("db"));
    let phases: Vec<_> = rows[before..].iter().map(history::row_word).collect();
    assert_eq!(
        phases,
        ["stage", "apply", "verify", "publish", "propagate", "drain", "disable", "destroy", "done"],
        "each durable step is one commit"
    );
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_from_every_phase_leaves_the_old_generation_in_force() {
    for phase in ["apply", "verify", "publish", "propagate", "drain", "disable"] {
        let world = World::new();
        let process = world.start().await;
        process.rotate().await;
        let stop = match phase {
            "apply" => "target.create",
            "verify" => "target.verify",
            "publish" => "store.point",
            _ => "none",
        };
        if stop == "none" {
            world.consumers.stop();
        } else {
            process.script.always(stop, Injection::Refuse(untouched(FaultKind::Unreachable)));
        }
        process.handle.rotate(&group("db"), "tester").await.unwrap();
        if phase == "drain" || phase == "disable" {
            world.consumers.follow(&world.stores[&store_id("s0")]);
        }
        if phase == "drain" {
            world.target.set_sessions(Generation(1), 3);
        }
        process.until(phase).await;
        process.script.heal(stop);
        process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
        world.consumers.follow(&world.stores[&store_id("s0")]);
        assert_eq!(process.until_done().await, Outcome::RolledBack, "from {phase}");
        world.assert_at_rest();
        let row = world.row();
        assert_eq!(row.current.unwrap().generation, Generation(1), "from {phase}");
        assert_eq!(row.rotation.unwrap().cause, Some(Cause::Ordered));
        world.target.set_sessions(Generation(1), 0);
        assert_eq!(process.rotate().await, Outcome::Success, "and the next one works, after {phase}");
        world.assert_at_rest();
        process.stop().await;
    }
}

/// F04: the target is asked first.
#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_asked_for_and_not_repeated() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    for (call, census) in
        [("target.create", true), ("target.disable", true), ("target.destroy", true), ("store.point", false)]
    {
        process.script.once(call, Injection::LoseReply(unknown(FaultKind::Unreachable)));
        let (writes, points) = (world.target.writes().len(), world.stores[&store_id("s0")].points());
        let asked = process.script.calls("target.census");
        assert_eq!(process.rotate().await, Outcome::Success);
        world.assert_at_rest();
        assert_eq!(world.target.writes().len() - writes, 3, "{call}: create, disable and destroy land once each");
        assert_eq!(world.stores[&store_id("s0")].points() - points, 1, "{call}: the pointer moves once");
        let planned = 1;
        assert_eq!(process.script.calls("target.census") > asked + planned, census, "{call}");
    }
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn release_and_revoke_are_written_even_if_they_landed() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("disable").await;
    process.until_row("the brake", |row| {
        matches!(&row.rotation.as_ref().unwrap().phase, Phase::Disable { refused, .. } if !refused.is_empty())
    })
    .await;
    process.script.once("target.enable", Injection::LoseReply(unknown(FaultKind::Unreachable)));
    process.script.once("target.destroy", Injection::LoseReply(unknown(FaultKind::Unreachable)));
    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::RolledBack);
    let written = |name| world.target.writes().iter().filter(|(call, ..)| *call == name).count();
    assert_eq!((written("target.enable"), written("target.destroy")), (2, 2), "no probe concludes them");
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_write_of_a_cut_off_call_does_no_harm() {
    for call in ["target.create", "target.disable", "store.point"] {
        let world = World::new();
        let process = world.start().await;
        process.rotate().await;
        let go = Arc::new(Notify::new());
        process.script.once(call, Injection::Late(Arc::clone(&go)));
        process.handle.rotate(&group("db"), "tester").await.unwrap();
        process.until_fault(FaultKind::TimedOut).await;
        process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
        assert_eq!(process.until_done().await, Outcome::RolledBack, "{call}");
        go.notify_one();
        tokio::task::yield_now().await;
        world.assert_at_rest();
        assert_eq!(process.rotate().await, Outcome::Success, "{call}");
        world.assert_at_rest();
        process.stop().await;
    }
}

/// F07: a new value each time, as often as the plan allows.
#[tokio::test(start_paused = true)]
async fn rejected_candidates_are_replaced_a_bounded_number_of_times() {
    let world = World::new();
    let process = world.start().await;
    world.target.reject_next(2);
    assert_eq!(process.rotate().await, Outcome::Success);
    assert_eq!(world.row().current.unwrap().candidate.0, 3);

    world.target.reject_next(3);
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    let held = |row: &handover_core::Row| row.live().is_some_and(|live| live.hold == Some(Hold::CandidatesSpent));
    process.until_row("the hold", held).await;
    world.assert_served();
    process.handle.order(&group("db"), Order::Resume, "tester", None).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_served();
    process.stop().await;
}

/// F14: nothing is published.
#[tokio::test(start_paused = true)]
async fn an_unfit_candidate_is_rolled_back_by_itself() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    world.target.set_missing(vec!["SELECT on orders".to_owned()]);
    assert_eq!(process.rotate().await, Outcome::RolledBack);
    world.assert_at_rest();
    assert_eq!(world.row().rotation.unwrap().cause, Some(Cause::Unfit));
    process.stop().await;
}

/// F09: the same candidate is applied again.
#[tokio::test(start_paused = true)]
async fn a_change_that_the_target_lost_is_applied_again_with_few_logins() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.script.always("target.verify", Injection::Refuse(untouched(FaultKind::Unreachable)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("verify").await;
    world.target.tamper(Slot(1), Secret::from_text("restored from a snapshot".to_owned()));
    process.script.heal("target.verify");
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    assert!(world.target.logins_refused() <= 3, "{} refused logins", world.target.logins_refused());
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_proved_is_not_concluded_and_locks_no_account() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    // The control fails too, from here on: nothing proves that the old generation is refused.
    process.script.always("target.probe", Injection::Refuse(untouched(FaultKind::Unreachable)));
    process.until("disable").await;
    let (probes, started) = (process.script.calls("target.probe"), tokio::time::Instant::now());
    let mut events = process.handle.events();
    while started.elapsed() < Duration::from_secs(600) {
        events.recv().await.unwrap();
    }
    let probes = process.script.calls("target.probe") - probes;
    assert!((5..40).contains(&probes), "{probes} probes in ten minutes");
    assert_eq!(history::row_word(&world.row()), "disable");
    assert_eq!(world.target.writes().iter().filter(|(call, ..)| *call == "target.disable").count(), 1);
    process.script.heal("target.probe");
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_its_control_proves_nothing() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.script.always("target.disable", Injection::Refuse(untouched(FaultKind::Busy)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("disable").await;
    // Both logins are refused from now on, as by a connection limit: it may be for any reason.
    let to = world.row().live().unwrap().to;
    world.target.tamper(to.slot, Secret::from_text("by hand".to_owned()));
    process.script.heal("target.disable");
    let probes = process.script.calls("target.probe");
    until("more calls", || process.script.calls("target.probe") >= probes + 5).await;
    assert_eq!(history::row_word(&world.row()), "disable");
    let Phase::Disable { refused, .. } = world.row().rotation.unwrap().phase else { panic!("not in disable") };
    assert!(refused.is_empty(), "{refused:?} was concluded without a control");
    let value = world.state.value(&group("db"), to.generation, to.candidate).unwrap();
    world.target.tamper(to.slot, value);
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    process.stop().await;
}

/// F43: unknown is not none.
#[tokio::test(start_paused = true)]
async fn unknown_use_is_not_taken_for_none() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.script.always("target.observe", Injection::Refuse(untouched(FaultKind::NotPermitted)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    // Long enough for any quiet time, if these looks counted.
    let looks = process.script.calls("target.observe");
    until("more calls", || process.script.calls("target.observe") >= looks + 20).await;
    assert_eq!(history::row_word(&world.row()), "drain");
    world.target.set_blind(true);
    process.script.heal("target.observe");
    let looks = process.script.calls("target.observe");
    until("more calls", || process.script.calls("target.observe") >= looks + 20).await;
    assert_eq!(history::row_word(&world.row()), "drain");
    world.target.set_blind(false);
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_write_is_held_and_never_written_over_unasked() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let other = &world.stores[&store_id("s1")];
    other.write_by_other(&group("db"), Secret::from_text("by hand".to_owned()));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    let drift =
        |row: &handover_core::Row| row.live().is_some_and(|live| live.hold == Some(Hold::Drift(store_id("s1"))));
    process.until_row("the hold", drift).await;
    assert!(other.published(&group("db")).is_none(), "it was written over");
    process.handle.order(&group("db"), Order::Resume, "tester", None).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_value_in_a_new_store_stands_in_the_way() {
    let world = World::new();
    world.stores[&store_id("s0")].write_by_other(&group("db"), Secret::from_text("by hand".to_owned()));
    let process = world.start().await;
    let refused = process.handle.rotate(&group("db"), "tester").await.unwrap_err();
    let StartRefused::Obstacles(obstacles) = refused else { panic!("{refused:?}") };
    assert!(matches!(&obstacles[..], [Obstacle::Found(fault)] if fault.kind == FaultKind::Foreign), "{obstacles:?}");
    assert!(process.handle.plan(&group("db")).await.unwrap().is_err());
    assert_eq!(world.state.row(&group("db")), None, "nothing was written");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn litter_is_reported_and_fails_nothing() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.script.always("store.discard", Injection::Refuse(untouched(FaultKind::Unreachable)));
    assert_eq!(process.rotate().await, Outcome::Success);
    let litter = world.events().iter().filter(|line| line.starts_with(history::LITTER)).count();
    assert_eq!(litter, 2, "one line for each store");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn orders_are_history_with_actor_and_reason() {
    let world = World::new();
    let process = world.start().await;
    let db = group("db");
    let order = |order, reason: Option<&str>| process.handle.order(&db, order, "alex", reason.map(str::to_owned));
    assert_eq!(order(Order::Hold, None).await, Err(OrderRefused::Refused(Refusal::NotLive)));
    process.rotate().await;
    world.target.set_sessions(Generation(1), 1);
    process.handle.rotate(&db, "alex").await.unwrap();
    process.until("drain").await;
    assert_eq!(order(Order::Force, None).await, Err(OrderRefused::ReasonMissing));
    assert_eq!(order(Order::Force, Some("  ")).await, Err(OrderRefused::ReasonMissing));
    assert_eq!(order(Order::Abandon, None).await, Err(OrderRefused::Refused(Refusal::Touched)));
    order(Order::Hold, Some("release day")).await.unwrap();
    let held = process.until_row("the hold", |row| row.live().is_some_and(|live| live.hold.is_some())).await;
    assert!(held.wants.effects.is_empty());
    order(Order::Resume, None).await.unwrap();
    order(Order::Force, Some("the session is a leftover")).await.unwrap();
    process.until("disable").await;
    let events = world.events();
    for part in [
        r#"denied by alex: [("order", "abandon"), ("refusal", "Touched")]"#,
        r#"("order", "hold"), ("reason", "release day")"#,
        r#"("order", "force"), ("reason", "the session is a leftover")"#,
    ] {
        assert!(events.iter().any(|line| line.contains(part)), "{part} is not in {events:#?}");
    }
    world.target.set_sessions(Generation(1), 0);
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}

/// F06: the phase's deadline counts although nothing answers.
#[tokio::test(start_paused = true)]
async fn a_deadline_passes_while_the_target_is_silent() {
    let mut world = World::new();
    let deadline = Deadline { after: Duration::from_secs(300), then: OnDeadline::Rollback };
    world.policy.deadlines.insert(Stretch::Verify, deadline);
    let process = world.start().await;
    process.rotate().await;
    process.script.always("target.verify", Injection::Hang);
    let started = tokio::time::Instant::now();
    assert_eq!(process.rotate().await, Outcome::RolledBack);
    assert!(started.elapsed() >= Duration::from_secs(300));
    assert!(started.elapsed() <= Duration::from_secs(1_500), "{:?}", started.elapsed());
    assert_eq!(world.row().rotation.unwrap().cause, Some(Cause::Deadline));
    world.assert_at_rest();
    process.stop().await;
}

/// F24, F27: it is waited for, and an acknowledgement of an older publication is none.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_does_not_answer_is_waited_for_and_its_ack_wakes() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    let publication = world.row().publication;
    let (db, app) = (group("db"), consumer("app"));
    let ack = |publication| process.handle.acknowledged(&db, &app, Role::Presenter, publication, Reach::Loaded);
    ack(Publication(publication.0 - 1)).await.unwrap();
    let asked = tokio::time::Instant::now();
    ack(publication).await.unwrap();
    process.until("drain").await;
    assert!(asked.elapsed() < Duration::from_secs(1), "the ack wakes the group before its poll");
    assert_eq!(process.until_done().await, Outcome::Success);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_waits_for_a_consumer_can_be_superseded() {
    let world = World::with_slots(Slots::Fixed(3));
    let process = world.start().await;
    process.rotate().await;
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    world.consumers.stop();
    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
    process
        .until_row("the way back", |row| matches!(row.live().unwrap().phase, Phase::Rollback(Undo::Return { .. })))
        .await;
    let db = group("db");
    assert_eq!(process.handle.rotate(&db, "tester").await, Err(StartRefused::Waits), "not by accident");
    assert_eq!(process.handle.supersede(&db, "tester", " ").await, Err(StartRefused::ReasonMissing));
    assert_eq!(process.handle.supersede(&db, "alex", "the consumer is away").await, Ok(Generation(3)));
    assert_eq!(process.handle.supersede(&db, "tester", "twice").await, Err(StartRefused::NothingWaits));
    assert_eq!(process.handle.rotate(&db, "tester").await, Err(StartRefused::Refused(Refusal::Live)));
    let history = world.state.history();
    let superseded = history.iter().find(|record| record.body.starts_with("superseded by alex"));
    assert!(superseded.is_some_and(|record| record.body.contains("the consumer is away")), "{history:#?}");
    world.consumers.follow(&world.stores[&store_id("s0")]);
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_live_rotation_per_group() {
    let world = World::new();
    let process = world.start().await;
    let db = group("db");
    let both = tokio::join!(process.handle.rotate(&db, "one"), process.handle.rotate(&db, "two"));
    assert!(
        matches!(
            both,
            (Ok(_), Err(StartRefused::Refused(Refusal::Live))) | (Err(StartRefused::Refused(Refusal::Live)), Ok(_))
        ),
        "{both:?}"
    );
    assert_eq!(process.handle.rotate(&group("other"), "one").await, Err(StartRefused::UnknownGroup(group("other"))));
    process.until_done().await;
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_is_a_fault_of_that_group_only() {
    let world = World::new();
    let process = world.start().await;
    process.script.once("target.create", Injection::Panic("connector bug"));
    assert_eq!(process.rotate().await, Outcome::Success);
    process.until_fault(FaultKind::Bug).await;
    let view = process.handle.view(&group("db")).await.unwrap();
    assert!(!format!("{view:?}").contains("connector bug"), "the text of a panic crosses no port");
    world.assert_at_rest();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_breaks_an_invariant_is_left_alone() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    world.consumers.stop();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("propagate").await;
    process.kill().await;
    world.state.tamper(&group("db"), |row| row.rotation.as_mut().unwrap().to.slot = Slot(0));
    let process = world.start().await;
    process.until_fault(FaultKind::Bug).await;
    assert!(process.script.log().iter().all(|call| !call.starts_with("target.") && !call.starts_with("store.")));
    assert!(world.events().iter().any(|line| line.starts_with(history::VIOLATED)));
    process.stop().await;
}

/// F62: nothing is retired early.
#[tokio::test(start_paused = true)]
async fn jumps_of_the_clock_shorten_no_wait() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let started = tokio::time::Instant::now();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    world.clock.jump(86_400_000);
    process.until("disable").await;
    world.clock.jump(-2 * 86_400_000);
    assert_eq!(process.until_done().await, Outcome::Success);
    assert!(started.elapsed() >= Duration::from_secs(30), "{:?}", started.elapsed());
    let records = process.handle.history(None, None, 1000).await.unwrap();
    let told: Vec<_> = records.iter().filter(|record| record.body.contains("clock_jumped")).collect();
    assert_eq!(told.len(), 2, "each jump is told once: {told:?}");
    process.stop().await;
}
