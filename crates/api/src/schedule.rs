//! When groups are rotated without anybody asking.

use serde::{Deserialize, Serialize};

/// The schedules of the groups that the token may see.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedules {
    /// In order of the groups' names; groups without a schedule are not among them.
    pub schedules: Vec<ScheduleView>,
    /// `after` of the request for the next page; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How a group's schedule stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduleView {
    /// Which group.
    pub group: String,
    /// How it repeats, as it is configured: `every 90d`, `30 2 * * sun Europe/Berlin`, `by hand`.
    pub repeats: String,
    /// How it stands.
    pub state: ScheduleState,
    /// The same for people.
    pub text: String,
    /// For when the next rotation is planned: RFC 3339, UTC. In the past, it is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<String>,
    /// From when it may start: spread, jittered, and in a window. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,
    /// The windows, as they are configured; none: it may start at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
    /// The dates on which nothing starts, as they are configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackout: Vec<String>,
    /// Whether a window is open now.
    pub open: bool,
    /// Until when that stays so, if that is known: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_changes_at: Option<String>,
}

/// How a schedule stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// It has no interval and no times: people start rotations.
    ByHand,
    /// Nothing is in force yet: the first rotation is a person's, or the credential is adopted.
    NothingInForce,
    /// A person paused it.
    Paused,
    /// The next rotation is planned.
    Planned,
    /// A rotation is due, and waits for its turn or for a window.
    Late,
    /// A rotation is due, and waits for the live one to end.
    Queued,
    /// A rotation is live; the next one is planned.
    Rotating,
    /// A rotation was due and could not be started; it is tried again.
    Refused,
}

impl ScheduleState {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ByHand => "by_hand",
            Self::NothingInForce => "nothing_in_force",
            Self::Paused => "paused",
            Self::Planned => "planned",
            Self::Late => "late",
            Self::Queued => "queued",
            Self::Rotating => "rotating",
            Self::Refused => "refused",
        }
    }
}

/// What is coming, over all groups that the token may see or of one of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Calendar {
    /// From when: RFC 3339, UTC.
    pub from: String,
    /// Until when: RFC 3339, UTC.
    pub until: String,
    /// Rotations as they are planned, the earliest first, as if each started when it may.
    pub rotations: Vec<PlannedRotation>,
    /// Whether there are more than are told.
    pub more: bool,
}

/// A rotation that is planned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedRotation {
    /// From when it may start: RFC 3339, UTC.
    pub start_at: String,
    /// Of which group.
    pub group: String,
    /// For when it is planned: RFC 3339, UTC.
    pub planned_at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire() {
        use ScheduleState as S;
        for state in [S::ByHand, S::NothingInForce, S::Paused, S::Planned, S::Late, S::Queued, S::Rotating, S::Refused]
        {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
    }
}
