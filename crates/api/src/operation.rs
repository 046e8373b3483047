//! How the server itself is doing.

use serde::{Deserialize, Serialize};

/// The server is ready. One that is not answers 503 with a [`crate::Problem`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Always `ready`.
    pub status: String,
    /// The server's version.
    pub version: String,
}

/// Where history is delivered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sinks {
    /// In the order of the configuration.
    pub sinks: Vec<SinkView>,
}

/// One sink.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SinkView {
    /// Its name.
    pub sink: String,
    /// Everything up to this position is delivered.
    pub position: u64,
    /// How many records wait for it.
    pub waiting: u64,
    /// What is wrong with it; absent while it takes records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<SinkFailing>,
}

/// Why a sink takes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SinkFailing {
    /// Since when: RFC 3339, UTC.
    pub since: String,
    /// The code of the last fault.
    pub code: String,
    /// What happened, in our own words.
    pub detail: String,
}
