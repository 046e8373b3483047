//! The HTTP server: one table of routes, each with its rule.

pub(crate) mod access;
mod alerts;
mod approvals;
mod auth;
mod body;
pub(crate) mod bootstrap;
mod campaigns;
pub(crate) mod configured;
mod connection;
mod emergency;
mod errors;
mod explain;
mod groups;
mod health;
mod history;
mod hook;
mod idempotency;
pub(crate) mod metrics;
mod openapi;
mod orders;
mod page;
pub(crate) mod recover;
mod refusal;
mod reload;
mod schedule;
mod secret;
mod serve;
mod since;
mod sinks;
mod statistics;
pub(crate) mod tls;
pub(crate) mod view;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use handover_adapters::store::embedded::Embedded;
use handover_api::path;
use handover_engine::Handle;
use tokio::sync::watch::Receiver;
use tracing::Instrument as _;

use crate::metrics::Meter;
use crate::reload::Reloader;
use crate::statistics::Statistics;
use crate::tokens::{Tokens, Verb};
use auth::{Rule, guard};
use bootstrap::Bootstrap;
use configured::Configured;
use refusal::Refused;
pub(crate) use serve::{Limits, serve};
pub(crate) use watch::{Announcer, News};

/// The longest body of a request, in bytes. The longest sensible one is an order with its reason.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a request may take, its body included, until its answer begins. Longer than any deadline of the engine's
/// own calls, so that it strikes only where those fail.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// What the routes need.
pub(crate) struct App {
    /// The engine.
    pub(crate) engine: Handle,
    /// What consumers fetch from.
    pub(crate) store: Embedded,
    /// Who may ask.
    pub(crate) tokens: Tokens,
    /// How the first operator gets a token.
    pub(crate) bootstrap: Bootstrap,
    /// The configured groups.
    pub(crate) configured: Configured,
    /// What has another configuration taken.
    pub(crate) reloader: Arc<Reloader>,
    /// What rotations came to.
    pub(crate) statistics: Statistics,
    /// What watch streams are told.
    pub(crate) news: News,
    /// True once the server drains: streams end then.
    pub(crate) drain: Receiver<bool>,
    /// True once the server was told to end: it is not ready from then on.
    pub(crate) leaving: Receiver<bool>,
    /// What is counted of requests.
    pub(crate) meter: Meter,
}

/// A route: what is served where, and to whom.
pub(crate) struct Route {
    method: Method,
    path: &'static str,
    rule: Rule,
    handler: MethodRouter<Arc<App>>,
}

