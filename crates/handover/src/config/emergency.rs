//! What a group's policy allows in an emergency.

use handover_core::Terms;
use serde::{Deserialize, Serialize};

use super::duration::Span;

/// How waits are cut when what is in force may be held by somebody else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EmergencyConfig {
    /// How long both generations stay valid after all presenters moved; never longer than the policy's own.
    pub(crate) overlap_min: Span,
    /// How long the old generation must be seen unused where no presenter is declared; never longer than the policy's own.
    pub(crate) quiet_min: Span,
    /// How long presenters are waited for, where it was accepted that they break.
    pub(crate) ceiling: Span,
    /// Whether open sessions of the old generation are ended once it is refused, also where nobody asks.
    pub(crate) terminate_sessions: bool,
    /// Whether the policy's approvals are asked for.
    pub(crate) approvals: bool,
}

impl Default for EmergencyConfig {
    fn default() -> Self {
        let Terms { overlap_min, quiet_min, ceiling, end_sessions, approvals } = Terms::default();
        Self {
            overlap_min: Span(overlap_min),
            quiet_min: Span(quiet_min),
            ceiling: Span(ceiling),
            terminate_sessions: end_sessions,
            approvals,
        }
    }
}

impl EmergencyConfig {
    /// A policy that says nothing of it has the digest that it had before there were emergencies.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn terms(&self) -> Terms {
        let Self { overlap_min, quiet_min, ceiling, terminate_sessions, approvals } = self;
        Terms {
            overlap_min: overlap_min.0,
            quiet_min: quiet_min.0,
            ceiling: ceiling.0,
            end_sessions: *terminate_sessions,
            approvals: *approvals,
        }
    }
}
