//! What operators ask for. The engine writes each to the history, with who asked and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use handover_api::{OrderRequest, RotateRequest, Started};
use handover_core::Order;
use handover_engine::{Asker, RequestKey};

use super::App;
use super::auth::Covered;
use super::idempotency::Once;
use super::refusal::Refused;
use crate::tokens::Caller;

pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Once { body: RotateRequest {}, key }: Once<RotateRequest>,
) -> Result<(StatusCode, Json<Started>), Refused> {
    let generation = app.engine.rotate(&group, asker(&caller, key.as_ref())).await?;
    Ok((StatusCode::ACCEPTED, Json(Started { group: group.to_string(), generation: generation.0 })))
}

pub(crate) async fn rollback(app: State<Arc<App>>, covered: Covered, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Order::Rollback).await
}

pub(crate) async fn hold(app: State<Arc<App>>, covered: Covered, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Order::Hold).await
}

pub(crate) async fn resume(app: State<Arc<App>>, covered: Covered, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Order::Resume).await
}

pub(crate) async fn abandon(app: State<Arc<App>>, covered: Covered, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Order::Abandon).await
}

pub(crate) async fn force(app: State<Arc<App>>, covered: Covered, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Order::Force).await
}

type Answer = Result<StatusCode, Refused>;

async fn order(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Once { body: OrderRequest { reason }, key }: Once<OrderRequest>,
    order: Order,
) -> Answer {
    if reason.as_ref().is_some_and(|reason| reason.chars().any(char::is_control)) {
        return Err(Refused::bad_request("a reason is one line of text"));
    }
    app.engine.order(&group, order, asker(&caller, key.as_ref()), reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn asker<'a>(caller: &'a Caller, key: Option<&'a RequestKey>) -> Asker<'a> {
    Asker { actor: caller.identity.as_str(), key }
}
