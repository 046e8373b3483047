//! Clearing away, while nothing rotates, what a rotation could not clear away in the stores.
//!
//! It is known in memory alone: after a start, the next rotation of the group clears it. What is there is asked of the
//! stores each time, so that nothing is taken away that came since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use handover_core::{Fault, FaultKind, Generation, GroupId, Row, StoreId, Strategy};

use crate::call::{Call, Whom};
use crate::handle::Handle;
use crate::history;
use crate::service::Binding;
use crate::shared::Shared;
use crate::telemetry;

/// Groups whose rotations left something behind in a store.
#[derive(Default)]
pub(crate) struct Litter(Mutex<BTreeSet<GroupId>>);

impl Litter {
    pub(crate) fn found(&self, group: &GroupId) {
        self.lock().insert(group.clone());
    }

    fn is_there(&self, group: &GroupId) -> bool {
        self.lock().contains(group)
    }

    fn gone(&self, group: &GroupId) {
        self.lock().remove(group);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<GroupId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clears the stores of a group at rest, if something is known to be left there.
pub(crate) async fn clear(shared: &Shared, binding: &Binding) {
    let group = &binding.group;
    if binding.strategy() != Strategy::Staged || !shared.litter.is_there(group) {
        return;
    }
    let Ok(Some(loaded)) = shared.load(group).await else { return };
    let row = loaded.row.into_inner();
    if row.live().is_some() || row.doubt.is_some() {
        return;
    }
    match cleared(shared, binding, &row).await {
        Ok(()) => {
            shared.litter.gone(group);
            if let Err(fault) = shared.try_append(group, history::litter_over(shared.now())).await {
                tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::STATE_FAILED);
            }
        }
        Err(fault) => shared.note(group, "discard", &fault),
    }
}

/// A rotation that began meanwhile is not touched: its generation is higher than all that goes, and what it retires is
/// current.
async fn cleared(shared: &Shared, binding: &Binding, row: &Row) -> Result<(), Fault> {
    let group = &binding.group;
    let current = row.current.map(|current| current.generation);
    for (store, port) in binding.stores.iter() {
        let act = |name| Call::act(Whom::Store(store), name);
        shared.calls.make(act("unstage"), || port.unstage(group, row.last_generation)).await?;
        let look = Call::look(Whom::Store(store), "retained");
        let retained = shared.calls.make(look, || port.retained(group)).await?;
        let old = retained.into_iter().filter(|old| *old <= row.last_generation && Some(*old) != current);
        for generation in old {
            shared.calls.make(act("discard"), || port.discard(group, generation)).await?;
        }
    }
    Ok(())
}

impl Handle {
    /// What the stores of a group at rest keep beside what is current, where its rotations stage: generations, or why nobody
    /// could look.
    pub async fn retained(
        &self,
        group: &GroupId,
    ) -> Result<BTreeMap<StoreId, Result<BTreeSet<Generation>, Fault>>, Fault> {
        let binding = self.binding(group);
        let binding = binding
            .ok_or_else(|| Fault::untouched(FaultKind::Misconfigured, format!("group {group} is not configured")))?;
        let mut all = BTreeMap::new();
        if binding.strategy() != Strategy::Staged {
            return Ok(all);
        }
        for (store, port) in binding.stores.iter() {
            let call = Call::look(Whom::Store(store), "retained");
            let retained = self.shared.calls.make(call, || port.retained(group)).await;
            all.insert(store.clone(), retained);
        }
        Ok(all)
    }
}
