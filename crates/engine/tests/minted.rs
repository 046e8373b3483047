//! Rotations of what a provider mints: it shows the value once, and a reply that is lost takes the value with it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use handover_core::{FaultKind, Hold, Label, Obstacle, Order, Outcome, Phase, Policy};
use handover_engine::{StartRefused, history};
use handover_testkit::fake::{FakeProvider, Injection, Script};
use tokio::sync::Notify;

/// The world of [`World`], with a provider in the target's place.
struct Minting {
    world: World,
    provider: FakeProvider,
}

impl Minting {
    fn new(places: u32) -> Self {
        let mut world = World::new();
        world.policy = Policy { brake_for: Duration::ZERO, ..policy() };
        let provider = FakeProvider::new(&Script::default(), &group("db"), places);
        Self { world, provider }
    }

    async fn start_scripted(&self, script: &Script) -> Process {
        let mut binding = self.world.binding(&group("db"), "provider", &self.world.target, script);
        binding.target = Arc::new(self.provider.seen_by(script));
        self.world.start_bound(script, vec![binding]).await
    }

    /// A process starts: the lease of the last one is free.
    async fn start(&self) -> Process {
        self.world.state.free_lease();
        self.start_scripted(&Script::default()).await
    }

    /// At rest the provider holds what is current, with the value that we hold and all stores publish, and nothing else
    /// of ours.
    fn assert_at_rest(&self, others: &[&str]) {
        let row = self.world.row();
        let ours = row.current.map(|current| Label::of(current).text(&group("db")));
        let mut labels = self.provider.labels();
        labels.sort();
        let mut expected: Vec<String> = others.iter().map(|other| (*other).to_owned()).chain(ours).collect();
        expected.sort();
        assert_eq!(labels, expected);
        let Some(current) = row.current else { return };
        let value = self.world.state.value(&group("db"), current.generation, current.candidate).unwrap();
        assert!(self.provider.accepts(&value));
        for store in self.world.stores.values() {
            let (publication, who, published) = store.published(&group("db")).unwrap();
            assert!(published.matches(&value));
            assert_eq!((publication, who), (row.publication, current));
            assert_eq!(store.kept(&group("db")), [current.generation]);
        }
    }

