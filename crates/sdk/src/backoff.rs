//! How long to wait before another try.

use std::time::Duration;

use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// Doubling waits with full jitter in their upper half, so that clients which lost one controller together do not come
/// back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    pub(crate) fn wait(&mut self) -> Duration {
        let wait = jittered(self.next);
        self.next = self.next.saturating_mul(2).min(self.longest);
        wait
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between half of `wait` and all of it.
pub(crate) fn jittered(wait: Duration) -> Duration {
    // Without randomness there is no jitter, and the longer wait is the safe one.
    let share = OsRng.try_next_u32().map_or(1.0, |bits| f64::from(bits) / f64::from(u32::MAX));
    wait.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_again_after_a_success() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut backoff = Backoff::new(first, longest);
        for expected_ms in [100, 200, 350, 350] {
            let (wait, expected) = (backoff.wait(), Duration::from_millis(expected_ms));
            assert!(wait >= expected / 2 && wait <= expected, "{wait:?} for {expected:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= first);
    }
}
