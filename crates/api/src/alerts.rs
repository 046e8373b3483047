//! What somebody may have to act on.

use serde::{Deserialize, Serialize};

/// The alerts that stand, of the groups that the token covers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alerts {
    /// In order of their groups.
    pub alerts: Vec<AlertView>,
}

/// An alert that stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertView {
    /// The group that it is about.
    pub group: String,
    /// A constant word: `stuck`, `forced`, `drift`, `doubted`, `overdue`, `old_lifetime`, `litter`, `unknown_outcome`.
    pub alert: String,
    /// Since when: RFC 3339, UTC.
    pub since: String,
    /// What it means.
    pub text: String,
    /// The command that says more, or mends it.
    pub hint: String,
}
