//! Signed JSON over HTTP, after the convention of Standard Webhooks: headers `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`, the last an HMAC-SHA-256 over `ID.TIMESTAMP.BODY`. While a key is replaced, both keys sign.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_core::Fault;
use handover_secret::Secret;
use hmac::{Hmac, Mac as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::event::{Event, EventKind};
use super::misconfigured;
use super::post::{Poster, parsed};

/// The shortest key, in bytes.
const KEY_BYTES_MIN: usize = 24;

/// What a key in base64 begins with.
const KEY_BASE64: &str = "whsec_";

/// Options of a webhook.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The notifier's name: the key of its cursor.
    pub name: String,
    /// Where to POST: `https://…`, or `http://` on loopback with `allow_private`.
    pub url: String,
    /// A file with the key that signs, readable by its owner only.
    pub key_file: PathBuf,
    /// The same with the key before it, while receivers may still verify with that one.
    pub previous_key_file: Option<PathBuf>,
    /// CA certificates in PEM that the receiver's certificate must chain to. For `https://`.
    pub ca_file: Option<PathBuf>,
    /// Whether it may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// What is told; absent: what somebody may have to act on.
    pub events: Option<Vec<EventKind>>,
    /// Of which groups; empty: of all.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Fault> {
        parsed(&self.name, &self.url, self.ca_file.is_some(), self.allow_private).map(drop)
    }
}

pub(super) struct Webhook {
    poster: Poster,
    keys: Vec<Zeroizing<Vec<u8>>>,
}

impl Webhook {
    pub(super) fn new(
        config: &Config,
        ca_pem: Option<&[u8]>,
        key: &Secret,
        previous: Option<&Secret>,
    ) -> Result<Self, Fault> {
        let keys = [Some(key), previous]
            .into_iter()
            .flatten()
            .map(|key| bytes(&config.name, key))
            .collect::<Result<_, _>>()?;
        Ok(Self { poster: Poster::new(&config.name, &config.url, ca_pem, config.allow_private)?, keys })
    }

    pub(super) async fn send(&self, event: &Event) -> Result<(), Fault> {
        let body = event.json()?;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let signatures: Vec<String> =
            self.keys.iter().map(|key| format!("v1,{}", signature(key, event.id(), &now_s, &body))).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("webhook-id", event.id()), ("webhook-timestamp", &now_s), ("webhook-signature", &signatures.join(" "))]
        {
            // Hexadecimal, digits and base64 are all that there is.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        self.poster.send(headers, body).await
    }
}

/// The key in its file: `whsec_` and base64, or the bytes as they are.
pub(super) fn bytes(name: &str, key: &Secret) -> Result<Zeroizing<Vec<u8>>, Fault> {
    #[expect(clippy::disallowed_methods, reason = "the key signs")]
    let raw = key.expose();
    let bytes = match raw.strip_prefix(KEY_BASE64.as_bytes()) {
        Some(text) => Zeroizing::new(
            STANDARD.decode(text).map_err(|_| misconfigured(name, "its key begins with whsec_ and is not base64"))?,
        ),
        None => Zeroizing::new(raw.to_vec()),
    };
    if bytes.len() < KEY_BYTES_MIN {
        let words = format!("its key has fewer than {KEY_BYTES_MIN} bytes: make one with `openssl rand -base64 32`");
        return Err(misconfigured(name, &words));
    }
    Ok(bytes)
}

fn signature(key: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in [id, ".", timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let key = bytes("ops", &Secret::from_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())).unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signed, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_being_told() {
        for text in ["canary-short", "whsec_not base64 canary", "whsec_AAAA"] {
            let fault = bytes("ops", &Secret::from_text(text.to_owned())).unwrap_err();
            assert!(!fault.to_string().contains("canary"), "{fault}");
        }
    }
}
