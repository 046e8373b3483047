//! What may happen next, in every state: the successors of a world.

use std::collections::BTreeSet;

use handover_core::{
    Effect, Fact, Mark, Minter, Occupant, Order, Phase, Plan, Pointer, Pointers, Roll, Row, Seen, Slot, Slots,
    Timestamp, Undo, Waited, advance, start, wants,
};

use super::asking::passed;
use super::learnt::Learnt;
use super::mutation::Mutation;
use super::world::{Executor, Life, Nonce, Place, Shelf, Size, Value, World, store_version};

/// What happened, for traces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step(pub(super) String);

/// The rules under which a world runs.
pub(super) struct Rules<'a> {
    pub(super) size: &'a Size,
    pub(super) plan: &'a Plan,
    /// The same in an emergency.
    pub(super) urgent: &'a Plan,
    pub(super) mutation: Option<Mutation>,
}

impl Rules<'_> {
    pub(super) fn without(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Every state that may follow, with what happened if `named`.
    pub(super) fn successors(&self, world: &World, out: &mut Vec<World>, mut names: Option<&mut Vec<Step>>) {
        let mut emit = |next: World, step: &dyn Fn() -> String| {
            out.push(next);
            if let Some(names) = names.as_deref_mut() {
                names.push(Step(step()));
            }
        };
        for index in 0..world.executors.len() {
            if world.executors[..index].contains(&world.executors[index]) {
                continue; // executors are alike
            }
            self.executor(world, index, &mut emit);
        }
        for index in 0..world.consumers.len() {
            self.consumer(world, index, &mut emit);
        }
        self.orders(world, &mut emit);
        self.emergency(world, &mut emit);
        self.set_back(world, &mut emit);
        if self.size.asks {
            self.words(world, &mut emit);
        }
        if self.size.minter == Minter::Provider {
            self.provider(world, &mut emit);
        }
        if self.size.clock {
            for (name, jump) in
                [("a poll", Size::POLL.as_millis() as i64), ("a day", 86_400_000), ("back", -86_400_000)]
            {
                let mut next = world.clone();
                next.now = Timestamp(next.now.0 + jump);
                emit(next, &|| format!("clock: {name}"));
            }
        }
    }

    fn executor(&self, world: &World, index: usize, emit: &mut dyn FnMut(World, &dyn Fn() -> String)) {
        match &world.executors[index] {
            // What a process finds, it compares with the world before it acts on it.
            Executor::Idle if world.uncompared => {}
            Executor::Idle => self.take_up(world, index, emit),
            Executor::Acting { version, effect, nonce } => {
                let mut dead = world.clone();
                dead.executors[index] = Executor::Idle;
                emit(dead, &|| format!("executor {index} dies before {}", effect.kind()));
                if let Effect::EnsureAccepted { who, .. } | Effect::PutBack { who, .. } = effect
                    && world.left.rejections > 0
                {
                    let mut next = world.clone();
                    next.left.rejections -= 1;
                    next.executors[index] =
                        Executor::Answered { version: *version, fact: Learnt::Rejected, nonce: *nonce };
                    emit(next, &|| format!("target rejects {:?}", who.candidate));
                }
                if matches!(effect, Effect::Check { .. }) && world.left.failures > 0 {
                    let mut next = world.clone();
                    next.left.failures -= 1;
                    next.executors[index] =
                        Executor::Answered { version: *version, fact: Learnt::Unfit, nonce: *nonce };
                    emit(next, &|| "a check fails".to_owned());
                }
                if let Some(next) = self.garbled(world, index, effect, *nonce) {
                    emit(next, &|| format!("a store garbles what executor {index} stages"));
                }
                if let Some(fact) = self.probe(world, effect) {
                    let mut next = world.clone();
                    next.executors[index] = Executor::Answered { version: *version, fact: fact.clone(), nonce: *nonce };
                    emit(next, &|| format!("executor {index} probes: {fact:?}"));
                }
                let mut next = world.clone();
                let minted = if let Effect::Mint { who, .. } = effect { world.minted_next(*who) } else { *nonce };
                let nonce = &minted;
                let fact = self.perform(&mut next, effect, *nonce);
                // A higher mark under a row that nobody moved is of a future that the row does not know.
                let fenced = || (is_marked(effect) && *version == world.row.version).then_some(Learnt::Fenced);
                next.executors[index] = match fact.or_else(fenced) {
                    Some(fact) => Executor::Answered { version: *version, fact, nonce: *nonce },
                    None => Executor::Idle,
                };
                emit(next, &|| format!("executor {index} does {effect:?}"));
            }
            Executor::Ghost { effect, nonce } => {
                let mut gone = world.clone();
                gone.executors[index] = Executor::Idle;
                emit(gone.clone(), &|| format!("a process of before dies before {}", effect.kind()));
                self.perform(&mut gone, effect, *nonce);
                emit(gone, &|| format!("a process of before does {effect:?}"));
            }
            Executor::Answered { version, fact, nonce } => {
                let mut lost = world.clone();
                lost.executors[index] = Executor::Idle;
                emit(lost, &|| format!("executor {index} loses {fact:?}"));
                if *version == world.row.version {
                    let mut next = world.clone();
                    next.executors[index] = Executor::Idle;
                    if self.commit(&mut next, fact, *nonce) {
                        if *fact == Learnt::Swept
                            && let Some(goes_on) = self.goes_on(&next)
                        {
                            let mut on = next.clone();
                            on.executors[index] = goes_on;
                            emit(on, &|| format!("executor {index} commits {fact:?} and goes on"));
                        }
                        emit(next, &|| format!("executor {index} commits {fact:?}"));
                    }
                }
            }
        }
    }

    /// An executor that has nothing in hand takes up what the row wants.
    fn take_up(&self, world: &World, index: usize, emit: &mut dyn FnMut(World, &dyn Fn() -> String)) {
        let wants = wants(&world.row, self.plan_of(world), world.now);
        // What is minted after the state was set back is another value than what was minted before.
        let before = usize::from(self.size.restores - world.left.restores) * world.executors.len();
        let nonce = Nonce::try_from(before + index + 1).unwrap_or(Nonce::MAX);
        for effect in wants.effects {
            let mut next = world.clone();
            if let Some(fact) = self.comes_upon(&effect) {
                next.executors[index] = Executor::Answered { version: world.row.version, fact, nonce: 0 };
                emit(next, &|| format!("executor {index} comes upon {}", effect.kind()));
                continue;
            }
            next.executors[index] = Executor::Acting {
                version: world.row.version,
                nonce: self.value(world, &effect, nonce),
                effect: effect.clone(),
            };
            emit(next, &|| format!("executor {index} takes up {}", effect.kind()));
        }
    }

    /// The value that an executor has in hand for an effect: what is sealed, or what it mints.
    fn value(&self, world: &World, effect: &Effect, minted: Nonce) -> Nonce {
        match effect {
            Effect::EnsureAccepted { who, .. } | Effect::PutBack { who, .. } | Effect::PutStaged { who, .. } => {
                world.sealed.get(&(who.generation, who.candidate)).copied().unwrap_or(minted)
            }
            Effect::Seal { .. } => minted,
            Effect::Point { value, .. } => {
                world.sealed.get(&(value.generation, value.candidate)).copied().unwrap_or(Nonce::MAX)
            }
            Effect::Sweep { .. }
            | Effect::Mint { .. }
            | Effect::Login { .. }
            | Effect::Check { .. }
            | Effect::Head { .. }
            | Effect::CountAdoption { .. }
            | Effect::CountUse { .. }
            | Effect::EndSessions { .. }
            | Effect::EnsureRefused { .. }
            | Effect::ProveRefused { .. }
            | Effect::Discard { .. }
            | Effect::Release { .. }
            | Effect::Destroy { .. }
            | Effect::Revoke { .. } => 0,
        }
    }

    /// What a look at the target may conclude instead of a write: never Release or Revoke (R5), and *disabled* or
    /// *destroyed* only where the slot bears a mark of this rotation. Without that mark a create that is still on its
    /// way, to a generation that was abandoned, would pass the fence afterwards.
    fn probe(&self, world: &World, effect: &Effect) -> Option<Learnt> {
        if self.size.minter == Minter::Provider {
            return None; // it has no marks to read, and the act is idempotent
        }
        let ours = |who: Occupant, mark: Mark| {
            let stands = world.places[who.slot.0 as usize].mark;
            self.without(Mutation::ProbeIgnoresMark)
                || stands.is_some_and(|stands| stands.generation == mark.generation)
        };
        match effect {
            Effect::EnsureAccepted { who, .. } => world.accepts(*who).then_some(Learnt::Accepted(who.generation)),
            Effect::EnsureRefused { who, mark } => {
                (!world.accepts(*who) && ours(*who, *mark)).then_some(Learnt::Refused(who.generation))
            }
            Effect::Destroy { who, mark } => {
                let empty = world.places[who.slot.0 as usize].value.is_none();
                (empty && ours(*who, *mark)).then_some(Learnt::Destroyed(who.generation))
            }
            Effect::Release { who, .. } if self.without(Mutation::ProbeConcludesRelease) => {
                world.accepts(*who).then_some(Learnt::Released(who.generation))
            }
            Effect::Revoke { who, .. } if self.without(Mutation::ProbeConcludesRevoke) => {
                (!world.accepts(*who)).then_some(Learnt::Revoked(who.generation))
            }
            Effect::PutBack { who, .. } if self.without(Mutation::ProbeConcludesPutBack) => {
                world.accepts(*who).then_some(Learnt::PutBack(who.generation))
            }
            Effect::Release { .. }
            | Effect::Revoke { .. }
            | Effect::PutBack { .. }
            | Effect::PutStaged { .. }
            | Effect::ProveRefused { .. }
            | Effect::Discard { .. }
            | Effect::Seal { .. }
            | Effect::Sweep { .. }
            | Effect::Mint { .. }
            | Effect::Login { .. }
            | Effect::Check { .. }
            | Effect::Head { .. }
            | Effect::Point { .. }
            | Effect::CountAdoption { .. }
            | Effect::CountUse { .. }
            | Effect::EndSessions { .. } => None,
        }
    }

    /// Compares the mark and leaves the new one, as the target does in one transaction.
    fn fence(&self, world: &mut World, slot: Slot, mark: Mark) -> bool {
        let place = &mut world.places[slot.0 as usize];
        let passes = match (self.mutation, place.mark) {
            (Some(Mutation::SlotDoesNotFence), _) | (_, None) => true,
            (Some(Mutation::FenceByGenerationOnly), Some(stands)) => stands.generation <= mark.generation,
            (_, Some(stands)) => stands <= mark,
        };
        if passes {
            place.mark = Some(mark);
        }
        passes
    }

    fn perform(&self, world: &mut World, effect: &Effect, nonce: Nonce) -> Option<Learnt> {
        match effect {
            Effect::Sweep { .. } | Effect::Mint { .. } => self.at_provider(world, effect, nonce),
            Effect::Seal { to } => {
                if self.without(Mutation::ActBeforeIntent) {
                    let mark = Mark { generation: to.generation, version: world.row.version };
                    if self.fence(world, to.slot, mark) {
                        let place = &mut world.places[to.slot.0 as usize];
                        place.value = Some((to.generation, to.candidate, nonce));
                        place.enabled = true;
                    }
                }
                Some(Learnt::Sealed)
            }
            Effect::EnsureAccepted { who, mark } => {
                self.place(world, *who, *mark, nonce).then_some(Learnt::Accepted(who.generation))
            }
            Effect::PutBack { who, mark } => {
                self.place(world, *who, *mark, nonce).then_some(Learnt::PutBack(who.generation))
            }
            Effect::PutStaged { store, who } => Some(world.stage(store, *who, nonce)),
            Effect::ProveRefused { who } => (!world.accepts(*who)).then_some(Learnt::Refused(who.generation)),
            Effect::Discard { who } => Some(self.discard(world, *who)),
            Effect::Login { who } => Some(if world.accepts(*who) {
                Learnt::LoggedIn(who.generation)
            } else {
                Learnt::Refused(who.generation)
            }),
            // What does not pass is asked again; what is known to fail is the same as in Verify.
            Effect::Check { who } => world.accepts(*who).then_some(Learnt::Checked(who.generation)),
            Effect::Head { store } => Some(self.head(world, store)),
            Effect::Point { store, value, publication, expect } => {
                let index = usize::from(store.as_str() == "s1");
                let shelf = &mut world.shelves[index];
                let confirms = self.without(Mutation::ConfirmWithoutWrite)
                    && matches!(world.row.rotation.as_ref().map(|rotation| &rotation.phase), Some(Phase::Rollback(_)));
                if confirms && shelf.value.who == *value {
                    return Some(Learnt::Pointed { store: store.clone(), version: store_version(shelf.version) });
                }
                if *expect != Some(store_version(shelf.version)) && !self.without(Mutation::StoreDoesNotFence) {
                    return (!self.without(Mutation::NoReconcile)).then(|| self.read_back(world, store, *publication));
                }
                let version = shelf.version + 1;
                let value = self.promoted(world, index, *value, nonce);
                let shelf = &mut world.shelves[index];
                *shelf = Shelf { version, publication: *publication, value };
                Some(Learnt::Pointed { store: store.clone(), version: store_version(shelf.version) })
            }
            Effect::CountAdoption { .. } => Some(self.call_roll(world)),
            Effect::CountUse { of } => {
                let used = world
                    .consumers
                    .iter()
                    .any(|consumer| consumer.life == Life::Alive && of.contains(&consumer.session.who));
                Some(if used { Learnt::Used } else { Learnt::Unused })
            }
            Effect::EnsureRefused { who, mark } => self.fence(world, who.slot, *mark).then(|| {
                world.places[who.slot.0 as usize].enabled = false;
                Learnt::Refused(who.generation)
            }),
            Effect::Release { who, mark } => self.fence(world, who.slot, *mark).then(|| {
                world.places[who.slot.0 as usize].enabled = true;
                Learnt::Released(who.generation)
            }),
            Effect::Destroy { who, mark } => {
                self.forget(world, *who, *mark).then_some(Learnt::Destroyed(who.generation))
            }
            Effect::Revoke { who, mark } => self.forget(world, *who, *mark).then_some(Learnt::Revoked(who.generation)),
            Effect::EndSessions { .. } => None,
        }
    }

    /// Writes a value into its slot.
    fn place(&self, world: &mut World, who: Occupant, mark: Mark, nonce: Nonce) -> bool {
        let passes = self.fence(world, who.slot, mark);
        if passes {
            let place = &mut world.places[who.slot.0 as usize];
            place.value = Some((who.generation, who.candidate, nonce));
            place.enabled = true;
        }
        passes
    }

    fn forget(&self, world: &mut World, who: Occupant, mark: Mark) -> bool {
        let passes = self.fence(world, who.slot, mark);
        if passes {
            let place = &mut world.places[who.slot.0 as usize];
            place.value = None;
            place.enabled = false;
            if self.without(Mutation::MarkDiesWithPrincipal) && self.size.slots == Slots::Fresh {
                place.mark = None;
            }
        }
        passes
    }

    fn discard(&self, world: &mut World, who: Occupant) -> Learnt {
        if self.size.slots == Slots::Nowhere {
            world.places[who.slot.0 as usize] = Place::never_again();
        }
        Learnt::Discarded(who.generation)
    }

    fn head(&self, world: &World, store: &handover_core::StoreId) -> Learnt {
        let shelf = &world.shelves[usize::from(store.as_str() == "s1")];
        Learnt::Head {
            store: store.clone(),
            version: Some(store_version(shelf.version)),
            ours: Some(shelf.publication),
        }
    }

    fn read_back(&self, world: &World, store: &handover_core::StoreId, ours: handover_core::Publication) -> Learnt {
        let shelf = &world.shelves[usize::from(store.as_str() == "s1")];
        if shelf.publication == ours {
            Learnt::Pointed { store: store.clone(), version: store_version(shelf.version) }
        } else {
            self.head(world, store)
        }
    }

    fn call_roll(&self, world: &World) -> Learnt {
        let wanted = world.row.rotation.as_ref().and_then(|rotation| {
            if matches!(rotation.phase, Phase::Rollback(_)) { rotation.from } else { Some(rotation.to) }
        });
        let members = world.consumers.iter().enumerate().filter(|(_, consumer)| consumer.life != Life::Excused);
        Learnt::Adoption(
            members
                .map(|(index, consumer)| {
                    let (publication, value) = consumer.acked;
                    if self.without(Mutation::AdoptionByGeneration) && Some(value) == wanted {
                        (index, world.row.publication)
                    } else {
                        (index, publication)
                    }
                })
                .collect(),
        )
    }

    /// Records a fact, through the shipped `advance`. Whether anything changed.
    fn commit(&self, world: &mut World, fact: &Learnt, nonce: Nonce) -> bool {
        let before = world.row.clone();
        let seen = Seen { now: world.now, fact: fact.fact(self.size) };
        let Ok(row) = advance(&before, self.plan_of(world), &seen) else { return false };
        if row.version == before.version {
            return false;
        }
        if matches!(fact, Learnt::Sealed | Learnt::Minted(_))
            && let Some(live) = before.live()
        {
            world.sealed.insert((live.to.generation, live.to.candidate), nonce);
        }
        self.store(world, &before, row);
        true
    }

    /// Stores the next row, with a rule left out of it if so asked.
    pub(super) fn store(&self, world: &mut World, before: &Row, mut row: Row) {
        if let (Some(was), Some(rotation)) = (&before.rotation, &mut row.rotation) {
            if self.without(Mutation::SameLabel) {
                rotation.to.candidate = was.to.candidate;
            }
            if self.without(Mutation::NoWaveGate) {
                super::waves::ungated(&was.phase, rotation);
            }
            let heads = &row.heads;
            match (&was.phase, &rotation.phase, self.mutation) {
                (Phase::Propagate { .. }, Phase::Drain { .. }, Some(Mutation::NoDrain)) => {
                    rotation.phase =
                        Phase::Disable { refused: BTreeSet::new(), held: Waited::default(), presenters: Roll::All };
                }
                (Phase::Disable { .. }, Phase::Rollback(Undo::Release), Some(Mutation::NoRelease)) => {
                    row.publication = row.publication.next();
                    let pointers = heads
                        .iter()
                        .map(|(store, version)| (store.clone(), Pointer::Expect(Some(version.clone()))))
                        .collect();
                    rotation.phase = Phase::Rollback(Undo::Unpublish { pointers: Pointers(pointers) });
                }
                (
                    Phase::Publish { pointers: known },
                    Phase::Rollback(Undo::Unpublish { pointers }),
                    Some(Mutation::UndoKnownOnly),
                ) => {
                    let mut pointers = pointers.clone();
                    for (store, _) in known.missing() {
                        pointers.0.insert(store.clone(), Pointer::Landed(store_version(0)));
                    }
                    rotation.phase = Phase::Rollback(if pointers.landed() {
                        Undo::Return { presenters: Roll::Uncalled }
                    } else {
                        Undo::Unpublish { pointers }
                    });
                }
                _ => {}
            }
        }
        if let (Some(was), Some(is)) = (&before.rotation, &row.rotation) {
            world.said.unapproved |=
                passed(&was.phase, &is.phase).is_some_and(|gate| !world.said.words.contains(&gate));
        }
        world.row = row;
    }

    fn consumer(&self, world: &World, index: usize, emit: &mut dyn FnMut(World, &dyn Fn() -> String)) {
        let consumer = &world.consumers[index];
        let last = index + 1 == world.consumers.len();
        match consumer.life {
            Life::Excused => return,
            Life::Dead => {
                if self.size.excused {
                    let mut next = world.clone();
                    next.consumers[index].life = Life::Excused;
                    emit(next, &|| format!("consumer {index} is excused"));
                }
                return;
            }
            Life::Alive => {}
        }
        let read = self.read(world, index);
        if self.size.late_loads {
            if consumer.hand.is_none() && read.0 != consumer.held.0 {
                let mut next = world.clone();
                next.consumers[index].hand = Some(read);
                emit(next, &|| format!("consumer {index} reads {read:?}"));
            }
            if let Some(hand) = consumer.hand {
                let mut next = world.clone();
                next.consumers[index].hand = None;
                self.load(&mut next, index, hand);
                emit(next, &|| format!("consumer {index} loads {hand:?}"));
            }
        } else if read.0 != consumer.held.0 {
            let mut next = world.clone();
            self.load(&mut next, index, read);
            emit(next, &|| format!("consumer {index} loads {read:?}"));
        }
        if consumer.session != consumer.held.1 {
            let mut next = world.clone();
            next.consumers[index].session = consumer.held.1;
            emit(next, &|| format!("consumer {index} ends its old session"));
        }
        if self.size.liar && index == 0 && read.0 > consumer.acked.0 {
            let mut next = world.clone();
            next.consumers[index].acked = (read.0, read.1.who);
            emit(next, &|| format!("consumer {index} lies that it loaded {read:?}"));
        }
        if self.size.deaths && last {
            let mut next = world.clone();
            next.consumers[index].life = Life::Dead;
            next.consumers[index].hand = None;
            emit(next, &|| format!("consumer {index} dies"));
        }
    }

    /// A consumer swaps what it read in: a lower publication than it holds is refused, never a lower generation.
    fn load(&self, world: &mut World, index: usize, read: (handover_core::Publication, Value)) {
        let consumer = &mut world.consumers[index];
        let refused = if self.without(Mutation::RefuseLowerGeneration) {
            read.1.who.generation < consumer.held.1.who.generation
        } else {
            read.0 < consumer.held.0
        };
        if !refused {
            consumer.held = read;
            consumer.acked = consumer.acked.max((read.0, read.1.who));
            if !self.size.old_sessions || (self.size.liar && index == 0) {
                consumer.session = read.1;
            }
        }
    }

    fn orders(&self, world: &World, emit: &mut dyn FnMut(World, &dyn Fn() -> String)) {
        // An order compares first: it would move the version on, past the marks that show a record which is behind.
        if world.uncompared {
            return;
        }
        let live = world.row.live();
        let supersedes = live.is_some_and(|live| live.can_be_superseded_by(self.plan.strategy, self.plan.slots))
            && world.left.supersedes > 0;
        if world.left.rotations > 0
            && (!world.set_back || self.without(Mutation::NoCompare) || world.doubt().is_none())
            && (live.is_none() || supersedes)
            && self.has_room(world)
            && let Ok(mut row) = start(&world.row, self.plan, world.now)
        {
            if let Some(rotation) = &mut row.rotation {
                if self.without(Mutation::SlotFromParity) {
                    rotation.to.slot = Slot(u32::from(rotation.to.generation.0 % 2 == 0));
                }
                if self.without(Mutation::NoDebt) {
                    rotation.owed.clear();
                }
            }
            let mut next = world.clone();
            next.left.rotations -= 1;
            if live.is_some() {
                next.left.supersedes -= 1;
            }
            next.row = row;
            next.urgent = false;
            next.said.words.clear();
            emit(next, &|| "a rotation starts".to_owned());
        }
        let Some(live) = live else { return };
        let mut order = |order: Order, left: &dyn Fn(&mut World)| {
            let seen = Seen { now: world.now, fact: Fact::Order(order) };
            if let Ok(row) = advance(&world.row, self.plan_of(world), &seen)
                && row.version != world.row.version
            {
                let mut next = world.clone();
                self.store(&mut next, &world.row, row);
                left(&mut next);
                emit(next, &|| format!("ordered: {order:?}"));
            }
        };
        if world.left.rollbacks > 0 {
            order(Order::Rollback, &|next| next.left.rollbacks -= 1);
            order(Order::Abandon, &|next| next.left.rollbacks -= 1);
        }
        if live.hold.is_some() {
            order(Order::Resume, &|_| {});
        } else if world.left.holds > 0 {
            order(Order::Hold, &|next| next.left.holds -= 1);
        }
        if self.size.forces {
            order(Order::Force, &|next| next.forced = true);
        }
    }
}

/// Whether it is a change at the target.
fn is_marked(effect: &Effect) -> bool {
    !matches!(effect, Effect::Mint { .. }) && super::world::mark_of(&mut effect.clone()).is_some()
}

/// Where a row stands; used in traces.
pub(super) fn phase_name(row: &Row) -> String {
    row.rotation.as_ref().map_or_else(|| "at rest".to_owned(), |rotation| format!("{:?}", rotation.phase))
}
