//! Reading the configuration again while the server runs.
//!
//! It is checked whole before anything changes. Then the roll gets its newcomers, the engine its bindings and sinks, the
//! server its groups, and last those leave the roll whom the configuration does not name any more: nobody is forgotten
//! who may still be waited for. What dies in between is made whole by the next start, which reads the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use handover_adapters::sink::SinkConfig;
use handover_adapters::state::sqlite::Sqlite;
use handover_adapters::store::embedded::Embedded;
use handover_adapters::target::TargetConfig;
use handover_api::{Changes, Reloaded};
use handover_core::port::Sink;
use handover_core::{Fault, FaultKind, GroupId};
use handover_engine::{Handle, Rebind, RebindRefused, history};
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::assembly::{self, Binder, SinkFiles, TargetFiles, TargetFilesReader, Wired, WiredSink};
use crate::command::check;
use crate::config::delivery::Delivery;
use crate::config::{Config, Group};
use crate::failure::Failure;
use crate::metrics;
use crate::remote_stores::{self, WiredStore};
use crate::server::configured::Configured;

/// Takes another configuration.
pub(crate) struct Reloader {
    file: PathBuf,
    engine: Handle,
    store: Embedded,
    state: Arc<Sqlite>,
    configured: Configured,
    /// What is in force. Locked for the whole of a reload: two at once would each undo half of the other.
    running: Mutex<Running>,
}

struct Running {
    config: Config,
    wired: Wired,
}

/// What a [`Reloader`] works with.
pub(crate) struct Parts {
    pub(crate) engine: Handle,
    pub(crate) store: Embedded,
    pub(crate) state: Arc<Sqlite>,
    pub(crate) configured: Configured,
}

/// Why the configuration was not taken.
#[derive(Debug)]
pub(crate) enum ReloadRefused {
    /// It cannot be used, in the words of `check`.
    Unusable(Failure),
    /// These keys take effect with a restart only.
    RestartNeeded(Vec<String>),
    /// Rotations of these groups are live, and it does not name them any more, or other users for them.
    Live(Vec<GroupId>),
    /// The state store, or something of ours, failed.
    Fault(Fault),
}

impl Reloader {
    /// `config` is in force, and made `wired`.
    pub(crate) fn new(file: &Path, config: Config, wired: Wired, parts: Parts) -> Self {
        let Parts { engine, store, state, configured } = parts;
        let running = Mutex::new(Running { config, wired });
        Self { file: file.to_owned(), engine, store, state, configured, running }
    }

    /// Reads the configuration again, and takes it unless `check` is set. Says so in the log. Goes on to its end also
    /// if whoever asks does not wait for it.
    pub(crate) async fn reload(self: Arc<Self>, check: bool, actor: String) -> Result<Reloaded, ReloadRefused> {
        let reload = tokio::spawn(async move {
            let done = self.carry_out(check).await;
            if !check {
                log(&actor, &done);
                self.record(&actor, &done).await;
            }
            done
        });
        reload.await.unwrap_or_else(|_| Err(ReloadRefused::Fault(ended_without_an_answer())))
    }

    async fn record(&self, actor: &str, done: &Result<Reloaded, ReloadRefused>) {
        let recorded = match done {
            Ok(Reloaded { groups, sinks, .. }) => {
                let of = |changes: &Changes| {
                    [&changes.added, &changes.changed, &changes.removed].map(|names| names_told(names))
                };
                let ([groups_added, groups_changed, groups_removed], [sinks_added, sinks_changed, sinks_removed]) =
                    (of(groups), of(sinks));
                let mut fields = vec![
                    ("groups_added", groups_added),
                    ("groups_changed", groups_changed),
                    ("groups_removed", groups_removed),
                    ("sinks_added", sinks_added),
                    ("sinks_changed", sinks_changed),
                    ("sinks_removed", sinks_removed),
                ];
                fields.retain(|(_, names)| !names.is_empty());
                self.engine.access_changed(history::RELOADED, actor, fields).await
            }
            Err(refused) => {
                let fields = vec![("code", refused.code().to_owned())];
                self.engine.access_changed(history::RELOAD_REFUSED, actor, fields).await
            }
        };
        if let Err(fault) = recorded {
            tracing::error!(code = fault.kind.code(), detail = %fault.detail, "a reload is not in the history");
        }
    }

