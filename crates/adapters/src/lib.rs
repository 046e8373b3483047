//! Adapters: what Handover talks to. One cargo feature each.
//!
//! Connectors are dumb: they do no retries, keep no timers and write no logs. A driver's error text never crosses the
//! border of this crate; it is mapped to a [`handover_core::Fault`] in our own words.

#[cfg(any(feature = "check", feature = "notify"))]
mod address;
#[cfg(feature = "calendar")]
pub mod calendar;
#[cfg(feature = "check")]
pub mod check;
#[cfg(any(feature = "state-sqlite", feature = "store-embedded"))]
pub mod copy;
#[cfg(any(feature = "target-postgres", feature = "target-redis", feature = "store-embedded"))]
mod fences;
#[cfg(feature = "generate-process")]
pub mod generate;
#[cfg(any(feature = "sink-http", feature = "store-vault"))]
mod http;
#[cfg(feature = "notify")]
pub mod notify;
#[cfg(any(feature = "check", feature = "generate-process", feature = "notify"))]
mod program;
pub mod seal;
#[cfg(any(feature = "target-postgres", feature = "target-redis"))]
pub mod shared;
#[cfg(any(feature = "sink-file", feature = "sink-syslog", feature = "sink-http"))]
pub mod sink;
#[cfg(feature = "state-sqlite")]
pub mod state;
#[cfg(any(feature = "store-embedded", feature = "store-vault"))]
pub mod store;
pub mod target;
#[cfg(any(feature = "sink-syslog", feature = "sink-http", feature = "store-vault"))]
mod tls;
