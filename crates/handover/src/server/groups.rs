//! Looking at groups.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use handover_api::{GroupStatus, Groups, Health, PlanView};
use handover_core::Role;

use super::App;
use super::auth::{Asking, Covered};
use super::refusal::Refused;
use super::{since, view};

pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })
}

pub(crate) async fn list(State(app): State<Arc<App>>, Asking(caller): Asking) -> Result<Json<Groups>, Refused> {
    let mut groups = Vec::new();
    for group in app.groups.keys().filter(|group| caller.covers(group)) {
        let row = app.engine.view(group).await?.row;
        groups.push(view::summary(&row, since::in_force(&app.engine, &row).await));
    }
    let mut unconfigured = app.engine.unconfigured().await?;
    unconfigured.retain(|group| caller.covers(group));
    let unconfigured = unconfigured.iter().map(ToString::to_string).collect();
    Ok(Json(Groups { groups, unconfigured }))
}

pub(crate) async fn show(State(app): State<Arc<App>>, covered: Covered) -> Result<Json<GroupStatus>, Refused> {
    let Covered { group, .. } = covered;
    let configured = app.groups.get(&group).ok_or_else(Refused::no_such_group)?;
    let found = app.engine.view(&group).await?;
    let mut calls = Vec::new();
    let called = configured.called();
    for (role, called) in [(Role::Verifier, called.verifiers), (Role::Presenter, called.presenters)] {
        if called {
            calls.push((role, app.engine.roll_call(&group, role).await?));
        }
    }
    let since = since::in_force(&app.engine, &found.row).await;
    Ok(Json(view::group(&found.row, since, &found.wants, configured.target.kind().as_str(), &calls)))
}

pub(crate) async fn plan(State(app): State<Arc<App>>, covered: Covered) -> Result<Json<PlanView>, Refused> {
    let Covered { group, .. } = covered;
    let configured = app.groups.get(&group).ok_or_else(Refused::no_such_group)?;
    Ok(Json(match app.engine.plan(&group).await? {
        Ok(plan) => view::plan(group.as_str(), &plan),
        Err(obstacles) => {
            let digest = configured.policy.digest(configured.called());
            view::obstacles(group.as_str(), &digest, &obstacles)
        }
    }))
}
