//! The way back. It undoes what *may* have been touched, not what is known to have been (R3).

use std::collections::BTreeSet;

use super::{Draft, Refusal, tick_off};
use crate::effect::{Fact, Role, Tally};
use crate::id::Candidate;
use crate::mint::Minter;
use crate::model::{Cause, Outcome, Phase, Pointer, Pointers, Roll, Undo};
use crate::time::Waited;

impl Draft<'_> {
    /// Where the way back begins, from where the rotation stands.
    pub(super) fn way_back(&self) -> Result<Phase, Refusal> {
        let published = || {
            if self.rotation.from.is_none() { Err(Refusal::NothingToReturnTo) } else { Ok(()) }
        };
        // What accepts comes first, on the way back too: the stores point to what is accepted again.
        let in_place = self.rotation.replaces_in_place();
        let put_back = |pointers| Ok(Phase::Rollback(Undo::PutBack { pointers }));
        match &self.rotation.phase {
            Phase::Stage if self.untouched() && self.rotation.owed.is_empty() => Ok(Phase::Done(Outcome::Abandoned)),
            // A superseded rotation may have left its value at the target, and its pointers in the stores.
            Phase::Stage | Phase::Apply { .. } | Phase::Verify { .. } if in_place => {
                put_back((!self.rotation.owed.is_empty()).then(|| self.pointing_back(None)))
            }
            Phase::Publish { pointers } if in_place => put_back(Some(self.pointing_back(Some(pointers)))),
            Phase::Propagate { .. } | Phase::Drain { .. } | Phase::Disable { .. } if in_place => {
                put_back(Some(self.pointing_back(None)))
            }
            Phase::Stage | Phase::Apply { .. } | Phase::Verify { .. } => Ok(self.unpublished()),
            Phase::Publish { pointers } => published().map(|()| self.unpublish(Some(pointers))),
            Phase::Propagate { .. } | Phase::Drain { .. } => published().map(|()| self.unpublish(None)),
            Phase::Disable { .. } => published().map(|()| Phase::Rollback(Undo::Release)),
            Phase::Destroy { .. } => Err(Refusal::PastReturn),
            Phase::Rollback(_) => Err(Refusal::AlreadyBack),
            Phase::Done(_) => Err(Refusal::NotLive),
        }
    }

    /// An unpublished candidate needs no walking back, save where a debt is still out with consumers.
    fn unpublished(&self) -> Phase {
        if self.rotation.owed.is_empty() {
            Phase::Rollback(Undo::Revoke { gone: BTreeSet::new() })
        } else {
            Phase::Rollback(Undo::Return { presenters: self.presenters() })
        }
    }

    /// Whether nothing outside can have been touched by this rotation: its first candidate is not sealed yet.
    pub(super) fn untouched(&self) -> bool {
        self.rotation.phase == Phase::Stage && self.rotation.to.candidate == Candidate(1)
    }

    /// Starts on the way back; where there is none, the rotation stays.
    pub(super) fn roll_back(&mut self, cause: Cause) {
        if let Ok(phase) = self.way_back() {
            self.rotation.hold = None;
            self.rotation.cause = Some(cause);
            self.go_back(phase);
        }
    }

    /// Enters a phase of the way back, with the publication that it needs.
    fn go_back(&mut self, phase: Phase) {
        if matches!(phase, Phase::Rollback(Undo::Unpublish { .. })) {
            self.row.publication = self.row.publication.next();
        }
        if let Phase::Done(outcome) = phase {
            self.end(outcome);
        } else {
            self.enter(phase);
            // Where nobody is called, no roll call would ever end Return.
            self.returned();
        }
    }

    /// All stores point back, whatever is known of each: a write whose reply was lost may have landed (R3), and a
    /// pointer that seems to be back already is written all the same, so that a late write is refused (R5).
    fn unpublish(&self, left: Option<&Pointers>) -> Phase {
        Phase::Rollback(Undo::Unpublish { pointers: self.pointing_back(left) })
    }

    fn pointing_back(&self, left: Option<&Pointers>) -> Pointers {
        let pointers = self
            .plan
            .stores
            .iter()
            .map(|store| {
                let known = || self.row.heads.get(store).cloned();
                let pointer = match left.and_then(|pointers| pointers.0.get(store)) {
                    Some(Pointer::Landed(version)) => Pointer::Expect(Some(version.clone())),
                    Some(pointer) => pointer.clone(),
                    None => known().map_or(Pointer::Unread, |version| Pointer::Expect(Some(version))),
                };
                (store.clone(), pointer)
            })
            .collect();
        Pointers(pointers)
    }

    pub(super) fn back(&mut self, fact: &Fact, undo: Undo) -> Result<(), Refusal> {
        match undo {
            Undo::Release => match fact {
                Fact::Released(generation) if self.rotation.from.is_some_and(|from| from.generation == *generation) => {
                    self.go_back(self.unpublish(None));
                    Ok(())
                }
                _ => Err(Refusal::Stale),
            },
            Undo::PutBack { pointers } => match fact {
                Fact::PutBack(generation) if self.rotation.from.is_some_and(|from| from.generation == *generation) => {
                    let unpublish = |pointers| Phase::Rollback(Undo::Unpublish { pointers });
                    self.go_back(pointers.map_or_else(|| self.unpublished(), unpublish));
                    Ok(())
                }
                _ => Err(Refusal::Stale),
            },
            Undo::Unpublish { mut pointers } => {
                self.point(fact, &mut pointers)?;
                if pointers.landed() {
                    self.enter(Phase::Rollback(Undo::Return { presenters: self.presenters() }));
                    self.returned();
                } else {
                    self.rotation.phase = Phase::Rollback(Undo::Unpublish { pointers });
                }
                Ok(())
            }
            Undo::Return { .. } => {
                let Fact::Adoption { role: Role::Presenter, call } = fact else { return Err(Refusal::Stale) };
                let presenters = self.roll(call, self.row.publication);
                self.rotation.phase = Phase::Rollback(Undo::Return { presenters });
                self.returned();
                Ok(())
            }
            Undo::Quiet { quiet, tally, presenters } => self.quiet_phase(fact, quiet, tally, presenters),
            Undo::Revoke { mut gone } => {
                let generation = match (fact, self.plan.minter) {
                    (Fact::Revoked(generation) | Fact::Discarded(generation), Minter::Us) => generation,
                    (Fact::Swept, Minter::Provider) => {
                        self.end(Outcome::RolledBack);
                        return Ok(());
                    }
                    _ => return Err(Refusal::Stale),
                };
                if tick_off(&mut gone, *generation, &self.rotation.revoking())? {
                    self.end(Outcome::RolledBack);
                } else {
                    self.rotation.phase = Phase::Rollback(Undo::Revoke { gone });
                }
                Ok(())
            }
        }
    }

    fn returned(&mut self) {
        if let Phase::Rollback(Undo::Return { presenters: Roll::All }) = self.rotation.phase {
            self.enter_quiet(Roll::All);
        }
    }

    pub(super) fn enter_quiet(&mut self, presenters: Roll) {
        if self.rotation.withdrawing().is_empty() {
            return self.enter_revoke();
        }
        self.enter(Phase::Rollback(Undo::Quiet { quiet: Waited::default(), tally: Tally::Unknown, presenters }));
    }

    fn quiet_phase(
        &mut self,
        fact: &Fact,
        mut quiet: Waited,
        mut tally: Tally,
        mut presenters: Roll,
    ) -> Result<(), Refusal> {
        match fact {
            Fact::Adoption { role: Role::Presenter, call } => presenters = self.roll(call, self.row.publication),
            Fact::Use(seen) => {
                tally = *seen;
                quiet = self.quiet(quiet, tally);
            }
            _ => return Err(Refusal::Stale),
        }
        // Only on a look of now, as in Drain.
        let unused = match fact {
            Fact::Use(Tally::None) => quiet.reached(self.plan.quiet_min),
            Fact::Adoption { .. } => !self.plan.has_target(),
            _ => false,
        };
        if unused && presenters == Roll::All {
            self.enter_revoke();
        } else {
            self.rotation.phase = Phase::Rollback(Undo::Quiet { quiet, tally, presenters });
        }
        Ok(())
    }

    pub(super) fn enter_revoke(&mut self) {
        self.enter(Phase::Rollback(Undo::Revoke { gone: BTreeSet::new() }));
    }
}
