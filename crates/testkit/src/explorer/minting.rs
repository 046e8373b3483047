//! A provider that mints: it shows a value once, compares no marks, and holds what others made as well.

use std::collections::BTreeSet;

use handover_core::{
    Candidate, Effect, Generation, Label, Mark, Minted, Minter, Occupant, Phase, Row, Slots, Swept, start, sweep, wants,
};

use super::learnt::Learnt;
use super::mutation::Mutation;
use super::step::Rules;
use super::world::{Executor, Harm, Nonce, Size, World};

type Emit<'a> = &'a mut dyn FnMut(World, &dyn Fn() -> String);

/// A credential at the provider. All that stand there are let in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key {
    /// What the provider shows of it; nothing of ours on a foreign one.
    pub(super) label: Option<Label>,
    /// Whose value, and which.
    pub(super) value: (Generation, Candidate, Nonce),
    /// Whether the row had moved on when it was minted: then nobody can have known of it.
    pub(super) late: bool,
}

/// What others made. No generation of ours has this number.
const FOREIGN: (Generation, Candidate, Nonce) = (Generation(0), Candidate(0), 0);

impl Key {
    pub(super) fn first(who: Occupant) -> Self {
        Self { label: Some(Label::of(who)), value: (who.generation, who.candidate, 0), late: false }
    }

    fn is_foreign(&self) -> bool {
        self.value == FOREIGN
    }
}

impl Rules<'_> {
    /// Others come and go, and the next rotation, whenever it is, sweeps.
    pub(super) fn provider(&self, world: &World, emit: Emit<'_>) {
        if self.size.foreign && !world.foreign && world.keys.len() < self.size.keys_max() {
            let mut next = world.clone();
            next.foreign = true;
            next.keys.push(Key { label: None, value: FOREIGN, late: false });
            emit(next, &|| "somebody else makes a credential".to_owned());
        }
        if world.foreign {
            let mut next = world.clone();
            next.foreign = false;
            next.keys.retain(|key| !key.is_foreign());
            emit(next, &|| "somebody else deletes theirs".to_owned());
        }
        if world.row.live().is_none()
            && world.left.rotations == 0
            && world.orphans().next().is_some()
            && let Ok(row) = start(&world.row, self.plan, world.now)
            && let Some(effect) = wants(&row, self.plan, world.now).effects.first()
        {
            let mut next = world.clone();
            self.at_provider(&mut next, effect, 0);
            emit(next, &|| "another rotation starts, sweeps, and is abandoned".to_owned());
        }
    }

    /// Whether there is room for a rotation beside what others made; planning refuses it otherwise.
    pub(super) fn has_room(&self, world: &World) -> bool {
        let needed = 2 + world.row.live().map_or(0, |live| live.owed.len() + 1);
        self.size.minter == Minter::Us || usize::from(world.foreign) + needed <= self.size.keys_max()
    }

    /// Who comes upon a label that it did not commit, or did not hear back of, does not try it: the candidate is lost.
    pub(super) fn comes_upon(&self, effect: &Effect) -> Option<Learnt> {
        let again = self.without(Mutation::MintAgain);
        (matches!(effect, Effect::Mint { .. }) && !again).then_some(Learnt::Lost)
    }

    /// The one that committed a label may go on at once and try it.
    pub(super) fn goes_on(&self, world: &World) -> Option<Executor> {
        let phase = &world.row.live()?.phase;
        let effects = wants(&world.row, self.plan, world.now).effects;
        let effect = effects.into_iter().find(|effect| matches!(effect, Effect::Mint { .. }))?;
        matches!(phase, Phase::Apply { .. }).then_some(Executor::Acting {
            version: world.row.version,
            effect,
            nonce: 0,
        })
    }

    /// An effect at a provider that mints; `None` where it came to nothing.
    pub(super) fn at_provider(&self, world: &mut World, effect: &Effect, nonce: Nonce) -> Option<Learnt> {
        match effect {
            Effect::Sweep { to, keep } => self.sweep(world, *to, keep),
            Effect::Mint { who, mark } => self.mint(world, *who, *mark, nonce),
            // The others are not acts at a provider.
            Effect::Seal { .. }
            | Effect::PutStaged { .. }
            | Effect::EnsureAccepted { .. }
            | Effect::EnsureRefused { .. }
            | Effect::ProveRefused { .. }
            | Effect::PutBack { .. }
            | Effect::Discard { .. }
            | Effect::Release { .. }
            | Effect::Destroy { .. }
            | Effect::Revoke { .. }
            | Effect::Login { .. }
            | Effect::Check { .. }
            | Effect::Head { .. }
            | Effect::Point { .. }
            | Effect::CountAdoption { .. }
            | Effect::CountUse { .. }
            | Effect::EndSessions { .. } => None,
        }
    }

    fn sweep(&self, world: &mut World, to: Label, keep: &[Label]) -> Option<Learnt> {
        if self.without(Mutation::NoCensus) {
            return Some(Learnt::Swept);
        }
        if self.without(Mutation::DeleteForeign) {
            world.keys.retain(|key| key.label.is_some_and(|label| label >= to || keep.contains(&label)));
        }
        let standing: Vec<Minted> = world.keys.iter().map(|key| Minted { label: key.label }).collect();
        // A label that is used twice is nothing to be astonished at where labels are used twice.
        let to_check =
            if self.without(Mutation::SameLabel) { Label { candidate: to.candidate.next(), ..to } } else { to };
        let keep: Vec<Label> = if to_check == to { keep.to_vec() } else { [keep, &[to]].concat() };
        match sweep(&standing, to_check, &keep) {
            Swept::Ahead(_) => Some(Learnt::Fenced),
            Swept::Orphans { labels, .. } => {
                delete(world, &labels);
                (world.keys.len() < self.size.keys_max() || !in_stage(&world.row)).then_some(Learnt::Swept)
            }
        }
    }

    /// Each try makes another credential, whatever it is called.
    fn mint(&self, world: &mut World, who: Occupant, mark: Mark, nonce: Nonce) -> Option<Learnt> {
        if world.keys.len() >= self.size.keys_max() {
            return None;
        }
        world.keys.push(Key {
            label: (!self.without(Mutation::MintWithoutLabel)).then(|| Label::of(who)),
            value: (who.generation, who.candidate, nonce),
            late: mark.version != world.row.version,
        });
        Some(Learnt::Minted(who.generation))
    }
}

