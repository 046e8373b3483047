//! Bad input of every kind, against the real binary and a real PostgreSQL: what is said, to the letter; that nothing is
//! lost; that nothing is touched that is not ours.
//!
//! What is said stands in `*.txt` beside this file. `HANDOVER_BLESS=1` writes it anew; read the difference as text.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod configuration;
mod names;
mod state;
mod target;
mod transcript;
