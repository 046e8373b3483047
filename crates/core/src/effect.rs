//! Wishes to change or look at the world, and what is learnt from them.

use std::fmt;

use crate::fault::Fault;
use crate::id::{ConsumerId, Generation, GroupId, Publication, StoreId, StoreVersion};
use crate::mint::Label;
use crate::model::{Mark, Occupant};

/// A wish, derived from a committed row. It carries all that is needed to act, so that what is done late is refused
/// by the fence it carries.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// Mint a value for the candidate and seal it.
    Seal {
        /// Whom.
        to: Occupant,
    },
    /// Delete what a provider that mints holds under our labels: before a label is fixed what serves nobody, at the end
    /// what retires or is revoked as well.
    Sweep {
        /// Only lower labels are deleted; a higher one says that the record is behind.
        to: Label,
        /// Never these.
        keep: Vec<Label>,
    },
    /// Have the provider mint the candidate, under its label. Only the process that committed the label may do it, once.
    Mint {
        /// Whom.
        who: Occupant,
        /// The mark of the row that fixed the label.
        mark: Mark,
    },
    /// Keep the candidate in a store under the staging label, apart from what is current, and read it back.
    PutStaged {
        /// Which store.
        store: StoreId,
        /// Which generation, and which of its values.
        who: Occupant,
    },
    /// Make the target accept the candidate.
    EnsureAccepted {
        /// Which generation, and where.
        who: Occupant,
        /// The mark to compare and leave.
        mark: Mark,
    },
    /// One round of verification: log in at every required endpoint and assert its rights.
    Login {
        /// Which generation, and where.
        who: Occupant,
    },
    /// One round of the checks that are made after publishing.
    Check {
        /// Which generation, and where.
        who: Occupant,
    },
    /// Read a store's version.
    Head {
        /// Which store.
        store: StoreId,
    },
    /// Put the generation's value into the store and make it current, if the store is at `expect`.
    Point {
        /// Which store.
        store: StoreId,
        /// Whose value.
        value: Occupant,
        /// Under which number.
        publication: Publication,
        /// Only at this version.
        expect: Option<StoreVersion>,
    },
    /// Call the roll of those who must have loaded the publication.
    CountAdoption {
        /// Under which number.
        publication: Publication,
        /// In which role.
        role: Role,
    },
    /// Look whether these generations are in use.
    CountUse {
        /// Which generations.
        of: Vec<Occupant>,
    },
    /// End sessions of these generations.
    EndSessions {
        /// Which generations.
        of: Vec<Occupant>,
    },
    /// Make the target refuse a generation, reversibly, and prove it.
    EnsureRefused {
        /// Which generation, and where.
        who: Occupant,
        /// The mark to compare and leave.
        mark: Mark,
    },
    /// Prove that the target refuses a generation that was written over.
    ProveRefused {
        /// Which generation, and where.
        who: Occupant,
    },
    /// Put a generation's value back where another one was written over it.
    PutBack {
        /// Which generation, and where.
        who: Occupant,
        /// The mark to compare and leave.
        mark: Mark,
    },
    /// Make the stores forget a generation that was written over at the target.
    Discard {
        /// Which generation.
        who: Occupant,
    },
    /// Make the target accept a disabled generation again.
    Release {
        /// Which generation, and where.
        who: Occupant,
        /// The mark to compare and leave.
        mark: Mark,
    },
    /// Make the target forget a retired generation.
    Destroy {
        /// Which generation, and where.
        who: Occupant,
        /// The mark to compare and leave.
        mark: Mark,
    },
    /// Make the target refuse and forget an abandoned generation.
    Revoke {
        /// Which generation, and where.
        who: Occupant,
        /// The mark to compare and leave.
        mark: Mark,
    },
}

/// In which role a consumer is called. One identity may be in both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// It accepts what others present: its acknowledgement gates Verify.
    Verifier,
    /// It presents the credential: its acknowledgement gates Propagate.
    Presenter,
}

/// The idempotency key of an effect, the name of what it makes, and the label it leaves at the provider (R2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(String);

