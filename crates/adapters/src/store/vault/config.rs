//! Options of the store, as they are configured.

use std::path::{Path, PathBuf};

use handover_core::{Fault, FaultKind, GroupId};
use reqwest::Url;
use serde::Deserialize;

use crate::http::is_loopback;

/// The field that holds our label.
pub(super) const LABEL_FIELD: &str = "handover";

/// Where candidates are staged: before what `path` says.
pub(super) const STAGING: &str = "handover-staging";

/// Stands in `path` for the group's name.
const GROUP_HERE: &str = "{group}";

/// The longest `mount`, `path` or `namespace`.
const PATH_BYTES_MAX: usize = 256;

/// Options of a KV version 2 engine of OpenBao or Vault.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The store's name, by which groups name it.
    pub name: String,
    /// Where the server is: `https://host:8200`, or `http://` on loopback.
    pub url: String,
    /// The namespace that the engine and the login are in.
    pub namespace: Option<String>,
    /// Where the KV version 2 engine is mounted.
    #[serde(default = "mount")]
    pub mount: String,
    /// Where in it a group's values are; `{group}` stands for its name.
    #[serde(default = "path")]
    pub path: String,
    /// The field that holds the value.
    #[serde(default = "value_field")]
    pub value_field: String,
    /// CA certificates in PEM that the server's certificate must chain to. For `https://`.
    pub ca_file: Option<PathBuf>,
    /// How we log in.
    pub auth: Auth,
    /// What becomes of versions whose generation is retired.
    #[serde(default)]
    pub retired: Retired,
}

/// How we log in.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    /// With a token that somebody else makes and keeps alive.
    Token {
        /// The file that holds it. It is read again when the server refuses the token.
        token_file: PathBuf,
    },
    /// By `AppRole`.
    #[serde(rename = "approle")]
    AppRole {
        /// Where the method is mounted.
        #[serde(default = "approle")]
        mount: String,
        /// Which role.
        role_id: String,
        /// The file that holds the secret id. It is read again at each login.
        secret_id_file: PathBuf,
    },
    /// With a signed token of a third party: the methods `jwt` and `kubernetes`.
    Jwt {
        /// Where the method is mounted.
        #[serde(default = "jwt")]
        mount: String,
        /// Which role.
        role: String,
        /// The file that holds the signed token. It is read again at each login.
        jwt_file: PathBuf,
    },
}

/// What becomes of versions whose generation is retired.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retired {
    /// Their values are destroyed.
    #[default]
    Destroy,
    /// They are deleted, and can be undeleted by whoever may.
    Delete,
}

impl Auth {
    /// The file that holds what is presented.
    pub fn file(&self) -> &Path {
        match self {
            Self::Token { token_file } => token_file,
            Self::AppRole { secret_id_file, .. } => secret_id_file,
            Self::Jwt { jwt_file, .. } => jwt_file,
        }
    }

    fn file_mut(&mut self) -> &mut PathBuf {
        match self {
            Self::Token { token_file } => token_file,
            Self::AppRole { secret_id_file, .. } => secret_id_file,
            Self::Jwt { jwt_file, .. } => jwt_file,
        }
    }
}

impl Config {
    /// Has the paths of files start at this directory.
    pub fn resolve(&mut self, directory: &Path) {
        for file in self.ca_file.iter_mut().chain([self.auth.file_mut()]) {
            *file = directory.join(&*file);
        }
    }