    /// Reloads whenever the signal comes. Those that come meanwhile are one.
    pub(crate) async fn follow(self: Arc<Self>, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            drop(Arc::clone(&self).reload(false, "SIGHUP".to_owned()).await);
        }
    }

    async fn carry_out(&self, check: bool) -> Result<Reloaded, ReloadRefused> {
        let mut running = self.running.lock().await;
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || Fresh::read(&file)).await;
        let fresh = read.map_err(|_| ReloadRefused::Fault(ended_without_an_answer()))?;
        let mut fresh = fresh.map_err(ReloadRefused::Unusable)?;
        fresh.keep(&running.config);
        let difference = Difference::between(&running, &fresh);
        let pinned = [difference.gone.as_slice(), &difference.elsewhere].concat();
        let live = self.engine.live_among(&pinned).await.map_err(ReloadRefused::Fault)?;
        if !live.is_empty() {
            return Err(ReloadRefused::Live(live));
        }
        if check {
            return Ok(difference.told);
        }
        if !difference.told.restart_needed.is_empty() {
            return Err(ReloadRefused::RestartNeeded(difference.told.restart_needed));
        }
        self.take(&mut running, fresh, difference).await
    }

    async fn take(
        &self,
        running: &mut Running,
        fresh: Fresh,
        difference: Difference,
    ) -> Result<Reloaded, ReloadRefused> {
        let Difference { told, anew, gone, elsewhere } = difference;
        let Fresh { config, targets, sinks, stores } = fresh;
        let stores = remote_stores::keep(&running.wired.stores, stores);
        let anew: BTreeSet<GroupId> = anew.into_iter().collect();
        let anew: Vec<Arc<Group>> = config.groups.iter().filter(|group| anew.contains(&group.name)).cloned().collect();
        let mut binder = Binder::new(&self.store, &stores);
        let bind = |group: &Arc<Group>| match targets.get(&group.name) {
            Some(files) => binder.bind(group, files),
            None => Err(Failure::error(format!("group {} was not read", group.name))),
        };
        let bindings = anew.iter().map(bind).collect::<Result<Vec<_>, _>>().map_err(ReloadRefused::Unusable)?;
        let sinks = wire(&running.wired.sinks, sinks).map_err(ReloadRefused::Unusable)?;
        assembly::begin_now(&self.state, &config.all_deliveries()).await.map_err(ReloadRefused::Fault)?;
        assembly::call(&self.state, &anew).await.map_err(ReloadRefused::Fault)?;
        let objects = sinks.iter().map(|wired| Arc::clone(&wired.sink)).collect();
        self.engine.rebind(Rebind { bindings, removed: gone, at_rest: elsewhere, sinks: objects }).await?;
        self.configured.take(&config);
        let over = over(&running.wired.sinks, &sinks);
        running.wired = Wired { targets, sinks, stores };
        let failed = assembly::excuse(&self.state, &anew).await.err();
        for group in &anew {
            if failed.is_some() {
                // It counts as changed the next time, so that this is tried again.
                running.wired.targets.remove(&group.name);
            }
            self.engine.wake(&group.name);
        }
        let before: BTreeSet<&GroupId> = running.config.groups.iter().map(|group| &group.name).collect();
        let added = anew.iter().map(|group| group.name.clone()).filter(|name| !before.contains(name)).collect();
        running.config = config;
        released(over).await;
        tokio::spawn(metrics::recall(self.engine.clone(), added));
        match failed {
            None => Ok(told),
            Some(Fault { kind, touched, detail }) => {
                let detail = format!(
                    "the configuration is in force, but whoever it does not name any more is still waited for: {detail}; \
                     reload again"
                );
                Err(ReloadRefused::Fault(Fault { kind, touched, detail }))
            }
        }
    }
}

