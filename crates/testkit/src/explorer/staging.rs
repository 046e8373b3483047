//! What is staged: a copy in each store, apart from what is current, which is promoted as it is.

use handover_core::{Effect, Occupant, StoreId, Strategy};

use super::learnt::Learnt;
use super::mutation::Mutation;
use super::step::Rules;
use super::world::{Executor, Nonce, Value, World};

/// What a store keeps that is not what it was given: nobody lets it in.
const GARBLED: Nonce = Nonce::MAX - 1;

impl Rules<'_> {
    /// A store may keep something else than what it is given, unless it holds that already. Reading it back finds out.
    pub(super) fn garbled(&self, world: &World, index: usize, effect: &Effect, nonce: Nonce) -> Option<World> {
        let (Effect::PutStaged { store, who }, Executor::Acting { version, .. }) = (effect, &world.executors[index])
        else {
            return None;
        };
        let (copy, right) = (usize::from(store.as_str() == "s1"), Value { who: *who, nonce });
        if world.left.garbles == 0 || world.copies[copy] == Some(right) {
            return None;
        }
        let mut next = world.clone();
        next.left.garbles -= 1;
        next.copies[copy] = Some(Value { who: *who, nonce: GARBLED });
        next.executors[index] = if self.without(Mutation::NoReadBack) {
            let fact = Learnt::Staged { store: store.clone(), who: *who };
            Executor::Answered { version: *version, fact, nonce }
        } else {
            Executor::Idle
        };
        Some(next)
    }

    /// What becomes current is what was staged, where anything was.
    pub(super) fn promoted(&self, world: &mut World, index: usize, value: Occupant, nonce: Nonce) -> Value {
        let given = Value { who: value, nonce };
        if self.plan.strategy != Strategy::Staged {
            return given;
        }
        world.copies[index].take_if(|copy| copy.who == value).unwrap_or(given)
    }
}

impl World {
    pub(super) fn stage(&mut self, store: &StoreId, who: Occupant, nonce: Nonce) -> Learnt {
        self.copies[usize::from(store.as_str() == "s1")] = Some(Value { who, nonce });
        Learnt::Staged { store: store.clone(), who }
    }

    /// What is staged of another candidate than that of the live rotation is never promoted.
    pub(super) fn forget_copies(&mut self) {
        let to = self.row.live().map(|live| live.to);
        for copy in &mut self.copies {
            copy.take_if(|copy| Some(copy.who) != to);
        }
    }
}
