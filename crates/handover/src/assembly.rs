//! From the configuration to a running engine: what is wired to what.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handover_adapters::check::{CheckConfig, Parts};
use handover_adapters::notify::{Notifier, NotifyConfig};
use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::state::sqlite::Sqlite;
use handover_adapters::store::embedded::Embedded;
use handover_adapters::target::TargetConfig;
use handover_core::port::{Check, Generate, Sink, StateStore as _, Target};
use handover_core::schedule::Schedule;
use handover_core::{ConsumerId, Fault, FaultKind, GroupId, Policy, Role, Row};
use handover_engine::{Binding, Handle, Options, Ports, Service, SystemClock};
use handover_secret::Secret;

use crate::backup::beside;
use crate::config::delivery::Delivery;
use crate::config::{Called, Config, GenerateConfig, Group, PolicyConfig, STORE_EMBEDDED, ScheduleConfig};
use crate::failure::Failure;
use crate::file;
use crate::remote_stores::{Shelf, WiredStore};

/// An engine that holds the lease, and what it is wired to.
pub(crate) struct Assembly {
    /// The loop, to be run.
    pub(crate) service: Service,
    /// The engine's handle.
    pub(crate) engine: Handle,
    /// The embedded store.
    pub(crate) store: Embedded,
    /// The state.
    pub(crate) state: Arc<Sqlite>,
    /// What groups and sinks were made from.
    pub(crate) wired: Wired,
}

/// What groups and sinks were made from, for a later look at whether it is still the same.
#[derive(Default)]
pub(crate) struct Wired {
    /// By group.
    pub(crate) targets: BTreeMap<GroupId, TargetFiles>,
    /// In the order of the configuration.
    pub(crate) sinks: Vec<WiredSink>,
    /// In the order of the configuration.
    pub(crate) stores: Vec<WiredStore>,
}

/// What the files hold that a target's configuration names. Groups that name the same file share it.
#[derive(Clone)]
pub(crate) struct TargetFiles {
    password: Arc<Secret>,
    ca_pem: Arc<[u8]>,
    /// Of each check, in order.
    checks_ca_pem: Vec<Option<Arc<[u8]>>>,
}

/// Reads files of targets, each once.
#[derive(Default)]
pub(crate) struct TargetFilesReader {
    passwords: HashMap<PathBuf, Arc<Secret>>,
    cas: HashMap<PathBuf, Arc<[u8]>>,
}

/// What the files hold that a sink's configuration names.
#[derive(Clone, Default)]
pub(crate) struct SinkFiles {
    ca_pem: Option<Vec<u8>>,
    secrets: Vec<Arc<Secret>>,
}

/// A sink, and what it was made from.
#[derive(Clone)]
pub(crate) struct WiredSink {
    /// As configured.
    pub(crate) config: Delivery,
    files: SinkFiles,
    /// The sink.
    pub(crate) sink: Arc<dyn Sink>,
}

impl TargetFilesReader {
    pub(crate) fn read(&mut self, group: &Group) -> Result<TargetFiles, Failure> {
        let password = group
            .target
            .admin_password_file()
            .map(|path| once(&mut self.passwords, path, |path| file::secret(path, "the password file").map(Arc::new)));
        let ca_pem = group
            .target
            .ca_file()
            .map(|path| once(&mut self.cas, path, |path| file::public(path, "the CA file").map(Arc::from)));
        let of_check = |check: &CheckConfig| {
            let ca = |path| once(&mut self.cas, path, |path| file::public(path, "the CA file").map(Arc::from));
            check.ca_file().map(ca).transpose()
        };
        let checks_ca_pem = group.checks.iter().map(of_check).collect::<Result<_, _>>()?;
        // A target without them asks for neither.
        let password = password.transpose()?.unwrap_or_else(|| Arc::new(Secret::from_bytes(Vec::new())));
        let ca_pem = ca_pem.transpose()?.unwrap_or_else(|| Arc::from([]));
        Ok(TargetFiles { password, ca_pem, checks_ca_pem })
    }
}

fn once<T: Clone>(
    known: &mut HashMap<PathBuf, T>,
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(same) = known.get(path) {
        return Ok(same.clone());
    }
    let new = read(path)?;
    known.insert(path.to_owned(), new.clone());
    Ok(new)
}

impl TargetFiles {
    /// Whether they hold the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.password.matches(&other.password)
            && self.ca_pem == other.ca_pem
            && self.checks_ca_pem == other.checks_ca_pem
    }
}

impl SinkFiles {
    pub(crate) fn read(config: &Delivery) -> Result<Self, Failure> {
        let ca_pem = config.ca_file().map(|path| file::public(path, "the CA file")).transpose()?;
        let what = match config {
            Delivery::Sink(_) => "the token file",
            Delivery::Notify(_) => "a file of a notifier",
        };
        let secret = |path| file::secret(path, what).map(Arc::new);
        let secrets = config.secret_files().into_iter().map(secret).collect::<Result<_, _>>()?;
        Ok(Self { ca_pem, secrets })
    }

