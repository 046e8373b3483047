//! Numbers about a running engine, for whoever exports them. Plain data: no exporter, no names of metrics.
//!
//! Counters start at zero with the process. What is not known is absent, never zero.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_core::{
    Fault, FaultKind, Generation, GroupId, Hold, Outcome, Phase, Reach, Roll, Rotation, Row, RowVersion, Tally,
    Timestamp, Touched, Undo,
};
use tokio::time::Instant;

use crate::call::{Call, Whom};
use crate::history;
use crate::memory::same_phase;

/// Upper bounds of the buckets for calls, in seconds.
pub const CALL_BOUNDS_S: [f64; 13] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 30.0];

/// Upper bounds of the buckets for phases, in seconds.
pub const PHASE_BOUNDS_S: [f64; 12] =
    [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0, 604_800.0];

/// How durations spread over buckets.
#[derive(Clone, PartialEq, Debug)]
pub struct Spread {
    bounds_s: &'static [f64],
    counts: Vec<u64>,
    sum_s: f64,
}

impl Spread {
    /// An empty one over these upper bounds. What is above the last one is counted beside them.
    pub fn new(bounds_s: &'static [f64]) -> Self {
        Self { bounds_s, counts: vec![0; bounds_s.len() + 1], sum_s: 0.0 }
    }

    /// One more.
    pub fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds_s.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_s += seconds;
    }

    /// Each bucket's upper bound and how many fell into it and no lower one; the last is without bound.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds_s.iter().copied().chain(std::iter::once(f64::INFINITY)).zip(self.counts.iter().copied())
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together, in seconds.
    pub const fn sum_s(&self) -> f64 {
        self.sum_s
    }
}

/// What an effect came to, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EffectResult {
    /// It was done, or what it looked for was seen.
    Done,
    /// It failed, and certainly nothing was touched.
    Failed,
    /// Nobody knows whether it took place.
    Unknown,
}

/// What happened since the process started.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Rotations that were started, by group.
    pub started: BTreeMap<GroupId, u64>,
    /// Rotations that ended, by group and outcome.
    pub ended: BTreeMap<(GroupId, &'static str), u64>,
    /// How long phases lasted, by phase.
    pub phases: BTreeMap<&'static str, Spread>,
    /// Effects, by kind and what they came to.
    pub effects: BTreeMap<(&'static str, EffectResult), u64>,
    /// Faults that were noted of a group, by code.
    pub faults: BTreeMap<&'static str, u64>,
    /// Waits after a failure, before something is tried again.
    pub setbacks: u64,
    /// Rows that broke invariants.
    pub violations: u64,
    /// How long calls took, by whose port it is and the call.
    pub calls: BTreeMap<(&'static str, &'static str), Spread>,
    /// Calls that failed, by whose port it is and the fault's code.
    pub call_faults: BTreeMap<(&'static str, &'static str), u64>,
    /// Deliveries of values to consumers, by group.
    pub deliveries: BTreeMap<GroupId, u64>,
    /// Acknowledgements with a proof that fits, by group and reach.
    pub acknowledgements: BTreeMap<(GroupId, &'static str), u64>,
    /// How often the lease was taken.
    pub leases: u64,
}

/// How a group stands, as of the last row that this process read or committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupNumbers {
    version: RowVersion,
    /// The generation that the stores publish at rest.
    pub generation: Option<Generation>,
    /// Since when it does, as far as this is known.
    pub generation_since: Option<Timestamp>,
    /// When a rotation of the group last succeeded, as far as this is known.
    pub succeeded_at: Option<Timestamp>,
    /// The live rotation. Most groups have none.
    pub live: Option<Box<LiveNumbers>>,
}

/// How a live rotation stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveNumbers {
    /// Which generation it leads to.
    pub to: Generation,
    /// Its phase, as one word.
    pub phase: &'static str,
    /// Since when.
    pub entered_at: Timestamp,
    /// Why nothing happens now.
    pub hold: Option<Hold>,
    /// How many consumers are behind; `None` where the roll was not called, or the list is not complete.
    pub behind: Option<usize>,
    /// How many uses of the generation that goes out of use were seen last; `None` where nobody could look.
    pub uses: Option<u32>,
    /// Since when every store publishes the new generation and the old one is still there, as far as this is known.
    pub replaced_at: Option<Timestamp>,
}

