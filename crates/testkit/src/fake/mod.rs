//! In-memory ports with named points at which they fail, hang, lose replies, act late, or end with their process.

mod check;
mod consumers;
mod provider;
mod script;
mod sink;
mod state;
mod store;
mod target;

pub use check::{FakeCheck, FakeFinding};
pub use consumers::FakeConsumers;
pub use provider::{FakeProvider, Mistake};
pub use script::{Injection, Script};
pub use sink::FakeSink;
pub use state::FakeState;
pub use store::FakeStore;
pub use target::FakeTarget;

use std::sync::{Mutex, MutexGuard, PoisonError};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
