//! The locks and threads that the core is built on. The model checker puts its own in their place: see `tests/model.rs`.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::thread_local;

/// Whether there are threads that watch over stalled effects and timers. The model checker knows no time.
pub(crate) const BACKGROUND: bool = true;
