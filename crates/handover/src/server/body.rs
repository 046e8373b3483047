//! Bodies of requests.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::refusal::Refused;

/// How long a body may take. Shorter than a request may, so that the answer says why.
const BODY_MAX: Duration = Duration::from_secs(30);

/// A JSON body; an empty one stands for `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        parse(&bytes(request, state).await?).map(Self)
    }
}

/// The body as it was sent. One that does not come in time is given up here: what changes something runs to its end, also
/// when the request's own time is over, and would wait for it for ever.
pub(super) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refused> {
    let read = tokio::time::timeout(BODY_MAX, Bytes::from_request(request, state)).await;
    read.map_err(|_| Refused::too_slow())?.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::too_long(),
        _ => Refused::bad_request("the body broke off"),
    })
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

#[cfg(test)]
mod tests {
    use handover_api::{Ack, BootstrapRequest, EventReader, OrderRequest, RecoverRequest, RotateRequest};

    use super::*;

    /// S42: whoever announces a body and sends none is let go.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let never = axum::body::Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let begun = tokio::time::Instant::now();
        let refused = bytes(Request::new(never), &()).await.unwrap_err();
        assert_eq!(begun.elapsed(), BODY_MAX);
        assert_eq!(axum::response::IntoResponse::into_response(refused).status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    /// S44: whatever stands in a body, reading it ends in what a path takes, or in a refusal that repeats nothing of it.
    #[test]
    fn hostile_bodies_are_read_or_refused() {
        let ack = format!(
            r#"{{"role":"presenter","publication":1,"generation":1,"item":"value","reach":"used","nonce":"{0}","proof":"{0}"}}"#,
            "ab".repeat(32)
        );
        let examples = [
            ack.as_str(),
            r#"{"reason":"the database moves"}"#,
            r#"{"identity":"anna"}"#,
            r#"{"check":true,"keep":3,"reason":"lost"}"#,
            "{}",
        ];
        handover_testkit::mutate::variations(31, 20_000, &examples, |bytes| {
            drop(parse::<Ack>(bytes));
            drop(parse::<OrderRequest>(bytes));
            drop(parse::<RotateRequest>(bytes));
            drop(parse::<RecoverRequest>(bytes));
            drop(parse::<BootstrapRequest>(bytes));
        });
    }

    /// S44: whatever a stream of events holds, reading it ends, also in pieces, and says the same.
    #[test]
    fn hostile_events_are_read_or_refused() {
        let examples = [
            ": heartbeat\n\nevent: phase\nid: 7\ndata: {\"kind\":\"reset\"}\n\n",
            "id: 8\ndata: {\"kind\":\"publication\",\"group\":\"a\",\"publication\":3}\r\n\r\ndata: one\ndata: two\n\n",
        ];
        handover_testkit::mutate::variations(37, 10_000, &examples, |bytes| {
            let (mut whole, mut pieces) = (EventReader::default(), EventReader::default());
            let at_once = whole.push(bytes);
            let in_pieces: Result<Vec<_>, _> = bytes.chunks(7).map(|piece| pieces.push(piece)).collect();
            assert_eq!(at_once.ok(), in_pieces.ok().map(|events| events.concat()));
        });
    }
}
