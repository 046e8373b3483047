//! Emergencies: what is compromised is taken out of force.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::status::ObstacleView;

/// Body of an order to take what is in force out of force, because somebody else may hold it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EmergencyRequest {
    /// Why; audited. Needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Presenters that do not load the new value within the policy's ceiling may break. Without it, the order is refused where
    /// somebody is behind or nobody knows who presents it, and presenters are waited for without an end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_breakage: bool,
    /// Open sessions of the old generation are ended once it is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end_sessions: bool,
}

/// Body of a question: what an emergency of these groups would do. All that is said must hold; at least one thing must be said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EmergencySelect {
    /// Groups that have all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Groups on this target: its kind, its host, its host and port, or all of it, as in `postgres db.internal:5432`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Groups whose generation in force is older than so many seconds, or of unknown age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_s: Option<u64>,
    /// These groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// What an emergency would do, in the order in which groups would be taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmergencyPlans {
    /// First those that leave nobody behind, then by name.
    pub groups: Vec<EmergencyPlan>,
}

/// What an emergency would do to a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmergencyPlan {
    /// Which group.
    pub group: String,
    /// The generation that would be taken out of force; absent: none is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised: Option<u64>,
    /// Since when it is said to be compromised, if it is: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tainted_at: Option<String>,
    /// `starts`: a rotation starts. `preempts`: the live one goes on, with its waits cut. `supersedes`: one starts over a
    /// rollback that waits.
    pub way: String,
    /// Presenters that have not loaded what is in force: they would be left without a valid credential.
    pub behind: Vec<String>,
    /// Whether there may be others, whom nobody knows.
    pub unknown: bool,
    /// From where it is used now, as far as the target tells; asked where others may use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_from: Vec<UsedFrom>,
    /// How long presenters would be waited for, once it was accepted that they break, in milliseconds.
    pub ceiling_ms: u64,
    /// How long both generations would stay valid after all presenters moved, in milliseconds.
    pub overlap_min_ms: u64,
    /// Whether open sessions are ended also where nobody asks for it.
    pub ends_sessions: bool,
    /// What stands in its way. Not empty: it would be refused.
    pub obstacles: Vec<ObstacleView>,
}

/// From where a credential is used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsedFrom {
    /// The client's address; absent where our user may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many uses come from there.
    pub uses: u32,
}

/// How the last emergency of a group stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmergencyView {
    /// This generation and all before it are compromised.
    pub compromised: u64,
    /// When that was said first: RFC 3339, UTC.
    pub since: String,
    /// When they were proved to be refused, or were forgotten; absent: they are not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<String>,
    /// How long that took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Presenters that have not loaded the new generation, while a rotation away from it is live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<String>,
    /// Whether such a rotation waits for no presenter longer than the policy's ceiling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_breakage: bool,
}

/// Body of a signed message that orders an emergency. All that is said must hold of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HookRequest {
    /// Groups that have all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// These groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Why; audited. Needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a signed message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HookOrders {
    /// One for each group that it selects.
    pub orders: Vec<HookOrder>,
}

/// What became of one group's order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HookOrder {
    /// Which group.
    pub group: String,
    /// The generation that replaces what is compromised, if the order was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The code of the refusal, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
