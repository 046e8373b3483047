//! What is durably known about a group: its row, and the rotation that the row may hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::approval::{Gate, Given};
use crate::effect::{Role, Tally};
use crate::emergency::Taint;
use crate::fault::FaultKind;
use crate::id::{Candidate, ConsumerId, Generation, GroupId, Publication, RowVersion, Slot, StoreId, StoreVersion};
use crate::plan::{Slots, Strategy};
use crate::schedule::Cadence;
use crate::time::{Timestamp, Waited};
use crate::waves::Opened;

/// A generation, the slot that it occupies and the value that it has. The slot is stored, never computed from the
/// number (R6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Occupant {
    /// Which generation.
    pub generation: Generation,
    /// Where the target keeps it.
    pub slot: Slot,
    /// Which of its minted values is in force.
    pub candidate: Candidate,
}

/// What the target remembers of the last change to a slot; it refuses a change with a lower one (R6).
///
/// The generation is that of the rotation that writes, not of the slot's occupant, and the version is the row's.
/// Marks of one group are therefore totally ordered by time of commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark {
    /// The generation that the writing rotation leads to.
    pub generation: Generation,
    /// The version of the row that the write was derived from.
    pub version: RowVersion,
}

/// The durable row of a group: what holds between rotations, and the rotation if there is one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Row {
    /// Whose row it is.
    pub group: GroupId,
    /// Grows with every commit.
    pub version: RowVersion,
    /// The generation that the stores publish at rest; `None` before the first rotation.
    pub current: Option<Occupant>,
    /// The highest generation ever started.
    pub last_generation: Generation,
    /// The highest publication ever intended.
    pub publication: Publication,
    /// Each store's version after our last confirmed write to it.
    pub heads: BTreeMap<StoreId, StoreVersion>,
    /// The rotation: live, or the last one with its outcome.
    pub rotation: Option<Rotation>,
    /// Why this record may not be what the world is at. While it is there, nothing is started, and nothing written
    /// outside.
    pub doubt: Option<Doubt>,
    /// What its schedule counts from, and whether it is paused.
    pub cadence: Cadence,
    /// Which generations may be held by somebody else, if a person ever said so.
    pub taint: Option<Taint>,
}

impl Row {
    /// A group about which nothing is known yet.
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            version: RowVersion(0),
            current: None,
            last_generation: Generation(0),
            publication: Publication(0),
            heads: BTreeMap::new(),
            rotation: None,
            doubt: None,
            cadence: Cadence::default(),
            taint: None,
        }
    }

    /// The rotation, unless it has ended.
    pub fn live(&self) -> Option<&Rotation> {
        self.rotation.as_ref().filter(|rotation| !matches!(rotation.phase, Phase::Done(_)))
    }
}

/// Why a record may not be what the world is at: one of them was set back to an earlier time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Doubt {
    /// The state was restored from a backup, and nobody has compared it with the world since.
    Restored,
    /// The target bears a mark that this record never wrote: the record is behind.
    TargetAhead,
    /// This store bears a publication of ours that this record never intended: the record is behind.
    StoreAhead(StoreId),
    /// The target does not bear what this record wrote there: the target is behind.
    TargetBehind,
    /// This store bears an earlier publication of ours, or nothing: the store is behind.
    StoreBehind(StoreId),
    /// The target refuses the value that is in force, under the label that we left: somebody changed it there.
    TargetChanged,
}

/// One procedure from a generation to a later one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rotation {
    /// The old generation; `None` for a group's first.
    pub from: Option<Occupant>,
    /// The new generation.
    pub to: Occupant,
    /// Abandoned generations of superseded rotations: retired together with whichever generation loses.
    pub owed: Vec<Occupant>,
    /// Where it stands.
    pub phase: Phase,
    /// How long this phase has been observed, towards its deadline.
    pub elapsed: Waited,
    /// When the phase was entered, for people to read; nothing is decided by it.
    pub entered_at: Timestamp,
    /// Why nothing happens now, if so. A hold takes effects away, never the phase.
    pub hold: Option<Hold>,
    /// The last fault that has not been overcome since.
    pub trouble: Option<FaultKind>,
    /// Why it is rolled back, if it is.
    pub cause: Option<Cause>,
    /// The person who asked for it; `None`: a schedule did, or a recovery. Who asks does not approve.
    pub asked_by: Option<ConsumerId>,
    /// What was approved, and by whom: a person counts once before each gate.
    pub approvals: BTreeMap<(Gate, ConsumerId), Given>,
}

