//! Roles and verbs: what a token lets its holder do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The role of a token's holder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grant {
    /// Fetch and acknowledge the values of its groups.
    Consumer,
    /// See its groups, plans and history. Never sees a value, never changes anything.
    Viewer,
    /// See its groups and give orders to them. Never sees a value, and approves nothing.
    Operator,
    /// See its groups, and approve what rotations wait to do. Gives no other order, and never sees a value.
    Approver,
}

/// What can be done to a group, or be asked about it, by those who never see a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    /// See where groups stand. Every viewer and operator may.
    Look,
    /// Ask what a rotation would do.
    Plan,
    /// Read the history.
    Audit,
    /// Read the metrics.
    Metrics,
    /// Start a rotation.
    Rotate,
    /// Take a rotation back.
    Rollback,
    /// Keep a rotation where it is.
    Hold,
    /// Let a held rotation go on.
    Resume,
    /// Give up a rotation that has touched nothing.
    Abandon,
    /// Stop waiting in a phase.
    Force,
    /// Replace a rotation by another one.
    Supersede,
    /// Take what is in force out of force, because somebody else may hold it.
    Emergency,
    /// Pause a schedule, and resume it.
    Schedule,
    /// Take a group out.
    Remove,
    /// Approve what a rotation waits to do. For approvers only.
    Approve,
    /// Bring a group back after a loss.
    Recover,
    /// Have the server read its configuration again. For tokens that cover every group.
    Reload,
    /// Have the counters of the statistics begin anew. For tokens that cover every group.
    Reset,
}

impl Grant {
    /// Whether the role includes the verb, before a token narrows it.
    pub(crate) const fn includes(self, verb: Verb) -> bool {
        match (self, verb) {
            (Self::Viewer | Self::Operator | Self::Approver, Verb::Look | Verb::Plan | Verb::Audit | Verb::Metrics)
            | (Self::Approver, Verb::Approve) => true,
            (Self::Operator, verb) => !matches!(verb, Verb::Approve),
            (Self::Consumer, _) | (Self::Viewer, Verb::Approve) => false,
            (
                Self::Viewer | Self::Approver,
                Verb::Rotate
                | Verb::Rollback
                | Verb::Hold
                | Verb::Resume
                | Verb::Abandon
                | Verb::Force
                | Verb::Supersede
                | Verb::Emergency
                | Verb::Schedule
                | Verb::Remove
                | Verb::Recover
                | Verb::Reload
                | Verb::Reset,
            ) => false,
        }
    }

    /// The role in one word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Verb {
    /// The verb in one word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Plan => "plan",
            Self::Audit => "audit",
            Self::Metrics => "metrics",
            Self::Rotate => "rotate",
            Self::Rollback => "rollback",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Abandon => "abandon",
            Self::Force => "force",
            Self::Supersede => "supersede",
            Self::Emergency => "emergency",
            Self::Schedule => "schedule",
            Self::Remove => "remove",
            Self::Approve => "approve",
            Self::Recover => "recover",
            Self::Reload => "reload",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_word_is_the_same_in_the_file_and_on_the_command_line() {
        for verb in Verb::value_variants() {
            assert_eq!(serde_json::to_value(verb).unwrap(), verb.word());
            assert_eq!(verb.to_possible_value().unwrap().get_name(), verb.word());
        }
        for grant in Grant::value_variants() {
            assert_eq!(serde_json::to_value(grant).unwrap(), grant.word());
            assert_eq!(grant.to_possible_value().unwrap().get_name(), grant.word());
        }
    }
}
