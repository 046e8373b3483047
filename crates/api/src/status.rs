//! Where things stand.

use serde::{Deserialize, Serialize};

use crate::delivery::{Reach, Role};
use crate::emergency::EmergencyView;
use crate::schedule::ScheduleView;

/// Whether the server is up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Always `ok`: a server that is not does not answer.
    pub status: String,
    /// The server's version.
    pub version: String,
}

/// The groups that the token may see.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Groups {
    /// In order of their names.
    pub groups: Vec<GroupSummary>,
    /// Groups of this page whose record cannot be read, and why: nothing is known of them, and nothing is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableGroup>,
    /// Groups that the configuration does not name and the state still knows, by name. They can be removed. On the
    /// first page only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfigured: Vec<String>,
    /// `after` of the request for the next page; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A group whose record cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnreadableGroup {
    /// Its name.
    pub group: String,
    /// The code of the fault: it has a page in the documents.
    pub code: String,
    /// What is wrong.
    pub detail: String,
}

/// One line about a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// The generation that the stores publish at rest, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Since when that generation is in force: RFC 3339, UTC. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_since: Option<String>,
    /// The highest publication ever intended.
    pub publication: u64,
    /// The status of its rotation, live or last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Where that rotation stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why nothing happens now, if it is held, as in [`RotationView::hold`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Why the record of the group is doubted; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// The code of the rotation's last fault, until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Since when it stands there: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered_at: Option<String>,
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupStatus {
    /// Its name.
    pub group: String,
    /// The target's configured name.
    pub target: String,
    /// What the stores publish at rest; none before the first rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<OccupantView>,
    /// Since when that generation is in force: RFC 3339, UTC. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_since: Option<String>,
    /// The highest publication ever intended.
    pub publication: u64,
    /// The rotation: live, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationView>,
    /// Who is expected to acknowledge, and how far each got.
    pub consumers: Vec<MemberView>,
    /// When it is rotated without anybody asking, if it has a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleView>,
    /// The last emergency, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<EmergencyView>,
}

/// A generation and where the target keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OccupantView {
    /// Which generation.
    pub generation: u64,
    /// Which of the target's slots.
    pub slot: u32,
    /// Which of its minted values.
    pub candidate: u32,
}

/// One expected consumer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberView {
    /// Who.
    pub consumer: String,
    /// In which role.
    pub role: Role,
    /// The highest publication that it acknowledged, with proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<u64>,
    /// How far it got with that.
    pub reach: Reach,
}

/// A rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotationView {
    /// The old generation; none in a group's first rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<OccupantView>,
    /// The new generation.
    pub to: OccupantView,
    /// Generations of superseded rotations that retire with the loser of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<OccupantView>,
    /// Where it stands: `stage`, `apply`, `verify`, `publish`, `propagate`, `drain`, `disable`, `destroy`; on the way
    /// back `release`, `put_back`, `unpublish`, `return`, `quiet`, `revoke`; at the end `done`.
    pub phase: String,
    /// The same in six words.
    pub status: Status,
    /// Why nothing happens now, if it is held: `ordered`, `drift`, `candidates_spent`, `unfit`, `deadline`,
    /// `force_wanted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// The code of the last fault that has not been overcome since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Why it is rolled back, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Which presenters may read the candidate, where not all of them may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<WaveView>,
    /// Whom or what the phase waits for.
    pub waiting_for: Vec<WaitingFor>,
    /// When the phase was entered: RFC 3339, UTC.
    pub entered_at: String,
    /// How long the phase has been observed, in milliseconds.
    pub elapsed_ms: u64,
}

/// How far the waves of a rotation are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaveView {
    /// The wave that opened last, from 1; 0 before the first.
    pub open: u32,
    /// How many there are, with the last one, which is of everybody else; none before the first is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
}

/// The status that users read. It follows from the phase:
///
/// | phase | status |
/// |---|---|
/// | stage | `pending` |
/// | apply | `in_progress` |
/// | verify | `verifying` |
/// | publish, propagate, drain, disable, destroy | `in_progress` |
/// | release, put_back, unpublish, return, quiet, revoke | `in_progress` |
/// | done: the new generation is in force | `success` |
/// | done: the old generation is in force again | `rolled_back` |
/// | done: given up before anything was touched | `failed` |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was asked for; nothing outside has been touched.
    Pending,
    /// It is on its way, forward or back.
    InProgress,
    /// The candidate is being verified.
    Verifying,
    /// The new generation is in force, the old one forgotten.
    Success,
    /// It ended without a new generation, before anything was touched.
    Failed,
    /// The old generation is in force again.
    RolledBack,
}

impl Status {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Verifying => "verifying",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Whether the rotation has ended.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Success | Self::Failed | Self::RolledBack => true,
            Self::Pending | Self::InProgress | Self::Verifying => false,
        }
    }
}

/// Whom or what a phase waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingFor {
    /// A constant word: `held`, `trouble`, `verification`, `consumer`, `roll_incomplete`, `store`, `in_use`,
    /// `use_unknown`, `quiet`, `overlap`, `target`, `brake`, `window`, `soak`, `wave_empty`.
    pub kind: String,
    /// The same for people.
    pub text: String,
    /// The consumer or store, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How much longer, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// What a rotation would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanView {
    /// Which group.
    pub group: String,
    /// `dual_write`, …
    pub strategy: String,
    /// The steps, in order.
    pub steps: Vec<PlanStep>,
    /// Digest of the policy that it was made from.
    pub policy_digest: String,
    /// What stands in its way. Not empty: the rotation is refused.
    pub obstacles: Vec<ObstacleView>,
}

/// Something that stands in the way of a rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObstacleView {
    /// A constant word: `live`, `doubted`, `not_built`, `slots`, `target_does_not_fence`, `store_does_not_fence`,
    /// `store_read_by_all`, `no_store`, `no_evidence`, `quiet_too_short`, `policy`, `found`.
    pub kind: String,
    /// The same for people.
    pub text: String,
    /// The next step.
    pub hint: String,
}

/// One step of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanStep {
    /// The phase.
    pub phase: String,
    /// What happens in it and what ends it, in a sentence.
    pub text: String,
    /// How long it may take, and what happens then, if the policy sets a deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire() {
        let all = [
            Status::Pending,
            Status::InProgress,
            Status::Verifying,
            Status::Success,
            Status::Failed,
            Status::RolledBack,
        ];
        for status in all {
            assert_eq!(serde_json::to_value(status).unwrap(), status.word());
        }
    }
}