/// By label alone, as a provider does.
fn delete(world: &mut World, labels: &[Label]) {
    world.keys.retain(|key| !key.label.is_some_and(|label| labels.contains(&label)));
}

fn in_stage(row: &Row) -> bool {
    row.live().is_some_and(|live| live.phase == Phase::Stage)
}

impl Size {
    /// How many credentials the provider holds at the most.
    pub(super) fn keys_max(&self) -> usize {
        match self.slots {
            Slots::Fixed(slots) => slots as usize,
            Slots::Fresh | Slots::Nowhere => usize::MAX,
        }
    }
}

impl World {
    /// The value that the provider mints next under a label: none that it minted before, as far as anybody has it.
    pub(super) fn minted_next(&self, who: Occupant) -> Nonce {
        let label = (who.generation, who.candidate);
        let standing = self.keys.iter().filter(|key| (key.value.0, key.value.1) == label).map(|key| key.value.2);
        let held = self.executors.iter().filter_map(|executor| match executor {
            Executor::Answered { fact: Learnt::Minted(_), nonce, .. } => Some(*nonce),
            Executor::Idle | Executor::Acting { .. } | Executor::Ghost { .. } | Executor::Answered { .. } => None,
        });
        standing.chain(held).chain(self.sealed.get(&label).copied()).max().unwrap_or(0).saturating_add(1)
    }

