//! Rules left out, one at a time. Each must find harm, or the explorer cannot see what the rule is for.
//!
//! The shipped `start`, `advance`, `wants` and `check` are run as they are: a rule is left out in the world around
//! them, or by changing what goes into or comes out of them.

use handover_core::Minter;

use super::world::Size;

/// A rule that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutation {
    /// R1: the target is changed before the candidate is durable.
    ActBeforeIntent,
    /// R4: stores take a write at any version.
    StoreDoesNotFence,
    /// R4: a refused write is tried again, not read back.
    NoReconcile,
    /// R5: a pointer that is back already is not written.
    ConfirmWithoutWrite,
    /// R3: only stores that are known to have been written are pointed back.
    UndoKnownOnly,
    /// R6: the target takes a change with any mark.
    SlotDoesNotFence,
    /// R6: the mark is the generation (or the epoch) alone, without the row's version.
    FenceByGenerationOnly,
    /// R5: a probe that finds the old generation accepted concludes its release.
    ProbeConcludesRelease,
    /// R5: a probe that finds the old generation accepted concludes that it was put back.
    ProbeConcludesPutBack,
    /// R5: a probe that finds the candidate refused concludes its revocation.
    ProbeConcludesRevoke,
    /// R5: a probe concludes *disabled* or *destroyed* from a slot that bears no mark of this rotation.
    ProbeIgnoresMark,
    /// The old generation is disabled as soon as presenters acknowledged.
    NoDrain,
    /// Rollback from Disable does not release the brake.
    NoRelease,
    /// Consumers refuse a lower generation, not a lower publication.
    RefuseLowerGeneration,
    /// A consumer that has the generation counts as having adopted the publication.
    AdoptionByGeneration,
    /// R6: the mark goes with the principal.
    MarkDiesWithPrincipal,
    /// R6: the slot is computed from the generation's parity.
    SlotFromParity,
    /// R9: a superseding rotation does not owe the abandoned generation.
    NoDebt,
    /// A state that was set back by hand is not compared with the world before it is acted on.
    NoCompare,
    /// Nobody waits for the word of a person.
    NoApproval,
    /// The next wave may read the candidate as soon as the first one may.
    NoWaveGate,
    /// Everybody reads what the stores publish, in whatever wave they are.
    ReadEarly,
    /// The same once it is on its way back, where the stores are not pointed back yet.
    ReadOnTheWayBack,
    /// In an emergency nobody is waited for, though nobody accepted that they break.
    BreakUnasked,
    /// A staged copy is taken for what it should be, and not read back.
    NoReadBack,
    /// R7: what the provider mints bears no label.
    MintWithoutLabel,
    /// R7: a label is tried again, by whoever comes upon it.
    MintAgain,
    /// R7: after an unknown outcome the next candidate has the label of the last.
    SameLabel,
    /// R7: nobody looks for what was minted and lost.
    NoCensus,
    /// R7: what serves nobody is deleted without asking for its label.
    DeleteForeign,
}

impl Mutation {
    /// Whether a world is one in which it can be missed.
    pub fn is_about(self, size: &Size) -> bool {
        size.minter == self.minter()
            && (self != Self::NoApproval || size.asks)
            && (self != Self::NoReadBack || size.garbles > 0)
            && (self != Self::BreakUnasked || size.emergencies > 0)
            && (size.waves || !self.is_about_waves())
    }

    /// Whose worlds it is about: where we mint, or where the provider does.
    const fn minter(self) -> Minter {
        match self {
            Self::MintWithoutLabel | Self::MintAgain | Self::SameLabel | Self::NoCensus | Self::DeleteForeign => {
                Minter::Provider
            }
            Self::ActBeforeIntent
            | Self::StoreDoesNotFence
            | Self::NoReconcile
            | Self::ConfirmWithoutWrite
            | Self::UndoKnownOnly
            | Self::SlotDoesNotFence
            | Self::FenceByGenerationOnly
            | Self::ProbeConcludesRelease
            | Self::ProbeConcludesPutBack
            | Self::ProbeConcludesRevoke
            | Self::ProbeIgnoresMark
            | Self::NoDrain
            | Self::NoRelease
            | Self::RefuseLowerGeneration
            | Self::AdoptionByGeneration
            | Self::MarkDiesWithPrincipal
            | Self::SlotFromParity
            | Self::NoDebt
            | Self::NoCompare
            | Self::NoApproval
            | Self::NoWaveGate
            | Self::ReadEarly
            | Self::ReadOnTheWayBack
            | Self::BreakUnasked
            | Self::NoReadBack => Minter::Us,
        }
    }

    /// Whether it is about waves alone: no world without them can miss it.
    pub const fn is_about_waves(self) -> bool {
        matches!(self, Self::NoWaveGate | Self::ReadEarly | Self::ReadOnTheWayBack)
    }

    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::ActBeforeIntent,
        Self::StoreDoesNotFence,
        Self::NoReconcile,
        Self::ConfirmWithoutWrite,
        Self::UndoKnownOnly,
        Self::SlotDoesNotFence,
        Self::FenceByGenerationOnly,
        Self::ProbeConcludesRelease,
        Self::ProbeConcludesPutBack,
        Self::ProbeConcludesRevoke,
        Self::ProbeIgnoresMark,
        Self::NoDrain,
        Self::NoRelease,
        Self::RefuseLowerGeneration,
        Self::AdoptionByGeneration,
        Self::MarkDiesWithPrincipal,
        Self::SlotFromParity,
        Self::NoDebt,
        Self::NoCompare,
        Self::NoApproval,
        Self::NoWaveGate,
        Self::ReadEarly,
        Self::ReadOnTheWayBack,
        Self::BreakUnasked,
        Self::NoReadBack,
        Self::MintWithoutLabel,
        Self::MintAgain,
        Self::SameLabel,
        Self::NoCensus,
        Self::DeleteForeign,
    ];
}
