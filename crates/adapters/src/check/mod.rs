//! Checks: what is asked of a credential beside the target's own verification, before it is published and after.
//!
//! A check looks and changes nothing. What it cannot find out is a fault, and never a pass; what an answer held is told
//! to nobody.

mod fetch;
mod http;
mod jwks;
mod metric;
mod pack;
mod process;
mod reach;
mod sql;
mod target;
mod template;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_core::port::{Answer, Check, Finding, Subject, Target};
use handover_core::{Fault, FaultKind, GroupId, Moments};
use handover_secret::Secret;
use serde::Deserialize;

pub use pack::PACKS;

use crate::target::TargetConfig;

/// How long a check may take if nothing else is configured.
const TIMEOUT_MS: u64 = 10_000;

/// The longest that it may be allowed.
const TIMEOUT_MS_MAX: u64 = 300_000;

/// Every kind of check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// A login at every required endpoint.
    Login,
    /// The rights, compared with those of the generation in force.
    PermissionDiff,
    /// A statement and what it must give, at every required endpoint.
    Sql,
    /// An HTTP request and what must be answered.
    Http,
    /// A TCP connection.
    Tcp,
    /// A TLS handshake.
    Tls,
    /// A name and where it must lead.
    Dns,
    /// A key set and a key that must be in it.
    Jwks,
    /// A figure, against a baseline.
    Metric,
    /// A program that says so.
    Process,
}

/// When a check is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// In Verify, with each round of logins.
    BeforePublish,
    /// In Propagate, while both generations are valid.
    AfterPublish,
}

/// A check as configured: `kind`, and that kind's options.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CheckConfig {
    /// A login at every required endpoint.
    Login(target::Config),
    /// The rights, compared with those of the generation in force.
    PermissionDiff(target::Config),
    /// A statement and what it must give, at every required endpoint.
    Sql(sql::Config),
    /// An HTTP request and what must be answered.
    Http(http::Config),
    /// A TCP connection.
    Tcp(reach::TcpConfig),
    /// A TLS handshake.
    Tls(reach::TlsConfig),
    /// A name and where it must lead.
    Dns(reach::DnsConfig),
    /// A key set and a key that must be in it.
    Jwks(jwks::Config),
    /// A figure, against a baseline.
    Metric(metric::Config),
    /// A program that says so.
    Process(process::Config),
}

/// What a check is made with.
pub struct Parts<'a> {
    /// Whose check it is.
    pub group: &'a GroupId,
    /// The group's target as configured.
    pub target_config: &'a TargetConfig,
    /// Our own password at the target.
    pub admin_password: &'a Arc<Secret>,
    /// The target's CA.
    pub target_ca_pem: &'a [u8],
    /// The target.
    pub target: &'a Arc<dyn Target>,
    /// What the check's own `ca_file` holds.
    pub ca_pem: Option<&'a [u8]>,
}

impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("group", self.group).finish_non_exhaustive()
    }
}

/// What all kinds have.
#[derive(Clone, Copy)]
struct Common<'a> {
    name: &'a str,
    when: &'a [When],
    timeout_ms: u64,
}

impl CheckConfig {
    /// Which kind it is.
    pub const fn kind(&self) -> CheckKind {
        match self {
            Self::Login(_) => CheckKind::Login,
            Self::PermissionDiff(_) => CheckKind::PermissionDiff,
            Self::Sql(_) => CheckKind::Sql,
            Self::Http(_) => CheckKind::Http,
            Self::Tcp(_) => CheckKind::Tcp,
            Self::Tls(_) => CheckKind::Tls,
            Self::Dns(_) => CheckKind::Dns,
            Self::Jwks(_) => CheckKind::Jwks,
            Self::Metric(_) => CheckKind::Metric,
            Self::Process(_) => CheckKind::Process,
        }
    }

    /// Its name within the group.
    pub fn name(&self) -> &str {
        self.common().name
    }

    /// When it is made.
    pub fn moments(&self) -> Moments {
        let when = self.common().when;
        Moments {
            before_publish: when.contains(&When::BeforePublish),
            after_publish: when.contains(&When::AfterPublish),
        }
    }

    /// Whether it passes only if the credential itself was taken: reaching a port is no login.
    pub const fn presents_the_credential(&self) -> bool {
        match self {
            Self::Login(_) | Self::PermissionDiff(_) | Self::Sql(_) | Self::Http(_) | Self::Process(_) => true,
            Self::Tcp(_) | Self::Tls(_) | Self::Dns(_) | Self::Jwks(_) | Self::Metric(_) => false,
        }
    }

