//! What is managed, and where its state is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::state::sqlite::Sqlite;
use handover_adapters::store::embedded::Embedded;
use handover_core::port::{Check, Generate, SecretStore, Sink, Target};
use handover_core::schedule::Schedule;
use handover_core::{BadName, ConsumerId, Fault, FaultKind, GroupId, Moments, Policy, Reach, Role, Slot, StoreId};
use handover_engine::{Binding, Options, Ports, PublishFields, Random, RandomRule, Service, SystemClock};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::manager::Manager;

/// The store that is always there.
const EMBEDDED: &str = "embedded";

/// A credential that is rotated: who accepts it, who presents it, and how.
#[derive(Clone)]
pub struct Group {
    pub(crate) name: GroupId,
    target: Arc<dyn Target>,
    stores: BTreeMap<StoreId, Arc<dyn SecretStore>>,
    generator: Option<Arc<dyn Generate>>,
    checks: Vec<Arc<dyn Check>>,
    fields: PublishFields,
    policy: Policy,
    schedule: Option<Arc<Schedule>>,
    presenters: Vec<ConsumerId>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Group {
    /// A group at a target, published in the embedded store, without consumers.
    ///
    /// Its policy is that of the server where nothing is configured: 3 rounds of verification, a quiet time of one minute,
    /// a brake of five, a look every 5 seconds.
    pub fn new(name: GroupId, target: Arc<dyn Target>) -> Self {
        Self {
            name,
            target,
            stores: BTreeMap::new(),
            generator: None,
            checks: Vec::new(),
            fields: Arc::new(|_| Vec::new()),
            policy: policy(),
            schedule: None,
            presenters: Vec::new(),
        }
    }

    /// Rotations wait until this consumer has what they published.
    pub fn presented_by(mut self, consumer: &str) -> Result<Self, BadName> {
        self.presenters.push(ConsumerId::parse(consumer)?);
        Ok(self)
    }

    /// How its rotations go. [`Policy::presenters`] follows from who was named, [`Policy::checks`] from what is asked.
    #[must_use]
    pub fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    /// What mints its values; else [`Random`] with its default rule.
    #[must_use]
    pub fn generator(mut self, generator: Arc<dyn Generate>) -> Self {
        self.generator = Some(generator);
        self
    }

    /// One question more that is asked about each candidate, beside the target's own verification: what is known to fail
    /// rolls back, what is unknown passes nothing.
    #[must_use]
    pub fn check(mut self, check: Arc<dyn Check>) -> Self {
        self.checks.push(check);
        self
    }

    /// What consumers need beside the value, such as the user's name, for the slot that holds it: `(field, text)`.
    #[must_use]
    pub fn fields(mut self, fields: impl Fn(Slot) -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        self.fields = Arc::new(fields);
        self
    }

    /// Another store, beside the embedded one. A group is published once all have the value.
    pub fn store(mut self, name: &str, store: Arc<dyn SecretStore>) -> Result<Self, BadName> {
        self.stores.insert(StoreId::parse(name)?, store);
        Ok(self)
    }

    /// When it rotates by itself.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(Arc::new(schedule));
        self
    }

    pub(crate) fn scheduled(mut self, schedule: Option<Schedule>) -> Self {
        self.schedule = schedule.map(Arc::new);
        self
    }

    pub(crate) fn bind(&self, store: &Embedded) -> Result<Binding, Fault> {
        let bad = |why: String| Fault::untouched(FaultKind::Misconfigured, why);
        let embedded = StoreId::parse(EMBEDDED).map_err(|error| bad(error.why.to_owned()))?;
        if self.stores.contains_key(&embedded) {
            return Err(bad(format!("group {}: the name of a store cannot be {EMBEDDED}", self.name)));
        }
        let mut stores = self.stores.clone();
        stores.insert(embedded, Arc::new(store.clone()));
        let generator = match &self.generator {
            Some(generator) => Arc::clone(generator),
            None => Arc::new(Random::new(&RandomRule::default()).map_err(|error| bad(error.to_string()))?),
        };
        let policy = Policy {
            presenters: !self.presenters.is_empty(),
            checks: self.checks.iter().map(|check| check.moments()).collect(),
            ..self.policy.clone()
        };
        Ok(Binding {
            group: self.name.clone(),
            policy_digest: hex::encode(Sha256::digest(format!("{policy:?}"))).into(),
            policy: Arc::new(policy),
            target_name: self.name.as_str().into(),
            target: Arc::clone(&self.target),
            stores: Arc::new(stores),
            generator,
            checks: self.checks.clone().into(),
            publish_fields: Arc::clone(&self.fields),
            schedule: self.schedule.clone(),
        })
    }

