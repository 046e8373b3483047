//! The wall clock, as a port: tests bring their own.

use std::time::{SystemTime, UNIX_EPOCH};

use handover_core::Timestamp;

/// Tells the time of day. It may jump; waiting is accumulated from observations, so a jump does no harm.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is as wrong as any other jump: it adds nothing to any wait.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
