//! For whose word rotations wait, and giving it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use handover_api as api;
use handover_core::{Approvals, Gate, Generation, GroupId, Plan, Rotation, Row, approvals, approve as approved};
use handover_engine::{ApproveRequest, plan_digest};
use serde::Deserialize;

use super::App;
use super::auth::{Asking, Covered};
use super::groups::page;
use super::idempotency::Once;
use super::orders::{asker, one_line};
use super::refusal::Refused;
use super::{history, view};
use crate::tokens::{Caller, Verb};
use crate::words;

/// Which of the approvals.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    group: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Part>, QueryRejection>,
) -> Result<Json<api::Approvals>, Refused> {
    let words = "the query takes `group=<group>`, `after=<group>` and `limit=<number>`, and nothing else";
    let Query(Part { group, after, limit }) = query.map_err(|_| Refused::bad_request(words))?;
    let limit = history::limit(limit)?;
    let groups = match group {
        Some(name) => {
            let found = GroupId::parse(&name).ok();
            let found = found.filter(|group| caller.covers(group) && app.configured.get(group).is_some());
            BTreeSet::from([found.ok_or_else(Refused::no_such_group)?])
        }
        None => standing(&app, &caller),
    };
    let groups: Vec<&GroupId> = groups.iter().collect();
    let (page, next) = page(&groups, after.as_deref(), limit);
    let mut found = Vec::new();
    for group in page {
        found.extend(of_group(&app, group, &caller).await?);
    }
    Ok(Json(api::Approvals { approvals: found, next }))
}

/// Groups whose rotation is in a phase that a plan may ask people about.
fn standing(app: &App, caller: &Caller) -> BTreeSet<GroupId> {
    let mut groups = BTreeSet::new();
    app.engine.each_group_now(|group, numbers| {
        let phase = numbers.live.as_ref().map(|live| live.phase);
        if matches!(phase, Some("stage" | "drain" | "disable")) && caller.covers(group) {
            groups.insert(group.clone());
        }
    });
    groups
}

async fn of_group(app: &App, group: &GroupId, caller: &Caller) -> Result<Vec<api::ApprovalView>, Refused> {
    let found = app.engine.view(group).await?;
    let now = app.engine.now();
    let Some((rotation, plan)) = found.row.live().zip(found.plan.as_ref()) else { return Ok(Vec::new()) };
    let may = |gate| caller.may(Verb::Approve) && approved(&found.row, plan, gate, &caller.identity, now).is_ok();
    let told = approvals(rotation, plan, now);
    Ok(told.iter().map(|approvals| told_of(&found.row, rotation, plan, approvals, may(approvals.gate))).collect())
}

fn told_of(
    row: &Row,
    rotation: &Rotation,
    plan: &Plan,
    approvals: &Approvals<'_>,
    may_approve: bool,
) -> api::ApprovalView {
    let given = approvals.given.iter().map(|(by, given)| api::GivenView {
        by: by.to_string(),
        at: view::time(given.at),
        expires_at: view::time(given.expires_at),
    });
    api::ApprovalView {
        group: row.group.to_string(),
        generation: rotation.to.generation.0,
        gate: gate(approvals.gate),
        text: words::explain::gate(approvals.gate, rotation),
        plan: plan_digest(plan),
        asked_by: rotation.asked_by.as_ref().map(ToString::to_string),
        since: view::time(rotation.entered_at),
        quorum: approvals.rule.quorum,
        missing: approvals.missing(),
        expires_ms: view::milliseconds(approvals.rule.expires),
        approvers: approvals.rule.approvers.iter().map(ToString::to_string).collect(),
        given: given.collect(),
        may_approve,
    }
}

pub(crate) async fn approve(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Once { body: api::ApproveRequest { generation, gate, plan, reason }, key }: Once<api::ApproveRequest>,
) -> Result<StatusCode, Refused> {
    let reason = one_line(reason)?;
    let request = ApproveRequest { generation: Generation(generation), gate: core_gate(gate), plan, reason };
    app.engine.approve(&group, &request, asker(&caller, key.as_ref())).await?;
    Ok(StatusCode::NO_CONTENT)
}

const fn gate(gate: Gate) -> api::Gate {
    match gate {
        Gate::Start => api::Gate::Start,
        Gate::Disable => api::Gate::Disable,
        Gate::Destroy => api::Gate::Destroy,
    }
}

const fn core_gate(gate: api::Gate) -> Gate {
    match gate {
        api::Gate::Start => Gate::Start,
        api::Gate::Disable => Gate::Disable,
        api::Gate::Destroy => Gate::Destroy,
    }
}