    /// The file with the CA to trust, if it names one.
    pub fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Http(config) => config.ca_file.as_deref(),
            Self::Jwks(config) => config.ca_file.as_deref(),
            Self::Metric(config) => config.ca_file.as_deref(),
            Self::Tls(config) => Some(&config.ca_file),
            Self::Login(_)
            | Self::PermissionDiff(_)
            | Self::Sql(_)
            | Self::Tcp(_)
            | Self::Dns(_)
            | Self::Process(_) => None,
        }
    }

    /// Has relative paths start at `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        let resolve = |path: &mut PathBuf| *path = directory.join(&*path);
        match self {
            Self::Http(config) => config.ca_file.iter_mut().for_each(resolve),
            Self::Jwks(config) => config.ca_file.iter_mut().for_each(resolve),
            Self::Metric(config) => config.ca_file.iter_mut().for_each(resolve),
            Self::Tls(config) => resolve(&mut config.ca_file),
            Self::Login(_)
            | Self::PermissionDiff(_)
            | Self::Sql(_)
            | Self::Tcp(_)
            | Self::Dns(_)
            | Self::Process(_) => {}
        }
    }

    /// Looks for what cannot be meant, without opening anything.
    ///
    /// # Errors
    /// `Misconfigured`, in words for whoever wrote it.
    pub fn check(&self, target: &TargetConfig) -> Result<(), Fault> {
        let Common { name, when, timeout_ms } = self.common();
        let is_name = !name.is_empty()
            && name.len() <= 63
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
        if !is_name {
            return Err(misconfigured("?", "its name is 1 to 63 of a-z 0-9 - _ ."));
        }
        if when.is_empty() {
            return Err(misconfigured(name, "when is empty: it would never be made"));
        }
        if timeout_ms == 0 || timeout_ms > TIMEOUT_MS_MAX {
            return Err(misconfigured(name, &format!("timeout_ms is 1 to {TIMEOUT_MS_MAX}")));
        }
        match self {
            Self::Login(_) | Self::Dns(_) => Ok(()),
            Self::PermissionDiff(_) | Self::Sql(_) if !matches!(target, TargetConfig::Postgres(_)) => {
                Err(misconfigured(name, "this kind is for a target of the kind postgres"))
            }
            Self::PermissionDiff(_) => Ok(()),
            Self::Sql(config) => config.check(),
            Self::Http(config) => config.resolved()?.check(),
            Self::Tcp(config) => reach::port(&config.name, config.port),
            Self::Tls(config) => config.check(),
            Self::Jwks(config) => config.check(),
            Self::Metric(config) => config.check(),
            Self::Process(config) => config.check(),
        }
    }

    /// Makes it, and contacts nobody.
    ///
    /// # Errors
    /// `Misconfigured`, if what its files hold is not usable.
    pub fn build(self, parts: &Parts<'_>) -> Result<Arc<dyn Check>, Fault> {
        let (kind, moments) = (self.kind(), self.moments());
        let common = self.common();
        let (name, patience) = (common.name.to_owned(), Duration::from_millis(common.timeout_ms));
        let probe = match self {
            Self::Login(_) => Probe::Login(target::Login::new(Arc::clone(parts.target))),
            Self::PermissionDiff(_) => Probe::PermissionDiff(target::Login::new(Arc::clone(parts.target))),
            Self::Sql(config) => Probe::Sql(sql::Sql::new(config, parts)?),
            Self::Http(config) => Probe::Http(http::Http::new(config.resolved()?, parts.ca_pem)?),
            Self::Tcp(config) => Probe::Tcp(config),
            Self::Tls(config) => Probe::Tls(reach::Tls::new(config, parts.ca_pem)?),
            Self::Dns(config) => Probe::Dns(config),
            Self::Jwks(config) => Probe::Jwks(jwks::Jwks::new(config, parts.ca_pem)?),
            Self::Metric(config) => Probe::Metric(metric::Metric::new(config, parts.ca_pem)?),
            Self::Process(config) => Probe::Process(process::Process::new(config, parts.group)),
        };
        Ok(Arc::new(Made { name, kind, moments, patience, probe }))
    }

    fn common(&self) -> Common<'_> {
        match self {
            Self::Login(config) | Self::PermissionDiff(config) => config.common(),
            Self::Sql(config) => config.common(),
            Self::Http(config) => config.common(),
            Self::Tcp(config) => config.common(),
            Self::Tls(config) => config.common(),
            Self::Dns(config) => config.common(),
            Self::Jwks(config) => config.common(),
            Self::Metric(config) => config.common(),
            Self::Process(config) => config.common(),
        }
    }
}

impl CheckKind {
    /// The kind as one word: the value of `kind` in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::PermissionDiff => "permission_diff",
            Self::Sql => "sql",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Jwks => "jwks",
            Self::Metric => "metric",
            Self::Process => "process",
        }
    }
}

/// A check that was made from its configuration.
struct Made {
    name: String,
    kind: CheckKind,
    moments: Moments,
    patience: Duration,
    probe: Probe,
}

enum Probe {
    Login(target::Login),
    PermissionDiff(target::Login),
    Sql(sql::Sql),
    Http(http::Http),
    Tcp(reach::TcpConfig),
    Tls(reach::Tls),
    Dns(reach::DnsConfig),
    Jwks(jwks::Jwks),
    Metric(metric::Metric),
    Process(process::Process),
}

impl Check for Made {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    fn moments(&self) -> Moments {
        self.moments
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn run<'a>(&'a self, subject: Subject<'a>) -> Answer<'a, Finding> {
        match &self.probe {
            Probe::Login(login) => Box::pin(login.verify(subject)),
            Probe::PermissionDiff(login) => Box::pin(login.compare(subject)),
            Probe::Sql(sql) => Box::pin(sql.ask(subject)),
            Probe::Http(http) => Box::pin(http.ask(subject)),
            Probe::Tcp(tcp) => Box::pin(tcp.connect()),
            Probe::Tls(tls) => Box::pin(tls.shake_hands()),
            Probe::Dns(dns) => Box::pin(dns.look_up()),
            Probe::Jwks(jwks) => Box::pin(jwks.look(subject)),
            Probe::Metric(metric) => Box::pin(metric.compare(subject)),
            Probe::Process(process) => Box::pin(process.run(subject)),
        }
    }
}

/// The default of `when`.
fn always() -> Vec<When> {
    vec![When::BeforePublish, When::AfterPublish]
}

/// The default of `timeout_ms`.
const fn timeout_ms() -> u64 {
    TIMEOUT_MS
}

fn misconfigured(name: &str, why: &str) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, format!("check {name}: {why}"))
}

/// What could not be found out.
fn unknown(kind: FaultKind, why: impl Into<String>) -> Fault {
    Fault::untouched(kind, why)
}

fn failed(why: impl Into<String>) -> Finding {
    Finding::Failed(why.into())
}
