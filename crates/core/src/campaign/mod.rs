//! Campaigns: rotations of groups that depend on one another, in the order of what depends on what.
//!
//! A campaign is one small durable row. It gives groups the orders that a person could give, and reads their rows; what a
//! rotation does is decided by that rotation alone. An order is written down before it is given ([`LegState::Starting`],
//! [`LegState::Undoing`]), and names the generation that it is about: whoever gives it again finds that it was taken.
//!
//! * [`graph`] says what comes after what, and whether that has an end;
//! * [`step`] folds what was seen of the groups into the next row;
//! * [`wanted`] derives from a committed row which orders to give;
//! * [`refused`] takes note of an order that was not taken, [`change`] takes what a person asks.

pub mod graph;
mod order;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{CampaignId, ConsumerId, Generation, GroupId, RowVersion};
use crate::time::Timestamp;

pub use order::{Change, Refusal, change};
pub use step::{Wanted, looks, refused, step, wanted};

/// The most groups of one campaign: its row is written anew with each step.
pub const LEGS_MAX: usize = 1_000;

/// How often an order is refused before that counts as a failure.
pub const REFUSED_MAX: u32 = 3;

/// What is durably known of a campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Campaign {
    /// Its number.
    pub id: CampaignId,
    /// Grows with every commit.
    pub version: RowVersion,
    /// Who asked for it: in whose name its rotations are started.
    pub asked_by: ConsumerId,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// What it goes by.
    pub terms: Terms,
    /// Its groups.
    pub legs: BTreeMap<GroupId, Leg>,
    /// What it does as a whole.
    pub motion: Motion,
}

/// What a campaign goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// How many rotations may be on their way at once. At least 1.
    pub parallel_max: u32,
    /// From when on a group counts as through, so that those after it begin.
    pub until: Until,
    /// What happens when a rotation fails.
    pub on_failure: OnFailure,
}

/// From when on a group counts as through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// All presenters have the new generation. The old one is still valid: there is a way back.
    Adopted,
    /// The rotation has ended: there is none.
    Ended,
}

/// What happens when a rotation of a campaign fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// Nothing else is started until a person decides.
    Hold,
    /// What can be undone is undone.
    Undo,
    /// What does not depend on it goes on.
    GoOn,
}

/// A group's part in a campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leg {
    /// Groups of this campaign that must be through before this one begins.
    pub after: BTreeSet<GroupId>,
    /// Where it stands.
    pub state: LegState,
}

/// Where a leg stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LegState {
    /// It has not begun.
    Waiting,
    /// A rotation to this generation is asked for, and may have started.
    Starting {
        /// Which generation.
        generation: Generation,
        /// How often the start was refused.
        refused: u32,
    },
    /// The rotation to this generation is on its way.
    Started {
        /// Which generation.
        generation: Generation,
    },
    /// All presenters have this generation; the one before goes.
    Through {
        /// Which generation.
        generation: Generation,
    },
    /// The rotation has ended with success.
    Succeeded {
        /// Which generation.
        generation: Generation,
    },
    /// The rotation goes back, and this campaign did not ask for it.
    Returning {
        /// Which generation.
        generation: Generation,
    },
    /// There is no new generation in force.
    Failed {
        /// Why.
        setback: Setback,
    },
    /// It was left out.
    Skipped,
    /// Its rotation is to go back; the order may have been taken.
    Undoing {
        /// Which generation.
        generation: Generation,
        /// How often the order was refused.
        refused: u32,
    },
    /// Its rotation goes back because this campaign asked for it.
    GoingBack {
        /// Which generation.
        generation: Generation,
    },
    /// The generation before is in force again.
    Undone {
        /// Which generation was taken back.
        generation: Generation,
    },
    /// It was to be undone, and stays: the way back is closed, or a group that depends on it stays. Only another rotation
    /// replaces it.
    Kept {
        /// Which generation stays.
        generation: Generation,
    },
}

/// Why a leg failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setback {
    /// Its rotation was rolled back.
    RolledBack,
    /// Its rotation was given up.
    Abandoned,
    /// Somebody started another rotation over it.
    Superseded,
    /// It could not be started.
    Refused,
    /// Nothing is known of its rotation any more: the group was forgotten.
    Gone,
}

/// What a campaign does as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Motion {
    /// It starts what may start.
    Running,
    /// It starts nothing. What is on its way goes on by itself.
    Held(Pause),
    /// What can be undone is undone, in the reverse order.
    Undoing,
    /// It starts nothing more, and ends with what is on its way.
    Cancelling,
    /// It has ended.
    Ended(End),
}

/// Why a campaign is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// A person asked for it.
    Ordered,
    /// A rotation failed.
    Failed,
    /// The state was restored from a backup: what was done since is not known here.
    Restored,
}

/// How a campaign ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Every group has its new generation.
    Success,
    /// Not every group came to where it was to come.
    Partly,
    /// Nothing that it started is in force.
    Undone,
    /// A person ended it early.
    Cancelled,
}

impl Campaign {
    /// Whether it has not ended.
    pub const fn is_live(&self) -> bool {
        match self.motion {
            Motion::Running | Motion::Held(_) | Motion::Undoing | Motion::Cancelling => true,
            Motion::Ended(_) => false,
        }
    }

    /// Its groups by layers: those of one layer may begin together, after all of the layer before.
    pub fn layers(&self) -> Vec<Vec<GroupId>> {
        graph::layers(&self.legs.iter().map(|(group, leg)| (group.clone(), leg.after.clone())).collect())
    }

    /// Those that come after a group.
    pub fn followers<'a>(&'a self, group: &'a GroupId) -> impl Iterator<Item = &'a Leg> {
        self.legs.values().filter(move |leg| leg.after.contains(group))
    }

    /// Whether those after this leg may begin, as far as it goes.
    pub(crate) const fn is_through(&self, state: LegState) -> bool {
        match (state, self.terms.until) {
            (LegState::Succeeded { .. }, _) | (LegState::Through { .. }, Until::Adopted) => true,
            (LegState::Through { .. }, Until::Ended)
            | (
                LegState::Waiting
                | LegState::Starting { .. }
                | LegState::Started { .. }
                | LegState::Returning { .. }
                | LegState::Failed { .. }
                | LegState::Skipped
                | LegState::Undoing { .. }
                | LegState::GoingBack { .. }
                | LegState::Undone { .. }
                | LegState::Kept { .. },
                _,
            ) => false,
        }
    }

    /// Whether all that a leg comes after is through.
    pub fn may_begin(&self, leg: &Leg) -> bool {
        leg.after.iter().all(|before| self.legs.get(before).is_some_and(|before| self.is_through(before.state)))
    }
}

impl LegState {
    /// Whether nothing follows any more.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Skipped | Self::Undone { .. } | Self::Kept { .. } => {
                true
            }
            Self::Waiting
            | Self::Starting { .. }
            | Self::Started { .. }
            | Self::Through { .. }
            | Self::Returning { .. }
            | Self::Undoing { .. }
            | Self::GoingBack { .. } => false,
        }
    }

    /// The generation that it is about, if there is one yet.
    pub const fn generation(self) -> Option<Generation> {
        match self {
            Self::Starting { generation, .. }
            | Self::Started { generation }
            | Self::Through { generation }
            | Self::Succeeded { generation }
            | Self::Returning { generation }
            | Self::Undoing { generation, .. }
            | Self::GoingBack { generation }
            | Self::Undone { generation }
            | Self::Kept { generation } => Some(generation),
            Self::Waiting | Self::Failed { .. } | Self::Skipped => None,
        }
    }
}
