//! Campaigns: planning them, beginning them, and what people ask of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use futures_util::{StreamExt as _, TryStreamExt as _};
use handover_api::{self as api, CampaignBegun, CampaignPlan, CampaignResume, CampaignView, OrderRequest};
use handover_core::campaign::graph::{self, First, Graph};
use handover_core::campaign::{
    Campaign, Change, End, LEGS_MAX, Leg, LegState, Motion, OnFailure, Terms, Until, change as changed,
};
use handover_core::port::Committed;
use handover_core::{CampaignId, Generation, GroupId};
use handover_engine::history::setback_word;
use handover_engine::{CampaignRefused, CampaignRequest};
use serde::Deserialize;

use super::App;
use super::auth::Asking;
use super::idempotency::Once;
use super::orders::{asker, one_line};
use super::refusal::Refused;
use super::{history, view};
use crate::tokens::{Caller, Verb};
use crate::words;

/// How many rotations may be on their way at once where nobody says it.
const PARALLEL_DEFAULT: u32 = 4;

/// How many groups are looked at at the same time.
const LOOKS_AT_ONCE: usize = 16;

/// How many campaigns are read for one page of those that the token covers.
const READ_MAX: usize = 1_000;

/// Which groups would rotate.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Chosen {
    groups: Option<String>,
    all: bool,
    with_dependants: bool,
    first: api::First,
    parallel_max: Option<u32>,
    until: api::Until,
    on_failure: api::OnFailure,
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Part {
    live: bool,
    before: Option<u64>,
    limit: Option<usize>,
}

pub(crate) async fn plan(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Chosen>, QueryRejection>,
) -> Result<Json<CampaignPlan>, Refused> {
    let words = "the query takes `groups=<group>,<group>`, `all=true`, `with_dependants=true`, `first=`, `parallel_max=`, \
                 `until=` and `on_failure=`, and nothing else";
    let Query(Chosen { groups, all, with_dependants, first, parallel_max, until, on_failure }) =
        query.map_err(|_| Refused::bad_request(words))?;
    let groups = groups.iter().flat_map(|groups| groups.split(',')).map(str::to_owned).collect();
    let request =
        api::CampaignRequest { groups, all, with_dependants, first, parallel_max, until, on_failure, reason: None };
    let CampaignRequest { after, terms, .. } = ordered(&app, &caller, request)?;
    let after = Arc::new(after);
    let mut layers = Vec::new();
    for layer in graph::layers(&after) {
        let looks = layer.into_iter().map(|group| leg_plan(Arc::clone(&app), group, Arc::clone(&after)));
        layers.push(futures_util::stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?);
    }
    Ok(Json(CampaignPlan {
        layers,
        parallel_max: terms.parallel_max,
        until,
        on_failure,
        taken: taken(&app, &after).await?,
    }))
}

async fn leg_plan(app: Arc<App>, group: GroupId, after: Arc<Graph>) -> Result<api::LegPlan, Refused> {
    let found = app.engine.view(&group).await?;
    let obstacles = match app.engine.plan(&group).await {
        Ok(Ok(_)) => Vec::new(),
        Ok(Err(obstacles)) => obstacles.iter().map(view::obstacle).collect(),
        // One group that cannot be looked at does not hide what would come of the others.
        Err(fault) => vec![view::obstacle(&handover_core::Obstacle::Found(fault))],
    };
    Ok(api::LegPlan {
        group: group.to_string(),
        after: after.get(&group).into_iter().flatten().map(ToString::to_string).collect(),
        generation: found.row.last_generation.next().0,
        obstacles,
    })
}

async fn taken(app: &App, after: &Graph) -> Result<Vec<api::TakenBy>, Refused> {
    let mut taken = Vec::new();
    for campaign in app.engine.campaigns(true, None, READ_MAX).await? {
        let both = after.keys().filter(|group| campaign.legs.contains_key(*group));
        taken.extend(both.map(|group| api::TakenBy { group: group.to_string(), campaign: campaign.id.0 }));
    }
    Ok(taken)
}

pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    Once { body, key }: Once<api::CampaignRequest>,
) -> Result<(StatusCode, Json<CampaignBegun>), Refused> {
    let request = ordered(&app, &caller, body)?;
    let CampaignId(campaign) = app.engine.begin_campaign(&request, asker(&caller, key.as_ref())).await?;
    Ok((StatusCode::ACCEPTED, Json(CampaignBegun { campaign })))
}

