//! A small world of fakes, and engines that run in it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of the world")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use handover_core::Generation;
use handover_core::port::{Answer, Check, Generate};
use handover_core::schedule::Schedule;
use handover_core::{
    ConsumerId, Fault, FaultKind, GroupId, Moments, Outcome, Phase, Policy, Reach, Role, Row, Slots, StoreId, Strategy,
    Timestamp,
};
use handover_engine::{Binding, Clock, Handle, Options, Ports, Random, RandomRule, Service, View, history};
use handover_secret::Secret;
use handover_testkit::fake::{FakeConsumers, FakeSink, FakeState, FakeStore, FakeTarget, Script};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Longer than anything here takes, in the paused clock's time.
pub const LIMIT: Duration = Duration::from_secs(3_600);

/// A clock that goes with the runtime's, and can be made to jump.
#[derive(Clone)]
pub struct TestClock {
    start: Instant,
    jump_ms: Arc<AtomicI64>,
}

impl TestClock {
    pub fn jump(&self, by_ms: i64) {
        self.jump_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap();
        Timestamp(1_800_000_000_000 + elapsed + self.jump_ms.load(Ordering::SeqCst))
    }
}

/// The fakes, which outlive the processes that use them.
#[derive(Clone)]
pub struct World {
    pub target: FakeTarget,
    pub stores: BTreeMap<StoreId, FakeStore>,
    pub state: FakeState,
    pub consumers: FakeConsumers,
    pub sinks: Vec<FakeSink>,
    pub clock: TestClock,
    pub options: Options,
    pub policy: Policy,
    pub schedule: Option<Arc<Schedule>>,
    pub checks: Vec<Arc<dyn Check>>,
    pub groups: Vec<GroupId>,
}

/// Waits until something holds that sends no event, by looking at it.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < limit, "never saw {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

pub fn consumer(name: &str) -> ConsumerId {
    ConsumerId::parse(name).unwrap()
}

pub fn store_id(name: &str) -> StoreId {
    StoreId::parse(name).unwrap()
}

pub fn policy() -> Policy {
    Policy {
        strategy: None,
        accept_outage: false,
        passes_min: 2,
        quiet_min: Duration::from_secs(20),
        overlap_min: Duration::from_secs(10),
        brake_for: Duration::from_secs(15),
        poll: Duration::from_secs(5),
        reach_min: Reach::Loaded,
        auto_rollback: true,
        candidates_max: 3,
        deadlines: BTreeMap::new(),
        approvals: std::collections::BTreeMap::new(),
        verifiers: false,
        presenters: true,
        fetch_to_load_max: Duration::ZERO,
        max_retries: 0,
        retry_after: Duration::from_secs(60),
        checks: Moments::default(),
        emergency: handover_core::Terms::default(),
        waves: Vec::new(),
    }
}

impl World {
    /// One group `db` with two twins, two stores and one presenter that loads what is published.
    pub fn new() -> Self {
        Self::with_slots(Slots::Fixed(2))
    }

    /// One slot, one value over the other: consumers fail in between, and the policy says that they may.
    pub fn in_place() -> Self {
        let policy = Policy { strategy: Some(Strategy::Immediate), accept_outage: true, ..policy() };
        Self { policy, ..Self::with_slots(Slots::Fixed(1)) }
    }

    pub fn with_slots(slots: Slots) -> Self {
        let script = Script::default();
        let stores: BTreeMap<_, _> =
            ["s0", "s1"].map(|name| (store_id(name), FakeStore::new(&script))).into_iter().collect();
        let consumers = FakeConsumers::new(&script);
        consumers.expect(&group("db"), &consumer("app"), Role::Presenter);
        consumers.follow(&stores[&store_id("s0")]);
        Self {
            target: FakeTarget::new(&script, slots),
            state: FakeState::new(&script),
            sinks: Vec::new(),
            clock: TestClock { start: Instant::now(), jump_ms: Arc::default() },
            options: Options::default(),
            policy: policy(),
            schedule: None,
            checks: Vec::new(),
            groups: vec![group("db")],
            consumers,
            stores,
        }
    }

    /// A process starts: the lease of the last one is free.
    pub async fn start(&self) -> Process {
        self.state.free_lease();
        self.start_beside().await
    }

    /// A process starts and takes the lease if it can.
    pub async fn start_beside(&self) -> Process {
        self.start_scripted(&Script::default()).await
    }

    pub async fn start_scripted(&self, script: &Script) -> Process {
        let binding = |group: &GroupId| self.binding(group, "db", &self.target, script);
        let bindings = self.groups.iter().map(binding).collect();
        self.start_bound(script, bindings).await
    }

    pub fn binding(&self, group: &GroupId, target_name: &str, target: &FakeTarget, script: &Script) -> Binding {
        let stores = self.stores.iter();
        Binding {
            group: group.clone(),
            policy: Arc::new(self.policy.clone()),
            policy_digest: "digest".into(),
            target_name: target_name.into(),
            target: Arc::new(target.seen_by(script)),
            stores: Arc::new(stores.map(|(id, store)| (id.clone(), Arc::new(store.seen_by(script)) as _)).collect()),
            generator: Arc::new(Random::new(&RandomRule::default()).unwrap()),
            checks: self.checks.clone().into(),
            publish_fields: Arc::new(|slot| vec![("user".to_owned(), format!("app_{slot}"))]),
            schedule: self.schedule.clone(),
        }
    }