impl From<RebindRefused> for ReloadRefused {
    fn from(refused: RebindRefused) -> Self {
        match refused {
            RebindRefused::Live(groups) => Self::Live(groups),
            RebindRefused::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl ReloadRefused {
    /// Its code, as the API answers it.
    const fn code(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "configuration",
            Self::RestartNeeded(_) => "restart_needed",
            Self::Live(_) => "live",
            Self::Fault(fault) => fault.kind.code(),
        }
    }

    /// What is wrong, and the next step.
    pub(crate) fn words(&self) -> (String, String) {
        match self {
            Self::Unusable(failure) => {
                let (words, next) = failure.parts();
                (words.to_owned(), next.unwrap_or("`handover check` says what mends it").to_owned())
            }
            Self::RestartNeeded(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
                let (verb, them) = if keys.len() == 1 { ("takes", "it") } else { ("take", "them") };
                (
                    format!("{} {verb} effect with a restart only; nothing was changed", keys.join(", ")),
                    format!("restart the server, or put {them} back and reload"),
                )
            }
            Self::Live(groups) => {
                let names: Vec<_> = groups.iter().map(GroupId::as_str).collect();
                (
                    format!(
                        "a rotation of {} is live, and the configuration does not name the group any more, or gives it \
                         another database, owner, twins or versioned users; nothing was changed",
                        names.join(", ")
                    ),
                    "put it back as it was, let its rotation end or abandon it, and change it then".to_owned(),
                )
            }
            Self::Fault(fault) => (fault.to_string(), format!("see docs/errors/{}.md", fault.kind.code())),
        }
    }
}

/// The configuration as it stands in the file, with the contents of the files that it names.
struct Fresh {
    config: Config,
    targets: BTreeMap<GroupId, TargetFiles>,
    sinks: Vec<(Delivery, SinkFiles)>,
    stores: Vec<WiredStore>,
}

impl Fresh {
    /// Blocks.
    fn read(file: &Path) -> Result<Self, Failure> {
        let config = Config::load(file)?;
        check::look(&config)?;
        let mut files = TargetFilesReader::default();
        let targets = config
            .groups
            .iter()
            .map(|group| Ok((group.name.clone(), files.read(group)?)))
            .collect::<Result<_, Failure>>()?;
        let sinks = config
            .all_deliveries()
            .into_iter()
            .map(|sink| {
                let files = SinkFiles::read(&sink)?;
                Ok((sink, files))
            })
            .collect::<Result<_, Failure>>()?;
        let stores = WiredStore::make_all(&config, &assembly::sealer(&config)?)?;
        Ok(Self { config, targets, sinks, stores })
    }

    /// Takes groups that are the same as before from there. What they are bound to holds them, so that otherwise each
    /// would be in memory twice from now on.
    fn keep(&mut self, before: &Config) {
        let before: BTreeMap<&GroupId, &Arc<Group>> = before.groups.iter().map(|group| (&group.name, group)).collect();
        let targets = &mut self.targets;
        let kept = self.config.groups.iter_mut().filter_map(|group| {
            if let Some(old) = before.get(&group.name)
                && ***old == **group
            {
                *group = Arc::clone(old);
            }
            targets.remove(&group.name).map(|files| (group.name.clone(), files))
        });
        let kept = kept.collect();
        self.targets = kept;
    }
}

/// What is another than what runs.
struct Difference {
    told: Reloaded,
    /// Groups to be bound.
    anew: Vec<GroupId>,
    /// Groups that are not named any more.
    gone: Vec<GroupId>,
    /// Groups whose slots are others: what a live rotation did is not there.
    elsewhere: Vec<GroupId>,
}

impl Difference {
    fn between(running: &Running, fresh: &Fresh) -> Self {
        let mut told = Reloaded { restart_needed: restart_needed(running, fresh), ..Reloaded::default() };
        let before: BTreeMap<&GroupId, &Arc<Group>> =
            running.config.groups.iter().map(|group| (&group.name, group)).collect();
        let (mut anew, mut elsewhere) = (Vec::new(), Vec::new());
        for group in &fresh.config.groups {
            let files = running.wired.targets.get(&group.name).zip(fresh.targets.get(&group.name));
            let same_stores = remote_stores::same_for(group, &running.wired.stores, &fresh.stores);
            let old = before.get(&group.name);
            if old.is_some_and(|old| is_elsewhere(&old.target, &group.target)) {
                elsewhere.push(group.name.clone());
            }
            match old {
                None => told.groups.added.push(group.name.to_string()),
                Some(old) if **old == *group && same_stores && files.is_some_and(|(old, new)| old.same(new)) => {
                    continue;
                }
                Some(_) => told.groups.changed.push(group.name.to_string()),
            }
            anew.push(group.name.clone());
        }
        let gone: Vec<GroupId> =
            before.into_keys().filter(|name| !fresh.targets.contains_key(*name)).cloned().collect();
        told.groups.removed = gone.iter().map(ToString::to_string).collect();
        told.sinks = changes_of_sinks(&running.wired.sinks, &fresh.sinks);
        Self { told, anew, gone, elsewhere }
    }
}

/// Whether a slot is another user than before. Another address may lead to the same cluster.
fn is_elsewhere(old: &TargetConfig, new: &TargetConfig) -> bool {
    match (old, new) {
        (TargetConfig::Postgres(old), TargetConfig::Postgres(new)) => {
            (&old.database, &old.owner, &old.twins, &old.versioned)
                != (&new.database, &new.owner, &new.twins, &new.versioned)
        }
        (TargetConfig::Redis(old), TargetConfig::Redis(new)) => old.twins != new.twins,
        (TargetConfig::None(_), TargetConfig::None(_)) => false,
        (TargetConfig::Postgres(_) | TargetConfig::Redis(_) | TargetConfig::None(_), _) => true,
    }
}

fn changes_of_sinks(running: &[WiredSink], fresh: &[(Delivery, SinkFiles)]) -> Changes {
    let mut changes = Changes::default();
    for (config, files) in fresh {
        match running.iter().find(|wired| wired.config.name() == config.name()) {
            None => changes.added.push(config.name()),
            Some(wired) if wired.is(config, files) => {}
            Some(_) => changes.changed.push(config.name()),
        }
    }
    let gone = running.iter().map(|wired| wired.config.name());
    let gone = gone.filter(|name| fresh.iter().all(|(config, _)| config.name() != *name));
    changes.removed = gone.collect();
    changes
}

/// All sinks: those that are the same as they are, the others made.
fn wire(running: &[WiredSink], fresh: Vec<(Delivery, SinkFiles)>) -> Result<Vec<WiredSink>, Failure> {
    let mut wired = Vec::with_capacity(fresh.len());
    for (config, files) in fresh {
        match running.iter().find(|wired| wired.is(&config, &files)) {
            Some(same) => wired.push(same.clone()),
            None => wired.push(WiredSink::make(config, files)?),
        }
    }
    Ok(wired)
}

/// Sinks that are not used any more.
fn over(before: &[WiredSink], now: &[WiredSink]) -> Vec<Weak<dyn Sink>> {
    let gone = before.iter().filter(|old| now.iter().all(|new| !Arc::ptr_eq(&old.sink, &new.sink)));
    gone.map(|old| Arc::downgrade(&old.sink)).collect()
}

/// Waits until the engine has let go of these sinks, so that whoever is told that one is gone may have its file. One that
/// hangs in a delivery is not waited for: it ends by itself.
async fn released(sinks: Vec<Weak<dyn Sink>>) {
    let limit = Instant::now() + RELEASE_MAX;
    while sinks.iter().any(|sink| sink.strong_count() > 0) && Instant::now() < limit {
        tokio::time::sleep(RELEASE_POLL).await;
    }
}

/// How long the answer to a reload waits for sinks that it took out.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// How often it looks.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// Keys that differ, and are read at a start only. A key that comes has to be decided on here.
fn restart_needed(running: &Running, fresh: &Fresh) -> Vec<String> {
    let Config {
        listen,
        tls,
        metrics_listen,
        leave_after: _,
        telemetry,
        state,
        store,
        master_key,
        tokens,
        audit_file: _,
        hooks: _,
        checkpoint_every,
        drift_every,
        login_every,
        alerts: _,
        scheduled_max,
        sinks: _,
        remote_stores: _,
        notify: _,
        groups: _,
    } = &running.config;
    let new = &fresh.config;
    let differ = [
        ("listen", *listen != new.listen),
        ("tls", *tls != new.tls),
        ("metrics_listen", *metrics_listen != new.metrics_listen),
        ("telemetry", *telemetry != new.telemetry),
        ("state", *state != new.state),
        ("store", *store != new.store),
        ("master_key", *master_key != new.master_key),
        ("tokens", *tokens != new.tokens),
        ("checkpoint_every", *checkpoint_every != new.checkpoint_every),
        ("drift_every", *drift_every != new.drift_every),
        ("login_every", *login_every != new.login_every),
        ("scheduled_max", *scheduled_max != new.scheduled_max),
    ];
    let mut keys: Vec<String> =
        differ.iter().filter(|(_, differs)| *differs).map(|(key, _)| (*key).to_owned()).collect();
    // A file is locked by the sink that appends to it, until that sink has ended.
    for (config, _) in &fresh.sinks {
        let Delivery::Sink(SinkConfig::File(file)) = config else { continue };
        let held = running.wired.sinks.iter().any(|wired| match &wired.config {
            Delivery::Sink(SinkConfig::File(other)) => other.path == file.path && other.name != file.name,
            Delivery::Sink(SinkConfig::Syslog(_) | SinkConfig::Http(_)) | Delivery::Notify(_) => false,
        });
        if held {
            keys.push(format!("the name of sink {}", file.name));
        }
    }
    keys
}

fn log(actor: &str, done: &Result<Reloaded, ReloadRefused>) {
    match done {
        Ok(Reloaded { groups, sinks, .. }) => {
            let list = names_told;
            tracing::info!(
                actor,
                groups_added = list(&groups.added),
                groups_changed = list(&groups.changed),
                groups_removed = list(&groups.removed),
                sinks_added = list(&sinks.added),
                sinks_changed = list(&sinks.changed),
                sinks_removed = list(&sinks.removed),
                "configuration taken"
            );
        }
        Err(refused) => {
            let (detail, hint) = refused.words();
            tracing::error!(actor, detail, hint, "configuration not taken");
        }
    }
}

/// As many as somebody reads; the answer to the request has them all.
fn names_told(names: &[String]) -> String {
    match names.get(NAMES_TOLD_MAX..) {
        Some(rest) if !rest.is_empty() => format!("{} and {} more", names[..NAMES_TOLD_MAX].join(" "), rest.len()),
        Some(_) | None => names.join(" "),
    }
}

/// The most names that a line of the log, or a record, lists.
const NAMES_TOLD_MAX: usize = 100;

fn ended_without_an_answer() -> Fault {
    Fault::unknown(FaultKind::Bug, "reading the configuration again ended without an answer; the log says more")
}
