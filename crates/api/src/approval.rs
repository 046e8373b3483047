//! For whose word rotations wait.

use serde::{Deserialize, Serialize};

/// Before what somebody has to approve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Before anything is minted.
    Start,
    /// Before the old generation is refused.
    Disable,
    /// Before it is forgotten, for good.
    Destroy,
}

impl Gate {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Start, Self::Disable, Self::Destroy];

    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Disable => "disable",
            Self::Destroy => "destroy",
        }
    }
}

/// The approvals that rotations stand before, of the groups that the token may see.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approvals {
    /// In order of the groups' names.
    pub approvals: Vec<ApprovalView>,
    /// `after` of the request for the next page; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A gate before which a rotation stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalView {
    /// Which group.
    pub group: String,
    /// The generation that the rotation leads to.
    pub generation: u64,
    /// Before what.
    pub gate: Gate,
    /// What happens once it is approved, for people.
    pub text: String,
    /// The digest of the plan: an approval is of this plan, and of no other.
    pub plan: String,
    /// The person who asked for the rotation, and does not approve it; none: a schedule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Since when the rotation is in this phase: RFC 3339, UTC.
    pub since: String,
    /// How many people have to approve.
    pub quorum: u32,
    /// How many more are needed now; 0: it is approved.
    pub missing: u32,
    /// How long an approval counts.
    pub expires_ms: u64,
    /// Who may approve; empty: every approver whose token covers the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Who approved, as far as it counts now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<GivenView>,
    /// Whether the one who asks may approve it.
    pub may_approve: bool,
}

/// An approval that counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GivenView {
    /// Who gave it.
    pub by: String,
    /// When: RFC 3339, UTC.
    pub at: String,
    /// Until when it counts: RFC 3339, UTC.
    pub expires_at: String,
}

/// Body of an approval: of this rotation, this gate and this plan, as [`ApprovalView`] said them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// The generation that the rotation leads to.
    pub generation: u64,
    /// Before what.
    pub gate: Gate,
    /// The digest of the plan.
    pub plan: String,
    /// Why; audited. At most [`crate::REASON_CHARS_MAX`] characters, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire() {
        for gate in Gate::ALL {
            assert_eq!(serde_json::to_value(gate).unwrap(), gate.word());
        }
    }
}
