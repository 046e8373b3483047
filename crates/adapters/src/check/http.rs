//! An HTTP request that bears the credential, and what must be answered.

use std::path::PathBuf;

use handover_core::port::{Finding, Subject};
use handover_core::{Fault, FaultKind};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, USER_AGENT};
use serde::Deserialize;
use serde_json::Value;

use super::fetch::{Answered, Fetcher, check_url, header, header_value, no_verdict};
use super::template::{fill, holds_the_value, percent, plain};
use super::{Common, When, always, failed, misconfigured, pack, timeout_ms, unknown};

/// Options of `http`. What is absent here comes from the pack, if one is named.
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
    /// What is known of a provider: its URL, where it takes the credential, what its answers mean.
    pub pack: Option<String>,
    /// Where it is asked. `{field}` stands for what is published beside the value.
    pub url: Option<String>,
    /// How.
    pub method: Option<MethodName>,
    /// `name: text` each; in the text `{value}` stands for the credential.
    pub headers: Option<Vec<String>>,
    /// The statuses that pass.
    pub status: Option<Vec<u16>>,
    /// The statuses by which the credential is known to be refused. All others say nothing.
    pub failed_status: Option<Vec<u16>>,
    /// Where in the answer's JSON something must stand.
    pub pointer: Option<String>,
    /// What must stand there, as text.
    pub expected: Option<String>,
    /// Where in the answer's JSON it stands why something else is there.
    pub failed_pointer: Option<String>,
    /// What there means that the credential is known to be refused. All others say nothing.
    pub failed_values: Option<Vec<String>>,
    /// CA certificates in PEM that the server's certificate must chain to.
    pub ca_file: Option<PathBuf>,
    /// Whether it may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
}

/// A method that changes nothing, or is meant to by whom it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MethodName {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`, without a body.
    Post,
}

impl Config {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    /// With what the pack adds.
    pub(super) fn resolved(&self) -> Result<Self, Fault> {
        let Some(name) = &self.pack else { return Ok(self.clone()) };
        let pack = pack::named(&self.name, name)?;
        let own = self.clone();
        Ok(Self {
            url: own.url.or(pack.url),
            method: own.method.or(pack.method),
            headers: own.headers.or(pack.headers),
            status: own.status.or(pack.status),
            failed_status: own.failed_status.or(pack.failed_status),
            pointer: own.pointer.or(pack.pointer),
            expected: own.expected.or(pack.expected),
            failed_pointer: own.failed_pointer.or(pack.failed_pointer),
            failed_values: own.failed_values.or(pack.failed_values),
            ..own
        })
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let name = &self.name;
        let Some(url) = &self.url else {
            return Err(misconfigured(name, "it has no url, and no pack that has one"));
        };
        if holds_the_value(url) {
            return Err(misconfigured(name, "url holds {value}: URLs stand in logs; use headers"));
        }
        check_url(name, url, self.ca_file.is_some(), self.allow_private)?;
        let headers = self.headers.as_deref().unwrap_or_default();
        for text in headers {
            header(name, text)?;
        }
        if !headers.iter().any(|text| holds_the_value(text)) {
            return Err(misconfigured(
                name,
                "no header holds {value}: an answer to whoever asks says nothing of the credential",
            ));
        }
        let known = |status: &Option<Vec<u16>>| status.iter().flatten().all(|status| (200..600).contains(status));
        if !known(&self.status) || !known(&self.failed_status) {
            return Err(misconfigured(name, "status and failed_status are from 200 to 599"));
        }
        if self.statuses().iter().any(|status| self.failed_statuses().contains(status)) {
            return Err(misconfigured(name, "a status is in status and in failed_status"));
        }
        if self.pointer.is_some() != self.expected.is_some() {
            return Err(misconfigured(name, "pointer and expected belong together"));
        }
        if self.failed_pointer.is_some() != self.failed_values.is_some() {
            return Err(misconfigured(name, "failed_pointer and failed_values belong together"));
        }
        let pointers = [&self.pointer, &self.failed_pointer];
        if pointers.into_iter().flatten().any(|pointer| !pointer.starts_with('/')) {
            return Err(misconfigured(name, "a pointer begins with /, as in RFC 6901"));
        }
        Ok(())
    }

    fn statuses(&self) -> &[u16] {
        self.status.as_deref().unwrap_or(&[200])
    }

    fn failed_statuses(&self) -> &[u16] {
        self.failed_status.as_deref().unwrap_or(&[401, 403])
    }
}

pub(super) struct Http {
    config: Config,
    fetcher: Fetcher,
}

impl Http {
    pub(super) fn new(config: Config, ca_pem: Option<&[u8]>) -> Result<Self, Fault> {
        config.check()?;
        let fetcher = Fetcher::new(&config.name, ca_pem, config.allow_private)?;
        Ok(Self { config, fetcher })
    }

    pub(super) async fn ask(&self, subject: Subject<'_>) -> Result<Finding, Fault> {
        let url = fill(self.config.url.as_deref().unwrap_or_default(), subject, percent)?;
        let mut headers = HeaderMap::new();
        // Some providers answer nobody without one.
        headers.insert(USER_AGENT, HeaderValue::from_static("handover"));
        for text in self.config.headers.iter().flatten() {
            let (name, template) = header(&self.config.name, text)?;
            headers.insert(name, header_value(&fill(template, subject, plain)?)?);
        }
        let method = match self.config.method.unwrap_or(MethodName::Get) {
            MethodName::Get => Method::GET,
            MethodName::Head => Method::HEAD,
            MethodName::Post => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                Method::POST
            }
        };
        self.judge(&self.fetcher.ask(method, &url, headers).await?)
    }

    fn judge(&self, answered: &Answered) -> Result<Finding, Fault> {
        let status = answered.status;
        if self.config.failed_statuses().contains(&status) {
            return Ok(failed(format!("it answered {status}")));
        }
        if !self.config.statuses().contains(&status) {
            return Err(no_verdict(status));
        }
        let (Some(pointer), Some(expected)) = (&self.config.pointer, &self.config.expected) else {
            return Ok(Finding::Passed);
        };
        let json: Option<Value> = answered.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        let Some(json) = json else {
            return Err(unknown(FaultKind::Unsupported, format!("it answered {status}, and no JSON that is read")));
        };
        if at(&json, pointer).as_deref() == Some(expected) {
            return Ok(Finding::Passed);
        }
        let wrong = format!("it answered {status}, and something else than expected stands at {pointer}");
        let (Some(why), Some(values)) = (&self.config.failed_pointer, &self.config.failed_values) else {
            return Ok(failed(wrong));
        };
        if at(&json, why).is_some_and(|found| values.contains(&found)) {
            return Ok(failed(wrong));
        }
        Err(unknown(FaultKind::Busy, format!("{wrong}; why stands at {why}, and is no known refusal")))
    }
}

fn at(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer).map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}
