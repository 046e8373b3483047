//! State: where rows, sealed candidates and history are kept.

pub mod chain;
pub mod checkpoint;
mod rows;
pub mod sqlite;