impl Rotation {
    /// Generations that retire if this rotation succeeds: the old one and those owed.
    pub fn retiring(&self) -> Vec<Occupant> {
        self.from.iter().chain(&self.owed).copied().collect()
    }

    /// Generations that retire if this rotation is rolled back: the new one and those owed.
    pub fn revoking(&self) -> Vec<Occupant> {
        std::iter::once(&self.to).chain(&self.owed).copied().collect()
    }

    /// Of those that retire if it succeeds: the ones that keep a slot of their own until then. The others were written
    /// over by the new generation: the target refuses them already, and cannot tell who uses them.
    pub fn leaving(&self) -> Vec<Occupant> {
        self.retiring().into_iter().filter(|who| who.slot != self.to.slot).collect()
    }

    /// Of those that retire if it is rolled back: the ones that the old generation does not write over.
    pub fn withdrawing(&self) -> Vec<Occupant> {
        let kept = self.from.map(|from| from.slot);
        self.revoking().into_iter().filter(|who| Some(who.slot) != kept).collect()
    }

    /// Whether the new generation is written over the old one, so that the way back begins with putting that back.
    pub fn replaces_in_place(&self) -> bool {
        self.from.is_some_and(|from| from.slot == self.to.slot)
    }
}

/// Where a rotation stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// A candidate is minted and sealed; where the provider mints, its label is fixed. Nothing outside has been touched
    /// by it.
    Stage,
    /// The target may accept the candidate. Where the plan stages it, the stores hold it first, apart from what is
    /// current.
    Apply {
        /// Stores whose staged copy was read back and is what was sealed.
        staged: BTreeSet<StoreId>,
    },
    /// The target is asked, endpoint by endpoint, and verifiers acknowledge.
    Verify {
        /// Whole rounds passed in a row.
        passes: u32,
        /// The candidate was refused in the last round: apply it again.
        reapply: bool,
        /// How far the verifiers are.
        verifiers: Roll,
    },
    /// The stores may point to the new generation.
    Publish {
        /// Each store's pointer.
        pointers: Pointers,
    },
    /// The presenters load it.
    Propagate {
        /// How far they are.
        presenters: Roll,
        /// Whole rounds of the checks after publishing that passed in a row.
        passes: u32,
        /// Which of them may read it.
        opened: Opened,
    },
    /// The old generation goes out of use, as observed.
    Drain {
        /// How long it has been seen unused.
        quiet: Waited,
        /// What was seen last.
        tally: Tally,
        /// How long both have been valid since all presenters moved.
        overlap: Waited,
        /// The presenters, still watched: one may join late.
        presenters: Roll,
    },
    /// The brake: the old generation is refused, reversibly.
    Disable {
        /// Generations proved to be refused.
        refused: BTreeSet<Generation>,
        /// How long the brake has been held with every presenter content.
        held: Waited,
        /// The presenters, watched for one that was left behind.
        presenters: Roll,
    },
    /// The point of no return: the old generation is forgotten.
    Destroy {
        /// Generations forgotten so far.
        gone: BTreeSet<Generation>,
    },
    /// The way back.
    Rollback(Undo),
    /// It has ended.
    Done(Outcome),
}

impl Phase {
    /// How it ended, if it did.
    pub const fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Done(outcome) => Some(*outcome),
            Self::Stage
            | Self::Apply { .. }
            | Self::Verify { .. }
            | Self::Publish { .. }
            | Self::Propagate { .. }
            | Self::Drain { .. }
            | Self::Disable { .. }
            | Self::Destroy { .. }
            | Self::Rollback(_) => None,
        }
    }

    /// Whether a wave is watched in which all is well: then what is looked at again and again is no news.
    pub const fn soaks(&self) -> bool {
        matches!(self, Self::Propagate { opened: Opened::Wave { soaked: Waited { seen_at: Some(_), .. }, .. }, .. })
    }

    /// The roll that it calls, and in which role, if it calls one.
    pub const fn called(&self) -> Option<(&Roll, Role)> {
        match self {
            Self::Verify { verifiers, .. } => Some((verifiers, Role::Verifier)),
            Self::Propagate { presenters, .. }
            | Self::Drain { presenters, .. }
            | Self::Disable { presenters, .. }
            | Self::Rollback(Undo::Return { presenters } | Undo::Quiet { presenters, .. }) => {
                Some((presenters, Role::Presenter))
            }
            Self::Stage
            | Self::Apply { .. }
            | Self::Publish { .. }
            | Self::Destroy { .. }
            | Self::Rollback(Undo::Release | Undo::PutBack { .. } | Undo::Unpublish { .. } | Undo::Revoke { .. })
            | Self::Done(_) => None,
        }
    }
}

