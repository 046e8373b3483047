//! An engine on the real embedded state, with targets, stores and consumers in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::state::sqlite::Sqlite;
use handover_core::port::{Answer, Consumers, Delivery};
use handover_core::{
    ConsumerId, Fault, GroupId, Member, Moments, Outcome, Phase, Policy, Publication, Reach, Role, RollCall, Slots,
    StoreId,
};
use handover_engine::{Binding, Event, Handle, Happening, Options, Ports, Random, RandomRule, Service, SystemClock};
use handover_testkit::fake::{FakeStore, FakeTarget, Script};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::Trouble;

/// An engine that runs.
pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) events: broadcast::Receiver<Event>,
    drain: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// No waits, one pass, one presenter: the shortest whole rotation.
pub(crate) fn policy() -> Policy {
    Policy {
        strategy: None,
        accept_outage: false,
        passes_min: 1,
        quiet_min: Duration::ZERO,
        overlap_min: Duration::ZERO,
        brake_for: Duration::ZERO,
        poll: Duration::from_secs(1),
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

/// Groups by number.
pub(crate) fn groups(count: usize) -> Result<Vec<GroupId>, Trouble> {
    (0..count).map(|number| GroupId::parse(&format!("group-{number:05}")).map_err(|bad| bad.why.to_owned())).collect()
}

/// The state at a path, under a key that only this benchmark has.
pub(crate) fn state(path: &Path) -> Result<Arc<Sqlite>, Trouble> {
    Sqlite::open(path, sealer()).map(Arc::new).map_err(words)
}

/// That key.
pub(crate) fn sealer() -> Arc<Sealer> {
    Arc::new(Sealer::new(MasterKey::from_bytes(Zeroizing::new([7; 32]))))
}

/// A fault as words.
pub(crate) fn words(fault: Fault) -> Trouble {
    fault.to_string()
}

/// Targets and stores of groups, in memory.
pub(crate) struct Fakes {
    pub(crate) stores: HashMap<GroupId, FakeStore>,
    targets: HashMap<GroupId, FakeTarget>,
}

impl Fakes {
    /// Each group has its own, so that none waits for another.
    pub(crate) fn of(groups: &[GroupId]) -> Self {
        let store = |group: &GroupId| (group.clone(), FakeStore::new(&Script::default()));
        let target = |group: &GroupId| (group.clone(), FakeTarget::new(&Script::default(), Slots::Fixed(2)));
        Self { stores: groups.iter().map(store).collect(), targets: groups.iter().map(target).collect() }
    }

    pub(crate) fn bindings(&self) -> Result<Vec<Binding>, Trouble> {
        let embedded = StoreId::parse("memory").map_err(|bad| bad.why.to_owned())?;
        let generator = Arc::new(Random::new(&RandomRule::default()).map_err(|bad| bad.to_string())?);
        let binding = |(group, target): (&GroupId, &FakeTarget)| Binding {
            group: group.clone(),
            policy: Arc::new(policy()),
            policy_digest: "digest".into(),
            target_name: group.as_str().into(),
            target: Arc::new(target.clone()),
            stores: self
                .stores
                .get(group)
                .map(|store| (embedded.clone(), Arc::new(store.clone()) as _))
                .into_iter()
                .collect::<BTreeMap<_, _>>()
                .into(),
            generator: generator.clone(),
            checks: Arc::new([]),
            publish_fields: Arc::new(|slot| vec![("user".to_owned(), format!("app_{slot}"))]),
            schedule: None,
        };
        Ok(self.targets.iter().map(binding).collect())
    }
}

/// One presenter for each group; `acked` says what it acknowledged when it is called.
pub(crate) struct Presenter<F> {
    consumer: ConsumerId,
    acked: F,
}

impl<F> Presenter<F> {
    pub(crate) fn new(acked: F) -> Result<Self, Trouble> {
        Ok(Self { consumer: ConsumerId::parse("app").map_err(|bad| bad.why.to_owned())?, acked })
    }
}

/// One that has loaded whatever is published.
pub(crate) fn prompt(fakes: &Fakes) -> Result<Arc<dyn Consumers>, Trouble> {
    let stores = fakes.stores.clone();
    let acked = move |group: &GroupId| {
        let published = stores.get(group).and_then(|store| store.published(group));
        published.map(|(publication, ..)| (publication, Reach::Loaded))
    };
    Ok(Arc::new(Presenter::new(acked)?))
}

impl<F: Fn(&GroupId) -> Option<(Publication, Reach)> + Send + Sync> Consumers for Presenter<F> {
    fn roll_call<'a>(&'a self, group: &'a GroupId, _role: Role) -> Answer<'a, RollCall> {
        let members = vec![Member { consumer: self.consumer.clone(), acked: (self.acked)(group) }];
        Box::pin(std::future::ready(Ok(RollCall { members, complete: true })))
    }

    fn delivered<'a>(&'a self, _: &'a GroupId, _: &'a ConsumerId, _: Role, _: &'a Delivery) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn delivery<'a>(&'a self, _: &'a GroupId, _: &'a ConsumerId, _: &'a [u8]) -> Answer<'a, Option<Delivery>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn acknowledged<'a>(
        &'a self,
        _: &'a GroupId,
        _: &'a ConsumerId,
        _: Role,
        _: Publication,
        _: Reach,
    ) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn excuse<'a>(&'a self, _: &'a GroupId, _: &'a ConsumerId) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl World {
    /// Starts an engine.
    pub(crate) async fn start(
        state: Arc<Sqlite>,
        consumers: Arc<dyn Consumers>,
        bindings: Vec<Binding>,
        options: Options,
    ) -> Result<Self, Trouble> {
        let options = Options { events_max: 1 << 18, ..options };
        let ports = Ports { state, consumers, sinks: Vec::new(), clock: Arc::new(SystemClock) };
        let (service, handle) = Service::new(options, ports, bindings).await.map_err(words)?;
        let (drain, drained) = watch::channel(false);
        let events = handle.events();
        let task = tokio::spawn(service.run(drained));
        Ok(Self { handle, events, drain, task })
    }

    /// Rotates each group so often, one rotation of a group after the other, all groups at once. How long it took.
    pub(crate) async fn rotate_all(&mut self, groups: &[GroupId], each: usize) -> Result<Duration, Trouble> {
        let mut left: HashMap<GroupId, usize> = groups.iter().map(|group| (group.clone(), each)).collect();
        let (mut unfinished, start) = (groups.len() * each, Instant::now());
        let mut starting = tokio::task::JoinSet::new();
        let begin = |group: GroupId, starting: &mut tokio::task::JoinSet<_>| {
            let handle = self.handle.clone();
            starting.spawn(async move { handle.rotate(&group, "bench").await.map_err(|refused| refused.to_string()) });
        };
        for group in groups {
            begin(group.clone(), &mut starting);
        }
        while unfinished > 0 {
            let event = tokio::select! {
                Some(started) = starting.join_next() => {
                    started.map_err(|error| error.to_string())??;
                    continue;
                }
                event = tokio::time::timeout(Duration::from_secs(120), self.events.recv()) => event,
            };
            let event = event.map_err(|_| format!("{unfinished} rotations stand still"))?;
            let event = event.map_err(|error| format!("events were missed: {error}"))?;
            let group = event.group;
            match event.happening {
                Happening::Committed { row, .. } => match row.rotation.as_ref().map(|rotation| &rotation.phase) {
                    Some(Phase::Done(Outcome::Success)) => {}
                    Some(Phase::Done(outcome)) => return Err(format!("a rotation ended as {outcome:?}")),
                    Some(_) | None => continue,
                },
                Happening::Faulted { effect, fault } => return Err(format!("{effect} of {group} failed: {fault}")),
                Happening::Violated { violations } => return Err(format!("{group} is broken: {violations:?}")),
            }
            unfinished -= 1;
            if let Some(left) = left.get_mut(&group) {
                *left = left.saturating_sub(1);
                if *left > 0 {
                    begin(group, &mut starting);
                }
            }
        }
        Ok(start.elapsed())
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) -> Result<(), Trouble> {
        self.drain.send_replace(true);
        self.task.await.map_err(|error| error.to_string())
    }
}
