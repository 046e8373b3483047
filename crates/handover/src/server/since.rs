//! Since when a generation is in force: a row knows it of the last rotation only, the history of those before.

use handover_api::RecordView;
use handover_core::{Fault, GroupId, Outcome, Phase, Row};
use handover_engine::Handle;
use handover_engine::history::{ADOPTED, ENDED, outcome_word};

use super::{history, view};

/// How many records of a group are looked at. What is further back is not known.
const RECORDS_MAX: usize = 512;

/// When the current generation came into force: RFC 3339, UTC. `None` if there is none, or if nobody knows.
pub(super) async fn in_force(engine: &Handle, row: &Row) -> Option<String> {
    row.current?;
    if let Some(rotation) = row.rotation.as_ref().filter(|ended| ended.phase == Phase::Done(Outcome::Success)) {
        return Some(view::time(rotation.entered_at));
    }
    // What cannot be read is not known: nothing depends on it.
    from_history(engine, &row.group).await.ok().flatten()
}

async fn from_history(engine: &Handle, group: &GroupId) -> Result<Option<String>, Fault> {
    let records = engine.history(Some(group), None, RECORDS_MAX).await?;
    Ok(records.iter().map(history::view).find(came_into_force).map(|record| record.at))
}

fn came_into_force(record: &RecordView) -> bool {
    let success = || record.fields.get("outcome").is_some_and(|outcome| outcome == outcome_word(Outcome::Success));
    record.event == ADOPTED || (record.event == ENDED && success())
}