/// What keeps the state store from being read or written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateTrouble {
    /// The call that failed last.
    pub call: &'static str,
    /// How.
    pub fault: Fault,
}

/// How the last write and the last read of the state store failed, if they did.
#[derive(Default)]
struct StateHealth {
    write: Option<StateTrouble>,
    read: Option<StateTrouble>,
}

/// Collects.
#[derive(Default)]
pub(crate) struct Numbers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    counters: Counters,
    groups: BTreeMap<GroupId, GroupNumbers>,
    /// How many of them have a live rotation that is not held.
    moving: usize,
    state: StateHealth,
    /// When the loop last came by.
    beat: Option<Instant>,
    over: bool,
}

impl Numbers {
    pub(crate) fn counters(&self) -> Counters {
        self.lock().counters.clone()
    }

    /// `most` of the groups that are wanted, first those with a live rotation; and how many were left out.
    pub(crate) fn groups(
        &self,
        wanted: impl Fn(&GroupId) -> bool,
        most: usize,
    ) -> (BTreeMap<GroupId, GroupNumbers>, usize) {
        let inner = self.lock();
        let (live, at_rest): (Vec<_>, Vec<_>) =
            inner.groups.iter().filter(|(group, _)| wanted(group)).partition(|(_, numbers)| numbers.live.is_some());
        let all = live.len() + at_rest.len();
        let taken = live.into_iter().chain(at_rest).take(most);
        let taken: BTreeMap<_, _> = taken.map(|(group, numbers)| (group.clone(), numbers.clone())).collect();
        let left_out = all - taken.len();
        (taken, left_out)
    }

    pub(crate) fn each(&self, mut see: impl FnMut(&GroupId, &GroupNumbers)) {
        for (group, numbers) in &self.lock().groups {
            see(group, numbers);
        }
    }

    /// How many groups have a live rotation that is not held, of those whose row was read.
    pub(crate) fn moving(&self) -> usize {
        self.lock().moving
    }

    /// Whether a later row of the group than this one was read or committed.
    pub(crate) fn knows_later(&self, row: &Row) -> bool {
        self.lock().groups.get(&row.group).is_some_and(|known| known.version > row.version)
    }

    /// What keeps the state store from being written or read, if its last calls failed.
    pub(crate) fn state_trouble(&self) -> Option<StateTrouble> {
        let inner = self.lock();
        inner.state.write.clone().or_else(|| inner.state.read.clone())
    }

    /// How long ago the loop came by; `None` before its first time, and after its last.
    pub(crate) fn since_beat(&self, now: Instant) -> Option<Duration> {
        let inner = self.lock();
        inner.beat.filter(|_| !inner.over).map(|beat| now.saturating_duration_since(beat))
    }

    pub(crate) fn beat(&self) {
        self.lock().beat = Some(Instant::now());
    }

    pub(crate) fn over(&self) {
        self.lock().over = true;
    }

    pub(crate) fn called(&self, call: Call<'_>, took: Duration, fault: Option<&Fault>) {
        let port = call.whom.port();
        let mut inner = self.lock();
        let spread = inner.counters.calls.entry((port, call.name)).or_insert_with(|| Spread::new(&CALL_BOUNDS_S));
        spread.add(took);
        if let Some(fault) = fault {
            *inner.counters.call_faults.entry((port, fault.kind.code())).or_default() += 1;
        }
        if let Whom::State | Whom::Consumers = call.whom {
            let health = if call.writes { &mut inner.state.write } else { &mut inner.state.read };
            match fault {
                None => *health = None,
                Some(fault) if is_of_storage(fault.kind) => {
                    *health = Some(StateTrouble { call: call.name, fault: fault.clone() });
                }
                // It answered: what was asked is refused, and that says nothing against it.
                Some(_) => {}
            }
        }
    }

