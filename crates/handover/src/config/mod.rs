//! The configuration: one file, typed, unknown keys refused. It names secrets by file and never holds them.

mod approval;
mod checks;
pub(crate) mod delivery;
mod depends;
pub(crate) mod duration;
mod emergency;
mod findings;
mod generate;
mod hook;
mod policy;
mod read;
mod schedule;
mod schema;
mod shape;
mod shape_check;
mod shape_emergency;
mod shape_hook;
mod shape_notify;
mod split;
mod stores;
mod telemetry;
mod tls;
mod waves;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handover_adapters::check::CheckConfig;
use handover_adapters::notify::NotifyConfig;
use handover_adapters::sink::{SinkConfig, file};
use handover_adapters::store::RemoteStoreConfig;
use handover_adapters::target::{Common, TargetConfig};
use handover_core::{ConsumerId, GroupId, Role};
use handover_engine::history::is_reserved;
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;
use crate::terminal;
pub(crate) use approval::GateName;
use delivery::Delivery;
use duration::Span;
use findings::At;
pub(crate) use findings::Wrong;
pub(crate) use generate::GenerateConfig;
pub(crate) use hook::HookConfig;
pub(crate) use policy::{Called, PolicyConfig};
pub(crate) use read::Unusable;
pub(crate) use schedule::ScheduleConfig;
pub(crate) use schema::schema;
pub(crate) use telemetry::Telemetry;
pub(crate) use tls::{ClientAuth, TlsConfig};

/// The file's name where none is given.
pub(crate) const FILE: &str = "handover.toml";

/// The name of the store that is always there.
pub(crate) const STORE_EMBEDDED: &str = "embedded";

/// The name of the sink that `audit_file` makes.
pub(crate) const SINK_AUDIT_FILE: &str = "audit-file";

/// The most groups in one file. Each costs memory and a look at a start; the bound is there to catch a generated file gone
/// wrong.
const GROUPS_MAX: usize = 100_000;

/// The whole configuration. Relative paths start at the file's own directory.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Address and port to listen on. Other than loopback only with TLS.
    #[serde(default = "listen")]
    pub(crate) listen: SocketAddr,
    /// TLS on that port.
    pub(crate) tls: Option<TlsConfig>,
    /// Address and port on loopback where metrics are served to everybody who can connect. Absent: nowhere else than on
    /// `listen`, with a token.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// How long the server says that it is not ready before it refuses connections at an end.
    #[serde(default = "leave_after")]
    pub(crate) leave_after: Span,
    /// Where traces go.
    #[serde(default)]
    pub(crate) telemetry: Telemetry,
    /// The state: rows, sealed candidates, history.
    #[serde(default = "state")]
    pub(crate) state: PathBuf,
    /// The embedded store: published values, sealed.
    #[serde(default = "store")]
    pub(crate) store: PathBuf,
    /// The master key, mode 0600. Without it neither the state nor the store can be opened.
    #[serde(default = "master_key")]
    pub(crate) master_key: PathBuf,
    /// The tokens, as hashes, mode 0600.
    #[serde(default = "tokens")]
    pub(crate) tokens: PathBuf,
    /// A file to which the audit records are appended, beside the state. Absent: none.
    pub(crate) audit_file: Option<PathBuf>,
    /// How long after a change the history gets a signed checkpoint.
    #[serde(default = "checkpoint_every")]
    pub(crate) checkpoint_every: Span,
    /// How often remote stores are looked at while nothing rotates.
    #[serde(default = "drift_every")]
    pub(crate) drift_every: Span,
    /// How often it is tried whether a target still accepts what is in force, while nothing rotates.
    #[serde(default = "login_every")]
    pub(crate) login_every: Span,
    /// When the server alerts.
    #[serde(default)]
    pub(crate) alerts: AlertsConfig,
    /// How many rotations may be live for the schedule to start another one.
    #[serde(default = "scheduled_max")]
    pub(crate) scheduled_max: usize,
    /// Where else the audit records are delivered.
    #[serde(default, rename = "sink")]
    pub(crate) sinks: Vec<SinkConfig>,
    /// Stores of others in which values are published.
    #[serde(default, rename = "remote_store")]
    pub(crate) remote_stores: Vec<RemoteStoreConfig>,
    /// Who is told what happens.
    #[serde(default)]
    pub(crate) notify: Vec<NotifyConfig>,
    /// Who may order an emergency by a signed message.
    #[serde(default, rename = "hook")]
    pub(crate) hooks: Vec<HookConfig>,
    /// The groups. Whoever needs one shares it: there may be many.
    #[serde(default, rename = "group", deserialize_with = "split::each_shared")]
    pub(crate) groups: Vec<Arc<Group>>,
}

