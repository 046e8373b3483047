//! Adopting a credential that is in use: the row first, then the label at the target, then the stores, then the row
//! again. It can be cut off anywhere and asked for again.

use std::collections::BTreeMap;
use std::fmt;

use handover_core::port::{Commit, Intent, SecretStore, Value};
use handover_core::{
    Adoption, AdoptionRefusal, Effect, Fault, FaultKind, GroupId, Mark, Occupant, Row, Slot, StoreId, StoreVersion,
    Touched, adopt, adopted, adoption,
};
use handover_secret::Secret;

use crate::call::{Call, Whom};
use crate::handle::Handle;
use crate::history;
use crate::queue::Wake;
use crate::service::Binding;

/// Why nothing was adopted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdoptRefused {
    /// The configuration names no such group.
    UnknownGroup(GroupId),
    /// The core refuses it.
    Refused(AdoptionRefusal),
    /// The state store, the target or a store could not do its part. What was done stays; asked again, it goes on.
    Fault(Fault),
}

impl fmt::Display for AdoptRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup(group) => write!(f, "group {group} is not configured"),
            Self::Refused(refusal) => write!(f, "nothing can be adopted now ({refusal:?})"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for AdoptRefused {}

impl From<Fault> for AdoptRefused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Handle {
    /// How far the adoption of what is in `slot` is, or why there can be none. Changes nothing.
    pub async fn adoption(&self, group: &GroupId, slot: Slot) -> Result<Adoption, AdoptRefused> {
        adoption(&self.row(group).await?, slot).map_err(AdoptRefused::Refused)
    }

    /// Writes to the history that `actor` is about to prepare the target for an adoption. Durable when it returns.
    pub async fn adopting(&self, group: &GroupId, slot: Slot, actor: &str) -> Result<(), AdoptRefused> {
        self.adoption(group, slot).await?;
        let fields = vec![("slot", slot.to_string())];
        let entry = history::adoption(history::ADOPTING, actor, fields, self.shared.now());
        let (state, epoch) = (&self.shared.ports.state, self.shared.epoch());
        self.shared.calls.make(Call::act(Whom::State, "append"), || state.append(group, epoch, entry)).await?;
        Ok(())
    }

    /// Makes `value`, which `slot` accepts already, the generation in force: seals it, labels the slot, publishes it.
    /// The caller has seen that the target accepts the value and is ready for a rotation.
    pub async fn adopt(
        &self,
        group: &GroupId,
        slot: Slot,
        value: &Secret,
        actor: &str,
    ) -> Result<Occupant, AdoptRefused> {
        let binding = self.binding(group).ok_or_else(|| AdoptRefused::UnknownGroup(group.clone()))?;
        let row = self.begun(group, slot, value, actor).await?;
        let Some(who) = row.current else {
            return Err(Fault::untouched(FaultKind::Bug, format!("the adoption of {group} names no generation")).into());
        };
        let mark = Mark { generation: who.generation, version: row.version };
        let id = Effect::EnsureAccepted { who, mark }.id(group, who);
        let (intent, target) = (Intent { id, who, mark }, &binding.target);
        let call = Call::act(Whom::Target(&binding.target_name), "adopt");
        self.shared.calls.make(call, || target.adopt(&intent)).await?;
        let mut heads = BTreeMap::new();
        for (store, port) in binding.stores.iter() {
            heads.insert(store.clone(), self.publish(&binding, &row, who, value, store, port.as_ref()).await?);
        }
        let fields = vec![
            ("generation", who.generation.to_string()),
            ("slot", who.slot.to_string()),
            ("publication", row.publication.to_string()),
        ];
        let done = adopted(&row, heads, self.shared.now());
        self.commit_adoption(&row, done, history::ADOPTED, fields, None, actor).await?;
        self.shared.wake(group, Wake::Changed);
        Ok(who)
    }

    async fn row(&self, group: &GroupId) -> Result<Row, AdoptRefused> {
        if self.binding(group).is_none() {
            return Err(AdoptRefused::UnknownGroup(group.clone()));
        }
        let loaded = self.shared.load(group).await?;
        Ok(loaded.map_or_else(|| Row::new(group.clone()), |loaded| loaded.row.into_inner()))
    }

    /// The committed row that names what is adopted; its sealed value is `value`.
    async fn begun(&self, group: &GroupId, slot: Slot, value: &Secret, actor: &str) -> Result<Row, AdoptRefused> {
        let row = self.row(group).await?;
        if let Adoption::Unfinished(who) = adoption(&row, slot).map_err(AdoptRefused::Refused)? {
            let state = &self.shared.ports.state;
            let call = Call::look(Whom::State, "candidate");
            let sealed = self.shared.calls.make(call, || state.candidate(group, who.generation, who.candidate)).await?;
            if sealed.is_some_and(|sealed| sealed.matches(value)) {
                return Ok(row);
            }
        }
        let next = adopt(&row, slot).map_err(AdoptRefused::Refused)?;
        let sealed = next.current.map(|who| (who.generation, who.candidate, value.duplicate()));
        let fields = next.current.map(|who| ("generation", who.generation.to_string())).into_iter().collect();
        self.commit_adoption(&row, next, history::ADOPTION_SEALED, fields, sealed, actor).await
    }

    async fn commit_adoption(
        &self,
        before: &Row,
        next: Row,
        event: &'static str,
        fields: Vec<(&'static str, String)>,
        candidate: Option<(handover_core::Generation, handover_core::Candidate, Secret)>,
        actor: &str,
    ) -> Result<Row, AdoptRefused> {
        let entries = vec![history::adoption(event, actor, fields, self.shared.now())];
        let commit = Commit { candidate, ..self.shared.change(before, next, entries) };
        Ok(self.shared.commit(Some(before), commit).await?.into_inner())
    }

    /// Publishes what is adopted, and gives the store's version. What is there already is taken for ours only if it
    /// bears the row's publication: a reply was lost. A lower one of ours is an earlier try with a replaced value.
    async fn publish(
        &self,
        binding: &Binding,
        row: &Row,
        who: Occupant,
        secret: &Secret,
        store: &StoreId,
        port: &dyn SecretStore,
    ) -> Result<StoreVersion, Fault> {
        let group = &row.group;
        let head = || self.shared.calls.make(Call::look(Whom::Store(store), "head"), || port.head(group));
        let expect = match head().await? {
            None => None,
            Some(head) => match head.publication {
                Some(publication) if publication == row.publication => return Ok(head.version),
                Some(publication) if publication < row.publication => Some(head.version),
                Some(_) | None => return Err(not_ours(store, group)),
            },
        };
        let effect =
            Effect::Point { store: store.clone(), value: who, publication: row.publication, expect: expect.clone() };
        let fields = (binding.publish_fields)(who.slot);
        let value = Value { id: &effect.id(group, who), who, fields: &fields, secret };
        self.shared.calls.make(Call::act(Whom::Store(store), "put"), || port.put(group, &value)).await?;
        let call = Call::act(Whom::Store(store), "point");
        let pointed =
            self.shared.calls.make(call, || port.point(group, &value, row.publication, expect.as_ref())).await;
        match pointed {
            Ok(version) => Ok(version),
            Err(fault) if fault.kind != FaultKind::Conflict && fault.touched == Touched::Nothing => Err(fault),
            // The reply may be what was lost.
            Err(fault) => match head().await? {
                Some(head) if head.publication == Some(row.publication) => Ok(head.version),
                Some(_) | None => Err(fault),
            },
        }
    }
}

fn not_ours(store: &StoreId, group: &GroupId) -> Fault {
    let detail = format!(
        "store {store} holds a value for {group} that this adoption did not write: move it away, or leave the store out \
         of the group"
    );
    Fault::untouched(FaultKind::Foreign, detail)
}
