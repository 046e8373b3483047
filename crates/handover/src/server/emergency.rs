//! Emergencies: what an order would do, and the order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::{StreamExt as _, TryStreamExt as _};
use handover_api::{self as api, EmergencyRequest, EmergencySelect, Started};
use handover_core::{GroupId, Phase, Plan, Roll, Row, Timestamp, Wish};
use handover_engine::Foreseen;

use super::App;
use super::auth::{Asking, Covered};
use super::body::Body;
use super::idempotency::Once;
use super::orders::{asker, one_line, started_as};
use super::refusal::Refused;
use super::view;
use crate::assembly::target_name;
use crate::config::Group;

/// How many groups may be selected at once: each costs a look at its target.
const SELECTED_MAX: usize = 500;

/// How many of them are looked at at the same time.
const LOOKS_AT_ONCE: usize = 16;

pub(crate) async fn order(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Once { body: EmergencyRequest { reason, accept_breakage, end_sessions }, key }: Once<EmergencyRequest>,
) -> Result<(StatusCode, Json<Started>), Refused> {
    let reason = one_line(reason)?.unwrap_or_default();
    let wish = Wish { accept_breakage, end_sessions };
    let generation = app.engine.emergency(&group, wish, &reason, asker(&caller, key.as_ref())).await?;
    let keeps = app.configured.get(&group).is_some_and(|configured| configured.policy.emergency.approvals);
    let started = started_as(&app, &group, generation);
    let approval_wanted = started.approval_wanted && keeps;
    Ok((StatusCode::ACCEPTED, Json(Started { approval_wanted, ..started })))
}

pub(crate) async fn plan(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    Body(select): Body<EmergencySelect>,
) -> Result<Json<api::EmergencyPlans>, Refused> {
    if select == EmergencySelect::default() {
        return Err(Refused::bad_request("select groups by labels, target, older_than_s or groups"));
    }
    if select.groups.iter().any(|name| !covered(&app, name, |group| caller.covers(group))) {
        return Err(Refused::no_such_group());
    }
    let groups = selected(&app, &select, |group| caller.covers(group)).await?;
    let looks = groups.into_iter().map(|group| {
        let app = Arc::clone(&app);
        async move {
            let foreseen = app.engine.emergency_plan(&group, Wish::default()).await;
            foreseen.map(|foreseen| told(&app, &group, foreseen))
        }
    });
    let mut groups: Vec<api::EmergencyPlan> =
        futures_util::stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
    groups.sort_by_key(|plan| (plan.unknown || !plan.behind.is_empty(), plan.group.clone()));
    Ok(Json(api::EmergencyPlans { groups }))
}

fn covered(app: &App, name: &str, covers: impl Fn(&GroupId) -> bool) -> bool {
    GroupId::parse(name).is_ok_and(|group| covers(&group) && app.configured.get(&group).is_some())
}

/// The configured groups that are selected, by name.
pub(super) async fn selected(
    app: &App,
    select: &EmergencySelect,
    covers: impl Fn(&GroupId) -> bool,
) -> Result<Vec<GroupId>, Refused> {
    let configured = app.configured.groups();
    let fits = |(name, group): &(&GroupId, &Arc<Group>)| covers(name) && is_selected(select, group);
    let mut found: Vec<GroupId> = configured.iter().filter(fits).map(|(name, _)| name.clone()).collect();
    if let Some(older_than_s) = select.older_than_s {
        let before = app.engine.now().before(Duration::from_secs(older_than_s));
        let mut old = Vec::new();
        for group in found {
            let row = app.engine.view(&group).await?.row;
            // One of unknown age may be older.
            if row.current.is_some() && row.counted_from().is_none_or(|since: Timestamp| since <= before) {
                old.push(group);
            }
        }
        found = old;
    }
    if found.len() > SELECTED_MAX {
        let words = format!("{} groups are selected; at most {SELECTED_MAX} may be: select fewer", found.len());
        return Err(Refused::bad_request(words));
    }
    Ok(found)
}

/// What the configuration says of a group, held against what is selected.
fn is_selected(select: &EmergencySelect, group: &Group) -> bool {
    let labels: BTreeMap<&str, &str> = group.labels.iter().filter_map(|label| label.split_once('=')).collect();
    let labelled = select.labels.iter().all(|(key, value)| labels.get(key.as_str()) == Some(&value.as_str()));
    let at = select.target.as_deref().is_none_or(|wanted| {
        let name = target_name(&group.target);
        let host = name.split_once(' ').map_or("", |(_, place)| place);
        let alone = host.rsplit_once(':').map_or(host, |(host, _)| host);
        [name.as_str(), host, alone, group.target.kind().as_str()].contains(&wanted)
    });
    let named = select.groups.is_empty() || select.groups.iter().any(|name| name == group.name.as_str());
    labelled && at && named
}

fn told(app: &App, group: &GroupId, foreseen: Foreseen) -> api::EmergencyPlan {
    let Foreseen { compromised, tainted_at, way, plan, breakage, sources } = foreseen;
    let configured = app.configured.get(group);
    let terms = configured.as_ref().map(|configured| configured.policy.emergency.clone()).unwrap_or_default();
    let (overlap, ends, obstacles) = match plan {
        Ok(plan) => (plan.overlap_min, plan.urgency.is_some_and(|urgency| urgency.end_sessions), Vec::new()),
        Err(obstacles) => {
            (terms.overlap_min.0, terms.terminate_sessions, obstacles.iter().map(view::obstacle).collect())
        }
    };
    api::EmergencyPlan {
        group: group.to_string(),
        compromised: compromised.map(|generation| generation.0),
        tainted_at: tainted_at.map(view::time),
        way: way.word().to_owned(),
        behind: breakage.who.iter().map(ToString::to_string).collect(),
        unknown: breakage.unknown,
        used_from: sources
            .into_iter()
            .map(|source| api::UsedFrom { address: source.address, uses: source.uses })
            .collect(),
        ceiling_ms: view::milliseconds(terms.ceiling.0),
        overlap_min_ms: view::milliseconds(overlap),
        ends_sessions: ends,
        obstacles,
    }
}

/// How the last emergency of a group stands.
pub(super) fn of(row: &Row, plan: Option<&Plan>) -> Option<api::EmergencyView> {
    let taint = row.taint?;
    let live = row.live().filter(|_| row.is_urgent());
    let behind = match live.map(|live| &live.phase) {
        Some(
            Phase::Propagate { presenters: Roll::Behind { who, .. }, .. }
            | Phase::Drain { presenters: Roll::Behind { who, .. }, .. }
            | Phase::Disable { presenters: Roll::Behind { who, .. }, .. },
        ) => who.iter().map(ToString::to_string).collect(),
        Some(_) | None => Vec::new(),
    };
    let urgency = plan.filter(|_| live.is_some()).and_then(|plan| plan.urgency);
    Some(api::EmergencyView {
        compromised: taint.to.0,
        since: view::time(taint.at),
        refused_at: taint.refused_at.map(view::time),
        took_ms: taint.refused_at.map(|at| view::milliseconds(at.since(taint.at))),
        behind,
        accept_breakage: urgency.is_some_and(|urgency| urgency.accept_breakage),
    })
}
