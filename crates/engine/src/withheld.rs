//! From whom the candidates of live rotations are withheld, as far as this process knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_core::port::Loaded;
use handover_core::{Fault, GroupId, Phase, Row, RowVersion, Undo, Withheld};

use crate::handle::Handle;

/// What is known of each group. Whoever reads a store first and asks here then is never told of a time before that.
#[derive(Default)]
pub(crate) struct Withholding(Mutex<HashMap<GroupId, Known>>);

struct Known {
    version: RowVersion,
    /// `None`: the row has to be read.
    withheld: Option<Option<Arc<Withheld>>>,
}

impl Withholding {
    /// This row was committed. Nothing that follows from it was done yet.
    pub(crate) fn committed(&self, row: &Row) {
        let withheld = (!may_withhold(row)).then_some(None);
        self.take(row, Known { version: row.version, withheld });
    }

    /// This is what is stored.
    pub(crate) fn loaded(&self, loaded: &Loaded) {
        let (row, plan) = (&loaded.row, &loaded.plan);
        let withheld = plan.as_ref().and_then(|plan| Withheld::of(row, plan)).map(Arc::new);
        self.take(row, Known { version: row.version, withheld: Some(withheld) });
    }

    /// Nothing is known any more: others may have committed meanwhile.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    fn known(&self, group: &GroupId) -> Option<Option<Arc<Withheld>>> {
        self.lock().get(group)?.withheld.clone()
    }

    /// The later row counts. A group that was forgotten begins anew with the first one.
    fn take(&self, row: &Row, known: Known) {
        let mut all = self.lock();
        let later = |before: &Known| {
            before.version < known.version || (before.version == known.version && before.withheld.is_none())
        };
        if row.version <= RowVersion(1) || all.get(&row.group).is_none_or(later) {
            all.insert(row.group.clone(), known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a row in this phase withholds something, if its plan has waves.
fn may_withhold(row: &Row) -> bool {
    row.live().is_some_and(|live| {
        matches!(live.phase, Phase::Publish { .. } | Phase::Propagate { .. } | Phase::Rollback(Undo::Unpublish { .. }))
    })
}

impl Handle {
    /// From whom the candidate of a group's live rotation is withheld; `None`: everybody reads what the stores publish.
    ///
    /// Ask after the store was read, never before: what it publishes then was intended by the row that this is of, or by
    /// an earlier one.
    pub async fn withheld(&self, group: &GroupId) -> Result<Option<Arc<Withheld>>, Fault> {
        if let Some(known) = self.shared.withholding.known(group) {
            return Ok(known);
        }
        let loaded = self.shared.load(group).await?;
        Ok(loaded.and_then(|loaded| Withheld::of(&loaded.row, loaded.plan.as_ref()?)).map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use handover_core::port::Committed;
    use handover_core::{Candidate, Generation, Occupant, Pointers, Rotation, Slot, Timestamp, Waited};

    use super::*;

    fn group() -> GroupId {
        GroupId::parse("app").unwrap()
    }

    fn row(version: u64, phase: Option<Phase>) -> Row {
        let to = Occupant { generation: Generation(2), slot: Slot(1), candidate: Candidate(1) };
        let rotation = phase.map(|phase| Rotation {
            from: None,
            to,
            owed: Vec::new(),
            phase,
            elapsed: Waited::default(),
            entered_at: Timestamp(0),
            hold: None,
            trouble: None,
            cause: None,
            asked_by: None,
            approvals: BTreeMap::new(),
        });
        Row { version: RowVersion(version), rotation, ..Row::new(group()) }
    }

    fn publishing(version: u64) -> Row {
        row(version, Some(Phase::Publish { pointers: Pointers(BTreeMap::new()) }))
    }

    fn loaded(row: Row) -> Loaded {
        Loaded { row: Committed::vouch(row), plan: None }
    }

    #[test]
    fn what_is_known_is_of_the_latest_row() {
        let known = Withholding::default();
        assert!(known.known(&group()).is_none(), "the row has to be read");
        known.loaded(&loaded(row(4, Some(Phase::Stage))));
        assert_eq!(known.known(&group()), Some(None));
        known.committed(&publishing(7));
        assert!(known.known(&group()).is_none(), "its plan has to be read");
        known.committed(&row(6, Some(Phase::Apply { staged: std::collections::BTreeSet::new() })));
        known.loaded(&loaded(row(6, Some(Phase::Apply { staged: std::collections::BTreeSet::new() }))));
        assert!(known.known(&group()).is_none(), "what comes late is of a time before");
        known.loaded(&loaded(publishing(7)));
        assert_eq!(known.known(&group()), Some(None));
        known.committed(&row(1, None));
        assert_eq!(known.known(&group()), Some(None), "a group that was forgotten begins anew");
        known.committed(&publishing(2));
        assert!(known.known(&group()).is_none());
        known.loaded(&loaded(publishing(2)));
        known.forget_all();
        assert!(known.known(&group()).is_none());
    }
}