/// When the server alerts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AlertsConfig {
    /// How long a rotation may wait for its consumers.
    pub(crate) propagate_max: Span,
    /// How long it may be unknown whether an act took place.
    pub(crate) unknown_max: Span,
    /// How long a rotation may wait for an approval.
    pub(crate) approval_max: Span,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            propagate_max: Span::seconds(30 * 60),
            unknown_max: Span::seconds(15 * 60),
            approval_max: Span::seconds(4 * 3_600),
        }
    }
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name: 1 to 63 of `a-z 0-9 - _ .`.
    #[serde(deserialize_with = "group_name")]
    pub(crate) name: GroupId,
    /// How it rotates.
    #[serde(default, deserialize_with = "split::shared")]
    pub(crate) policy: Arc<PolicyConfig>,
    /// What accepts its credential: `kind`, and that kind's options.
    pub(crate) target: TargetConfig,
    /// When it is rotated without anybody asking, and when that may be.
    #[serde(default, deserialize_with = "split::shared_if_any")]
    pub(crate) schedule: Option<Arc<ScheduleConfig>>,
    /// Where it is published: `embedded`, and remote stores by name.
    #[serde(default = "stores", deserialize_with = "split::shared")]
    pub(crate) stores: Arc<Vec<String>>,
    /// Who presents or verifies it. The list counts as complete: whoever is not on it is not waited for, until it
    /// fetches the value.
    #[serde(default, deserialize_with = "split::shared")]
    pub(crate) consumers: Arc<Vec<Consumer>>,
    /// What is asked of the credential beside the target's own verification, in this order.
    #[serde(default, rename = "check", deserialize_with = "split::shared")]
    pub(crate) checks: Arc<Vec<CheckConfig>>,
    /// How its values are made.
    #[serde(default, deserialize_with = "split::shared")]
    pub(crate) generate: Arc<GenerateConfig>,
    /// What happens when a value is fetched and the record of it cannot be written.
    #[serde(default)]
    pub(crate) audit_reads: AuditReads,
    /// Groups whose rotation comes before this one's in a campaign.
    #[serde(default, deserialize_with = "depends::names")]
    pub(crate) depends_on: BTreeSet<GroupId>,
    /// Who answers for it: a name for reports and notifications.
    pub(crate) owner: Option<Box<str>>,
    /// By what it is selected: `key=value`.
    #[serde(default, deserialize_with = "split::shared")]
    pub(crate) labels: Arc<Vec<String>>,
    /// The oldest that what is in force may become. A group that is older is overdue.
    pub(crate) age_max: Option<Span>,
}

/// What happens when a value is fetched and the record of it cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditReads {
    /// The value is not handed out.
    Closed,
    /// It is, and the log says so: a full disk of ours stops no consumer that restarts.
    #[default]
    Open,
}

/// A declared consumer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consumer {
    /// Its identity: the name that its token is made for.
    #[serde(deserialize_with = "consumer_name")]
    pub(crate) name: ConsumerId,
    /// `presenter`. A `verifier` is known, and refused as long as no kind of target has any.
    #[serde(default)]
    pub(crate) role: RoleName,
}

/// [`Role`] by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleName {
    /// See [`Role::Presenter`].
    #[default]
    Presenter,
    /// See [`Role::Verifier`].
    Verifier,
}

impl RoleName {
    pub(crate) const fn role(self) -> Role {
        match self {
            Self::Presenter => Role::Presenter,
            Self::Verifier => Role::Verifier,
        }
    }
}

