//! Approvals: taking the word of a person, and asking again where the policy changed before a rotation started.

use std::fmt::Write as _;
use std::sync::Arc;

use handover_core::port::{Commit, Entry, Loaded};
use handover_core::{
    ConsumerId, Fault, FaultKind, Gate, Generation, GroupId, Phase, Plan, Refusal, Row, Timestamp, Touched, approvals,
    approve, check, replan, wants,
};
use sha2::{Digest as _, Sha256};

use crate::asker::Asker;
use crate::drive;
use crate::handle::{Handle, OrderRefused, REASON_CHARS_MAX, TRIES_MAX};
use crate::history;
use crate::queue::Wake;
use crate::service::Binding;

/// What a person approves: this and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApproveRequest {
    /// Which rotation.
    pub generation: Generation,
    /// Before what.
    pub gate: Gate,
    /// The digest of the plan, as [`plan_digest`] makes it.
    pub plan: String,
    /// Why; audited.
    pub reason: Option<String>,
}

/// SHA-256 over all that a plan says, in hexadecimal.
pub fn plan_digest(plan: &Plan) -> String {
    Sha256::digest(format!("{plan:?}")).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Handle {
    /// Takes a person's approval of what a live rotation waits to do. It is durable when this returns, with who gave it and
    /// why. An approval of another rotation, or by another plan, is refused.
    pub async fn approve<'a>(
        &self,
        group: &GroupId,
        request: &ApproveRequest,
        asker: impl Into<Asker<'a>>,
    ) -> Result<(), OrderRefused> {
        let asker = asker.into();
        let reason = request.reason.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if reason.is_some_and(|text| text.chars().count() > REASON_CHARS_MAX) {
            return Err(OrderRefused::ReasonTooLong);
        }
        for _ in 0..TRIES_MAX {
            if asker.done(&self.shared).await?.is_some() {
                return Ok(());
            }
            let binding = self.binding(group).ok_or_else(|| OrderRefused::UnknownGroup(group.clone()))?;
            let loaded = self.shared.load(group).await.map_err(OrderRefused::Fault)?;
            let Some(Loaded { row, plan: Some(plan) }) = loaded else {
                return Err(OrderRefused::Refused(Refusal::NotLive));
            };
            match self.shared.compare_first(&binding, &row).await {
                Ok(()) => {}
                Err(fault) if fault.kind == FaultKind::Fenced => continue,
                Err(fault) => return Err(OrderRefused::Fault(fault)),
            }
            match self.approve_once(&binding, &row, &plan, request, asker, reason).await {
                Err(OrderRefused::Fault(fault)) if fault.kind == FaultKind::Fenced => {}
                answer => return answer,
            }
        }
        Err(OrderRefused::Fault(self.contended(group)))
    }

    async fn approve_once(
        &self,
        binding: &Binding,
        row: &Row,
        plan: &Plan,
        request: &ApproveRequest,
        asker: Asker<'_>,
        reason: Option<&str>,
    ) -> Result<(), OrderRefused> {
        let (group, now) = (&row.group, self.shared.now());
        let live = row.live().ok_or(OrderRefused::Refused(Refusal::NotLive))?;
        let other = live.to.generation != request.generation || plan_digest(plan) != request.plan;
        if other || is_outdated(row, plan, binding) {
            let entry = history::approval_denied(request.gate, "OtherPlan", asker.actor, now);
            self.shared.append(group, entry).await;
            return Err(OrderRefused::OtherPlan);
        }
        let by = ConsumerId::parse(asker.actor).map_err(|_| OrderRefused::Refused(Refusal::NotAnApprover))?;
        let next = match approve(row, plan, request.gate, &by, now) {
            Ok(next) => next,
            Err(refusal) => {
                let entry = history::approval_denied(request.gate, &format!("{refusal:?}"), asker.actor, now);
                self.shared.append(group, entry).await;
                return Err(OrderRefused::Refused(refusal));
            }
        };
        let broken = check(&next, plan);
        if !broken.is_empty() {
            self.shared.violated(group, broken);
            return Err(OrderRefused::Fault(drive::bug(group)));
        }
        let entry = approved(&next, plan, request, asker.actor, reason, now);
        let commit = Commit {
            expect: Some(row.version),
            epoch: self.shared.epoch(),
            candidate: None,
            erase: Vec::new(),
            due_at: wants(&next, plan, now).wake_at.map(|_| now),
            plan: None,
            entries: vec![entry],
            row: next,
        };
        let kept = asker.request(&commit, &self.shared);
        self.shared.commit_for(kept, Some(row), commit).await.map_err(OrderRefused::Fault)?;
        self.shared.wake(group, Wake::Changed);
        Ok(())
    }

    /// Plans anew what waits to start and was planned by another policy than the group has now. `None`: nothing to do.
    pub(crate) async fn plan_again(&self, row: &Row, old: &Plan, binding: &Arc<Binding>) -> Option<Result<(), Fault>> {
        is_outdated(row, old, binding).then_some(())?;
        Some(self.replanned(row, binding).await)
    }

    async fn replanned(&self, row: &Row, binding: &Arc<Binding>) -> Result<(), Fault> {
        let at_rest = Row { rotation: None, ..row.clone() };
        let plan = self.planned_without_doubt(binding, &at_rest).await?.map_err(|obstacles| {
            unplanned(format!("{} obstacles stand in its way; `handover plan` tells them", obstacles.len()))
        })?;
        let now = self.shared.now();
        let next = replan(row, &plan, now).map_err(|refusal| unplanned(format!("{refusal:?}")))?;
        let broken = check(&next, &plan);
        if !broken.is_empty() {
            self.shared.violated(&row.group, broken);
            return Err(drive::bug(&row.group));
        }
        let digest = plan_digest(&plan);
        let mut entries = vec![history::replanned(&next, &digest, now)];
        entries.extend(history::approvals_wanted(None, &next, &plan, &digest, now));
        let commit = Commit {
            expect: Some(row.version),
            epoch: self.shared.epoch(),
            candidate: None,
            erase: Vec::new(),
            due_at: wants(&next, &plan, now).wake_at,
            plan: Some(plan),
            entries,
            row: next,
        };
        self.shared.commit(Some(row), commit).await.map(drop)
    }
}

