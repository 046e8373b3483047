//! Campaigns: every order of events in a small world, and random ones in larger worlds.
//!
//! In the world are groups whose rotations go forward, end, or turn back by themselves; an engine that reads rows, commits
//! and gives orders, and may die between any two of those; and a person. An order that was given may land at any time until
//! the campaign's next commit, or never: a state store takes writes in turn.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use handover_core::campaign::graph::{self, First, Graph};
use handover_core::campaign::{
    Campaign, Change, End, Leg, LegState, Motion, OnFailure, Pause, REFUSED_MAX, Setback, Terms, Until, Wanted, change,
    looks, refused, step, wanted,
};
use handover_core::{
    CampaignId, Candidate, ConsumerId, Generation, GroupId, Occupant, Outcome, Phase, Roll, Rotation, Row, RowVersion,
    Slot, Tally, Timestamp, Undo, Waited,
};
use proptest::prelude::*;

/// Where a rotation stands, as coarse as a campaign looks at it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stands {
    OnItsWay,
    Adopted,
    PastReturn,
    Succeeded,
    Returning,
    RolledBack,
}

impl Stands {
    fn is_live(self) -> bool {
        !matches!(self, Self::Succeeded | Self::RolledBack)
    }

    fn phase(self) -> Phase {
        match self {
            Self::OnItsWay => Phase::Apply { staged: std::collections::BTreeSet::new() },
            Self::Adopted => Phase::Drain {
                quiet: Waited::default(),
                tally: Tally::Unknown,
                overlap: Waited::default(),
                presenters: Roll::Uncalled,
            },
            Self::PastReturn => Phase::Destroy { gone: BTreeSet::new() },
            Self::Succeeded => Phase::Done(Outcome::Success),
            Self::Returning => Phase::Rollback(Undo::Revoke { gone: BTreeSet::new() }),
            Self::RolledBack => Phase::Done(Outcome::RolledBack),
        }
    }
}

/// A group: how many rotations it has had, and the last one. Generation 1 was there before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Place {
    rotations: u64,
    last: Option<Stands>,
}

impl Place {
    fn row(self, group: &GroupId) -> Row {
        let occupant =
            |generation| Occupant { generation: Generation(generation), slot: Slot(0), candidate: Candidate(1) };
        let newest = 1 + self.rotations;
        let current = if self.last == Some(Stands::Succeeded) || self.rotations == 0 { newest } else { newest - 1 };
        let rotation = self.last.map(|stands| Rotation {
            from: Some(occupant(newest - 1)),
            to: occupant(newest),
            owed: Vec::new(),
            phase: stands.phase(),
            elapsed: Waited::default(),
            entered_at: Timestamp(0),
            hold: None,
            trouble: None,
            cause: None,
            asked_by: None,
            approvals: BTreeMap::new(),
        });
        Row {
            version: RowVersion(newest),
            current: Some(occupant(current)),
            last_generation: Generation(newest),
            rotation,
            ..Row::new(group.clone())
        }
    }
}

#[derive(Clone, Debug)]
struct World {
    campaign: Campaign,
    places: BTreeMap<GroupId, Place>,
    /// Orders that were given since the last commit, and have not landed.
    given: Vec<Wanted>,
    /// Rows that the engine has read since the last commit.
    seen: Option<BTreeMap<GroupId, Row>>,
    /// How many rotations may still turn back by themselves, and how often a person may still ask.
    failures: u8,
    wishes: u8,
    /// How often a person had what failed tried again.
    retries: u64,
    /// Groups that were ordered back by the campaign.
    ordered_back: BTreeSet<GroupId>,
}

fn name(text: &str) -> GroupId {
    GroupId::parse(text).unwrap()
}