impl Group {
    /// Who is called in a rotation of this group.
    pub(crate) fn called(&self) -> Called {
        let declared = |role| self.consumers.iter().any(|consumer| consumer.role == role);
        Called {
            verifiers: declared(RoleName::Verifier),
            presenters: declared(RoleName::Presenter),
            checks: self.checks.iter().map(CheckConfig::moments).collect(),
        }
    }

    /// Whether the consumer is declared in this role.
    pub(crate) fn declares(&self, consumer: &ConsumerId, role: Role) -> bool {
        self.consumers.iter().any(|declared| declared.name == *consumer && declared.role.role() == role)
    }

    /// The declared roles of a consumer. One that nobody declared presents what it fetches.
    pub(crate) fn roles(&self, consumer: &ConsumerId) -> Vec<Role> {
        let declared: BTreeSet<RoleName> =
            self.consumers.iter().filter(|declared| declared.name == *consumer).map(|declared| declared.role).collect();
        if declared.is_empty() {
            return vec![Role::Presenter];
        }
        declared.into_iter().map(RoleName::role).collect()
    }
}

impl Config {
    /// All sinks, the one that `audit_file` makes first, and then whoever is told.
    pub(crate) fn all_deliveries(&self) -> Vec<Delivery> {
        let file =
            |path: &PathBuf| SinkConfig::File(file::Config { name: SINK_AUDIT_FILE.to_owned(), path: path.clone() });
        let sinks = self.audit_file.iter().map(file).chain(self.sinks.iter().cloned()).map(Delivery::Sink);
        sinks.chain(self.notify.iter().cloned().map(Delivery::Notify)).collect()
    }

    /// Their names.
    pub(crate) fn sink_names(&self) -> Vec<String> {
        self.all_deliveries().iter().map(Delivery::name).collect()
    }

    /// What a file says of traces, whatever its groups are; `None` if that is not usable.
    pub(crate) fn telemetry(file: &Path) -> Option<Telemetry> {
        let text = read::text(file).ok()?;
        let mut config: Self = toml::from_str(&split::head(&text).unwrap_or(text)).ok()?;
        if !config.check().is_empty() {
            return None;
        }
        config.telemetry.resolve(file.parent().unwrap_or(Path::new(".")));
        Some(config.telemetry)
    }

    /// Reads and checks a file. Nothing else is opened.
    pub(crate) fn load(file: &Path) -> Result<Self, Failure> {
        Self::read(file).map_err(Failure::from)
    }

    /// The same, with each thing that is wrong on its own.
    pub(crate) fn read(file: &Path) -> Result<Self, Unusable> {
        let text = read::text(file)?;
        let directory = file.parent().unwrap_or(Path::new("."));
        Self::parse(&text, directory).map_err(|wrong| Unusable::wrong(file, wrong))
    }

    fn parse(text: &str, directory: &Path) -> Result<Self, Vec<Wrong>> {
        let mut config = match split::parse(text) {
            Some(config) => config,
            // Also to say what is wrong, and in which line.
            None => toml::from_str::<Self>(text).map_err(|error| findings::look(text, &error))?,
        };
        let wrong = config.check();
        if !wrong.is_empty() {
            return Err(findings::place(text, wrong));
        }
        for path in [&mut config.state, &mut config.store, &mut config.master_key, &mut config.tokens] {
            *path = directory.join(&*path);
        }
        if let Some(tls) = &mut config.tls {
            tls.resolve(directory);
        }
        config.telemetry.resolve(directory);
        for sink in &mut config.sinks {
            sink.resolve(directory);
        }
        for store in &mut config.remote_stores {
            store.resolve(directory);
        }
        for notify in &mut config.notify {
            notify.resolve(directory);
        }
        config.hooks.iter_mut().for_each(|hook| hook.resolve(directory));
        config.audit_file = config.audit_file.map(|path| directory.join(path));
        let mut common = Common::default();
        for group in config.groups.iter_mut().map(Arc::make_mut) {
            group.target.resolve(directory);
            group.resolve_checks(directory);
            group.target.share(&mut common);
        }
        Ok(config)
    }

