//! Looking at groups.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use handover_api::{GroupStatus, Groups, Health, PlanView, UnreadableGroup};
use handover_core::{FaultKind, GroupId, Role};
use serde::Deserialize;

use super::App;
use super::auth::{Asking, Covered};
use super::refusal::Refused;
use super::{emergency, history, schedule, since, view};

pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// Which page of the groups.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    pub(super) after: Option<String>,
    pub(super) limit: Option<usize>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Groups>, Refused> {
    let words = "the query takes `after=<group>` and `limit=<number>`, and nothing else";
    let Query(Page { after, limit }) = query.map_err(|_| Refused::bad_request(words))?;
    let limit = history::limit(limit)?;
    let is_first = after.is_none();
    let configured = app.configured.groups();
    let covered: Vec<&GroupId> = configured.keys().filter(|group| caller.covers(group)).collect();
    let (page, next) = page(&covered, after.as_deref(), limit);
    let (mut groups, mut unreadable) = (Vec::with_capacity(page.len()), Vec::new());
    for group in page {
        let row = match app.engine.view(group).await {
            Ok(view) => view.row,
            // One that was edited does not hide the others.
            Err(fault) if fault.kind == FaultKind::Corrupt => {
                let (group, code) = (group.to_string(), fault.kind.code().to_owned());
                unreadable.push(UnreadableGroup { group, code, detail: fault.detail });
                continue;
            }
            Err(fault) => return Err(fault.into()),
        };
        groups.push(view::summary(&row, since::in_force(&app.engine, &row, since::IN_A_LIST).await));
    }
    let mut unconfigured = if is_first { app.engine.unconfigured().await? } else { Vec::new() };
    unconfigured.retain(|group| caller.covers(group));
    let unconfigured = unconfigured.iter().map(ToString::to_string).collect();
    Ok(Json(Groups { groups, unreadable, unconfigured, next }))
}

/// A page of these groups, which are in order, and where the next one begins.
pub(super) fn page<'a>(
    groups: &'a [&'a GroupId],
    after: Option<&str>,
    limit: usize,
) -> (&'a [&'a GroupId], Option<String>) {
    let from = after.map_or(0, |after| groups.partition_point(|group| group.as_str() <= after));
    let rest = &groups[from..];
    let page = &rest[..limit.min(rest.len())];
    let next = page.last().filter(|_| page.len() < rest.len()).map(ToString::to_string);
    (page, next)
}

pub(crate) async fn show(State(app): State<Arc<App>>, covered: Covered) -> Result<Json<GroupStatus>, Refused> {
    let Covered { group, .. } = covered;
    let configured = app.configured.get(&group).ok_or_else(Refused::no_such_group)?;
    let found = app.engine.view(&group).await?;
    let mut calls = Vec::new();
    let called = configured.called();
    for (role, called) in [(Role::Verifier, called.verifiers), (Role::Presenter, called.presenters)] {
        if called {
            calls.push((role, app.engine.roll_call(&group, role).await?));
        }
    }
    let since = since::in_force(&app.engine, &found.row, since::ALONE).await;
    let kind = configured.target.kind();
    let schedule = schedule::of_group(&app, &group).await?;
    let status = view::group(&found.row, since, &found.wants, kind.as_str(), &calls);
    let emergency = emergency::of(&found.row, found.plan.as_ref());
    Ok(Json(GroupStatus { schedule, emergency, ..status }))
}

pub(crate) async fn plan(State(app): State<Arc<App>>, covered: Covered) -> Result<Json<PlanView>, Refused> {
    let Covered { group, .. } = covered;
    let configured = app.configured.get(&group).ok_or_else(Refused::no_such_group)?;
    Ok(Json(match app.engine.plan(&group).await? {
        Ok(plan) => view::plan(group.as_str(), &plan),
        Err(obstacles) => {
            let digest = configured.policy.digest(configured.called());
            view::obstacles(group.as_str(), &digest, &obstacles)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_page_by_page() {
        let names = ["a", "b", "c"].map(|name| GroupId::parse(name).unwrap());
        let groups: Vec<&GroupId> = names.iter().collect();
        for (after, limit, expected, next) in [
            (None, 3, "abc", None),
            (None, 100, "abc", None),
            (None, 2, "ab", Some("b")),
            (Some("b"), 2, "c", None),
            (Some("aa"), 1, "b", Some("b")),
            (Some("c"), 1, "", None),
            (Some("zzz"), 1, "", None),
        ] {
            let (page, found) = page(&groups, after, limit);
            let page: String = page.iter().map(|group| group.as_str()).collect();
            assert_eq!((page.as_str(), found.as_deref()), (expected, next), "after {after:?}, at most {limit}");
        }
    }
}
