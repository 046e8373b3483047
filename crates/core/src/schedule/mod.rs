//! When a group is due, and when it may start: pure decisions over instants.
//!
//! What a cron expression or a window means in a time zone is behind [`Occurrences`] and [`Openings`]. All here follows
//! from durable facts and the time that comes in: when the process was started does not matter.

mod agenda;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use agenda::Agenda;

use crate::id::GroupId;
use crate::model::{Phase, Row};
use crate::time::Timestamp;
use crate::wants::Blocker;

/// How late a start may be before a schedule that skips what it missed skips it.
pub const LATE_MAX: Duration = Duration::from_secs(3_600);

/// What is durably known of a group's schedule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Cadence {
    /// From when the next rotation is counted: when the last one started, or the credential was adopted.
    pub since: Option<Timestamp>,
    /// Whether a person paused the schedule.
    pub paused: bool,
    /// How many attempts after a known failure the last rotation was; 0: it was started by a person or by schedule.
    pub retries: u32,
}

/// Moments that a calendar says, such as a cron expression in a time zone.
pub trait Occurrences: Send + Sync + fmt::Debug {
    /// The first after `after`; `None` if there is none.
    fn next(&self, after: Timestamp) -> Option<Timestamp>;
}

/// When something may be started, or taken away.
pub trait Openings: Send + Sync + fmt::Debug {
    /// Whether it may at `now`, and until when that stays so.
    fn at(&self, now: Timestamp) -> Opening;
}

/// Whether a window is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// It is.
    Open {
        /// Until then; `None`: no end is known.
        until: Option<Timestamp>,
    },
    /// It is not.
    Closed {
        /// Until then; `None`: no opening is known.
        until: Option<Timestamp>,
    },
}

/// How a schedule repeats.
#[derive(Clone, Debug)]
pub enum Repeats {
    /// It does not: rotations are started by people.
    Never,
    /// So long after the last rotation started.
    Every(Duration),
    /// At these moments.
    At(Arc<dyn Occurrences>),
}

/// What becomes of a planned time that passed while nothing could be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed {
    /// However many passed, one rotation starts as soon as it may.
    RunOnce,
    /// More than [`LATE_MAX`] late, it is left out: the next planned time counts.
    Skip,
}

/// When a group is to rotate.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How it repeats.
    pub repeats: Repeats,
    /// When rotations may start, and old generations may be refused; `None`: always.
    pub openings: Option<Arc<dyn Openings>>,
    /// Over how long a fleet is spread: each group starts later by a fixed share of this.
    pub spread: Duration,
    /// How much later each start is at the most, by a share that is another one each time.
    pub jitter: Duration,
    /// What becomes of what was missed.
    pub missed: Missed,
}

/// A rotation that a schedule asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Due {
    /// For when it was planned. The earliest of many is the most late.
    pub planned_at: Timestamp,
    /// From when it may start: planned, spread, jittered, and in a window.
    pub start_at: Timestamp,
}

impl Schedule {
    /// The next rotation of a group whose last one was counted from `since`, as seen at `now`.
    ///
    /// A `since` that has not come yet was written by a clock that was ahead. It delays the next rotation by one interval
    /// at the most: the schedule is not lost with it.
    pub fn due(&self, group: &GroupId, since: Timestamp, now: Timestamp) -> Option<Due> {
        let first = self.first_after(since, now)?;
        let due = self.planned(group, first);
        let late = due.is_none_or(|due| due.start_at.after(LATE_MAX) < now);
        let due = match self.missed {
            Missed::Skip if late => {
                let from = now.before(LATE_MAX).before(self.offset(group, first));
                self.planned(group, self.first_not_before(first, from)?)
            }
            Missed::Skip | Missed::RunOnce => due,
        };
        self.startable(due?, now)
    }

