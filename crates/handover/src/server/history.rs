//! What happened: the committed history, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use handover_api::{History, PAGE_DEFAULT, PAGE_MAX, RecordView};
use handover_core::port::Record;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::auth::{Asking, Covered};
use super::refusal::Refused;
use super::view::time;

/// How many records one request looks at for those that its token covers. What is beyond is for the next page.
const LOOKED_AT_MAX: usize = 10_000;

/// Which page of a group's history.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    before: Option<u64>,
    limit: Option<usize>,
}

pub(crate) async fn of_group(
    State(app): State<Arc<App>>,
    Covered { group, .. }: Covered,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Json<History>, Refused> {
    let words = "the query takes `before=<position>` and `limit=<number>`, and nothing else";
    let Query(page) = query.map_err(|_| Refused::bad_request(words))?;
    let limit = limit(page.limit)?;
    // One more than is shown says whether there is another page.
    let mut records = app.engine.history(Some(&group), page.before, limit + 1).await?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().map(|record| record.position).filter(|_| more);
    Ok(Json(History { records: records.iter().map(view).collect(), next }))
}

/// Which page of all history.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    before: Option<u64>,
    after: Option<u64>,
    limit: Option<usize>,
}

/// A page may be empty and name a next one: then nothing of what was looked at is for this token.
pub(crate) async fn of_all(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    query: Result<Query<Span>, QueryRejection>,
) -> Result<Json<History>, Refused> {
    let words = "the query takes `before=<position>` or `after=<position>`, and `limit=<number>`";
    let Query(span) = query.map_err(|_| Refused::bad_request(words))?;
    if span.before.is_some() && span.after.is_some() {
        return Err(Refused::bad_request(words));
    }
    let limit = limit(span.limit)?;
    let mut cursor = span.after.or(span.before);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    loop {
        let records = match (span.after, cursor) {
            (Some(_), after) => app.engine.records(after.unwrap_or(0), PAGE_MAX).await?,
            (None, before) => app.engine.history(None, before, PAGE_MAX).await?,
        };
        looked_at += records.len();
        let last = records.len() < PAGE_MAX;
        for record in records {
            // There is more, and this one is the first of it.
            if found.len() == limit {
                return Ok(Json(History { records: found, next: cursor }));
            }
            cursor = Some(record.position);
            if caller.covers(&record.group) {
                found.push(view(&record));
            }
        }
        if last || looked_at >= LOOKED_AT_MAX {
            return Ok(Json(History { records: found, next: cursor.filter(|_| !last) }));
        }
    }
}

/// How many items a page has. One that asks for more than there may be is not an error: it gets what there may be.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Refused> {
    match asked {
        Some(0) => Err(Refused::bad_request("`limit` is at least 1")),
        Some(asked) => Ok(asked.min(PAGE_MAX)),
        None => Ok(PAGE_DEFAULT),
    }
}

/// A record on the wire. One whose body cannot be read is shown as it is.
pub(crate) fn view(record: &Record) -> RecordView {
    let body = Body::of(record);
    RecordView {
        position: record.position,
        at: time(record.at),
        group: record.group.to_string(),
        event: body.event,
        actor: body.actor,
        fields: body.fields.into_iter().map(|(name, value)| (name, text(value))).collect(),
    }
}

/// What is shown of a record's body.
#[derive(Deserialize)]
struct Body {
    event: String,
    actor: String,
    fields: BTreeMap<String, Value>,
}

impl Body {
    fn of(record: &Record) -> Self {
        serde_json::from_str(&record.body).unwrap_or_else(|_| Self {
            event: "unreadable".to_owned(),
            actor: "-".to_owned(),
            fields: BTreeMap::from([("body".to_owned(), Value::String(record.body.clone()))]),
        })
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use handover_core::{GroupId, Timestamp};

    use super::*;

    #[test]
    fn a_record_is_shown_whatever_its_body() {
        let record = |body: &str| Record {
            position: 7,
            group: GroupId::parse("orders").unwrap(),
            at: Timestamp(1_700_000_000_000),
            body: body.to_owned(),
            hash: String::new(),
        };
        let shown = view(&record(r#"{"v":1,"event":"ordered","actor":"anna","epoch":3,"fields":{"order":"hold"}}"#));
        assert_eq!((shown.event.as_str(), shown.actor.as_str()), ("ordered", "anna"));
        assert_eq!(shown.fields, BTreeMap::from([("order".to_owned(), "hold".to_owned())]));
        let shown = view(&record("torn"));
        assert_eq!((shown.event.as_str(), shown.fields["body"].as_str()), ("unreadable", "torn"));
    }
}
