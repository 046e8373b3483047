//! What is to happen later: retries, deadlines, back-offs of tasks.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Instant;

use super::state::Id;

/// What is due at a time.
pub(crate) enum Timed {
    /// An effect is run again after a failure.
    Retry(Id),
    /// A task goes on.
    Wake(Waker),
}

/// Which timer.
pub(crate) type TimerKey = (Instant, u64);

/// All that is to happen later, soonest first.
#[derive(Default)]
pub(crate) struct Timers {
    due: BTreeMap<TimerKey, Timed>,
    count: u64,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Instant, what: Timed) -> TimerKey {
        self.count += 1;
        self.due.insert((at, self.count), what);
        (at, self.count)
    }

    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<Timed> {
        self.due.remove(&key)
    }

    /// Has a task that is already waiting wake by another waker. Returns the former.
    pub(crate) fn replace(&mut self, key: TimerKey, waker: Waker) -> Option<Timed> {
        self.due.get_mut(&key).map(|timed| std::mem::replace(timed, Timed::Wake(waker)))
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timed> {
        self.next().filter(|at| *at <= now)?;
        self.due.pop_first().map(|(_, timed)| timed)
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}