    /// Looks for what cannot be meant, without opening anything.
    ///
    /// # Errors
    /// `Misconfigured`, in words for whoever wrote it.
    pub fn check(&self) -> Result<(), Fault> {
        let url = self.parsed()?;
        match url.scheme() {
            "https" if self.ca_file.is_none() => {
                Err(self.misconfigured("for https, ca_file names the CA that the server's certificate chains to"))
            }
            "http" if !is_loopback(&url) => {
                Err(self.misconfigured("url must be https: over http, whoever is on the way reads the values"))
            }
            "http" if self.ca_file.is_some() => Err(self.misconfigured("ca_file is for https")),
            "http" | "https" => Ok(()),
            _ => Err(self.misconfigured("url begins with https://")),
        }?;
        self.segments("mount", &self.mount)?;
        if let Some(namespace) = &self.namespace {
            self.segments("namespace", namespace)?;
        }
        match &self.auth {
            Auth::Token { .. } => {}
            Auth::AppRole { mount, .. } | Auth::Jwt { mount, .. } => drop(self.segments("auth.mount", mount)?),
        }
        if self.path.matches(GROUP_HERE).count() != 1 {
            return Err(self.misconfigured("path must contain `{group}` once, or groups would share a place"));
        }
        if self.segments("path", &self.path.replace(GROUP_HERE, "g"))?.first().is_some_and(|first| first == STAGING) {
            return Err(self.misconfigured("path begins with `handover-staging`, where candidates are staged"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if self.value_field.is_empty() || self.value_field == LABEL_FIELD || !self.value_field.chars().all(plain) {
            return Err(self.misconfigured(
                "value_field is one word of letters, digits, '_' and '-', and not `handover`, where our label is",
            ));
        }
        Ok(())
    }

    /// What tells two places apart: nobody else may publish there.
    pub fn place(&self) -> (String, String, String, String) {
        let trimmed = |text: &str| text.trim_matches('/').to_owned();
        let url = self.parsed().map_or_else(|_| self.url.clone(), String::from);
        let namespace = self.namespace.as_deref().unwrap_or_default();
        (url, trimmed(namespace), trimmed(&self.mount), trimmed(&self.path))
    }

    /// Where a group's values are, below the mount.
    pub(super) fn path_of(&self, group: &GroupId) -> Result<Vec<String>, Fault> {
        self.segments("path", &self.path.replace(GROUP_HERE, group.as_str()))
    }

    pub(super) fn mount_segments(&self) -> Result<Vec<String>, Fault> {
        self.segments("mount", &self.mount)
    }

    pub(super) fn parsed(&self) -> Result<Url, Fault> {
        let url = Url::parse(&self.url).map_err(|_| self.misconfigured("url is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.misconfigured("url holds a user or a password: name a file with auth"));
        }
        if url.host_str().is_none() || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(self.misconfigured("url is a scheme, a host and a port, and nothing after them"));
        }
        Ok(url)
    }

    /// The segments of a path. One slash at either end is taken off; whatever could lead elsewhere is refused, in clear
    /// or encoded.
    pub(super) fn segments(&self, key: &str, text: &str) -> Result<Vec<String>, Fault> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = |segment: &str| !segment.is_empty() && segment.chars().all(plain) && !segment.starts_with('.');
        if text.len() > PATH_BYTES_MAX || !inner.split('/').all(fits) {
            return Err(self.misconfigured(&format!(
                "{key} has parts of letters, digits, '-', '_' and '.', none of them empty or beginning with '.', with one \
                 '/' between them"
            )));
        }
        Ok(inner.split('/').map(str::to_owned).collect())
    }

    pub(super) fn misconfigured(&self, why: &str) -> Fault {
        Fault::untouched(FaultKind::Misconfigured, format!("store {}: {why}", self.name))
    }
}

fn mount() -> String {
    "secret".to_owned()
}

fn path() -> String {
    "handover/{group}".to_owned()
}

fn value_field() -> String {
    "password".to_owned()
}

fn approle() -> String {
    "approle".to_owned()
}

fn jwt() -> String {
    "jwt".to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn config() -> Config {
        Config {
            name: "bao".to_owned(),
            url: "https://bao.internal:8200".to_owned(),
            namespace: None,
            mount: mount(),
            path: path(),
            value_field: value_field(),
            ca_file: Some("ca.pem".into()),
            auth: Auth::Token { token_file: "token".into() },
            retired: Retired::default(),
        }
    }

    /// S18: a path that leads elsewhere is refused, however it is written.
    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let group = GroupId::parse("orders").unwrap();
        assert_eq!(config().path_of(&group).unwrap(), ["handover", "orders"]);
        assert_eq!(Config { path: "/a/{group}/".to_owned(), ..config() }.path_of(&group).unwrap(), ["a", "orders"]);
        for bad in [
            "../{group}",
            "a/../{group}",
            "a/./{group}",
            "a//{group}",
            "//{group}",
            "%2e%2e/{group}",
            "a%2f{group}",
            "a\\{group}",
            "a\0/{group}",
            "{group}/..",
            "{group}?version=1",
            "{group}#x",
            "a b/{group}",
            "ä/{group}",
            "a/{group}/{group}",
            "a",
            "",
            "*/{group}",
            "{group}//",
        ] {
            let fault = Config { path: bad.to_owned(), ..config() }.check().unwrap_err();
            assert_eq!(fault.kind, FaultKind::Misconfigured, "{bad:?}");
            for (mount, namespace) in [(bad, None), ("kv", Some(bad.to_owned()))] {
                let there = Config { mount: mount.replace("{group}", ""), namespace, ..config() };
                assert!(bad == "a" || bad == "{group}//" || there.check().is_err(), "{bad:?}: {there:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        config().check().unwrap();
        let bad: [Config; 8] = [
            Config { url: "http://bao.internal:8200".to_owned(), ca_file: None, ..config() },
            Config { url: "https://a:b@bao.internal".to_owned(), ..config() },
            Config { url: "https://bao.internal/v1".to_owned(), ..config() },
            Config { url: "bao".to_owned(), ..config() },
            Config { ca_file: None, ..config() },
            Config { value_field: "handover".to_owned(), ..config() },
            Config { value_field: "a b".to_owned(), ..config() },
            Config {
                auth: Auth::AppRole {
                    mount: "../approle".to_owned(),
                    role_id: "r".to_owned(),
                    secret_id_file: "s".into(),
                },
                ..config()
            },
        ];
        for config in bad {
            assert_eq!(config.check().unwrap_err().kind, FaultKind::Misconfigured, "{config:?}");
        }
    }
}