    /// What is ours, is let in, and is not in force nor on its way to be: at rest, all but the current one.
    pub(super) fn orphans(&self) -> impl Iterator<Item = &Key> {
        let current = self.row.current.and_then(|who| {
            let nonce = self.sealed.get(&(who.generation, who.candidate))?;
            Some((who.generation, who.candidate, *nonce))
        });
        self.keys.iter().filter(move |key| !key.is_foreign() && Some(key.value) != current)
    }

    pub(super) fn harm_at_provider(&self) -> Option<Harm> {
        (self.foreign && !self.keys.iter().any(Key::is_foreign)).then_some(Harm::ForeignDeleted)
    }

    /// What came after the last sweep is found by the next one; all that came before must be gone.
    pub(super) fn left_at_provider(&self) -> Option<Harm> {
        self.orphans().any(|key| !key.late).then_some(Harm::OrphanAtRest)
    }

    /// Candidates, pulled together: only their order is ever looked at, and whether one is the first.
    pub(super) fn pull_candidates(&mut self) {
        let mut seen = BTreeSet::from([Candidate(1)]);
        self.each_candidate(&mut |candidate| {
            seen.insert(*candidate);
        });
        let order: Vec<Candidate> = seen.into_iter().filter(|candidate| candidate.0 > 0).collect();
        self.each_candidate(&mut |candidate| {
            if let Ok(rank) = order.binary_search(candidate) {
                candidate.0 = u32::try_from(rank + 1).unwrap_or(u32::MAX);
            }
        });
    }

    fn each_candidate(&mut self, visit: &mut dyn FnMut(&mut Candidate)) {
        self.row.current.iter_mut().for_each(|who| visit(&mut who.candidate));
        if let Some(rotation) = &mut self.row.rotation {
            let others = rotation.from.iter_mut().chain(&mut rotation.owed);
            others.chain([&mut rotation.to]).for_each(|who| visit(&mut who.candidate));
        }
        let sealed = std::mem::take(&mut self.sealed);
        self.sealed = sealed
            .into_iter()
            .map(|((generation, mut candidate), nonce)| {
                visit(&mut candidate);
                ((generation, candidate), nonce)
            })
            .collect();
        for key in &mut self.keys {
            key.label.iter_mut().for_each(|label| visit(&mut label.candidate));
            visit(&mut key.value.1);
        }
        for shelf in &mut self.shelves {
            visit(&mut shelf.value.who.candidate);
        }
        for consumer in &mut self.consumers {
            visit(&mut consumer.held.1.who.candidate);
            visit(&mut consumer.acked.1.candidate);
            visit(&mut consumer.session.who.candidate);
            consumer.hand.iter_mut().for_each(|(_, value)| visit(&mut value.who.candidate));
        }
        for executor in &mut self.executors {
            match executor {
                Executor::Acting { effect, .. } | Executor::Ghost { effect, .. } => candidates_of(effect, visit),
                Executor::Idle | Executor::Answered { .. } => {}
            }
        }
    }
}

fn candidates_of(effect: &mut Effect, visit: &mut dyn FnMut(&mut Candidate)) {
    match effect {
        Effect::Sweep { to, keep } => {
            visit(&mut to.candidate);
            keep.iter_mut().for_each(|label| visit(&mut label.candidate));
        }
        Effect::Seal { to: who }
        | Effect::Mint { who, .. }
        | Effect::PutStaged { who, .. }
        | Effect::EnsureAccepted { who, .. }
        | Effect::Login { who }
        | Effect::Check { who }
        | Effect::Point { value: who, .. }
        | Effect::EnsureRefused { who, .. }
        | Effect::ProveRefused { who }
        | Effect::PutBack { who, .. }
        | Effect::Discard { who }
        | Effect::Release { who, .. }
        | Effect::Destroy { who, .. }
        | Effect::Revoke { who, .. } => visit(&mut who.candidate),
        Effect::CountUse { of } | Effect::EndSessions { of } => {
            of.iter_mut().for_each(|who| visit(&mut who.candidate));
        }
        Effect::Head { .. } | Effect::CountAdoption { .. } => {}
    }
}
