//! What rotations came to: figures from the history, and a report for whoever answers for the groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Figures over the groups that the token covers. Whatever is not known is absent, never zero.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Statistics {
    /// Rotations count that ended from then on: RFC 3339, UTC. Absent: all of which the history is kept in the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the counters were reset last; nothing before it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<String>,
    /// Present where the figures do not reach back as far as was asked: they are complete from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_from: Option<String>,
    /// The position in the history up to which it is counted.
    pub position: u64,
    /// Records that are not counted yet: after a start the history is read first.
    pub behind: u64,
    /// Configured groups.
    pub groups: u64,
    /// Rotations that are live now.
    pub live: u64,
    /// Those of them that are held.
    pub held: u64,
    /// Rotations that ended.
    pub ended: Ended,
    /// Of those that ended by themselves, how many succeeded: 0 to 1. Absent where none ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// Rollbacks by strategy; `unknown` for rotations whose start was not seen, or did not say.
    pub rollbacks: BTreeMap<String, u64>,
    /// Successes that left something behind which could not be cleaned away. They are successes.
    pub with_litter: u64,
    /// Rotations that were asked for while another one was live. They are no rotations, and count nowhere else.
    pub refused_concurrent: u64,
    /// How long rotations took that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Percentiles>,
    /// How long each phase took, of all rotations that ended.
    pub phases: BTreeMap<String, Percentiles>,
    /// How long an old credential stayed valid after every store had published the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Percentiles>,
    /// How old credentials were when they were retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Percentiles>,
    /// How long it took in emergencies from the order until what was compromised was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Percentiles>,
    /// How old what is in force is now.
    pub ages: Ages,
    /// Groups whose credential is older than their `age_max`.
    pub overdue: u64,
    /// Their names, the oldest first; 100 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overdue_groups: Vec<String>,
}

/// How rotations ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ended {
    /// The new credential is in force, and the old one is retired.
    pub success: u64,
    /// The old credential is in force again.
    pub rolled_back: u64,
    /// Given up before anything was touched.
    pub failed: u64,
    /// Given over to another rotation.
    pub superseded: u64,
}

/// How durations spread, in milliseconds. The nearest rank: each is a duration that occurred.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// Half were not longer.
    pub p50_ms: u64,
    /// 95 of 100 were not longer.
    pub p95_ms: u64,
    /// 99 of 100 were not longer.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

/// How old what is in force is, over all groups.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ages {
    /// Less than a day.
    pub day: u64,
    /// Less than 7 days, and no less than one.
    pub week: u64,
    /// Less than 30 days.
    pub month: u64,
    /// Less than 90 days.
    pub quarter: u64,
    /// Less than 365 days.
    pub year: u64,
    /// 365 days and more.
    pub older: u64,
    /// Something is in force, and nobody knows since when.
    pub unknown: u64,
    /// Nothing is in force yet.
    pub none: u64,
}

/// Who owns what, how old it is, and what shows its last rotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    /// When it was made: RFC 3339, UTC.
    pub at: String,
    /// In order of their names.
    pub groups: Vec<ReportLine>,
    /// `after` of the request for the next page; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One group of a report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportLine {
    /// Its name.
    pub group: String,
    /// Who answers for it, as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The kind of its target.
    pub target: String,
    /// The generation that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Since when: RFC 3339, UTC. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_since: Option<String>,
    /// The oldest that it may become, in seconds, as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_max_s: Option<u64>,
    /// How it stands to that.
    pub standing: AgeStanding,
    /// The last rotation that ended, as far as 64 records of the group tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRotation>,
}

/// How the age of a credential stands to what is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgeStanding {
    /// It is not older than allowed.
    Within,
    /// It is older.
    Overdue,
    /// No age is set.
    NoLimit,
    /// An age is set, and nobody knows since when the credential is in force.
    Unknown,
    /// Nothing is in force yet.
    NothingInForce,
}

impl AgeStanding {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Overdue => "overdue",
            Self::NoLimit => "no limit",
            Self::Unknown => "unknown",
            Self::NothingInForce => "nothing in force",
        }
    }
}

/// What shows a rotation: records of the history, which `handover audit verify` checks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastRotation {
    /// How it ended: `success`, `rolled_back`, `abandoned`, `superseded`.
    pub outcome: String,
    /// When: RFC 3339, UTC.
    pub ended_at: String,
    /// The position of its last record.
    pub position: u64,
    /// That record's hash, in hexadecimal.
    pub hash: String,
    /// What was observed at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}
