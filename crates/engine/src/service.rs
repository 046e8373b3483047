//! The loop: takes what is due, has it worked on, keeps the lease, drains.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use handover_core::port::{Check, Consumers, Generate, SecretStore, Sink, StateStore, Target};
use handover_core::schedule::Schedule;
use handover_core::{Fault, FaultKind, GroupId, Policy, Slot, StoreId, Strategy, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::{Call, Whom, caught};
use crate::campaign::Campaigner;
use crate::checkpoint;
use crate::clock::Clock;
use crate::drift;
use crate::drive::{Next, drive};
use crate::handle::Handle;
use crate::history;
use crate::jump::JumpWatch;
use crate::memory::{BackOff, Memory};
use crate::options::Options;
use crate::outbox::Outboxes;
use crate::schedules::Scheduler;
use crate::shared::Shared;
use crate::telemetry;

/// What consumers need beside the value, for the slot that holds it: `(field, text)`.
pub type PublishFields = Arc<dyn Fn(Slot) -> Vec<(String, String)> + Send + Sync>;

/// How many groups the state store is asked for at a start. All unfinished rotations resume; beyond this number, the
/// later ones with the first sweeps.
const RESUME_MAX: usize = 1_000_000;

/// A group, and what it is bound to.
#[derive(Clone)]
pub struct Binding {
    /// Which group.
    pub group: GroupId,
    /// What the user wants. Groups of one policy share it.
    pub policy: Arc<Policy>,
    /// Digest of the policy as it was read.
    pub policy_digest: Arc<str>,
    /// The target's name: the limit on concurrent calls is kept by it.
    pub target_name: Arc<str>,
    /// What accepts the credential.
    pub target: Arc<dyn Target>,
    /// Where it is published.
    pub stores: Arc<BTreeMap<StoreId, Arc<dyn SecretStore>>>,
    /// What mints its values.
    pub generator: Arc<dyn Generate>,
    /// What is asked of a credential beside the target's own verification, in this order.
    pub checks: Arc<[Arc<dyn Check>]>,
    /// What is published beside the value.
    pub publish_fields: PublishFields,
    /// When it is rotated without anybody asking, and when that may be; `None`: people start, at any time.
    pub schedule: Option<Arc<Schedule>>,
}

impl Binding {
    /// The strategy of its rotations, as far as it is known before the world is looked at.
    pub fn strategy(&self) -> Strategy {
        let stages = self.stores.values().all(|store| store.capability().stages);
        self.policy.strategy_on(self.target.capability().slots, stages)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("group", &self.group).field("target", &self.target_name).finish_non_exhaustive()
    }
}

/// What all groups share.
#[derive(Clone)]
pub struct Ports {
    /// Where rows are kept.
    pub state: Arc<dyn StateStore>,
    /// Who presents and verifies.
    pub consumers: Arc<dyn Consumers>,
    /// Where history is delivered.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("sinks", &self.sinks.len()).finish_non_exhaustive()
    }
}

/// An engine that holds the lease and is ready to run.
pub struct Service {
    shared: Arc<Shared>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("groups", &self.shared.bindings().len()).finish_non_exhaustive()
    }
}

impl Service {
    /// Takes the lease. Nothing is acted on before [`Service::run`].
    pub async fn new(options: Options, ports: Ports, bindings: Vec<Binding>) -> Result<(Self, Handle), Fault> {
        let mut by_group = HashMap::with_capacity(bindings.len());
        for binding in bindings {
            let group = binding.group.clone();
            if by_group.insert(group.clone(), Arc::new(binding)).is_some() {
                let detail = format!("group {group} is configured twice");
                return Err(Fault::untouched(FaultKind::Misconfigured, detail));
            }
        }
        let epoch = ports.state.lease().await?;
        let shared = Arc::new(Shared::new(options, ports, by_group, epoch));
        shared.lease_taken(epoch);
        Ok((Self { shared: Arc::clone(&shared) }, Handle::new(shared)))
    }

