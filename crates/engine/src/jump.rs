//! Jumps of the wall clock, which do no harm to waits and are told in history: times in it are by that clock.

use std::time::Duration;

use handover_core::Timestamp;
use tokio::time::Instant;

/// What is told at once. Corrections of a clock that is kept right are far smaller.
const APART_MIN: Duration = Duration::from_secs(5);
/// After so long without a jump, the next one is told at once again.
const CALM: Duration = Duration::from_secs(3600);

/// Compares the wall clock with one that only goes forward.
///
/// A clock that stands still moves away from the other all the time. So that this does not fill the history, what is
/// told next has to be twice as far as what was told last, until nothing is told for an hour.
#[derive(Default)]
pub(crate) struct JumpWatch {
    since: Option<(Timestamp, Instant)>,
    limit: Duration,
}

impl JumpWatch {
    /// How far the wall clock went apart since the last time that it was told, if that is worth telling.
    pub(crate) fn look(&mut self, wall: Timestamp, now: Instant) -> Option<i64> {
        let Some((wall_then, then)) = self.since else {
            self.since = Some((wall, now));
            self.limit = APART_MIN;
            return None;
        };
        let passed = now.saturating_duration_since(then);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let apart_ms = wall.0.saturating_sub(wall_then.0).saturating_sub(passed_ms);
        let apart = Duration::from_millis(apart_ms.unsigned_abs());
        if passed >= CALM && apart < APART_MIN {
            self.limit = APART_MIN;
        }
        (apart >= self.limit).then_some(apart_ms)
    }

    /// It was told: from here on it is compared anew.
    pub(crate) fn told(&mut self, wall: Timestamp, now: Instant) {
        self.since = Some((wall, now));
        self.limit = self.limit.saturating_mul(2).min(CALM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// What is told over seconds of which each moves the wall clock by so much.
    fn told(watch: &mut JumpWatch, start: Instant, steps_ms: &[i64]) -> Vec<i64> {
        let (mut told, mut wall) = (Vec::new(), 0);
        for (second, step) in (0..).zip(steps_ms) {
            wall += step;
            let now = start + Duration::from_secs(second);
            if let Some(by) = watch.look(Timestamp(wall), now) {
                told.push(by);
                watch.told(Timestamp(wall), now);
            }
        }
        told
    }

    #[test]
    fn each_jump_is_told_once_and_a_clock_that_runs_is_not() {
        let start = Instant::now();
        assert_eq!(told(&mut JumpWatch::default(), start, &[1000; 600]), Vec::<i64>::new());
        let mut steps = vec![1000; 30];
        (steps[10], steps[20]) = (HOUR_MS, -HOUR_MS);
        assert_eq!(told(&mut JumpWatch::default(), start, &steps), [HOUR_MS - 1000, -HOUR_MS - 1000]);
        steps[10] = 24 * HOUR_MS;
        assert_eq!(told(&mut JumpWatch::default(), start, &steps), [24 * HOUR_MS - 1000, -HOUR_MS - 1000]);
    }

    #[test]
    fn a_clock_that_stands_still_is_told_ever_less_often() {
        let frozen = told(&mut JumpWatch::default(), Instant::now(), &[0; 3600]);
        assert_eq!(frozen[..4], [-5000, -10_000, -20_000, -40_000]);
        assert!(frozen.len() < 12, "{frozen:?}");
    }

    #[test]
    fn after_a_calm_hour_a_small_jump_is_told_again() {
        let (mut watch, start) = (JumpWatch::default(), Instant::now());
        let mut steps = vec![1000; 8000];
        (steps[1], steps[7000]) = (HOUR_MS, 7000);
        assert_eq!(told(&mut watch, start, &steps), [HOUR_MS - 1000, 6000]);
    }
}
