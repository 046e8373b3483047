//! One HTTP request to a place that an administrator chose, and no other: redirects are not followed, no proxy is taken
//! from the environment, a name is resolved here and every address that comes of it looked at. Of the answer's body
//! nothing is ever told.

use handover_core::{Fault, FaultKind};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};
use zeroize::Zeroizing;

use super::{misconfigured, unknown};
use crate::address::{Allowed, Unreached};
use crate::http::is_untrusted;
use crate::tls;

/// The longest body that is read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A client for one check.
pub(super) struct Fetcher {
    allowed: Allowed,
    client: Client,
}

/// What was answered.
pub(super) struct Answered {
    pub(super) status: u16,
    /// `None` if it was longer than anybody reads.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

impl Fetcher {
    pub(super) fn new(name: &str, ca_pem: Option<&[u8]>, allow_private: bool) -> Result<Self, Fault> {
        let allowed = Allowed { private: allow_private };
        let tls = tls::client_config(&format!("check {name}"), ca_pem)?;
        let bug = |_| Fault::untouched(FaultKind::Bug, format!("check {name}: the HTTP client could not be made"));
        Ok(Self { allowed, client: allowed.client(tls).map_err(bug)? })
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask(&self, method: Method, url: &str, headers: HeaderMap) -> Result<Answered, Fault> {
        let url = Url::parse(url).map_err(|_| unknown(FaultKind::Misconfigured, "its URL is none"))?;
        if self.allowed.forbids(&url) {
            return Err(unknown(FaultKind::Misconfigured, Unreached::Forbidden.to_string()));
        }
        let request = self.client.request(method, url.clone()).headers(headers);
        let answer = request.send().await.map_err(|error| trouble(&url, &error))?;
        let status = answer.status().as_u16();
        Ok(Answered { status, body: read(&url, answer).await? })
    }
}

async fn read(url: &Url, mut answer: Response) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(piece) = answer.chunk().await.map_err(|error| trouble(url, &error))? {
        if body.len() + piece.len() > BODY_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// What an answer means that neither passes nor is a known failure.
pub(super) fn no_verdict(status: u16) -> Fault {
    let (kind, why) = match status {
        300..=399 => (FaultKind::Misconfigured, "it points elsewhere, which is not followed"),
        408 | 429 | 500..=599 => (FaultKind::Busy, "it cannot tell now; it is asked again"),
        404 | 405 | 410 => (FaultKind::Misconfigured, "nothing is there to ask"),
        _ => (FaultKind::Unsupported, "that is neither what is expected nor a known failure"),
    };
    unknown(kind, format!("it answered {status}: {why}"))
}

/// `name: text` as a header's name and its template.
pub(super) fn header<'a>(check: &str, text: &'a str) -> Result<(HeaderName, &'a str), Fault> {
    let wrong = || misconfigured(check, "a header is written as `name: text`");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    Ok((HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?, value.trim()))
}

/// A header's value that is not shown by anything that shows requests.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| unknown(FaultKind::Unsupported, "the value has characters that no header may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Looks at a URL as it is configured. The text is not repeated.
pub(super) fn check_url(name: &str, text: &str, has_ca: bool, allow_private: bool) -> Result<(), Fault> {
    let url = (Allowed { private: allow_private }).url(text, has_ca).map_err(|why| misconfigured(name, why))?;
    if url.host_str().is_some_and(|host| host.contains(['{', '}'])) {
        return Err(misconfigured(name, "fields stand in the path and the query of its URL, and nowhere else"));
    }
    Ok(())
}

fn trouble(url: &Url, error: &reqwest::Error) -> Fault {
    let host = url.host_str().unwrap_or_default();
    if let Some(unreached) = Unreached::among(error) {
        let kind = match unreached {
            Unreached::NoAddress => FaultKind::Unreachable,
            Unreached::Forbidden => FaultKind::Misconfigured,
        };
        return unknown(kind, format!("{host}: {unreached}"));
    }
    if is_untrusted(error) {
        let why = "does not chain to ca_file, has expired, or bears another name";
        return unknown(FaultKind::Misconfigured, format!("the certificate of {host} {why}"));
    }
    if error.is_connect() {
        return unknown(FaultKind::Unreachable, format!("no connection to {host}"));
    }
    unknown(FaultKind::Unreachable, format!("{host} broke off before its answer was whole"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S23: what is refused before anybody is contacted.
    #[test]
    fn a_url_is_https_to_the_outside_or_expressly_private() {
        let look = |text: &str, has_ca, private| check_url("api", text, has_ca, private);
        for (text, has_ca, private) in [
            ("https://api.example/v1", true, false),
            ("https://10.0.0.1/v1", true, true),
            ("http://127.0.0.1:9/v1", false, true),
            ("https://api.example/{user}", true, false),
        ] {
            assert_eq!(look(text, has_ca, private), Ok(()), "{text}");
        }
        for (text, has_ca, private) in [
            ("https://api.example/v1", false, false),
            ("http://api.example/v1", false, true),
            ("http://127.0.0.1:9/v1", false, false),
            ("https://10.0.0.1/v1", true, false),
            ("https://[::ffff:10.0.0.1]/v1", true, false),
            ("https://169.254.169.254/latest", true, true),
            ("https://canary:x@api.example/", true, false),
            ("gopher://api.example/", true, true),
            ("file:///etc/canary", true, true),
            ("https://{host}/", true, true),
        ] {
            let fault = look(text, has_ca, private).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Misconfigured, "{text}");
            assert!(!fault.detail.contains("canary"), "{fault}");
        }
    }
}
