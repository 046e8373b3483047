//! Making record and world be of one time again.

use serde::{Deserialize, Serialize};

use crate::status::OccupantView;

/// Body of a request to recover a group.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// Only look, and say what would be done.
    #[serde(default)]
    pub check: bool,
    /// The generation to keep, where the world does not tell which one is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u64>,
    /// Why; audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a recovery did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recovered {
    /// Which group.
    pub group: String,
    /// Whether it was done; false where it was only looked at, and where there was nothing to do.
    pub done: bool,
    /// What spoke against the record: `restored`, `target_ahead`, `store_ahead`, `target_behind`, `store_behind`,
    /// `target_changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// `agrees`, `reasserts`, `follows`, `resumes`, `replaces`, `nothing`.
    pub course: String,
    /// The same in words.
    pub text: String,
    /// What the target is made to accept again, in place.
    pub accepted: Vec<OccupantView>,
    /// What had been forgotten and came back: it goes out of use, as in any rotation.
    pub retiring: Vec<OccupantView>,
    /// What is in force afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<OccupantView>,
    /// Where the rotation stands that goes on afterwards, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}
