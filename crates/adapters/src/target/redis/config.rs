//! What a user configures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handover_core::{Fault, FaultKind, Slot};
use serde::Deserialize;

use crate::shared::{Known, Shared, Text};

/// A Redis target: its nodes, and the twins that consumers log in as at each of them.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Every node: users are not replicated. Each is changed, asked and counted at; consumers are told the first.
    pub endpoints: Shared<Vec<Endpoint>>,
    /// The user that changes them.
    pub admin: Shared<Admin>,
    /// The file with the certificates to trust, as PEM. The server's certificate and name are always checked.
    pub ca_file: Shared<PathBuf>,
    /// The two users that consumers log in as, in the order of their slots.
    pub twins: [Text; 2],
    /// How long a login may take, TLS included.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long one command may take.
    #[serde(default = "command_timeout_ms")]
    pub command_timeout_ms: u64,
}

/// One node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// A name for messages.
    pub name: String,
    /// A DNS name or an address, as it stands in the server's certificate.
    pub host: String,
    /// The port, where TLS is spoken.
    #[serde(default = "port")]
    pub port: u16,
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
}

/// The longest name of a user, in bytes. Redis has no limit of its own.
const NAME_BYTES_MAX: usize = 128;

/// More nodes than one look should log in at.
const ENDPOINTS_MAX: usize = 64;

impl Config {
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }

    /// The user in `slot`.
    pub fn user(&self, slot: Slot) -> Option<&str> {
        self.twins.get(usize::try_from(slot.0).ok()?).map(Text::as_str)
    }

    /// What a consumer needs beside the password: `user`, `host`, `port`.
    pub fn fields(&self, slot: Slot) -> Option<Vec<(String, String)>> {
        let main = self.endpoints.first()?;
        Some(vec![
            ("user".to_owned(), self.user(slot)?.to_owned()),
            ("host".to_owned(), main.host.clone()),
            ("port".to_owned(), main.port.to_string()),
        ])
    }

    /// The node that is asked where one answer is enough.
    pub(super) fn main(&self) -> Result<&Endpoint, Fault> {
        self.endpoints.first().ok_or_else(|| misconfigured("endpoints must name at least one endpoint"))
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
    }

    /// Refuses what cannot be meant.
    pub(in crate::target) fn check(&self) -> Result<(), Fault> {
        self.main()?;
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(misconfigured("endpoints must be at most 64"));
        }
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        for endpoint in self.endpoints.iter() {
            endpoint.check()?;
            if !names.insert(endpoint.name.as_str()) {
                return Err(misconfigured("two endpoints have the same name"));
            }
            if !places.insert((endpoint.host.as_str(), endpoint.port)) {
                return Err(misconfigured("two endpoints have the same host and port"));
            }
        }
        let mut users = BTreeSet::new();
        let named = self.twins.iter().map(|twin| ("twins", twin.as_str()));
        for (option, name) in named.chain([("admin.user", self.admin.user.as_str())]) {
            check_name(option, name)?;
            if !users.insert(name) {
                return Err(misconfigured("the twins and the admin user must be three different users"));
            }
        }
        for (option, value, least, most) in [
            ("connect_timeout_ms", self.connect_timeout_ms, 100, 60_000),
            ("command_timeout_ms", self.command_timeout_ms, 100, 600_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(misconfigured(format!("{option} must be between {least} and {most}")));
            }
        }
        Ok(())
    }
}

impl Endpoint {
    fn check(&self) -> Result<(), Fault> {
        if self.name.is_empty() || self.name.len() > 63 || self.name.chars().any(char::is_control) {
            return Err(misconfigured("an endpoint's name has 1 to 63 bytes and no control characters"));
        }
        if self.host.is_empty() || self.host.contains(['/', '\0', ',', ' ']) {
            return Err(misconfigured("an endpoint's host is one DNS name or address"));
        }
        if self.port == 0 {
            return Err(misconfigured("an endpoint's port is at least 1"));
        }
        Ok(())
    }
}

/// Redis itself refuses space and NUL. A line feed would begin a line of its own where the list is written down.
fn check_name(option: &str, name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(misconfigured(format!("{option}: a user's name has 1 to 128 bytes")));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(misconfigured(format!("{option}: a user's name has no spaces and no control characters")));
    }
    if name == "default" {
        return Err(misconfigured(format!(
            "{option}: the user `default` is whom Redis takes everybody for who has not logged in; name another"
        )));
    }
    Ok(())
}

fn misconfigured(why: impl Into<String>) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, why)
}

const fn connect_timeout_ms() -> u64 {
    5_000
}

const fn command_timeout_ms() -> u64 {
    10_000
}

const fn port() -> u16 {
    6_379
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        serde_json::from_str(
            r#"{
              "endpoints": [{"name": "first", "host": "cache.internal"}],
              "admin": {"user": "handover_admin", "password_file": "admin.password"},
              "ca_file": "ca.pem", "twins": ["app_a", "app_b"]
            }"#,
        )
        .unwrap()
    }

    #[test]
    fn defaults_and_fields() {
        let config = config();
        config.check().unwrap();
        let fields = config.fields(Slot(1)).unwrap();
        let expected = [("user", "app_b"), ("host", "cache.internal"), ("port", "6379")];
        assert_eq!(fields, expected.map(|(field, text)| (field.to_owned(), text.to_owned())));
        assert_eq!(config.fields(Slot(2)), None);
    }

    #[test]
    fn unknown_options_are_refused() {
        let text = r#"{"name": "a", "host": "b", "tls": false}"#;
        assert!(serde_json::from_str::<Endpoint>(text).is_err());
    }

    /// S16: what would be more than a name in a list of users is refused.
    #[test]
    fn what_cannot_be_meant_is_refused() {
        let changes: [fn(&mut Config); 16] = [
            |config| config.endpoints.clear(),
            |config| {
                let again = config.endpoints[0].clone();
                config.endpoints.push(again);
            },
            |config| {
                let again = Endpoint { name: "second".to_owned(), ..config.endpoints[0].clone() };
                config.endpoints.push(again);
            },
            |config| config.endpoints[0].name = String::new(),
            |config| config.endpoints[0].host = "a,b".to_owned(),
            |config| config.endpoints[0].port = 0,
            |config| config.twins[1] = "app_a".into(),
            |config| config.twins[1] = "handover_admin".into(),
            |config| config.twins[0] = "default".into(),
            |config| config.twins[0] = "".into(),
            |config| config.twins[0] = "app +@all".into(),
            |config| config.twins[0] = "app\nuser evil on nopass ~* +@all".into(),
            |config| config.twins[0] = "app\0".into(),
            |config| config.admin.user = "a\u{a0}b".to_owned(),
            |config| config.connect_timeout_ms = 1,
            |config| config.command_timeout_ms = 1_000_000,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut config = config();
            change(&mut config);
            assert_eq!(config.check().unwrap_err().kind, FaultKind::Misconfigured, "change {index}");
        }
    }
}
