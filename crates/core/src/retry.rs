//! Whole attempts after a known failure: when a rotation that failed and went back by itself is tried once more.
//!
//! It follows from the durable row and the policy alone. When the process was started does not matter, and neither does who
//! asks.

use std::time::Duration;

use crate::model::{Cause, Outcome, Phase, Row};
use crate::plan::Policy;
use crate::schedule::{hash, mix, share};
use crate::time::Timestamp;

/// The longest wait before an attempt, its jitter left out.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// The most attempts that a policy may ask for.
pub const RETRIES_MAX: u32 = 10;

/// From when on a rotation that failed is tried once more; `None`: it is not.
///
/// Only a known failure is tried again: the candidate failed verification or a check, and the rotation went back to the
/// end. What a person took back or gave up is not, and neither is anything while a person paused the group's schedule. Each
/// wait is twice the one before, and longer by a share that is another one for each group and attempt.
pub fn retry_at(row: &Row, policy: &Policy) -> Option<Timestamp> {
    let ended = row.rotation.as_ref()?;
    let failed = ended.phase == Phase::Done(Outcome::RolledBack) && ended.cause == Some(Cause::Unfit);
    let retries = row.cadence.retries;
    if !failed || row.doubt.is_some() || row.cadence.paused || retries >= policy.max_retries {
        return None;
    }
    let wait = policy.retry_after.saturating_mul(1 << retries.min(16)).min(RETRY_AFTER_MAX);
    let group = hash(row.group.as_str().bytes());
    let jitter = share(wait, mix(group ^ hash(ended.to.generation.0.to_le_bytes())));
    Some(ended.entered_at.after(wait).after(jitter))
}

impl Row {
    /// A row that starts, as an attempt more after the one that failed in `before`: it counts, and whoever asked for that one
    /// asked for this one.
    #[must_use]
    pub fn as_retry_of(mut self, before: &Self) -> Self {
        self.cadence.retries = before.cadence.retries.saturating_add(1);
        if let Some(rotation) = &mut self.rotation {
            rotation.asked_by = before.rotation.as_ref().and_then(|failed| failed.asked_by.clone());
        }
        self
    }
}
