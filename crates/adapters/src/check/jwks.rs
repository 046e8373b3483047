//! A key set at a URL, and a key that must be in it.

use std::path::PathBuf;

use handover_core::port::{Finding, Subject};
use handover_core::{Fault, FaultKind};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::fetch::{Fetcher, check_url, no_verdict};
use super::template::{fill, holds_the_value, plain};
use super::{Common, When, always, failed, misconfigured, timeout_ms, unknown};

/// Options of `jwks`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "always")]
    pub when: Vec<When>,
    /// How long it may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Where the key set is.
    pub url: String,
    /// The key that must be in it; `{field}` stands for what is published beside the value.
    pub kid: String,
    /// CA certificates in PEM that the server's certificate must chain to.
    pub ca_file: Option<PathBuf>,
    /// Whether it may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
}

impl Config {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.kid.is_empty() || holds_the_value(&self.kid) {
            return Err(misconfigured(&self.name, "kid names a key, and never holds {value}"));
        }
        check_url(&self.name, &self.url, self.ca_file.is_some(), self.allow_private)
    }
}

pub(super) struct Jwks {
    config: Config,
    fetcher: Fetcher,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: Option<String>,
}

impl Jwks {
    pub(super) fn new(config: Config, ca_pem: Option<&[u8]>) -> Result<Self, Fault> {
        config.check()?;
        let fetcher = Fetcher::new(&config.name, ca_pem, config.allow_private)?;
        Ok(Self { config, fetcher })
    }

    pub(super) async fn look(&self, subject: Subject<'_>) -> Result<Finding, Fault> {
        let kid = fill(&self.config.kid, subject, plain)?;
        let answered = self.fetcher.ask(Method::GET, &self.config.url, HeaderMap::new()).await?;
        if answered.status != 200 {
            return Err(no_verdict(answered.status));
        }
        let keys: Option<KeySet> = answered.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        let Some(KeySet { keys }) = keys else {
            return Err(unknown(FaultKind::Unsupported, "it answered 200, and no key set that is read"));
        };
        if keys.iter().any(|key| key.kid.as_deref() == Some(kid.as_str())) {
            return Ok(Finding::Passed);
        }
        Ok(failed(format!("none of its {} keys is the one that must be there", keys.len())))
    }
}