    /// Works until `drain` turns true or its sender is gone: then takes up nothing new, lets running work finish
    /// within [`Options::drain_limit`], and returns. What is unfinished resumes at the next start.
    pub async fn run(self, drain: watch::Receiver<bool>) {
        let shared = self.shared;
        // Also when this future is dropped: whoever asks is told that nothing is worked on.
        let _over = Over(Arc::clone(&shared));
        let mut outboxes = Outboxes::start(&shared);
        let mut scheduler = Scheduler::new(&shared);
        let mut campaigner = Campaigner::new(&shared);
        let (tasks, memories) = (JoinSet::new(), HashMap::new());
        let mut running = Running {
            shared,
            drain,
            tasks,
            memories,
            resumed: false,
            lease_retry: BackOff::default(),
            jumps: JumpWatch::default(),
            jump_retry: BackOff::default(),
        };
        let checkpoints = tokio::spawn(checkpoint::run(Arc::clone(&running.shared), running.drain.clone()));
        let drifts = tokio::spawn(drift::run(Arc::clone(&running.shared), running.drain.clone()));
        tokio::select! {
            () = running.work() => {}
            never = outboxes.follow() => match never {},
            never = scheduler.run() => match never {},
            never = campaigner.run() => match never {},
        }
        checkpoints.abort();
        drifts.abort();
        // A start that is cut off here is durable, or made at the next start.
        drop(scheduler);
        drop(campaigner);
        running.finish(outboxes).await;
    }
}

/// Says that the loop is over once it is dropped.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.numbers.over();
    }
}

struct Running {
    shared: Arc<Shared>,
    drain: watch::Receiver<bool>,
    tasks: JoinSet<(GroupId, Memory, Next)>,
    memories: HashMap<GroupId, Memory>,
    /// Whether all unfinished rotations were queued since the lease was taken.
    resumed: bool,
    lease_retry: BackOff,
    jumps: JumpWatch,
    /// While a jump could not be told: the state cannot be written then, and each turn of the loop would find it again.
    jump_retry: BackOff,
}