    fn roll(&self) -> (GroupId, Vec<(ConsumerId, Role)>) {
        (self.name.clone(), self.presenters.iter().map(|consumer| (consumer.clone(), Role::Presenter)).collect())
    }
}

fn policy() -> Policy {
    Policy {
        strategy: None,
        accept_outage: false,
        passes_min: 3,
        quiet_min: Duration::from_secs(60),
        overlap_min: Duration::ZERO,
        brake_for: Duration::from_secs(300),
        poll: Duration::from_secs(5),
        reach_min: Reach::Loaded,
        auto_rollback: true,
        candidates_max: 3,
        deadlines: BTreeMap::new(),
        approvals: BTreeMap::new(),
        verifiers: false,
        presenters: false,
        fetch_to_load_max: Duration::ZERO,
        max_retries: 3,
        retry_after: Duration::from_secs(60),
        checks: Moments::default(),
        emergency: handover_core::Terms::default(),
        waves: Vec::new(),
    }
}

/// Makes a [`Manager`].
pub struct Builder {
    directory: PathBuf,
    key: MasterKey,
    groups: Vec<Group>,
    sinks: Vec<Arc<dyn Sink>>,
    options: Options,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("directory", &self.directory)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// A manager whose state and embedded store lie in a folder, sealed under a key.
    ///
    /// The folder must exist, and be readable by nobody else. Without its key a state cannot be opened: back both up, apart
    /// from each other.
    pub fn new(directory: impl AsRef<Path>, key: MasterKey) -> Self {
        Self {
            directory: directory.as_ref().to_owned(),
            key,
            groups: Vec::new(),
            sinks: Vec::new(),
            options: Options::default(),
        }
    }

    /// One group more.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Where history is delivered, one more.
    #[must_use]
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Limits and times of the engine.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Opens the state, takes its lease, and goes on with what is unfinished, on tasks of the runtime that this is called
    /// in. A start is no reason to rotate anything: what is due by schedule was due before.
    ///
    /// Errors: `Fenced` while another process has the state open, `Corrupt` under another key, `Misconfigured` where a group
    /// is named twice or a name is taken.
    pub async fn start(self) -> Result<Manager, Fault> {
        let sealer = Arc::new(Sealer::new(self.key));
        let state = Arc::new(Sqlite::open(&self.directory.join("state.db"), Arc::clone(&sealer))?);
        let store = Embedded::open(self.directory.join("store.db"), sealer)?;
        let bindings = self.groups.iter().map(|group| group.bind(&store)).collect::<Result<_, _>>()?;
        // Before anything is acted on: newcomers are waited for.
        state.declare_all(self.groups.iter().map(Group::roll).collect()).await?;
        let ports = Ports {
            state: Arc::clone(&state) as _,
            consumers: Arc::clone(&state) as _,
            sinks: self.sinks.clone(),
            clock: Arc::new(SystemClock),
        };
        let (service, engine) = Service::new(self.options, ports, bindings).await?;
        for group in &self.groups {
            let (name, wanted) = group.roll();
            let declared = state.declared_in(vec![name.clone()]).await?.into_iter().flatten();
            for (consumer, role) in declared.filter(|declared| !wanted.contains(declared)) {
                state.withdraw(&name, &consumer, role).await?;
            }
        }
        let (drain, drained) = watch::channel(false);
        let task = tokio::spawn(service.run(drained));
        Ok(Manager::new(engine, store, self.groups, self.sinks, drain, task))
    }
}