/// All routes. There is no other place where one can be added, and none without a rule.
pub(crate) fn table() -> Vec<Route> {
    let look = |path, rule, handler| Route { method: Method::GET, path, rule, handler };
    let act = |path, rule, handler| Route { method: Method::POST, path, rule, handler };
    let take = |path, rule, handler| Route { method: Method::DELETE, path, rule, handler };
    vec![
        look(page::INDEX, Rule::Public, get(page::index)),
        look(page::STYLE, Rule::Public, get(page::style)),
        look(page::SCRIPT, Rule::Public, get(page::script)),
        look(page::ICON, Rule::Public, get(page::icon)),
        look(path::HEALTH, Rule::Public, get(groups::health)),
        look(path::READY, Rule::Public, get(health::ready)),
        look(path::METRICS, Rule::May(Verb::Metrics), get(metrics::scrape)),
        look(path::SINKS, Rule::May(Verb::Look), get(sinks::list)),
        look(path::ALERTS, Rule::May(Verb::Look), get(alerts::list)),
        look(path::STATISTICS, Rule::May(Verb::Look), get(statistics::show)),
        look(path::REPORT, Rule::May(Verb::Audit), get(statistics::report)),
        act(path::STATISTICS_RESET, Rule::MayAll(Verb::Reset), post(statistics::reset)),
        act(path::RELOAD, Rule::MayAll(Verb::Reload), post(reload::reload)),
        look(path::ERROR, Rule::Public, get(errors::page)),
        look(path::OPENAPI, Rule::Public, get(openapi::document)),
        act(path::BOOTSTRAP, Rule::Code, post(bootstrap::redeem)),
        look(path::GROUPS, Rule::May(Verb::Look), get(groups::list)),
        look(path::GROUP, Rule::May(Verb::Look), get(groups::show)),
        look(path::EXPLAIN, Rule::May(Verb::Look), get(explain::explain)),
        look(path::PLAN, Rule::May(Verb::Plan), get(groups::plan)),
        look(path::HISTORY, Rule::May(Verb::Audit), get(history::of_group)),
        look(path::AUDIT, Rule::May(Verb::Audit), get(history::of_all)),
        act(path::ROTATE, Rule::May(Verb::Rotate), post(orders::rotate)),
        act(path::ROLLBACK, Rule::May(Verb::Rollback), post(orders::rollback)),
        act(path::HOLD, Rule::May(Verb::Hold), post(orders::hold)),
        act(path::RESUME, Rule::May(Verb::Resume), post(orders::resume)),
        act(path::ABANDON, Rule::May(Verb::Abandon), post(orders::abandon)),
        act(path::FORCE, Rule::May(Verb::Force), post(orders::force)),
        act(path::SUPERSEDE, Rule::May(Verb::Supersede), post(orders::supersede)),
        act(path::EMERGENCY, Rule::May(Verb::Emergency), post(emergency::order)),
        act(path::EMERGENCY_PLAN, Rule::May(Verb::Plan), post(emergency::plan)),
        act(path::HOOK, Rule::Signed, post(hook::receive)),
        look(path::SCHEDULES, Rule::May(Verb::Look), get(schedule::list)),
        look(path::CALENDAR, Rule::May(Verb::Look), get(schedule::calendar)),
        act(path::SCHEDULE_PAUSE, Rule::May(Verb::Schedule), post(schedule::pause)),
        act(path::SCHEDULE_RESUME, Rule::May(Verb::Schedule), post(schedule::resume)),
        look(path::APPROVALS, Rule::May(Verb::Look), get(approvals::list)),
        act(path::APPROVE, Rule::May(Verb::Approve), post(approvals::approve)),
        look(path::CAMPAIGNS, Rule::May(Verb::Look), get(campaigns::list)),
        act(path::CAMPAIGNS, Rule::May(Verb::Rotate), post(campaigns::begin)),
        look(path::CAMPAIGN_PLAN, Rule::May(Verb::Plan), get(campaigns::plan)),
        look(path::CAMPAIGN, Rule::May(Verb::Look), get(campaigns::show)),
        act(path::CAMPAIGN_HOLD, Rule::May(Verb::Hold), post(campaigns::hold)),
        act(path::CAMPAIGN_RESUME, Rule::May(Verb::Resume), post(campaigns::resume)),
        act(path::CAMPAIGN_UNDO, Rule::May(Verb::Rollback), post(campaigns::undo)),
        act(path::CAMPAIGN_CANCEL, Rule::May(Verb::Abandon), post(campaigns::cancel)),
        act(path::RECOVER, Rule::May(Verb::Recover), post(recover::recover)),
        take(path::GROUP, Rule::May(Verb::Remove), delete(orders::remove)),
        look(path::SECRET, Rule::Consumer, get(secret::fetch)),
        act(path::ACK, Rule::Consumer, post(secret::acknowledge)),
        look(path::WATCH, Rule::Anyone, get(watch::stream)),
    ]
}

/// The table as a service.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    let mut by_path: BTreeMap<&str, MethodRouter<Arc<App>>> = BTreeMap::new();
    for Route { method, path, rule, handler } in table() {
        tracing::debug!(%method, path, ?rule, "route");
        let guarded = handler.layer(middleware::from_fn_with_state((app.clone(), rule), guard));
        let merged = match by_path.remove(path) {
            Some(others) => others.merge(guarded),
            None => guarded,
        };
        by_path.insert(path, merged);
    }
    for (path, handler) in by_path {
        router = router.route(path, handler.fallback(|| async { Refused::wrong_method() }));
    }
    router
        .fallback(|| async { Refused::no_such_path() })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(to_its_end))
        .layer(middleware::from_fn(limited))
        .layer(middleware::from_fn_with_state(app.clone(), metrics::observe))
        .layer(middleware::from_fn(refusal::link))
        .with_state(app.clone())
}

/// Has what changes something go on to its end, also where its client is gone or the time is up: dropped between a commit
/// and what follows from it, nobody would be woken for what was committed.
async fn to_its_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request).in_current_span()).await {
        Ok(answer) => answer,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Refused::too_slow().into_response(),
        },
    }
}

/// Gives up on a request whose answer does not begin in time.
async fn limited(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_MAX, next.run(request)).await.unwrap_or_else(|_| Refused::too_slow().into_response())
}

#[cfg(test)]
mod tests;
