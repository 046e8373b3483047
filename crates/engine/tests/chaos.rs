//! Long runs in which everything goes wrong at random: lost replies, hangs, late writes, deaths, second engines, orders.
//! Whatever happened, what is published logs in at every moment, and once the world heals the group comes to rest.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where it cannot go on, and says at which seed"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use handover_core::{FaultKind, Order, Slots};
use handover_engine::StartRefused;
use handover_testkit::fake::Injection;
use tokio::sync::Notify;

const CALLS: [&str; 13] = [
    "target.create",
    "target.verify",
    "target.probe",
    "target.census",
    "target.disable",
    "target.enable",
    "target.destroy",
    "target.observe",
    "store.head",
    "store.put",
    "store.point",
    "state.commit",
    "state.load",
];

/// A small generator: runs repeat exactly, and a failing seed says all there is to say.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).unwrap()
    }
}

struct Chaos {
    world: World,
    dice: Dice,
    late: Vec<Arc<Notify>>,
}

impl Chaos {
    fn injection(&mut self) -> Injection {
        match self.dice.below(7) {
            0 => Injection::Refuse(untouched(FaultKind::Unreachable)),
            1 => Injection::Refuse(unknown(FaultKind::Unreachable)),
            2 => Injection::LoseReply(unknown(FaultKind::Unreachable)),
            3 => Injection::Hang,
            4 => Injection::HangAfter,
            5 => Injection::Delay(Duration::from_secs(self.dice.below(14) as u64)),
            _ => {
                let go = Arc::new(Notify::new());
                self.late.push(Arc::clone(&go));
                Injection::Late(go)
            }
        }
    }

    async fn stir(&mut self, processes: &mut Vec<Process>) {
        let index = self.dice.below(processes.len());
        match self.dice.below(12) {
            0..=5 => {
                let call = CALLS[self.dice.below(CALLS.len())];
                let injection = self.injection();
                processes[index].script.once(call, injection);
            }
            6 => {
                if let Some(go) = self.late.pop() {
                    go.notify_one();
                }
            }
            7 => {
                let orders = [Order::Rollback, Order::Hold, Order::Resume, Order::Abandon];
                let order = orders[self.dice.below(orders.len())];
                processes[index].handle.order(&group("db"), order, "chaos", None).await.ok();
            }
            8 => {
                processes.swap_remove(index).kill().await;
                processes.push(self.world.start().await);
            }
            // Another engine takes over; the one before does not know yet.
            9 if processes.len() < 3 => processes.push(self.world.start().await),
            9 => processes.remove(0).kill().await,
            10 => {
                if self.dice.below(2) == 0 {
                    self.world.consumers.stop();
                } else {
                    self.world.consumers.follow(&self.world.stores[&store_id("s0")]);
                }
            }
            _ => self.world.clock.jump(if self.dice.below(2) == 0 { 86_400_000 } else { -86_400_000 }),
        }
    }

    async fn run(&mut self) {
        let db = group("db");
        let mut processes = vec![self.world.start().await];
        for _ in 0..60 {
            let last = processes.len() - 1;
            // While everything goes wrong, a start may be refused: that is an answer like any other.
            let start = async {
                if processes[last].handle.rotate(&db, "chaos").await == Err(StartRefused::Waits) {
                    processes[last].handle.supersede(&db, "chaos", "chaos").await.ok();
                }
            };
            tokio::time::timeout(Duration::from_secs(60), start).await.ok();
            for _ in 0..4 {
                self.stir(&mut processes).await;
                tokio::time::sleep(Duration::from_millis(self.dice.below(9_000) as u64)).await;
                self.assert_served();
            }
        }
        while processes.len() > 1 {
            processes.remove(0).kill().await;
        }
        self.heal(processes.remove(0)).await;
    }

    fn assert_served(&self) {
        if self.world.state.row(&group("db")).is_some() {
            self.world.assert_served();
        }
    }

    /// The world is fine again: one engine, all consumers, no faults. Late writes still land, at the worst time.
    async fn heal(&mut self, last: Process) {
        last.kill().await;
        self.world.consumers.follow(&self.world.stores[&store_id("s0")]);
        let process = self.world.start().await;
        if self.world.state.row(&group("db")).is_some() {
            process.handle.order(&group("db"), Order::Resume, "chaos", None).await.ok();
            process.until_done().await;
        }
        for go in self.late.drain(..) {
            go.notify_one();
        }
        tokio::task::yield_now().await;
        process.rotate().await;
        process.rotate().await;
        // A put that lands after the discard is litter; it is refused like all that is retired.
        self.world.assert_in_force();
        process.stop().await;
    }
}

async fn seeds(slots: Slots, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut chaos = Chaos { world: World::with_slots(slots), dice: Dice(seed), late: Vec::new() };
        println!("seed {seed}");
        chaos.run().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_slots() {
    seeds(Slots::Fixed(2), 0..60).await;
}

#[tokio::test(start_paused = true)]
async fn fresh_principals_and_superseded_rollbacks() {
    seeds(Slots::Fresh, 1_000..1_060).await;
}
