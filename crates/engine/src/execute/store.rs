//! Effects at the stores.

use handover_core::port::{Head, Value};
use handover_core::{Effect, EffectId, Fact, Fault, FaultKind, Occupant, Publication, StoreId, StoreVersion, Touched};

use super::{Executor, Learnt};
use crate::call::{Call, Whom};

/// A pointer move.
pub(super) struct Pointing<'a> {
    pub(super) store: &'a StoreId,
    pub(super) value: Occupant,
    pub(super) publication: Publication,
    pub(super) expect: &'a Option<StoreVersion>,
}

impl Executor<'_> {
    pub(super) async fn head_fact(&self, store: &StoreId) -> Result<Fact, Fault> {
        Ok(as_fact(store, self.head(store).await?))
    }

    /// Puts the value and moves the pointer, at the expected version only. A refused or doubtful write is read back:
    /// if the head bears our publication it is ours and the reply was lost (R4).
    pub(super) async fn point(
        &self,
        effect: &Effect,
        id: &EffectId,
        pointing: &Pointing<'_>,
        probe_first: bool,
    ) -> Learnt {
        if probe_first {
            match self.head(pointing.store).await {
                Ok(head) if version(head.as_ref()) == pointing.expect.as_ref() => {}
                Ok(head) => return Learnt::fact(pointing.read_back(head)),
                Err(fault) => return Learnt { doubtful: true, ..Learnt::fault(effect, fault) },
            }
        }
        let fault = match self.put_and_point(id, pointing).await {
            Ok(version) => {
                let fact = Fact::Pointed { store: pointing.store.clone(), version };
                let entries = self.promoted(pointing.store, pointing.value).await.into_iter().collect();
                return Learnt { entries, ..Learnt::fact(fact) };
            }
            Err(fault) => fault,
        };
        if fault.kind != FaultKind::Conflict && fault.touched == Touched::Nothing {
            return Learnt::fault(effect, fault);
        }
        match self.head(pointing.store).await {
            Ok(head) if version(head.as_ref()) != pointing.expect.as_ref() => Learnt::fact(pointing.read_back(head)),
            // Nothing has landed, or nobody can tell: the write may still be on its way, so the next try looks first.
            Ok(_) | Err(_) => Learnt { doubtful: true, ..Learnt::fault(effect, fault) },
        }
    }

    async fn put_and_point(&self, id: &EffectId, pointing: &Pointing<'_>) -> Result<StoreVersion, Fault> {
        let store = pointing.store;
        let port = self.store(store)?;
        let binding = &self.current.binding;
        let group = &self.current.row.group;
        let secret = self.value(pointing.value).await?;
        let fields = (binding.publish_fields)(pointing.value.slot);
        let value = Value { id, who: pointing.value, fields: &fields, secret: &secret };
        self.shared
            .calls
            .make(Call::act(Whom::Store(store), "put"), || port.put(group, &value))
            .await
            // A value that is put is not current yet: whatever came of it, the pointer has not moved.
            .map_err(|fault| Fault { touched: Touched::Nothing, ..fault })?;
        self.shared
            .calls
            .make(Call::act(Whom::Store(store), "point"), || {
                port.point(group, &value, pointing.publication, pointing.expect.as_ref())
            })
            .await
    }

    async fn head(&self, store: &StoreId) -> Result<Option<Head>, Fault> {
        let port = self.store(store)?;
        let group = &self.current.row.group;
        self.shared.calls.make(Call::look(Whom::Store(store), "head"), || port.head(group)).await
    }

    pub(super) fn store(&self, store: &StoreId) -> Result<&dyn handover_core::port::SecretStore, Fault> {
        self.current.binding.stores.get(store).map(AsRef::as_ref).ok_or_else(|| {
            Fault::untouched(
                FaultKind::Misconfigured,
                format!(
                    "store {store} is part of the running rotation and not configured any more: configure it again"
                ),
            )
        })
    }
}

impl Pointing<'_> {
    fn read_back(&self, head: Option<Head>) -> Fact {
        match head {
            Some(head) if head.publication == Some(self.publication) => {
                Fact::Pointed { store: self.store.clone(), version: head.version }
            }
            head => as_fact(self.store, head),
        }
    }
}

fn version(head: Option<&Head>) -> Option<&StoreVersion> {
    head.map(|head| &head.version)
}

fn as_fact(store: &StoreId, head: Option<Head>) -> Fact {
    let (version, ours) = head.map_or((None, None), |head| (Some(head.version), head.publication));
    Fact::Head { store: store.clone(), version, ours }
}
