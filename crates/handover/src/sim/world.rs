//! The world around a simulated group: a target that fences, stores that fence, and consumers with habits.
//!
//! It knows nothing of rows and phases. What it shows is what a login, a read or a session would show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use handover_core::{
    Candidate, ConsumerId, Generation, Mark, Occupant, Publication, RowVersion, Slot, Slots, StoreId, StoreVersion,
    Withheld,
};

use super::script::{ConsumerChange, Setting, StoreChange, TargetChange};

/// Stands for a minted value: no two are alike.
pub(super) type Value = u32;

/// All that is outside.
#[derive(Debug)]
pub(super) struct World {
    pub(super) target: Target,
    pub(super) shelves: BTreeMap<StoreId, Shelf>,
    pub(super) consumers: BTreeMap<ConsumerId, Consumer>,
    /// Values that a committed row sealed.
    pub(super) sealed: BTreeMap<(Generation, Candidate), Value>,
    /// Whether the target shows who uses what.
    pub(super) evidence_known: bool,
    /// Whether the list of those expected is complete.
    pub(super) roll_complete: bool,
    /// How many values were ever minted.
    pub(super) minted: Value,
}

/// The system that accepts credentials.
#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) up: bool,
    /// There is none: places stand for what anybody may count on, until a store is told to forget it.
    pub(super) nowhere: bool,
    pub(super) rejections: u32,
    pub(super) refuses_login: bool,
    pub(super) lacks_grant: bool,
    pub(super) places: BTreeMap<Slot, Place>,
    /// What stood where the last candidate was put: what a fail-over to a stale replica brings back.
    before: Option<(Slot, Place)>,
}

/// A slot of the target.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) value: Option<(Occupant, Value)>,
    pub(super) enabled: bool,
    pub(super) mark: Option<Mark>,
}

/// What a store holds for the group.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) up: bool,
    pub(super) content: Content,
    /// What it holds under the staging label.
    pub(super) staged: Option<Occupant>,
    /// So many staged values will not be what it was given.
    pub(super) garbles: u32,
    /// Grows with every change; never comes back.
    changes: u32,
}

/// What a store's head bears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    Nothing,
    Ours { publication: Publication, value: Occupant },
    Foreign,
}

/// One who presents the credential, or verifies it, or both.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) presents: bool,
    pub(super) verifies: bool,
    reads: StoreId,
    /// What everything new uses.
    pub(super) held: Option<(Publication, Occupant)>,
    /// The highest publication that it said it loaded.
    pub(super) acked: Option<Publication>,
    /// The highest publication that it acknowledged as a verifier.
    pub(super) verified: Option<Publication>,
    /// What its open sessions use.
    pub(super) sessions: BTreeSet<Occupant>,
    pub(super) life: Life,
    pub(super) loads: bool,
    keeps_old_session: bool,
    lies: bool,
}

/// Whether a consumer lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Alive,
    Dead,
    /// Off the roll.
    Excused,
}

/// What those outside are hurt by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Harm {
    StorePublishesRefused(StoreId),
    ConsumerRefused(ConsumerId),
    SessionRefused(ConsumerId),
    AcceptedButLost(Generation),
    StorePublishesOther(StoreId),
    RetiredStillKept(Generation),
}

impl Harm {
    /// The store or consumer that is hurt, or `target`.
    pub(super) fn subject(&self) -> &str {
        match self {
            Self::StorePublishesRefused(store) | Self::StorePublishesOther(store) => store.as_str(),
            Self::ConsumerRefused(consumer) | Self::SessionRefused(consumer) => consumer.as_str(),
            Self::AcceptedButLost(_) | Self::RetiredStillKept(_) => "target",
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StorePublishesRefused(store) => write!(f, "store {store} publishes what the target refuses"),
            Self::ConsumerRefused(consumer) => write!(f, "what consumer {consumer} holds is refused"),
            Self::SessionRefused(consumer) => {
                write!(f, "a generation was refused while consumer {consumer} had a session of it")
            }
            Self::AcceptedButLost(generation) => {
                write!(f, "the target accepts a value of generation {generation} that nobody holds")
            }
            Self::StorePublishesOther(store) => {
                write!(f, "at rest, store {store} publishes something else than what is current")
            }
            Self::RetiredStillKept(generation) => {
                write!(f, "at rest, the target keeps generation {generation}, which is not current")
            }
        }
    }
}

