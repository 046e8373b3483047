//! Time as data. The core never reads a clock.

use std::fmt;
use std::time::Duration;

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// How long after `earlier` this is; zero if the clock went backwards.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment `wait` after this one.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `wait` before this one.
    #[must_use]
    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Waiting that is accumulated from observations, never computed from two dates.
///
/// Each observation adds the time since the last one, capped at twice the poll interval; so neither a jump of the
/// clock nor time in which nobody looked can pass for waiting. It stops counting at its goal, so that a finished
/// wait causes no more writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Waited {
    /// Time observed so far.
    pub total: Duration,
    /// When it was last observed; `None` before the first observation and after an interruption.
    pub seen_at: Option<Timestamp>,
}

impl Waited {
    /// Whether the wait reached `goal`.
    pub fn reached(self, goal: Duration) -> bool {
        self.total >= goal
    }

    /// One more observation at `now`, towards `goal`.
    #[must_use]
    pub fn observed(self, now: Timestamp, poll: Duration, goal: Duration) -> Self {
        if self.reached(goal) {
            return self;
        }
        let gained = self.seen_at.map_or(Duration::ZERO, |last| now.since(last).min(poll.saturating_mul(2)));
        let total = (self.total + gained).min(goal);
        Self { total, seen_at: Some(now) }
    }

    /// What was observed stands, but the time until the next observation does not count.
    #[must_use]
    pub fn interrupted(self) -> Self {
        Self { seen_at: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(5);
    const GOAL: Duration = Duration::from_secs(60);

    #[test]
    fn jumps_and_downtime_add_at_most_two_polls() {
        let start = Waited::default().observed(Timestamp(0), POLL, GOAL);
        assert_eq!(start.total, Duration::ZERO, "the first look has seen nothing yet");
        let jumped = start.observed(Timestamp(86_400_000), POLL, GOAL);
        assert_eq!(jumped.total, Duration::from_secs(10));
        let back = jumped.observed(Timestamp(-86_400_000), POLL, GOAL);
        assert_eq!(back.total, Duration::from_secs(10), "a clock that goes back adds nothing");
        let on = back.observed(Timestamp(-86_400_000 + 5_000), POLL, GOAL);
        assert_eq!(on.total, Duration::from_secs(15), "and counts on from there");
    }

    #[test]
    fn an_interruption_keeps_the_sum_and_skips_the_gap() {
        let one = Waited::default().observed(Timestamp(0), POLL, GOAL).observed(Timestamp(5_000), POLL, GOAL);
        let two = one.interrupted().observed(Timestamp(10_000), POLL, GOAL);
        assert_eq!(two.total, Duration::from_secs(5));
    }
}
