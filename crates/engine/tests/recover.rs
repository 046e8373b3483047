//! Record and world that are not of one time: the state set back, the target set back, a store set back. From every
//! moment of a rotation and of a rollback, recovery leads to rest, and nobody who fetches is refused on the way.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;

use common::{Process, World, group};
use handover_core::{Course, Doubt, Generation, Obstacle, Order, Outcome, Refusal, Unrecoverable};
use handover_engine::{RecoverRefused, RecoverRequest, Recovered, StartRefused, history};
use handover_secret::Secret;
use handover_testkit::fake::{FakeState, FakeStore, FakeTarget, Injection};

use crate::common::{store_id, unknown};

/// All that the world holds, as it was at a moment.
struct Moment {
    name: String,
    state: FakeState,
    target: FakeTarget,
    stores: BTreeMap<handover_core::StoreId, FakeStore>,
}

impl Moment {
    fn of(world: &World, name: &str) -> Self {
        let stores = world.stores.iter().map(|(id, store)| (id.clone(), store.backup())).collect();
        Self { name: name.to_owned(), state: world.state.backup(), target: world.target.backup(), stores }
    }
}

/// A world after two rotations, taken at every commit: through a third rotation and, after it, one that is rolled back
/// from Drain.
async fn moments() -> Vec<Moment> {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.rotate().await;
    let mut moments = vec![Moment::of(&world, "rest")];
    for rollback in [false, true] {
        let mut events = process.handle.events();
        process.handle.rotate(&group("db"), "tester").await.unwrap();
        let mut ordered = false;
        loop {
            let event = events.recv().await.unwrap();
            let handover_engine::Happening::Committed { row, advanced } = event.happening else { continue };
            let word = history::row_word(&row);
            if advanced {
                moments.push(Moment::of(&world, &format!("{word}{}", if rollback { " (2)" } else { "" })));
            }
            if rollback && word == "drain" && !ordered {
                ordered = true;
                process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
            }
            if word == "done" {
                break;
            }
        }
    }
    process.stop().await;
    moments
}

/// The world of one moment, with the parts named taken from another.
fn mixed(world: &Moment, state: &Moment, target: &Moment, store: &Moment) -> World {
    let mut mixed = World::new();
    mixed.state = state.state.backup();
    mixed.target = target.target.backup();
    mixed.stores = world.stores.iter().map(|(id, now)| (id.clone(), now.backup())).collect();
    let first = store_id("s0");
    mixed.stores.insert(first.clone(), store.stores[&first].backup());
    mixed.consumers.follow(&mixed.stores[&first]);
    mixed
}

async fn recover(process: &Process) -> Result<Recovered, RecoverRefused> {
    process.handle.recover(&group("db"), RecoverRequest::default(), "tester").await
}

/// Recovers, lets whatever is live end, rotates once more, and finds everything at rest.
async fn recovers(world: &World, what: &str) -> Recovered {
    let process = world.start().await;
    let recovered = match recover(&process).await {
        Ok(recovered) => recovered,
        Err(refused) => panic!("{what}: {refused:?}"),
    };
    world.assert_served();
    if recovered.row.live().is_some() {
        process.until_row("the end", |row| row.live().is_none() && row.doubt.is_none()).await;
    }
    world.assert_in_force();
    assert_eq!(process.rotate().await, Outcome::Success, "{what}: the next rotation");
    world.assert_in_force();
    let row = world.row();
    assert!(world.target.writes().iter().all(|(_, _, mark)| mark.version <= row.version), "{what}");
    process.stop().await;
    recovered
}

