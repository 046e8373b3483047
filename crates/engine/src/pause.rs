//! Pausing a group's schedule, and resuming it. Durable in its row, whatever its rotation does meanwhile.

use handover_core::port::Commit;
use handover_core::schedule::Cadence;
use handover_core::{FaultKind, GroupId, Row, retry_at, wants};

use crate::asker::Asker;
use crate::handle::{Handle, OrderRefused, REASON_CHARS_MAX, TRIES_MAX};
use crate::history;
use crate::queue::Wake;

impl Handle {
    /// Pauses a group's schedule, or resumes it. A live rotation goes on: only what starts is paused. It is durable when this
    /// returns, with who asked and why, also if it stood like that already.
    pub async fn pause<'a>(
        &self,
        group: &GroupId,
        paused: bool,
        asker: impl Into<Asker<'a>>,
        reason: Option<String>,
    ) -> Result<(), OrderRefused> {
        let asker = asker.into();
        let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if reason.as_ref().is_some_and(|text| text.chars().count() > REASON_CHARS_MAX) {
            return Err(OrderRefused::ReasonTooLong);
        }
        for _ in 0..TRIES_MAX {
            if asker.done(&self.shared).await?.is_some() {
                return Ok(());
            }
            // No group loses its binding, or is forgotten, meanwhile.
            let _held = self.shared.rebinding.read().await;
            let binding = self.binding(group).ok_or_else(|| OrderRefused::UnknownGroup(group.clone()))?;
            let loaded = self.shared.load(group).await.map_err(OrderRefused::Fault)?;
            let expect = loaded.as_ref().map(|loaded| loaded.row.version);
            let plan = loaded.as_ref().and_then(|loaded| loaded.plan.clone());
            let row = loaded.map_or_else(|| Row::new(group.clone()), |loaded| loaded.row.into_inner());
            let now = self.shared.now();
            let cadence = Cadence { paused, ..row.cadence };
            let next = Row { version: row.version.next(), cadence, ..row.clone() };
            let commit = Commit {
                entries: vec![history::paused(paused, asker.actor, reason.as_deref(), now)],
                expect,
                epoch: self.shared.epoch(),
                candidate: None,
                erase: Vec::new(),
                due_at: plan
                    .as_ref()
                    .and_then(|plan| wants(&next, plan, now).wake_at.map(|_| now))
                    .or_else(|| retry_at(&next, &binding.policy)),
                plan: None,
                row: next,
            };
            let request = asker.request(&commit, &self.shared);
            match self.shared.commit_for(request, Some(&row), commit).await {
                Ok(_) => {
                    self.shared.wake(group, Wake::Changed);
                    return Ok(());
                }
                Err(fault) if fault.kind == FaultKind::Fenced => {}
                Err(fault) => return Err(OrderRefused::Fault(fault)),
            }
        }
        Err(OrderRefused::Fault(self.contended(group)))
    }
}