impl Running {
    async fn work(&mut self) {
        let mut sweep_at = Instant::now();
        loop {
            let now = Instant::now();
            self.shared.numbers.beat();
            if *self.drain.borrow() {
                return;
            }
            let mut wake_at = sweep_at;
            if self.shared.lease_doubted() {
                // Nothing is taken up before the lease is known to be ours again.
                wake_at = self.renew(now).await.unwrap_or(now);
            } else {
                if now >= sweep_at {
                    sweep_at = self.sweep(now).await;
                    wake_at = sweep_at;
                }
                self.watch_the_clock().await;
                self.take_up(now);
                wake_at = self.shared.queue.next().map_or(wake_at, |next| next.min(wake_at));
            }
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                drain = self.drain.changed() => if drain.is_err() { return },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                () = shared.queue.news.notified() => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    /// Says in history that the wall clock jumped. What could not be said is said at the next look.
    async fn watch_the_clock(&mut self) {
        let (wall, now) = (self.shared.now(), Instant::now());
        if self.jump_retry.until(now).is_some() {
            return;
        }
        let Some(by_ms) = self.jumps.look(wall, now) else { return };
        tracing::warn!(by_ms, "{}", telemetry::CLOCK_JUMPED);
        #[expect(clippy::expect_used, reason = "a constant that fits the rule of names")]
        let nobody = GroupId::parse(history::NO_GROUP).expect("the constant is a name");
        match self.shared.try_append(&nobody, history::clock_jumped(by_ms, wall)).await {
            Ok(()) => {
                self.jumps.told(wall, now);
                self.jump_retry.reset();
                // What was planned by a clock that was ahead would come too late.
                if by_ms < 0 {
                    self.shared.schedules.reread(&self.shared);
                }
            }
            Err(fault) => {
                self.jump_retry.failed(&self.shared.options, now);
                tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::STATE_FAILED);
            }
        }
    }

    /// Starts work on every group that is due.
    fn take_up(&mut self, now: Instant) {
        for (group, woken) in self.shared.queue.take(now) {
            let mut memory = self.memories.remove(&group).unwrap_or_else(|| {
                let mut memory = Memory::default();
                memory.forget();
                memory
            });
            let (shared, drain) = (Arc::clone(&self.shared), self.drain.clone());
            self.tasks.spawn(async move {
                match caught(drive(&shared, &group, &mut memory, woken, &drain)).await {
                    Some(next) => (group, memory, next),
                    None => {
                        let fault = Fault::unknown(FaultKind::Bug, "the engine panicked on this group");
                        shared.note(&group, "drive", &fault);
                        memory.forget();
                        memory.backoff = BackOff::default();
                        memory.backoff.parked(&shared.options, Instant::now());
                        let next = memory.backoff.until(Instant::now()).map_or(Next::Idle, Next::At);
                        (group, memory, next)
                    }
                }
            });
        }
    }

    fn ended(&mut self, ended: Result<(GroupId, Memory, Next), tokio::task::JoinError>) {
        // A task ends without an answer only when it is aborted, which happens while draining.
        let Ok((group, memory, next)) = ended else { return };
        let next = match next {
            Next::Idle => None,
            Next::At(at) => {
                self.memories.insert(group.clone(), memory);
                Some(at)
            }
        };
        self.shared.queue.finished(&group, next, Instant::now());
    }

    /// Asks the state store for unfinished rotations that nobody has in hand: after the lease was taken for all of
    /// them, then for those that are due. Returns when to ask again.
    async fn sweep(&mut self, now: Instant) -> Instant {
        let state = &self.shared.ports.state;
        let options = &self.shared.options;
        let (until, limit) =
            if self.resumed { (self.shared.now(), options.sweep_max) } else { (Timestamp(i64::MAX), RESUME_MAX) };
        match self.shared.calls.make(Call::look(Whom::State, "due"), || state.due(until, limit)).await {
            Ok((groups, _)) => {
                for group in groups {
                    if self.shared.binding(&group).is_some() {
                        self.shared.queue.ensure(&group, now);
                    } else {
                        tracing::warn!(%group, "{}", telemetry::UNBOUND);
                    }
                }
                self.resumed = true;
                now + options.sweep_every
            }
            Err(fault) => {
                tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::STATE_FAILED);
                now + options.retry_base.max(Duration::from_millis(1))
            }
        }
    }

    /// Tries to hold the lease again. `None` once it is held: then all that is remembered is of another time.
    async fn renew(&mut self, now: Instant) -> Option<Instant> {
        if let Some(until) = self.lease_retry.until(now) {
            return Some(until);
        }
        let state = &self.shared.ports.state;
        match self.shared.calls.make(Call::act(Whom::State, "lease"), || state.lease()).await {
            Ok(epoch) => {
                self.resumed &= epoch == self.shared.epoch();
                self.shared.lease_taken(epoch);
                self.lease_retry.reset();
                self.memories.clear();
                None
            }
            Err(fault) => {
                tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::LEASE_LOST);
                self.lease_retry.failed(&self.shared.options, Instant::now());
                self.lease_retry.until(now)
            }
        }
    }

    async fn finish(mut self, mut outboxes: Outboxes) {
        let limit = Instant::now() + self.shared.options.drain_limit;
        let ended = tokio::time::timeout_at(limit, async {
            while self.tasks.join_next().await.is_some() {}
            // The sinks get it too: whoever cuts off the end of the history later is shown up by what they hold.
            checkpoint::make(&self.shared).await;
            // The outboxes drain last: they deliver what the running work still commits.
            outboxes.drain().await;
        });
        if ended.await.is_err() {
            tracing::warn!(groups = self.tasks.len(), sinks = outboxes.len(), "{}", telemetry::DRAIN_CUT);
        }
        self.tasks.shutdown().await;
        outboxes.shutdown().await;
    }
}
