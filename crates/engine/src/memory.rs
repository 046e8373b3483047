//! What a process remembers of a group between two rounds. All of it may be lost at any time: a process that
//! remembers nothing probes first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_core::{Effect, EffectId, Row, RowVersion, StoreVersion, Violation};
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::time::Instant;

use crate::history::phase_word;
use crate::options::Options;
use crate::queue::Wake;

/// Which effect was performed. A pointer move with another expectation is another act.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Done {
    id: EffectId,
    expect: Option<StoreVersion>,
    adoption: bool,
}

/// What is remembered of a group.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    seen: Option<RowVersion>,
    /// This process has not made the step to the phase in which the row is: whatever the phase wants may have been
    /// tried already.
    unfamiliar: bool,
    /// Effects of an unfamiliar row with a definite outcome since.
    settled: BTreeSet<EffectId>,
    /// Effects whose last outcome is unknown.
    doubted: BTreeSet<EffectId>,
    performed: BTreeMap<Done, Instant>,
    /// The row's version, and what it was found to break: said once.
    pub(crate) violated: Option<(RowVersion, Vec<Violation>)>,
    /// What this process saw last was that a window is all that the row's phase waits for.
    pub(crate) parked: bool,
    pub(crate) backoff: BackOff,
}

impl Memory {
    /// A row was loaded. One that somebody else committed is unfamiliar.
    pub(crate) fn loaded(&mut self, row: &Row) {
        if self.seen != Some(row.version) {
            self.forget();
            self.seen = Some(row.version);
        }
    }

    /// Our commit took `before` to `after`.
    pub(crate) fn committed(&mut self, before: &Row, after: &Row) {
        self.seen = Some(after.version);
        self.parked = false;
        if !same_phase(before, after) {
            self.unfamiliar = false;
            self.settled.clear();
            self.doubted.clear();
            self.performed.clear();
        }
    }

    /// Nothing is known of the row any more, as after a start.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
        self.unfamiliar = true;
        self.settled.clear();
        self.doubted.clear();
        self.performed.clear();
    }

    /// Whether to look before acting.
    pub(crate) fn must_probe(&self, id: &EffectId) -> bool {
        self.doubted.contains(id) || (self.unfamiliar && !self.settled.contains(id))
    }

    /// An effect had a definite outcome, or an unknown one.
    pub(crate) fn outcome(&mut self, id: EffectId, unknown: bool) {
        if unknown {
            self.doubted.insert(id);
        } else {
            self.doubted.remove(&id);
            self.settled.insert(id);
        }
    }

    /// An effect was performed without a fault: it is not repeated before the poll interval has passed.
    pub(crate) fn performed(&mut self, done: Done, at: Instant) {
        self.performed.insert(done, at);
    }

    /// When an effect is due: at once, or a poll interval after it was performed.
    pub(crate) fn due(&self, done: &Done, poll: Duration, now: Instant) -> Instant {
        self.performed.get(done).map_or(now, |at| *at + poll)
    }

    /// Somebody woke the group: a consumer may have answered, so the roll is called again at once. Nothing else is
    /// hurried: logins and observations keep their pace. A person's change also ends a wait after a failure.
    pub(crate) fn woken(&mut self, wake: Wake) {
        self.performed.retain(|done, _| !done.adoption);
        if wake == Wake::Changed {
            self.backoff.reset();
        }
    }
}

impl Done {
    pub(crate) fn of(effect: &Effect, id: EffectId) -> Self {
        let expect = if let Effect::Point { expect, .. } = effect { expect.clone() } else { None };
        Self { id, expect, adoption: matches!(effect, Effect::CountAdoption { .. }) }
    }
}

/// Waits between failures.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    failures: u32,
    until: Option<Instant>,
}

impl BackOff {
    /// One more failure. The wait is at least the base, so that a refused login is not repeated at once and locks no
    /// account; on top of it comes full jitter up to the doubled base.
    pub(crate) fn failed(&mut self, options: &Options, now: Instant) {
        let span = options.retry_base.saturating_mul(2_u32.saturating_pow(self.failures.min(24)));
        let wait = options.retry_base.saturating_add(jitter(span)).min(options.retry_max);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait);
    }

    /// Something that only a person can change failed: the longest wait at once.
    pub(crate) fn parked(&mut self, options: &Options, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + options.retry_max);
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Until when nothing is tried; `None` if now is fine.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

/// A random part of `span`. Without randomness, all of it: late is safe.
pub(crate) fn jitter(span: Duration) -> Duration {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let random = OsRng.try_next_u64().unwrap_or(millis);
    Duration::from_millis(random.checked_rem(millis.saturating_add(1)).unwrap_or(millis))
}

/// Whether two rows stand in the same phase of the same candidate.
pub(crate) fn same_phase(one: &Row, other: &Row) -> bool {
    match (&one.rotation, &other.rotation) {
        (Some(one), Some(other)) => one.to == other.to && phase_word(&one.phase) == phase_word(&other.phase),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_their_bounds() {
        let options = Options::default();
        let now = Instant::now();
        let mut backoff = BackOff::default();
        for failures in 0..40_u32 {
            backoff.failed(&options, now);
            let wait = backoff.until(now).unwrap() - now;
            let most = options.retry_base.saturating_mul(2_u32.saturating_pow(failures.min(24)) + 1);
            assert!(wait >= options.retry_base && wait <= most.min(options.retry_max), "{failures}: {wait:?}");
        }
        backoff.reset();
        assert_eq!(backoff.until(now), None);
    }
}
