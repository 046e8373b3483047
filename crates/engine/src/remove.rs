//! Forgetting a group that is not configured any more.
//!
//! In three steps, each of which may be the last before a crash, and may be done again: the wish is durable in the
//! history; the values in the stores go; the row goes with its sealed values. The row goes last: as long as it is there,
//! the group is listed, and can be removed once more.

use std::fmt;
use std::sync::Arc;

use handover_core::port::Entry;
use handover_core::{Fault, GroupId, RowVersion};
use tokio::sync::OwnedRwLockReadGuard;

use crate::call::{Call, Whom};
use crate::handle::{Handle, REASON_CHARS_MAX};
use crate::history;

/// Why a group is not forgotten.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RemoveRefused {
    /// It is configured.
    Configured(GroupId),
    /// The state does not know it.
    Unknown,
    /// A rotation of it is live.
    Live,
    /// It wants a reason.
    ReasonMissing,
    /// The reason has more than [`REASON_CHARS_MAX`] characters.
    ReasonTooLong,
    /// The state store could not take it.
    Fault(Fault),
}

impl fmt::Display for RemoveRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(group) => write!(f, "group {group} is configured"),
            Self::Unknown => f.write_str("the state does not know this group"),
            Self::Live => f.write_str("a rotation of this group is live"),
            Self::ReasonMissing => f.write_str("to remove a group wants a reason, which is written to the history"),
            Self::ReasonTooLong => write!(f, "a reason has at most {REASON_CHARS_MAX} characters"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for RemoveRefused {}

/// A group whose removal is durably wished for. Its values may go from the stores; [`Handle::removed`] ends it. For as
/// long as this lives, no group is bound anew.
#[derive(Debug)]
pub struct Removal {
    group: GroupId,
    version: RowVersion,
    actor: String,
    _unbound: OwnedRwLockReadGuard<()>,
}

impl Handle {
    /// Writes down that a group is to be forgotten, if it may be.
    pub async fn removing(&self, group: &GroupId, actor: &str, reason: &str) -> Result<Removal, RemoveRefused> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(RemoveRefused::ReasonMissing);
        }
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(RemoveRefused::ReasonTooLong);
        }
        // Else another configuration could name the group while its values go.
        let unbound = Arc::clone(&self.shared.rebinding).read_owned().await;
        if self.binding(group).is_some() {
            return Err(RemoveRefused::Configured(group.clone()));
        }
        let loaded = self.shared.load(group).await.map_err(RemoveRefused::Fault)?;
        let row = loaded.ok_or(RemoveRefused::Unknown)?.row;
        if row.live().is_some() {
            return Err(RemoveRefused::Live);
        }
        let fields = vec![("reason", reason.to_owned())];
        let entry = Entry { at: self.shared.now(), event: history::REMOVING, actor: actor.to_owned(), fields };
        self.shared.try_append(group, entry).await.map_err(RemoveRefused::Fault)?;
        Ok(Removal { group: group.clone(), version: row.version, actor: actor.to_owned(), _unbound: unbound })
    }

    /// Forgets the group's row and its sealed values, once its values are gone from the stores.
    pub async fn removed(&self, removal: &Removal) -> Result<(), RemoveRefused> {
        let Removal { group, version, actor, _unbound: _ } = removal;
        let fields = vec![("version", version.to_string())];
        let entry = Entry { at: self.shared.now(), event: history::REMOVED, actor: actor.clone(), fields };
        let (state, epoch) = (&self.shared.ports.state, self.shared.epoch());
        let call = Call::act(Whom::State, "forget");
        let forgotten = self.shared.calls.make(call, || state.forget(group, *version, epoch, entry)).await;
        forgotten.map_err(RemoveRefused::Fault)?;
        self.shared.committed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Groups that the state knows and the configuration does not, by name.
    pub async fn unconfigured(&self) -> Result<Vec<GroupId>, Fault> {
        let state = &self.shared.ports.state;
        let mut groups = self.shared.calls.make(Call::look(Whom::State, "groups"), || state.groups()).await?;
        groups.retain(|group| self.binding(group).is_none());
        groups.sort();
        Ok(groups)
    }
}