impl World {
    /// At rest: generation 1 is published everywhere and held by everybody; or nothing is, if so set.
    pub(super) fn new(setting: &Setting) -> Self {
        let first = (!setting.empty).then(|| (Publication(1), first_occupant(setting.slots)));
        let mut target = Target { up: true, nowhere: setting.slots == Slots::Nowhere, ..Target::default() };
        let mut sealed = BTreeMap::new();
        if let Some((_, occupant)) = first {
            let mark = Mark { generation: occupant.generation, version: RowVersion(0) };
            target.places.insert(occupant.slot, Place { value: Some((occupant, 1)), enabled: true, mark: Some(mark) });
            sealed.insert((occupant.generation, occupant.candidate), 1);
        }
        let content =
            first.map_or(Content::Nothing, |(publication, occupant)| Content::Ours { publication, value: occupant });
        let changes = u32::from(first.is_some());
        let shelf = |store: &StoreId| (store.clone(), Shelf { up: true, content, staged: None, garbles: 0, changes });
        let mut world = Self {
            target,
            shelves: setting.stores.iter().map(shelf).collect(),
            consumers: BTreeMap::new(),
            sealed,
            evidence_known: true,
            roll_complete: true,
            minted: changes,
        };
        for (name, reads) in &setting.consumers {
            world.consumers.insert(name.clone(), Consumer::new(reads.clone(), true, false, first));
        }
        for name in &setting.verifiers {
            let reads = setting.stores.first();
            let entry = world.consumers.entry(name.clone());
            if let Some(reads) = reads {
                entry.or_insert_with(|| Consumer::new(reads.clone(), false, false, None)).verifies = true;
            }
        }
        world
    }

    /// Whether the target lets a generation in, with the value that is sealed for it.
    pub(super) fn accepts(&self, who: Occupant) -> bool {
        let sealed = self.sealed.get(&(who.generation, who.candidate));
        self.target
            .places
            .get(&who.slot)
            .is_some_and(|place| place.enabled && place.value == sealed.map(|value| (who, *value)))
    }

    /// Whether the target lets any value of a generation in.
    pub(super) fn accepts_generation(&self, generation: Generation) -> bool {
        self.target
            .places
            .values()
            .filter_map(|place| place.value)
            .any(|(who, _)| who.generation == generation && self.accepts(who))
    }

    /// What those outside are hurt by now. `rest` is what is current, if no rotation is live.
    pub(super) fn harms(&self, rest: Option<Occupant>) -> BTreeSet<Harm> {
        let mut harms = BTreeSet::new();
        for (store, shelf) in &self.shelves {
            if let Content::Ours { value, .. } = shelf.content {
                if !self.accepts(value) {
                    harms.insert(Harm::StorePublishesRefused(store.clone()));
                }
                if rest.is_some_and(|current| current != value) {
                    harms.insert(Harm::StorePublishesOther(store.clone()));
                }
            }
        }
        for (name, consumer) in self.consumers.iter().filter(|(_, consumer)| consumer.life == Life::Alive) {
            // One that says it loaded what it did not is found out by what it uses, not by what it holds unused.
            let honest = consumer.acked <= consumer.held.map(|(publication, _)| publication);
            if honest && consumer.held.is_some_and(|(_, value)| !self.accepts(value)) {
                harms.insert(Harm::ConsumerRefused(name.clone()));
            }
            if consumer.sessions.iter().any(|value| !self.accepts(*value)) {
                harms.insert(Harm::SessionRefused(name.clone()));
            }
        }
        for place in self.target.places.values() {
            let Some((who, value)) = place.value else { continue };
            if self.sealed.get(&(who.generation, who.candidate)) != Some(&value) {
                harms.insert(Harm::AcceptedButLost(who.generation));
            }
            if rest.is_some_and(|current| current != who) {
                harms.insert(Harm::RetiredStillKept(who.generation));
            }
        }
        harms
    }