fn campaign(after: &Graph, terms: Terms) -> Campaign {
    let leg = |after: &BTreeSet<GroupId>| Leg { after: after.clone(), state: LegState::Waiting };
    Campaign {
        id: CampaignId(1),
        version: RowVersion(1),
        asked_by: ConsumerId::parse("anna").unwrap(),
        reason: None,
        asked_at: Timestamp(0),
        terms,
        legs: after.iter().map(|(group, after)| (group.clone(), leg(after))).collect(),
        motion: Motion::Running,
    }
}

impl World {
    fn new(after: &Graph, terms: Terms, failures: u8, wishes: u8) -> Self {
        let campaign = campaign(after, terms);
        let places = campaign.legs.keys().map(|group| (group.clone(), Place::default())).collect();
        let (given, ordered_back) = (Vec::new(), BTreeSet::new());
        Self { campaign, places, given, seen: None, failures, wishes, retries: 0, ordered_back }
    }

    fn rows(&self) -> BTreeMap<GroupId, Row> {
        looks(&self.campaign).into_iter().map(|group| (group.clone(), self.places[group].row(group))).collect()
    }

    fn commit(&mut self, next: Campaign) {
        assert_eq!(next.version, self.campaign.version.next());
        self.campaign = next;
        // Writes are taken in turn: what has not landed by now never will.
        self.given.clear();
        self.seen = None;
    }

    fn land(&mut self, order: &Wanted) {
        let place = self.places.get_mut(order.group()).unwrap();
        match order {
            Wanted::Start { generation, group } => {
                if place.last.is_some_and(Stands::is_live) || generation.0 != 2 + place.rotations {
                    return;
                }
                *place = Place { rotations: place.rotations + 1, last: Some(Stands::OnItsWay) };
                self.started(&group.clone());
            }
            Wanted::Rollback { generation, group } => {
                let takes_it = matches!(place.last, Some(Stands::OnItsWay | Stands::Adopted));
                if takes_it && generation.0 == 1 + place.rotations {
                    place.last = Some(Stands::Returning);
                    self.ordered_back.insert(group.clone());
                    self.went_back(&group.clone());
                }
            }
        }
    }

    /// What must hold when a rotation starts, seen from outside.
    fn started(&self, group: &GroupId) {
        for before in &self.campaign.legs[group].after {
            let stands = self.places[before].last;
            let through = match self.campaign.terms.until {
                Until::Adopted => {
                    // It may have turned back since the campaign looked; that nobody can prevent.
                    !matches!(stands, None | Some(Stands::OnItsWay))
                }
                Until::Ended => stands == Some(Stands::Succeeded),
            };
            assert!(through, "{group} started before {before}, which is {stands:?}: {self:#?}");
        }
        assert!(self.places[group].rotations <= 1 + self.retries, "{group} rotated too often: {self:#?}");
    }

    /// What must hold when a rotation is taken back by the campaign.
    fn went_back(&self, group: &GroupId) {
        for (other, leg) in &self.campaign.legs {
            let stands = self.places[other].last.is_some_and(|stands| stands.is_live() || stands == Stands::Succeeded);
            assert!(
                !(leg.after.contains(group) && stands),
                "{group} goes back while {other}, which comes after it, stands: {self:#?}"
            );
        }
    }

    /// What must hold in every state.
    fn check(&self) {
        let on_their_way = self.places.values().filter(|place| matches!(place.last, Some(Stands::OnItsWay))).count();
        assert!(on_their_way <= self.campaign.terms.parallel_max as usize, "more than may be on their way: {self:#?}");
        if let Motion::Ended(end) = self.campaign.motion {
            let every = |is: Stands| self.places.values().all(|place| place.last == Some(is));
            assert!(end != End::Success || every(Stands::Succeeded), "{self:#?}");
            let settled = self.places.iter().all(|(group, place)| {
                !place.last.is_some_and(Stands::is_live)
                    || matches!(self.campaign.legs[group].state, LegState::Kept { .. })
            });
            assert!(settled, "it ended before what it started: {self:#?}");
            if end == End::Undone {
                assert!(self.places.values().all(|place| place.last != Some(Stands::Succeeded)), "{self:#?}");
            }
        }
        self.starts_nothing_blindly();
    }