    /// What is coming from `now` on, as if every rotation started when it may; at most `most`, none after `until`.
    pub fn upcoming(
        &self,
        group: &GroupId,
        since: Timestamp,
        now: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> Vec<Due> {
        let mut coming = Vec::new();
        let mut next = self.due(group, since, now);
        while let Some(due) = next.filter(|due| due.start_at <= until && coming.len() < most) {
            coming.push(due);
            let from = due.start_at.max(now);
            next = self.after(from).and_then(|planned_at| self.planned(group, planned_at));
        }
        coming
    }

    /// Whether a window is open.
    pub fn opening(&self, now: Timestamp) -> Opening {
        self.openings.as_ref().map_or(Opening::Open { until: None }, |openings| openings.at(now))
    }

    /// The first planned time after `since`.
    fn first_after(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match &self.repeats {
            Repeats::Never => None,
            Repeats::Every(every) if since > now.after(*every) => Some(now),
            Repeats::Every(_) => self.after(since),
            Repeats::At(_) => self.after(since.min(now)),
        }
    }

    fn after(&self, since: Timestamp) -> Option<Timestamp> {
        match &self.repeats {
            Repeats::Never => None,
            // At least a millisecond: time goes on with each step.
            Repeats::Every(every) => Some(since.after((*every).max(Duration::from_millis(1)))),
            Repeats::At(occurrences) => occurrences.next(since),
        }
    }

    /// The first planned time at or after `from`, where `first` is one.
    fn first_not_before(&self, first: Timestamp, from: Timestamp) -> Option<Timestamp> {
        if first >= from {
            return Some(first);
        }
        match &self.repeats {
            Repeats::Never => None,
            Repeats::Every(every) => {
                let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
                let passed = from.0.saturating_sub(first.0);
                let steps = passed / every_ms + i64::from(passed % every_ms != 0);
                Some(Timestamp(first.0.saturating_add(steps.saturating_mul(every_ms))))
            }
            Repeats::At(occurrences) => occurrences.next(Timestamp(from.0.saturating_sub(1))),
        }
    }

    /// When what is planned for a time may start; `None`: no window ever opens for it.
    fn planned(&self, group: &GroupId, planned_at: Timestamp) -> Option<Due> {
        let start_at = self.open_from(planned_at.after(self.offset(group, planned_at)))?;
        Some(Due { planned_at, start_at })
    }

    /// The same for what may have been missed: a start in the past is one in a window of now.
    fn startable(&self, due: Due, now: Timestamp) -> Option<Due> {
        let start_at = if due.start_at >= now || self.is_open(now) { due.start_at } else { self.open_from(now)? };
        Some(Due { start_at, ..due })
    }

    fn is_open(&self, at: Timestamp) -> bool {
        match self.opening(at) {
            Opening::Open { .. } => true,
            Opening::Closed { .. } => false,
        }
    }

    fn open_from(&self, at: Timestamp) -> Option<Timestamp> {
        match self.opening(at) {
            Opening::Open { .. } => Some(at),
            Opening::Closed { until } => until,
        }
    }

    /// How much later than planned a group starts. The same whoever asks, and whenever.
    fn offset(&self, group: &GroupId, planned_at: Timestamp) -> Duration {
        let group = hash(group.as_str().bytes());
        let time = hash(planned_at.0.to_le_bytes());
        share(self.spread, group) + share(self.jitter, mix(group ^ time))
    }
}

/// Whether a step takes a generation away that was valid before it: it waits for an open window, in a phase in which
/// waiting is safe. What was written over in place is gone already.
pub fn needs_opening(before: &Row, after: &Row) -> bool {
    let (Some(old), Some(new)) = (before.live(), after.live()) else { return false };
    // What may be in the wrong hands is taken away at any time.
    takes_away(&new.phase)
        && !before.is_urgent()
        && std::mem::discriminant(&old.phase) != std::mem::discriminant(&new.phase)
        && !new.leaving().is_empty()
}

/// The window that a live rotation will have to wait for, or waits for, if it is closed.
pub fn closed_window(row: &Row, schedule: &Schedule, now: Timestamp) -> Option<Blocker> {
    let live = row.live()?;
    let ahead = !row.is_urgent()
        && matches!(live.phase, Phase::Drain { .. } | Phase::Disable { .. })
        && !live.leaving().is_empty();
    match schedule.opening(now) {
        Opening::Closed { until } if ahead => Some(Blocker::Window { opens_at: until }),
        Opening::Closed { .. } | Opening::Open { .. } => None,
    }
}

const fn takes_away(phase: &Phase) -> bool {
    match phase {
        Phase::Disable { .. } | Phase::Destroy { .. } => true,
        Phase::Stage
        | Phase::Apply { .. }
        | Phase::Verify { .. }
        | Phase::Publish { .. }
        | Phase::Propagate { .. }
        | Phase::Drain { .. }
        | Phase::Rollback(_)
        | Phase::Done(_) => false,
    }
}

impl Row {
    /// From when the next rotation is counted, if anything is in force. Rows of before there were schedules do not say
    /// it: there it is when the last rotation ended.
    pub fn counted_from(&self) -> Option<Timestamp> {
        let ended = self.rotation.as_ref().map(|rotation| rotation.entered_at);
        self.current.and(self.cadence.since.or(ended))
    }
}

/// A share of a time, spread evenly over all hashes.
pub(crate) fn share(of: Duration, hash: u64) -> Duration {
    let of_ms = u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
    let share = (u128::from(of_ms) * u128::from(hash)) >> 64;
    Duration::from_millis(u64::try_from(share).unwrap_or(0))
}

/// FNV-1a, mixed: it must not change between versions of the compiler, or a restart would move what is planned.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    mix(bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)))
}

/// The finalizer of SplitMix64: names that differ in one letter come to lie far apart.
pub(crate) const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