    fn same(&self, other: &Self) -> bool {
        let pairs = || self.secrets.iter().zip(&other.secrets);
        self.secrets.len() == other.secrets.len()
            && pairs().all(|(one, two)| one.matches(two))
            && self.ca_pem == other.ca_pem
    }
}

impl WiredSink {
    /// Opens the file of a file sink, and contacts nobody.
    pub(crate) fn make(config: Delivery, files: SinkFiles) -> Result<Self, Failure> {
        let secrets = files.secrets.iter().map(|secret| secret.duplicate()).collect();
        let sink = config.clone().build(files.ca_pem.as_deref(), secrets)?;
        Ok(Self { config, files, sink })
    }

    /// Whether it was made from this.
    pub(crate) fn is(&self, config: &Delivery, files: &SinkFiles) -> bool {
        self.config == *config && self.files.same(files)
    }
}

/// How the files of a restore are named before they stand in place.
pub(crate) const RESTORING: &str = "restoring";

/// Opens everything and takes the lease. Nothing is acted on yet. Blocks while files are opened and checked.
pub(crate) async fn assemble(config: &Config) -> Result<Assembly, Failure> {
    let sealer = sealer(config)?;
    not_lost(config)?;
    let state = Arc::new(state(config, sealer.clone())?);
    let stores = WiredStore::make_all(config, &sealer)?;
    let store = store(config, &state, sealer).await?;
    let (mut bindings, mut targets) =
        (Vec::with_capacity(config.groups.len()), Vec::with_capacity(config.groups.len()));
    let (mut files, mut binder) = (TargetFilesReader::default(), Binder::new(&store, &stores));
    for group in &config.groups {
        let files = files.read(group)?;
        bindings.push(binder.bind(group, &files)?);
        targets.push((group.name.clone(), files));
    }
    // Made at once, the map has no room to spare.
    let mut wired = Wired { targets: targets.into_iter().collect(), sinks: Vec::new(), stores };
    let deliveries = config.all_deliveries();
    begin_now(&state, &deliveries).await?;
    for configured in deliveries {
        let files = SinkFiles::read(&configured)?;
        wired.sinks.push(WiredSink::make(configured, files)?);
    }
    let sinks = wired.sinks.iter().map(|wired| Arc::clone(&wired.sink)).collect();
    let options = Options {
        checkpoint_every: config.checkpoint_every.0,
        drift_every: config.drift_every.0,
        login_every: config.login_every.0,
        scheduled_max: config.scheduled_max,
        ..Options::default()
    };
    let ports = Ports { state: state.clone(), consumers: state.clone(), sinks, clock: Arc::new(SystemClock) };
    let (service, engine) = Service::new(options, ports, bindings).await?;
    call(&state, &config.groups).await?;
    excuse(&state, &config.groups).await?;
    Ok(Assembly { service, engine, store, state, wired })
}

/// Has those who are told begin at the end of the history, where they are here for the first time: nobody is told what
/// was before. A cursor of its own keeps that it was done, so that what could not be told since is not passed over.
pub(crate) async fn begin_now(state: &Sqlite, deliveries: &[Delivery]) -> Result<(), Fault> {
    for delivery in deliveries {
        let Delivery::Notify(notify) = delivery else { continue };
        let (cursor, begun) = (notify.cursor_name(), format!("{}/begun", notify.cursor_name()));
        if state.cursor(&begun).await? > 0 {
            continue;
        }
        let last = state.history(None, None, 1).await?.first().map_or(0, |record| record.position);
        state.move_cursor(&cursor, last).await?;
        state.move_cursor(&begun, 1).await?;
    }
    Ok(())
}

/// How many groups share one transaction when the roll follows the configuration.
const ROLL_GROUPS: usize = 1_000;

/// Has the roll follow the configuration, first half, before the engine acts on it: newcomers are waited for. They come
/// first, so that the roll does not look done in between.
pub(crate) async fn call(state: &Sqlite, groups: &[Arc<Group>]) -> Result<(), Fault> {
    for some in groups.chunks(ROLL_GROUPS) {
        let rolls = some.iter().map(|group| {
            let consumers = group.consumers.iter().map(|consumer| (consumer.name.clone(), consumer.role.role()));
            (group.name.clone(), consumers.collect())
        });
        state.declare_all(rolls.collect()).await?;
    }
    Ok(())
}

