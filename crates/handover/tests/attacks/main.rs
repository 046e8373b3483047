//! Attacks on the real program and a real PostgreSQL, and what the sources must not contain. The rows of the threat
//! model (`docs/threat-model.md`) name the tests here and elsewhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../consumer/mod.rs"]
mod consumer;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "../installation/mod.rs"]
mod installation;

mod access;
mod http;
mod injection;
mod leaks;
mod limits;
mod lockout;
mod man_in_the_middle;
mod oracle;
mod process;
mod sources;
mod threat_model;
