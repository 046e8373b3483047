//! Since when a generation is in force: a row knows it of the last rotation only, the history of those before.

use handover_api::RecordView;
use handover_core::{Fault, GroupId, Outcome, Phase, Row};
use handover_engine::Handle;
use handover_engine::history::{ADOPTED, ENDED, outcome_word};

use super::{history, view};

/// How many records are looked at for one group that is asked for alone. What is further back is not known.
pub(super) const ALONE: usize = 512;

/// How many are looked at for each group of a list: a page of them must not read a history of its own for each.
pub(super) const IN_A_LIST: usize = 64;

/// When the current generation came into force: RFC 3339, UTC. `None` if there is none, or if nobody knows after
/// `records_max` records of the group.
pub(super) async fn in_force(engine: &Handle, row: &Row, records_max: usize) -> Option<String> {
    row.current?;
    if let Some(rotation) = row.rotation.as_ref().filter(|ended| ended.phase == Phase::Done(Outcome::Success)) {
        return Some(view::time(rotation.entered_at));
    }
    // What cannot be read is not known: nothing depends on it.
    from_history(engine, &row.group, records_max).await.ok().flatten()
}

async fn from_history(engine: &Handle, group: &GroupId, records_max: usize) -> Result<Option<String>, Fault> {
    let records = engine.history(Some(group), None, records_max).await?;
    Ok(records.iter().map(history::view).find(came_into_force).map(|record| record.at))
}

fn came_into_force(record: &RecordView) -> bool {
    let success = || record.fields.get("outcome").is_some_and(|outcome| outcome == outcome_word(Outcome::Success));
    record.event == ADOPTED || (record.event == ENDED && success())
}
