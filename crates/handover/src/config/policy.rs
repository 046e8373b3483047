//! A group's policy as it is configured.

use std::collections::BTreeMap;

use handover_core::{Deadline, Moments, OnDeadline, Policy, Reach, Strategy, Stretch};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::approval::{ApprovalConfig, GateName};
use super::duration::Span;
use super::emergency::EmergencyConfig;
use super::waves::WaveConfig;

/// How a group rotates. All waiting is observed waiting: time in which nobody looked does not count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicyConfig {
    /// `dual_write`, `staged`, `immediate`, or absent for what target and stores allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strategy: Option<StrategyName>,
    /// Whether consumers may fail until they have loaded the new value. `immediate` needs it, and `staged` with one slot.
    pub(crate) accept_outage: bool,
    /// Rounds of verification that must pass in a row. 0, only with `accept_outage` where one value is written over
    /// another: none is made.
    pub(crate) passes_min: u32,
    /// How long the old generation must be seen unused.
    pub(crate) quiet_min: Span,
    /// How long both generations stay valid after all presenters moved.
    pub(crate) overlap_min: Span,
    /// How long the old generation is refused, reversibly, before it is forgotten.
    pub(crate) brake_for: Span,
    /// How often is looked while waiting.
    pub(crate) poll: Span,
    /// How far consumers must get: `loaded` or `used`.
    pub(crate) reach_min: ReachName,
    /// Whether a failed verification is rolled back without asking.
    pub(crate) auto_rollback: bool,
    /// How many candidates the target may reject.
    pub(crate) candidates_max: u32,
    /// How often a rotation that failed verification, or a check, is tried once more.
    pub(crate) max_retries: u32,
    /// How long after its end, the first time; each wait is twice the one before, an hour at the most, and longer by a share
    /// that differs.
    pub(crate) retry_after: Span,
    /// How long the old generation may stay valid once every store publishes its successor; longer is alerted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_old_lifetime: Option<Span>,
    /// The longest way from fetch to load of consumers that nobody declared. Matters only where no presenter is
    /// declared; `quiet_min` must then be longer.
    pub(crate) fetch_to_load_max: Span,
    /// Deadlines, for those phases that have one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) deadlines: BTreeMap<StretchName, DeadlineConfig>,
    /// Who has to approve, before those gates that ask.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) approvals: BTreeMap<GateName, ApprovalConfig>,
    /// What is different in an emergency.
    #[serde(skip_serializing_if = "EmergencyConfig::is_default")]
    pub(crate) emergency: EmergencyConfig,
    /// Who may read the candidate before others, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wave: Vec<WaveConfig>,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            strategy: None,
            accept_outage: false,
            passes_min: 3,
            quiet_min: Span::seconds(60),
            overlap_min: Span::seconds(0),
            brake_for: Span::seconds(300),
            poll: Span::seconds(5),
            reach_min: ReachName::Loaded,
            auto_rollback: true,
            candidates_max: 3,
            max_retries: 3,
            retry_after: Span::seconds(60),
            max_old_lifetime: None,
            fetch_to_load_max: Span::seconds(0),
            deadlines: BTreeMap::new(),
            approvals: BTreeMap::new(),
            emergency: EmergencyConfig::default(),
            wave: Vec::new(),
        }
    }
}

/// A phase's deadline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadlineConfig {
    /// Observed time in the phase.
    pub(crate) after: Span,
    /// `hold`, `rollback`, `terminate_sessions` (in drain only) or `request_force`.
    pub(crate) then: OnDeadlineName,
}

/// [`Strategy`] by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StrategyName {
    /// See [`Strategy::Immediate`].
    Immediate,
    /// See [`Strategy::Staged`].
    Staged,
    /// See [`Strategy::DualWrite`].
    DualWrite,
    /// See [`Strategy::BlueGreen`].
    BlueGreen,
}

/// [`Reach`] by name; only those that prove something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReachName {
    /// See [`Reach::Loaded`].
    Loaded,
    /// See [`Reach::Used`].
    Used,
}

/// [`OnDeadline`] by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDeadlineName {
    /// See [`OnDeadline::Hold`].
    Hold,
    /// See [`OnDeadline::Rollback`].
    Rollback,
    /// See [`OnDeadline::TerminateSessions`].
    TerminateSessions,
    /// See [`OnDeadline::RequestForce`].
    RequestForce,
}

/// [`Stretch`] by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StretchName {
    /// See [`Stretch::Apply`].
    Apply,
    /// See [`Stretch::Verify`].
    Verify,
    /// See [`Stretch::Publish`].
    Publish,
    /// See [`Stretch::Propagate`].
    Propagate,
    /// See [`Stretch::Drain`].
    Drain,
    /// See [`Stretch::Disable`].
    Disable,
    /// See [`Stretch::Rollback`].
    Rollback,
}

/// Who is called, and when is checked: follows from what else the group declares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Called {
    /// Whether a verifier is declared.
    pub(crate) verifiers: bool,
    /// Whether a presenter is declared.
    pub(crate) presenters: bool,
    /// At which moments a check is configured.
    pub(crate) checks: Moments,
}

