//! The API described as an OpenAPI document, from the table of routes and the wire types.

mod campaigns;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use handover_api::{self as api, CODES, IDEMPOTENCY_KEY, MEDIA_TYPE, path};
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::auth::Rule;
use super::{Route, page, table};

pub(crate) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text())
}

/// The document as text, as it is committed.
fn text() -> String {
    let mut text = format!("{:#}", described(&table()));
    text.push('\n');
    text
}

fn described(routes: &[Route]) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes.iter().filter(|route| !is_page(route.path)) {
        let Some(operation) = operation(&route.method, route.path) else { continue };
        let methods = paths.entry(route.path).or_default();
        methods.insert(route.method.as_str().to_ascii_lowercase(), described_route(route, &operation));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Handover",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Credential rotations: what happens, and orders. Every refusal is a problem after RFC 9457.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`handover token create` makes one" },
            },
        },
    })
}

/// The web page is not the API.
fn is_page(path: &str) -> bool {
    [page::INDEX, page::STYLE, page::SCRIPT, page::ICON].contains(&path)
}

/// What the table of routes does not say of a route.
struct Operation {
    id: &'static str,
    summary: &'static str,
    /// Parameters of the query, with their type and meaning.
    query: &'static [(&'static str, &'static str, &'static str)],
    /// The schema of the body, if there is one.
    body: Option<&'static str>,
    /// The status of success, and the schema of its JSON or its other media type.
    answer: (u16, Answer),
    /// Codes of refusals beside those that follow from the rule and the path.
    refusals: &'static [&'static str],
}