/// Whether a rotation waits to start by a plan of another policy than the group has now.
fn is_outdated(row: &Row, plan: &Plan, binding: &Binding) -> bool {
    let waits = |rotation: &handover_core::Rotation| rotation.phase == Phase::Stage && rotation.to.candidate.0 == 1;
    plan.approvals.contains_key(&Gate::Start)
        && row.live().is_some_and(waits)
        && *plan.policy_digest != *binding.policy_digest
}

fn unplanned(why: String) -> Fault {
    let detail =
        format!("the policy changed while a rotation waited to start, and it cannot start by the new one: {why}");
    Fault { kind: FaultKind::Misconfigured, touched: Touched::Nothing, detail }
}

/// The line of an approval that was taken.
fn approved(
    next: &Row,
    plan: &Plan,
    request: &ApproveRequest,
    actor: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Entry {
    let stands = next.live().map_or_else(Vec::new, |rotation| approvals(rotation, plan, now));
    let stands = stands.iter().find(|approvals| approvals.gate == request.gate);
    let count = |number: Option<u32>| number.map_or_else(String::new, |number| number.to_string());
    let until = |given: &handover_core::Given| given.expires_at;
    let mine = stands.and_then(|stands| stands.given.iter().find(|(by, _)| by.as_str() == actor));
    // Those that expire last make the quorum last longest.
    let mut ends: Vec<Timestamp> =
        stands.iter().flat_map(|stands| &stands.given).map(|(_, given)| until(given)).collect();
    ends.sort_unstable_by(|a, b| b.cmp(a));
    let quorum = stands.map_or(0, |stands| stands.rule.quorum) as usize;
    let counts_until = quorum.checked_sub(1).and_then(|last| ends.get(last));
    let mut fields = vec![
        ("generation", request.generation.to_string()),
        ("gate", history::gate_word(request.gate).to_owned()),
        ("plan", request.plan.clone()),
        ("given", count(stands.map(handover_core::Approvals::count))),
        ("needed", count(stands.map(|stands| stands.rule.quorum))),
    ];
    fields.extend(mine.map(|(_, given)| ("expires_at_ms", given.expires_at.0.to_string())));
    fields.extend(counts_until.map(|at| ("quorum_until_ms", at.0.to_string())));
    fields.extend(reason.map(|reason| ("reason", reason.to_owned())));
    Entry { at: now, event: history::APPROVED, actor: actor.to_owned(), fields }
}