    /// A step that saw nothing may react to what it knew, and starts nothing.
    fn starts_nothing_blindly(&self) {
        let Some(next) = step(&self.campaign, &BTreeMap::new()) else { return };
        for (group, leg) in &next.legs {
            let was = self.campaign.legs[group].state;
            let begins = matches!(leg.state, LegState::Starting { .. }) && was == LegState::Waiting;
            assert!(!begins, "it starts {group} blindly: {self:#?}");
        }
    }

    /// All states that may follow.
    fn followers(&self) -> Vec<Self> {
        let mut followers = Vec::new();
        let mut push = |change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            followers.push(next);
        };
        // The engine reads, commits what follows from what it read, or dies and forgets what it read.
        match &self.seen {
            None => push(&|world| world.seen = Some(world.rows())),
            Some(seen) => {
                match step(&self.campaign, seen) {
                    Some(next) => push(&|world| world.commit(next.clone())),
                    // Nothing follows: orders are given.
                    None => {
                        for order in wanted(&self.campaign) {
                            if !self.given.contains(&order) {
                                push(&|world| world.given.push(order.clone()));
                            }
                        }
                    }
                }
                push(&|world| world.seen = None);
            }
        }
        for order in &self.given {
            push(&|world| {
                world.given.retain(|other| other != order);
                world.land(order);
            });
        }
        for (group, place) in &self.places {
            let forward = match place.last {
                Some(Stands::OnItsWay) => Some(Stands::Adopted),
                Some(Stands::Adopted) => Some(Stands::PastReturn),
                Some(Stands::PastReturn) => Some(Stands::Succeeded),
                Some(Stands::Returning) => Some(Stands::RolledBack),
                Some(Stands::Succeeded | Stands::RolledBack) | None => None,
            };
            if let Some(forward) = forward {
                push(&|world| world.places.get_mut(group).unwrap().last = Some(forward));
            }
            if self.failures > 0 && matches!(place.last, Some(Stands::OnItsWay | Stands::Adopted)) {
                push(&|world| {
                    world.places.get_mut(group).unwrap().last = Some(Stands::Returning);
                    world.failures -= 1;
                });
            }
        }
        if self.wishes > 0 {
            for wish in [
                Change::Hold,
                Change::Resume { skip_failed: false },
                Change::Resume { skip_failed: true },
                Change::Undo,
                Change::Cancel,
            ] {
                if let Ok(next) = change(&self.campaign, wish) {
                    push(&|world| {
                        world.retries += u64::from(
                            wish == Change::Resume { skip_failed: false }
                                && world.campaign.motion == Motion::Held(Pause::Failed),
                        );
                        world.commit(next.clone());
                        world.wishes -= 1;
                    });
                }
            }
        }
        followers
    }

    /// Whatever happened: with a fair engine and groups that go forward it comes to an end, or waits for a person.
    fn comes_to_an_end(mut self) {
        for _ in 0..200 {
            let seen = self.rows();
            if let Some(next) = step(&self.campaign, &seen) {
                self.commit(next);
                continue;
            }
            if matches!(self.campaign.motion, Motion::Ended(_)) {
                return;
            }
            let orders = wanted(&self.campaign);
            for order in &orders {
                self.land(order);
            }
            let before = self.places.clone();
            for place in self.places.values_mut() {
                place.last = match place.last {
                    Some(Stands::OnItsWay) => Some(Stands::Adopted),
                    Some(Stands::Adopted) => Some(Stands::PastReturn),
                    Some(Stands::PastReturn) => Some(Stands::Succeeded),
                    Some(Stands::Returning) => Some(Stands::RolledBack),
                    other => other,
                };
            }
            if orders.is_empty() && before == self.places {
                assert!(matches!(self.campaign.motion, Motion::Held(_)), "it stands still: {self:#?}");
                return;
            }
        }
        panic!("it never ends: {self:#?}");
    }
}

