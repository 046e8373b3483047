//! History as HTTP requests: lines of JSON, the event collector of Splunk, or the bulk interface of Elasticsearch.
//!
//! A batch is one POST, and delivered when its answer says so. Redirects are not followed, and no proxy is taken from
//! the environment: records go where the configuration says, and the token nowhere else.

mod shape;

use std::path::PathBuf;

use handover_core::port::{Answer, Record, Sink};
use handover_core::{Fault, FaultKind};
use handover_secret::Secret;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::tls;
use crate::http::{is_loopback, is_untrusted};

/// The longest answer that is looked at. A bulk answer has some hundred bytes for each record.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Options of an HTTP sink.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The sink's name: the key of its cursor.
    pub name: String,
    /// Where to POST: `https://…`, or `http://` on loopback.
    pub url: String,
    /// What the receiver understands.
    #[serde(default)]
    pub format: Format,
    /// CA certificates in PEM that the receiver's certificate must chain to. For `https://`.
    pub ca_file: Option<PathBuf>,
    /// A file with the token to present, readable by its owner only.
    pub token_file: Option<PathBuf>,
    /// The scheme of the token, if it is not the format's usual one: `Bearer`, `Splunk` or `ApiKey`.
    pub token_scheme: Option<String>,
}

/// What a receiver understands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of JSON (`application/x-ndjson`).
    #[default]
    Lines,
    /// Events for Splunk's HTTP event collector: `…/services/collector/event`.
    Splunk,
    /// A bulk request for Elasticsearch or OpenSearch: `…/INDEX/_bulk`.
    Elastic,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Fault> {
        let url = self.parsed()?;
        match url.scheme() {
            "https" if self.ca_file.is_none() => {
                Err(self.misconfigured("for https, ca_file names the CA that its receiver's certificate chains to"))
            }
            "http" if !is_loopback(&url) => Err(self
                .misconfigured("url must be https: over http, whoever is on the way reads the token and the records")),
            "http" if self.ca_file.is_some() => Err(self.misconfigured("ca_file is for https")),
            "http" | "https" => Ok(()),
            _ => Err(self.misconfigured("url begins with https://")),
        }
    }

    pub(super) fn receiver(&self) -> Option<(String, u16)> {
        let url = self.parsed().ok()?;
        Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?))
    }

    fn parsed(&self) -> Result<Url, Fault> {
        let url = Url::parse(&self.url).map_err(|_| self.misconfigured("url is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.misconfigured("url holds a user or a password: name a file with token_file"));
        }
        Ok(url)
    }

    fn misconfigured(&self, why: &str) -> Fault {
        Fault::untouched(FaultKind::Misconfigured, format!("sink {}: {why}", self.name))
    }
}

/// A sink that POSTs.
pub struct HttpSink {
    config: Config,
    url: Url,
    client: Client,
    headers: HeaderMap,
}

impl HttpSink {
    /// Makes the sink. Nothing is contacted yet.
    ///
    /// # Errors
    /// `Misconfigured`.
    pub fn new(config: Config, ca_pem: Option<&[u8]>, token: Option<Secret>) -> Result<Self, Fault> {
        config.check()?;
        let url = config.parsed()?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(config.format.content_type()));
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, authorization(&config, &token)?);
        }
        // An idle connection is one that the other side may have closed: each batch has its own.
        let tls = tls::client_config(&config.name, ca_pem)?;
        let builder =
            Client::builder().redirect(Policy::none()).no_proxy().pool_max_idle_per_host(0).use_preconfigured_tls(tls);
        let bug =
            |_| Fault::untouched(FaultKind::Bug, format!("sink {}: the HTTP client could not be made", config.name));
        let client = builder.build().map_err(bug)?;
        Ok(Self { url, client, headers, config })
    }

    async fn post(&self, records: &[Record]) -> Result<(), Fault> {
        let body = self.config.format.body(records)?;
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let answer = request.send().await.map_err(|error| self.trouble(&error))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(self.refused(status));
        }
        let text = self.read(answer).await?;
        if self.config.format.took_all(&text) {
            return Ok(());
        }
        let words = format!(
            "sink {}: {} answered {status}, and not that it took every record; look at its log and at `format`",
            self.config.name,
            self.whom()
        );
        Err(Fault::unknown(FaultKind::Busy, words))
    }

    async fn read(&self, mut answer: Response) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.trouble(&error))? {
            if text.len() + chunk.len() > ANSWER_BYTES_MAX {
                let words = format!("sink {}: the answer of {} is too long", self.config.name, self.whom());
                return Err(Fault::unknown(FaultKind::Unsupported, words));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    fn refused(&self, status: StatusCode) -> Fault {
        let (kind, why) = match status.as_u16() {
            401 => (FaultKind::Unauthenticated, "it does not accept the token: set token_file and token_scheme"),
            403 => (FaultKind::NotPermitted, "the token may not write there: give it the right to"),
            300..=399 => (FaultKind::Misconfigured, "it points elsewhere, which is not followed: set url to the place"),
            404 | 405 => (FaultKind::Misconfigured, "it takes no records at this path: set url and format"),
            408 | 429 | 500..=599 => (FaultKind::Busy, "it takes no records now; they are sent again"),
            _ => (FaultKind::Unsupported, "it does not understand the records: set format, and look at its log"),
        };
        let words = format!("sink {}: {} answered {}: {why}", self.config.name, self.whom(), status.as_u16());
        Fault::unknown(kind, words)
    }

    fn trouble(&self, error: &reqwest::Error) -> Fault {
        let name = &self.config.name;
        if is_untrusted(error) {
            let words = format!(
                "sink {name}: the certificate of {} does not chain to its ca_file, has expired, or bears another name; \
                 set ca_file",
                self.whom()
            );
            return Fault::untouched(FaultKind::Misconfigured, words);
        }
        if error.is_connect() {
            let words =
                format!("sink {name}: no connection to {}; records wait in the state until there is one", self.whom());
            return Fault::untouched(FaultKind::Unreachable, words);
        }
        let words = format!("sink {name}: {} broke off before it answered; the records are sent again", self.whom());
        Fault::unknown(FaultKind::Unreachable, words)
    }

    /// Host and port: the path may hold something secret.
    fn whom(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl Sink for HttpSink {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn deliver<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(async move { if records.is_empty() { Ok(()) } else { self.post(records).await } })
    }
}

fn authorization(config: &Config, token: &Secret) -> Result<HeaderValue, Fault> {
    let mut text = config.token_scheme.as_deref().unwrap_or(config.format.scheme()).as_bytes().to_vec();
    text.push(b' ');
    #[expect(clippy::disallowed_methods, reason = "the receiver wants the token")]
    text.extend_from_slice(token.expose());
    let text = zeroize::Zeroizing::new(text);
    let mut value = HeaderValue::from_bytes(&text)
        .map_err(|_| config.misconfigured("its token or token_scheme holds a character that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}