/// The second half: whoever was taken out of the configuration is not waited for any more; whoever came by itself stays.
pub(crate) async fn excuse(state: &Sqlite, groups: &[Arc<Group>]) -> Result<(), Fault> {
    for some in groups.chunks(ROLL_GROUPS) {
        let names: Vec<GroupId> = some.iter().map(|group| group.name.clone()).collect();
        let declared: Vec<Vec<(ConsumerId, Role)>> = state.declared_in(names).await?;
        for (group, declared) in some.iter().zip(declared) {
            for (consumer, role) in declared {
                if !group.declares(&consumer, role) {
                    tracing::info!(group = %group.name, %consumer, "not waited for any more: the configuration does not name it");
                    state.withdraw(&group.name, &consumer, role).await?;
                }
            }
        }
    }
    Ok(())
}

/// Reads the master key and derives what is needed.
pub(crate) fn sealer(config: &Config) -> Result<Arc<Sealer>, Failure> {
    let key = MasterKey::read(&config.master_key).map_err(|fault| {
        if fault.kind == FaultKind::Missing {
            return Failure::error(fault.to_string())
                .hint("restore it from its backup; only for a new installation, make one with `handover init`");
        }
        Failure::from(fault)
    })?;
    Ok(Arc::new(Sealer::new(key)))
}

/// A state that is gone is not made anew beside a store that is there: it would know of nothing that is in force.
fn not_lost(config: &Config) -> Result<(), Failure> {
    if let Some(left) =
        [&config.state, &config.store].map(|path| beside(path, RESTORING)).iter().find(|path| path.exists())
    {
        return Err(Failure::refused(format!("a restore was cut off: it left {}", left.display()))
            .hint("run `handover restore` again, with --replace"));
    }
    if config.state.exists() || !config.store.exists() {
        return Ok(());
    }
    let (state, store) = (config.state.display(), config.store.display());
    Err(Failure::refused(format!("the state {state} is not there, and the store {store} is")).hint(
        "restore the state from its backup, or name it with `state =`; the store alone does not say what is in force",
    ))
}

/// Opens the state.
pub(crate) fn state(config: &Config, sealer: Arc<Sealer>) -> Result<Sqlite, Failure> {
    Sqlite::open(&config.state, sealer).map_err(|fault| {
        if fault.kind == FaultKind::Fenced {
            return Failure::refused(fault.to_string()).hint("another server uses this state; stop it first");
        }
        Failure::from(fault)
    })
}

/// A sink, with what its files hold. Opens the file of a file sink, and contacts nobody.
pub(crate) fn sink(config: &Delivery) -> Result<Arc<dyn Sink>, Failure> {
    Ok(WiredSink::make(config.clone(), SinkFiles::read(config)?)?.sink)
}

/// One who is told, with what its files hold. Contacts nobody.
pub(crate) fn notifier(config: &NotifyConfig) -> Result<Arc<Notifier>, Failure> {
    let SinkFiles { ca_pem, secrets } = SinkFiles::read(&Delivery::Notify(config.clone()))?;
    let secrets = secrets.iter().map(|secret| secret.duplicate()).collect();
    Ok(config.clone().build(ca_pem.as_deref(), secrets)?)
}

/// The embedded store. One that is gone is not made anew: it would publish nothing to consumers that start, while the
/// state says that it does.
async fn store(config: &Config, state: &Sqlite, sealer: Arc<Sealer>) -> Result<Embedded, Failure> {
    if !config.store.exists() {
        let published = |row: &Row| row.heads.keys().any(|store| store.as_str() == STORE_EMBEDDED);
        for group in state.groups().await? {
            if state.load(&group).await?.is_some_and(|loaded| published(&loaded.row)) {
                let shown = config.store.display();
                return Err(Failure::refused(format!(
                    "the store {shown} is not there, and group {group} is published in it"
                ))
                .hint("restore it from the backup that belongs to this state, or name it with `store =`"));
            }
        }
    }
    Ok(Embedded::open(&config.store, sealer)?)
}

/// The group's target, with our own password read from its file.
pub(crate) fn target(group: &Group) -> Result<Arc<dyn Target>, Failure> {
    target_with(group, &mut TargetFilesReader::default())
}

/// The same for one of many groups.
pub(crate) fn target_with(group: &Group, files: &mut TargetFilesReader) -> Result<Arc<dyn Target>, Failure> {
    let files = files.read(group)?;
    let target = build(group, &files)?;
    checks(group, &files, &target)?;
    Ok(target)
}

/// The group's checks, which ask the target or others.
pub(crate) fn checks(
    group: &Group,
    files: &TargetFiles,
    target: &Arc<dyn Target>,
) -> Result<Vec<Arc<dyn Check>>, Failure> {
    let TargetFiles { password, ca_pem, checks_ca_pem } = files;
    let make = |(check, own): (&CheckConfig, &Option<Arc<[u8]>>)| {
        let parts = Parts {
            group: &group.name,
            target_config: &group.target,
            admin_password: password,
            target_ca_pem: ca_pem,
            target,
            ca_pem: own.as_deref(),
        };
        let built = check.clone().build(&parts);
        built.map_err(|fault| Failure::error(format!("group {}: {fault}", group.name)).hint("see docs/checks.md"))
    };
    group.checks.iter().zip(checks_ca_pem).map(make).collect()
}

