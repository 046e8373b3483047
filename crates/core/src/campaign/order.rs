//! What people ask of a campaign.

use super::{Campaign, LegState, Motion, OnFailure, Pause};
use crate::id::GroupId;

/// What a person asks of a campaign that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Start nothing more for now.
    Hold,
    /// Go on. What failed is tried again, or left with all that depends on it.
    Resume {
        /// Whether what failed is left.
        skip_failed: bool,
    },
    /// Undo what can be undone.
    Undo,
    /// Start nothing more, and end with what is on its way.
    Cancel,
}

/// Why a campaign does not take what is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It has ended.
    Ended,
    /// It is not held.
    NotHeld,
    /// It does not start anything that could be held back.
    NotRunning,
    /// It is being undone: only that goes on.
    Undoing,
    /// What failed is tried again once it is back: the rotation of this group is still on its way.
    Returning(GroupId),
}

/// The row after a person asked.
pub fn change(campaign: &Campaign, change: Change) -> Result<Campaign, Refusal> {
    let mut next = campaign.clone();
    next.version = next.version.next();
    next.motion = match (change, campaign.motion) {
        (_, Motion::Ended(_)) => return Err(Refusal::Ended),
        (Change::Hold, Motion::Running | Motion::Held(_)) => Motion::Held(Pause::Ordered),
        (Change::Hold, Motion::Undoing | Motion::Cancelling) => return Err(Refusal::NotRunning),
        (Change::Resume { skip_failed }, Motion::Held(pause)) => {
            next.resume(skip_failed, pause)?;
            Motion::Running
        }
        (Change::Resume { .. }, Motion::Running | Motion::Undoing | Motion::Cancelling) => {
            return Err(Refusal::NotHeld);
        }
        (Change::Undo, Motion::Running | Motion::Held(_) | Motion::Cancelling | Motion::Undoing) => Motion::Undoing,
        (Change::Cancel, Motion::Running | Motion::Held(_) | Motion::Cancelling) => Motion::Cancelling,
        (Change::Cancel, Motion::Undoing) => return Err(Refusal::Undoing),
    };
    Ok(next)
}

impl Campaign {
    fn resume(&mut self, skip_failed: bool, pause: Pause) -> Result<(), Refusal> {
        if skip_failed {
            self.terms.on_failure = OnFailure::GoOn;
            return Ok(());
        }
        let retried = match pause {
            Pause::Failed => true,
            Pause::Ordered | Pause::Restored => false,
        };
        if !retried {
            return Ok(());
        }
        let returning = self.legs.iter().find(|(_, leg)| matches!(leg.state, LegState::Returning { .. }));
        if let Some((group, _)) = returning {
            return Err(Refusal::Returning(group.clone()));
        }
        for leg in self.legs.values_mut().filter(|leg| matches!(leg.state, LegState::Failed { .. })) {
            leg.state = LegState::Waiting;
        }
        Ok(())
    }
}
