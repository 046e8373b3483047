//! The alerts that stand.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use handover_api::Alerts;
use handover_core::GroupId;
use serde::Deserialize;

use super::App;
use super::auth::Asking;
use super::refusal::Refused;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    group: Option<String>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Alerts>, Refused> {
    let Query(Asked { group }) =
        query.map_err(|_| Refused::bad_request("the query takes `group=<group>`, and nothing else"))?;
    let only = match group {
        Some(name) => {
            let found = GroupId::parse(&name).ok();
            let found = found.filter(|group| caller.covers(group) && app.configured.get(group).is_some());
            Some(found.ok_or_else(Refused::no_such_group)?)
        }
        None => None,
    };
    let standing = app.statistics.ledger().alerts().clone();
    let of = |(group, all): (&GroupId, &std::collections::BTreeMap<_, _>)| -> Vec<_> {
        all.iter().map(|(alert, since): (&crate::alerts::Alert, _)| alert.view(group, *since)).collect()
    };
    let covered =
        standing.iter().filter(|(group, _)| only.as_ref().is_none_or(|only| only == *group) && caller.covers(group));
    Ok(Json(Alerts { alerts: covered.flat_map(of).collect() }))
}
