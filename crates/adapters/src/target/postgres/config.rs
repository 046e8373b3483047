//! What a user configures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handover_core::{Fault, FaultKind, Slot};
use serde::Deserialize;

use super::users::{Users, slot_of, wrong_with_stem};
use crate::shared::{Known, Shared, Text};

/// A PostgreSQL target: one cluster, one owner, and its users: two twins, or versioned ones.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the cluster is reached. Changes are made at the first; uses are counted at all of them.
    pub endpoints: Shared<Vec<Endpoint>>,
    /// The database to log in to.
    pub database: Text,
    /// The user that changes them.
    pub admin: Shared<Admin>,
    /// The file with the certificates to trust, as PEM. The server's certificate and name are always checked.
    pub ca_file: Shared<PathBuf>,
    /// The role that owns the objects and never logs in.
    pub owner: Text,
    /// The two users that consumers log in as, in the order of their slots.
    pub twins: Option<[Text; 2]>,
    /// Instead of twins: each generation has a user of its own, whose name is this and a number.
    pub versioned: Option<Text>,
    /// How long a login may take, TLS included.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long one statement, a wait for a lock, and an idle moment inside a transaction may take.
    #[serde(default = "statement_timeout_ms")]
    pub statement_timeout_ms: u64,
}

/// One address of the cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// A name for messages.
    pub name: String,
    /// A DNS name or an address, as it stands in the server's certificate.
    pub host: String,
    /// The port.
    #[serde(default = "port")]
    pub port: u16,
    /// Whether a candidate must be let in here before it is published.
    #[serde(default = "required")]
    pub required: bool,
    /// What answers there. Without it the first endpoint is the primary, and every other one a replica.
    pub kind: Option<EndpointKind>,
    /// Whether a login must be bound to the TLS channel.
    #[serde(default)]
    pub channel_binding: ChannelBinding,
}

/// What answers at an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointKind {
    /// The server that takes writes.
    Primary,
    /// A server that follows the primary, or did before it was promoted.
    Replica,
    /// A pooler, such as PgBouncer: it ends TLS and the login itself, and logs in at a server in turn.
    Pooler,
}

/// Whether a login must be bound to the TLS channel (SCRAM-SHA-256-PLUS).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    /// It must be.
    #[default]
    Require,
    /// It is where the other side offers it. Poolers alone may do without: they offer none.
    Prefer,
}

/// The user that Handover logs in as.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Its name.
    pub user: String,
    /// The file that holds its password.
    pub password_file: PathBuf,
}

/// What the targets of several groups have in common.
#[derive(Debug, Default)]
pub(in crate::target) struct Common {
    endpoints: Known<Shared<Vec<Endpoint>>>,
    admins: Known<Shared<Admin>>,
    files: Known<Shared<PathBuf>>,
    databases: Known<Text>,
    owners: Known<Text>,
}

/// The longest identifier of PostgreSQL, in bytes. The server cuts a longer one short without a word, so that two names
/// could mean one role.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// More endpoints than a cluster has; each costs a login per look.
const ENDPOINTS_MAX: usize = 16;

impl Config {
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    /// Whom consumers log in as.
    pub(super) fn users(&self) -> Result<Users, Fault> {
        match (&self.twins, &self.versioned) {
            (Some(twins), None) => Ok(Users::Twins(twins.clone())),
            (None, Some(stem)) => Ok(Users::Versioned(stem.clone())),
            (None, None) => Err(misconfigured("name the users that consumers log in as: `twins` or `versioned`")),
            (Some(_), Some(_)) => Err(misconfigured("a group has either `twins` or `versioned`: leave one out")),
        }
    }

    /// The user in `slot`.
    pub fn user(&self, slot: Slot) -> Option<String> {
        self.users().ok()?.name(slot)
    }

    /// What a consumer needs beside the password: `user`, `host`, `port`, `database`.
    pub fn fields(&self, slot: Slot) -> Option<Vec<(String, String)>> {
        let main = self.endpoints.first()?;
        Some(vec![
            ("user".to_owned(), self.user(slot)?),
            ("host".to_owned(), main.host.clone()),
            ("port".to_owned(), main.port.to_string()),
            ("database".to_owned(), self.database.to_string()),
        ])
    }

    /// The endpoint at which changes are made.
    pub(super) fn main(&self) -> Result<&Endpoint, Fault> {
        self.endpoints.first().ok_or_else(|| misconfigured("endpoints must name at least one endpoint"))
    }