/// The groups that are meant, in order. Whoever asks for one that the token does not cover is told what those are told who
/// ask for one that is not there; what depends on a chosen group and is not covered is refused too, and not left out in
/// silence.
fn ordered(app: &App, caller: &Caller, request: api::CampaignRequest) -> Result<CampaignRequest, Refused> {
    let api::CampaignRequest { groups, all, with_dependants, first, parallel_max, until, on_failure, reason } = request;
    if groups.is_empty() != all {
        return Err(Refused::bad_request("name groups, or say `all`; not both, and not neither"));
    }
    if parallel_max == Some(0) {
        return Err(Refused::bad_request("parallel_max is at least 1"));
    }
    let configured = app.configured.groups();
    let mut chosen = BTreeSet::new();
    for name in &groups {
        let found = GroupId::parse(name).ok();
        let found = found.filter(|group| caller.covers(group) && configured.contains_key(group));
        chosen.insert(found.ok_or_else(Refused::no_such_group)?);
    }
    if all {
        chosen.extend(configured.keys().filter(|group| caller.covers(group)).cloned());
    }
    let depends: Graph = configured.iter().map(|(name, group)| (name.clone(), group.depends_on.clone())).collect();
    if with_dependants {
        chosen = graph::with_dependants(&depends, &chosen);
    }
    if chosen.len() > LEGS_MAX {
        return Err(CampaignRefused::TooMany.into());
    }
    if !chosen.iter().all(|group| caller.covers(group)) {
        return Err(Refused::bad_request("a group that depends on the chosen ones is not covered by the token"));
    }
    let first = match first {
        api::First::Dependencies => First::Dependencies,
        api::First::Dependants => First::Dependants,
    };
    let terms = Terms {
        parallel_max: parallel_max.unwrap_or(PARALLEL_DEFAULT),
        until: match until {
            api::Until::Adopted => Until::Adopted,
            api::Until::Ended => Until::Ended,
        },
        on_failure: match on_failure {
            api::OnFailure::Hold => OnFailure::Hold,
            api::OnFailure::Undo => OnFailure::Undo,
            api::OnFailure::GoOn => OnFailure::GoOn,
        },
    };
    Ok(CampaignRequest { after: graph::order(&depends, &chosen, first), terms, reason: one_line(reason)? })
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Part>, QueryRejection>,
) -> Result<Json<api::Campaigns>, Refused> {
    let words = "the query takes `live=true`, `before=<number>` and `limit=<number>`, and nothing else";
    let Query(Part { live, before, limit }) = query.map_err(|_| Refused::bad_request(words))?;
    let limit = history::limit(limit)?;
    let found = app.engine.campaigns(live, before.map(CampaignId), READ_MAX).await?;
    let more = found.len() == READ_MAX;
    let oldest = found.last().map(|campaign| campaign.id.0);
    let mut covered: Vec<_> = found.into_iter().filter(|campaign| covers(&caller, campaign)).collect();
    let next = if covered.len() > limit {
        covered.truncate(limit);
        covered.last().map(|campaign| campaign.id.0)
    } else {
        oldest.filter(|_| more)
    };
    Ok(Json(api::Campaigns { campaigns: covered.iter().map(|campaign| shown(&caller, campaign)).collect(), next }))
}

/// Only whoever covers all groups of a campaign sees it: its layers name them all.
fn covers(caller: &Caller, campaign: &Campaign) -> bool {
    campaign.legs.keys().all(|group| caller.covers(group))
}

/// The campaign in the path, of a caller whose token covers its groups.
pub(crate) struct CoveredCampaign {
    caller: Caller,
    campaign: Committed<Campaign>,
}

impl FromRequestParts<Arc<App>> for CoveredCampaign {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let Asking(caller) = Asking::from_request_parts(parts, app).await?;
        let path = Path::<u64>::from_request_parts(parts, app).await;
        let Path(id) = path.map_err(|_| Refused::no_such_campaign())?;
        let found = app.engine.campaign(CampaignId(id)).await?;
        let campaign = found.filter(|campaign| covers(&caller, campaign)).ok_or_else(Refused::no_such_campaign)?;
        Ok(Self { caller, campaign })
    }
}

pub(crate) async fn show(CoveredCampaign { caller, campaign }: CoveredCampaign) -> Json<CampaignView> {
    Json(shown(&caller, &campaign))
}

type Answer = Result<StatusCode, Refused>;

pub(crate) async fn hold(app: State<Arc<App>>, covered: CoveredCampaign, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Change::Hold).await
}

pub(crate) async fn undo(app: State<Arc<App>>, covered: CoveredCampaign, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Change::Undo).await
}

pub(crate) async fn cancel(app: State<Arc<App>>, covered: CoveredCampaign, body: Once<OrderRequest>) -> Answer {
    order(app, covered, body, Change::Cancel).await
}

