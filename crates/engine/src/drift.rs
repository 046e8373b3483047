//! Looks at stores of others and at targets while nothing rotates: whoever changes something there after a rotation
//! ended is noticed, and told.
//!
//! Nothing is written over, and nothing is done about it. At a store, the next rotation holds, and a person decides; what
//! was noticed is not durable: after a start it is noticed, and told, once more. At a target, the record is in doubt
//! from then on, and nothing is started before it is recovered.
//!
//! What a rotation left behind in stores is cleared away in the same rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_core::port::{Entry, Head, Probe, Verdict};
use handover_core::{Doubt, Fault, FaultKind, GroupId, Row, Slots, StoreId, StoreVersion};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::{Call, Whom};
use crate::handle::{FaultSeen, Handle};
use crate::history;
use crate::litter;
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
    let mut tried = BTreeMap::new();
    'round: while !*drain.borrow_and_update() {
        tokio::select! {
            () = tokio::time::sleep(shared.options.drift_every) => {}
            _ = drain.changed() => return,
        }
        for binding in shared.bindings().values() {
            if *drain.borrow() || shared.lease_doubted() {
                continue 'round;
            }
            let look = Look { shared: &shared, binding };
            look.at_all().await;
            litter::clear(&shared, binding).await;
            let every = shared.options.login_every;
            let tried_at = tried.entry(binding.group.clone()).or_insert_with(Instant::now);
            if !every.is_zero() && tried_at.elapsed() >= every {
                *tried_at = Instant::now();
                look.at_target().await;
            }
        }
        tried.retain(|group, _| shared.binding(group).is_some());
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

/// What a login with the value in force shows.
pub(crate) enum InForce {
    /// It is accepted, or there is nothing to try.
    Stands,
    /// The main endpoint refuses it, and lets our own user in.
    Refused,
    /// The main endpoint accepts it, and another one does not: this one, and what to do.
    RefusedAt(Fault),
}

impl Shared {
    /// Tries, where nothing rotates, whether the target accepts what is in force. A fault if nobody can tell.
    pub(crate) async fn in_force(&self, binding: &Binding, row: &Row) -> Result<InForce, Fault> {
        let at_rest = row.live().is_none() && !row.heads.is_empty();
        let asked = binding.target.capability().slots != Slots::Nowhere;
        let Some(who) = row.current.filter(|_| at_rest && asked) else { return Ok(InForce::Stands) };
        let state = &self.ports.state;
        let call = Call::look(Whom::State, "candidate");
        let sealed = self.calls.make(call, || state.candidate(&row.group, who.generation, who.candidate)).await?;
        let Some(value) = sealed else { return Ok(InForce::Stands) };
        let target = &binding.target;
        let call = Call::look(Whom::Target(&binding.target_name), "verify");
        // Without another generation, our own user is what shows that it is the value that is refused.
        let Verdict::Refused { endpoint } = self.calls.make(call, || target.verify(who, &value, None)).await? else {
            return Ok(InForce::Stands);
        };
        let call = Call::look(Whom::Target(&binding.target_name), "probe");
        Ok(match self.calls.make(call, || target.probe(who, &value, None)).await? {
            Probe::Accepted => InForce::RefusedAt(refused_at(&endpoint)),
            Probe::Refused | Probe::Unknown => InForce::Refused,
        })
    }
}

/// A look at the stores and the target of a group.
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

    /// Whether the target still accepts what is in force. Who could not look does not know, and says nothing.
    async fn at_target(&self) {
        let Self { shared, binding } = self;
        let Some(row) = self.at_rest().await else { return };
        if let Ok(InForce::Refused) = shared.in_force(binding, &row).await
            // Where a rotation began meanwhile, this one is refused by right: its row has moved on.
            && let Err(fault) = shared.commit_doubt(&row, Doubt::TargetChanged).await
            && fault.kind != FaultKind::Fenced
        {
            tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::STATE_FAILED);
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

/// One endpoint is not of the others' time, or has rules of its own: a candidate would not pass there either.
fn refused_at(endpoint: &str) -> Fault {
    let detail = format!(
        "endpoint {endpoint} refuses the credential that is in force, and the main one accepts it: find out why before it \
         is rotated (a replica that lags or was set back, an access rule)"
    );
    Fault::untouched(FaultKind::Unauthenticated, detail)
}
