use std::collections::{BTreeMap, BTreeSet};

use handover_core::campaign::{Campaign, End, Leg, LegState, Motion, OnFailure, Pause, Setback, Terms, Until};
use handover_core::{BadName, CampaignId, ConsumerId, Generation, GroupId, RowVersion, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Unreadable, VERSION};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredCampaign {
    v: u32,
    id: u64,
    version: u64,
    asked_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    asked_at: i64,
    parallel_max: u32,
    until: StoredUntil,
    on_failure: StoredOnFailure,
    legs: BTreeMap<String, StoredLeg>,
    motion: StoredMotion,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLeg {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    after: BTreeSet<String>,
    state: StoredLegState,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredUntil {
    Adopted,
    Ended,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOnFailure {
    Hold,
    Undo,
    GoOn,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredLegState {
    Waiting,
    Starting { generation: u64, refused: u32 },
    Started { generation: u64 },
    Through { generation: u64 },
    Succeeded { generation: u64 },
    Returning { generation: u64 },
    Failed { setback: StoredSetback },
    Skipped,
    Undoing { generation: u64, refused: u32 },
    GoingBack { generation: u64 },
    Undone { generation: u64 },
    Kept { generation: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredSetback {
    RolledBack,
    Abandoned,
    Superseded,
    Refused,
    Gone,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredMotion {
    Running,
    Held(StoredPause),
    Undoing,
    Cancelling,
    Ended(StoredEnd),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPause {
    Ordered,
    Failed,
    Restored,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredEnd {
    Success,
    Partly,
    Undone,
    Cancelled,
}

impl From<&Campaign> for StoredCampaign {
    fn from(row: &Campaign) -> Self {
        let leg = |(group, leg): (&GroupId, &Leg)| {
            let after = leg.after.iter().map(ToString::to_string).collect();
            (group.to_string(), StoredLeg { after, state: leg.state.into() })
        };
        Self {
            v: VERSION,
            id: row.id.0,
            version: row.version.0,
            asked_by: row.asked_by.to_string(),
            reason: row.reason.clone(),
            asked_at: row.asked_at.0,
            parallel_max: row.terms.parallel_max,
            until: match row.terms.until {
                Until::Adopted => StoredUntil::Adopted,
                Until::Ended => StoredUntil::Ended,
            },
            on_failure: match row.terms.on_failure {
                OnFailure::Hold => StoredOnFailure::Hold,
                OnFailure::Undo => StoredOnFailure::Undo,
                OnFailure::GoOn => StoredOnFailure::GoOn,
            },
            legs: row.legs.iter().map(leg).collect(),
            motion: row.motion.into(),
        }
    }
}

impl StoredCampaign {
    pub(super) fn into_core(self) -> Result<Campaign, Unreadable> {
        let leg = |(group, leg): (String, StoredLeg)| {
            let after = leg.after.iter().map(|name| GroupId::parse(name)).collect::<Result<_, _>>()?;
            Ok::<_, BadName>((GroupId::parse(&group)?, Leg { after, state: leg.state.into_core() }))
        };
        Ok(Campaign {
            id: CampaignId(self.id),
            version: RowVersion(self.version),
            asked_by: ConsumerId::parse(&self.asked_by)?,
            reason: self.reason,
            asked_at: Timestamp(self.asked_at),
            terms: Terms {
                parallel_max: self.parallel_max,
                until: match self.until {
                    StoredUntil::Adopted => Until::Adopted,
                    StoredUntil::Ended => Until::Ended,
                },
                on_failure: match self.on_failure {
                    StoredOnFailure::Hold => OnFailure::Hold,
                    StoredOnFailure::Undo => OnFailure::Undo,
                    StoredOnFailure::GoOn => OnFailure::GoOn,
                },
            },
            legs: self.legs.into_iter().map(leg).collect::<Result<_, _>>()?,
            motion: self.motion.into_core(),
        })
    }
}

impl From<LegState> for StoredLegState {
    fn from(state: LegState) -> Self {
        match state {
            LegState::Waiting => Self::Waiting,
            LegState::Starting { generation, refused } => Self::Starting { generation: generation.0, refused },
            LegState::Started { generation } => Self::Started { generation: generation.0 },
            LegState::Through { generation } => Self::Through { generation: generation.0 },
            LegState::Succeeded { generation } => Self::Succeeded { generation: generation.0 },
            LegState::Returning { generation } => Self::Returning { generation: generation.0 },
            LegState::Failed { setback } => Self::Failed { setback: setback.into() },
            LegState::Skipped => Self::Skipped,
            LegState::Undoing { generation, refused } => Self::Undoing { generation: generation.0, refused },
            LegState::GoingBack { generation } => Self::GoingBack { generation: generation.0 },
            LegState::Undone { generation } => Self::Undone { generation: generation.0 },
            LegState::Kept { generation } => Self::Kept { generation: generation.0 },
        }
    }
}

impl StoredLegState {
    const fn into_core(self) -> LegState {
        match self {
            Self::Waiting => LegState::Waiting,
            Self::Starting { generation, refused } => {
                LegState::Starting { generation: Generation(generation), refused }
            }
            Self::Started { generation } => LegState::Started { generation: Generation(generation) },
            Self::Through { generation } => LegState::Through { generation: Generation(generation) },
            Self::Succeeded { generation } => LegState::Succeeded { generation: Generation(generation) },
            Self::Returning { generation } => LegState::Returning { generation: Generation(generation) },
            Self::Failed { setback } => LegState::Failed { setback: setback.into_core() },
            Self::Skipped => LegState::Skipped,
            Self::Undoing { generation, refused } => LegState::Undoing { generation: Generation(generation), refused },
            Self::GoingBack { generation } => LegState::GoingBack { generation: Generation(generation) },
            Self::Undone { generation } => LegState::Undone { generation: Generation(generation) },
            Self::Kept { generation } => LegState::Kept { generation: Generation(generation) },
        }
    }
}

impl From<Setback> for StoredSetback {
    fn from(setback: Setback) -> Self {
        match setback {
            Setback::RolledBack => Self::RolledBack,
            Setback::Abandoned => Self::Abandoned,
            Setback::Superseded => Self::Superseded,
            Setback::Refused => Self::Refused,
            Setback::Gone => Self::Gone,
        }
    }
}

impl StoredSetback {
    const fn into_core(self) -> Setback {
        match self {
            Self::RolledBack => Setback::RolledBack,
            Self::Abandoned => Setback::Abandoned,
            Self::Superseded => Setback::Superseded,
            Self::Refused => Setback::Refused,
            Self::Gone => Setback::Gone,
        }
    }
}

impl From<Motion> for StoredMotion {
    fn from(motion: Motion) -> Self {
        match motion {
            Motion::Running => Self::Running,
            Motion::Held(Pause::Ordered) => Self::Held(StoredPause::Ordered),
            Motion::Held(Pause::Failed) => Self::Held(StoredPause::Failed),
            Motion::Held(Pause::Restored) => Self::Held(StoredPause::Restored),
            Motion::Undoing => Self::Undoing,
            Motion::Cancelling => Self::Cancelling,
            Motion::Ended(End::Success) => Self::Ended(StoredEnd::Success),
            Motion::Ended(End::Partly) => Self::Ended(StoredEnd::Partly),
            Motion::Ended(End::Undone) => Self::Ended(StoredEnd::Undone),
            Motion::Ended(End::Cancelled) => Self::Ended(StoredEnd::Cancelled),
        }
    }
}

impl StoredMotion {
    const fn into_core(self) -> Motion {
        match self {
            Self::Running => Motion::Running,
            Self::Held(StoredPause::Ordered) => Motion::Held(Pause::Ordered),
            Self::Held(StoredPause::Failed) => Motion::Held(Pause::Failed),
            Self::Held(StoredPause::Restored) => Motion::Held(Pause::Restored),
            Self::Undoing => Motion::Undoing,
            Self::Cancelling => Motion::Cancelling,
            Self::Ended(StoredEnd::Success) => Motion::Ended(End::Success),
            Self::Ended(StoredEnd::Partly) => Motion::Ended(End::Partly),
            Self::Ended(StoredEnd::Undone) => Motion::Ended(End::Undone),
            Self::Ended(StoredEnd::Cancelled) => Motion::Ended(End::Cancelled),
        }
    }
}
