//! The next row from a fact.
//!
//! One function per phase, each a pure step; the way back has its own file, and so have the orders of people.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a fact that answers another phase's effect is stale, whichever it is: the one arm that may be open"
)]

mod back;
mod forward;
mod order;
mod pointers;
mod propagate;

use std::collections::{BTreeMap, BTreeSet};

use crate::approval::approved;
use crate::effect::{Fact, RollCall, Tally};
use crate::fault::{Fault, FaultKind, Touched};
use crate::id::{Candidate, Generation, Publication};
use crate::mint::Minter;
use crate::model::{Cause, Doubt, Hold, Occupant, Outcome, Phase, Roll, Rotation, Row};
use crate::plan::{OnDeadline, Plan, Stretch};
use crate::schedule::Cadence;
use crate::time::{Timestamp, Waited};

/// A fact, and when it was learnt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Our clock when it was learnt.
    pub now: Timestamp,
    /// What was learnt.
    pub fact: Fact,
}

/// Why a fact or an order does not apply. The row stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refusal {
    /// There is no live rotation.
    NotLive,
    /// A live rotation is in the way.
    Live,
    /// No slot is free for another generation.
    NoFreeSlot,
    /// The rotation is held; only orders apply.
    Held,
    /// The rotation is not held.
    NotHeld,
    /// The fact answers an effect of another phase.
    Stale,
    /// Something outside may have been touched: it can be rolled back, not abandoned.
    Touched,
    /// The old generation is being forgotten: there is no way back, only a new rotation.
    PastReturn,
    /// It is on its way back already.
    AlreadyBack,
    /// A group's first generation was published: there is nothing older to return to.
    NothingToReturnTo,
    /// What this phase waits for cannot be forced.
    NotForceable,
    /// The record may not be what the world is at: recover first.
    Doubted,
    /// Nobody is asked for this approval now.
    ApprovalNotWanted,
    /// Who asked for the rotation does not approve it.
    OwnRequest,
    /// The plan names others who may approve.
    NotAnApprover,
    /// An approval is missing, and nothing else stands for it.
    Unapproved,
}

/// First row of a rotation, or of one that supersedes a rollback which waits (R9).
///
/// The candidate's slot is the lowest that neither the old generation nor an owed one occupies, or that of the old one
/// where it is replaced in place; it is stored, never computed from the number (R6). A superseded generation becomes a debt of the
/// new rotation. Where the plan asks for an approval, the row waits in Stage.
pub fn start(row: &Row, plan: &Plan, now: Timestamp) -> Result<Row, Refusal> {
    if row.doubt.is_some() {
        return Err(Refusal::Doubted);
    }
    let owed = match row.live() {
        None => Vec::new(),
        Some(live) if live.can_be_superseded_by(plan.strategy, plan.slots) => {
            live.owed.iter().chain([&live.to]).copied().collect()
        }
        Some(_) => return Err(Refusal::Live),
    };
    let generation = row.last_generation.next();
    let slot = plan.slot(row.current, &owed, generation.0).ok_or(Refusal::NoFreeSlot)?;
    Ok(Row {
        version: row.version.next(),
        last_generation: generation,
        rotation: Some(Rotation {
            from: row.current,
            to: Occupant { generation, slot, candidate: Candidate(1) },
            owed,
            phase: Phase::Stage,
            elapsed: Waited::default(),
            entered_at: now,
            hold: None,
            trouble: None,
            cause: None,
            asked_by: None,
            approvals: BTreeMap::new(),
        }),
        cadence: Cadence { since: Some(now), retries: 0, ..row.cadence },
        ..row.clone()
    })
}

/// The row that follows from what was seen.
///
/// A row in which nothing changed comes back with the same version; a changed one has the next version. History is
/// written by the caller, in the same transaction.
pub fn advance(row: &Row, plan: &Plan, seen: &Seen) -> Result<Row, Refusal> {
    let rotation = row.live().ok_or(Refusal::NotLive)?.clone();
    if row.doubt.is_some() {
        return if matches!(seen.fact, Fact::Tick) { Ok(row.clone()) } else { Err(Refusal::Doubted) };
    }
    let mut draft = Draft { row: row.clone(), rotation, plan, now: seen.now };
    match &seen.fact {
        Fact::Order(order) => draft.order(*order)?,
        fact if draft.rotation.hold.is_some() => {
            return if matches!(fact, Fact::Tick) { Ok(row.clone()) } else { Err(Refusal::Held) };
        }
        fact => draft.learn(fact)?,
    }
    Ok(draft.finish(row))
}

/// A row being changed.
struct Draft<'a> {
    row: Row,
    rotation: Rotation,
    plan: &'a Plan,
    now: Timestamp,
}

