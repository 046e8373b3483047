//! Who has to approve, as it is configured.

use std::collections::{BTreeMap, BTreeSet};

use handover_core::{ApprovalRule, ConsumerId, Gate};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duration::Span;
use super::policy::StrategyName;

/// The most people that can be asked for.
const QUORUM_MAX: u32 = 20;

/// The bounds of the time for which an approval counts.
const EXPIRES_MIN: Span = Span::seconds(1);
const EXPIRES_MAX: Span = Span::seconds(90 * 24 * 3_600);

/// Who has to approve before a gate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApprovalConfig {
    /// How many people.
    pub(crate) quorum: u32,
    /// How long an approval counts.
    pub(crate) expires: Span,
    /// Who may, by identity. Empty: every approver whose token covers the group.
    #[serde(serialize_with = "names", deserialize_with = "people")]
    pub(crate) approvers: Vec<ConsumerId>,
}

impl Default for ApprovalConfig {
    fn default() -> Self {
        Self { quorum: 1, expires: Span::seconds(24 * 3_600), approvers: Vec::new() }
    }
}

/// [`Gate`] by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GateName {
    /// See [`Gate::Start`].
    Start,
    /// See [`Gate::Disable`].
    Disable,
    /// See [`Gate::Destroy`].
    Destroy,
}

impl GateName {
    pub(crate) const fn gate(self) -> Gate {
        match self {
            Self::Start => Gate::Start,
            Self::Disable => Gate::Disable,
            Self::Destroy => Gate::Destroy,
        }
    }

    const fn word(self) -> &'static str {
        handover_engine::history::gate_word(self.gate())
    }
}

impl ApprovalConfig {
    /// As the core knows it.
    pub(crate) fn rule(&self) -> ApprovalRule {
        let approvers = self.approvers.iter().cloned().collect();
        ApprovalRule { quorum: self.quorum, expires: self.expires.0, approvers }
    }

    fn wrong(&self) -> Option<String> {
        let different: BTreeSet<&ConsumerId> = self.approvers.iter().collect();
        let many = u32::try_from(different.len()).unwrap_or(u32::MAX);
        if !(1..=QUORUM_MAX).contains(&self.quorum) {
            Some(format!("quorum is from 1 to {QUORUM_MAX}; to ask nobody, leave the gate out"))
        } else if !(EXPIRES_MIN..=EXPIRES_MAX).contains(&self.expires) {
            Some(format!("expires is from {EXPIRES_MIN} to {EXPIRES_MAX}"))
        } else if different.len() < self.approvers.len() {
            Some("approvers names somebody twice: a person counts once".to_owned())
        } else if !different.is_empty() && many < self.quorum {
            Some(format!(
                "quorum is {}, and approvers names {many}: nothing could ever be approved; name more people, or lower it",
                self.quorum
            ))
        } else {
            None
        }
    }
}

/// What nobody can mean in the approvals of a policy.
pub(super) fn wrong(
    approvals: &BTreeMap<GateName, ApprovalConfig>,
    strategy: Option<StrategyName>,
    passes_min: u32,
) -> Vec<String> {
    let mut wrong: Vec<String> = approvals
        .iter()
        .filter_map(|(gate, approval)| Some(format!("policy.approvals.{}: {}", gate.word(), approval.wrong()?)))
        .collect();
    if strategy == Some(StrategyName::Immediate) {
        let asks = |gate: GateName| approvals.contains_key(&gate);
        let none_left = asks(GateName::Disable).then_some(GateName::Disable);
        let at_once = (asks(GateName::Destroy) && passes_min == 0).then_some(GateName::Destroy);
        wrong.extend(none_left.into_iter().chain(at_once).map(|gate| {
            format!(
                "policy.approvals.{}: the strategy immediate has written over the old value by then; ask with \
                 policy.approvals.start",
                gate.word()
            )
        }));
    }
    wrong
}

pub(super) fn people<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ConsumerId>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| ConsumerId::parse(name).map_err(serde::de::Error::custom)).collect()
}

/// In one order, so that two lists of the same people mean the same.
pub(super) fn names<S: Serializer>(people: &[ConsumerId], serializer: S) -> Result<S::Ok, S::Error> {
    let sorted: BTreeSet<&str> = people.iter().map(ConsumerId::as_str).collect();
    serializer.collect_seq(sorted)
}

#[cfg(test)]
mod tests {
    use handover_core::Moments;

    use super::*;
    use crate::config::policy::{Called, PolicyConfig};

    fn policy(text: &str) -> PolicyConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, words) in [
            ("approvals.start = { quorum = 0 }", "quorum is from 1 to 20"),
            ("approvals.start = { expires = \"0s\" }", "expires is from 1s"),
            ("approvals.disable = { approvers = [\"anna\", \"anna\"] }", "somebody twice"),
            ("approvals.destroy = { quorum = 2, approvers = [\"anna\"] }", "nothing could ever be approved"),
            ("strategy = \"immediate\"\naccept_outage = true\napprovals.disable = {}", "policy.approvals.start"),
            (
                "strategy = \"immediate\"\naccept_outage = true\npasses_min = 0\napprovals.destroy = {}",
                "policy.approvals.destroy: the strategy immediate",
            ),
        ] {
            let PolicyConfig { approvals, strategy, passes_min, .. } = policy(text);
            let found = wrong(&approvals, strategy, passes_min).join("; ");
            assert!(found.contains(words), "{text}: {found}");
        }
        assert!(toml::from_str::<PolicyConfig>("approvals.publish = {}").is_err(), "no such gate");
        assert!(toml::from_str::<PolicyConfig>("approvals.start = { quorums = 2 }").is_err(), "no such key");
        assert!(toml::from_str::<PolicyConfig>("approvals.start = { approvers = [\"Anna B\"] }").is_err(), "no name");
    }

    /// S32: what is asked is a part of the policy's digest.
    #[test]
    fn the_digest_follows_whom_is_asked() {
        let called = Called { verifiers: false, presenters: true, checks: Moments::default() };
        let digest = |text: &str| policy(text).digest(called);
        let asked = digest("approvals.start = { quorum = 2 }");
        assert_ne!(digest(""), asked);
        assert_ne!(digest("approvals.disable = { quorum = 2 }"), asked);
        assert_ne!(digest("approvals.start = { quorum = 1 }"), asked);
        assert_eq!(digest("approvals.start = { quorum = 2, expires = \"1d\" }"), asked);
        let both = |names: &str| digest(&format!("approvals.start = {{ approvers = {names} }}"));
        assert_eq!(both("[\"anna\", \"ben\"]"), both("[\"ben\", \"anna\"]"));
    }
}
