use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_core::{
    ApprovalRule, ConsumerId, Deadline, Gate, Minter, Moments, OnDeadline, Plan, Reach, Slots, StoreId, Strategy,
    Stretch, Urgency,
};
use serde::{Deserialize, Serialize};

use super::waves::StoredWave;
use super::{Unreadable, VERSION};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPlan {
    v: u32,
    strategy: StoredStrategy,
    slots: StoredSlots,
    /// Plans from before providers could mint have none.
    #[serde(default)]
    minter: StoredMinter,
    stores: BTreeSet<String>,
    passes_min: u32,
    quiet_min: Duration,
    overlap_min: Duration,
    brake_for: Duration,
    poll: Duration,
    reach_min: StoredReach,
    auto_rollback: bool,
    candidates_max: u32,
    deadlines: BTreeMap<StoredStretch, StoredDeadline>,
    /// Plans from before there were approvals have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    approvals: BTreeMap<StoredGate, StoredApprovalRule>,
    verifiers: bool,
    presenters: bool,
    /// Plans from before there were checks have none.
    #[serde(default, skip_serializing_if = "StoredMoments::is_never")]
    checks: StoredMoments,
    /// Plans from before there were emergencies have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    urgency: Option<StoredUrgency>,
    /// Plans from before there were waves have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waves: Vec<StoredWave>,
    policy_digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredStrategy {
    Immediate,
    Staged,
    DualWrite,
    BlueGreen,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredSlots {
    Fixed(u32),
    Fresh,
    /// See [`Slots::Nowhere`].
    Nowhere,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum StoredMinter {
    #[default]
    Us,
    Provider,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct StoredMoments {
    before_publish: bool,
    after_publish: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredReach {
    Expected,
    Delivered,
    Loaded,
    Used,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
enum StoredStretch {
    Apply,
    Verify,
    Publish,
    Propagate,
    Drain,
    Disable,
    Rollback,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredGate {
    Start,
    Disable,
    Destroy,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredApprovalRule {
    quorum: u32,
    expires: Duration,
    approvers: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDeadline {
    after: Duration,
    then: StoredOnDeadline,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOnDeadline {
    Hold,
    Rollback,
    TerminateSessions,
    RequestForce,
    Force,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUrgency {
    accept_breakage: bool,
    end_sessions: bool,
}

impl From<&Plan> for StoredPlan {
    fn from(plan: &Plan) -> Self {
        let Plan {
            strategy,
            slots,
            minter,
            stores,
            passes_min,
            quiet_min,
            overlap_min,
            brake_for,
            poll,
            reach_min,
            auto_rollback,
            candidates_max,
            deadlines,
            approvals,
            verifiers,
            presenters,
            checks,
            urgency,
            waves,
            policy_digest,
        } = plan;
        Self {
            v: VERSION,
            strategy: (*strategy).into(),
            slots: (*slots).into(),
            minter: (*minter).into(),
            stores: stores.iter().map(ToString::to_string).collect(),
            passes_min: *passes_min,
            quiet_min: *quiet_min,
            overlap_min: *overlap_min,
            brake_for: *brake_for,
            poll: *poll,
            reach_min: (*reach_min).into(),
            auto_rollback: *auto_rollback,
            candidates_max: *candidates_max,
            deadlines: deadlines.iter().map(|(stretch, deadline)| ((*stretch).into(), deadline.into())).collect(),
            approvals: approvals.iter().map(|(gate, rule)| ((*gate).into(), rule.into())).collect(),
            verifiers: *verifiers,
            presenters: *presenters,
            checks: (*checks).into(),
            urgency: urgency.map(Into::into),
            waves: waves.iter().map(StoredWave::from).collect(),
            policy_digest: policy_digest.clone(),
        }
    }
}

impl StoredPlan {
    pub(super) fn into_core(self) -> Result<Plan, Unreadable> {
        Ok(Plan {
            strategy: self.strategy.into(),
            slots: self.slots.into(),
            minter: self.minter.into(),
            stores: self.stores.iter().map(|store| StoreId::parse(store)).collect::<Result<_, _>>()?,
            passes_min: self.passes_min,
            quiet_min: self.quiet_min,
            overlap_min: self.overlap_min,
            brake_for: self.brake_for,
            poll: self.poll,
            reach_min: self.reach_min.into(),
            auto_rollback: self.auto_rollback,
            candidates_max: self.candidates_max,
            deadlines: self
                .deadlines
                .into_iter()
                .map(|(stretch, deadline)| (stretch.into(), deadline.into()))
                .collect(),
            approvals: self
                .approvals
                .into_iter()
                .map(|(gate, rule)| Ok((gate.into(), rule.into_core()?)))
                .collect::<Result<_, Unreadable>>()?,
            verifiers: self.verifiers,
            presenters: self.presenters,
            checks: self.checks.into(),
            urgency: self.urgency.map(Into::into),
            waves: self.waves.into_iter().map(StoredWave::into_core).collect::<Result<_, _>>()?,
            policy_digest: self.policy_digest,
        })
    }
}

/// Writes both conversions of an enum whose stored variants are named as the core's.
macro_rules! same_variants {
    ($stored:ident, $core:ident: $($variant:ident $(($field:ident))?),+) => {
        impl From<$core> for $stored {
            fn from(value: $core) -> Self {
                match value {
                    $($core::$variant $(($field))? => Self::$variant $(($field))?,)+
                }
            }
        }

        impl From<$stored> for $core {
            fn from(value: $stored) -> Self {
                match value {
                    $($stored::$variant $(($field))? => Self::$variant $(($field))?,)+
                }
            }
        }
    };
}

same_variants!(StoredStrategy, Strategy: Immediate, Staged, DualWrite, BlueGreen);
same_variants!(StoredSlots, Slots: Fixed(slots), Fresh, Nowhere);
same_variants!(StoredMinter, Minter: Us, Provider);
same_variants!(StoredReach, Reach: Expected, Delivered, Loaded, Used);
same_variants!(StoredStretch, Stretch: Apply, Verify, Publish, Propagate, Drain, Disable, Rollback);
same_variants!(StoredGate, Gate: Start, Disable, Destroy);
same_variants!(StoredOnDeadline, OnDeadline: Hold, Rollback, TerminateSessions, RequestForce, Force);

impl StoredMoments {
    const fn is_never(&self) -> bool {
        !self.before_publish && !self.after_publish
    }
}

impl From<Urgency> for StoredUrgency {
    fn from(Urgency { accept_breakage, end_sessions }: Urgency) -> Self {
        Self { accept_breakage, end_sessions }
    }
}

impl From<StoredUrgency> for Urgency {
    fn from(StoredUrgency { accept_breakage, end_sessions }: StoredUrgency) -> Self {
        Self { accept_breakage, end_sessions }
    }
}

impl From<Moments> for StoredMoments {
    fn from(Moments { before_publish, after_publish }: Moments) -> Self {
        Self { before_publish, after_publish }
    }
}

impl From<StoredMoments> for Moments {
    fn from(StoredMoments { before_publish, after_publish }: StoredMoments) -> Self {
        Self { before_publish, after_publish }
    }
}

impl From<&ApprovalRule> for StoredApprovalRule {
    fn from(rule: &ApprovalRule) -> Self {
        let ApprovalRule { quorum, expires, approvers } = rule;
        Self { quorum: *quorum, expires: *expires, approvers: approvers.iter().map(ToString::to_string).collect() }
    }
}

impl StoredApprovalRule {
    fn into_core(self) -> Result<ApprovalRule, Unreadable> {
        let approvers = self.approvers.iter().map(|approver| ConsumerId::parse(approver));
        Ok(ApprovalRule { quorum: self.quorum, expires: self.expires, approvers: approvers.collect::<Result<_, _>>()? })
    }
}

impl From<&Deadline> for StoredDeadline {
    fn from(deadline: &Deadline) -> Self {
        let Deadline { after, then } = deadline;
        Self { after: *after, then: (*then).into() }
    }
}

impl From<StoredDeadline> for Deadline {
    fn from(deadline: StoredDeadline) -> Self {
        Self { after: deadline.after, then: deadline.then.into() }
    }
}
