//! What happened, page by page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many items a page has if the request does not say.
pub const PAGE_DEFAULT: usize = 100;

/// The most items that a page has, whatever the request says.
pub const PAGE_MAX: usize = 1_000;

/// A page of history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct History {
    /// The newest first; with `after`, the oldest first.
    pub records: Vec<RecordView>,
    /// Where the next page begins: `before` of the next request, or `after` if this one had it. None: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A committed line of history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordView {
    /// Its place in the history of all groups, from 1, without gaps.
    pub position: u64,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// The group that it is about.
    pub group: String,
    /// What happened, as a constant word: `started`, `advanced`, `ordered`, …
    pub event: String,
    /// Who caused it: `engine`, or the identity of a token.
    pub actor: String,
    /// Details, never secret.
    pub fields: BTreeMap<String, String>,
}
