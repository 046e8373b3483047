//! Orders that are carried out once, however often they are sent.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use handover_api::IDEMPOTENCY_KEY;
use handover_engine::{REQUEST_KEY_CHARS_MAX, RequestKey};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::body::{bytes, parse};
use super::refusal::Refused;

/// The body of an order, and the key that it was sent with. The engine keeps the key with what it commits.
pub(crate) struct Once<T> {
    /// What is ordered.
    pub(crate) body: T,
    /// None: a repeat is another order.
    pub(crate) key: Option<RequestKey>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Once<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let asked = [request.method().as_str().to_owned(), request.uri().path().to_owned()];
        let headers = request.headers().clone();
        let bytes = bytes(request, state).await?;
        let key = key(&headers, &asked, &bytes)?;
        Ok(Self { body: parse(&bytes)?, key })
    }
}

fn key(headers: &HeaderMap, asked: &[String; 2], body: &Bytes) -> Result<Option<RequestKey>, Refused> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let mut digest = Sha256::new();
    for part in [asked[0].as_bytes(), asked[1].as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    key.to_str()
        .ok()
        .filter(|_| keys.next().is_none())
        .and_then(|key| RequestKey::parse(key, digest.finalize().into()))
        .map(Some)
        .ok_or_else(|| {
            Refused::bad_request(format!(
                "{IDEMPOTENCY_KEY} is sent once, with 1 to {REQUEST_KEY_CHARS_MAX} visible ASCII characters"
            ))
        })
}
