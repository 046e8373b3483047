//! Approvals: for whose word a rotation waits before it starts, and before it takes something away.
//!
//! What is approved stands in the rotation, beside the plan that it belongs to: another rotation has other approvals, and
//! a plan that is replaced takes its approvals with it. A missing approval is a blocker like any other, in phases in
//! which it is safe to wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::advance::Refusal;
use crate::id::{Candidate, ConsumerId};
use crate::mint::Minter;
use crate::model::{Occupant, Phase, Rotation, Row};
use crate::plan::Plan;
use crate::time::Timestamp;

/// Before what somebody has to approve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Gate {
    /// Before anything is minted.
    Start,
    /// Before the old generation is refused.
    Disable,
    /// Before it is forgotten, for good.
    Destroy,
}

/// Who has to approve, and for how long that counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ApprovalRule {
    /// How many people. At least 1.
    pub quorum: u32,
    /// How long an approval counts after it was given.
    pub expires: Duration,
    /// Who may; empty: whoever may approve at all.
    pub approvers: BTreeSet<ConsumerId>,
}

/// When an approval was given, and until when it counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Given {
    /// When.
    pub at: Timestamp,
    /// It counts before that.
    pub expires_at: Timestamp,
}

impl Given {
    /// Whether it counts. One of a time that has not come was given by a clock that was ahead: nobody knows how old it is.
    pub fn counts(self, now: Timestamp) -> bool {
        self.at <= now && now < self.expires_at
    }
}

/// How far the approvals before a gate are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approvals<'a> {
    /// Before what.
    pub gate: Gate,
    /// What the plan asks for.
    pub rule: &'a ApprovalRule,
    /// Who approved, and counts now: each person once.
    pub given: Vec<(&'a ConsumerId, Given)>,
}

impl Approvals<'_> {
    /// How many people have approved.
    pub fn count(&self) -> u32 {
        u32::try_from(self.given.len()).unwrap_or(u32::MAX)
    }

    /// How many more are needed.
    pub fn missing(&self) -> u32 {
        self.rule.quorum.saturating_sub(self.count())
    }
}

/// The gates that a rotation stands before in its present phase, in order.
pub fn approvals<'a>(rotation: &'a Rotation, plan: &'a Plan, now: Timestamp) -> Vec<Approvals<'a>> {
    let of = |gate: &Gate| {
        let rule = plan.approvals.get(gate)?;
        let given = rotation.approvals.iter().filter(|((of, _), given)| of == gate && given.counts(now));
        Some(Approvals { gate: *gate, rule, given: given.map(|((_, by), given)| (by, *given)).collect() })
    };
    gates(rotation, plan).iter().filter_map(of).collect()
}

/// Before what a rotation stands, whether or not its plan asks anybody.
fn gates(rotation: &Rotation, plan: &Plan) -> &'static [Gate] {
    match (&rotation.phase, plan.minter) {
        // Another candidate of a rotation that started already is no other start.
        (Phase::Stage, _) if rotation.to.candidate.0 == 1 => &[Gate::Start],
        (Phase::Drain { .. }, Minter::Us) if plan.has_target() => &[Gate::Disable],
        // There is no brake there: what is refused is forgotten.
        (Phase::Drain { .. }, Minter::Us | Minter::Provider) => &[Gate::Disable, Gate::Destroy],
        (Phase::Disable { .. }, _) => &[Gate::Destroy],
        (
            Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Destroy { .. }
            | Phase::Rollback(_)
            | Phase::Done(_),
            _,
        ) => &[],
    }
}

/// Whether everybody approved whom the rotation has to ask before it leaves its present phase.
pub(crate) fn approved(rotation: &Rotation, plan: &Plan, now: Timestamp) -> bool {
    approvals(rotation, plan, now).iter().all(|approvals| approvals.missing() == 0)
}

impl Row {
    /// The same, where a person asked for the rotation that was just started.
    #[must_use]
    pub fn asked_by(mut self, who: ConsumerId) -> Self {
        if let Some(rotation) = &mut self.rotation {
            rotation.asked_by = Some(who);
        }
        self
    }
}

/// The row after a person approved. Who approves again counts once, and for longer.
pub fn approve(row: &Row, plan: &Plan, gate: Gate, by: &ConsumerId, now: Timestamp) -> Result<Row, Refusal> {
    let rotation = row.live().ok_or(Refusal::NotLive)?;
    if row.doubt.is_some() {
        return Err(Refusal::Doubted);
    }
    let asked = gates(rotation, plan).contains(&gate);
    let rule = plan.approvals.get(&gate).filter(|_| asked).ok_or(Refusal::ApprovalNotWanted)?;
    if rotation.asked_by.as_ref() == Some(by) {
        return Err(Refusal::OwnRequest);
    }
    if !rule.approvers.is_empty() && !rule.approvers.contains(by) {
        return Err(Refusal::NotAnApprover);
    }
    let mut rotation = rotation.clone();
    rotation.approvals.insert((gate, by.clone()), Given { at: now, expires_at: now.after(rule.expires) });
    Ok(Row { version: row.version.next(), rotation: Some(rotation), ..row.clone() })
}

/// The same request by another plan, while it waits to start. What was approved was the old plan.
pub fn replan(row: &Row, plan: &Plan, now: Timestamp) -> Result<Row, Refusal> {
    let rotation = row.live().ok_or(Refusal::NotLive)?;
    if row.doubt.is_some() {
        return Err(Refusal::Doubted);
    }
    if rotation.phase != Phase::Stage || rotation.to.candidate != Candidate(1) {
        return Err(Refusal::Touched);
    }
    let Occupant { generation, candidate, .. } = rotation.to;
    let slot = plan.slot(rotation.from, &rotation.owed, generation.0).ok_or(Refusal::NoFreeSlot)?;
    let rotation = Rotation {
        to: Occupant { generation, slot, candidate },
        approvals: BTreeMap::new(),
        entered_at: now,
        ..rotation.clone()
    };
    Ok(Row { version: row.version.next(), rotation: Some(rotation), ..row.clone() })
}
