//! Reactive values for processes that consume credentials.
#![doc = include_str!("../../../docs/signals.md")]

mod audit;
mod computed;
mod context;
mod core;
mod credentials;
mod effect;
mod fault;
mod graph;
mod keys;
mod scope;
mod signal;
mod sync;
mod task;

pub use audit::{Cause, Outcome, Rerun};
pub use computed::Computed;
pub use credentials::{CredentialFault, Credentials, Published, ScopedCredentials, masked};
pub use effect::{Effect, Ending, Health, Retry};
pub use fault::Fault;
pub use graph::{Graph, Stats};
pub use keys::Keys;
pub use scope::Scope;
pub use signal::Signal;
pub use task::{AsyncComputed, Spawn, Superseded, Task, TaskOptions};