    /// Endpoints where a server itself answers. Our own user logs in at these alone: a pooler may not know it.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|endpoint| !endpoint.is_pooler())
    }

    /// What is allowed, and weaker than it could be; in words for whoever wrote it.
    pub(in crate::target) fn cautions(&self) -> Vec<String> {
        let unbound = self.endpoints.iter().filter(|endpoint| endpoint.channel_binding == ChannelBinding::Prefer);
        unbound
            .map(|endpoint| {
                format!(
                    "logins at endpoint {} need not be bound to the TLS channel: whoever has a certificate for {} from a CA \
                     in ca_file can be in the middle of a session there, and does not learn the password",
                    endpoint.name, endpoint.host
                )
            })
            .collect()
    }

    /// Has paths start at this directory.
    pub(in crate::target) fn resolve(&mut self, directory: &Path) {
        self.ca_file = directory.join(&*self.ca_file).into();
        let password_file = directory.join(&self.admin.password_file);
        self.admin = Admin { user: self.admin.user.clone(), password_file }.into();
    }

    /// Has what is the same as in other groups be one with theirs.
    pub(in crate::target) fn share(&mut self, common: &mut Common) {
        common.endpoints.share(&mut self.endpoints);
        common.admins.share(&mut self.admin);
        common.files.share(&mut self.ca_file);
        common.databases.share(&mut self.database);
        common.owners.share(&mut self.owner);
    }

    /// Refuses what cannot be meant.
    pub(in crate::target) fn check(&self) -> Result<(), Fault> {
        let main = self.main()?;
        if !main.required {
            return Err(misconfigured("the first endpoint is where changes are made: it must be required"));
        }
        if !matches!(main.kind, None | Some(EndpointKind::Primary)) {
            return Err(misconfigured("the first endpoint is where changes are made: it must be the primary"));
        }
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(misconfigured("endpoints must be at most 16"));
        }
        let mut names = BTreeSet::new();
        for endpoint in self.endpoints.iter() {
            endpoint.check()?;
            if !names.insert(endpoint.name.as_str()) {
                return Err(misconfigured("two endpoints have the same name"));
            }
        }
        identifier("database", &self.database)?;
        self.check_roles()?;
        for (option, value, least, most) in [
            ("connect_timeout_ms", self.connect_timeout_ms, 100, 60_000),
            ("statement_timeout_ms", self.statement_timeout_ms, 100, 600_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(misconfigured(format!("{option} must be between {least} and {most}")));
            }
        }
        Ok(())
    }

    fn check_roles(&self) -> Result<(), Fault> {
        let mut named: Vec<(&str, &str)> = vec![("owner", &self.owner), ("admin.user", &self.admin.user)];
        let users = self.users()?;
        match &users {
            Users::Twins(twins) => named.splice(1..1, twins.iter().map(|twin| ("twins", &**twin))).for_each(drop),
            Users::Versioned(stem) => {
                for (option, name) in &named {
                    if slot_of(stem, name).is_some() {
                        return Err(misconfigured(format!("{option}: this is the name of a versioned user")));
                    }
                }
                if let Some(wrong) = wrong_with_stem(stem, IDENTIFIER_BYTES_MAX) {
                    return Err(misconfigured(wrong));
                }
                named.push(("versioned", stem));
            }
        }
        let mut roles = BTreeSet::new();
        for (option, name) in named {
            identifier(option, name)?;
            if name.starts_with("pg_") {
                return Err(misconfigured(format!("{option}: names that begin with pg_ belong to PostgreSQL")));
            }
            if !roles.insert(name) {
                return Err(misconfigured(match users {
                    Users::Twins(_) => "the owner, the twins and the admin user must be four different roles",
                    Users::Versioned(_) => "the owner, the admin user and the versioned users must be different roles",
                }));
            }
        }
        Ok(())
    }
}

impl Endpoint {
    pub(super) fn is_pooler(&self) -> bool {
        self.kind == Some(EndpointKind::Pooler)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.name.is_empty() || self.name.len() > IDENTIFIER_BYTES_MAX || self.name.chars().any(char::is_control) {
            return Err(misconfigured("an endpoint's name has 1 to 63 bytes and no control characters"));
        }
        // A host that begins with a slash would be taken for the path of a socket, without TLS.
        if self.host.is_empty() || self.host.contains(['/', '\0', ',', ' ']) {
            return Err(misconfigured("an endpoint's host is one DNS name or address"));
        }
        if self.port == 0 {
            return Err(misconfigured("an endpoint's port is at least 1"));
        }
        if self.channel_binding == ChannelBinding::Prefer && !self.is_pooler() {
            return Err(misconfigured(
                "channel_binding = \"prefer\" is for poolers alone: a server has a channel binding, and our own user logs \
                 in there",
            ));
        }
        Ok(())
    }
}

