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
        matches!(
            live.phase,
            Phase::Publish { .. } | Phase::Propagate { .. } | Phase::Rollback(Undo::Unpublish { .. })
        )
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
