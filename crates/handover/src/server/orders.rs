//! What operators ask for. The engine writes each to the history, with who asked and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use handover_api::{OrderRequest, RotateRequest, Started};
use handover_core::{Generation, GroupId, Order, Refusal};
use handover_engine::{Asker, RequestKey, StartRefused};

use super::App;
use super::auth::{Asking, Covered};
use super::body::Body;
use super::idempotency::Once;
use super::refusal::Refused;
use crate::config::{GateName, Group};
use crate::terminal;
use crate::tokens::Caller;

pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Once { body: RotateRequest {}, key }: Once<RotateRequest>,
) -> Result<(StatusCode, Json<Started>), Refused> {
    let started = app.engine.rotate(&group, asker(&caller, key.as_ref())).await;
    if let Err(StartRefused::Refused(Refusal::Live) | StartRefused::Waits) = &started {
        // Two who rotate the same group are counted, and found in its history.
        app.engine.start_denied(&group, caller.identity.as_str()).await;
    }
    let generation = started?;
    Ok((StatusCode::ACCEPTED, Json(started_as(&app, &group, generation))))
}

/// Starts a rotation over a rollback that waits.
pub(crate) async fn supersede(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Once { body: OrderRequest { reason }, key }: Once<OrderRequest>,
) -> Result<(StatusCode, Json<Started>), Refused> {
    let reason = one_line(reason)?.unwrap_or_default();
    let generation = app.engine.supersede(&group, asker(&caller, key.as_ref()), &reason).await?;
    Ok((StatusCode::ACCEPTED, Json(started_as(&app, &group, generation))))
}

pub(super) fn started_as(app: &App, group: &GroupId, generation: Generation) -> Started {
    let asks = |configured: &Group| configured.policy.approvals.contains_key(&GateName::Start);
    let approval_wanted = app.configured.get(group).is_some_and(|configured| asks(&configured));
    Started { group: group.to_string(), generation: generation.0, approval_wanted }
}

/// Forgets a group that is not configured any more. Nothing is touched at its target, which nobody here knows any more.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    axum::extract::Path(name): axum::extract::Path<String>,
    Body(OrderRequest { reason }): Body<OrderRequest>,
) -> Answer {
    let group = GroupId::parse(&name).ok().filter(|group| caller.covers(group)).ok_or_else(Refused::no_such_group)?;
    let reason = one_line(reason)?.unwrap_or_default();
    let removal = app.engine.removing(&group, caller.identity.as_str(), &reason).await?;
    app.store.forget(&group).await?;
    app.engine.removed(&removal).await?;
    Ok(StatusCode::NO_CONTENT)
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
    app.engine.order(&group, order, asker(&caller, key.as_ref()), one_line(reason)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn one_line(reason: Option<String>) -> Result<Option<String>, Refused> {
    if reason.as_ref().is_some_and(|reason| reason.contains(terminal::commands)) {
        return Err(Refused::bad_request("a reason is one line of text"));
    }
    Ok(reason)
}

pub(super) fn asker<'a>(caller: &'a Caller, key: Option<&'a RequestKey>) -> Asker<'a> {
    Asker { actor: caller.identity.as_str(), key }
}