impl PolicyConfig {
    /// The policy as the core knows it.
    pub(crate) fn policy(&self, called: Called) -> Policy {
        let deadline = |config: &DeadlineConfig| Deadline {
            after: config.after.0,
            then: match config.then {
                OnDeadlineName::Hold => OnDeadline::Hold,
                OnDeadlineName::Rollback => OnDeadline::Rollback,
                OnDeadlineName::TerminateSessions => OnDeadline::TerminateSessions,
                OnDeadlineName::RequestForce => OnDeadline::RequestForce,
            },
        };
        Policy {
            strategy: self.strategy.map(StrategyName::strategy),
            accept_outage: self.accept_outage,
            passes_min: self.passes_min,
            quiet_min: self.quiet_min.0,
            overlap_min: self.overlap_min.0,
            brake_for: self.brake_for.0,
            poll: self.poll.0,
            reach_min: match self.reach_min {
                ReachName::Loaded => Reach::Loaded,
                ReachName::Used => Reach::Used,
            },
            auto_rollback: self.auto_rollback,
            candidates_max: self.candidates_max,
            max_retries: self.max_retries,
            retry_after: self.retry_after.0,
            deadlines: self.deadlines.iter().map(|(name, config)| (name.stretch(), deadline(config))).collect(),
            approvals: self.approvals.iter().map(|(name, config)| (name.gate(), config.rule())).collect(),
            verifiers: called.verifiers,
            presenters: called.presenters,
            fetch_to_load_max: self.fetch_to_load_max.0,
            checks: called.checks,
            emergency: self.emergency.terms(),
            waves: self.wave.iter().map(WaveConfig::wave).collect(),
        }
    }

    /// SHA-256 over the policy with all defaults filled in, in hexadecimal: two texts that mean the same have one digest.
    pub(crate) fn digest(&self, called: Called) -> String {
        let Moments { before_publish, after_publish } = called.checks;
        let called = (called.verifiers, called.presenters, before_publish, after_publish);
        let text = serde_json::to_vec(&(self, called)).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }
}

impl StrategyName {
    const fn strategy(self) -> Strategy {
        match self {
            Self::Immediate => Strategy::Immediate,
            Self::Staged => Strategy::Staged,
            Self::DualWrite => Strategy::DualWrite,
            Self::BlueGreen => Strategy::BlueGreen,
        }
    }
}

impl StretchName {
    const fn stretch(self) -> Stretch {
        match self {
            Self::Apply => Stretch::Apply,
            Self::Verify => Stretch::Verify,
            Self::Publish => Stretch::Publish,
            Self::Propagate => Stretch::Propagate,
            Self::Drain => Stretch::Drain,
            Self::Disable => Stretch::Disable,
            Self::Rollback => Stretch::Rollback,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLED: Called =
        Called { verifiers: false, presenters: true, checks: Moments { before_publish: false, after_publish: false } };

    #[test]
    fn the_digest_follows_the_meaning() {
        let plain: PolicyConfig = toml::from_str("").unwrap();
        let spelled: PolicyConfig = toml::from_str("passes_min = 3\nquiet_min = \"1m\"").unwrap();
        let other: PolicyConfig = toml::from_str("passes_min = 4").unwrap();
        assert_eq!(plain.digest(CALLED), spelled.digest(CALLED));
        assert_ne!(plain.digest(CALLED), other.digest(CALLED));
        assert_ne!(plain.digest(CALLED), plain.digest(Called { verifiers: true, ..CALLED }));
    }

    #[test]
    fn every_option_arrives() {
        let config: PolicyConfig = toml::from_str(
            r#"
            strategy = "dual_write"
            passes_min = 2
            quiet_min = "20s"
            overlap_min = "1m"
            brake_for = "2m"
            poll = "1s"
            reach_min = "used"
            auto_rollback = false
            candidates_max = 5
            max_retries = 7
            retry_after = "4s"
            fetch_to_load_max = "3s"
            deadlines.drain = { after = "1h", then = "terminate_sessions" }
            "#,
        )
        .unwrap();
        let policy = config.policy(CALLED);
        assert_eq!(policy.strategy, Some(Strategy::DualWrite));
        assert_eq!((policy.passes_min, policy.candidates_max, policy.auto_rollback), (2, 5, false));
        let seconds = [policy.quiet_min, policy.overlap_min, policy.brake_for, policy.poll, policy.fetch_to_load_max]
            .map(|duration| duration.as_secs());
        assert_eq!(seconds, [20, 60, 120, 1, 3]);
        assert_eq!((policy.max_retries, policy.retry_after.as_secs()), (7, 4));
        assert_eq!(policy.reach_min, Reach::Used);
        assert_eq!(policy.deadlines[&Stretch::Drain].then, OnDeadline::TerminateSessions);
        assert!(policy.presenters && !policy.verifiers);
    }

    #[test]
    fn a_reach_that_proves_nothing_cannot_be_asked_for() {
        assert!(toml::from_str::<PolicyConfig>("reach_min = \"delivered\"").is_err());
        assert!(toml::from_str::<PolicyConfig>("quiet_minimum = \"1s\"").is_err(), "unknown keys are refused");
    }
}
