//! What is happening to a group, why, and what can be done about it.

use serde::{Deserialize, Serialize};

use crate::delivery::Reach;
use crate::status::{ObstacleView, OccupantView, Status};

/// What is happening to a group: at rest, or in a rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Which group.
    pub group: String,
    /// What state it is in, in a sentence.
    pub summary: String,
    /// Since when: the present phase, or the end of the last rotation. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What the stores publish at rest; none before the first rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<OccupantView>,
    /// Since when that generation is in force: RFC 3339, UTC. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_since: Option<String>,
    /// The generation that the rotation leads to, live or last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The phase of that rotation, as in [`crate::RotationView::phase`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The same in six words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What was observed in this phase so far.
    pub evidence: Vec<EvidenceView>,
    /// Whom or what it waits for.
    pub waiting_for: Vec<Awaited>,
    /// Why nothing happens now, if it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldView>,
    /// The last fault that has not been overcome, or that this server saw in the present rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<FaultView>,
    /// What stays behind at the target of generations that are gone, and what clears it away. Looked at where no rotation
    /// is live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub litter: Vec<String>,
    /// The campaign that it is in and that has not ended, and what it does there, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// What happens next.
    pub next: NextView,
    /// What can be done now. Only what would be accepted as things stand.
    pub actions: Vec<ActionView>,
}

/// Something that was observed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceView {
    /// A constant word: `passes`, `verifiers`, `store`, `presenters`, `use`, `quiet`, `overlap`, `refused`, `brake`,
    /// `forgotten`.
    pub kind: String,
    /// The same for people.
    pub text: String,
}

/// Whom or what a phase waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Awaited {
    /// As in [`crate::WaitingFor::kind`].
    pub kind: String,
    /// The same for people.
    pub text: String,
    /// The consumer or store, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Since when, at the earliest: when the phase was entered. RFC 3339, UTC.
    pub since: String,
    /// Of a consumer: the highest publication that it acknowledged, with proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<u64>,
    /// Of a consumer: how far it got with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// How much longer, if that is known, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// Why nothing happens now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldView {
    /// As in [`crate::RotationView::hold`].
    pub kind: String,
    /// The same for people.
    pub text: String,
}

/// A fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FaultView {
    /// Its code.
    pub code: String,
    /// What went wrong, in our own words.
    pub text: String,
    /// Its page in the documentation.
    pub page: String,
    /// When: RFC 3339, UTC. Absent if it happened before the server was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// What happens next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NextView {
    /// In a sentence.
    pub text: String,
    /// Observed time until the deadline passes, in milliseconds, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What happens then, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    /// What stands in the way of the next rotation; only of a group at rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<ObstacleView>,
}

/// Something that can be done now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActionView {
    /// The command, as it is typed.
    pub command: String,
    /// What it does.
    pub text: String,
}