enum Answer {
    Nothing,
    Json(&'static str),
    Media(&'static str),
}

const ORDER_REFUSALS: &[&str] = &[
    "idempotency_mismatch",
    "not_live",
    "held",
    "not_held",
    "stale",
    "touched",
    "past_return",
    "already_back",
    "nothing_to_return_to",
    "not_forceable",
    "unapproved",
    "doubted",
    "reason_missing",
    "reason_too_long",
];
const START_REFUSALS: &[&str] = &["idempotency_mismatch", "obstacles", "live", "no_free_slot", "doubted"];
const SCHEDULE_REFUSALS: &[&str] = &["idempotency_mismatch", "no_schedule", "reason_too_long"];
const LIMIT: (&str, &str, &str) = ("limit", "integer", "How many, 1,000 at most; 100 unless it is said");
const BEFORE: (&str, &str, &str) = ("before", "integer", "Only records before this position");

/// A route without an arm here fails a test.
fn operation(method: &Method, path: &str) -> Option<Operation> {
    looks(method, path)
        .or_else(|| reports(method, path))
        .or_else(|| orders(method, path))
        .or_else(|| emergencies(method, path))
        .or_else(|| approvals(method, path))
        .or_else(|| campaigns::operation(method, path))
        .or_else(|| consumers(method, path))
}

fn look(id: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation { id, summary, query: &[], body: None, answer: (200, answer), refusals: &[] }
}

fn looks(method: &Method, path: &str) -> Option<Operation> {
    Some(match (method.as_str(), path) {
        ("GET", path::HEALTH) => look("health", "Says that the server is up", Answer::Json("Health")),
        ("GET", "/v1/ready") => Operation {
            refusals: &["draining", "lease_lost", "state_failing", "engine_stalled"],
            ..look("ready", "Says whether the server is ready", Answer::Media("application/json"))
        },
        ("GET", "/metrics") => look("metrics", "The metrics, for Prometheus", Answer::Media("text/plain")),
        ("GET", "/v1/sinks") => {
            look("sinks", "How far each sink of the history got", Answer::Media("application/json"))
        }
        ("GET", path::ERROR) => look("error", "The page of an error code", Answer::Media("text/markdown")),
        ("GET", path::OPENAPI) => look("openapi", "This document", Answer::Media("application/json")),
        ("GET", path::GROUPS) => Operation {
            query: &[("after", "string", "Only groups after this name"), LIMIT],
            ..look("groups", "Lists the groups that the token covers", Answer::Json("Groups"))
        },
        ("GET", path::GROUP) => {
            look("group", "Where a group stands, and for whom it waits", Answer::Json("GroupStatus"))
        }
        ("GET", path::EXPLAIN) => {
            look("explain", "What is happening to a group, why, and what can be done", Answer::Json("Explanation"))
        }
        ("GET", path::PLAN) => {
            look("plan", "What a rotation would do, or what stands in its way", Answer::Json("PlanView"))
        }
        ("GET", path::HISTORY) => Operation {
            query: &[BEFORE, LIMIT],
            ..look("history", "What happened to a group, the newest first", Answer::Json("History"))
        },
        ("GET", path::AUDIT) => Operation {
            query: &[BEFORE, ("after", "integer", "Only records after this position, the oldest first"), LIMIT],
            ..look("audit", "What happened to all groups that the token covers", Answer::Json("History"))
        },
        _ => return None,
    })
}

/// Looks at many groups at once.
fn reports(method: &Method, path: &str) -> Option<Operation> {
    Some(match (method.as_str(), path) {
        ("GET", path::ALERTS) => Operation {
            query: &[("group", "string", "Of this group only")],
            refusals: &["no_such_group"],
            ..look("alerts", "The alerts that stand", Answer::Json("Alerts"))
        },
        ("GET", path::STATISTICS) => Operation {
            query: &[
                ("since", "string", "Only what ended within this time, such as 30d"),
                ("group", "string", "Of this group only"),
            ],
            refusals: &["no_such_group"],
            ..look(
                "statistics",
                "What rotations of the groups that the token covers came to",
                Answer::Json("Statistics"),
            )
        },
        ("GET", path::REPORT) => Operation {
            query: &[("after", "string", "Only groups after this name"), LIMIT],
            ..look("report", "Who owns what, how old it is, and what shows its last rotation", Answer::Json("Report"))
        },
        ("GET", path::SCHEDULES) => Operation {
            query: &[("after", "string", "Only groups after this name"), LIMIT],
            ..look("schedules", "How the schedules of groups stand", Answer::Json("Schedules"))
        },
        ("GET", path::CALENDAR) => Operation {
            query: &[
                ("group", "string", "Of this group only"),
                ("days", "integer", "How many days ahead, 400 at most; 14 unless it is said"),
                LIMIT,
            ],
            refusals: &["no_such_group"],
            ..look("calendar", "What is coming, as it is planned", Answer::Json("Calendar"))
        },
        _ => return None,
    })
}

fn orders(method: &Method, path: &str) -> Option<Operation> {
    let order = |id, summary| Operation {
        id,
        summary,
        query: &[],
        body: Some("OrderRequest"),
        answer: (204, Answer::Nothing),
        refusals: ORDER_REFUSALS,
    };
    Some(match (method.as_str(), path) {
        ("POST", path::ROTATE) => Operation {
            body: Some("RotateRequest"),
            answer: (202, Answer::Json("Started")),
            refusals: START_REFUSALS,
            ..order("rotate", "Starts a rotation")
        },
        ("POST", path::SUPERSEDE) => Operation {
            answer: (202, Answer::Json("Started")),
            refusals: &[
                "idempotency_mismatch",
                "obstacles",
                "nothing_to_supersede",
                "reason_missing",
                "reason_too_long",
            ],
            ..order("supersede", "Starts a rotation over a rollback that waits")
        },
        ("POST", path::ROLLBACK) => order("rollback", "Takes a live rotation back"),
        ("POST", path::HOLD) => order("hold", "Keeps a live rotation where it is"),
        ("POST", path::RESUME) => order("resume", "Lets a held rotation go on"),
        ("POST", path::ABANDON) => order("abandon", "Gives a rotation up, while nothing was touched"),
        ("POST", path::FORCE) => order("force", "Stops waiting in the present phase"),
        ("POST", "/v1/groups/{group}/recover") => Operation {
            body: None,
            answer: (200, Answer::Media("application/json")),
            refusals: &[],
            ..order("recover", "Compares the record with the world, and goes on from there")
        },
        ("POST", path::SCHEDULE_PAUSE) => Operation {
            refusals: SCHEDULE_REFUSALS,
            ..order("pause_schedule", "Has nothing started by a group's schedule")
        },
        ("POST", path::SCHEDULE_RESUME) => Operation {
            refusals: SCHEDULE_REFUSALS,
            ..order("resume_schedule", "Lets a group's schedule start rotations again")
        },
        ("DELETE", path::GROUP) => Operation {
            refusals: &["configured", "live", "reason_missing", "reason_too_long"],
            ..order("remove", "Forgets a group that is not configured any more")
        },
        ("POST", path::RELOAD) => Operation {
            body: Some("ReloadRequest"),
            answer: (200, Answer::Json("Reloaded")),
            refusals: &["configuration", "restart_needed", "live"],
            ..order("reload", "Has the server read its configuration again")
        },
        ("POST", path::STATISTICS_RESET) => Operation {
            refusals: &["reason_too_long"],
            ..order("reset", "Has the counters of the statistics begin anew; the history stays")
        },
        ("POST", path::BOOTSTRAP) => Operation {
            body: Some("BootstrapRequest"),
            answer: (200, Answer::Json("Bootstrapped")),
            refusals: &["wrong_code", "bootstrap_over", "bootstrap_failed"],
            ..order("bootstrap", "Exchanges the one-time code for the first operator's token")
        },
        _ => return None,
    })
}

fn emergencies(method: &Method, path: &str) -> Option<Operation> {
    Some(match (method.as_str(), path) {
        ("POST", path::EMERGENCY) => Operation {
            body: Some("EmergencyRequest"),
            answer: (202, Answer::Json("Started")),
            refusals: &[
                "idempotency_mismatch",
                "obstacles",
                "would_break",
                "already_back",
                "no_free_slot",
                "doubted",
                "reason_missing",
                "reason_too_long",
            ],
            query: &[],
            id: "emergency",
            summary: "Takes what is in force out of force, over whatever is on its way",
        },
        ("POST", path::EMERGENCY_PLAN) => Operation {
            body: Some("EmergencySelect"),
            answer: (200, Answer::Json("EmergencyPlans")),
            refusals: &["no_such_group"],
            query: &[],
            id: "emergency_plan",
            summary: "What an emergency of the selected groups would do, and who would be left behind",
        },
        ("POST", path::HOOK) => Operation {
            id: "hook",
            summary: "Takes groups out of force by a signed message; see docs/emergency.md for its headers",
            query: &[],
            body: Some("HookRequest"),
            answer: (202, Answer::Json("HookOrders")),
            refusals: &[
                "signature_refused",
                "replayed",
                "too_many_groups",
                "idempotency_mismatch",
                "no_such_group",
                "reason_missing",
            ],
        },
        _ => return None,
    })
}

fn approvals(method: &Method, path: &str) -> Option<Operation> {
    Some(match (method.as_str(), path) {
        ("GET", path::APPROVALS) => Operation {
            query: &[
                ("group", "string", "Of this group only"),
                ("after", "string", "Only groups after this name"),
                LIMIT,
            ],
            refusals: &["no_such_group"],
            ..look("approvals", "For whose word rotations wait, and who gave it", Answer::Json("Approvals"))
        },
        ("POST", path::APPROVE) => Operation {
            id: "approve",
            summary: "Approves what a rotation waits to do",
            query: &[],
            body: Some("ApproveRequest"),
            answer: (204, Answer::Nothing),
            refusals: &[
                "idempotency_mismatch",
                "not_live",
                "doubted",
                "approval_not_wanted",
                "other_plan",
                "own_request",
                "not_an_approver",
                "reason_too_long",
            ],
        },
        _ => return None,
    })
}

fn consumers(method: &Method, path: &str) -> Option<Operation> {
    Some(match (method.as_str(), path) {
        ("GET", path::SECRET) => Operation {
            id: "secret",
            summary: "Hands out the published value; 204 if nothing above `after` is published",
            query: &[("after", "integer", "Only a publication above this one")],
            body: None,
            answer: (200, Answer::Json("Delivered")),
            refusals: &["not_published", "not_expected"],
        },
        ("POST", path::ACK) => Operation {
            id: "ack",
            summary: "Takes an acknowledgement, with proof",
            query: &[],
            body: Some("Ack"),
            answer: (204, Answer::Nothing),
            refusals: &["unknown_delivery", "proof"],
        },
        ("GET", path::WATCH) => Operation {
            id: "watch",
            summary: "Streams hints as server-sent events: what is published, where rotations stand",
            query: &[("group", "string", "Of this group only")],
            body: None,
            answer: (200, Answer::Media("text/event-stream")),
            refusals: &["too_many_streams", "no_such_group"],
        },
        _ => return None,
    })
}

fn described_route(route: &Route, operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = ["group", "campaign", "code"]
        .iter()
        .filter(|name| route.path.contains(&format!("{{{name}}}")))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    for (name, kind, meaning) in operation.query {
        parameters.push(json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": kind } }));
    }
    if operation.refusals.contains(&"idempotency_mismatch") {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
        let meaning = "Names the order, so that a repeat of it is not another one";
        parameters.push(json!({ "name": IDEMPOTENCY_KEY, "in": "header", "description": meaning, "schema": schema }));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(route, operation),
        "security": if [Rule::Public, Rule::Signed].contains(&route.rule) { json!([]) } else { json!([{ "token": [] }]) },
    });
    if let Some(schema) = operation.body {
        described["requestBody"] = json!({ "content": { "application/json": { "schema": reference(schema) } } });
    }
    described
}

fn responses(route: &Route, operation: &Operation) -> Map<String, Value> {
    let mut responses = Map::new();
    let (status, answer) = &operation.answer;
    let success = match answer {
        Answer::Nothing => json!({ "description": "It is done" }),
        Answer::Json(schema) => {
            json!({ "description": "It is done", "content": { "application/json": { "schema": reference(schema) } } })
        }
        Answer::Media(media) => json!({ "description": "It is done", "content": { *media: {} } }),
    };
    responses.insert(status.to_string(), success);
    if operation.id == "secret" {
        responses.insert("204".to_owned(), json!({ "description": "Nothing above it is published" }));
    }
    let problem = json!({ MEDIA_TYPE: { "schema": reference("Problem") } });
    for (status, words) in refusals(route, operation) {
        responses.insert(status.to_string(), json!({ "description": words, "content": problem }));
    }
    responses.insert("default".to_owned(), json!({ "description": "A fault, with its code", "content": problem }));
    responses
}

/// The codes that a route may refuse with, by status.
fn refusals(route: &Route, operation: &Operation) -> BTreeMap<u16, String> {
    let mut words = operation.refusals.to_vec();
    words.push("too_slow");
    if !operation.query.is_empty() || operation.body.is_some() {
        words.push("bad_request");
    }
    if operation.body.is_some() {
        words.push("too_long");
    }
    if ![Rule::Public, Rule::Code, Rule::Signed].contains(&route.rule) {
        words.extend(["unauthenticated", "two_identities", "not_permitted"]);
    }
    if route.path.contains("{campaign}") {
        words.push("no_such_campaign");
    }
    if route.path.contains("{group}") {
        words.push("no_such_group");
    }
    let mut refusals: BTreeMap<u16, String> = BTreeMap::new();
    for code in CODES.iter().filter(|code| words.contains(&code.word)) {
        let listed = refusals.entry(code.status).or_default();
        // Writing to a string cannot fail.
        let _ = write!(listed, "{}`{}`", if listed.is_empty() { "" } else { ", " }, code.word);
    }
    refusals
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn schemas() -> BTreeMap<String, RefOr<Schema>> {
    let mut all = Vec::new();
    add::<api::Ack>(&mut all);
    add::<api::Alerts>(&mut all);
    add::<api::Approvals>(&mut all);
    add::<api::ApproveRequest>(&mut all);
    add::<api::BootstrapRequest>(&mut all);
    add::<api::Bootstrapped>(&mut all);
    add::<api::Calendar>(&mut all);
    add::<api::CampaignBegun>(&mut all);
    add::<api::CampaignPlan>(&mut all);
    add::<api::CampaignRequest>(&mut all);
    add::<api::CampaignResume>(&mut all);
    add::<api::Campaigns>(&mut all);
    add::<api::Delivered>(&mut all);
    add::<api::EmergencyPlans>(&mut all);
    add::<api::EmergencyRequest>(&mut all);
    add::<api::EmergencySelect>(&mut all);
    add::<api::Explanation>(&mut all);
    add::<api::GroupStatus>(&mut all);
    add::<api::Groups>(&mut all);
    add::<api::Health>(&mut all);
    add::<api::History>(&mut all);
    add::<api::HookOrders>(&mut all);
    add::<api::HookRequest>(&mut all);
    add::<api::OrderRequest>(&mut all);
    add::<api::PlanView>(&mut all);
    add::<api::Problem>(&mut all);
    add::<api::ReloadRequest>(&mut all);
    add::<api::Reloaded>(&mut all);
    add::<api::Report>(&mut all);
    add::<api::RotateRequest>(&mut all);
    add::<api::Schedules>(&mut all);
    add::<api::Started>(&mut all);
    add::<api::Statistics>(&mut all);
    add::<api::WatchEvent>(&mut all);
    all.into_iter().collect()
}

/// A type, and those that it is made of.
fn add<T: ToSchema + PartialSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    T::schemas(all);
    all.push((T::name().into_owned(), T::schema()));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const GOLDEN: &str = "../../docs/openapi.json";

    #[test]
    fn every_route_is_described() {
        for route in table().iter().filter(|route| !is_page(route.path)) {
            let operation = operation(&route.method, route.path);
            assert!(operation.is_some(), "{} {} has no arm in server/openapi.rs", route.method, route.path);
            for word in operation.unwrap().refusals {
                assert!(CODES.iter().any(|code| code.word == *word), "{word} is no code");
            }
        }
    }

    #[test]
    fn the_committed_document_is_that_of_the_code() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, text()).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap();
        assert!(
            committed == text(),
            "docs/openapi.json is behind: UPDATE_GOLDEN=1 cargo test -p handover --bin handover"
        );
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    found.extend(member.as_str().filter(|_| name == "$ref").map(str::to_owned));
                    references(member, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn references_lead_somewhere_and_operations_have_names_of_their_own() {
        let document: Value = serde_json::from_str(&text()).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        let mut ids = BTreeSet::new();
        for operation in
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
        {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{}", operation["operationId"]);
        }
    }
}