fn graph(text: &str) -> Graph {
    let entry = |part: &str| {
        let (group, after) = part.split_once(':').unwrap();
        (name(group), after.split(',').filter(|after| !after.is_empty()).map(name).collect())
    };
    text.split_whitespace().map(entry).collect()
}

/// Walks through every state of a world.
fn explore(world: World) -> usize {
    let mut seen = HashSet::new();
    let mut open = VecDeque::from([world]);
    while let Some(world) = open.pop_front() {
        world.check();
        for next in world.followers() {
            if seen.insert(format!("{next:?}")) {
                next.clone().comes_to_an_end();
                open.push_back(next);
            }
        }
    }
    seen.len()
}

#[test]
fn every_order_of_events_in_a_chain() {
    for on_failure in [OnFailure::Hold, OnFailure::Undo, OnFailure::GoOn] {
        for until in [Until::Adopted, Until::Ended] {
            let terms = Terms { parallel_max: 2, until, on_failure };
            let states = explore(World::new(&graph("a: b:a"), terms, 1, 1));
            assert!(states > 500, "{on_failure:?} {until:?}: {states} states are fewer than there should be");
        }
    }
}

#[test]
fn every_order_of_events_beside_one_another() {
    let terms = Terms { parallel_max: 1, until: Until::Adopted, on_failure: OnFailure::Undo };
    let states = explore(World::new(&graph("a: b:"), terms, 1, 1));
    assert!(states > 500, "{states}");
}

fn arbitrary_graph() -> impl Strategy<Value = Graph> {
    proptest::collection::vec(proptest::bits::u16::ANY, 1..9).prop_map(|masks| {
        let names: Vec<GroupId> = (0..masks.len()).map(|number| name(&format!("g{number}"))).collect();
        let after = |(number, mask): (usize, &u16)| {
            let after = (0..number).filter(|bit| mask & (1 << bit) != 0).map(|bit| names[bit].clone()).collect();
            (names[number].clone(), after)
        };
        masks.iter().enumerate().map(after).collect()
    })
}

