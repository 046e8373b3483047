//! What rotations came to, and the report. Only of groups that the token covers: also no total tells of others.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use handover_api::{AgeStanding, LastRotation, OrderRequest, Report, ReportLine, Statistics};
use handover_core::port::Record;
use handover_core::{GroupId, Timestamp};
use handover_engine::{REASON_CHARS_MAX, history as words};
use serde::Deserialize;

use super::App;
use super::auth::Asking;
use super::body::Body;
use super::groups::{Page, page};
use super::refusal::Refused;
use super::{history, orders, since, view};
use crate::config::Group;
use crate::config::duration::Span;
use crate::statistics::{AgeCount, Body as Told, Window, reset_at, summary};

/// How many names of overdue groups are told.
const OVERDUE_TOLD_MAX: usize = 100;

/// How many records of a group are looked at for its last rotation.
const RECORDS_LOOKED_AT: usize = since::IN_A_LIST;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    since: Option<String>,
    group: Option<String>,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Statistics>, Refused> {
    let words = "the query takes `since=<duration>`, such as 30d, and `group=<group>`, and nothing else";
    let Query(Asked { since, group }) = query.map_err(|_| Refused::bad_request(words))?;
    let within = match since {
        Some(text) => Some(Span::parse(&text).ok_or_else(|| Refused::bad_request(words))?),
        None => None,
    };
    let configured = app.configured.groups();
    let only = match group {
        Some(name) => {
            let found =
                GroupId::parse(&name).ok().filter(|group| caller.covers(group) && configured.contains_key(group));
            Some(found.ok_or_else(Refused::no_such_group)?)
        }
        None => None,
    };
    let covers = |group: &GroupId| only.as_ref().is_none_or(|only| only == group) && caller.covers(group);
    let behind = app.statistics.catch_up(&app.engine).await?;
    let reset = reset_at(&app.engine).await?;
    let now = now();
    let asked =
        within.map(|within| Timestamp(now.0.saturating_sub(i64::try_from(within.0.as_millis()).unwrap_or(i64::MAX))));
    let from = asked.max(reset);
    let (mut figures, complete_from) = {
        let ledger = app.statistics.ledger();
        (summary(&ledger, &Window { since: from, covers }), ledger.complete_from())
    };
    figures.since = from.map(view::time);
    figures.reset_at = reset.map(view::time);
    figures.complete_from = complete_from.filter(|complete| from.is_none_or(|from| *complete > from)).map(view::time);
    figures.behind = behind;
    standing(&app, &covers, &mut figures, now);
    Ok(Json(figures))
}

/// Adds how groups stand now.
fn standing(app: &App, covers: &impl Fn(&GroupId) -> bool, figures: &mut Statistics, now: Timestamp) {
    let configured = app.configured.groups();
    let (mut ages, mut seen, mut overdue) = (AgeCount::default(), 0, Vec::new());
    app.engine.each_group_now(|group, numbers| {
        let Some(config) = configured.get(group).filter(|_| covers(group)) else { return };
        seen += 1;
        ages.add(numbers.generation.is_some(), numbers.generation_since, now);
        if let Some(live) = &numbers.live {
            figures.live += 1;
            figures.held += u64::from(live.hold.is_some());
        }
        if let Some(since) = numbers.generation_since
            && is_overdue(config, since, now)
        {
            overdue.push((since, group.clone()));
        }
    });
    figures.groups = configured.keys().filter(|group| covers(group)).count() as u64;
    figures.ages = ages.ages;
    // After a start, groups whose row nobody read yet.
    figures.ages.unknown += figures.groups.saturating_sub(seen);
    overdue.sort_unstable();
    figures.overdue = overdue.len() as u64;
    overdue.truncate(OVERDUE_TOLD_MAX);
    figures.overdue_groups = overdue.into_iter().map(|(_, group)| group.to_string()).collect();
}

/// Whether what is in force since then is older than it may become.
pub(crate) fn is_overdue(config: &Group, since: Timestamp, now: Timestamp) -> bool {
    config.age_max.is_some_and(|age_max| now.since(since) > age_max.0)
}

/// Has the counters begin anew.
pub(crate) async fn reset(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    Body(OrderRequest { reason }): Body<OrderRequest>,
) -> Result<StatusCode, Refused> {
    let reason = orders::one_line(reason)?;
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Refused::reason_too_long());
    }
    app.engine.reset_statistics(caller.identity.as_str(), reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn report(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Report>, Refused> {
    let words = "the query takes `after=<group>` and `limit=<number>`, and nothing else";
    let Query(Page { after, limit }) = query.map_err(|_| Refused::bad_request(words))?;
    let limit = history::limit(limit)?;
    let configured = app.configured.groups();
    let covered: Vec<&GroupId> = configured.keys().filter(|group| caller.covers(group)).collect();
    let (page, next) = page(&covered, after.as_deref(), limit);
    let now = now();
    let mut groups = Vec::with_capacity(page.len());
    for group in page {
        if let Some(config) = configured.get(*group) {
            groups.push(line(&app, config, now).await?);
        }
    }
    Ok(Json(Report { at: view::time(now), groups, next }))
}

async fn line(app: &App, config: &Group, now: Timestamp) -> Result<ReportLine, Refused> {
    let row = app.engine.view(&config.name).await?.row;
    let current_since = since::in_force(&app.engine, &row, RECORDS_LOOKED_AT).await;
    let since = current_since.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let standing = match (config.age_max, row.current, since) {
        (_, None, _) => AgeStanding::NothingInForce,
        (None, Some(_), _) => AgeStanding::NoLimit,
        (Some(_), Some(_), None) => AgeStanding::Unknown,
        (Some(_), Some(_), Some(since)) if is_overdue(config, Timestamp(since.as_millisecond()), now) => {
            AgeStanding::Overdue
        }
        (Some(_), Some(_), Some(_)) => AgeStanding::Within,
    };
    let records = app.engine.history(Some(&config.name), None, RECORDS_LOOKED_AT).await?;
    Ok(ReportLine {
        group: config.name.to_string(),
        owner: config.owner.as_deref().map(str::to_owned),
        target: config.target.kind().as_str().to_owned(),
        generation: row.current.map(|current| current.generation.0),
        current_since,
        age_max_s: config.age_max.map(|age_max| age_max.0.as_secs()),
        standing,
        last: records.iter().find_map(last_rotation),
    })
}

/// What a record says of a rotation that ended with it.
fn last_rotation(record: &Record) -> Option<LastRotation> {
    let Told { event, fields } = serde_json::from_str(&record.body).ok()?;
    let outcome = match event.as_str() {
        words::ENDED => fields.outcome?,
        words::SUPERSEDED => words::SUPERSEDED.to_owned(),
        _ => return None,
    };
    Some(LastRotation {
        outcome,
        ended_at: view::time(record.at),
        position: record.position,
        hash: record.hash.clone(),
        evidence: fields.evidence,
    })
}

/// The server's own time. Ages are what a person would compute; nothing is decided by them.
fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