fn identifier(option: &str, name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > IDENTIFIER_BYTES_MAX {
        return Err(misconfigured(format!("{option}: a name in PostgreSQL has 1 to 63 bytes")));
    }
    if name.contains('\0') {
        return Err(misconfigured(format!("{option}: a name in PostgreSQL has no NUL")));
    }
    Ok(())
}

fn misconfigured(why: impl Into<String>) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, why)
}

const fn connect_timeout_ms() -> u64 {
    5_000
}

const fn statement_timeout_ms() -> u64 {
    10_000
}

const fn port() -> u16 {
    5_432
}

const fn required() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        serde_json::from_str(
            r#"{
              "endpoints": [{"name": "primary", "host": "db.internal"}],
              "database": "orders", "admin": {"user": "handover_admin", "password_file": "admin.password"},
              "ca_file": "ca.pem", "owner": "app_owner", "twins": ["app_a", "app_b"]
            }"#,
        )
        .unwrap()
    }

    fn twins(config: &mut Config) -> &mut [Text; 2] {
        config.twins.as_mut().unwrap()
    }

    fn version(config: &mut Config, stem: &str) {
        (config.twins, config.versioned) = (None, Some(stem.into()));
    }

    fn version_as(stem: &str, owner: &str, config: &mut Config) -> (Text, String) {
        version(config, stem);
        (owner.into(), config.admin.user.clone())
    }

    #[test]
    fn a_versioned_user_is_named_by_its_slot() {
        let mut config = config();
        version(&mut config, "app_v");
        config.check().unwrap();
        assert_eq!(config.user(Slot(7)).as_deref(), Some("app_v7"));
    }

    #[test]
    fn defaults_and_fields() {
        let config = config();
        config.check().unwrap();
        assert!(config.endpoints[0].required);
        let fields = config.fields(Slot(1)).unwrap();
        assert_eq!(fields[0], ("user".to_owned(), "app_b".to_owned()));
        assert_eq!(fields[2], ("port".to_owned(), "5432".to_owned()));
        assert_eq!(config.fields(Slot(2)), None);
    }

    #[test]
    fn a_pooler_alone_may_do_without_a_binding_and_that_is_told() {
        let mut config = config();
        let pooler = |binding: &str| {
            let text = format!(r#"{{"name": "pool", "host": "pool.internal", "kind": "pooler"{binding}}}"#);
            serde_json::from_str::<Endpoint>(&text).unwrap()
        };
        config.endpoints.push(pooler(""));
        config.check().unwrap();
        assert_eq!(config.endpoints[1].channel_binding, ChannelBinding::Require);
        assert_eq!(config.cautions(), Vec::<String>::new());
        config.endpoints[1] = pooler(r#", "channel_binding": "prefer""#);
        config.check().unwrap();
        let cautions = config.cautions();
        assert!(cautions.len() == 1 && cautions[0].contains("endpoint pool "), "{cautions:?}");
        config.endpoints[1].kind = Some(EndpointKind::Replica);
        assert_eq!(config.check().unwrap_err().kind, FaultKind::Misconfigured);
    }

    #[test]
    fn unknown_options_are_refused() {
        let text = r#"{"name": "a", "host": "b", "sslmode": "disable"}"#;
        assert!(serde_json::from_str::<Endpoint>(text).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let changes: [fn(&mut Config); 21] = [
            |config| config.endpoints.clear(),
            |config| config.endpoints[0].required = false,
            |config| {
                let again = config.endpoints[0].clone();
                config.endpoints.push(again);
            },
            |config| config.endpoints[0].kind = Some(EndpointKind::Replica),
            |config| config.endpoints[0].kind = Some(EndpointKind::Pooler),
            |config| config.endpoints[0].channel_binding = ChannelBinding::Prefer,
            |config| config.endpoints[0].host = "/run/postgresql".to_owned(),
            |config| config.endpoints[0].host = "a,b".to_owned(),
            |config| twins(config)[0] = "a\0b".into(),
            |config| twins(config)[0] = "x".repeat(64).into(),
            |config| twins(config)[0] = twins(config)[1].clone(),
            |config| twins(config)[0] = config.owner.clone(),
            |config| config.twins = None,
            |config| config.versioned = Some("app_v".into()),
            |config| version(config, ""),
            |config| version(config, "pg_v"),
            |config| version(config, "app_v1"),
            |config| (config.owner, config.admin.user) = version_as("app_v", "app_v3", config),
            |config| config.owner = "pg_monitor".into(),
            |config| config.database = "".into(),
            |config| config.connect_timeout_ms = 0,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut config = config();
            change(&mut config);
            let fault = config.check().expect_err(&format!("change {index} must be refused"));
            assert_eq!(fault.kind, FaultKind::Misconfigured);
        }
    }
}
