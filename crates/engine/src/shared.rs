//! What the loops and the handles of one engine have in common: ports, bindings, lease, queue, news.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use handover_core::port::{Commit, Committed, Entry, Loaded, Request, Sink};
use handover_core::{Epoch, Fault, Gate, GroupId, Phase, Rotation, Row, Timestamp, Violation};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::call::{Call, Calls, Whom};
use crate::campaign::Campaigns;
use crate::drift::Drifts;
use crate::fault;
use crate::handle::{FaultSeen, SinkSeen};
use crate::history;
use crate::litter::Litter;
use crate::numbers::Numbers;
use crate::options::Options;
use crate::queue::{Queue, Wake};
use crate::schedules::Schedules;
use crate::service::{Binding, Ports};
use crate::sighting::Sightings;
use crate::telemetry;
use crate::withheld::Withholding;

/// Something happened. A hint for those who watch: what is true is in the row.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// Which group.
    pub group: GroupId,
    /// What.
    pub happening: Happening,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// This row is durable.
    Committed {
        /// The row.
        row: Arc<Row>,
        /// Whether the phase is another than before.
        advanced: bool,
    },
    /// An effect failed.
    Faulted {
        /// Its kind, or the name of the port's method.
        effect: &'static str,
        /// What went wrong.
        fault: Fault,
    },
    /// The row breaks invariants: nothing is done on it.
    Violated {
        /// Which.
        violations: Vec<Violation>,
    },
}