    pub(crate) fn effect(&self, kind: &'static str, fault: Option<&Fault>) {
        let result = match fault.map(|fault| fault.touched) {
            None => EffectResult::Done,
            Some(Touched::Nothing) => EffectResult::Failed,
            Some(Touched::Unknown) => EffectResult::Unknown,
        };
        *self.lock().counters.effects.entry((kind, result)).or_default() += 1;
    }

    pub(crate) fn faulted(&self, fault: &Fault) {
        *self.lock().counters.faults.entry(fault.kind.code()).or_default() += 1;
    }

    pub(crate) fn setback(&self) {
        self.lock().counters.setbacks += 1;
    }

    pub(crate) fn violated(&self) {
        self.lock().counters.violations += 1;
    }

    pub(crate) fn lease_taken(&self) {
        self.lock().counters.leases += 1;
    }

    pub(crate) fn delivered(&self, group: &GroupId) {
        *self.lock().counters.deliveries.entry(group.clone()).or_default() += 1;
    }

    pub(crate) fn acknowledged(&self, group: &GroupId, reach: Reach) {
        *self.lock().counters.acknowledgements.entry((group.clone(), reach_word(reach))).or_default() += 1;
    }

    /// A row was committed that follows `before`.
    pub(crate) fn committed(&self, before: Option<&Row>, after: &Row, now: Timestamp) {
        let old = before.and_then(|before| before.rotation.as_ref());
        let mut inner = self.lock();
        let counters = &mut inner.counters;
        if let Some(new) = &after.rotation {
            let another = old.is_none_or(|old| old.to.generation != new.to.generation);
            if another {
                *counters.started.entry(after.group.clone()).or_default() += 1;
            }
            if let Phase::Done(outcome) = new.phase
                && (another || old.is_some_and(|old| !matches!(old.phase, Phase::Done(_))))
            {
                *counters.ended.entry((after.group.clone(), history::outcome_word(outcome))).or_default() += 1;
            }
            if let (Some(before), Some(old)) = (before, old)
                && !matches!(old.phase, Phase::Done(_))
                && !same_phase(before, after)
            {
                let word = history::phase_word(&old.phase);
                let spread = counters.phases.entry(word).or_insert_with(|| Spread::new(&PHASE_BOUNDS_S));
                spread.add(new.entered_at.since(old.entered_at));
            }
        }
        inner.stands(after, Some((before, now)));
    }

    /// A row was read. What a commit said later is not overwritten.
    pub(crate) fn loaded(&self, row: &Row) {
        self.lock().stands(row, None);
    }

