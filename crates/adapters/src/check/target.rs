//! What the target's own verification says, asked once more: as a step of its own, and after publishing.

use std::sync::Arc;

use handover_core::port::{Finding, Subject, Target, Verdict};
use handover_core::{Fault, FaultKind};
use serde::Deserialize;

use super::{Common, When, always, failed, timeout_ms, unknown};

/// Options of `login` and `permission_diff`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "always")]
    pub when: Vec<When>,
    /// How long it may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

impl Config {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }
}

pub(super) struct Login {
    target: Arc<dyn Target>,
}

impl Login {
    pub(super) fn new(target: Arc<dyn Target>) -> Self {
        Self { target }
    }

    /// One round as in Verify.
    pub(super) async fn verify(&self, subject: Subject<'_>) -> Result<Finding, Fault> {
        Ok(match self.target.verify(subject.who, subject.value, subject.control).await? {
            Verdict::Passed => Finding::Passed,
            Verdict::Refused { endpoint } => failed(format!("endpoint {endpoint} refuses it")),
            Verdict::Unfit { missing } => failed(missing.join("; ")),
        })
    }

    /// The same where the target compares rights. A group's first generation has nothing to be compared with: then that it
    /// may do what it must is all that is asked.
    pub(super) async fn compare(&self, subject: Subject<'_>) -> Result<Finding, Fault> {
        if !self.target.capability().verifies_rights {
            return Err(unknown(FaultKind::Unsupported, "the target does not compare rights"));
        }
        self.verify(subject).await
    }
}
