//! Requests to the server: our login, what an answer means, and which node gave it.
//!
//! Redirects are not followed, and no proxy is taken from the environment: values go where the configuration says.

use std::sync::Arc;
use std::time::Duration;

use handover_core::{Fault, FaultKind, Touched};
use handover_secret::Secret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client as Http, Method, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::Credential;
use super::config::Config;
use super::login::Session;
use crate::http::is_untrusted;
use crate::tls;

/// The longest answer that is looked at.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a connection may take, TLS included. The whole call is bounded by who makes it.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A connection that nobody used for this long may have been closed by the other side.
const IDLE_MAX: Duration = Duration::from_secs(10);

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// How far a node is: in answers of nodes that may lag, and in requests that want no older answer.
const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");

pub(super) struct Client {
    pub(super) config: Arc<Config>,
    pub(super) credential: Credential,
    pub(super) session: Mutex<Option<Session>>,
    base: Url,
    http: Http,
    namespace: Option<HeaderValue>,
}

/// What is asked.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: Vec<String>,
    pub(super) version: Option<u64>,
    pub(super) body: Option<Vec<u8>>,
    /// No answer of a node that is not as far as this.
    pub(super) index: Option<HeaderValue>,
}

/// What was answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) index: Option<HeaderValue>,
    body: Zeroizing<Vec<u8>>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Client {
    pub(super) fn new(config: Config, ca_pem: Option<&[u8]>, credential: Credential) -> Result<Self, Fault> {
        config.check()?;
        let base = config.parsed()?;
        let tls = tls::client_config(&format!("store {}", config.name), ca_pem)?;
        let http = Http::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_PATIENCE)
            .pool_idle_timeout(IDLE_MAX)
            .use_preconfigured_tls(tls)
            .build()
            .map_err(|_| {
                Fault::untouched(FaultKind::Bug, format!("store {}: the HTTP client could not be made", config.name))
            })?;
        let namespace = match &config.namespace {
            Some(text) => {
                let segments = config.segments("namespace", text)?;
                Some(HeaderValue::from_str(&segments.join("/")).map_err(|_| config.misconfigured("namespace"))?)
            }
            None => None,
        };
        Ok(Self { config: Arc::new(config), credential, session: Mutex::default(), base, http, namespace })
    }

    /// Asks as whom we are logged in. A token that is refused is replaced by a new login, once: the server refused the
    /// request for certain, so that asking again repeats nothing.
    pub(super) async fn ask(&self, request: &Request) -> Result<Reply, Fault> {
        let session = self.session(None).await?;
        let reply = self.send(request, Some(&session)).await?;
        if reply.status != 403 {
            return Ok(reply);
        }
        let again = self.session(Some(&session)).await?;
        self.send(request, Some(&again)).await
    }

    /// One request, with the token and the index of a session, where there is one.
    pub(super) async fn send(&self, request: &Request, session: Option<&Session>) -> Result<Reply, Fault> {
        let writes = request.method != Method::GET;
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        headers.extend(self.namespace.clone().map(|namespace| (NAMESPACE, namespace)));
        if let Some(session) = session {
            headers.insert(TOKEN, self.token(&session.token)?);
        }
        let index = request.index.clone().or_else(|| session.and_then(|session| session.index.clone()));
        if let Some(index) = index {
            headers.insert(INDEX, index);
            headers.insert(INCONSISTENT, HeaderValue::from_static("forward-active-node"));
        }
        let mut asked = self.http.request(request.method.clone(), self.url(request)?).headers(headers);
        if let Some(body) = &request.body {
            asked = asked.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let answer = asked.send().await.map_err(|error| self.trouble(&error, writes))?;
        self.read(answer, writes).await
    }

    async fn read(&self, mut answer: Response, writes: bool) -> Result<Reply, Fault> {
        let (status, index) = (answer.status().as_u16(), answer.headers().get(INDEX).cloned());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.trouble(&error, writes))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.fault(FaultKind::Unsupported, touched(writes), "its answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, index, body })
    }

    fn url(&self, request: &Request) -> Result<Url, Fault> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| self.config.misconfigured("url is not a URL"))?
            .pop_if_empty()
            .push("v1")
            .extend(&request.path);
        if let Some(version) = request.version {
            url.query_pairs_mut().append_pair("version", &version.to_string());
        }
        Ok(url)
    }

    fn token(&self, token: &Secret) -> Result<HeaderValue, Fault> {
        #[expect(clippy::disallowed_methods, reason = "the server wants the token")]
        let value = HeaderValue::from_bytes(token.expose());
        let mut value = value.map_err(|_| self.config.misconfigured("its token holds what no header may have"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// What an answer means that is none of those that the request expects.
    pub(super) fn refusal(&self, reply: &Reply, writes: bool) -> Fault {
        let errors = reply.errors();
        let says = |words: &str| errors.iter().any(|error| error.contains(words));
        let (kind, touched, why) = match reply.status {
            400 if says("check-and-set parameter did not match") => {
                (FaultKind::Conflict, Touched::Nothing, "the path is not at the expected version any more")
            }
            400 => {
                (FaultKind::Unsupported, Touched::Nothing, "it does not take the request: is the mount a KV version 2?")
            }
            401 | 403 => (
                FaultKind::NotPermitted,
                Touched::Nothing,
                "our login may not do this: give it the policy in docs/connectors/vault.md",
            ),
            300..=399 => (
                FaultKind::Misconfigured,
                Touched::Nothing,
                "it points elsewhere, which is not followed: set url to the server itself",
            ),
            404 | 405 => (FaultKind::Misconfigured, Touched::Nothing, "there is no KV version 2 at this mount"),
            412 => (FaultKind::Busy, Touched::Nothing, "the node that answered is behind the active one"),
            413 => (FaultKind::Unsupported, Touched::Nothing, "the value is longer than it takes"),
            429 => (FaultKind::Busy, Touched::Nothing, "it limits our rate, or the node is behind the active one"),
            472 | 473 => (FaultKind::Busy, Touched::Nothing, "the node is a standby that takes no requests"),
            501 => (FaultKind::Misconfigured, Touched::Nothing, "it was not initialised yet"),
            503 if says("sealed") => (FaultKind::Busy, Touched::Nothing, "it is sealed: unseal it"),
            _ => (FaultKind::Busy, touched(writes), "it fails, or is not ready: look at its log"),
        };
        self.fault(kind, touched, &format!("answered {}: {why}", reply.status))
    }

    fn trouble(&self, error: &reqwest::Error, writes: bool) -> Fault {
        if is_untrusted(error) {
            return self.fault(
                FaultKind::Misconfigured,
                Touched::Nothing,
                "its certificate does not chain to ca_file, has expired, or bears another name",
            );
        }
        if error.is_connect() {
            return self.fault(FaultKind::Unreachable, Touched::Nothing, "there is no connection to it");
        }
        self.fault(FaultKind::Unreachable, touched(writes), "it broke off before it answered")
    }

    pub(super) fn fault(&self, kind: FaultKind, touched: Touched, what: &str) -> Fault {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port_or_known_default().unwrap_or_default();
        Fault { kind, touched, detail: format!("store {}, {host}:{port}: {what}", self.config.name) }
    }
}

impl Request {
    pub(super) fn get(path: Vec<String>) -> Self {
        Self { method: Method::GET, path, version: None, body: None, index: None }
    }

    pub(super) fn post(path: Vec<String>, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, version: None, body: Some(body), index: None }
    }
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What the server says is wrong. For recognising known words; it goes nowhere else.
    fn errors(&self) -> Vec<String> {
        self.json::<Errors>().map(|errors| errors.errors).unwrap_or_default()
    }

    /// Whether it is the answer for a path at which there never was anything. What was deleted there has no errors, and
    /// says which version it was.
    pub(super) fn is_nothing_there(&self) -> bool {
        self.status == 404 && self.json::<Errors>().is_some_and(|errors| errors.errors.is_empty())
    }
}

const fn touched(writes: bool) -> Touched {
    if writes { Touched::Unknown } else { Touched::Nothing }
}