fn arbitrary_terms() -> impl Strategy<Value = Terms> {
    let until = prop_oneof![Just(Until::Adopted), Just(Until::Ended)];
    let on_failure = prop_oneof![Just(OnFailure::Hold), Just(OnFailure::Undo), Just(OnFailure::GoOn)];
    (1..4_u32, until, on_failure).prop_map(|(parallel_max, until, on_failure)| Terms {
        parallel_max,
        until,
        on_failure,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn whatever_happens_in_a_larger_world(
        after in arbitrary_graph(),
        terms in arbitrary_terms(),
        failures in 0..3_u8,
        wishes in 0..4_u8,
        choices in proptest::collection::vec(any::<prop::sample::Index>(), 0..300),
    ) {
        let mut world = World::new(&after, terms, failures, wishes);
        for choice in choices {
            world.check();
            let followers = world.followers();
            if followers.is_empty() {
                break;
            }
            world = followers[choice.index(followers.len())].clone();
        }
        world.check();
        world.comes_to_an_end();
    }

    #[test]
    fn without_failures_every_group_rotates_once(after in arbitrary_graph(), terms in arbitrary_terms()) {
        let mut world = World::new(&after, terms, 0, 0);
        for _ in 0..400 {
            world.check();
            match step(&world.campaign, &world.rows()) {
                Some(next) => world.commit(next),
                None => {
                    for order in wanted(&world.campaign) {
                        // Given twice, as by somebody who died in between.
                        world.land(&order);
                        world.land(&order);
                    }
                    let live = world.places.iter().find(|(_, place)| place.last.is_some_and(Stands::is_live));
                    if let Some((group, place)) = live.map(|(group, place)| (group.clone(), *place)) {
                        let forward = match place.last {
                            Some(Stands::OnItsWay) => Stands::Adopted,
                            Some(Stands::Adopted) => Stands::PastReturn,
                            _ => Stands::Succeeded,
                        };
                        world.places.get_mut(&group).unwrap().last = Some(forward);
                    }
                }
            }
        }
        prop_assert_eq!(world.campaign.motion, Motion::Ended(End::Success));
        prop_assert!(world.places.values().all(|place| place.rotations == 1));
    }

    #[test]
    fn an_order_holds_every_dependency_and_has_no_cycle(after in arbitrary_graph(), chosen in proptest::bits::u16::ANY) {
        let chosen: BTreeSet<GroupId> =
            after.keys().enumerate().filter(|(bit, _)| chosen & (1 << bit) != 0).map(|(_, group)| group.clone()).collect();
        for first in [First::Dependencies, First::Dependants] {
            let order = graph::order(&after, &chosen, first);
            prop_assert_eq!(graph::cycle(&order), None);
            let layers = graph::layers(&order);
            let place = |group: &GroupId| layers.iter().position(|layer| layer.contains(group)).unwrap();
            prop_assert_eq!(layers.iter().map(Vec::len).sum::<usize>(), chosen.len());
            for group in &chosen {
                for on in after[group].iter().filter(|on| chosen.contains(*on)) {
                    let right = match first {
                        First::Dependencies => place(on) < place(group),
                        First::Dependants => place(group) < place(on),
                    };
                    prop_assert!(right, "{} and {}", group, on);
                }
            }
        }
    }
}

#[test]
fn what_is_refused_for_good_fails_or_stays() {
    let terms = Terms { parallel_max: 1, until: Until::Adopted, on_failure: OnFailure::Hold };
    let mut world = World::new(&graph("a: b:a"), terms, 0, 0);
    let next = step(&world.campaign, &world.rows()).unwrap();
    world.commit(next);
    let start = Wanted::Start { group: name("a"), generation: Generation(2) };
    assert_eq!(wanted(&world.campaign), std::slice::from_ref(&start));
    for _ in 0..REFUSED_MAX {
        let next = refused(&world.campaign, &start).unwrap();
        world.commit(next);
    }
    assert_eq!(world.campaign.legs[&name("a")].state, LegState::Failed { setback: Setback::Refused });
    assert_eq!(refused(&world.campaign, &start), None, "nobody wants it any more");
    let held = step(&world.campaign, &BTreeMap::new()).unwrap();
    assert_eq!(held.motion, Motion::Held(Pause::Failed));
    world.commit(held);
    // Tried again, and taken back where that is refused.
    let next = change(&world.campaign, Change::Resume { skip_failed: false }).unwrap();
    world.commit(next);
    for _ in 0..2 {
        let next = step(&world.campaign, &world.rows());
        next.into_iter().for_each(|next| world.commit(next));
        world.land(&start);
    }
    let next = change(&world.campaign, Change::Undo).unwrap();
    world.commit(next);
    let next = step(&world.campaign, &world.rows()).unwrap();
    world.commit(next);
    let back = Wanted::Rollback { group: name("a"), generation: Generation(2) };
    assert_eq!(wanted(&world.campaign), std::slice::from_ref(&back));
    for _ in 0..REFUSED_MAX {
        let next = refused(&world.campaign, &back).unwrap();
        world.commit(next);
    }
    assert_eq!(world.campaign.legs[&name("a")].state, LegState::Kept { generation: Generation(2) });
    let ended = step(&world.campaign, &BTreeMap::new()).unwrap();
    assert_eq!(ended.motion, Motion::Ended(End::Partly), "what stays is not undone");
}

#[test]
fn a_record_that_is_doubted_says_nothing() {
    let terms = Terms { parallel_max: 1, until: Until::Adopted, on_failure: OnFailure::Hold };
    let world = World::new(&graph("a:"), terms, 0, 0);
    let mut rows = world.rows();
    rows.get_mut(&name("a")).unwrap().doubt = Some(handover_core::Doubt::Restored);
    assert_eq!(step(&world.campaign, &rows), None, "nothing is started on it");
}
