//! Serving metrics, and counting requests.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use handover_api::path;
use handover_core::GroupId;
use tracing::Instrument as _;

use super::App;
use super::auth::Asking;
use super::refusal::Refused;
use crate::metrics::{MEDIA_TYPE, Scrape, names, render};

/// The route of a request that fits none.
const UNMATCHED: &str = "unmatched";

/// What the token covers.
pub(crate) async fn scrape(State(app): State<Arc<App>>, Asking(caller): Asking) -> Response {
    answer(take(&app, |group| caller.covers(group)).await)
}

/// Everything.
async fn scrape_all(State(app): State<Arc<App>>) -> Response {
    answer(take(&app, |_| true).await)
}

async fn take(app: &App, covers: impl Fn(&GroupId) -> bool) -> Scrape {
    let now = (app.news.open_streams(), app.unready().is_none());
    let of = |(group, all): (&GroupId, &std::collections::BTreeMap<_, _>)| -> Vec<_> {
        all.keys().map(|alert: &crate::alerts::Alert| (group.clone(), alert.word())).collect()
    };
    let alerts = app.statistics.ledger().alerts().iter().flat_map(of).collect();
    Scrape::take(&app.engine, &app.meter, now, alerts, covers).await
}

fn answer(scrape: Scrape) -> Response {
    match render(scrape) {
        Ok(text) => ([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(_) => Refused::new(500, "metrics", "No metrics", "the metrics could not be written", "see the log")
            .into_response(),
    }
}

/// Metrics alone, for everybody who can connect: for a listener of its own on loopback.
pub(crate) fn alone(app: &Arc<App>) -> Router {
    Router::new()
        .route(path::METRICS, get(scrape_all))
        .fallback(|| async { Refused::no_such_path() })
        .with_state(app.clone())
}

/// The layer around everything: counts each request and puts a span around it.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let method = method_word(request.method());
    let span = tracing::debug_span!(names::SPAN_REQUEST, route, method, status = tracing::field::Empty);
    let begun = Instant::now();
    let answer = next.run(request).instrument(span.clone()).await;
    let status = answer.status().as_u16();
    span.record("status", status);
    app.meter.answered(route, method, status, begun.elapsed());
    answer
}

/// A method as a label: whatever somebody makes up is one word.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
