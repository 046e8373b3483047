//! What an effect does to the world, and what is learnt from it.

use handover_core::{
    Effect, Fact, Fault, FaultKind, Generation, Mark, Member, Occupant, Publication, Reach, Role, RollCall, StoreId,
    StoreVersion, Tally,
};

use super::world::{Content, Life, Value, World};

impl World {
    /// Acts or looks. A value that is minted goes into `minted`, as in the memory of a process.
    pub(super) fn perform(&mut self, effect: &Effect, minted: &mut Option<Value>) -> Fact {
        match effect {
            Effect::Seal { .. } => {
                self.minted += 1;
                *minted = Some(self.minted);
                Fact::Sealed
            }
            Effect::Sweep { .. } | Effect::Mint { .. } => {
                fault(effect, Fault::untouched(FaultKind::Unsupported, "the simulated target mints nothing"))
            }
            Effect::PutStaged { store, who } => self.stage(effect, store, *who),
            Effect::EnsureAccepted { who, mark } => self.accept(effect, *who, *mark, Fact::Accepted(who.generation)),
            Effect::Login { who } => self.login(effect, *who),
            Effect::Check { who } => self.check(effect, *who),
            Effect::Head { store } => self.head(effect, store),
            Effect::Point { store, value, publication, expect } => {
                self.point(effect, store, *value, *publication, expect.as_ref())
            }
            Effect::CountAdoption { role, .. } => self.call_roll(*role),
            Effect::CountUse { of } => self.count_use(of),
            Effect::EndSessions { .. } if !self.target.up => unreachable(effect, "the target"),
            Effect::EndSessions { of } => {
                for consumer in self.consumers.values_mut().filter(|consumer| consumer.life == Life::Alive) {
                    // It dials again, with what it holds.
                    if consumer.sessions.iter().any(|session| of.contains(session)) {
                        consumer.sessions = consumer.held.iter().map(|(_, value)| *value).collect();
                    }
                }
                Fact::SessionsEnded
            }
            Effect::EnsureRefused { who, mark } => {
                self.set_enabled(effect, *who, *mark, false, Fact::Refused(who.generation))
            }
            Effect::ProveRefused { .. } if !self.target.up => unreachable(effect, "the target"),
            Effect::ProveRefused { who } if self.accepts(*who) => {
                fault(effect, Fault::untouched(FaultKind::Conflict, "it is still let in"))
            }
            Effect::ProveRefused { who } => Fact::Refused(who.generation),
            Effect::PutBack { who, mark } => self.accept(effect, *who, *mark, Fact::PutBack(who.generation)),
            Effect::Discard { who } => {
                self.unstage(*who);
                if self.target.nowhere {
                    self.target.places.remove(&who.slot);
                }
                Fact::Discarded(who.generation)
            }
            Effect::Release { who, mark } => {
                self.set_enabled(effect, *who, *mark, true, Fact::Released(who.generation))
            }
            Effect::Destroy { who, mark } => self.forget(effect, *who, *mark, Fact::Destroyed(who.generation)),
            Effect::Revoke { who, mark } => {
                self.unstage(*who);
                self.forget(effect, *who, *mark, Fact::Revoked(who.generation))
            }
        }
    }

    /// What a look concludes instead of an act whose outcome is in doubt: never Release or Revoke, and *refused* or
    /// *forgotten* only where the slot bears a mark of this rotation. `None`: act.
    pub(super) fn probe(&self, effect: &Effect) -> Option<Fact> {
        let place = |who: Occupant| self.target.places.get(&who.slot);
        let ours = |who: Occupant, mark: Mark| {
            place(who).and_then(|place| place.mark).is_some_and(|stands| stands.generation == mark.generation)
        };
        match effect {
            Effect::EnsureAccepted { who, .. } if self.target.up => {
                self.accepts(*who).then_some(Fact::Accepted(who.generation))
            }
            Effect::EnsureRefused { who, mark } if self.target.up => {
                (!self.accepts(*who) && ours(*who, *mark)).then_some(Fact::Refused(who.generation))
            }
            Effect::Destroy { who, mark } if self.target.up => {
                let gone = place(*who).is_none_or(|place| place.value.is_none());
                (gone && ours(*who, *mark)).then_some(Fact::Destroyed(who.generation))
            }
            Effect::PutStaged { .. }
            | Effect::EnsureAccepted { .. }
            | Effect::EnsureRefused { .. }
            | Effect::Destroy { .. }
            | Effect::Seal { .. }
            | Effect::Sweep { .. }
            | Effect::Mint { .. }
            | Effect::Login { .. }
            | Effect::Check { .. }
            | Effect::Head { .. }
            | Effect::Point { .. }
            | Effect::CountAdoption { .. }
            | Effect::CountUse { .. }
            | Effect::EndSessions { .. }
            | Effect::ProveRefused { .. }
            | Effect::PutBack { .. }
            | Effect::Discard { .. }
            | Effect::Release { .. }
            | Effect::Revoke { .. } => None,
        }
    }