fn build(group: &Group, files: &TargetFiles) -> Result<Arc<dyn Target>, Failure> {
    let TargetFiles { password, ca_pem, .. } = files;
    let built = group.target.clone().build(group.name.clone(), Arc::clone(password), ca_pem);
    built.map_err(|fault: Fault| {
        Failure::error(format!("group {}: {fault}", group.name)).hint("see the target's options in docs/connectors/")
    })
}

/// Binds groups; what several have in common is made once.
pub(crate) struct Binder {
    shelf: Shelf,
    /// That of the group before: most have the same rule.
    generator: Option<(Arc<GenerateConfig>, Arc<dyn Generate>)>,
    /// What the group before had.
    policy: Option<Planned>,
    /// That of the group before.
    schedule: Option<(Arc<ScheduleConfig>, Arc<Schedule>)>,
    /// Targets' names, as far as they are known.
    names: HashSet<Arc<str>>,
}

/// A policy as it is configured, and what follows from it.
#[derive(Clone)]
struct Planned {
    from: (Arc<PolicyConfig>, Called),
    policy: Arc<Policy>,
    digest: Arc<str>,
}

impl Binder {
    pub(crate) fn new(embedded: &Embedded, remote: &[WiredStore]) -> Self {
        Self {
            shelf: Shelf::new(embedded, remote),
            generator: None,
            policy: None,
            schedule: None,
            names: HashSet::new(),
        }
    }

    /// What a group is bound to.
    pub(crate) fn bind(&mut self, group: &Arc<Group>, files: &TargetFiles) -> Result<Binding, Failure> {
        let Planned { policy, digest, .. } = self.planned(group);
        let fields = Arc::clone(group);
        let target = build(group, files)?;
        Ok(Binding {
            group: group.name.clone(),
            policy,
            policy_digest: digest,
            target_name: self.target_name(&group.target),
            checks: checks(group, files, &target)?.into(),
            target,
            stores: self.shelf.stores(group)?,
            generator: self.generator(group)?,
            schedule: self.schedule(group)?,
            publish_fields: Arc::new(move |slot| fields.target.fields(slot).unwrap_or_default()),
        })
    }

    fn planned(&mut self, group: &Group) -> Planned {
        let called = group.called();
        if let Some(planned) = &self.policy
            && planned.from.1 == called
            && planned.from.0 == group.policy
        {
            return planned.clone();
        }
        let (policy, digest) = (Arc::new(group.policy.policy(called)), group.policy.digest(called).into());
        let planned = Planned { from: (Arc::clone(&group.policy), called), policy, digest };
        self.policy = Some(planned.clone());
        planned
    }

    fn schedule(&mut self, group: &Group) -> Result<Option<Arc<Schedule>>, Failure> {
        let Some(configured) = &group.schedule else { return Ok(None) };
        if let Some((from, schedule)) = &self.schedule
            && from == configured
        {
            return Ok(Some(Arc::clone(schedule)));
        }
        let made = configured.schedule().map_err(|wrong| Failure::error(format!("group {}: {wrong}", group.name)))?;
        let schedule = Arc::new(made);
        self.schedule = Some((Arc::clone(configured), Arc::clone(&schedule)));
        Ok(Some(schedule))
    }

    fn target_name(&mut self, target: &TargetConfig) -> Arc<str> {
        let name = target_name(target);
        if let Some(known) = self.names.get(name.as_str()) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    fn generator(&mut self, group: &Group) -> Result<Arc<dyn Generate>, Failure> {
        if let Some((rule, generator)) = &self.generator
            && *rule == group.generate
        {
            return Ok(Arc::clone(generator));
        }
        let generator = group.generate.build();
        let generator = generator.map_err(|why| Failure::error(format!("group {}: generate: {why}", group.name)))?;
        self.generator = Some((Arc::clone(&group.generate), Arc::clone(&generator)));
        Ok(generator)
    }
}

/// Groups on one cluster share its name, so that the limit on concurrent calls is the cluster's.
pub(crate) fn target_name(target: &TargetConfig) -> String {
    let main = match target {
        TargetConfig::Postgres(config) => config.endpoints.first().map(|main| (main.host.as_str(), main.port)),
        TargetConfig::Redis(config) => config.endpoints.first().map(|main| (main.host.as_str(), main.port)),
        TargetConfig::None(_) => None,
    };
    let kind = target.kind().as_str();
    main.map_or_else(|| kind.to_owned(), |(host, port)| format!("{kind} {host}:{port}"))
}
