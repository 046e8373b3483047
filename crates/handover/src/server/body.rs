//! Bodies of requests.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use super::refusal::Refused;

/// A JSON body; an empty one stands for `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        parse(&bytes(request, state).await?).map(Self)
    }
}

/// The body as it was sent.
pub(super) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refused> {
    Bytes::from_request(request, state)
        .await
        .map_err(|_| Refused::bad_request("the body broke off, or is longer than 64 KiB"))
}

/// What it says; an empty one stands for `{}`.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    // The parser's own words may repeat what was sent; where it stumbled is enough.
    serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refused::bad_request(format!("the body is not what this path takes (line {line}, column {column})"))
    })
}
