//! What an executor has learnt and has not recorded yet.

use handover_core::{
    Fact, Fault, FaultKind, Generation, Member, Occupant, Publication, Reach, Role, RollCall, StoreId, StoreVersion,
    Tally,
};

use super::world::{Size, consumer_id};

/// Facts that an executor may carry; a copy of the core's, so that it can be ordered and hashed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Learnt {
    Sealed,
    Swept,
    Minted(Generation),
    Staged {
        store: StoreId,
        who: Occupant,
    },
    Lost,
    Accepted(Generation),
    LoggedIn(Generation),
    Checked(Generation),
    Refused(Generation),
    Head {
        store: StoreId,
        version: Option<StoreVersion>,
        ours: Option<Publication>,
    },
    Pointed {
        store: StoreId,
        version: StoreVersion,
    },
    /// Each member's acknowledged publication, by index of the consumer; those excused are left out.
    Adoption(Vec<(usize, Publication)>),
    Unused,
    Used,
    Released(Generation),
    PutBack(Generation),
    Discarded(Generation),
    Destroyed(Generation),
    Revoked(Generation),
    Rejected,
    /// A check is known to fail.
    Unfit,
    /// The target bears a higher mark.
    Fenced,
}

impl Learnt {
    /// The core's fact.
    pub(super) fn fact(&self, size: &Size) -> Fact {
        match self.clone() {
            Self::Sealed => Fact::Sealed,
            Self::Swept => Fact::Swept,
            Self::Minted(generation) => Fact::Minted(generation),
            Self::Staged { store, who } => Fact::Staged { store, who },
            Self::Lost => Fact::Lost,
            Self::Accepted(generation) => Fact::Accepted(generation),
            Self::LoggedIn(generation) => Fact::LoggedIn(generation),
            Self::Checked(generation) => Fact::Checked(generation),
            Self::Refused(generation) => Fact::Refused(generation),
            Self::Head { store, version, ours } => Fact::Head { store, version, ours },
            Self::Pointed { store, version } => Fact::Pointed { store, version },
            Self::Adoption(members) => {
                let members = members
                    .into_iter()
                    .map(|(index, publication)| Member {
                        consumer: consumer_id(index),
                        acked: Some((publication, Reach::Loaded)),
                    })
                    .collect();
                debug_assert!(size.consumers > 0, "a roll call needs somebody to call");
                Fact::Adoption { role: Role::Presenter, call: RollCall { members, complete: true } }
            }
            Self::Unused => Fact::Use(Tally::None),
            Self::Used => Fact::Use(Tally::Some(1)),
            Self::Released(generation) => Fact::Released(generation),
            Self::PutBack(generation) => Fact::PutBack(generation),
            Self::Discarded(generation) => Fact::Discarded(generation),
            Self::Destroyed(generation) => Fact::Destroyed(generation),
            Self::Revoked(generation) => Fact::Revoked(generation),
            Self::Fenced => Fact::Fault {
                effect: "accept",
                fault: Fault::untouched(FaultKind::Fenced, "the world's target bears a higher mark"),
            },
            Self::Unfit => {
                Fact::Fault { effect: "check", fault: Fault::untouched(FaultKind::Unfit, "the world's check fails") }
            }
            Self::Rejected => Fact::Fault {
                effect: "accept",
                fault: Fault::untouched(FaultKind::Rejected, "the world's target rejects it"),
            },
        }
    }
}
