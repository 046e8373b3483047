//! The small world that is explored: one target, some stores, some consumers, and executors that all believe they
//! are in charge. All of it is a value that can be copied, compared and hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_core::schedule::Cadence;
use handover_core::{
    Candidate, ConsumerId, Effect, Generation, GroupId, Mark, Minter, Moments, Occupant, Plan, Publication, Reach, Row,
    RowVersion, Slot, Slots, StoreId, StoreVersion, Strategy, Timestamp,
};

use super::asking;
use super::learnt::Learnt;
use super::minting::Key;
use super::mutation::Mutation;

/// Who minted a value: enough to tell two values of one candidate apart.
pub(super) type Nonce = u8;

/// A value outside: whose it is, and which one. After a state was set back, two may be minted for one candidate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Value {
    pub(super) who: Occupant,
    pub(super) nonce: Nonce,
}

/// The size of a world: what it holds and what may happen in it.
#[derive(Clone, Debug)]
pub struct Size {
    /// Its name, for reports.
    pub name: &'static str,
    /// Stores.
    pub stores: usize,
    /// Consumers; consumer *n* reads store *n mod stores*.
    pub consumers: usize,
    /// Executors that all believe they are in charge.
    pub executors: usize,
    /// How credentials are handed over.
    pub strategy: Strategy,
    /// The target's slots.
    pub slots: Slots,
    /// Rotations that may be started, one after the other.
    pub rotations: u8,
    /// Of these, how many may supersede a rollback that waits.
    pub supersedes: u8,
    /// Rollbacks that may be ordered.
    pub rollbacks: u8,
    /// Candidates that the target may reject.
    pub rejections: u8,
    /// Staged copies that a store may keep as something else than what it was given.
    pub garbles: u8,
    /// Checks are made after publishing, and so many of them may fail.
    pub checks: Option<u8>,
    /// Holds that may be ordered.
    pub holds: u8,
    /// Reads by a consumer that it may load late, after others.
    pub late_loads: bool,
    /// Old sessions stay open at a consumer after it loaded a new value.
    pub old_sessions: bool,
    /// The first consumer may acknowledge what it did not load.
    pub liar: bool,
    /// The last consumer may die, and then be excused.
    pub deaths: bool,
    /// Whether a consumer that died is ever excused.
    pub excused: bool,
    /// Waiting is accumulated, and the clock ticks and jumps.
    pub clock: bool,
    /// Whether forcing may be ordered, as often as it takes.
    pub forces: bool,
    /// How often a copy of the state may be taken, and put back later.
    pub restores: u8,
    /// Whether it is put back by hand: then nothing says so but the world itself.
    pub by_hand: bool,
    /// Who makes the value.
    pub minter: Minter,
    /// Whether somebody else makes a credential at the provider, and deletes it again, at any time.
    pub foreign: bool,
    /// Whether the plan asks a person before each gate. The word may come at any time or never, and may run out.
    pub asks: bool,
    /// Whether the first consumer may read a candidate before the others.
    pub waves: bool,
    /// How often a person may say that what is in force is compromised.
    pub emergencies: u8,
}

impl Size {
    /// The smallest world in which everything happens in turn; the others are made from it.
    pub const fn small(name: &'static str) -> Self {
        Self {
            name,
            stores: 1,
            consumers: 1,
            executors: 2,
            strategy: Strategy::DualWrite,
            slots: Slots::Fixed(2),
            rotations: 1,
            supersedes: 0,
            rollbacks: 1,
            rejections: 0,
            garbles: 0,
            checks: None,
            holds: 0,
            late_loads: false,
            old_sessions: false,
            liar: false,
            deaths: false,
            excused: true,
            clock: false,
            forces: false,
            restores: 0,
            by_hand: false,
            minter: Minter::Us,
            foreign: false,
            asks: false,
            waves: false,
            emergencies: 0,
        }
    }