    /// What the parser takes and nobody can mean.
    fn check(&self) -> Vec<(At, String)> {
        let mut wrong = Vec::new();
        if !self.listen.ip().is_loopback() && self.tls.is_none() {
            let words = format!(
                "listen = \"{}\" is not a loopback address, and without TLS tokens and values would cross the network \
                 in clear: add [tls] with certificate_file and key_file, or use 127.0.0.1 or [::1]",
                self.listen
            );
            wrong.push((At::Key("listen"), words));
        }
        wrong.extend(self.tls.as_ref().and_then(TlsConfig::wrong).map(|words| (At::Key("tls"), words)));
        if self.metrics_listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            let words = "metrics_listen is not a loopback address: whoever can connect reads the metrics there without a \
                         token; use 127.0.0.1 or [::1], or scrape /metrics on `listen` with a token";
            wrong.push((At::Key("metrics_listen"), words.to_owned()));
        }
        if self.leave_after > Span::seconds(60) {
            wrong.push((At::Key("leave_after"), "leave_after is at most 60s".to_owned()));
        }
        wrong.extend(self.telemetry.wrong().map(|words| (At::Key("telemetry"), words)));
        if self.groups.len() > GROUPS_MAX {
            wrong
                .push((At::Key("group"), format!("there are {} groups; the limit is {GROUPS_MAX}", self.groups.len())));
        }
        if self.drift_every < Span::seconds(1) {
            wrong.push((At::Key("drift_every"), "drift_every is at least 1s".to_owned()));
        }
        if self.login_every < Span::seconds(1) && self.login_every != Span::seconds(0) {
            wrong.push((At::Key("login_every"), "login_every is at least 1s, or 0s for never".to_owned()));
        }
        if self.checkpoint_every < Span::seconds(1) {
            wrong.push((At::Key("checkpoint_every"), "checkpoint_every is at least 1s".to_owned()));
        }
        if self.scheduled_max == 0 {
            let words = "scheduled_max is at least 1; pause a schedule to have nothing started";
            wrong.push((At::Key("scheduled_max"), words.to_owned()));
        }
        let mut sinks: BTreeSet<&str> = self.audit_file.iter().map(|_| SINK_AUDIT_FILE).collect();
        for (index, sink) in self.sinks.iter().enumerate() {
            wrong.extend(sink.check().err().map(|fault| (At::Sink(index), fault.detail)));
            if !sinks.insert(sink.name()) {
                wrong.push((At::Sink(index), format!("sink {} is there twice", sink.name())));
            }
        }
        wrong.extend(self.check_stores());
        let mut told = BTreeSet::new();
        for (index, notify) in self.notify.iter().enumerate() {
            wrong.extend(notify.check().err().map(|fault| (At::Notify(index), fault.detail)));
            if !told.insert(notify.name()) || sinks.contains(notify.cursor_name().as_str()) {
                wrong.push((At::Notify(index), format!("notify {} is there twice", notify.name())));
            }
        }
        wrong.extend(hook::wrong(&self.hooks).into_iter().map(|words| (At::Key("hook"), words)));
        let mut names = BTreeSet::new();
        for (index, group) in self.groups.iter().enumerate() {
            if !names.insert(&group.name) {
                wrong.push((At::Group(index), format!("group {} is there twice", group.name)));
            }
            if is_reserved(&group.name) {
                let words =
                    format!("group {}: this name, and all that begin with `handover.`, are our own", group.name);
                wrong.push((At::Group(index), words));
            }
            let found = group.check().into_iter();
            wrong.extend(found.map(|why| (At::Group(index), format!("group {}: {why}", group.name))));
        }
        wrong.extend(self.wrong_dependencies(&names));
        wrong
    }

    #[cfg(test)]
    fn deserialize_value(value: toml::Value) -> Result<Self, String> {
        value.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }
}

