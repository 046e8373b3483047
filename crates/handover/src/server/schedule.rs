//! Schedules: how they stand, what is coming, and pausing them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use handover_api::{self as api, OrderRequest, ScheduleState, ScheduleView};
use handover_core::schedule::{Opening, Repeats};
use handover_core::{GroupId, Timestamp};
use handover_engine::ScheduleSeen;
use serde::Deserialize;

use super::App;
use super::auth::{Asking, Covered};
use super::groups::{Page, page};
use super::idempotency::Once;
use super::orders::{asker, one_line};
use super::refusal::Refused;
use super::{history, view};
use crate::config::ScheduleConfig;

/// How far ahead a calendar goes where nobody says it, and at the most.
const DAYS_DEFAULT: u32 = 14;
const DAYS_MAX: u32 = 400;

/// Of how many groups a calendar is made: each costs a look at its row.
const CALENDAR_GROUPS_MAX: usize = 10_000;

/// Which part of the calendar.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    group: Option<String>,
    days: Option<u32>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Json<api::Schedules>, Refused> {
    let words = "the query takes `after=<group>` and `limit=<number>`, and nothing else";
    let Query(Page { after, limit }) = query.map_err(|_| Refused::bad_request(words))?;
    let limit = history::limit(limit)?;
    let configured = app.configured.groups();
    let scheduled =
        configured.iter().filter(|(group, configured)| configured.schedule.is_some() && caller.covers(group));
    let scheduled: Vec<&GroupId> = scheduled.map(|(group, _)| group).collect();
    let (page, next) = page(&scheduled, after.as_deref(), limit);
    let mut schedules = Vec::with_capacity(page.len());
    for group in page {
        schedules.extend(of_group(&app, group).await?);
    }
    Ok(Json(api::Schedules { schedules, next }))
}

pub(crate) async fn calendar(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Part>, QueryRejection>,
) -> Result<Json<api::Calendar>, Refused> {
    let words = "the query takes `group=<group>`, `days=<number>` and `limit=<number>`, and nothing else";
    let Query(Part { group, days, limit }) = query.map_err(|_| Refused::bad_request(words))?;
    let limit = history::limit(limit)?;
    let days = days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Refused::bad_request(format!("days is from 1 to {DAYS_MAX}")));
    }
    let configured = app.configured.groups();
    let wanted = |name: &GroupId| group.as_ref().is_none_or(|group| group == name.as_str()) && caller.covers(name);
    if group.is_some() && !configured.keys().any(wanted) {
        return Err(Refused::no_such_group());
    }
    let now = app.engine.now();
    let until = now.after(std::time::Duration::from_secs(u64::from(days) * 86_400));
    let mut coming = Vec::new();
    let scheduled = configured.iter().filter(|(name, configured)| configured.schedule.is_some() && wanted(name));
    let scheduled: Vec<&GroupId> = scheduled.map(|(name, _)| name).collect();
    for name in scheduled.iter().take(CALENDAR_GROUPS_MAX) {
        let Some(seen) = app.engine.schedule(name).await? else { continue };
        let Some(since) = seen.since.filter(|_| !seen.paused) else { continue };
        let rotations = seen.schedule.upcoming(name, since, now, until, limit + 1).into_iter();
        coming.extend(rotations.map(|due| (due.start_at.max(now), (*name).clone(), due.planned_at)));
    }
    coming.sort();
    let more = coming.len() > limit || scheduled.len() > CALENDAR_GROUPS_MAX;
    let rotations = coming.into_iter().take(limit).map(|(start_at, group, planned_at)| api::PlannedRotation {
        start_at: view::time(start_at),
        group: group.to_string(),
        planned_at: view::time(planned_at),
    });
    let rotations = rotations.collect();
    Ok(Json(api::Calendar { from: view::time(now), until: view::time(until), rotations, more }))
}

pub(crate) async fn pause(app: State<Arc<App>>, covered: Covered, body: Once<OrderRequest>) -> Answer {
    set(app, covered, body, true).await
}

