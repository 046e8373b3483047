//! What rows do not say and history does: since when a generation is in force, and when a rotation last succeeded.

use handover_core::port::Record;
use handover_core::{Generation, GroupId, Timestamp};
use handover_engine::{Handle, Recalled, history};
use serde::Deserialize;

/// How many records of one group are read at once.
const PAGE_RECORDS: usize = 200;

/// How many pages are read of one group. What stands further back stays unknown.
const PAGES_MAX: usize = 50;

/// Reads each group's row, and its history as far back as is needed, so that the numbers say from the start what they can.
/// A group that cannot be read is left as unknown: its first commit says it.
pub(crate) async fn recall(engine: Handle, groups: Vec<GroupId>) {
    for group in groups {
        if engine.view(&group).await.is_err() {
            continue;
        }
        if let Some(recalled) = of_group(&engine, &group).await {
            engine.recalled(&group, &recalled);
        }
    }
}

async fn of_group(engine: &Handle, group: &GroupId) -> Option<Recalled> {
    let mut recalled = Recalled::default();
    let mut before = None;
    for _ in 0..PAGES_MAX {
        let page = engine.history(Some(group), before, PAGE_RECORDS).await.ok()?;
        let Some(last) = page.last() else { break };
        before = Some(last.position);
        for record in &page {
            fold(&mut recalled, record);
            if recalled.succeeded_at.is_some() {
                return Some(recalled);
            }
        }
    }
    Some(recalled)
}

/// One record further back.
fn fold(recalled: &mut Recalled, record: &Record) {
    let Ok(Body { event, fields }) = serde_json::from_str(&record.body) else { return };
    let at: Timestamp = record.at;
    if event == history::ENDED && fields.outcome.as_deref() == Some("success") {
        recalled.succeeded_at = recalled.succeeded_at.or(Some(at));
        recalled.generation_since = recalled.generation_since.or(Some(at));
    } else if event == history::ADOPTED {
        recalled.generation_since = recalled.generation_since.or(Some(at));
    } else if event == history::ADVANCED && fields.phase.as_deref() == Some("propagate") {
        let generation = fields.generation.and_then(|text| text.parse().ok()).map(Generation);
        recalled.replaced = recalled.replaced.or(generation.map(|generation| (generation, at)));
    }
}

#[derive(Deserialize)]
struct Body {
    event: String,
    #[serde(default)]
    fields: Fields,
}

#[derive(Default, Deserialize)]
struct Fields {
    outcome: Option<String>,
    phase: Option<String>,
    generation: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(position: u64, body: &str) -> Record {
        let at = Timestamp(i64::try_from(position).unwrap() * 1_000);
        Record { position, group: GroupId::parse("orders").unwrap(), at, body: body.to_owned(), hash: String::new() }
    }

    #[test]
    fn the_newest_record_counts() {
        let history = [
            record(5, r#"{"event":"advanced","fields":{"phase":"drain","generation":"4"}}"#),
            record(4, r#"{"event":"advanced","fields":{"phase":"propagate","generation":"4"}}"#),
            record(3, r#"{"event":"ended","fields":{"outcome":"rolled_back","generation":"3"}}"#),
            record(2, r#"{"event":"ended","fields":{"outcome":"success","generation":"2"}}"#),
            record(1, r#"{"event":"adopted","fields":{}}"#),
        ];
        let mut recalled = Recalled::default();
        for record in &history {
            fold(&mut recalled, record);
        }
        let expected = Recalled {
            succeeded_at: Some(Timestamp(2_000)),
            generation_since: Some(Timestamp(2_000)),
            replaced: Some((Generation(4), Timestamp(4_000))),
        };
        assert_eq!(recalled, expected);
    }
}
