//! Conformance suites: one per port, run against real servers.

pub mod provider;
pub mod sink;
pub mod state;
pub mod store;
pub mod target;