    fn accept(&mut self, effect: &Effect, who: Occupant, mark: Mark, done: Fact) -> Fact {
        if !self.target.up {
            return unreachable(effect, "the target");
        }
        if self.target.rejections > 0 {
            self.target.rejections -= 1;
            return fault(effect, Fault::untouched(FaultKind::Rejected, "the target's policy rejects the value"));
        }
        let Some(value) = self.sealed.get(&(who.generation, who.candidate)).copied() else {
            return fault(effect, Fault::untouched(FaultKind::Bug, "no value is sealed for the candidate"));
        };
        self.target.remember(who);
        match self.target.fenced(who.slot, mark) {
            Some(place) => {
                place.value = Some((who, value));
                place.enabled = true;
                done
            }
            None => fenced(effect),
        }
    }

    fn login(&self, effect: &Effect, who: Occupant) -> Fact {
        if !self.target.up {
            unreachable(effect, "the target")
        } else if self.target.refuses_login || !self.accepts(who) {
            Fact::Refused(who.generation)
        } else if self.target.lacks_grant {
            fault(effect, Fault::untouched(FaultKind::Unfit, "the candidate lacks a grant that the current one has"))
        } else {
            Fact::LoggedIn(who.generation)
        }
    }

    /// What is checked after publishing is the target's login here: the simulated world has nothing else to ask.
    fn check(&self, effect: &Effect, who: Occupant) -> Fact {
        if !self.target.up {
            unreachable(effect, "the target")
        } else if self.target.refuses_login || !self.accepts(who) {
            fault(effect, Fault::untouched(FaultKind::Unfit, "the check failed: the target refuses it"))
        } else {
            Fact::Checked(who.generation)
        }
    }

    fn head(&self, effect: &Effect, store: &StoreId) -> Fact {
        match self.shelves.get(store).filter(|shelf| shelf.up) {
            None => unreachable(effect, &format!("store {store}")),
            Some(shelf) => {
                let ours = match shelf.content {
                    Content::Ours { publication, .. } => Some(publication),
                    Content::Nothing | Content::Foreign => None,
                };
                Fact::Head { store: store.clone(), version: shelf.version(), ours }
            }
        }
    }

    /// A write that is refused is read back: what is found becomes the next expectation, once it is committed.
    fn point(
        &mut self,
        effect: &Effect,
        store: &StoreId,
        value: Occupant,
        publication: Publication,
        expect: Option<&StoreVersion>,
    ) -> Fact {
        let Some(shelf) = self.shelves.get_mut(store).filter(|shelf| shelf.up) else {
            return unreachable(effect, &format!("store {store}"));
        };
        if shelf.version().as_ref() != expect {
            return self.head(effect, store);
        }
        shelf.change(Content::Ours { publication, value });
        shelf.staged.take_if(|staged| *staged == value);
        match shelf.version() {
            Some(version) => Fact::Pointed { store: store.clone(), version },
            None => self.head(effect, store),
        }
    }

    /// Keeps the candidate apart and reads it back.
    fn stage(&mut self, effect: &Effect, store: &StoreId, who: Occupant) -> Fact {
        match self.shelves.get_mut(store).filter(|shelf| shelf.up) {
            None => unreachable(effect, &format!("store {store}")),
            Some(shelf) if shelf.garbles > 0 => {
                shelf.garbles -= 1;
                let words = format!("store {store} gives back something else than what was staged there");
                fault(effect, Fault::untouched(FaultKind::Conflict, words))
            }
            Some(shelf) => {
                shelf.staged = Some(who);
                Fact::Staged { store: store.clone(), who }
            }
        }
    }

    /// The stores forget what is staged of a generation.
    fn unstage(&mut self, who: Occupant) {
        for shelf in self.shelves.values_mut() {
            shelf.staged.take_if(|staged| staged.generation == who.generation);
        }
    }