pub(crate) async fn resume(
    app: State<Arc<App>>,
    covered: CoveredCampaign,
    Once { body: CampaignResume { skip_failed, reason }, key }: Once<CampaignResume>,
) -> Answer {
    order(app, covered, Once { body: OrderRequest { reason }, key }, Change::Resume { skip_failed }).await
}

async fn order(
    State(app): State<Arc<App>>,
    CoveredCampaign { caller, campaign }: CoveredCampaign,
    Once { body: OrderRequest { reason }, key }: Once<OrderRequest>,
    change: Change,
) -> Answer {
    app.engine.change_campaign(campaign.id, change, asker(&caller, key.as_ref()), one_line(reason)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(caller: &Caller, campaign: &Campaign) -> CampaignView {
    let layer = |layer: Vec<GroupId>| {
        let legs = layer.iter().filter_map(|group| Some((group, campaign.legs.get(group)?)));
        legs.map(|(group, leg)| leg_shown(campaign, group, leg)).collect()
    };
    CampaignView {
        campaign: campaign.id.0,
        state: state(campaign.motion),
        text: words::campaign::motion(campaign),
        asked_by: campaign.asked_by.to_string(),
        reason: campaign.reason.clone(),
        asked_at: view::time(campaign.asked_at),
        parallel_max: campaign.terms.parallel_max,
        until: match campaign.terms.until {
            Until::Adopted => api::Until::Adopted,
            Until::Ended => api::Until::Ended,
        },
        on_failure: match campaign.terms.on_failure {
            OnFailure::Hold => api::OnFailure::Hold,
            OnFailure::Undo => api::OnFailure::Undo,
            OnFailure::GoOn => api::OnFailure::GoOn,
        },
        layers: campaign.layers().into_iter().map(layer).collect(),
        actions: actions(caller, campaign),
    }
}

fn leg_shown(campaign: &Campaign, group: &GroupId, leg: &Leg) -> api::LegView {
    let (state, setback) = match leg.state {
        LegState::Waiting => (api::LegState::Waiting, None),
        LegState::Starting { .. } => (api::LegState::Starting, None),
        LegState::Started { .. } => (api::LegState::Started, None),
        LegState::Through { .. } => (api::LegState::Through, None),
        LegState::Succeeded { .. } => (api::LegState::Succeeded, None),
        LegState::Returning { .. } => (api::LegState::Returning, None),
        LegState::Failed { setback } => (api::LegState::Failed, Some(setback_word(setback).to_owned())),
        LegState::Skipped => (api::LegState::Skipped, None),
        LegState::Undoing { .. } => (api::LegState::Undoing, None),
        LegState::GoingBack { .. } => (api::LegState::GoingBack, None),
        LegState::Undone { .. } => (api::LegState::Undone, None),
        LegState::Kept { .. } => (api::LegState::Kept, None),
    };
    api::LegView {
        group: group.to_string(),
        after: leg.after.iter().map(ToString::to_string).collect(),
        state,
        text: words::campaign::leg(campaign, leg),
        generation: leg.state.generation().map(|Generation(generation)| generation),
        setback,
    }
}

const fn state(motion: Motion) -> api::CampaignState {
    match motion {
        Motion::Running => api::CampaignState::Running,
        Motion::Held(_) => api::CampaignState::Held,
        Motion::Undoing => api::CampaignState::Undoing,
        Motion::Cancelling => api::CampaignState::Cancelling,
        Motion::Ended(End::Success) => api::CampaignState::Success,
        Motion::Ended(End::Partly) => api::CampaignState::Partly,
        Motion::Ended(End::Undone) => api::CampaignState::Undone,
        Motion::Ended(End::Cancelled) => api::CampaignState::Cancelled,
    }
}

/// What the core would take from this caller now, and would change something.
fn actions(caller: &Caller, campaign: &Campaign) -> Vec<String> {
    let all: BTreeMap<&str, (Verb, Change)> = BTreeMap::from([
        ("hold", (Verb::Hold, Change::Hold)),
        ("resume", (Verb::Resume, Change::Resume { skip_failed: false })),
        ("undo", (Verb::Rollback, Change::Undo)),
        ("cancel", (Verb::Abandon, Change::Cancel)),
    ]);
    let changes = |change| {
        changed(campaign, change).is_ok_and(|next| next.motion != campaign.motion || next.legs != campaign.legs)
    };
    let able = all.into_iter().filter(|(_, (verb, change))| caller.may(*verb) && changes(*change));
    able.map(|(word, _)| word.to_owned()).collect()
}