/// The phases of the way back, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Undo {
    /// The brake is released: the old generation is accepted again. Always written, never concluded from a probe (R5).
    Release,
    /// The old generation's value is put back over the new one's. Always written, never concluded from a probe (R5).
    PutBack {
        /// What was known of each store's pointer, where the stores may point to the new generation: they point back
        /// next.
        pointers: Option<Pointers>,
    },
    /// All stores point back, under a publication of their own.
    Unpublish {
        /// Each store's pointer.
        pointers: Pointers,
    },
    /// The presenters load the old generation again.
    Return {
        /// How far they are.
        presenters: Roll,
    },
    /// The candidate goes out of use, as observed.
    Quiet {
        /// How long it has been seen unused.
        quiet: Waited,
        /// What was seen last.
        tally: Tally,
        /// The presenters, still watched.
        presenters: Roll,
    },
    /// The candidate is revoked. Always written (R5).
    Revoke {
        /// Generations revoked so far.
        gone: BTreeSet<Generation>,
    },
}

/// How a rotation ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// The new generation is in force, the old one forgotten.
    Success,
    /// The old generation is in force, the candidate revoked.
    RolledBack,
    /// Given up before anything outside was touched.
    Abandoned,
}

/// One store's pointer during a move.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Pointer {
    /// The store's version is not known yet: read it before anything is written.
    Unread,
    /// As unread, and whatever is found there may be written over: a person said so, after drift.
    Reassert,
    /// Write only if the store is at this version (`None`: the store holds nothing for the group) (R4).
    Expect(Option<StoreVersion>),
    /// Our pointer stands, at this version.
    Landed(StoreVersion),
}

/// All stores' pointers during a move. Its keys are exactly the plan's stores.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pointers(pub BTreeMap<StoreId, Pointer>);

impl Pointers {
    /// Whether every store's pointer stands.
    pub fn landed(&self) -> bool {
        self.0.values().all(|pointer| matches!(pointer, Pointer::Landed(_)))
    }

    /// The stores whose pointer does not stand yet.
    pub fn missing(&self) -> impl Iterator<Item = (&StoreId, &Pointer)> {
        self.0.iter().filter(|(_, pointer)| !matches!(pointer, Pointer::Landed(_)))
    }
}

/// What a roll call showed, as far as decisions and people need it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Roll {
    /// Not called yet.
    Uncalled,
    /// Not everybody is there, or nobody knows who should be.
    Behind {
        /// Who is behind.
        who: BTreeSet<ConsumerId>,
        /// Whether the list of those expected is complete.
        complete: bool,
    },
    /// Everybody is there.
    All,
}

/// Why nothing happens now.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Hold {
    /// A person asked for it.
    Ordered,
    /// Somebody else changed this store.
    Drift(StoreId),
    /// As many candidates as the plan allows were rejected, or lost at a provider that mints.
    CandidatesSpent,
    /// The candidate will not do and the plan does not roll back by itself.
    Unfit,
    /// The phase's deadline passed.
    Deadline,
    /// The phase's deadline passed, and the plan asks a person to force it.
    ForceWanted,
}

/// Why a rotation is rolled back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// A person asked for it.
    Ordered,
    /// The candidate failed verification.
    Unfit,
    /// The phase's deadline passed.
    Deadline,
    /// The superseding rotation was given up before it touched anything: its debt is paid on this way.
    Abandoned,
}

impl Rotation {
    /// Whether a new rotation by `strategy` may start over this one: on its way back it waits for a consumer or for use
    /// (R9). A target that does not take the old value back accepts none that could stay valid beside a new one: only
    /// another value in the same place leads out of that.
    pub const fn can_be_superseded_by(&self, strategy: Strategy, slots: Slots) -> bool {
        match &self.phase {
            Phase::Rollback(Undo::Return { .. } | Undo::Quiet { .. }) => true,
            Phase::Rollback(Undo::PutBack { .. }) => strategy.replaces_in_place(slots),
            Phase::Rollback(Undo::Release | Undo::Unpublish { .. } | Undo::Revoke { .. })
            | Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Drain { .. }
            | Phase::Disable { .. }
            | Phase::Destroy { .. }
            | Phase::Done(_) => false,
        }
    }
}
