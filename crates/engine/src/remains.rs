//! What stays behind at a target, for people.

use handover_core::port::Remains;
use handover_core::{Fault, FaultKind, GroupId};

use crate::call::{Call, Whom};
use crate::handle::Handle;

impl Handle {
    /// What stays behind at the group's target of generations that were forgotten, as it is now.
    pub async fn remains(&self, group: &GroupId) -> Result<Vec<Remains>, Fault> {
        let binding = self.binding(group);
        let binding = binding
            .ok_or_else(|| Fault::untouched(FaultKind::Misconfigured, format!("group {group} is not configured")))?;
        let call = Call::look(Whom::Target(&binding.target_name), "remains");
        self.shared.calls.make(call, || binding.target.remains()).await
    }
}
