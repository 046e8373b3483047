//! Looks at stores of others while nothing rotates: whoever writes there after a rotation ended is noticed, and told.
//!
//! Nothing is written over, and nothing is done about it: the next rotation holds at that store, and a person decides.
//! What was noticed is not durable. After a start it is noticed, and told, once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_core::port::{Entry, Head};
use handover_core::{Fault, FaultKind, GroupId, Row, StoreId, StoreVersion};
use tokio::sync::watch;

use crate::call::{Call, Whom};
use crate::handle::{FaultSeen, Handle};
use crate::history;
use crate::service::Binding;
use crate::shared::Shared;
use crate::telemetry;

/// What noticing it is called among faults.
const DRIFT: &str = "drift";

/// What stands where our version was; `None`: nothing.
type Stands = Option<StoreVersion>;

/// What was noticed and stands, by group and store.
#[derive(Default)]
pub(crate) struct Drifts {
    noticed: Mutex<BTreeMap<(GroupId, StoreId), (Stands, FaultSeen)>>,
    /// All groups were looked at since the start.
    looked: AtomicBool,
}

impl Drifts {
    /// What was noticed at one of the stores that the group has now, if anything.
    pub(crate) fn of(&self, binding: &Binding) -> Option<FaultSeen> {
        let all = self.lock();
        let of = |store: &StoreId| all.get(&(binding.group.clone(), store.clone()));
        binding.stores.keys().find_map(of).map(|(_, seen)| seen.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(GroupId, StoreId), (Stands, FaultSeen)>> {
        self.noticed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until it is told to drain.
pub(crate) async fn run(shared: Arc<Shared>, mut drain: watch::Receiver<bool>) {
    'round: while !*drain.borrow_and_update() {
        tokio::select! {
            () = tokio::time::sleep(shared.options.drift_every) => {}
            _ = drain.changed() => return,
        }
        for binding in shared.bindings().values() {
            if *drain.borrow() || shared.lease_doubted() {
                continue 'round;
            }
            Look { shared: &shared, binding }.at_all().await;
        }
        shared.drifts.looked.store(true, Ordering::Relaxed);
    }
}

impl Handle {
    /// Groups at whose stores somebody else was noticed while nothing rotated, and whether all were looked at since the
    /// start: before that, nobody knows of the others.
    pub fn drifted(&self) -> (BTreeSet<GroupId>, bool) {
        let drifts = &self.shared.drifts;
        let looked = drifts.looked.load(Ordering::Relaxed);
        (drifts.lock().keys().map(|(group, _)| group.clone()).collect(), looked)
    }
}

/// A look at the stores of a group.
struct Look<'a> {
    shared: &'a Shared,
    binding: &'a Binding,
}

impl Look<'_> {
    async fn at_all(&self) {
        let Self { shared, binding } = self;
        let watched: Vec<_> = binding.stores.iter().filter(|(_, port)| port.capability().shared).collect();
        if watched.is_empty() {
            return;
        }
        let Some(row) = self.at_rest().await else { return };
        for (store, port) in watched {
            let Some(ours) = row.heads.get(store) else { continue };
            let call = Call::look(Whom::Store(store), "head");
            // Who could not look does not know: what was told stands.
            let Ok(head) = shared.calls.make(call, || port.head(&binding.group)).await else { continue };
            let stands = head.map(|Head { version, .. }| version);
            // A rotation that began meanwhile may have moved it.
            if self.at_rest().await.is_none_or(|now| now.version != row.version) {
                return;
            }
            self.judge(store, ours, stands).await;
        }
    }

    async fn judge(&self, store: &StoreId, ours: &StoreVersion, stands: Stands) {
        let Self { shared, binding } = self;
        let key = (binding.group.clone(), store.clone());
        let told = shared.drifts.lock().get(&key).map(|(told, _)| told.clone());
        if stands.as_ref() == Some(ours) {
            if told.is_some() {
                shared.drifts.lock().remove(&key);
                self.record(history::drift_over(store, shared.now())).await;
            }
        } else if told.as_ref() != Some(&stands) {
            let fault = fault(&binding.group, store, &stands);
            shared.note(&binding.group, DRIFT, &fault);
            self.record(history::drifted(store, stands.is_some(), shared.now())).await;
            let seen = FaultSeen { at: shared.now(), effect: DRIFT, fault };
            shared.drifts.lock().insert(key, (stands, seen));
        }
    }

    /// The row of a group in which nothing is done now: a live rotation compares for itself.
    async fn at_rest(&self) -> Option<Row> {
        let loaded = self.shared.load(&self.binding.group).await.ok()??;
        Some(loaded.row.into_inner()).filter(|row| row.live().is_none() && row.doubt.is_none())
    }

    async fn record(&self, entry: Entry) {
        if let Err(fault) = self.shared.try_append(&self.binding.group, entry).await {
            tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::STATE_FAILED);
        }
    }
}

fn fault(group: &GroupId, store: &StoreId, stands: &Stands) -> Fault {
    let what = match stands {
        Some(_) => "holds what somebody else wrote",
        None => "holds nothing any more",
    };
    let words = format!(
        "store {store} {what} for {group}, which is at rest: nothing was done about it; a rotation holds there, and \
         `handover resume` then writes over it"
    );
    Fault::untouched(FaultKind::Conflict, words)
}
