//! Sinks: where committed history is delivered.

pub mod file;