/// How delivery to a sink goes.
#[derive(Clone, Default)]
struct Delivering {
    position: Option<u64>,
    failing: Option<FaultSeen>,
    records: u64,
    failures: u64,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) ports: Ports,
    /// Replaced as a whole: whoever took a binding keeps it for the call at hand.
    bindings: RwLock<Arc<HashMap<GroupId, Arc<Binding>>>>,
    /// Where history is delivered now.
    pub(crate) sinks_bound: watch::Sender<Vec<Arc<dyn Sink>>>,
    /// Held together to start a rotation or to forget a group, alone to replace bindings: no group loses its binding while
    /// its rotation starts, or gets one while it is forgotten.
    pub(crate) rebinding: Arc<tokio::sync::RwLock<()>>,
    pub(crate) calls: Calls,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) queue: Queue,
    pub(crate) schedules: Schedules,
    pub(crate) campaigns: Campaigns,
    pub(crate) events: broadcast::Sender<Event>,
    /// Counts commits, so that the outbox wakes.
    pub(crate) committed: watch::Sender<u64>,
    faults: Mutex<HashMap<GroupId, VecDeque<FaultSeen>>>,
    sinks: Mutex<HashMap<String, Delivering>>,
    pub(crate) sightings: Sightings,
    pub(crate) drifts: Drifts,
    pub(crate) litter: Litter,
    pub(crate) withholding: Withholding,
    /// Groups whose record was compared with the world since the lease was taken.
    compared: Mutex<HashSet<GroupId>>,
    /// Groups whose rotation waits for the word of people before it starts.
    asking: Mutex<HashSet<GroupId>>,
    epoch: AtomicU64,
    /// A commit was refused though nobody had moved the row: our epoch is not the latest.
    lease_doubted: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        mut ports: Ports,
        bindings: HashMap<GroupId, Arc<Binding>>,
        epoch: Epoch,
    ) -> Self {
        let sinks = std::mem::take(&mut ports.sinks);
        let numbers = Arc::<Numbers>::default();
        Self {
            calls: Calls::new(&options, Arc::clone(&numbers)),
            numbers,
            queue: Queue::default(),
            schedules: Schedules::default(),
            campaigns: Campaigns::default(),
            events: broadcast::Sender::new(options.events_max.max(1)),
            committed: watch::Sender::new(0),
            faults: Mutex::default(),
            sinks: Mutex::default(),
            sightings: Sightings::default(),
            drifts: Drifts::default(),
            litter: Litter::default(),
            withholding: Withholding::default(),
            compared: Mutex::default(),
            asking: Mutex::default(),
            epoch: AtomicU64::new(epoch.0),
            lease_doubted: AtomicBool::new(false),
            options,
            ports,
            bindings: RwLock::new(Arc::new(bindings)),
            sinks_bound: watch::Sender::new(sinks),
            rebinding: Arc::default(),
        }
    }

    /// What all groups are bound to now.
    pub(crate) fn bindings(&self) -> Arc<HashMap<GroupId, Arc<Binding>>> {
        Arc::clone(&self.bindings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a group is bound to now.
    pub(crate) fn binding(&self, group: &GroupId) -> Option<Arc<Binding>> {
        self.bindings().get(group).cloned()
    }

    /// Whether this is what its group is bound to now.
    pub(crate) fn is_bound(&self, binding: &Binding) -> bool {
        self.binding(&binding.group).is_some_and(|now| std::ptr::eq(Arc::as_ptr(&now), binding))
    }

    /// Binds groups anew. Whatever was learnt of their old targets and stores says nothing of the new ones.
    pub(crate) fn bind(&self, bindings: HashMap<GroupId, Arc<Binding>>, anew: &[GroupId]) {
        *self.bindings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bindings);
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        for group in anew {
            compared.remove(group);
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    pub(crate) async fn load(&self, group: &GroupId) -> Result<Option<Loaded>, Fault> {
        let loaded = self.calls.make(Call::look(Whom::State, "load"), || self.ports.state.load(group)).await?;
        if let Some(loaded) = &loaded {
            self.numbers.loaded(&loaded.row);
            self.asks(&loaded.row);
            self.withholding.loaded(loaded);
        }
        Ok(loaded)
    }

    /// Takes note whether a row's rotation waits for the word of people before it starts. A plan that is not at hand asks whom
    /// the policy asks: one that differs is planned anew.
    fn asks(&self, row: &Row) {
        let starts = |live: &Rotation| live.phase == Phase::Stage && live.to.candidate.0 == 1 && live.hold.is_none();
        let asks = row.live().is_some_and(starts)
            && self.binding(&row.group).is_some_and(|binding| binding.policy.approvals.contains_key(&Gate::Start));
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if asks {
            asking.insert(row.group.clone());
        } else {
            asking.remove(&row.group);
        }
    }

    /// How many rotations wait for the word of people before they start, and are not held.
    pub(crate) fn asking(&self) -> usize {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Commits a row and tells everybody. `before` is the row that it follows.
    pub(crate) async fn commit(&self, before: Option<&Row>, commit: Commit) -> Result<Committed<Row>, Fault> {
        self.commit_for(None, before, commit).await
    }

    /// The same for a request, which is kept with it if it has a key.
    pub(crate) async fn commit_for(
        &self,
        request: Option<Request>,
        before: Option<&Row>,
        commit: Commit,
    ) -> Result<Committed<Row>, Fault> {
        let point = format!("commit:{}", history::row_word(&commit.row));
        fault::point(fault::BEFORE, &point);
        let call = Call::act(Whom::State, "commit");
        let row = match request {
            Some(request) => self.calls.make(call, || self.ports.state.carry_out(commit, request)).await?,
            None => self.calls.make(call, || self.ports.state.commit(commit)).await?,
        };
        self.withholding.committed(&row);
        fault::point(fault::AFTER, &point);
        let word = history::row_word(&row);
        tracing::info!(group = %row.group, version = %row.version, phase = word, "{}", telemetry::COMMITTED);
        self.committed.send_modify(|count| *count = count.wrapping_add(1));
        self.numbers.committed(before, &row, self.now());
        self.asks(&row);
        // What a schedule follows from changes with these alone.
        let live = |row: &Row| row.live().is_some();
        if before.is_none_or(|before| before.cadence != row.cadence || live(before) != live(&row)) {
            self.schedules.stands(self, &row);
        }
        let advanced = before.is_none_or(|before| history::row_word(before) != word);
        if advanced {
            self.campaigns.advanced(&row.group);
        }
        self.tell(&row.group, Happening::Committed { row: Arc::new(Row::clone(&row)), advanced });
        Ok(row)
    }

    /// Appends history that changes no row. It is lost if the state store is: there is nobody else to tell.
    pub(crate) async fn append(&self, group: &GroupId, entry: Entry) {
        if let Err(fault) = self.try_append(group, entry).await {
            self.note(group, "append", &fault);
        }
    }

    /// The same, for callers who must know.
    pub(crate) async fn try_append(&self, group: &GroupId, entry: Entry) -> Result<(), Fault> {
        let epoch = self.epoch();
        let call = Call::act(Whom::State, "append");
        self.calls.make(call, || self.ports.state.append(group, epoch, entry)).await?;
        self.committed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// A sink took `records`, and with them everything up to `position`.
    pub(crate) fn sink_took(&self, name: &str, position: u64, records: usize) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = sinks.entry(name.to_owned()).or_default();
        seen.position = Some(position);
        seen.records = seen.records.saturating_add(records as u64);
    }

    /// How the last delivery to a sink went. Said once when it fails, once when it fails otherwise, and once when it
    /// goes well again.
    pub(crate) fn sink_went(&self, name: &str, fault: Option<&Fault>) {
        let at = self.now();
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = sinks.entry(name.to_owned()).or_default();
        match fault {
            Some(fault) => {
                if seen.failing.as_ref().is_none_or(|failing| failing.fault != *fault) {
                    let code = fault.kind.code();
                    tracing::warn!(sink = name, code, detail = %fault.detail, "{}", telemetry::SINK_FAILED);
                }
                let since = seen.failing.as_ref().map_or(at, |failing| failing.at);
                seen.failures = seen.failures.saturating_add(1);
                seen.failing = Some(FaultSeen { at: since, effect: "deliver", fault: fault.clone() });
            }
            None => {
                if seen.failing.take().is_some() {
                    tracing::info!(sink = name, "{}", telemetry::SINK_RECOVERED);
                }
            }
        }
    }

    pub(crate) fn sinks_seen(&self) -> Vec<SinkSeen> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = |name: &str| {
            let delivery = sinks.get(name).cloned().unwrap_or_default();
            let Delivering { position, failing, records, failures } = delivery;
            SinkSeen { name: name.to_owned(), position, failing, records, failures }
        };
        self.sinks_bound.borrow().iter().map(|sink| seen(sink.name())).collect()
    }

    /// Remembers a fault for people to read, and tells those who watch.
    pub(crate) fn note(&self, group: &GroupId, effect: &'static str, fault: &Fault) {
        tracing::warn!(
            %group,
            effect,
            code = fault.kind.code(),
            detail = %fault.detail,
            touched = ?fault.touched,
            "{}",
            telemetry::EFFECT_FAILED
        );
        self.numbers.faulted(fault);
        let at = self.now();
        let mut faults = self.faults();
        let seen = faults.entry(group.clone()).or_default();
        while seen.len() >= self.options.faults_kept_max.max(1) {
            seen.pop_front();
        }
        seen.push_back(FaultSeen { at, effect, fault: fault.clone() });
        drop(faults);
        self.tell(group, Happening::Faulted { effect, fault: fault.clone() });
    }

    /// The faults that are remembered of a group, the latest last.
    pub(crate) fn faults_of(&self, group: &GroupId) -> Vec<FaultSeen> {
        self.faults().get(group).map(|seen| seen.iter().cloned().collect()).unwrap_or_default()
    }

    /// Says loudly that a row breaks invariants.
    pub(crate) fn violated(&self, group: &GroupId, violations: Vec<Violation>) {
        tracing::error!(%group, ?violations, "{}", telemetry::INVARIANT_BROKEN);
        self.numbers.violated();
        self.tell(group, Happening::Violated { violations });
    }

    pub(crate) fn tell(&self, group: &GroupId, happening: Happening) {
        // Nobody listening is fine: events are hints.
        drop(self.events.send(Event { at: self.now(), group: group.clone(), happening }));
    }

    pub(crate) fn wake(&self, group: &GroupId, wake: Wake) {
        self.queue.wake(group, wake, Instant::now());
    }

    pub(crate) fn doubt_lease(&self) {
        if !self.lease_doubted.swap(true, Ordering::SeqCst) {
            tracing::warn!(epoch = %self.epoch(), "{}", telemetry::FENCED);
        }
        self.queue.news.notify_one();
    }

    pub(crate) fn lease_doubted(&self) -> bool {
        self.lease_doubted.load(Ordering::SeqCst)
    }

    pub(crate) fn lease_taken(&self, epoch: Epoch) {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.withholding.forget_all();
        self.epoch.store(epoch.0, Ordering::SeqCst);
        self.lease_doubted.store(false, Ordering::SeqCst);
        self.numbers.lease_taken();
        tracing::info!(%epoch, "{}", telemetry::LEASE_TAKEN);
    }

    /// Whether the group's record was compared with the world since the lease was taken.
    pub(crate) fn is_compared(&self, group: &GroupId) -> bool {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).contains(group)
    }

    /// It was, with the world that it is bound to, and nothing spoke against it.
    pub(crate) fn compared(&self, binding: &Binding) {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock: whoever binds the group anew forgets afterwards.
        if self.is_bound(binding) {
            compared.insert(binding.group.clone());
        }
    }

    fn faults(&self) -> MutexGuard<'_, HashMap<GroupId, VecDeque<FaultSeen>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