impl Group {
    fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for consumer in self.consumers.iter() {
            if !seen.insert(consumer) {
                wrong.push(format!("consumer {} is there twice in one role", consumer.name));
            }
            // Verifiers acknowledge what they are handed ahead of its publication, and nothing hands it to them. A rotation
            // would wait for them until it is forced.
            if consumer.role == RoleName::Verifier {
                wrong.push(format!(
                    "consumer {} is declared as a verifier, and nothing is handed to verifiers before it is published: leave `role` out",
                    consumer.name
                ));
            }
        }
        if self.owner.as_deref().is_some_and(|owner| !is_owner(owner)) {
            wrong.push(format!("owner is one line of 1 to {OWNER_CHARS_MAX} characters"));
        }
        if self.age_max.is_some_and(|age| age < Span::seconds(1)) {
            wrong.push("age_max is at least 1s".to_owned());
        }
        wrong.extend(self.labels.iter().filter(|label| !is_label(label)).map(|_| LABEL_RULE.to_owned()));
        if self.policy.emergency.ceiling == Span::seconds(0) {
            wrong.push(
                "policy.emergency.ceiling is longer than zero: without a wait every presenter would be left behind"
                    .to_owned(),
            );
        }
        let policy = &self.policy;
        wrong.extend(approval::wrong(&policy.approvals, policy.strategy, policy.passes_min));
        wrong.extend(waves::wrong(self));
        wrong.extend(self.wrong_checks());
        wrong.extend(self.target.check().err().map(|fault| format!("target: {}", fault.detail)));
        wrong.extend(self.schedule.as_ref().and_then(|schedule| schedule.schedule().err()));
        wrong.extend(self.generate.build().err().map(|why| format!("generate: {why}")));
        wrong
    }
}

/// What a label is.
const LABEL_RULE: &str = "a label is `key=value`, each of 1 to 63 visible characters without `=`";

fn is_label(text: &str) -> bool {
    let part = |text: &str| (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    text.split_once('=').is_some_and(|(key, value)| part(key) && part(value) && !value.contains('='))
}

/// The longest name of an owner.
const OWNER_CHARS_MAX: usize = 100;

fn is_owner(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= OWNER_CHARS_MAX && !text.contains(terminal::commands)
}

fn group_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupId, D::Error> {
    GroupId::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn consumer_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ConsumerId, D::Error> {
    ConsumerId::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8300))
}

fn leave_after() -> Span {
    Span::seconds(0)
}

fn drift_every() -> Span {
    Span::seconds(60)
}

fn login_every() -> Span {
    Span::seconds(900)
}

fn checkpoint_every() -> Span {
    Span::seconds(60)
}

fn scheduled_max() -> usize {
    handover_engine::Options::default().scheduled_max
}

fn state() -> PathBuf {
    "state.db".into()
}

fn store() -> PathBuf {
    "store.db".into()
}

fn master_key() -> PathBuf {
    "master.key".into()
}

fn tokens() -> PathBuf {
    "tokens.json".into()
}

fn stores() -> Arc<Vec<String>> {
    Arc::new(vec![STORE_EMBEDDED.to_owned()])
}

#[cfg(test)]
mod tests {
    use handover_core::Moments;

    use super::*;