pub(crate) async fn resume(app: State<Arc<App>>, covered: Covered, body: Once<OrderRequest>) -> Answer {
    set(app, covered, body, false).await
}

type Answer = Result<StatusCode, Refused>;

async fn set(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Once { body: OrderRequest { reason }, key }: Once<OrderRequest>,
    paused: bool,
) -> Answer {
    if app.configured.get(&group).is_none_or(|configured| configured.schedule.is_none()) {
        return Err(Refused::no_schedule(&group));
    }
    app.engine.pause(&group, paused, asker(&caller, key.as_ref()), one_line(reason)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a group's schedule stands; `None` if it has none.
pub(super) async fn of_group(app: &App, group: &GroupId) -> Result<Option<ScheduleView>, Refused> {
    let Some(configured) = app.configured.get(group).and_then(|configured| configured.schedule.clone()) else {
        return Ok(None);
    };
    let seen = app.engine.schedule(group).await?;
    Ok(seen.map(|seen| told(group, &configured, &seen, app.engine.now())))
}

fn told(group: &GroupId, configured: &ScheduleConfig, seen: &ScheduleSeen, now: Timestamp) -> ScheduleView {
    let (open, changes_at) = match seen.opening {
        Opening::Open { until } => (true, until),
        Opening::Closed { until } => (false, until),
    };
    ScheduleView {
        group: group.to_string(),
        repeats: configured.repeats(),
        state: state(seen, now),
        text: text(seen, now),
        planned_at: seen.due.map(|due| view::time(due.planned_at)),
        start_at: seen.due.map(|due| view::time(due.start_at)),
        windows: configured.windows.clone(),
        blackout: configured.blackout.clone(),
        open,
        open_changes_at: changes_at.map(view::time),
    }
}

fn state(seen: &ScheduleSeen, now: Timestamp) -> ScheduleState {
    let late = seen.due.is_some_and(|due| due.planned_at <= now);
    match (&seen.schedule.repeats, seen.since) {
        (Repeats::Never, _) => ScheduleState::ByHand,
        (Repeats::Every(_) | Repeats::At(_), _) if seen.paused => ScheduleState::Paused,
        (Repeats::Every(_) | Repeats::At(_), None) => ScheduleState::NothingInForce,
        (Repeats::Every(_) | Repeats::At(_), Some(_)) => match (late, seen.live) {
            (true, true) => ScheduleState::Queued,
            (false, true) => ScheduleState::Rotating,
            (true, false) if seen.refused.is_some() => ScheduleState::Refused,
            (true, false) => ScheduleState::Late,
            (false, false) => ScheduleState::Planned,
        },
    }
}

/// The same for people.
pub(super) fn text(seen: &ScheduleSeen, now: Timestamp) -> String {
    let due = seen.due;
    let planned = due.map_or_else(String::new, |due| view::time(due.planned_at));
    let start = due.map_or_else(|| "never".to_owned(), |due| view::time(due.start_at.max(now)));
    match state(seen, now) {
        ScheduleState::ByHand => "a person starts its rotations".to_owned(),
        ScheduleState::NothingInForce => "nothing is in force yet: a person starts the first rotation".to_owned(),
        ScheduleState::Paused => "a person paused it".to_owned(),
        ScheduleState::Planned if due.is_none() => "no time of it lies ahead".to_owned(),
        ScheduleState::Planned => format!("the next rotation may start at {start}"),
        ScheduleState::Late => match due.filter(|due| due.start_at > now) {
            Some(_) => format!("late since {planned}; it may start at {start}"),
            None => format!("late since {planned}; it starts when it is its turn"),
        },
        ScheduleState::Queued => format!("late since {planned}; it waits until the live rotation ends"),
        ScheduleState::Rotating => match due {
            Some(_) => format!("a rotation is live; the next one may start at {start}"),
            None => "a rotation is live".to_owned(),
        },
        ScheduleState::Refused => seen.refused.as_ref().map_or_else(String::new, |refused| {
            format!(
                "late since {planned}; not started at {} ({}), tried again at {}",
                view::time(refused.at),
                refused.why,
                view::time(refused.again_at)
            )
        }),
    }
}
