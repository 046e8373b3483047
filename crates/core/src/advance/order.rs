//! What people ask of a live rotation (R9).

use super::{Draft, Refusal};
use crate::effect::Order;
use crate::id::StoreId;
use crate::model::{Cause, Hold, Phase, Pointer, Pointers, Undo};
use crate::time::Waited;
use crate::waves::Opened;

impl Draft<'_> {
    pub(super) fn order(&mut self, order: Order) -> Result<(), Refusal> {
        match order {
            Order::Hold => {
                self.rotation.hold.get_or_insert(Hold::Ordered);
                Ok(())
            }
            Order::Resume => self.resume(),
            Order::Rollback => {
                self.way_back()?;
                self.roll_back(Cause::Ordered);
                Ok(())
            }
            Order::Abandon => {
                if !self.untouched() {
                    return Err(Refusal::Touched);
                }
                self.roll_back(Cause::Abandoned);
                Ok(())
            }
            Order::Force => self.force(),
        }
    }

    /// Goes on from a hold. The deadline's time starts anew, or it would hold again at once.
    fn resume(&mut self) -> Result<(), Refusal> {
        let hold = self.rotation.hold.take().ok_or(Refusal::NotHeld)?;
        self.rotation.elapsed = Waited::default();
        // What passed before the hold may be long ago.
        if let Phase::Verify { passes, .. } | Phase::Propagate { passes, .. } = &mut self.rotation.phase {
            *passes = 0;
        }
        self.stop_soaking(false);
        match hold {
            Hold::Drift(store) => self.reassert(&store),
            Hold::CandidatesSpent => self.next_candidate(),
            Hold::Ordered | Hold::Unfit | Hold::Deadline | Hold::ForceWanted => {}
        }
        Ok(())
    }

    fn reassert(&mut self, store: &StoreId) {
        if let Phase::Publish { pointers } | Phase::Rollback(Undo::Unpublish { pointers }) = &mut self.rotation.phase {
            let Pointers(pointers) = pointers;
            pointers.insert(store.clone(), Pointer::Reassert);
        }
    }

    /// Stops waiting for people and for use. Never for a proof: what must be refused has to be refused, and what was
    /// not verified is not published. The deadline's time starts anew, as in [`Self::resume`].
    pub(super) fn force(&mut self) -> Result<(), Refusal> {
        match &self.rotation.phase {
            Phase::Verify { passes, reapply: false, .. } if *passes >= self.plan.passes_min => self.enter_publish(),
            // Nobody has read it yet: a wave that was not watched shows nothing.
            Phase::Propagate { opened: Opened::Nobody, .. } => return Err(Refusal::NotForceable),
            Phase::Propagate { presenters, passes, opened } if *passes >= self.plan.passes_after_publish() => {
                match opened {
                    Opened::All | Opened::Nobody => self.enter_drain(presenters.clone()),
                    Opened::Wave { .. } => self.open_next(),
                }
            }
            Phase::Drain { .. } | Phase::Disable { .. } if !self.approved() => return Err(Refusal::Unapproved),
            Phase::Drain { presenters, .. } => self.enter_disable(presenters.clone()),
            Phase::Disable { refused, .. } if self.braked(refused) => {
                self.enter_destroy();
            }
            Phase::Rollback(Undo::Return { .. }) => self.enter_quiet(self.presenters()),
            Phase::Rollback(Undo::Quiet { .. }) => self.enter_revoke(),
            Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Disable { .. }
            | Phase::Destroy { .. }
            | Phase::Rollback(Undo::Release | Undo::PutBack { .. } | Undo::Unpublish { .. } | Undo::Revoke { .. })
            | Phase::Done(_) => return Err(Refusal::NotForceable),
        }
        self.rotation.hold = None;
        self.rotation.elapsed = Waited::default();
        Ok(())
    }
}
