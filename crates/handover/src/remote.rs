//! Talks to a server, for the verbs that need one.

use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use handover_api::{EventReader, Groups, HEARTBEAT_S, IDEMPOTENCY_KEY, LAST_EVENT_ID, Problem, WatchEvent, path};
use handover_core::GroupId;
use handover_secret::Secret;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::Server;
use crate::environment;
use crate::failure::Failure;
use crate::file;
use crate::server::tls;

/// How long a request may take. A plan looks at the target and the stores first.
const REQUEST_MAX: Duration = Duration::from_secs(70);

/// How long a watch stream is kept before it is opened anew.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A server, and an operator's token.
pub(crate) struct Remote {
    http: reqwest::Client,
    base: String,
    /// Absent: the client certificate says who asks.
    bearer: Option<HeaderValue>,
}

impl Remote {
    pub(crate) fn new(server: &Server) -> Result<Self, Failure> {
        let https = check_url(&server.url)?;
        let bearer = match server.token_file.as_deref() {
            Some(file) => Some(
                bearer(&file::secret(file, "the token file")?)
                    .ok_or_else(|| Failure::error(format!("the token file {} holds no token", file.display())))?,
            ),
            None if https && server.client_certificate_file.is_some() => None,
            None => {
                return Err(Failure::error("this needs an operator's token").hint(format!(
                    "make one with `handover token create NAME --role operator --group '*' > FILE`, then name the file \
                     with --token-file or {}",
                    environment::TOKEN_FILE
                )));
            }
        };
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(client_config(https, server)?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(REQUEST_MAX)
            .build()
            .map_err(|_| Failure::error("the HTTP client could not be built"))?;
        Ok(Self { http, base: server.url.trim_end_matches('/').to_owned(), bearer })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        serde_json::from_slice(&answer).map_err(|_| not_this_api())
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let answer = self.send_once(path, body).await?;
        serde_json::from_slice(&answer).map_err(|_| not_this_api())
    }

    /// The same under a key that the caller chose: sent again, also by another process, it is carried out once.
    pub(crate) async fn post_as<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T, Failure> {
        let answer = self.send_under(path, body, key).await?;
        serde_json::from_slice(&answer).map_err(|_| not_this_api())
    }

    /// All groups that the token covers.
    pub(crate) async fn groups(&self) -> Result<Groups, Failure> {
        let mut all: Groups = self.get(path::GROUPS).await?;
        while let Some(after) = all.next.take() {
            let page: Groups = self.get(&format!("{}?after={after}", path::GROUPS)).await?;
            // A server that stays where it is would be asked for ever.
            if page.groups.is_empty() && page.unreadable.is_empty() {
                return Err(not_this_api());
            }
            all.groups.extend(page.groups);
            all.unreadable.extend(page.unreadable);
            all.next = page.next;
        }
        Ok(all)
    }

    /// A request whose answer has no body.
    pub(crate) async fn order(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.send_once(path, body).await.map(drop)
    }

    /// The same for a path that takes away.
    pub(crate) async fn delete(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, path).json(body)).await.map(drop)
    }

    /// Opens a watch stream: of a group, or of all that the token covers; from where another one ended.
    pub(crate) async fn watch(&self, group: Option<&GroupId>, seen: Option<u64>) -> Result<Watch, NoStream> {
        let mut request = self.request(Method::GET, path::WATCH).timeout(STREAM_MAX);
        if let Some(group) = group {
            request = request.query(&[("group", group.as_str())]);
        }
        if let Some(seen) = seen {
            request = request.header(LAST_EVENT_ID, seen);
        }
        let away = |_| NoStream { failure: self.unreachable("no connection"), again: true };
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Watch { bytes: Box::pin(answer.bytes_stream()), reader: EventReader::default() });
        }
        let body = answer.bytes().await.unwrap_or_default();
        let failure = serde_json::from_slice(&body).map_or_else(|_| not_this_api(), refused);
        Err(NoStream { failure, again: status.is_server_error() || status.as_u16() == 429 })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer.clone()),
            None => request,
        }
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::error(format!("the server at {} cannot be reached: {why}", self.base))
            .hint("start it with `handover serve`, or name another one with --url")
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
        self.read(attempt(request).await)
    }

    /// Sends an order under a fresh key; where the connection was lost on the way, once more under the same key: nobody
    /// knows then whether the order was taken, and under one key it is taken once.
    async fn send_once(&self, path: &str, body: &impl Serialize) -> Result<Vec<u8>, Failure> {
        let mut key = [0; 16];
        OsRng.try_fill_bytes(&mut key).map_err(|_| Failure::error("the operating system gave no randomness"))?;
        self.send_under(path, body, &hex::encode(key)).await
    }

    async fn send_under(&self, path: &str, body: &impl Serialize, key: &str) -> Result<Vec<u8>, Failure> {
        let request = || self.request(Method::POST, path).header(IDEMPOTENCY_KEY, key).json(body);
        match attempt(request()).await {
            Err(error) if !error.is_connect() && !error.is_timeout() => {
                let again = attempt(request()).await;
                let lost = again.is_err();
                self.read(again).map_err(|failure| if lost { failure.hint(MAYBE_TAKEN) } else { failure })
            }
            Err(error) if error.is_timeout() => self.read(Err(error)).map_err(|failure| failure.hint(MAYBE_TAKEN)),
            answer => self.read(answer),
        }
    }

    fn read(&self, answer: reqwest::Result<(StatusCode, Bytes)>) -> Result<Vec<u8>, Failure> {
        let (status, body) = answer.map_err(|error| {
            self.unreachable(match error.is_timeout() {
                true => "no answer in time",
                false if error.is_connect() => "no connection",
                false => "the answer broke off",
            })
        })?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(refused(problem)),
            Err(_) => Err(not_this_api()),
        }
    }
}

