//! Requests to the controller.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use handover_api::{Ack, Delivered, EventReader, HEARTBEAT_S, Problem, WatchEvent, path};
use handover_secret::Secret;
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use crate::credential::Credential;
use crate::error::Error;
use crate::follower::{self, Validate};
use crate::live::Live;
use crate::tls;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What a client needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The controller: `https://…`, or `http://` on loopback only.
    pub url: String,
    /// Who this consumer is. It must be the name that the token was made for.
    pub identity: String,
    /// A file with the token. It is read anew for each request, so it may be replaced at any time.
    pub token_file: PathBuf,
    /// PEM file with the CA certificates that the controller's certificate must chain to. Needed for `https`.
    pub ca_file: Option<PathBuf>,
    /// How long [`Client::live`] tries to get the first value. Default 30 s.
    pub start_for: Duration,
    /// How often is asked whether something changed, beside the watch stream. Default 30 s.
    pub poll: Duration,
    /// How long the watch stream may be silent before it is opened anew. Default: two heartbeats and a half.
    pub silence_max: Duration,
    /// How long a request may take. Default 10 s.
    pub request_max: Duration,
    /// The first wait after a failure; later ones double. Default 200 ms.
    pub backoff_min: Duration,
    /// The longest wait after a failure. Default 10 s.
    pub backoff_max: Duration,
}