    /// Everybody who loads by itself loads. What happened, a line each.
    pub(super) fn load_all(&mut self, verify: Option<Publication>, withheld: Option<&Withheld>) -> Vec<String> {
        let willing = |consumer: &Consumer| consumer.loads && consumer.life == Life::Alive;
        let names: Vec<ConsumerId> =
            self.consumers.iter().filter(|(_, consumer)| willing(consumer)).map(|(name, _)| name.clone()).collect();
        names.iter().filter_map(|name| self.load(name, verify, withheld)).collect()
    }

    /// A consumer reads its store and swaps the publication in. A lower one is refused, never a lower generation.
    /// What happened, if anything did.
    pub(super) fn load(
        &mut self,
        name: &ConsumerId,
        verify: Option<Publication>,
        withheld: Option<&Withheld>,
    ) -> Option<String> {
        let Self { shelves, consumers, .. } = self;
        let consumer = consumers.get_mut(name)?;
        if consumer.verifies && verify > consumer.verified {
            consumer.verified = verify;
            if !consumer.presents {
                return verify.map(|publication| format!("{name} acknowledges publication {publication} ahead"));
            }
        }
        let shelf = shelves.get(&consumer.reads).filter(|shelf| shelf.up)?;
        let Content::Ours { publication, value } = shelf.content else { return None };
        let (publication, value) = match withheld {
            Some(withheld) if withheld.keeps(value.generation, Some(name)) => (withheld.publication, withheld.instead),
            Some(_) | None => (publication, value),
        };
        if !consumer.presents || consumer.held.is_some_and(|(held, _)| held >= publication) {
            return None;
        }
        if consumer.lies {
            let news = consumer.acked < Some(publication);
            consumer.acked = consumer.acked.max(Some(publication));
            return news.then(|| format!("{name} says that it loaded publication {publication}, and did not"));
        }
        consumer.held = Some((publication, value));
        consumer.acked = consumer.acked.max(Some(publication));
        let stays = if consumer.keeps_old_session { "; an old session stays open" } else { "" };
        if !consumer.keeps_old_session {
            consumer.sessions.clear();
        }
        consumer.sessions.insert(value);
        Some(format!("{name} loads publication {publication}, generation {}{stays}", value.generation))
    }

    /// Something befalls a consumer. What happened, if anything did; `Err` if there is no such consumer.
    pub(super) fn change_consumer(
        &mut self,
        name: &ConsumerId,
        change: ConsumerChange,
        verify: Option<Publication>,
        withheld: Option<&Withheld>,
    ) -> Result<Option<String>, String> {
        if matches!(change, ConsumerChange::Joins) {
            return self.join(name, withheld);
        }
        let known: Vec<&str> = self.consumers.keys().map(ConsumerId::as_str).collect();
        let known = known.join(", ");
        let Some(consumer) = self.consumers.get_mut(name) else { return Err(known) };
        match change {
            ConsumerChange::Loads => return Ok(self.load(name, verify, withheld)),
            ConsumerChange::StopsLoading => consumer.loads = false,
            ConsumerChange::StartsLoading => consumer.loads = true,
            ConsumerChange::Lies => consumer.lies = true,
            ConsumerChange::Dies => {
                consumer.life = Life::Dead;
                consumer.sessions.clear();
            }
            ConsumerChange::IsExcused => consumer.life = Life::Excused,
            ConsumerChange::Restarts => {
                consumer.life = Life::Alive;
                consumer.lies = false;
                consumer.keeps_old_session = false;
                consumer.sessions = consumer.held.iter().map(|(_, value)| *value).collect();
                return Ok(self.load(name, verify, withheld));
            }
            ConsumerChange::KeepsOldSession => consumer.keeps_old_session = true,
            ConsumerChange::EndsOldSession => {
                consumer.keeps_old_session = false;
                consumer.sessions = consumer.held.iter().map(|(_, value)| *value).collect();
            }
            ConsumerChange::Joins => {}
        }
        Ok(None)
    }

