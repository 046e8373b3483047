//! A state that is set back to an earlier copy: by hand, where only the world says so, or by a restore that says it.

use std::collections::{BTreeMap, BTreeSet};

use handover_core::port::{Head, Standing, State};
use handover_core::{
    Candidate, Doubt, Generation, Mark, Occupant, Row, Slot, StoreId, Survey, compare, recover, sought,
};

use super::mutation::Mutation;
use super::step::Rules;
use super::world::{Executor, Value, World, store_id, store_version};

type Emit<'a> = &'a mut dyn FnMut(World, &dyn Fn() -> String);

impl Rules<'_> {
    /// A copy is taken, put back, compared, recovered.
    pub(super) fn set_back(&self, world: &World, emit: Emit<'_>) {
        if world.left.restores > 0 {
            match &world.copy {
                None => {
                    let mut next = world.clone();
                    next.copy = Some(Box::new((world.row.clone(), world.sealed.clone())));
                    emit(next, &|| "a copy of the state is taken".to_owned());
                }
                Some(copy) if copy.0 != world.row => emit(self.put_back(world), &|| "the copy is put back".to_owned()),
                Some(_) => {}
            }
        }
        if world.uncompared {
            emit(compared(world), &|| "the record is compared with the world".to_owned());
        } else if let (true, None, Some(doubt)) = (world.set_back, &world.row.doubt, world.doubt())
            && world.row.live().is_none()
        {
            emit(doubted(world, doubt), &|| "a plan is refused: the record is doubted".to_owned());
        } else if world.row.doubt.is_some()
            && let Some(next) = self.recovered(world)
        {
            emit(next, &|| "the group is recovered".to_owned());
        }
    }

    /// Processes of before may still act after a restore, and can record nothing: what they hold open is another file.
    /// By hand they are taken to be gone for good: where the record lost an intent whose act is still on its way, no
    /// comparison shows it, and only a restore makes every pointer be written again.
    fn put_back(&self, world: &World) -> World {
        let mut next = world.clone();
        let Some(copy) = next.copy.take() else { return next };
        let (row, sealed) = *copy;
        next.left.restores -= 1;
        next.set_back = true;
        next.sealed = sealed;
        next.row = row;
        if self.size.by_hand {
            next.uncompared = !self.without(Mutation::NoCompare);
        } else {
            next = doubted(&next, Doubt::Restored);
        }
        for executor in &mut next.executors {
            *executor = match std::mem::replace(executor, Executor::Idle) {
                Executor::Acting { effect, nonce, .. } | Executor::Ghost { effect, nonce } if !self.size.by_hand => {
                    Executor::Ghost { effect, nonce }
                }
                Executor::Idle | Executor::Acting { .. } | Executor::Ghost { .. } | Executor::Answered { .. } => {
                    Executor::Idle
                }
            };
        }
        next
    }

    /// The whole of a recovery, in one step: a copy that is put back in its middle is doubted again.
    fn recovered(&self, world: &World) -> Option<World> {
        let (standings, heads) = look(world);
        let held = held(world, sought(&world.row, self.plan, &standings, &heads));
        let let_in = held.iter().filter(|value| world.lets_in(**value)).map(|value| value.who).collect();
        let known = held.iter().map(|value| value.who).collect();
        let survey = Survey { standings: Some(standings), heads, known, let_in };
        let recovery = recover(&world.row, self.plan, &survey, None, world.now).ok()?;
        let mut next = world.clone();
        let mark = Mark { generation: recovery.row.last_generation, version: recovery.row.version };
        for who in &recovery.accept {
            let value = held.iter().find(|value| value.who == *who)?;
            let place = &mut next.places[who.slot.0 as usize];
            place.value = Some((who.generation, who.candidate, value.nonce));
            place.enabled = true;
            place.mark = Some(mark);
        }
        next.row = Row { version: recovery.row.version.next(), ..recovery.row };
        for Value { who, nonce } in held {
            next.sealed.entry((who.generation, who.candidate)).or_insert(nonce);
        }
        Some(next)
    }
}

fn doubted(world: &World, doubt: Doubt) -> World {
    let mut next = world.clone();
    next.row.doubt = Some(doubt);
    next.row.version = next.row.version.next();
    next
}

fn compared(world: &World) -> World {
    let next = world.doubt().map_or_else(|| world.clone(), |doubt| doubted(world, doubt));
    World { uncompared: false, ..next }
}

impl World {
    /// What a look at the world says against the record.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        let (standings, heads) = look(self);
        compare(&self.row, Some(&standings), &heads)
    }
}

/// The labels at the target, and the heads of the stores.
fn look(world: &World) -> (Vec<Standing>, BTreeMap<StoreId, Option<Head>>) {
    let standing = |(slot, place): (usize, &super::world::Place)| Standing {
        slot: Slot(u32::try_from(slot).unwrap_or(u32::MAX)),
        generation: place.value.map(|(generation, _, _)| generation),
        mark: place.mark,
        state: match (place.value, place.enabled) {
            (Some(_), true) => State::Accepting,
            (Some(_), false) => State::Disabled,
            (None, _) => State::Forgotten,
        },
    };
    let head = |(index, shelf): (usize, &super::world::Shelf)| {
        let head = Head {
            version: store_version(shelf.version),
            publication: Some(shelf.publication),
            generation: Some(shelf.value.who.generation),
        };
        (store_id(index), Some(head))
    };
    let marked = world.places.iter().enumerate().filter(|(_, place)| place.mark.is_some());
    (marked.map(standing).collect(), world.shelves.iter().enumerate().map(head).collect())
}

/// Values that recovery has of what it needs: those sealed, and those that stores give back.
fn held(world: &World, sought: BTreeSet<(Generation, Slot)>) -> Vec<Value> {
    let mut held = Vec::new();
    for (generation, slot) in sought {
        let sealed = world.sealed.iter().filter(|((of, _), _)| *of == generation);
        let mut last = 0;
        let mut ours: Vec<Value> = Vec::new();
        for ((_, candidate), nonce) in sealed {
            last = last.max(candidate.0);
            ours.push(Value { who: Occupant { generation, slot, candidate: *candidate }, nonce: *nonce });
        }
        for shelf in world.shelves.iter().filter(|shelf| shelf.value.who.generation == generation) {
            let Value { who, nonce } = shelf.value;
            if ours.iter().all(|value| (value.who.candidate, value.nonce) != (who.candidate, nonce)) {
                last += 1;
                ours.push(Value { who: Occupant { generation, slot, candidate: Candidate(last) }, nonce });
            }
        }
        held.extend(ours);
    }
    held
}