/// Lets an engine run on a record that is behind for as long as anything takes: it neither changes what is accepted nor
/// what is published, and rotates nothing.
async fn leaves_alone(world: &World, what: &str) {
    let process = world.start().await;
    let writes = world.target.writes().len();
    let published = |world: &World| world.stores.values().map(FakeStore::points).collect::<Vec<_>>();
    let points = published(world);
    tokio::time::sleep(common::LIMIT).await;
    if world.row().doubt.is_none() {
        // The world was not touched since: the record is behind by nothing that anybody could see.
        process.stop().await;
        return;
    }
    let refused = process.handle.rotate(&group("db"), "tester").await.unwrap_err();
    let doubted = |obstacle: &Obstacle| matches!(obstacle, Obstacle::Doubted(_) | Obstacle::Live);
    let for_that = matches!(&refused, StartRefused::Obstacles(obstacles) if obstacles.iter().any(doubted))
        || matches!(&refused, StartRefused::Refused(Refusal::Live | Refusal::Doubted) | StartRefused::Waits);
    assert!(for_that, "{what}: {refused:?}");
    assert_eq!((world.target.writes().len(), published(world)), (writes, points), "{what}");
    world.assert_served();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_set_back_follows_the_world_from_every_moment_to_every_later_one() {
    let moments = moments().await;
    let mut courses = BTreeMap::new();
    for (index, now) in moments.iter().enumerate() {
        for before in &moments[..index] {
            let world = mixed(now, before, now, now);
            let what = format!("world at {}, state of {}", now.name, before.name);
            leaves_alone(&world, &what).await;
            let recovered = recovers(&world, &what).await;
            *courses.entry(format!("{:?}", recovered.course)).or_insert(0_u32) += 1;
        }
    }
    assert!(courses["Follows"] > 0 && courses["Resumes"] > 0, "{courses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_set_back_is_made_what_the_record_says_from_every_moment() {
    let moments = moments().await;
    for (index, now) in moments.iter().enumerate() {
        for before in &moments[..index] {
            let world = mixed(now, now, before, now);
            recovers(&world, &format!("record at {}, target of {}", now.name, before.name)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_set_back_publishes_anew_from_every_moment() {
    let moments = moments().await;
    for (index, now) in moments.iter().enumerate() {
        for before in &moments[..index] {
            let world = mixed(now, now, now, before);
            let what = format!("record at {}, store of {}", now.name, before.name);
            let process = world.start().await;
            recover(&process).await.unwrap_or_else(|refused| panic!("{what}: {refused:?}"));
            process
                .until_row("the end, or a hold", |row| {
                    row.live().is_none_or(|live| live.hold.is_some()) && row.doubt.is_none()
                })
                .await;
            if world.row().live().is_some() {
                process.handle.order(&group("db"), Order::Resume, "tester", None).await.unwrap();
                process.until("done").await;
            }
            world.assert_in_force();
            process.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restored_state_starts_and_writes_nothing_until_it_is_recovered() {
    let moments = moments().await;
    for now in &moments {
        let world = mixed(now, now, now, now);
        let process = world.start().await;
        let doubted = process.handle.doubt_all("tester", Some("restored from last night")).await.unwrap();
        assert_eq!(doubted, [group("db")]);
        assert_eq!(process.handle.doubt_all("tester", None).await.unwrap(), [], "twice is once");
        leaves_alone_where_it_stands(&world, &process, &now.name).await;
        process.stop().await;
        let recovered = recovers(&world, &now.name).await;
        assert_eq!(recovered.doubt, Some(Doubt::Restored), "{}", now.name);
        assert!(matches!(recovered.course, Course::Agrees | Course::Reasserts), "{}: {:?}", now.name, recovered.course);
    }
}

async fn leaves_alone_where_it_stands(world: &World, process: &Process, what: &str) {
    let (row, writes) = (world.row(), world.target.writes().len());
    tokio::time::sleep(common::LIMIT).await;
    assert!(process.handle.rotate(&group("db"), "tester").await.is_err(), "{what}");
    assert!(process.handle.order(&group("db"), Order::Resume, "tester", None).await.is_err(), "{what}");
    assert_eq!((world.row(), world.target.writes().len()), (row, writes), "{what}");
}

/// A world in which the state was lost after one rotation, and set back to before the last.
async fn without_the_value() -> World {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let before = world.state.backup();
    process.rotate().await;
    process.stop().await;
    let mut world = World { state: before, ..world };
    // Neither does any store give it back.
    world.stores = world.stores.keys().map(|id| (id.clone(), FakeStore::new(&Default::default()))).collect();
    world.consumers.follow(&world.stores[&store_id("s0")]);
    world
}

#[tokio::test(start_paused = true)]
async fn a_value_that_nobody_has_is_replaced_while_it_stays_accepted() {
    let world = without_the_value().await;
    let process = world.start().await;
    world.target.set_sessions(Generation(2), 1);
    let recovered = recover(&process).await.unwrap();
    assert_eq!(recovered.course, Course::Replaces);
    process.until("drain").await;
    assert_eq!(world.target.accepting(), 2, "the unknown one is accepted for as long as it is used");
    world.target.set_sessions(Generation(2), 0);
    assert_eq!(process.until_done().await, Outcome::Success);
    world.assert_at_rest();
    assert_eq!(world.row().current.unwrap().generation, Generation(3));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_may_give_the_value_that_nobody_has() {
    let lost = without_the_value().await;
    let process = lost.start().await;
    let wrong = RecoverRequest { value: Some(Secret::from_text("guessed".to_owned())), ..RecoverRequest::default() };
    let refused = process.handle.recover(&group("db"), wrong, "tester").await.unwrap_err();
    assert_eq!(refused, RecoverRefused::Refused(Unrecoverable::NotLetIn(Generation(2))));
    let right = Secret::from_text("what the application's file says".to_owned());
    lost.target.tamper(handover_core::Slot(1), right.duplicate());
    let request = RecoverRequest { value: Some(right), ..RecoverRequest::default() };
    let recovered = process.handle.recover(&group("db"), request, "tester").await.unwrap();
    assert_eq!(recovered.course, Course::Follows);
    process.until("done").await;
    lost.assert_in_force();
    process.stop().await;
}

/// A value that a person gave, and that one of two slots does not let in, is not that slot's: to go back to it would
/// publish it beside the wrong user.
#[tokio::test(start_paused = true)]
async fn a_value_that_a_person_gave_counts_only_where_it_is_let_in() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let before = world.state.backup();
    process.rotate().await;
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    process.kill().await;
    let mut world = World { state: before, ..world };
    world.stores = world.stores.keys().map(|id| (id.clone(), FakeStore::new(&Default::default()))).collect();
    world.consumers.follow(&world.stores[&store_id("s0")]);
    let given = Secret::from_text("what the application's file says".to_owned());
    world.target.tamper(handover_core::Slot(0), given.duplicate());
    let process = world.start().await;
    let request = RecoverRequest { keep: Some(Generation(3)), value: Some(given), ..RecoverRequest::default() };
    let recovered = process.handle.recover(&group("db"), request, "tester").await.unwrap();
    assert_eq!(recovered.course, Course::Resumes);
    let live = recovered.row.live().unwrap();
    assert_eq!(live.from, None, "there is no way back to what nobody here has the value of");
    assert_eq!(live.owed.iter().map(|owed| owed.generation).collect::<Vec<_>>(), [Generation(2)]);
    process.until("done").await;
    world.assert_in_force();
    process.stop().await;
}

/// The logins at a slot are few: what its label names is tried before what the record remembers.
#[tokio::test(start_paused = true)]
async fn what_a_slot_s_label_names_is_tried_first() {
    let world = World::new();
    let process = world.start().await;
    // The first value is void, and stays sealed beside the second.
    world.target.reject_next(1);
    process.rotate().await;
    let before = world.state.backup();
    process.rotate().await;
    process.rotate().await;
    process.stop().await;
    let world = World { state: before, ..world };
    let process = world.start().await;
    let recovered = recover(&process).await.unwrap();
    assert_eq!((recovered.course, recovered.row.current.unwrap().generation), (Course::Follows, Generation(3)));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_tells_which_one_is_published_a_person_says_it() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let before = world.state.backup();
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    process.kill().await;
    let mut world = World { state: before, ..world };
    let kept = world.stores.clone();
    world.stores = kept.keys().map(|id| (id.clone(), FakeStore::new(&Default::default()))).collect();
    let process = world.start().await;
    let refused = recover(&process).await.unwrap_err();
    assert_eq!(refused, RecoverRefused::Refused(Unrecoverable::WhichOne(vec![Generation(1), Generation(2)])));
    let keep = |keep| RecoverRequest { keep: Some(Generation(keep)), ..RecoverRequest::default() };
    let refused = process.handle.recover(&group("db"), keep(9), "tester").await.unwrap_err();
    assert_eq!(refused, RecoverRefused::Refused(Unrecoverable::NotAccepted(Generation(9))));
    let recovered = process.handle.recover(&group("db"), keep(1), "tester").await.unwrap();
    assert_eq!(recovered.course, Course::Resumes);
    world.consumers.follow(&world.stores[&store_id("s0")]);
    assert_eq!(process.until_done().await, Outcome::RolledBack);
    world.assert_in_force();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_look_changes_nothing() {
    let moments = moments().await;
    let (before, now) = (&moments[0], &moments[4]);
    let world = mixed(now, before, now, now);
    let process = world.start().await;
    let (row, writes) = (world.row(), world.target.writes().len());
    let request = RecoverRequest { check: true, ..RecoverRequest::default() };
    let looked = process.handle.recover(&group("db"), request, "tester").await.unwrap();
    assert_ne!(looked.course, Course::Agrees);
    assert_eq!((world.row(), world.target.writes().len()), (row, writes));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_was_cut_off_is_asked_for_again() {
    let moments = moments().await;
    let (before, now) = (&moments[0], moments.last().unwrap());
    for call in ["target.create", "target.destroy", "state.commit"] {
        for nth in 1..=3 {
            let world = mixed(now, now, before, now);
            let process = world.start().await;
            for _ in 1..nth {
                process.script.once(call, Injection::Delay(std::time::Duration::ZERO));
            }
            process.script.once(call, Injection::LoseReply(unknown(handover_core::FaultKind::Unreachable)));
            let first = recover(&process).await;
            process.kill().await;
            if first.is_err() {
                assert!(
                    world.row().doubt.is_some() || call == "state.commit",
                    "{call} {nth}: doubted until it is done"
                );
            }
            recovers(&world, &format!("{call} {nth}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_waits_for_the_first_comparison() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("verify").await;
    let before = world.state.backup();
    process.until("disable").await;
    process.kill().await;
    let world = World { state: before, ..world };
    let script = handover_testkit::fake::Script::default();
    // The target cannot be looked at when the process starts, so that orders come first.
    script.always("target.census", Injection::Refuse(common::untouched(handover_core::FaultKind::Unreachable)));
    world.state.free_lease();
    let process = world.start_scripted(&script).await;
    let row = world.row();
    for order in [Order::Hold, Order::Rollback] {
        let refused = process.handle.order(&group("db"), order, "tester", None).await.unwrap_err();
        assert!(matches!(refused, handover_engine::OrderRefused::Fault(_)), "nobody could look: {refused:?}");
    }
    assert_eq!(world.row(), row, "an order would move the version on, past the marks");
    script.heal("target.census");
    process.until_row("a doubt", |row| row.doubt == Some(Doubt::TargetAhead)).await;
    world.assert_served();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_person_knows_to_be_in_force_is_published_and_not_written_over() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let by_hand = Secret::from_text("what somebody set in the night".to_owned());
    world.target.tamper(handover_core::Slot(0), by_hand.duplicate());
    let writes = world.target.writes().len();
    let request = RecoverRequest { value: Some(by_hand.duplicate()), ..RecoverRequest::default() };
    let recovered = process.handle.recover(&group("db"), request, "tester").await.unwrap();
    assert_eq!((recovered.course, world.target.writes().len()), (Course::Follows, writes));
    process.until("done").await;
    world.assert_in_force();
    assert!(world.target.accepts(&by_hand) && world.published("s0").unwrap().matches(&by_hand));
    // Without anybody's word the record's own value is put back.
    world.target.tamper(handover_core::Slot(0), Secret::from_text("another night".to_owned()));
    assert_eq!(recover(&process).await.unwrap().course, Course::Reasserts);
    world.assert_in_force();
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_disabled_by_hand_is_not_given_up() {
    let world = World::new();
    let process = world.start().await;
    process.rotate().await;
    let before = world.state.backup();
    process.rotate().await;
    process.stop().await;
    let world = World { state: before, ..world };
    let process = world.start().await;
    world.target.set_as_by_other(handover_core::Slot(1), Generation(2), true);
    let sealed = world.state.sealed(&group("db"));
    let refused = recover(&process).await.unwrap_err();
    assert_eq!(refused, RecoverRefused::Refused(Unrecoverable::NotAccepted(Generation(2))));
    assert_eq!(world.state.sealed(&group("db")), sealed, "nothing is erased");
    process.stop().await;
}
