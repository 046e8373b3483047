//! What is done to the fleet: faults in shuffled rounds, so that each kind comes, and orders at random.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use handover_testkit::servers::tool;

use crate::chance::Chance;
use crate::fleet::{Fleet, GROUPS};
use crate::overtaken;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fault {
    Kill,
    KillAtPoint,
    StandStill,
    Cut,
    BlackHole,
    SlowNetwork,
    RestartPostgres,
    Overtake,
    SlowDisk,
}

const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::KillAtPoint,
    Fault::StandStill,
    Fault::Cut,
    Fault::BlackHole,
    Fault::SlowNetwork,
    Fault::RestartPostgres,
    Fault::Overtake,
    Fault::SlowDisk,
];

/// Rotations are what all the rest is about.
const ORDERS: [&str; 10] =
    ["rotate", "rotate", "rotate", "rotate", "rotate", "rollback", "rollback", "hold", "resume", "resume"];

/// Points at which the controller kills itself, each time it comes by.
const POINTS: [&str; 12] = [
    "before:accept",
    "after:accept",
    "after:commit:apply",
    "before:login",
    "before:point",
    "after:point",
    "before:commit:propagate",
    "before:refuse",
    "after:refuse",
    "after:commit:disable",
    "after:destroy",
    "before:commit:done",
];

/// How long orders are given until one of each kind was taken.
const ORDERS_PATIENCE: Duration = Duration::from_secs(60);
/// How long the controller may take to come to a point at which it dies.
const POINT_PATIENCE: Duration = Duration::from_secs(8);
/// Sessions are short: how long is waited for one that can be cut.
const CUT_PATIENCE: Duration = Duration::from_secs(4);

/// How much longer each flush of a slow disk takes, in microseconds.
const FLUSH_DELAY_US: u32 = 150_000;

pub(crate) struct Faults {
    fleet: Arc<Fleet>,
    strace: String,
    fired: Mutex<BTreeMap<String, u64>>,
    under_way: Mutex<Vec<std::thread::JoinHandle<()>>>,
    orders: Arc<Orders>,
}

/// What was ordered.
#[derive(Default)]
struct Orders {
    /// Rotations by group, counting each whose answer is not known.
    rotations: [AtomicU64; GROUPS.len()],
    /// Those that were taken, by verb.
    taken: Mutex<BTreeMap<String, u64>>,
}

impl Faults {
    pub(crate) fn new(fleet: Arc<Fleet>) -> Self {
        let strace = tool("strace").unwrap().display().to_string();
        Self { fleet, strace, fired: Mutex::default(), under_way: Mutex::default(), orders: Arc::default() }
    }

    /// Faults and orders until the time is over, each kind of fault at least once.
    pub(crate) fn rage(&self, mut chance: Chance, time: Duration) {
        let start = Instant::now();
        for round in 1.. {
            let mut deck = FAULTS;
            chance.shuffle(&mut deck);
            self.order_each(chance.one(&GROUPS));
            for fault in deck {
                // The first round is carried through, so that each kind comes.
                if round > 1 && start.elapsed() >= time {
                    return;
                }
                for _ in 0..2 {
                    let (verb, group) = (chance.one(&ORDERS), chance.one(&GROUPS));
                    self.order_meanwhile(verb, group);
                    std::thread::sleep(Duration::from_millis(chance.between(0, 700)));
                }
                self.fire(fault, &mut chance);
                std::thread::sleep(Duration::from_millis(chance.between(0, 900)));
            }
            println!("{} s: round {round} of faults is over", start.elapsed().as_secs());
        }
    }

    /// An order, to its end: whether it was taken. Refusals are part of it.
    pub(crate) fn order(&self, verb: &str, group: &str) -> bool {
        give(&self.fleet, &self.orders, verb, group)
    }

    /// A rotation that is held, let go and turned back: orders at random seldom meet one that is held.
    fn order_each(&self, group: &str) {
        let limit = Instant::now() + ORDERS_PATIENCE;
        let mut left = ["hold", "resume", "rollback"].as_slice();
        while let [verb, later @ ..] = left
            && Instant::now() < limit
        {
            // Taken where none is live: the one before may have ended meanwhile.
            self.order("rotate", group);
            if self.order(verb, group) {
                left = later;
            }
        }
    }

    /// The network as it was, the controller started anew, all that was held let go, and an end of every rotation.
    pub(crate) fn calm_down(&self) -> Result<(), String> {
        self.fleet.proxy.fall_silent(false);
        self.fleet.proxy.slow_down(Duration::ZERO);
        for order in std::mem::take(&mut *self.under_way.lock().unwrap_or_else(PoisonError::into_inner)) {
            order.join().unwrap();
        }
        self.start_anew(&[]);
        self.fleet.come_to_rest()
    }

    /// How often each kind of fault fired, and each order was taken.
    pub(crate) fn counted(&self) -> BTreeMap<String, u64> {
        let fired = self.fired.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let taken = self.orders.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let faults = FAULTS.iter().map(|fault| (format!("{fault:?}"), 0));
        let orders = ORDERS.iter().map(|verb| (format!("order {verb}"), 0));
        faults.chain(orders).chain(fired).chain(taken).collect()
    }

    /// How many rotations of the group may have been ordered.
    pub(crate) fn rotations(&self, index: usize) -> u64 {
        self.orders.rotations[index].load(Ordering::SeqCst)
    }