    const GROUP: &str = r#"
        [[group]]
        name = "orders-db"
        consumers = [{ name = "pool" }, { name = "checker", role = "presenter" }]
        [group.target]
        kind = "postgres"
        endpoints = [{ name = "primary", host = "db.internal" }]
        database = "orders"
        ca_file = "ca.pem"
        owner = "orders"
        twins = ["orders_a", "orders_b"]
        admin = { user = "handover_admin", password_file = "admin.password" }
    "#;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/handover")).map_err(|wrong| {
            let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            told.join("\n")
        })
    }

    #[test]
    fn an_empty_file_has_the_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config.listen, "127.0.0.1:8300".parse().unwrap());
        assert_eq!(config.state, Path::new("/etc/handover/state.db"), "paths start at the file's directory");
    }

    #[test]
    fn a_group_is_read() {
        let config = parse(GROUP).unwrap();
        let group = &config.groups[0];
        assert_eq!(group.called(), Called { verifiers: false, presenters: true, checks: Moments::default() });
        assert_eq!(group.roles(&ConsumerId::parse("checker").unwrap()), [Role::Presenter]);
        assert_eq!(group.roles(&ConsumerId::parse("stranger").unwrap()), [Role::Presenter]);
        let files = (group.target.ca_file(), group.target.admin_password_file());
        assert_eq!(
            files,
            ["/etc/handover/ca.pem", "/etc/handover/admin.password"].map(|path| Some(Path::new(path))).into()
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_words() {
        let cases = [
            ("listen = \"0.0.0.0:8300\"", "loopback"),
            ("lisen = \"127.0.0.1:1\"", "line 1: unknown key `lisen`: did you mean `listen`?"),
            ("checkpoint_every = \"0s\"", "at least 1s"),
            ("[[sink]]\nkind = \"syslog\"\nname = \"siem\"\naddress = \"siem.internal:6514\"", "ca_file names"),
            (
                "[[sink]]\nkind = \"syslog\"\nname = \"siem\"\naddress = \"siem.internal\"\ntransport = \"tcp\"",
                "`host:port`",
            ),
            ("[[sink]]\nkind = \"http\"\nname = \"siem\"\nurl = \"http://siem.internal/\"", "must be https"),
            ("[[sink]]\nkind = \"http\"\nname = \"siem\"\nurl = \"http://a:b@127.0.0.1/\"", "token_file"),
            ("[[sink]]\nkind = \"file\"\nname = \"a b\"\npath = \"x\"", "the name of a sink"),
            ("audit_file = \"a\"\n[[sink]]\nkind = \"file\"\nname = \"audit-file\"\npath = \"x\"", "is there twice"),
            (&format!("{GROUP}{GROUP}"), "orders-db is there twice"),
            (&GROUP.replace("orders-db", "handover"), "group handover: this name"),
            (&GROUP.replace("orders-db", "handover.access"), "are our own"),
            (&GROUP.replace("checker", "pool"), "twice in one role"),
            (&GROUP.replace("role = \"presenter", "role = \"verifier"), "checker is declared as a verifier"),
            (&GROUP.replace("orders-db", "Orders DB"), "lower-case"),
            (&GROUP.replace("consumers =", "stores = [\"vault\"]\nconsumers ="), "no remote_store is called vault"),
            (&GROUP.replace("consumers =", "generate.length = 4\nconsumers ="), "length must be"),
            ("scheduled_max = 0", "at least 1"),
            (
                &GROUP.replace("consumers =", "schedule.cron = \"30 25 * * *\"\nconsumers ="),
                "group orders-db: schedule.cron: the hour",
            ),
            (&GROUP.replace("consumers =", "policy.poll = \"soon\"\nconsumers ="), "must be a duration"),
        ];
        for (text, words) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for text in
            ["master_key = 1\npassword = \"canary-4711\"", "listen = \"canary-4711\"", "state = [\"canary-4711\"]"]
        {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("canary") && error.starts_with("line "), "{error}");
        }
    }

    /// S44: whatever stands in the configuration, reading it ends in one, or in words for each thing that is wrong.
    #[test]
    fn hostile_configurations_are_read_or_refused() {
        let examples = [include_str!("../command/handover.toml"), GROUP_EXAMPLE];
        handover_testkit::mutate::texts(43, 2_000, &examples, |text| {
            if let Err(wrong) = Config::parse(text, Path::new("/etc/handover")) {
                assert!(!wrong.is_empty(), "{text}");
            }
        });
    }

    const GROUP_EXAMPLE: &str = r#"
listen = "127.0.0.1:7070"
[[group]]
name = "app"
consumers = [{ name = "web" }]
[group.policy]
quiet_min = "5m"
[group.schedule]
cron = "30 2 * * sun"
zone = "Europe/Berlin"
windows = ["sun 02:00-05:00"]
blackout = ["2026-12-24..2027-01-02"]
[group.generate]
length = 40
required = ["lower", "digit"]
[group.target]
kind = "postgres"
endpoints = [{ name = "primary", host = "db.internal", port = 5432 }]
database = "app"
ca_file = "ca.pem"
owner = "app_owner"
twins = ["app_a", "app_b"]
admin = { user = "handover_admin", password_file = "admin.password" }
"#;
}
