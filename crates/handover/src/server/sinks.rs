//! How the sinks of the history are doing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use handover_api::{SinkFailing, SinkView, Sinks};

use super::App;
use super::refusal::Refused;
use super::view;

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<Sinks>, Refused> {
    let sinks = app.engine.sinks_progress().await?.into_iter().map(|sink| SinkView {
        sink: sink.name,
        position: sink.position,
        waiting: sink.waiting,
        failing: sink.failing.map(|seen| SinkFailing {
            since: view::time(seen.at),
            code: seen.fault.kind.code().to_owned(),
            detail: seen.fault.detail,
        }),
    });
    Ok(Json(Sinks { sinks: sinks.collect() }))
}
