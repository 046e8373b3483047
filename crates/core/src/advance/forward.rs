//! The way forward, phase by phase.

use std::collections::BTreeSet;

use super::{Draft, Refusal, tick_off};
use crate::effect::{Fact, Role, Tally};
use crate::id::{Generation, StoreId};
use crate::mint::Minter;
use crate::model::{Outcome, Phase, Pointer, Pointers, Roll};
use crate::time::Waited;
use crate::waves::Opened;

/// What Drain has seen so far.
pub(super) struct Draining {
    pub(super) quiet: Waited,
    pub(super) tally: Tally,
    pub(super) overlap: Waited,
    pub(super) presenters: Roll,
}

impl Draft<'_> {
    pub(super) fn stage(&mut self, fact: &Fact) -> Result<(), Refusal> {
        match (fact, self.plan.minter) {
            _ if !self.approved() => Err(Refusal::Unapproved),
            (Fact::Sealed, Minter::Us) | (Fact::Swept, Minter::Provider) => {
                self.enter(Phase::Apply { staged: BTreeSet::new() });
                Ok(())
            }
            _ => Err(Refusal::Stale),
        }
    }

    pub(super) fn apply(&mut self, fact: &Fact, mut staged: BTreeSet<StoreId>) -> Result<(), Refusal> {
        let to = self.rotation.to;
        if let Fact::Staged { store, who } = fact {
            // Only a copy that was read back counts, and only that of the present candidate.
            if *who != to || self.plan.unstaged(&staged).all(|missing| missing != store) {
                return Err(Refusal::Stale);
            }
            staged.insert(store.clone());
            self.rotation.phase = Phase::Apply { staged };
            return Ok(());
        }
        if self.plan.unstaged(&staged).next().is_some() {
            return Err(Refusal::Stale);
        }
        let to = to.generation;
        match (fact, self.plan.minter) {
            // A probe that finds it accepted concludes nothing where the provider mints: the value may be lost.
            (Fact::Accepted(generation), Minter::Us) | (Fact::Minted(generation), Minter::Provider)
                if *generation == to =>
            {
                if self.plan.verifiers {
                    self.enter(Phase::Verify { passes: 0, reapply: false, verifiers: Roll::Uncalled });
                } else if self.plan.passes_min > 0 {
                    self.enter(Phase::Verify { passes: 0, reapply: false, verifiers: Roll::All });
                } else {
                    self.enter_publish();
                }
                Ok(())
            }
            (Fact::Lost, Minter::Provider) => {
                self.void_candidate();
                Ok(())
            }
            _ => Err(Refusal::Stale),
        }
    }

    pub(super) fn verify(&mut self, fact: &Fact, passes: u32, reapply: bool, verifiers: Roll) -> Result<(), Refusal> {
        let to = self.rotation.to.generation;
        let (passes, reapply, verifiers) = match fact {
            Fact::LoggedIn(generation) if *generation == to => {
                ((passes + 1).min(self.plan.passes_min), false, verifiers)
            }
            // The target lost the change, by a failover say: the same candidate again, while the deadline runs on.
            // What a provider minted cannot be applied again; it may be slow to let in what it has just minted.
            Fact::Refused(generation) if *generation == to => (0, self.plan.minter == Minter::Us, verifiers),
            Fact::Accepted(generation) if *generation == to => (passes, false, verifiers),
            // Verifiers acknowledge ahead: the publication under which this rotation is going to publish.
            // The last round may have been long ago by then: one more has to pass after the verifiers were done.
            Fact::Adoption { role: Role::Verifier, call } => {
                let verifiers = self.roll(call, self.row.publication.next());
                let last = if verifiers == Roll::All { self.plan.passes_min.saturating_sub(1) } else { passes };
                (passes.min(last), reapply, verifiers)
            }
            _ => return Err(Refusal::Stale),
        };
        if passes >= self.plan.passes_min && !reapply && verifiers == Roll::All {
            self.enter_publish();
        } else {
            self.rotation.phase = Phase::Verify { passes, reapply, verifiers };
        }
        Ok(())
    }

    /// Pointers start from what each store held when we last wrote to it, so that a change by somebody else is
    /// noticed as drift and never written over. Only a store that we never wrote to is read first.
    pub(super) fn enter_publish(&mut self) {
        self.row.publication = self.row.publication.next();
        let pointers = self
            .plan
            .stores
            .iter()
            .map(|store| {
                let known = self.row.heads.get(store).cloned();
                (store.clone(), known.map_or(Pointer::Unread, |version| Pointer::Expect(Some(version))))
            })
            .collect();
        self.enter(Phase::Publish { pointers: Pointers(pointers) });
    }

    pub(super) fn publish(&mut self, fact: &Fact, mut pointers: Pointers) -> Result<(), Refusal> {
        self.point(fact, &mut pointers)?;
        if pointers.landed() {
            let opened = Opened::at_first(self.plan, self.rotation.from.is_none());
            self.enter(Phase::Propagate { presenters: self.presenters(), passes: 0, opened });
            self.propagated();
        } else {
            self.rotation.phase = Phase::Publish { pointers };
        }
        Ok(())
    }

    pub(super) fn enter_drain(&mut self, presenters: Roll) {
        if self.rotation.retiring().is_empty() {
            self.end(Outcome::Success);
        } else if self.rotation.leaving().is_empty() {
            self.enter_disable(presenters);
        } else {
            let (quiet, overlap) = (Waited::default(), Waited::default());
            self.enter(Phase::Drain { quiet, tally: Tally::Unknown, overlap, presenters });
        }
    }

    pub(super) fn drain(&mut self, fact: &Fact, mut seen: Draining) -> Result<(), Refusal> {
        match fact {
            Fact::Adoption { role: Role::Presenter, call } => {
                seen.presenters = self.roll(call, self.row.publication);
                if !self.plan.has_target() {
                    seen.overlap = self.overlapped(&seen);
                }
            }
            Fact::Use(tally) => {
                seen.tally = *tally;
                seen.quiet = self.quiet(seen.quiet, *tally);
                seen.overlap = self.overlapped(&seen);
            }
            Fact::SessionsEnded => {}
            _ => return Err(Refusal::Stale),
        }
        // Only on a look of now: a hold, or a time when nobody ran, may lie between the last one and another fact.
        let unused = match fact {
            Fact::Use(_) if !self.plan.waits_for_use() => true,
            Fact::Use(Tally::None) => seen.quiet.reached(self.plan.quiet_min),
            // All that can be known where there is no target.
            Fact::Adoption { .. } => !self.plan.has_target(),
            _ => false,
        };
        let moved = seen.overlap.reached(self.plan.overlap_min) && seen.presenters == Roll::All;
        if unused && moved && self.approved() {
            self.enter_disable(seen.presenters);
        } else {
            let Draining { quiet, tally, overlap, presenters } = seen;
            self.rotation.phase = Phase::Drain { quiet, tally, overlap, presenters };
        }
        Ok(())
    }

    /// A presenter that is behind, or joined late, has not had its overlap yet.
    fn overlapped(&self, seen: &Draining) -> Waited {
        if seen.presenters == Roll::All {
            seen.overlap.observed(self.now, self.plan.poll, self.plan.overlap_min)
        } else {
            seen.overlap.interrupted()
        }
    }

    /// Where there is no target, nobody can be made to refuse. Where the provider mints there is no brake: nothing would
    /// fence its late return. Where nothing is verified, nothing is proved either of what was written over: the write is
    /// all there is.
    pub(super) fn enter_disable(&mut self, presenters: Roll) {
        let unproved = self.plan.passes_min == 0 && self.rotation.leaving().is_empty();
        match self.plan.minter {
            Minter::Us if !unproved && self.plan.has_target() => {
                self.enter(Phase::Disable { refused: BTreeSet::new(), held: Waited::default(), presenters });
            }
            Minter::Us | Minter::Provider => self.enter_destroy(),
        }
    }

    pub(super) fn enter_destroy(&mut self) {
        self.enter(Phase::Destroy { gone: BTreeSet::new() });
    }

    pub(super) fn disable(
        &mut self,
        fact: &Fact,
        mut refused: BTreeSet<Generation>,
        mut held: Waited,
        mut presenters: Roll,
    ) -> Result<(), Refusal> {
        let retiring = self.rotation.retiring();
        match fact {
            Fact::Refused(generation) => {
                tick_off(&mut refused, *generation, &retiring)?;
            }
            // Somebody let it in again: the brake is off until it is refused again.
            Fact::Accepted(generation) => {
                refused.remove(generation);
                held = held.interrupted();
            }
            Fact::Adoption { role: Role::Presenter, call } => presenters = self.roll(call, self.row.publication),
            Fact::Use(Tally::None) if self.braked(&refused) && presenters == Roll::All => {
                held = held.observed(self.now, self.plan.poll, self.plan.brake_for);
            }
            Fact::Use(_) => held = held.interrupted(),
            Fact::SessionsEnded => {}
            _ => return Err(Refusal::Stale),
        }
        // Only on a look of now, after the proof: also where the brake is held for no time at all. What was written over
        // has no brake that could be released, and nobody can tell its use from that of the new one.
        let unused = matches!(fact, Fact::Use(Tally::None)) && held.reached(self.plan.brake_for);
        let over = self.rotation.leaving().is_empty() || unused;
        if over && self.braked(&refused) && presenters == Roll::All && self.approved() {
            self.enter_destroy();
        } else {
            self.rotation.phase = Phase::Disable { refused, held, presenters };
        }
        Ok(())
    }

    /// Whether everything that retires is proved to be refused.
    pub(super) fn braked(&self, refused: &BTreeSet<Generation>) -> bool {
        self.rotation.retiring().iter().all(|occupant| refused.contains(&occupant.generation))
    }

    pub(super) fn destroy(&mut self, fact: &Fact, mut gone: BTreeSet<Generation>) -> Result<(), Refusal> {
        let generation = match (fact, self.plan.minter) {
            (Fact::Destroyed(generation) | Fact::Discarded(generation), Minter::Us) => generation,
            (Fact::Swept, Minter::Provider) => {
                self.end(Outcome::Success);
                return Ok(());
            }
            _ => return Err(Refusal::Stale),
        };
        if tick_off(&mut gone, *generation, &self.rotation.retiring())? {
            self.end(Outcome::Success);
        } else {
            self.rotation.phase = Phase::Destroy { gone };
        }
        Ok(())
    }
}
