//! State: where rows, sealed candidates and history are kept.

pub mod chain;
mod rows;
pub mod sqlite;
