//! Emergencies: a generation that somebody else may hold is taken out of force, in the same order as ever and with waits cut
//! to what the policy allows.
//!
//! That it is compromised stands in the row, as its [`Taint`], so that neither a restart nor another rotation forgets it; how
//! the rotation away from it waits stands in the plan, as its [`Urgency`]. Nobody is left behind by accident: presenters that
//! have not loaded the new generation are waited for, unless a person accepted that they break.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::advance::Refusal;
use crate::effect::RollCall;
use crate::id::{ConsumerId, Generation, Publication};
use crate::model::{Hold, Outcome, Phase, Roll, Rotation, Row, Undo};
use crate::plan::{Deadline, OnDeadline, Plan, Stretch};
use crate::time::{Timestamp, Waited};
use crate::waves::Opened;

/// What a policy allows in an emergency. Durations are observed time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Terms {
    /// How long both generations stay valid after all presenters moved; never longer than without an emergency.
    pub overlap_min: Duration,
    /// How long the old generation must be seen unused where no presenter is declared; never longer than without an
    /// emergency.
    pub quiet_min: Duration,
    /// How long presenters that are left behind are waited for, where it was accepted that they break; where none is
    /// declared, how long use is.
    pub ceiling: Duration,
    /// Whether open sessions of the old generation are ended once it is refused, also where nobody asks for it.
    pub end_sessions: bool,
    /// Whether the policy's approvals are asked for in an emergency too.
    pub approvals: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            overlap_min: Duration::ZERO,
            quiet_min: Duration::from_secs(5),
            ceiling: Duration::from_secs(120),
            end_sessions: false,
            approvals: true,
        }
    }
}

/// What a person asks of an emergency beyond its terms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Wish {
    /// Presenters that are left behind may break.
    pub accept_breakage: bool,
    /// Open sessions of the old generation are ended once it is refused.
    pub end_sessions: bool,
}

/// How a rotation away from a compromised generation differs from others. Part of its plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Urgency {
    /// A person accepted that presenters that are left behind break.
    pub accept_breakage: bool,
    /// Open sessions are ended once the old generation is refused.
    pub end_sessions: bool,
}

/// A person said that what was in force may be held by somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Taint {
    /// Every generation up to this one.
    pub to: Generation,
    /// When it was said first.
    pub at: Timestamp,
    /// Since when all of them are proved to be refused, or are forgotten.
    pub refused_at: Option<Timestamp>,
}

/// Who would be left without a valid credential.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Breakage {
    /// Presenters that have not acknowledged what they should have by now.
    pub who: BTreeSet<ConsumerId>,
    /// Whether there may be others, whom nobody knows.
    pub unknown: bool,
}

impl Breakage {
    /// Whether nobody breaks, as far as anybody knows, and everybody is known.
    pub fn is_none(&self) -> bool {
        self.who.is_empty() && !self.unknown
    }
}

/// Who would break if the generation in force were taken away now. `call`: the roll of presenters; `None` where none is
/// declared.
///
/// Whoever acknowledged what the stores publish is there, and will be told of the next. While the stores are being pointed
/// to something new, or it is withheld from some, that is what they published before.
pub fn breakage(row: &Row, call: Option<&RollCall>) -> Breakage {
    if row.current.is_none() {
        return Breakage::default();
    }
    let Some(call) = call else { return Breakage { who: BTreeSet::new(), unknown: true } };
    let is_fresh = |phase: &Phase| match phase {
        Phase::Publish { .. } | Phase::Rollback(Undo::Unpublish { .. }) => true,
        Phase::Propagate { opened, .. } => *opened != Opened::All,
        Phase::Stage
        | Phase::Apply { .. }
        | Phase::Verify { .. }
        | Phase::Drain { .. }
        | Phase::Disable { .. }
        | Phase::Destroy { .. }
        | Phase::Rollback(
            Undo::Release | Undo::PutBack { .. } | Undo::Return { .. } | Undo::Quiet { .. } | Undo::Revoke { .. },
        )
        | Phase::Done(_) => false,
    };
    let fresh = u64::from(row.live().is_some_and(|live| is_fresh(&live.phase)));
    let expected = Publication(row.publication.0.saturating_sub(fresh));
    let behind = call.members.iter().filter(|member| member.acked.is_none_or(|(acked, _)| acked < expected));
    Breakage { who: behind.map(|member| member.consumer.clone()).collect(), unknown: !call.complete }
}