impl Options {
    /// Options with the defaults that the fields name.
    pub fn new(url: impl Into<String>, identity: impl Into<String>, token_file: impl Into<PathBuf>) -> Self {
        Self {
            url: url.into(),
            identity: identity.into(),
            token_file: token_file.into(),
            ca_file: None,
            start_for: Duration::from_secs(30),
            poll: Duration::from_secs(30),
            silence_max: Duration::from_secs(HEARTBEAT_S) * 5 / 2,
            request_max: Duration::from_secs(10),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// A client of one controller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    pub(crate) options: Arc<Options>,
}

impl Client {
    /// A client. Nothing is sent yet.
    pub fn new(options: Options) -> Result<Self, Error> {
        let url = parse_url(&options.url)?;
        let pem = match &options.ca_file {
            Some(file) => Some(
                std::fs::read(file)
                    .map_err(|_| Error::Options(format!("the CA file {} cannot be read", file.display())))?,
            ),
            None if url.scheme() == "https" => {
                return Err(Error::Options("https needs a CA file to check the controller's certificate".to_owned()));
            }
            None => None,
        };
        let roots = tls::client_config(pem.as_deref())
            .map_err(|tls::BadRoots| Error::Options("the CA file holds no usable certificate".to_owned()))?;
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(roots)
            // A redirect or a proxy of the environment would carry the token to somebody who was not named.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(options.request_max)
            .build()
            .map_err(|_| Error::Options("the HTTP client could not be built".to_owned()))?;
        let base = options.url.trim_end_matches('/').into();
        Ok(Self { http, base, options: Arc::new(options) })
    }

    /// Fetches what the group publishes now. The controller records the delivery before the value leaves it.
    pub async fn fetch(&self, group: &str) -> Result<Credential, Error> {
        self.fetch_after(group, None).await?.ok_or(Error::Protocol("a value was asked for and none came"))
    }

    /// A live handle on the group's credential. Returns once there is a first value, or after
    /// [`Options::start_for`] with the last error.
    pub async fn live(&self, group: &str) -> Result<Live<Credential>, Error> {
        follower::start(self.clone(), group, None).await
    }

    /// As [`Client::live`], with a hook that each new publication must pass before it is put in force.
    pub async fn live_validated(&self, group: &str, validate: Validate) -> Result<Live<Credential>, Error> {
        follower::start(self.clone(), group, Some(validate)).await
    }

    /// Fetches what the group publishes if its publication is above `after`; nothing is delivered otherwise.
    pub(crate) async fn fetch_after(&self, group: &str, after: Option<u64>) -> Result<Option<Credential>, Error> {
        let mut request = self.request(Method::GET, &path::group(path::SECRET, group)).await?;
        if let Some(after) = after {
            request = request.query(&[("after", after)]);
        }
        let answer = send(request.timeout(self.options.request_max)).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let body = read(answer).await?;
        #[expect(clippy::disallowed_methods, reason = "parses the delivery out of the answer, into a secret again")]
        let delivered: Delivered =
            serde_json::from_slice(body.expose()).map_err(|_| Error::Protocol("it is no delivery"))?;
        if delivered.consumer != self.options.identity {
            return Err(Error::Identity { token_of: delivered.consumer, identity: self.options.identity.clone() });
        }
        if delivered.group != group {
            return Err(Error::Protocol("it is a delivery of another group"));
        }
        Ok(Some(Credential::from(delivered)))
    }

    pub(crate) async fn acknowledge(&self, group: &str, ack: &Ack) -> Result<(), Error> {
        let request = self.request(Method::POST, &path::group(path::ACK, group)).await?;
        send(request.json(ack).timeout(self.options.request_max)).await.map(drop)
    }

    pub(crate) async fn watch(&self, group: &str) -> Result<Watch, Error> {
        let request = self.request(Method::GET, path::WATCH).await?.query(&[("group", group)]);
        // A time limit on the whole request would end a healthy stream; this one ends with its head.
        let answer = tokio::time::timeout(self.options.request_max, send(request))
            .await
            .map_err(|_| Error::Unavailable("no answer in time"))??;
        let bytes = answer.bytes_stream().map(|chunk| chunk.map(Vec::from));
        Ok(Watch { bytes: Box::pin(bytes), reader: EventReader::default() })
    }

    async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Error> {
        let file = &self.options.token_file;
        let token = tokio::fs::read(file)
            .await
            .map(Secret::from_bytes)
            .map_err(|_| Error::Options(format!("the token file {} cannot be read", file.display())))?;
        let request = self.http.request(method, format!("{}{path}", self.base));
        let header = bearer(&token)
            .ok_or_else(|| Error::Options(format!("the token file {} holds no token", file.display())))?;
        Ok(request.header(reqwest::header::AUTHORIZATION, header))
    }
}

/// An open watch stream.
pub(crate) struct Watch {
    bytes: Pin<Box<dyn Stream<Item = Result<Vec<u8>, reqwest::Error>> + Send>>,
    reader: EventReader,
}

impl Watch {
    /// What arrived next; an empty list for a heartbeat. `None` once the stream has ended. May be cut off at any time
    /// without losing anything.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<WatchEvent>, Error>> {
        let Ok(chunk) = self.bytes.next().await? else {
            return Some(Err(Error::Unavailable("the watch stream broke")));
        };
        Some(self.reader.push(&chunk).map_err(|_| Error::Protocol("the watch stream carries no events")))
    }
}

fn parse_url(text: &str) -> Result<Url, Error> {
    // The text is not repeated: somebody may have put a password into it.
    let url = Url::parse(text).map_err(|_| Error::Options("the controller's URL is not one".to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Options("the controller's URL must not name a user: the token file does".to_owned()));
    }
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => {
            Err(Error::Options("http is for loopback only: the token would cross the network in clear".to_owned()))
        }
        _ => Err(Error::Options("the controller's URL begins with https:// or http://".to_owned())),
    }
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    #[expect(clippy::disallowed_methods, reason = "the token goes into the request's header, marked as sensitive")]
    let text = token.expose_text()?.trim();
    if text.is_empty() {
        return None;
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

async fn send(request: RequestBuilder) -> Result<Response, Error> {
    let answer = request.send().await.map_err(|error| {
        Error::Unavailable(if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the request broke off"
        })
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = read(answer).await?;
    #[expect(clippy::disallowed_methods, reason = "a problem's body holds no value")]
    let problem = serde_json::from_slice::<Problem>(body.expose());
    match problem {
        _ if status.is_server_error() => Err(Error::Unavailable("it says that it is in trouble")),
        _ if status == StatusCode::TOO_MANY_REQUESTS => Err(Error::Unavailable("it asks to come back later")),
        Ok(problem) => Err(Error::Refused(Box::new(problem))),
        Err(_) => Err(Error::Protocol("a refusal without a reason")),
    }
}

/// The whole body, as a secret: it may hold a value.
async fn read(mut answer: Response) -> Result<Secret, Error> {
    // Taken at once, so that growing leaves no copies of a value behind.
    let mut body =
        Vec::with_capacity(usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0).min(ANSWER_BYTES_MAX));
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Error::Protocol("it is too long")),
            Ok(None) => return Ok(Secret::from_bytes(body)),
            Err(_) => return Err(Error::Unavailable("the answer broke off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_would_leak_the_token_are_refused() {
        for good in ["http://127.0.0.1:1", "http://localhost:8300/", "http://[::1]:1", "https://handover.example"] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in ["http://handover.example", "http://10.0.0.1", "ftp://127.0.0.1", "nonsense", "https://u:pw@host"] {
            let error = parse_url(bad).unwrap_err().to_string();
            assert!(!error.contains("pw@"), "{error}");
        }
    }

    #[test]
    fn https_without_a_ca_is_refused() {
        let error = Client::new(Options::new("https://handover.example", "worker", "token")).unwrap_err();
        assert!(error.to_string().contains("CA file"), "{error}");
    }

    #[test]
    fn a_token_may_end_in_a_line_feed() {
        let header = bearer(&Secret::from_text("abc\n".to_owned())).unwrap();
        assert_eq!(header, "Bearer abc");
        assert!(header.is_sensitive());
        assert!(bearer(&Secret::from_text(" \n".to_owned())).is_none());
        assert!(bearer(&Secret::from_text("a\nb".to_owned())).is_none());
    }
}
