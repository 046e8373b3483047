//! What the demonstration and its consumers tell each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A line of a consumer's standard output.
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// How far it is, again and again.
    Progress(Progress),
    /// What it did: the last line.
    Account(Account),
}

/// What a consumer did so far.
#[derive(Serialize, Deserialize, Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Queries that were answered.
    pub queries: u64,
    /// Queries and connects that failed.
    pub failed: u64,
}

/// What a consumer did, as it says when it is asked to end.
#[derive(Serialize, Deserialize, Debug, Default, Clone)]
pub struct Account {
    /// Who.
    pub identity: String,
    /// Queries that were answered.
    pub queries: u64,
    /// Connections that were made.
    pub connects: u64,
    /// Queries and connects that failed, each counted at its first error; nothing is tried twice.
    pub failed: u64,
    /// The first failure, in the client library's words.
    pub first_failure: Option<String>,
    /// Queries by the generation whose credential they ran under.
    pub by_generation: BTreeMap<u64, u64>,
    /// Proof at the end: logins tried with credentials of earlier generations.
    pub old: Option<OldLogins>,
}

/// Logins with credentials that must not work any more.
#[derive(Serialize, Deserialize, Debug, Default, Clone)]
pub struct OldLogins {
    /// Generations whose login the server refused.
    pub refused: Vec<u64>,
    /// Generations whose login worked, or whose refusal could not be told from another failure.
    pub not_refused: Vec<u64>,
    /// Whether, in the same round at the same server, the current credential was let in.
    pub control_accepted: bool,
}