/// The row of a live rotation that goes on by another plan: its own in an emergency, see [`Plan::in_emergency`].
///
/// What a person or a deadline held goes on; what is held because of what was found stays held. Approvals were of another
/// plan. From the way back there is no way forward: another rotation has to start.
pub fn preempt(row: &Row, now: Timestamp) -> Result<Row, Refusal> {
    let rotation = row.live().ok_or(Refusal::NotLive)?;
    if row.doubt.is_some() {
        return Err(Refusal::Doubted);
    }
    if matches!(rotation.phase, Phase::Rollback(_)) {
        return Err(Refusal::AlreadyBack);
    }
    let hold = rotation.hold.clone().filter(|hold| match hold {
        Hold::Ordered | Hold::Deadline | Hold::ForceWanted => false,
        Hold::Drift(_) | Hold::CandidatesSpent | Hold::Unfit => true,
    });
    let mut phase = rotation.phase.clone();
    if let Phase::Propagate { presenters, opened, .. } = &mut phase
        && *opened != Opened::All
    {
        // Everybody may read the candidate from now on, and is called.
        (*presenters, *opened) = (Roll::Uncalled, Opened::All);
    }
    let rotation = Rotation { phase, hold, approvals: BTreeMap::new(), elapsed: Waited::default(), ..rotation.clone() };
    Ok(Row { version: row.version.next(), rotation: Some(rotation), ..row.clone() }.tainted(now))
}

impl Plan {
    /// The same in an emergency: no wait is longer, presenters are still waited for, and nothing goes back to what is
    /// compromised by itself. Whoever accepted before that presenters break has accepted it.
    #[must_use]
    pub fn in_emergency(mut self, terms: &Terms, wish: Wish) -> Self {
        let before = self.urgency;
        let accept_breakage = wish.accept_breakage || before.is_some_and(|urgency| urgency.accept_breakage);
        let end_sessions =
            wish.end_sessions || terms.end_sessions || before.is_some_and(|urgency| urgency.end_sessions);
        self.urgency = Some(Urgency { accept_breakage, end_sessions });
        self.overlap_min = self.overlap_min.min(terms.overlap_min);
        self.quiet_min = self.quiet_min.min(terms.quiet_min);
        self.auto_rollback = false;
        self.waves.clear();
        // A deadline that gives up, or holds, would leave what is compromised in force.
        self.deadlines.retain(|stretch, _| *stretch == Stretch::Rollback);
        if accept_breakage {
            // Who is declared had the ceiling before Drain begins; who is not is seen there first.
            let drain = if self.presenters { self.overlap_min } else { terms.ceiling };
            let after = |after| Deadline { after, then: OnDeadline::Force };
            let deadlines = [(Stretch::Propagate, after(terms.ceiling)), (Stretch::Drain, after(drain))];
            self.deadlines.extend(deadlines);
        }
        if !terms.approvals {
            self.approvals.clear();
        }
        self
    }

    /// Whether Drain waits until nobody uses the old generation any more. In an emergency everybody who is known has moved by
    /// then: whoever still uses it is none of them.
    pub const fn waits_for_use(&self) -> bool {
        self.urgency.is_none() || !self.presenters
    }
}

impl Row {
    /// The same, where a person says that what is in force is compromised.
    #[must_use]
    pub fn tainted(mut self, now: Timestamp) -> Self {
        if let Some(current) = self.current
            && !self.is_tainted(current.generation)
        {
            self.taint = Some(Taint { to: current.generation, at: now, refused_at: None });
        }
        self
    }

    /// Whether somebody said that this generation is compromised.
    pub fn is_tainted(&self, generation: Generation) -> bool {
        self.taint.is_some_and(|taint| generation <= taint.to)
    }

    /// Whether a rotation away from a compromised generation is live: it waits for no window.
    pub fn is_urgent(&self) -> bool {
        self.live().and_then(|live| live.from).is_some_and(|from| self.is_tainted(from.generation))
    }

    /// Takes note of whether what is compromised is refused.
    pub(crate) fn note_refusal(&mut self, now: Timestamp) {
        let (Some(taint), Some(rotation)) = (&mut self.taint, &self.rotation) else { return };
        let Some(from) = rotation.from.filter(|from| from.generation <= taint.to) else { return };
        let is_refused = match &rotation.phase {
            Phase::Disable { refused, .. } => refused.contains(&from.generation),
            // It was refused before, or nobody can prove it before it is gone.
            Phase::Destroy { .. } => return,
            Phase::Done(outcome) => *outcome == Outcome::Success,
            Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Drain { .. }
            | Phase::Rollback(_) => false,
        };
        taint.refused_at = is_refused.then(|| taint.refused_at.unwrap_or(now));
    }
}