    /// A late joiner gets the newest that it may read.
    fn join(&mut self, name: &ConsumerId, withheld: Option<&Withheld>) -> Result<Option<String>, String> {
        let Some(reads) = self.shelves.keys().next().cloned() else { return Err("none, without a store".to_owned()) };
        self.consumers.insert(name.clone(), Consumer::new(reads, true, false, None));
        Ok(self.load(name, None, withheld))
    }

    /// Something befalls the target. What happened, if it needs saying.
    pub(super) fn change_target(&mut self, change: TargetChange) -> Option<String> {
        match change {
            TargetChange::Up(up) => self.target.up = up,
            TargetChange::Rejects(count) => self.target.rejections += count,
            TargetChange::RefusesLogin(refuses) => self.target.refuses_login = refuses,
            TargetChange::LacksGrant(lacks) => self.target.lacks_grant = lacks,
            TargetChange::LosesCandidate => {
                let Some((slot, before)) = self.target.before.take() else {
                    return Some("there is no candidate to lose".to_owned());
                };
                self.target.places.insert(slot, before);
                return Some(format!("the target fails over: slot {slot} is as it was before the candidate"));
            }
        }
        None
    }

    /// Something befalls a store. What happened; `Err` with those known if there is no such store.
    pub(super) fn change_store(&mut self, name: &StoreId, change: StoreChange) -> Result<Option<String>, String> {
        let known: Vec<&str> = self.shelves.keys().map(StoreId::as_str).collect();
        let known = known.join(", ");
        let shelf = self.shelves.get_mut(name).ok_or(known)?;
        Ok(match change {
            StoreChange::Up(up) => {
                shelf.up = up;
                None
            }
            StoreChange::GarblesStaged => {
                shelf.garbles += 1;
                None
            }
            StoreChange::WrittenByOther => {
                shelf.change(Content::Foreign);
                shelf.version().map(|version| format!("somebody else writes store {name}, now at {version}"))
            }
            StoreChange::DeletedByOther => {
                shelf.change(Content::Nothing);
                Some(format!("somebody else deletes what store {name} held"))
            }
        })
    }
}

impl Target {
    /// Compares the mark and leaves the new one, as the target does in one transaction. `None`: fenced.
    pub(super) fn fenced(&mut self, slot: Slot, mark: Mark) -> Option<&mut Place> {
        let place = self.places.entry(slot).or_default();
        if place.mark.is_some_and(|stands| stands > mark) {
            return None;
        }
        place.mark = Some(mark);
        Some(place)
    }

    /// Notes what stands in a slot before a candidate is put there. Putting it there again does not forget that.
    pub(super) fn remember(&mut self, who: Occupant) {
        let place = self.places.get(&who.slot).cloned().unwrap_or_default();
        if place.value.is_none_or(|(occupant, _)| occupant.generation != who.generation) {
            self.before = Some((who.slot, place));
        }
    }
}

impl Shelf {
    /// The store's version; `None` if it holds nothing.
    pub(super) fn version(&self) -> Option<StoreVersion> {
        (self.content != Content::Nothing).then(|| StoreVersion(format!("v{}", self.changes).into()))
    }

    /// Changes what it holds, and with it the version.
    pub(super) fn change(&mut self, content: Content) {
        self.changes += 1;
        self.content = content;
    }
}

impl Consumer {
    fn new(reads: StoreId, presents: bool, verifies: bool, first: Option<(Publication, Occupant)>) -> Self {
        Self {
            presents,
            verifies,
            reads,
            held: first,
            acked: first.map(|(publication, _)| publication),
            verified: None,
            sessions: first.iter().map(|(_, value)| *value).collect(),
            life: Life::Alive,
            loads: true,
            keeps_old_session: false,
            lies: false,
        }
    }
}

/// The generation that every group begins with, unless it begins with nothing.
pub(super) const fn first_occupant(slots: Slots) -> Occupant {
    let slot = match slots {
        Slots::Fixed(_) => Slot(0),
        Slots::Fresh | Slots::Nowhere => Slot(1),
    };
    Occupant { generation: Generation(1), slot, candidate: Candidate(1) }
}
