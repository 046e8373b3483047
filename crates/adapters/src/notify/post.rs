//! One POST to a receiver that was chosen by an administrator, and what its answer means. The body of an answer is not
//! read: nothing of it can come back in an error.

use handover_core::{Fault, FaultKind};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode, Url};

use super::misconfigured;
use crate::address::{Allowed, Unreached};
use crate::http::is_untrusted;
use crate::tls;

/// A receiver of POSTs.
pub(super) struct Poster {
    name: String,
    url: Url,
    allowed: Allowed,
    client: Client,
}

impl Poster {
    /// Makes it, and contacts nobody.
    pub(super) fn new(name: &str, url: &str, ca_pem: Option<&[u8]>, allow_private: bool) -> Result<Self, Fault> {
        let (url, allowed) = (parsed(name, url, ca_pem.is_some(), allow_private)?, Allowed { private: allow_private });
        let tls = tls::client_config(&format!("notify {name}"), ca_pem)?;
        let bug = |_| Fault::untouched(FaultKind::Bug, format!("notify {name}: the HTTP client could not be made"));
        Ok(Self { name: name.to_owned(), url, allowed, client: allowed.client(tls).map_err(bug)? })
    }

    /// Sends JSON. It is delivered when the answer says 2xx.
    pub(super) async fn send(&self, mut headers: HeaderMap, json: String) -> Result<(), Fault> {
        if self.allowed.forbids(&self.url) {
            return Err(misconfigured(&self.name, &Unreached::Forbidden.to_string()));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = self.client.post(self.url.clone()).headers(headers).body(json);
        let status = request.send().await.map_err(|error| self.trouble(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(self.refused(status)) }
    }

    fn refused(&self, status: StatusCode) -> Fault {
        let (kind, why) = match status.as_u16() {
            401 | 403 => (FaultKind::NotPermitted, "it does not accept the signature, or the URL: see its log"),
            300..=399 => (FaultKind::Misconfigured, "it points elsewhere, which is not followed: set url to the place"),
            404 | 405 | 410 => (FaultKind::Misconfigured, "it takes no messages at this path: set url"),
            408 | 429 | 500..=599 => (FaultKind::Busy, "it takes no message now; it is sent again"),
            _ => (FaultKind::Unsupported, "it does not understand the message; it is sent again: see its log"),
        };
        Fault::unknown(kind, format!("notify {}: {} answered {}: {why}", self.name, self.whom(), status.as_u16()))
    }

    fn trouble(&self, error: &reqwest::Error) -> Fault {
        let (name, whom) = (&self.name, self.whom());
        if let Some(unreached) = Unreached::among(error) {
            let kind = match unreached {
                Unreached::NoAddress => FaultKind::Unreachable,
                Unreached::Forbidden => FaultKind::Misconfigured,
            };
            return Fault::untouched(kind, format!("notify {name}: {whom}: {unreached}"));
        }
        if is_untrusted(error) {
            let words = format!(
                "the certificate of {whom} does not chain to its ca_file, has expired, or bears another name; set ca_file"
            );
            return misconfigured(name, &words);
        }
        if error.is_connect() {
            let words = format!("notify {name}: no connection to {whom}; messages wait until there is one");
            return Fault::untouched(FaultKind::Unreachable, words);
        }
        let words = format!("notify {name}: {whom} broke off before it answered; the message is sent again");
        Fault::unknown(FaultKind::Unreachable, words)
    }

    /// Host and port: the path may be secret.
    fn whom(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// The URL, if a notifier may have it. The text is not repeated: it may be secret.
pub(super) fn parsed(name: &str, text: &str, has_ca: bool, allow_private: bool) -> Result<Url, Fault> {
    let url = (Allowed { private: allow_private }).url(text, has_ca).map_err(|why| misconfigured(name, why))?;
    if url.scheme() == "http" && has_ca {
        return Err(misconfigured(name, "ca_file is for https"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S23: what is refused before anybody is contacted.
    #[test]
    fn a_url_is_https_to_the_outside_or_expressly_private() {
        let parse = |text: &str, has_ca, private| parsed("ops", text, has_ca, private).map(drop);
        assert_eq!(parse("https://hooks.example/in", true, false), Ok(()));
        assert_eq!(parse("https://10.0.0.1/in", true, true), Ok(()));
        assert_eq!(parse("http://127.0.0.1:9/in", false, true), Ok(()));
        for (text, has_ca, private) in [
            ("https://hooks.example/in", false, false),
            ("http://hooks.example/in", false, true),
            ("http://127.0.0.1:9/in", false, false),
            ("http://localhost/in", false, false),
            ("https://10.0.0.1/in", true, false),
            ("https://169.254.169.254/latest", true, true),
            ("https://[fe80::1]/", true, true),
            ("https://canary-4711:x@hooks.example/", true, false),
            ("https://canary-4711@hooks.example/", true, false),
            ("gopher://hooks.example/", true, true),
            ("file:///etc/canary-4711", true, true),
            ("canary-4711", true, true),
        ] {
            let fault = parse(text, has_ca, private).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Misconfigured, "{text}");
            assert!(!fault.to_string().contains("canary"), "{fault}");
        }
    }
}
