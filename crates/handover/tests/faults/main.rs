//! Faults around a rotation of the real controller on a real PostgreSQL, one test for each. The controller reaches the
//! server through a proxy; a consumer has a way of its own, logs in all the time, and must never be refused.
//!
//! Markers such as `F06` name the rows of `docs/faults.md`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod clock;
#[path = "../consumer/mod.rs"]
mod consumer;
mod disk;
mod drain;
mod forward;
mod pooler;
mod stage;
mod way_back;
