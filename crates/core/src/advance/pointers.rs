//! Moving pointers, forward and back: the same step.

use super::{Draft, Refusal};
use crate::effect::Fact;
use crate::id::{Publication, StoreId, StoreVersion};
use crate::model::{Doubt, Hold, Pointer, Pointers};

impl Draft<'_> {
    /// What a store answered. A write that was refused is read back: if the head bears our publication it is ours, and
    /// the reply was lost; otherwise the new version becomes the expectation, and is committed before the next try (R4).
    pub(super) fn point(&mut self, fact: &Fact, pointers: &mut Pointers) -> Result<(), Refusal> {
        let (store, next) = match fact {
            Fact::Pointed { store, version } => (store, Some(Pointer::Landed(version.clone()))),
            Fact::Head { store, version, ours } => {
                let before = pointers.0.get(store).ok_or(Refusal::Stale)?;
                (store, self.read_back(store, before, version.as_ref(), *ours))
            }
            _ => return Err(Refusal::Stale),
        };
        let pointer = pointers.0.get_mut(store).ok_or(Refusal::Stale)?;
        if let Some(next) = next {
            if let Pointer::Landed(version) = &next {
                self.row.heads.insert(store.clone(), version.clone());
            }
            *pointer = next;
        }
        Ok(())
    }

    fn read_back(
        &mut self,
        store: &StoreId,
        before: &Pointer,
        version: Option<&StoreVersion>,
        ours: Option<Publication>,
    ) -> Option<Pointer> {
        let publication = self.row.publication;
        match (before, version) {
            (Pointer::Landed(_), _) => None,
            (Pointer::Reassert, _) => Some(Pointer::Expect(version.cloned())),
            (Pointer::Expect(expected), _) if expected.as_ref() == version => None,
            (_, Some(version)) if ours == Some(publication) => Some(Pointer::Landed(version.clone())),
            // A write of ours, from an earlier pointer move, landed late.
            (_, Some(version)) if ours.is_some_and(|theirs| theirs < publication) => {
                Some(Pointer::Expect(Some(version.clone())))
            }
            // Ours, and of a future that this record does not know.
            (_, Some(_)) if ours.is_some() => {
                self.row.doubt = Some(Doubt::StoreAhead(store.clone()));
                None
            }
            (Pointer::Unread, None) => Some(Pointer::Expect(None)),
            // Not ours, or deleted: never written over without being told.
            (Pointer::Unread | Pointer::Expect(_), Some(_) | None) => {
                self.rotation.hold = Some(Hold::Drift(store.clone()));
                None
            }
        }
    }
}