/// Why there is no watch stream.
pub(crate) struct NoStream {
    /// What to say.
    pub(crate) failure: Failure,
    /// Whether it is worth asking again: the server was away, or had no place left.
    pub(crate) again: bool,
}

/// What helps where nobody knows whether an order was taken.
const MAYBE_TAKEN: &str = "the order may have been taken all the same: `handover status` shows it";

async fn attempt(request: reqwest::RequestBuilder) -> reqwest::Result<(StatusCode, Bytes)> {
    let answer = request.send().await?;
    Ok((answer.status(), answer.bytes().await?))
}

/// An open watch stream.
pub(crate) struct Watch {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    reader: EventReader,
}

impl Watch {
    /// What arrived next; an empty list for a heartbeat. `None` once the stream has ended or fell silent.
    pub(crate) async fn next(&mut self) -> Option<Vec<WatchEvent>> {
        let silence_max = Duration::from_secs(3 * HEARTBEAT_S);
        let chunk = tokio::time::timeout(silence_max, self.bytes.next()).await.ok()??;
        self.reader.push(&chunk.ok()?).ok()
    }

    /// The position up to which it told everything; the next stream begins from there.
    pub(crate) const fn last_id(&self) -> Option<u64> {
        self.reader.last_id()
    }
}

/// A state of the world that the user can change is exit code 1, everything else is 2.
fn refused(problem: Problem) -> Failure {
    let text = format!("{} [{}]", problem.detail, problem.code);
    let failure = match problem.status {
        404 | 409 | 422 => Failure::refused(text),
        _ => Failure::error(text),
    };
    match problem.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn not_this_api() -> Failure {
    Failure::error("the answer is not one of this API").hint("is --url a Handover server of this version?")
}

/// Whether it is `https`. Plain `http` is for loopback only.
fn check_url(text: &str) -> Result<bool, Failure> {
    // The text is not repeated: somebody may have put a password into it.
    let url = Url::parse(text).map_err(|_| Failure::error("--url is not a URL"))?;
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(true),
        "http" if loopback => Ok(false),
        _ => Err(Failure::error("--url must be https://…, or http:// on loopback: the token would cross in clear")),
    }
}

fn client_config(https: bool, server: &Server) -> Result<ClientConfig, Failure> {
    let builder = trusting(https, server.ca_file.as_deref())?;
    let (Some(certificate), Some(key_file)) = (&server.client_certificate_file, &server.client_key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = tls::certificates(certificate, "the client certificate")?;
    let key = tls::key(&file::secret(key_file, "the client certificate's key")?, key_file)?;
    builder.with_client_auth_cert(chain, key).map_err(|_| {
        Failure::error(format!(
            "the client certificate {} and the key {} are not usable together",
            certificate.display(),
            key_file.display()
        ))
    })
}

/// Trusts the named CA and nobody else.
pub(crate) fn trusting(
    https: bool,
    ca_file: Option<&Path>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    match ca_file {
        Some(file) => {
            for certificate in tls::certificates(file, "the CA file")? {
                roots.add(certificate).map_err(|_| {
                    Failure::error(format!("the CA file {} holds no usable certificate", file.display()))
                })?;
            }
        }
        None if https => {
            return Err(
                Failure::error("https needs a CA to check the server's certificate").hint("name it with --ca-file")
            );
        }
        None => {}
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Failure::error("TLS cannot be set up"))?;
    Ok(builder.with_root_certificates(roots))
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    #[expect(clippy::disallowed_methods, reason = "the token goes into the request's header, marked as sensitive")]
    let text = token.expose_text()?.trim();
    let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| !text.is_empty())?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_crosses_a_network_in_clear() {
        assert_eq!(check_url("https://handover.example"), Ok(true));
        assert_eq!(check_url("http://127.0.0.1:8300"), Ok(false));
        for bad in ["http://handover.example", "ftp://127.0.0.1", "x"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exit_codes_follow_who_can_change_it() {
        use std::process::ExitCode;
        let problem = |status| Problem::new(status, "c", "t", "d");
        for (status, code) in [(404, 1), (409, 1), (422, 1), (400, 2), (401, 2), (403, 2), (500, 2), (503, 2)] {
            assert_eq!(refused(problem(status)).exit_code(), ExitCode::from(code), "{status}");
        }
    }
}