    /// The same, while other things happen.
    pub(crate) fn order_meanwhile(&self, verb: &'static str, group: &'static str) {
        let (fleet, orders) = (Arc::clone(&self.fleet), Arc::clone(&self.orders));
        let order = std::thread::spawn(move || {
            give(&fleet, &orders, verb, group);
        });
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|order| !order.is_finished());
        under_way.push(order);
    }

    fn fire(&self, fault: Fault, chance: &mut Chance) {
        let pause = Duration::from_millis(chance.between(200, 2500));
        let point = chance.one(&POINTS);
        let fired = match fault {
            Fault::Kill => self.start_anew(&[]),
            Fault::KillAtPoint => {
                self.start_anew(&[("HANDOVER_FAULT_POINT", &format!("{point}#1=kill"))]);
                for _ in 0..2 {
                    self.order_meanwhile("rotate", chance.one(&GROUPS));
                }
                let came = self.fleet.rig.ends_within(POINT_PATIENCE);
                self.start_anew(&[]);
                came
            }
            Fault::StandStill => {
                let still = self.fleet.rig.stand_still(true);
                std::thread::sleep(pause);
                still && self.fleet.rig.stand_still(false)
            }
            Fault::Cut => {
                let limit = Instant::now() + CUT_PATIENCE;
                let mut cut = 0;
                while cut == 0 && Instant::now() < limit {
                    std::thread::sleep(Duration::from_millis(2));
                    cut = self.fleet.proxy.cut();
                }
                cut > 0
            }
            Fault::BlackHole => {
                let before = self.fleet.proxy.held();
                self.fleet.proxy.fall_silent(true);
                std::thread::sleep(pause);
                self.fleet.proxy.fall_silent(false);
                self.fleet.proxy.held() > before
            }
            Fault::SlowNetwork => {
                self.fleet.proxy.slow_down(Duration::from_millis(40));
                std::thread::sleep(pause);
                self.fleet.proxy.slow_down(Duration::ZERO);
                true
            }
            Fault::RestartPostgres => {
                self.fleet.restart_postgres();
                true
            }
            Fault::Overtake => self.overtake(chance),
            Fault::SlowDisk => self.slow_disk(chance, pause),
        };
        if fired {
            *self.fired.lock().unwrap_or_else(PoisonError::into_inner).entry(format!("{fault:?}")).or_default() += 1;
        }
    }

    /// A controller is overtaken, and writes late. One that stands still in a transaction cannot be: then once more.
    fn overtake(&self, chance: &mut Chance) -> bool {
        let (late, group) = (chance.one(&overtaken::ALL), chance.one(&GROUPS));
        let mut tries = (0..overtaken::TRIES_MAX).map(|_| overtaken::happens(&late, &self.fleet, self, group, &[]));
        let came = tries.find(|came| *came != Ok(false)).unwrap_or(Ok(false));
        self.start_anew(&[]);
        came.unwrap_or_else(|error| panic!("nobody was overtaken: {error}"))
    }

    /// Every flush takes longer.
    fn slow_disk(&self, chance: &mut Chance, pause: Duration) -> bool {
        let slowed = self.fleet.rig.path("slowed");
        let delay = format!("inject=fsync,fdatasync:delay_enter={FLUSH_DELAY_US}");
        let trace =
            ["-D", "-f", "-q", "-o", &slowed.display().to_string(), "-e", "trace=fsync,fdatasync", "-e", &delay];
        self.start_anew_under(&[&[self.strace.as_str()], &trace[..]].concat());
        for _ in 0..2 {
            self.order_meanwhile("rotate", chance.one(&GROUPS));
        }
        std::thread::sleep(2 * pause);
        self.start_anew(&[]);
        std::fs::read_to_string(slowed).is_ok_and(|calls| calls.contains("(DELAYED)"))
    }

    /// SIGKILL, and a new start. A point may lie in the start itself: then it died there, and starts once more.
    pub(crate) fn start_anew(&self, environment: &[(&str, &str)]) -> bool {
        let ran = self.fleet.rig.runs();
        self.fleet.rig.kill();
        self.fleet.end_succession();
        if self.fleet.rig.start(environment).is_err() && environment.is_empty() {
            // PostgreSQL may be away; the controller is not, whatever the target does.
            panic!("the controller does not start: {}", self.fleet.rig.said());
        }
        ran
    }

    /// SIGKILL, and a new start under a program that turns into the controller.
    fn start_anew_under(&self, runner: &[&str]) {
        self.fleet.rig.kill();
        self.fleet.end_succession();
        self.fleet.rig.start_under(runner, &[]).unwrap();
    }
}

fn give(fleet: &Fleet, orders: &Orders, verb: &str, group: &str) -> bool {
    let output = fleet.run("chief", &[verb, group]);
    let index = GROUPS.iter().position(|known| *known == group).unwrap();
    // 1: refused, for certain. All else was taken, or may have been.
    if verb == "rotate" && output.status.code() != Some(1) {
        orders.rotations[index].fetch_add(1, Ordering::SeqCst);
    }
    let taken = output.status.success();
    if taken {
        *orders.taken.lock().unwrap_or_else(PoisonError::into_inner).entry(format!("order {verb}")).or_default() += 1;
    }
    taken
}
