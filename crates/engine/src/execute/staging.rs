//! A candidate that is staged: in the stores before anybody accepts it, and read back before anybody gets it.

use std::collections::BTreeSet;

use handover_core::port::{Entry, Value};
use handover_core::{EffectId, Fact, Fault, FaultKind, Generation, Occupant, StoreId, Strategy, Touched};

use super::Executor;
use crate::call::{Call, Whom};
use crate::history;

impl Executor<'_> {
    /// Stages the candidate in a store, and reads it back by its label: what a consumer would get must be what was sealed.
    pub(super) async fn put_staged(&self, id: &EffectId, store: &StoreId, who: Occupant) -> Result<Fact, Fault> {
        let port = self.store(store)?;
        let group = &self.current.row.group;
        let secret = self.value(who).await?;
        let fields = (self.current.binding.publish_fields)(who.slot);
        let value = Value { id, who, fields: &fields, secret: &secret };
        // No consumer sees it: whatever came of it, nothing outside was touched.
        let unseen = |fault: Fault| Fault { touched: Touched::Nothing, ..fault };
        let call = Call::act(Whom::Store(store), "put_staged");
        self.shared.calls.make(call, || port.stage(group, &value)).await.map_err(unseen)?;
        let call = Call::look(Whom::Store(store), "is_staged");
        if self.shared.calls.make(call, || port.is_staged(group, &value)).await? {
            return Ok(Fact::Staged { store: store.clone(), who });
        }
        let detail = format!(
            "store {store} gives back something else than what was staged there for generation {}: it is staged anew, and \
             not published before it is right",
            who.generation
        );
        Err(Fault::untouched(FaultKind::Conflict, detail))
    }

    /// What was staged is current now: the copy goes. One that stays is litter, and the rotation goes on.
    pub(super) async fn promoted(&self, store: &StoreId, who: Occupant) -> Option<Entry> {
        if !self.stages() || who != self.to {
            return None;
        }
        self.cleared(store, who.generation).await
    }

    /// At the end of a rotation: what is staged goes, and what earlier rotations left behind. What this one retires is
    /// taken away by effects of its own.
    pub(super) async fn swept_stores(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let (Some(live), true) = (self.current.row.live(), self.stages()) else { return entries };
        let group = &self.current.row.group;
        let spared: BTreeSet<Generation> = live.retiring().iter().map(|who| who.generation).collect();
        for (store, port) in self.current.binding.stores.iter() {
            entries.extend(self.cleared(store, live.to.generation).await);
            let call = Call::look(Whom::Store(store), "retained");
            // Who cannot look leaves it for the next one.
            let Ok(retained) = self.shared.calls.make(call, || port.retained(group)).await else { continue };
            let left = retained.difference(&spared).filter(|generation| **generation < live.to.generation);
            for generation in left {
                let call = Call::act(Whom::Store(store), "discard");
                let answer = self.shared.calls.make(call, || port.discard(group, *generation)).await;
                entries.extend(answer.err().and_then(|fault| self.litter(store, "discard", &fault)));
            }
        }
        entries
    }

    async fn cleared(&self, store: &StoreId, generation: Generation) -> Option<Entry> {
        let port = self.current.binding.stores.get(store)?;
        let group = &self.current.row.group;
        let call = Call::act(Whom::Store(store), "unstage");
        let answer = self.shared.calls.make(call, || port.unstage(group, generation)).await;
        answer.err().and_then(|fault| self.litter(store, "unstage", &fault))
    }

    /// What could not be cleared away: told, and tried again while nothing rotates.
    pub(super) fn litter(&self, store: &StoreId, what: &'static str, fault: &Fault) -> Option<Entry> {
        let row = &self.current.row;
        self.shared.note(&row.group, what, fault);
        self.shared.litter.found(&row.group);
        row.live().map(|rotation| history::litter(rotation, store.as_str(), fault, self.shared.now()))
    }

    fn stages(&self) -> bool {
        self.current.plan.strategy == Strategy::Staged
    }
}
