//! Counts of rotations.

use std::collections::BTreeMap;
use std::time::Duration;

use handover_core::{Outcome, Timestamp};
use handover_engine::{Handle, history};

/// What this process saw of rotations. The history has those of other times, too: see [`Handle::history`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Statistics {
    /// Rotations that were started.
    pub started: u64,
    /// Rotations after which the new generation is in force.
    pub succeeded: u64,
    /// Rotations after which the old one is.
    pub rolled_back: u64,
    /// Rotations that were given up before anything outside was touched.
    pub failed: u64,
    /// How often each phase was left, and how long it took on average.
    pub phases: BTreeMap<&'static str, (u64, Duration)>,
    /// Groups that have a next rotation by schedule.
    pub planned: usize,
    /// Groups that may start and have not.
    pub late: usize,
    /// For when the most late of them was planned.
    pub late_since: Option<Timestamp>,
}

impl Statistics {
    pub(crate) fn of(engine: &Handle) -> Self {
        let (counters, schedules) = (engine.counters(), engine.schedules());
        let ended = |outcome: Outcome| {
            let word = history::outcome_word(outcome);
            counters.ended.iter().filter(|((_, ended), _)| *ended == word).map(|(_, count)| count).sum()
        };
        let mean = |sum_s: f64, count: u64| Duration::try_from_secs_f64(sum_s / count as f64).unwrap_or_default();
        let phases = counters.phases.iter().filter(|(_, spread)| spread.count() > 0);
        Self {
            started: counters.started.values().sum(),
            succeeded: ended(Outcome::Success),
            rolled_back: ended(Outcome::RolledBack),
            failed: ended(Outcome::Abandoned),
            phases: phases
                .map(|(phase, spread)| (*phase, (spread.count(), mean(spread.sum_s(), spread.count()))))
                .collect(),
            planned: schedules.planned,
            late: schedules.late,
            late_since: schedules.late_since,
        }
    }

    /// The share of ended rotations that succeeded, 0 to 1; `None` before the first.
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.succeeded + self.rolled_back + self.failed;
        (ended > 0).then(|| self.succeeded as f64 / ended as f64)
    }
}