    /// What history says of a group that its row does not.
    pub(crate) fn recalled(&self, group: &GroupId, recalled: &Recalled) {
        let mut inner = self.lock();
        let Some(numbers) = inner.groups.get_mut(group) else { return };
        numbers.succeeded_at = numbers.succeeded_at.or(recalled.succeeded_at);
        numbers.generation_since = numbers.generation_since.or(recalled.generation_since);
        if let Some(live) = &mut numbers.live
            && is_replaced(live.phase)
            && recalled.replaced.is_some_and(|(generation, _)| generation == live.to)
        {
            live.replaced_at = live.replaced_at.or(recalled.replaced.map(|(_, at)| at));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What history says of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recalled {
    /// When a rotation last succeeded.
    pub succeeded_at: Option<Timestamp>,
    /// Since when the present generation is published at rest: the last success, or an adoption after it.
    pub generation_since: Option<Timestamp>,
    /// The last rotation that entered Propagate: which generation it leads to, and when.
    pub replaced: Option<(Generation, Timestamp)>,
}

impl Inner {
    /// Notes how a group stands. `follows`: the row was just committed, after that one.
    fn stands(&mut self, row: &Row, follows: Option<(Option<&Row>, Timestamp)>) {
        let before = self.groups.get(&row.group);
        if before.is_some_and(|before| before.version >= row.version && follows.is_none()) {
            return;
        }
        let generation = row.current.map(|occupant| occupant.generation);
        let done =
            row.rotation.as_ref().and_then(|rotation| rotation.phase.outcome().map(|outcome| (outcome, rotation)));
        let success = done.and_then(|(outcome, rotation)| (outcome == Outcome::Success).then_some(rotation));
        let succeeded_at = success.map(|rotation| rotation.entered_at);
        let changed = follows
            .filter(|(before, _)| before.and_then(|before| before.current).map(|was| was.generation) != generation)
            .map(|(_, now)| now);
        let since_success =
            success.filter(|rotation| Some(rotation.to.generation) == generation).map(|rotation| rotation.entered_at);
        let known = before.filter(|before| before.generation == generation).and_then(|before| before.generation_since);
        let numbers = GroupNumbers {
            version: row.version,
            generation,
            generation_since: since_success.or(changed).or(known).filter(|_| generation.is_some()),
            succeeded_at: succeeded_at.or_else(|| before.and_then(|before| before.succeeded_at)),
            live: row.live().map(|rotation| Box::new(live(rotation, before.and_then(|before| before.live.as_deref())))),
        };
        let moves = |numbers: &GroupNumbers| numbers.live.as_ref().is_some_and(|live| live.hold.is_none());
        self.moving += usize::from(moves(&numbers));
        let before = self.groups.insert(row.group.clone(), numbers);
        self.moving -= usize::from(before.as_ref().is_some_and(moves));
    }
}

fn live(rotation: &Rotation, before: Option<&LiveNumbers>) -> LiveNumbers {
    let phase = history::phase_word(&rotation.phase);
    let to = rotation.to.generation;
    let known = before.filter(|before| before.to == to).and_then(|before| before.replaced_at);
    let replaced_at = match &rotation.phase {
        Phase::Propagate { .. } => Some(rotation.entered_at),
        Phase::Drain { .. } | Phase::Disable { .. } | Phase::Destroy { .. } => known,
        Phase::Stage
        | Phase::Apply { .. }
        | Phase::Verify { .. }
        | Phase::Publish { .. }
        | Phase::Rollback(_)
        | Phase::Done(_) => None,
    };
    LiveNumbers {
        to,
        phase,
        entered_at: rotation.entered_at,
        hold: rotation.hold.clone(),
        behind: rotation.phase.called().and_then(|(roll, _)| behind(roll)),
        uses: uses(&rotation.phase),
        // A group's first generation replaces nothing, and what was written over is there no more.
        replaced_at: replaced_at.filter(|_| rotation.from.is_some() && !rotation.replaces_in_place()),
    }
}

fn is_replaced(phase: &str) -> bool {
    matches!(phase, "propagate" | "drain" | "disable" | "destroy")
}

fn behind(roll: &Roll) -> Option<usize> {
    match roll {
        Roll::All => Some(0),
        Roll::Behind { who, complete: true } => Some(who.len()),
        Roll::Behind { complete: false, .. } | Roll::Uncalled => None,
    }
}

const fn uses(phase: &Phase) -> Option<u32> {
    match phase {
        Phase::Drain { tally, .. } | Phase::Rollback(Undo::Quiet { tally, .. }) => match tally {
            Tally::None => Some(0),
            Tally::Some(uses) => Some(*uses),
            Tally::Unknown => None,
        },
        Phase::Stage
        | Phase::Apply { .. }
        | Phase::Verify { .. }
        | Phase::Publish { .. }
        | Phase::Propagate { .. }
        | Phase::Disable { .. }
        | Phase::Destroy { .. }
        | Phase::Rollback(
            Undo::Release | Undo::PutBack { .. } | Undo::Unpublish { .. } | Undo::Return { .. } | Undo::Revoke { .. },
        )
        | Phase::Done(_) => None,
    }
}

const fn reach_word(reach: Reach) -> &'static str {
    match reach {
        Reach::Expected => "expected",
        Reach::Delivered => "delivered",
        Reach::Loaded => "loaded",
        Reach::Used => "used",
    }
}

/// Whether a fault says that the state store itself is in trouble, and not that it refused what was asked.
const fn is_of_storage(kind: FaultKind) -> bool {
    match kind {
        FaultKind::Storage
        | FaultKind::TimedOut
        | FaultKind::Unreachable
        | FaultKind::Busy
        | FaultKind::ReadOnly => true,
        FaultKind::Unauthenticated
        | FaultKind::NotPermitted
        | FaultKind::Rejected
        | FaultKind::Unfit
        | FaultKind::Fenced
        | FaultKind::Conflict
        | FaultKind::Foreign
        | FaultKind::Misconfigured
        | FaultKind::Unsupported
        | FaultKind::Missing
        // One group's row, or a bug on the way to it.
        | FaultKind::Corrupt
        | FaultKind::Bug => false,
    }
}

#[cfg(test)]
mod tests {
    use handover_core::{Candidate, Occupant, Opened, Slot};

    use super::*;

    fn group() -> GroupId {
        GroupId::parse("orders").unwrap()
    }

    fn row(version: u64, phase: Phase, at: i64) -> Row {
        let occupant = |generation| Occupant {
            generation: Generation(generation),
            slot: Slot(u32::try_from(generation % 2).unwrap()),
            candidate: Candidate(1),
        };
        let done = matches!(phase, Phase::Done(Outcome::Success));
        let rotation = Rotation {
            from: Some(occupant(1)),
            to: occupant(2),
            owed: Vec::new(),
            phase,
            elapsed: handover_core::Waited::default(),
            entered_at: Timestamp(at),
            hold: None,
            trouble: None,
            cause: None,
            asked_by: None,
            approvals: std::collections::BTreeMap::new(),
        };
        Row {
            version: RowVersion(version),
            current: Some(occupant(if done { 2 } else { 1 })),
            rotation: Some(rotation),
            ..Row::new(group())
        }
    }

    #[test]
    fn a_rotation_is_counted_once_from_start_to_end() {
        let numbers = Numbers::default();
        let start = row(1, Phase::Stage, 1_000);
        let moved = row(2, Phase::Propagate { presenters: Roll::Uncalled, passes: 0, opened: Opened::All }, 3_000);
        let again = row(3, Phase::Propagate { presenters: Roll::All, passes: 0, opened: Opened::All }, 3_000);
        let end = row(4, Phase::Done(Outcome::Success), 8_000);
        numbers.committed(Some(&Row { current: start.current, ..Row::new(group()) }), &start, Timestamp(1_000));
        numbers.committed(Some(&start), &moved, Timestamp(3_000));
        assert_eq!(
            numbers.groups(|_| true, usize::MAX).0[&group()].live.as_ref().unwrap().replaced_at,
            Some(Timestamp(3_000))
        );
        numbers.committed(Some(&moved), &again, Timestamp(4_000));
        numbers.committed(Some(&again), &end, Timestamp(8_000));
        let Counters { started, ended, phases, .. } = numbers.counters();
        assert_eq!(started[&group()], 1);
        assert_eq!(ended.into_iter().collect::<Vec<_>>(), [((group(), "success"), 1)]);
        assert_eq!((phases["stage"].count(), phases["stage"].sum_s()), (1, 2.0));
        assert_eq!((phases["propagate"].count(), phases["propagate"].sum_s()), (1, 5.0));
        let stands = &numbers.groups(|_| true, usize::MAX).0[&group()];
        assert_eq!((stands.generation, stands.live.clone()), (Some(Generation(2)), None));
        assert_eq!((stands.generation_since, stands.succeeded_at), (Some(Timestamp(8_000)), Some(Timestamp(8_000))));
    }

    #[test]
    fn what_is_not_known_is_absent_until_history_says_it() {
        let numbers = Numbers::default();
        let quiet = handover_core::Waited::default();
        let drain = Phase::Drain { quiet, tally: Tally::Unknown, overlap: quiet, presenters: Roll::Uncalled };
        numbers.loaded(&row(7, drain, 9_000));
        let stands = numbers.groups(|_| true, usize::MAX).0.remove(&group()).unwrap();
        let live = stands.live.clone().unwrap();
        assert_eq!((live.behind, live.uses, live.replaced_at), (None, None, None));
        assert_eq!((stands.generation_since, stands.succeeded_at), (None, None));
        let recalled = Recalled {
            succeeded_at: Some(Timestamp(5)),
            generation_since: Some(Timestamp(5)),
            replaced: Some((Generation(2), Timestamp(6))),
        };
        numbers.recalled(&group(), &recalled);
        let stands = numbers.groups(|_| true, usize::MAX).0.remove(&group()).unwrap();
        assert_eq!(stands.live.unwrap().replaced_at, Some(Timestamp(6)));
        assert_eq!((stands.generation_since, stands.succeeded_at), (Some(Timestamp(5)), Some(Timestamp(5))));
        // An older row that was read meanwhile changes nothing.
        numbers.loaded(&row(6, Phase::Stage, 1));
        assert_eq!(numbers.groups(|_| true, usize::MAX).0[&group()].live.as_ref().unwrap().phase, "drain");
    }

    #[test]
    fn where_not_all_groups_are_told_the_live_ones_are() {
        let numbers = Numbers::default();
        for (name, phase) in
            [("a", Phase::Done(Outcome::Success)), ("b", Phase::Done(Outcome::Success)), ("c", Phase::Stage)]
        {
            numbers.loaded(&Row { group: GroupId::parse(name).unwrap(), ..row(5, phase, 1) });
        }
        let told = |wanted: &str, most| {
            let (groups, left_out) = numbers.groups(|group| wanted.contains(group.as_str()), most);
            (groups.keys().map(ToString::to_string).collect::<String>(), left_out)
        };
        assert_eq!(told("abc", 2), ("ac".to_owned(), 1));
        assert_eq!(told("abc", 3), ("abc".to_owned(), 0));
        assert_eq!(told("ab", 1), ("a".to_owned(), 1));
    }

    #[test]
    fn the_state_store_is_in_trouble_until_the_same_kind_of_call_goes_well() {
        let numbers = Numbers::default();
        let full = Fault::untouched(FaultKind::Storage, "the disk is full");
        let fenced = Fault::untouched(FaultKind::Fenced, "somebody else");
        let (write, read) = (Call::act(Whom::State, "commit"), Call::look(Whom::State, "load"));
        numbers.called(write, Duration::ZERO, Some(&fenced));
        assert_eq!(numbers.state_trouble(), None);
        numbers.called(write, Duration::ZERO, Some(&full));
        numbers.called(write, Duration::ZERO, Some(&full));
        numbers.called(read, Duration::ZERO, None);
        let trouble = numbers.state_trouble().unwrap();
        assert_eq!((trouble.call, trouble.fault), ("commit", full), "a read mends no write");
        numbers.called(write, Duration::ZERO, None);
        assert_eq!(numbers.state_trouble(), None);
        assert_eq!(numbers.counters().call_faults[&("state", FaultKind::Storage.code())], 2);
    }

    #[test]
    fn a_spread_counts_each_duration_in_one_bucket() {
        let mut spread = Spread::new(&CALL_BOUNDS_S);
        for ms in [1, 5, 40_000] {
            spread.add(Duration::from_millis(ms));
        }
        let filled: Vec<_> = spread.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.001, 1), (0.005, 1), (f64::INFINITY, 1)]);
        assert_eq!(spread.count(), 3);
    }
}