impl EffectId {
    /// The id as text: `group/generation.candidate/kind[/subject[/publication]]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Effect {
    /// The kind as one word, for ids, logs and fault points.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Seal { .. } => "seal",
            Self::Sweep { .. } => "sweep",
            Self::Mint { .. } => "mint",
            Self::PutStaged { .. } => "put_staged",
            Self::EnsureAccepted { .. } => "accept",
            Self::Login { .. } => "login",
            Self::Check { .. } => "check",
            Self::Head { .. } => "head",
            Self::Point { .. } => "point",
            Self::CountAdoption { .. } => "adoption",
            Self::CountUse { .. } => "use",
            Self::EndSessions { .. } => "end_sessions",
            Self::EnsureRefused { .. } => "refuse",
            Self::ProveRefused { .. } => "prove",
            Self::PutBack { .. } => "put_back",
            Self::Discard { .. } => "discard",
            Self::Release { .. } => "release",
            Self::Destroy { .. } => "destroy",
            Self::Revoke { .. } => "revoke",
        }
    }

    /// Whether it only looks. A look is repeated at the poll interval; an act is repeated only after a fault.
    pub const fn is_look(&self) -> bool {
        matches!(
            self,
            Self::Login { .. }
                | Self::Check { .. }
                | Self::Head { .. }
                | Self::CountAdoption { .. }
                | Self::CountUse { .. }
        )
    }

    /// The id of this effect, for a group whose rotation leads to `to`.
    pub fn id(&self, group: &GroupId, to: Occupant) -> EffectId {
        let base = format!("{group}/{}.{}/{}", to.generation, to.candidate, self.kind());
        EffectId(match self {
            Self::Seal { .. } | Self::Sweep { .. } | Self::CountUse { .. } | Self::EndSessions { .. } => base,
            Self::Mint { who, .. }
            | Self::EnsureAccepted { who, .. }
            | Self::Login { who, .. }
            | Self::Check { who }
            | Self::EnsureRefused { who, .. }
            | Self::ProveRefused { who }
            | Self::PutBack { who, .. }
            | Self::Discard { who }
            | Self::Release { who, .. }
            | Self::Destroy { who, .. }
            | Self::Revoke { who, .. } => format!("{base}/{}", who.generation),
            Self::Head { store } | Self::PutStaged { store, .. } => format!("{base}/{store}"),
            Self::Point { store, publication, .. } => format!("{base}/{store}/{publication}"),
            Self::CountAdoption { publication, .. } => format!("{base}/{publication}"),
        })
    }
}

/// What was learnt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// The candidate's value is minted; the commit that records this holds it sealed.
    Sealed,
    /// What was swept is gone. In Stage, a place is free: the commit that records this fixes the label.
    Swept,
    /// The provider minted the candidate; the commit that records this holds its value sealed.
    Minted(Generation),
    /// A store holds the candidate under the staging label: it was read back, and is what was sealed.
    Staged {
        /// Which store.
        store: StoreId,
        /// Which generation, and which of its values.
        who: Occupant,
    },
    /// The provider may have minted the candidate, and nobody holds its value: it is void.
    Lost,
    /// The target accepts the generation with the candidate's value.
    Accepted(Generation),
    /// One whole round of verification passed, on every required endpoint.
    LoggedIn(Generation),
    /// One whole round of the checks that are made after publishing passed.
    Checked(Generation),
    /// The target refuses the generation, with the positive control passed in the same round.
    Refused(Generation),
    /// The store's version, and the publication that its head bears if it bears our label.
    Head {
        /// Which store.
        store: StoreId,
        /// The store's version; `None` if it holds nothing for the group.
        version: Option<StoreVersion>,
        /// The publication that the head bears, if it bears our label.
        ours: Option<Publication>,
    },
    /// The store points to what the effect asked for.
    Pointed {
        /// Which store.
        store: StoreId,
        /// The store's version; `None` if it holds nothing for the group.
        version: StoreVersion,
    },
    /// Who is how far.
    Adoption {
        /// In which role.
        role: Role,
        /// The answers.
        call: RollCall,
    },
    /// Whether the generations asked for are in use.
    Use(Tally),
    /// The brake was released by a write of ours.
    Released(Generation),
    /// The old generation's value was put back by a write of ours.
    PutBack(Generation),
    /// The stores were told to forget a generation that was written over at the target.
    Discarded(Generation),
    /// The target has forgotten the generation.
    Destroyed(Generation),
    /// The generation was revoked by a write of ours.
    Revoked(Generation),
    /// Sessions were ended as asked.
    SessionsEnded,
    /// An effect of this kind failed.
    Fault {
        /// Its kind.
        effect: &'static str,
        /// What went wrong.
        fault: Fault,
    },
    /// Time passed.
    Tick,
    /// A person asked for something.
    Order(Order),
}

/// What a person may ask of a live rotation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Order {
    /// Stay where it is.
    Hold,
    /// Go on; after drift: write over what somebody else wrote.
    Resume,
    /// Go back.
    Rollback,
    /// Give up; only while nothing was touched.
    Abandon,
    /// Stop waiting in this phase. The engine takes it only with a reason, which is audited.
    Force,
}

/// Whether something is in use. Unknown is a value, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tally {
    /// Nothing was seen, by somebody able to see.
    None,
    /// This many uses were seen.
    Some(u32),
    /// Nobody could look.
    Unknown,
}

/// The answer to a roll call.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct RollCall {
    /// Those expected, in this role.
    pub members: Vec<Member>,
    /// Whether the list of those expected is complete.
    pub complete: bool,
}

/// One expected consumer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Who.
    pub consumer: ConsumerId,
    /// The highest publication acknowledged, with proof, and how far it got.
    pub acked: Option<(Publication, Reach)>,
}

/// How far a publication got at a consumer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reach {
    /// It should get there.
    Expected,
    /// It was handed over.
    Delivered,
    /// It is loaded: everything new uses it.
    Loaded,
    /// It was used with success.
    Used,
}