    fn call_roll(&self, role: Role) -> Fact {
        Fact::Adoption { role, call: self.roll(role) }
    }

    /// Who is expected in a role, and how far each got.
    pub(super) fn roll(&self, role: Role) -> RollCall {
        let called = self.consumers.iter().filter(|(_, consumer)| {
            consumer.life != Life::Excused
                && match role {
                    Role::Presenter => consumer.presents,
                    Role::Verifier => consumer.verifies,
                }
        });
        let members = called
            .map(|(name, consumer)| {
                let acked = match role {
                    Role::Presenter => consumer.acked,
                    Role::Verifier => consumer.verified,
                };
                Member { consumer: name.clone(), acked: acked.map(|publication| (publication, Reach::Loaded)) }
            })
            .collect();
        RollCall { members, complete: self.roll_complete }
    }

    fn count_use(&self, of: &[Occupant]) -> Fact {
        if !self.target.up || !self.evidence_known {
            return Fact::Use(Tally::Unknown);
        }
        let alive = self.consumers.values().filter(|consumer| consumer.life == Life::Alive);
        let uses: usize = alive.map(|consumer| consumer.sessions.iter().filter(|who| of.contains(who)).count()).sum();
        Fact::Use(match u32::try_from(uses) {
            Ok(0) => Tally::None,
            Ok(uses) => Tally::Some(uses),
            Err(_) => Tally::Some(u32::MAX),
        })
    }

    fn set_enabled(&mut self, effect: &Effect, who: Occupant, mark: Mark, enabled: bool, done: Fact) -> Fact {
        if !self.target.up {
            return unreachable(effect, "the target");
        }
        match self.target.fenced(who.slot, mark) {
            Some(place) => {
                place.enabled = enabled;
                done
            }
            None => fenced(effect),
        }
    }

    /// The mark outlives what it was left on.
    fn forget(&mut self, effect: &Effect, who: Occupant, mark: Mark, done: Fact) -> Fact {
        if !self.target.up {
            return unreachable(effect, "the target");
        }
        match self.target.fenced(who.slot, mark) {
            Some(place) => {
                place.value = None;
                place.enabled = false;
                done
            }
            None => fenced(effect),
        }
    }
}

/// The answer that never came.
pub(super) fn lost_reply(effect: &Effect) -> Fact {
    fault(effect, Fault::unknown(FaultKind::TimedOut, "the reply was lost"))
}

/// What an effect is about, for traces.
pub(super) fn subject(effect: &Effect) -> String {
    let generations = |of: &[Occupant]| {
        let numbers: Vec<String> = of.iter().map(|who| who.generation.to_string()).collect();
        format!("of {}", numbers.join(", "))
    };
    let generation = |generation: Generation| format!("generation {generation}");
    match effect {
        Effect::Seal { to } => generation(to.generation),
        Effect::Sweep { to, .. } => format!("below {to}"),
        Effect::Mint { who, .. }
        | Effect::EnsureAccepted { who, .. }
        | Effect::Login { who }
        | Effect::Check { who }
        | Effect::EnsureRefused { who, .. }
        | Effect::ProveRefused { who }
        | Effect::PutBack { who, .. }
        | Effect::Discard { who }
        | Effect::Release { who, .. }
        | Effect::Destroy { who, .. }
        | Effect::Revoke { who, .. } => generation(who.generation),
        Effect::Head { store } => format!("store {store}"),
        Effect::PutStaged { store, who } => format!("generation {} in store {store}", who.generation),
        Effect::Point { store, value, publication, .. } => {
            format!("store {store} to generation {}, publication {publication}", value.generation)
        }
        Effect::CountAdoption { publication, role } => {
            format!("of publication {publication} by each {}", crate::words::role(*role))
        }
        Effect::CountUse { of } | Effect::EndSessions { of } => generations(of),
    }
}

fn fault(effect: &Effect, fault: Fault) -> Fact {
    Fact::Fault { effect: effect.kind(), fault }
}

fn unreachable(effect: &Effect, whom: &str) -> Fact {
    fault(effect, Fault::untouched(FaultKind::Unreachable, format!("{whom} cannot be reached")))
}

fn fenced(effect: &Effect) -> Fact {
    fault(effect, Fault::untouched(FaultKind::Fenced, "a higher mark stands in the slot"))
}