    /// The poll interval of the world's plan.
    pub const POLL: Duration = Duration::from_secs(1);

    /// The plan that all its rotations go by.
    pub fn plan(&self) -> Plan {
        let wait = if self.clock { Self::POLL } else { Duration::ZERO };
        // As the planner has it where nobody can be asked.
        let asked = self.slots != Slots::Nowhere;
        let looked = if asked { wait } else { Duration::ZERO };
        Plan {
            strategy: self.strategy,
            slots: self.slots,
            minter: self.minter,
            stores: (0..self.stores).map(store_id).collect(),
            passes_min: u32::from(asked),
            quiet_min: looked,
            overlap_min: wait,
            brake_for: looked,
            poll: Self::POLL,
            reach_min: Reach::Loaded,
            auto_rollback: true,
            // Where the provider mints, each death may cost one.
            candidates_max: if self.minter == Minter::Us { 2 } else { u32::MAX },
            deadlines: BTreeMap::new(),
            approvals: if self.asks { asking::rules() } else { BTreeMap::new() },
            verifiers: false,
            presenters: true,
            checks: Moments { before_publish: false, after_publish: self.checks.is_some() },
            waves: self.waves(),
            urgency: None,
            policy_digest: String::new(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Place {
    /// What logs in here: whose value, and which.
    pub(super) value: Option<(Generation, Candidate, Nonce)>,
    pub(super) enabled: bool,
    pub(super) mark: Option<Mark>,
}

impl Place {
    /// Where there is no target, nobody may count on a value any more once it is discarded, and nothing that comes late
    /// changes that.
    pub(super) const fn never_again() -> Self {
        let mark = Mark { generation: Generation(u64::MAX), version: RowVersion(0) };
        Self { value: None, enabled: false, mark: Some(mark) }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Shelf {
    /// Grows with every write; never comes back.
    pub(super) version: u32,
    pub(super) publication: Publication,
    pub(super) value: Value,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Consumer {
    /// What everything new uses.
    pub(super) held: (Publication, Value),
    /// Read from the store, not loaded yet.
    pub(super) hand: Option<(Publication, Value)>,
    /// What was acknowledged.
    pub(super) acked: (Publication, Occupant),
    /// What an open session uses.
    pub(super) session: Value,
    pub(super) life: Life,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Life {
    Alive,
    Dead,
    /// Dead, and off the roll.
    Excused,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Executor {
    Idle,
    /// It is about to act, for as long as it likes: a paused executor stands here.
    Acting {
        version: RowVersion,
        effect: Effect,
        nonce: Nonce,
    },
    /// It belongs to a process from before the state was set back: it may still act, and can record nothing.
    Ghost {
        effect: Effect,
        nonce: Nonce,
    },
    /// It has an answer and has not recorded it.
    Answered {
        version: RowVersion,
        fact: Learnt,
        nonce: Nonce,
    },
}

/// A state of the world.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct World {
    pub(super) row: Row,
    /// Values that a committed row sealed.
    pub(super) sealed: Sealed,
    pub(super) places: Vec<Place>,
    /// What stands at a provider that mints; there are no places then.
    pub(super) keys: Vec<Key>,
    /// Somebody else made a credential there, and did not delete it.
    pub(super) foreign: bool,
    pub(super) shelves: Vec<Shelf>,
    /// What each store holds under the staging label.
    pub(super) copies: Vec<Option<Value>>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) executors: Vec<Executor>,
    pub(super) now: Timestamp,
    /// What may still happen.
    pub(super) left: Left,
    /// A person forced a wait to end: what consumers suffer from it is not held against the rules.
    pub(super) forced: bool,
    /// The live rotation goes by the plan of an emergency.
    pub(super) urgent: bool,
    /// What a person said before gates.
    pub(super) said: asking::Said,
    /// A copy of the state.
    pub(super) copy: Option<Box<(Row, Sealed)>>,
    /// The state was set back at some time: values that it never sealed may be in force.
    pub(super) set_back: bool,
    /// The state was set back by hand, and not compared with the world since.
    pub(super) uncompared: bool,
}

/// Values that a state holds.
pub(super) type Sealed = BTreeMap<(Generation, Candidate), Nonce>;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Left {
    pub(super) rotations: u8,
    pub(super) supersedes: u8,
    pub(super) rollbacks: u8,
    pub(super) rejections: u8,
    pub(super) garbles: u8,
    pub(super) failures: u8,
    pub(super) holds: u8,
    pub(super) restores: u8,
    pub(super) emergencies: u8,
}

pub(super) fn store_id(index: usize) -> StoreId {
    name(["s0", "s1", "s2"][index], StoreId::parse)
}

pub(super) fn consumer_id(index: usize) -> ConsumerId {
    name(["c0", "c1", "c2", "c3"][index], ConsumerId::parse)
}

#[expect(clippy::expect_used, reason = "the names are constants of this file")]
pub(super) fn name<T, E: std::fmt::Debug>(text: &str, parse: impl Fn(&str) -> Result<T, E>) -> T {
    parse(text).expect("a constant name parses")
}

pub(super) fn store_version(number: u32) -> StoreVersion {
    StoreVersion(number.to_string().into())
}

pub(super) fn version_number(version: &StoreVersion) -> u32 {
    version.0.parse().unwrap_or(u32::MAX)
}

impl World {
    /// At rest: generation 1 in slot 0 is published everywhere and held by everybody.
    pub(super) fn at_rest(size: &Size) -> Self {
        let first = Occupant { generation: Generation(1), slot: first_slot(size.slots), candidate: Candidate(1) };
        let publication = Publication(1);
        let value = Value { who: first, nonce: 0 };
        let mut row = Row::new(name("g", GroupId::parse));
        row.version = RowVersion(1);
        row.current = Some(first);
        row.last_generation = first.generation;
        row.publication = publication;
        row.heads = (0..size.stores).map(|index| (store_id(index), store_version(1))).collect();
        let places = match size.slots {
            _ if size.minter == Minter::Provider => 0,
            Slots::Fixed(slots) => slots as usize,
            Slots::Fresh | Slots::Nowhere => 2 + usize::from(size.rotations),
        };
        let mut world = Self {
            row,
            sealed: BTreeMap::from([((first.generation, first.candidate), 0)]),
            places: vec![Place::default(); places],
            keys: if size.minter == Minter::Us { Vec::new() } else { vec![Key::first(first)] },
            foreign: false,
            shelves: vec![Shelf { version: 1, publication, value }; size.stores],
            copies: vec![None; size.stores],
            consumers: vec![
                Consumer {
                    held: (publication, value),
                    hand: None,
                    acked: (publication, first),
                    session: value,
                    life: Life::Alive,
                };
                size.consumers
            ],
            executors: vec![Executor::Idle; size.executors],
            now: Timestamp(0),
            left: Left {
                rotations: size.rotations,
                supersedes: size.supersedes,
                rollbacks: size.rollbacks,
                rejections: size.rejections,
                garbles: size.garbles,
                failures: size.checks.unwrap_or_default(),
                holds: size.holds,
                restores: size.restores,
                emergencies: size.emergencies,
            },
            forced: false,
            urgent: false,
            said: asking::Said::default(),
            copy: None,
            set_back: false,
            uncompared: false,
        };
        if let Some(place) = world.places.get_mut(first.slot.0 as usize) {
            *place = Place {
                value: Some((first.generation, first.candidate, 0)),
                enabled: true,
                mark: Some(Mark { generation: first.generation, version: RowVersion(0) }),
            };
        }
        world
    }

    /// Whether the target lets a generation in, with the value that we hold sealed.
    pub(super) fn accepts(&self, who: Occupant) -> bool {
        let sealed = self.sealed.get(&(who.generation, who.candidate));
        sealed.is_some_and(|nonce| self.lets_in(Value { who, nonce: *nonce }))
    }

    /// Whether nothing is left to be done: no rotation, no doubt, and a record that was compared.
    pub(super) fn is_at_rest(&self) -> bool {
        self.row.live().is_none()
            && self.row.doubt.is_none()
            && !self.uncompared
            && (self.keys.is_empty() || self.orphans().next().is_none())
    }

    /// Whether the target lets a value in.
    pub(super) fn lets_in(&self, value: Value) -> bool {
        let Value { who, nonce } = value;
        let value = (who.generation, who.candidate, nonce);
        let place = self.places.get(who.slot.0 as usize);
        place.is_some_and(|place| place.enabled && place.value == Some(value))
            || self.keys.iter().any(|key| key.value == value)
    }

    /// What those outside would be hurt by, and what must never be seen. This looks at the target, the stores and the
    /// consumers alone; of the row it uses only what is current at rest.
    pub(super) fn harm(&self, size: &Size) -> Option<Harm> {
        // What is replaced in place is refused before it is published, and what is put back before it is loaded.
        let outage = size.strategy.replaces_in_place(size.slots) && !self.is_at_rest();
        let refused = if outage { None } else { self.refused() };
        let unapproved = (size.asks && self.said.unapproved).then_some(Harm::Unapproved);
        refused
            .or(unapproved)
            .or_else(|| self.early(size))
            .or_else(|| self.lost())
            .or_else(|| self.harm_at_provider())
            .or_else(|| self.harm_at_rest())
    }

    fn refused(&self) -> Option<Harm> {
        for (index, shelf) in self.shelves.iter().enumerate() {
            if !self.lets_in(shelf.value) {
                return Some(Harm::StorePublishesRefused { store: index });
            }
        }
        for (index, consumer) in self.consumers.iter().enumerate() {
            if self.forced || consumer.life != Life::Alive {
                continue;
            }
            // One that says it loaded what it did not is found out by what it uses, not by what it holds unused.
            let honest = consumer.acked.0 <= consumer.held.0;
            if honest && !self.lets_in(consumer.held.1) {
                return Some(Harm::ConsumerRefused { consumer: index });
            }
            if !self.lets_in(consumer.session) {
                return Some(Harm::RefusedWhileInUse { consumer: index });
            }
        }
        None
    }

    fn lost(&self) -> Option<Harm> {
        for place in &self.places {
            if let Some((generation, candidate, nonce)) = place.value
                && !self.set_back
                && self.sealed.get(&(generation, candidate)) != Some(&nonce)
            {
                return Some(Harm::AcceptedButLost);
            }
        }
        None
    }

    fn harm_at_rest(&self) -> Option<Harm> {
        let current = self.row.current?;
        let ended = self.row.live().is_none() && self.row.doubt.is_none() && !self.uncompared;
        if !ended || (self.set_back && self.doubt().is_some()) {
            return None;
        }
        if self.shelves.iter().any(|shelf| shelf.value.who != current) {
            return Some(Harm::StorePublishesOther);
        }
        let left = |(slot, place): (usize, &Place)| slot != current.slot.0 as usize && place.value.is_some();
        let retired = self.places.iter().enumerate().any(left).then_some(Harm::RetiredStillAccepted);
        retired.or_else(|| self.left_at_provider())
    }

    /// The same world with its counters pulled together: only their order is ever looked at.
    pub(super) fn canonical(mut self, size: &Size, mutation: Option<Mutation>) -> Self {
        self.forget_what_cannot_matter(mutation);
        self.forget_copies();
        self.erase_values();
        self.forget_words();
        self.forget_urgency();
        self.pull_versions();
        self.pull_publications();
        self.pull_store_versions();
        if size.clock {
            self.pull_time();
        }
        if size.minter == Minter::Provider {
            self.pull_candidates();
            self.keys.sort_unstable();
        }
        self.executors.sort_unstable();
        self
    }

    /// An answer for a row that moved on will not be recorded, and a look for it teaches nothing.
    fn forget_what_cannot_matter(&mut self, mutation: Option<Mutation>) {
        for executor in &mut self.executors {
            let gone = match executor {
                Executor::Idle => false,
                Executor::Answered { version, .. } => *version != self.row.version,
                Executor::Acting { version, .. } if *version == self.row.version => false,
                Executor::Acting { effect, .. } | Executor::Ghost { effect, .. } => {
                    let looks = effect.is_look() || (matches!(effect, Effect::Seal { .. }) && mutation.is_none());
                    let fenced = mutation.is_none()
                        && match effect {
                            Effect::Point { store, expect, .. } => {
                                let shelf = &self.shelves[usize::from(store.as_str() == "s1")];
                                *expect != Some(store_version(shelf.version))
                            }
                            Effect::EnsureAccepted { who, mark, .. }
                            | Effect::EnsureRefused { who, mark }
                            | Effect::PutBack { who, mark }
                            | Effect::Release { who, mark }
                            | Effect::Destroy { who, mark }
                            | Effect::Revoke { who, mark } => {
                                let place = self.places.get(who.slot.0 as usize);
                                place.is_some_and(|place| place.mark.is_some_and(|stands| stands > *mark))
                            }
                            Effect::PutStaged { who, .. } => self.row.live().is_none_or(|live| live.to != *who),
                            Effect::Seal { .. }
                            | Effect::Sweep { .. }
                            | Effect::Mint { .. }
                            | Effect::Login { .. }
                            | Effect::Check { .. }
                            | Effect::Head { .. }
                            | Effect::CountAdoption { .. }
                            | Effect::CountUse { .. }
                            | Effect::ProveRefused { .. }
                            | Effect::Discard { .. }
                            | Effect::EndSessions { .. } => false,
                        };
                    looks || fenced
                }
            };
            if gone {
                *executor = Executor::Idle;
            }
        }
    }

    /// What ended is history, and sealed values that serve nobody any more are erased with it.
    fn erase_values(&mut self) {
        if self.row.live().is_none() {
            self.row.rotation = None;
        }
        let mut needed: BTreeSet<Generation> = self.row.current.iter().map(|current| current.generation).collect();
        if let Some(rotation) = &self.row.rotation {
            needed.extend(rotation.retiring().iter().chain([&rotation.to]).map(|occupant| occupant.generation));
        }
        if self.set_back {
            // The copy may be of a time when another value of the same name was sealed.
            needed.extend(self.row.doubt.iter().flat_map(|_| self.sealed.keys().map(|(generation, _)| *generation)));
        }
        needed.extend(self.places.iter().filter_map(|place| place.value.map(|(generation, _, _)| generation)));
        self.sealed.retain(|(generation, _), _| needed.contains(generation));
    }

    fn pull_versions(&mut self) {
        let mut seen = BTreeSet::from([self.row.version]);
        self.each_version(&mut |version| {
            seen.insert(*version);
        });
        let rank = ranks(seen, 1);
        self.each_version(&mut |version| version.0 = rank(version));
    }

    fn each_version(&mut self, visit: &mut dyn FnMut(&mut RowVersion)) {
        self.each_row(&mut |row| visit(&mut row.version));
        for place in &mut self.places {
            place.mark.iter_mut().for_each(|mark| visit(&mut mark.version));
        }
        for executor in &mut self.executors {
            match executor {
                Executor::Idle => {}
                Executor::Acting { version, effect, .. } => {
                    visit(version);
                    mark_of(effect).into_iter().for_each(|mark| visit(&mut mark.version));
                }
                Executor::Ghost { effect, .. } => {
                    mark_of(effect).into_iter().for_each(|mark| visit(&mut mark.version));
                }
                Executor::Answered { version, .. } => visit(version),
            }
        }
    }

    fn pull_publications(&mut self) {
        let mut seen = BTreeSet::new();
        self.each_publication(&mut |publication| {
            seen.insert(*publication);
        });
        let rank = ranks(seen, 1);
        self.each_publication(&mut |publication| publication.0 = rank(publication));
    }

    fn each_row(&mut self, visit: &mut dyn FnMut(&mut Row)) {
        visit(&mut self.row);
        self.copy.iter_mut().for_each(|copy| visit(&mut copy.0));
    }

    fn each_publication(&mut self, visit: &mut dyn FnMut(&mut Publication)) {
        self.each_row(&mut |row| visit(&mut row.publication));
        for shelf in &mut self.shelves {
            visit(&mut shelf.publication);
        }
        for consumer in &mut self.consumers {
            visit(&mut consumer.held.0);
            visit(&mut consumer.acked.0);
            consumer.hand.iter_mut().for_each(|(publication, _)| visit(publication));
        }
        for executor in &mut self.executors {
            match executor {
                Executor::Acting { effect: Effect::Point { publication, .. }, .. }
                | Executor::Ghost { effect: Effect::Point { publication, .. }, .. }
                | Executor::Acting { effect: Effect::CountAdoption { publication, .. }, .. }
                | Executor::Answered { fact: Learnt::Head { ours: Some(publication), .. }, .. } => visit(publication),
                Executor::Answered { fact: Learnt::Adoption(members), .. } => {
                    members.iter_mut().for_each(|(_, publication)| visit(publication));
                }
                Executor::Idle | Executor::Acting { .. } | Executor::Ghost { .. } | Executor::Answered { .. } => {}
            }
        }
    }

    fn pull_store_versions(&mut self) {
        for index in 0..self.shelves.len() {
            let store = store_id(index);
            let mut seen = BTreeSet::from([self.shelves[index].version]);
            self.each_store_version(&store, &mut |version| {
                seen.insert(version_number(version));
            });
            let rank = ranks(seen, 1);
            let number = |old: u32| u32::try_from(rank(&old)).unwrap_or(u32::MAX);
            self.shelves[index].version = number(self.shelves[index].version);
            self.each_store_version(&store, &mut |version| {
                let new = number(version_number(version));
                if version_number(version) != new {
                    *version = store_version(new);
                }
            });
        }
    }

    fn each_store_version(&mut self, of: &StoreId, visit: &mut dyn FnMut(&mut StoreVersion)) {
        use handover_core::{Phase, Pointer, Undo};
        self.each_row(&mut |row| {
            row.heads.iter_mut().filter(|(store, _)| *store == of).for_each(|(_, version)| visit(version));
            if let Some(rotation) = &mut row.rotation
                && let Phase::Publish { pointers }
                | Phase::Rollback(Undo::Unpublish { pointers } | Undo::PutBack { pointers: Some(pointers) }) =
                    &mut rotation.phase
                && let Some(Pointer::Expect(Some(version)) | Pointer::Landed(version)) = pointers.0.get_mut(of)
            {
                visit(version);
            }
        });
        for executor in &mut self.executors {
            match executor {
                Executor::Acting { effect: Effect::Point { store, expect: Some(version), .. }, .. }
                | Executor::Ghost { effect: Effect::Point { store, expect: Some(version), .. }, .. }
                | Executor::Answered { fact: Learnt::Head { store, version: Some(version), .. }, .. }
                | Executor::Answered { fact: Learnt::Pointed { store, version }, .. }
                    if store == of =>
                {
                    visit(version);
                }
                Executor::Idle | Executor::Acting { .. } | Executor::Ghost { .. } | Executor::Answered { .. } => {}
            }
        }
    }

    /// Time relative to now. What is older than two polls counts as two polls, wherever it is.
    fn pull_time(&mut self) {
        use handover_core::{Opened, Phase, Undo, Waited};
        let now = self.now;
        self.now = Timestamp(0);
        let oldest = i64::try_from(Size::POLL.as_millis() * 2).unwrap_or(i64::MAX);
        let pull = |waited: &mut Waited| {
            if let Some(at) = &mut waited.seen_at {
                *at = Timestamp((at.0 - now.0).clamp(-oldest, 1));
            }
        };
        self.row.cadence = Cadence::default();
        let Some(rotation) = &mut self.row.rotation else { return };
        rotation.entered_at = Timestamp(0);
        match &mut rotation.phase {
            Phase::Drain { quiet, overlap, .. } => {
                pull(quiet);
                pull(overlap);
            }
            Phase::Disable { held, .. } => pull(held),
            Phase::Propagate { opened: Opened::Wave { soaked, .. }, .. } => pull(soaked),
            Phase::Rollback(Undo::Quiet { quiet, .. }) => pull(quiet),
            Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Destroy { .. }
            | Phase::Rollback(
                Undo::Release
                | Undo::PutBack { .. }
                | Undo::Unpublish { .. }
                | Undo::Return { .. }
                | Undo::Revoke { .. },
            )
            | Phase::Done(_) => {}
        }
    }
}

fn first_slot(slots: Slots) -> Slot {
    match slots {
        Slots::Fixed(_) => Slot(0),
        Slots::Fresh | Slots::Nowhere => Slot(1),
    }
}

pub(super) fn mark_of(effect: &mut Effect) -> Option<&mut Mark> {
    match effect {
        Effect::Mint { mark, .. }
        | Effect::EnsureAccepted { mark, .. }
        | Effect::EnsureRefused { mark, .. }
        | Effect::PutBack { mark, .. }
        | Effect::Release { mark, .. }
        | Effect::Destroy { mark, .. }
        | Effect::Revoke { mark, .. } => Some(mark),
        Effect::Seal { .. }
        | Effect::Sweep { .. }
        | Effect::PutStaged { .. }
        | Effect::Login { .. }
        | Effect::Check { .. }
        | Effect::Head { .. }
        | Effect::Point { .. }
        | Effect::CountAdoption { .. }
        | Effect::CountUse { .. }
        | Effect::ProveRefused { .. }
        | Effect::Discard { .. }
        | Effect::EndSessions { .. } => None,
    }
}

/// Dense ranks of what was seen, from `first`.
fn ranks<T: Ord + Copy>(seen: BTreeSet<T>, first: u64) -> impl Fn(&T) -> u64 {
    let order: Vec<T> = seen.into_iter().collect();
    move |value| first + order.binary_search(value).unwrap_or_default() as u64
}

/// What those outside are hurt by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Harm {
    /// A store publishes a generation that the target refuses.
    StorePublishesRefused {
        /// Which store.
        store: usize,
    },
    /// What a consumer holds is refused.
    ConsumerRefused {
        /// Which consumer.
        consumer: usize,
    },
    /// A generation was refused while a session of it was open.
    RefusedWhileInUse {
        /// Which consumer's.
        consumer: usize,
    },
    /// The target accepts a value that nobody holds durably.
    AcceptedButLost,
    /// At rest, a store publishes something else than what is current.
    StorePublishesOther,
    /// At rest, the target still accepts or keeps a generation that is not current.
    RetiredStillAccepted,
    /// What somebody else made at the provider was deleted.
    ForeignDeleted,
    /// At rest, the provider still accepts what it minted for us and nobody holds, and which was there in time to be found.
    OrphanAtRest,
    /// A gate was passed without the word of a person.
    Unapproved,
    /// A consumer got a candidate before one of an earlier wave had shown that it does.
    Early {
        /// Which consumer.
        consumer: usize,
    },
    /// No end can be reached from here.
    DeadEnd,
    /// The core's own check found a broken invariant.
    Violation,
}