    pub async fn start_bound(&self, script: &Script, bindings: Vec<Binding>) -> Process {
        let ports = Ports {
            state: Arc::new(self.state.seen_by(script)),
            consumers: Arc::new(self.consumers.seen_by(script)),
            sinks: self.sinks.iter().map(|sink| Arc::new(sink.clone()) as _).collect(),
            clock: Arc::new(self.clock.clone()),
        };
        let (service, handle) = Service::new(self.options.clone(), ports, bindings).await.unwrap();
        let (drain, drained) = watch::channel(false);
        let task = tokio::spawn(service.run(drained));
        Process { handle, script: script.clone(), drain, task }
    }

    pub fn row(&self) -> Row {
        self.state.row(&group("db")).unwrap()
    }

    /// What consumers fetch from a store.
    pub fn published(&self, store: &str) -> Option<Secret> {
        self.stores[&store_id(store)].published(&group("db")).map(|(_, _, value)| value)
    }

    /// What must hold at every moment, seen from outside: whoever fetches the published value can log in with it.
    pub fn assert_served(&self) {
        for store in self.stores.keys() {
            if let Some(value) = self.published(store.as_str()) {
                assert!(self.target.accepts(&value), "what {store} publishes is refused; row: {:?}", self.row());
            }
        }
    }

    /// What must hold at rest where nothing failed to be cleaned away: as below, and stores keep nothing else.
    pub fn assert_at_rest(&self) {
        self.assert_in_force();
        for (id, store) in self.stores.iter().filter(|_| self.row().current.is_some()) {
            let current = self.row().current.unwrap();
            assert_eq!(store.kept(&group("db")), [current.generation], "{id} keeps retired values");
        }
    }

    /// What must hold at rest whatever happened: one value is accepted, and all stores publish it.
    pub fn assert_in_force(&self) {
        let row = self.row();
        let db = group("db");
        let Some(current) = row.current else {
            assert_eq!(self.target.accepting(), 0, "nothing is current and something is accepted");
            return;
        };
        assert_eq!(self.target.accepting(), 1, "exactly one value is accepted at rest");
        let value = self.state.value(&db, current.generation, current.candidate).unwrap();
        assert!(self.target.accepts(&value));
        for (id, store) in &self.stores {
            let (publication, who, published) = store.published(&db).unwrap();
            assert!(published.matches(&value), "{id} publishes another value");
            assert_eq!((publication, who), (row.publication, current));
        }
        // A candidate of the same generation that the target rejected may stay: it opens nothing.
        assert!(self.state.sealed(&db).iter().all(|(generation, _)| *generation == current.generation));
    }

    /// The words of history, in order.
    pub fn events(&self) -> Vec<String> {
        self.state.history().iter().map(|record| record.body.clone()).collect()
    }
}

/// An engine that runs.
pub struct Process {
    pub handle: Handle,
    pub script: Script,
    pub drain: watch::Sender<bool>,
    pub task: JoinHandle<()>,
}

impl Process {
    /// Waits until the group is in this phase.
    pub async fn until(&self, phase: &str) -> View {
        self.until_row(phase, |row| history::row_word(row) == phase).await
    }

    pub async fn until_done(&self) -> Outcome {
        let view = self.until("done").await;
        let Phase::Done(outcome) = view.row.rotation.unwrap().phase else { panic!("not done") };
        outcome
    }

    /// Waits until the group's row looks like this.
    pub async fn until_row(&self, what: &str, fits: impl Fn(&Row) -> bool) -> View {
        self.until_row_of(&group("db"), what, fits).await
    }

    pub async fn until_row_of(&self, group: &GroupId, what: &str, fits: impl Fn(&Row) -> bool) -> View {
        let mut events = self.handle.events();
        let limit = Instant::now() + LIMIT;
        loop {
            let view = self.handle.view(group).await.unwrap();
            if fits(&view.row) {
                return view;
            }
            let waited = tokio::time::timeout_at(limit, events.recv()).await;
            assert!(waited.is_ok(), "never saw {what}; last: {view:#?}");
        }
    }

    /// Waits until the group's last faults look like this.
    pub async fn until_fault(&self, kind: FaultKind) {
        let mut events = self.handle.events();
        let limit = Instant::now() + LIMIT;
        loop {
            let view = self.handle.view(&group("db")).await.unwrap();
            if view.faults.iter().any(|seen| seen.fault.kind == kind) {
                return;
            }
            let waited = tokio::time::timeout_at(limit, events.recv()).await;
            assert!(waited.is_ok(), "never saw {kind:?}; last: {view:#?}");
        }
    }

    /// Starts a rotation and waits for its end.
    pub async fn rotate(&self) -> Outcome {
        self.handle.rotate(&group("db"), "tester").await.unwrap();
        self.until_done().await
    }

    /// Ends the process as a kill does: whatever it was doing is cut off.
    pub async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }

    pub async fn stop(self) {
        self.drain.send(true).unwrap();
        self.task.await.unwrap();
    }
}

pub fn untouched(kind: FaultKind) -> Fault {
    Fault::untouched(kind, "injected")
}

pub fn unknown(kind: FaultKind) -> Fault {
    Fault::unknown(kind, "injected")
}

/// Mints the same known text each time, followed by a number.
pub struct Canary(pub std::sync::atomic::AtomicU64);

/// What no output may contain.
pub const CANARY: &str = "canary-b7e151628aed2a6a";

impl Generate for Canary {
    fn generate<'a>(&'a self, _group: &'a GroupId, _generation: Generation) -> Answer<'a, Secret> {
        let value = format!("{CANARY}-{}", self.0.fetch_add(1, Ordering::SeqCst));
        Box::pin(std::future::ready(Ok(Secret::from_text(value))))
    }
}