    fn said(&self, word: &str) -> usize {
        self.world.events().iter().filter(|body| body.contains(word)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_mints_rotates_again_and_again() {
    let minting = Minting::new(2);
    let process = minting.start().await;
    for number in 1..=3 {
        assert_eq!(process.rotate().await, Outcome::Success);
        minting.assert_at_rest(&[]);
        assert_eq!(minting.provider.minted_ever(), number, "one for each generation, and no more");
    }
    assert_eq!(minting.said(history::UNMINTED), 2, "each deletion is in the history");
}

/// F85: the provider minted it and the reply was lost: found by its label, deleted, and another one is made.
#[tokio::test(start_paused = true)]
async fn a_lost_reply_costs_a_candidate_and_leaves_nothing() {
    let minting = Minting::new(2);
    let process = minting.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    process.script.once("target.mint", Injection::LoseReply(unknown(FaultKind::TimedOut)));
    assert_eq!(process.rotate().await, Outcome::Success);
    minting.assert_at_rest(&[]);
    assert_eq!(minting.world.row().current.unwrap().candidate.0, 2);
    assert_eq!(minting.provider.minted_ever(), 3);
}

/// F85: as often as the plan allows; then a person decides, and both ways on leave nothing behind.
#[tokio::test(start_paused = true)]
async fn losses_are_bounded() {
    for order in [Order::Resume, Order::Rollback] {
        let minting = Minting::new(2);
        let process = minting.start().await;
        assert_eq!(process.rotate().await, Outcome::Success);
        for _ in 0..minting.world.policy.candidates_max {
            process.script.once("target.mint", Injection::LoseReply(unknown(FaultKind::Unreachable)));
        }
        process.handle.rotate(&group("db"), "tester").await.unwrap();
        let spent = |hold: &Option<Hold>| *hold == Some(Hold::CandidatesSpent);
        process.until_row("candidates spent", |row| row.live().is_some_and(|live| spent(&live.hold))).await;
        process.handle.order(&group("db"), order, "tester", None).await.unwrap();
        let expected = if order == Order::Resume { Outcome::Success } else { Outcome::RolledBack };
        assert_eq!(process.until_done().await, expected);
        minting.assert_at_rest(&[]);
    }
}

/// F84: a place taken by somebody else's credential is a reason not to start, and never deleted.
#[tokio::test(start_paused = true)]
async fn a_foreign_credential_is_in_the_way_and_stays() {
    let minting = Minting::new(2);
    let process = minting.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    for label in ["", "other/1.1", "db/1.1/accept"] {
        minting.provider.add_foreign(label);
        let refused = process.handle.rotate(&group("db"), "tester").await.unwrap_err();
        let StartRefused::Obstacles(obstacles) = refused else { panic!("{refused:?}") };
        assert_eq!(obstacles, [Obstacle::Taken { foreign: 1, there: 2 }]);
        minting.assert_at_rest(&[label]);
        minting.provider.remove(label);
    }
    assert_eq!(process.rotate().await, Outcome::Success);
}

/// F84: one that comes in the middle is waited for, loudly; what is ours is not sacrificed either.
#[tokio::test(start_paused = true)]
async fn a_place_that_is_taken_in_the_middle_is_waited_for() {
    let minting = Minting::new(2);
    let process = minting.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    process.script.once("target.minted", Injection::Delay(Duration::from_secs(1)));
    process.script.once("target.minted", Injection::Delay(Duration::from_secs(1)));
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    minting.provider.add_foreign("theirs");
    process.until_fault(FaultKind::Foreign).await;
    assert_eq!(minting.provider.labels(), ["db/1.1", "theirs"]);
    minting.provider.remove("theirs");
    assert_eq!(process.until_done().await, Outcome::Success);
    minting.assert_at_rest(&[]);
}

/// F49: a deletion that the provider answers and goes on to show is not done.
#[tokio::test(start_paused = true)]
async fn a_list_that_lags_keeps_the_rotation_open() {
    let minting = Minting::new(2);
    let process = minting.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("drain").await;
    minting.provider.lag(4);
    process.until_fault(FaultKind::Busy).await;
    assert!(minting.world.row().live().is_some());
    assert_eq!(process.until_done().await, Outcome::Success);
    minting.assert_at_rest(&[]);
}

/// F85: the paused executor's create lands when all is over: the next rotation finds it by its label.
#[tokio::test(start_paused = true)]
async fn what_is_minted_late_is_found_by_the_next_rotation() {
    let minting = Minting::new(3);
    let process = minting.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    let go = Arc::new(Notify::new());
    process.script.once("target.mint", Injection::Late(Arc::clone(&go)));
    assert_eq!(process.rotate().await, Outcome::Success);
    minting.assert_at_rest(&[]);
    go.notify_one();
    until("the late credential", || minting.provider.labels().contains(&"db/2.1".to_owned())).await;
    minting.assert_at_rest(&["db/2.1"]);
    assert_eq!(process.rotate().await, Outcome::Success);
    minting.assert_at_rest(&[]);
}

/// Another process takes over while the request of one that died is on its way: that value is of no use, whenever it
/// comes.
#[tokio::test(start_paused = true)]
async fn a_takeover_voids_what_the_other_may_have_minted() {
    for rolled_back in [false, true] {
        let minting = Minting::new(3);
        let first = minting.start().await;
        assert_eq!(first.rotate().await, Outcome::Success);
        let go = Arc::new(Notify::new());
        first.script.once("target.mint", Injection::Late(Arc::clone(&go)));
        first.handle.rotate(&group("db"), "tester").await.unwrap();
        first.until("apply").await;
        until("the request", || first.script.calls("target.mint") == 2).await;
        first.kill().await;
        let second = minting.start().await;
        if rolled_back {
            second.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
            second.until_done().await;
        } else {
            second.until("verify").await;
        }
        go.notify_one();
        until("the late credential", || minting.provider.labels().contains(&"db/2.1".to_owned())).await;
        let outcome = second.until_done().await;
        assert_eq!(outcome, if rolled_back { Outcome::RolledBack } else { Outcome::Success });
        assert_eq!(second.rotate().await, Outcome::Success);
        minting.assert_at_rest(&[]);
    }
}

/// A record that was set back would use a label again: what bears it is in force.
#[tokio::test(start_paused = true)]
async fn a_label_that_the_record_never_fixed_stops_the_rotation() {
    let minting = Minting::new(3);
    let process = minting.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    minting.provider.add_foreign("db/2.1");
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until_row("a doubt", |row| row.doubt.is_some()).await;
    assert_eq!(minting.provider.labels(), ["db/1.1", "db/2.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_brake_is_refused_where_nothing_fences_it() {
    let mut minting = Minting::new(2);
    minting.world.policy.brake_for = Duration::from_secs(1);
    let process = minting.start().await;
    let refused = process.handle.rotate(&group("db"), "tester").await.unwrap_err();
    let StartRefused::Obstacles(obstacles) = refused else { panic!("{refused:?}") };
    assert_eq!(obstacles, [Obstacle::NoBrake]);
}

/// A process dies at every edge of every call, also between the creation and the commit; `false` if the run ended
/// before the edge was reached.
async fn die_at(edge: u64, roll_back: bool) -> bool {
    let minting = Minting::new(2);
    let process = minting.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    process.stop().await;
    minting.world.state.free_lease();
    let script = Script::default();
    script.die_at(edge);
    let begun = async {
        let process = minting.start_scripted(&script).await;
        if process.handle.rotate(&group("db"), "tester").await.is_ok() {
            if roll_back {
                process.until("drain").await;
                process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
            }
            process.until_done().await;
        }
        process
    };
    let ended = tokio::select! {
        () = script.died() => None,
        process = begun => Some(process),
    };
    if let Some(process) = ended {
        process.kill().await;
        return false;
    }
    let published = minting.world.published("s0").unwrap();
    assert!(minting.provider.accepts(&published), "edge {edge}: what is published is refused");
    let process = minting.start().await;
    if minting.world.row().live().is_some() {
        process.until_done().await;
    }
    minting.assert_at_rest(&[]);
    assert!(minting.provider.minted_ever() <= 3, "edge {edge}: one candidate was lost at the most");
    assert_eq!(process.rotate().await, Outcome::Success, "edge {edge}: the next rotation");
    minting.assert_at_rest(&[]);
    process.kill().await;
    true
}

#[tokio::test(start_paused = true)]
async fn a_death_at_every_edge_leaves_nothing_that_nobody_knows() {
    for roll_back in [false, true] {
        let mut reached = 0;
        for edge in 1..2_000 {
            if !die_at(edge, roll_back).await {
                break;
            }
            reached = edge;
        }
        assert!((50..1_999).contains(&reached), "{reached} edges");
    }
}

#[tokio::test(start_paused = true)]
async fn rollbacks_leave_the_old_one_alone() {
    for phase in ["stage", "apply", "verify", "publish", "propagate", "drain"] {
        let minting = Minting::new(2);
        let process = minting.start().await;
        assert_eq!(process.rotate().await, Outcome::Success);
        let name = match phase {
            "stage" => "target.minted",
            "apply" => "target.mint",
            "verify" => "target.verify",
            "publish" => "store.point",
            "propagate" => "consumers.roll_call",
            _ => "target.observe",
        };
        if phase != "stage" {
            process.script.always(name, Injection::Hang);
        }
        process.handle.rotate(&group("db"), "tester").await.unwrap();
        if phase != "stage" {
            process.until(phase).await;
            process.script.heal(name);
        }
        process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
        let Phase::Done(outcome) = process.until("done").await.row.rotation.unwrap().phase else { panic!("not done") };
        assert!(matches!(outcome, Outcome::RolledBack | Outcome::Abandoned), "{phase}: {outcome:?}");
        minting.assert_at_rest(&[]);
        assert_eq!(minting.world.row().current.unwrap().generation.0, 1, "{phase}");
    }
}