impl Draft<'_> {
    fn finish(mut self, before: &Row) -> Row {
        self.row.rotation = Some(self.rotation);
        self.row.note_refusal(self.now);
        if self.row != *before {
            self.row.version = before.version.next();
        }
        self.row
    }

    /// A fact that was not ordered by a person: what it says, what it overcomes, and what time it is.
    fn learn(&mut self, fact: &Fact) -> Result<(), Refusal> {
        let phase_before = self.rotation.phase.clone();
        match fact {
            Fact::Tick => {}
            Fact::Fault { fault, .. } => self.fault(fault),
            Fact::Sealed
            | Fact::Swept
            | Fact::Minted(_)
            | Fact::Staged { .. }
            | Fact::Lost
            | Fact::Accepted(_)
            | Fact::LoggedIn(_)
            | Fact::Checked(_)
            | Fact::Refused(_)
            | Fact::Head { .. }
            | Fact::Pointed { .. }
            | Fact::Released(_)
            | Fact::PutBack(_)
            | Fact::Discarded(_)
            | Fact::Destroyed(_)
            | Fact::Revoked(_)
            | Fact::SessionsEnded => {
                self.learn_in_phase(fact)?;
                self.rotation.trouble = None;
            }
            Fact::Adoption { .. } | Fact::Use(_) => self.learn_in_phase(fact)?,
            Fact::Order(_) => return Err(Refusal::Stale),
        }
        if std::mem::discriminant(&phase_before) == std::mem::discriminant(&self.rotation.phase) {
            self.deadline();
        }
        Ok(())
    }

    fn learn_in_phase(&mut self, fact: &Fact) -> Result<(), Refusal> {
        match self.rotation.phase.clone() {
            Phase::Stage => self.stage(fact),
            Phase::Apply { staged } => self.apply(fact, staged),
            Phase::Verify { passes, reapply, verifiers } => self.verify(fact, passes, reapply, verifiers),
            Phase::Publish { pointers } => self.publish(fact, pointers),
            Phase::Propagate { presenters, passes, opened } => self.propagate(fact, presenters, passes, opened),
            Phase::Drain { quiet, tally, overlap, presenters } => {
                self.drain(fact, forward::Draining { quiet, tally, overlap, presenters })
            }
            Phase::Disable { refused, held, presenters } => self.disable(fact, refused, held, presenters),
            Phase::Destroy { gone } => self.destroy(fact, gone),
            Phase::Rollback(undo) => self.back(fact, undo),
            Phase::Done(_) => Err(Refusal::NotLive),
        }
    }

    /// Enters a phase. Time towards the deadline starts anew only where another deadline applies.
    fn enter(&mut self, phase: Phase) {
        if Stretch::of(&self.rotation.phase) != Stretch::of(&phase) {
            self.rotation.elapsed = Waited::default();
        }
        self.rotation.phase = phase;
        self.rotation.entered_at = self.now;
        self.rotation.trouble = None;
    }

    fn end(&mut self, outcome: Outcome) {
        if outcome == Outcome::Success {
            self.row.current = Some(self.rotation.to);
        }
        self.enter(Phase::Done(outcome));
    }

    fn fault(&mut self, fault: &Fault) {
        self.rotation.trouble = Some(fault.kind);
        // Marks come from committed rows only: one above ours is of a future that this record does not know, or of
        // somebody who moved the row meanwhile. In the latter case this row will not be committed.
        if fault.kind == FaultKind::Fenced {
            self.row.doubt = Some(Doubt::TargetAhead);
        }
        let returns = self.way_back().is_ok();
        match (&mut self.rotation.phase, fault.kind) {
            (Phase::Apply { .. }, FaultKind::Rejected) => self.void_candidate(),
            // It may have been minted, and its value is lost: the label is not tried again (R7).
            (Phase::Apply { .. }, _) if self.plan.minter == Minter::Provider && fault.touched == Touched::Unknown => {
                self.void_candidate();
            }
            // From a group's first generation that is published there is no way back.
            (Phase::Verify { .. } | Phase::Propagate { .. }, FaultKind::Unfit)
                if self.plan.auto_rollback && returns =>
            {
                self.roll_back(Cause::Unfit);
            }
            (Phase::Verify { passes, .. } | Phase::Propagate { passes, .. }, FaultKind::Unfit) => {
                *passes = 0;
                self.rotation.hold = Some(Hold::Unfit);
            }
            // A round that could not be finished was not passed: verification fails closed.
            (Phase::Verify { passes, .. } | Phase::Propagate { passes, .. }, _) => *passes = 0,
            _ => {}
        }
        self.stop_soaking(fault.kind == FaultKind::Unfit);
    }

    /// The target rejected the candidate's value (R8), or it was lost (R7): another one, a bounded number of times.
    fn void_candidate(&mut self) {
        if self.rotation.to.candidate.0 >= self.plan.candidates_max {
            self.rotation.hold = Some(Hold::CandidatesSpent);
        } else {
            self.next_candidate();
        }
    }

    fn next_candidate(&mut self) {
        self.rotation.to.candidate = self.rotation.to.candidate.next();
        self.enter(Phase::Stage);
    }

    fn deadline(&mut self) {
        let Some(deadline) = Stretch::of(&self.rotation.phase).and_then(|stretch| self.plan.deadlines.get(&stretch))
        else {
            return;
        };
        // To wait for a person's word, or out a soak, is no waiting of the phase: else a deadline would decide what was asked.
        if self.waits_for_approval_alone() || self.soaks_alone() {
            self.rotation.elapsed = self.rotation.elapsed.interrupted();
            return;
        }
        self.rotation.elapsed = self.rotation.elapsed.observed(self.now, self.plan.poll, deadline.after);
        if !self.rotation.elapsed.reached(deadline.after) || self.rotation.hold.is_some() {
            return;
        }
        match deadline.then {
            OnDeadline::Rollback if self.way_back().is_ok() => self.roll_back(Cause::Deadline),
            OnDeadline::TerminateSessions if matches!(self.rotation.phase, Phase::Drain { .. }) => {}
            OnDeadline::RequestForce => self.rotation.hold = Some(Hold::ForceWanted),
            // What is not proved cannot be forced: it is tried again at the next look.
            OnDeadline::Force => {
                let _ = self.force();
            }
            OnDeadline::Hold | OnDeadline::Rollback | OnDeadline::TerminateSessions => {
                self.rotation.hold = Some(Hold::Deadline);
            }
        }
    }

    /// Whether everybody approved who has to before this phase is left.
    fn approved(&self) -> bool {
        approved(&self.rotation, self.plan, self.now)
    }

    /// Whether an approval is all that this phase still waits for.
    fn waits_for_approval_alone(&self) -> bool {
        let ready = match &self.rotation.phase {
            Phase::Stage => true,
            Phase::Drain { quiet, tally, overlap, presenters } => {
                let unused = *tally == Tally::None && quiet.reached(self.plan.quiet_min);
                (unused || !self.plan.has_target() || !self.plan.waits_for_use())
                    && overlap.reached(self.plan.overlap_min)
                    && *presenters == Roll::All
            }
            Phase::Disable { refused, held, presenters } => {
                let over = self.rotation.leaving().is_empty() || held.reached(self.plan.brake_for);
                over && self.braked(refused) && *presenters == Roll::All
            }
            Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Destroy { .. }
            | Phase::Rollback(_)
            | Phase::Done(_) => false,
        };
        ready && !self.approved()
    }

    /// What a roll call says about a publication.
    ///
    /// Adopted means: acknowledged a publication at least as high. *Has generation g* would not do: after a rollback
    /// and another rotation, an old acknowledgement of the same generation would pass for a new one (I4).
    fn roll(&self, call: &RollCall, publication: Publication) -> Roll {
        let who: BTreeSet<_> = call
            .members
            .iter()
            .filter(|member| {
                !member.acked.is_some_and(|(acked, reach)| {
                    acked > publication || (acked == publication && reach >= self.plan.reach_min)
                })
            })
            .map(|member| member.consumer.clone())
            .collect();
        if who.is_empty() && call.complete { Roll::All } else { Roll::Behind { who, complete: call.complete } }
    }

    /// The roll of presenters before the first call: nobody to wait for where the plan has none.
    fn presenters(&self) -> Roll {
        if self.plan.presenters { Roll::Uncalled } else { Roll::All }
    }

    /// Time seen unused: it starts again when something was seen, and when nobody could look.
    fn quiet(&self, quiet: Waited, tally: Tally) -> Waited {
        match tally {
            Tally::None => quiet.observed(self.now, self.plan.poll, self.plan.quiet_min),
            Tally::Some(_) | Tally::Unknown => Waited::default(),
        }
    }
}

/// Takes note that `generation`, one of `all`, is dealt with; whether it was the last.
fn tick_off(done: &mut BTreeSet<Generation>, generation: Generation, all: &[Occupant]) -> Result<bool, Refusal> {
    if all.iter().all(|occupant| occupant.generation != generation) {
        return Err(Refusal::Stale);
    }
    done.insert(generation);
    Ok(all.iter().all(|occupant| done.contains(&occupant.generation)))
}
