//! Binding a running engine to another configuration, without a restart.
//!
//! A group that is bound anew is treated as after a start: its record is compared with the world before anything is done
//! on it, and what may have been done is looked for before it is done. Its rotation goes on by the plan that it started
//! with. A call that runs ends on the old binding, and what it learnt is asked for again. Groups that are not named are
//! not touched, and not even woken.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use handover_core::port::Sink;
use handover_core::{Fault, FaultKind, GroupId};

use crate::handle::Handle;
use crate::queue::Wake;
use crate::service::Binding;

/// What becomes another.
#[derive(Clone, Default)]
pub struct Rebind {
    /// Groups that are new, or bound to something else than before.
    pub bindings: Vec<Binding>,
    /// Groups that are not configured any more.
    pub removed: Vec<GroupId>,
    /// Groups that must not have a live rotation now, beside those that are removed.
    pub at_rest: Vec<GroupId>,
    /// All sinks. One that is the same object as before goes on undisturbed.
    pub sinks: Vec<Arc<dyn Sink>>,
}

impl fmt::Debug for Rebind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebind")
            .field("bindings", &self.bindings)
            .field("removed", &self.removed)
            .field("at_rest", &self.at_rest)
            .field("sinks", &self.sinks.len())
            .finish()
    }
}

/// Why nothing was bound anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RebindRefused {
    /// Rotations of these groups are live, and would lose their target, or what they did there.
    Live(Vec<GroupId>),
    /// The state store could not be asked, or a group is there twice.
    Fault(Fault),
}

impl fmt::Display for RebindRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(groups) => {
                let names: Vec<_> = groups.iter().map(GroupId::as_str).collect();
                write!(f, "a rotation is live of: {}", names.join(", "))
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for RebindRefused {}

impl Handle {
    /// Binds groups and sinks anew: all of it, or nothing. Nothing durable changes.
    pub async fn rebind(&self, rebind: Rebind) -> Result<(), RebindRefused> {
        let Rebind { bindings, removed, at_rest, sinks } = rebind;
        // No rotation starts between the look at the rows and the change.
        let _alone = self.shared.rebinding.write().await;
        let pinned = [removed.as_slice(), &at_rest].concat();
        let live = self.live_among(&pinned).await.map_err(RebindRefused::Fault)?;
        if !live.is_empty() {
            return Err(RebindRefused::Live(live));
        }
        let mut bound = HashMap::clone(&self.shared.bindings());
        let mut named: HashSet<GroupId> = removed.iter().cloned().collect();
        let mut anew = Vec::with_capacity(bindings.len());
        for binding in bindings {
            let group = binding.group.clone();
            if !named.insert(group.clone()) {
                let detail = format!("group {group} is configured twice");
                return Err(RebindRefused::Fault(Fault::untouched(FaultKind::Misconfigured, detail)));
            }
            bound.insert(group.clone(), Arc::new(binding));
            anew.push(group);
        }
        for group in &removed {
            bound.remove(group);
        }
        self.shared.bind(bound, &anew);
        self.shared.schedules.rebound(&anew, &removed);
        self.shared.sinks_bound.send_if_modified(|bound| {
            let same = bound.len() == sinks.len() && bound.iter().zip(&sinks).all(|(old, new)| Arc::ptr_eq(old, new));
            *bound = sinks;
            !same
        });
        // After the change: whoever looks now finds the new binding, and a wait after a failure is over.
        for group in &anew {
            self.shared.wake(group, Wake::Changed);
        }
        Ok(())
    }

    /// Which of these groups have a rotation that has not ended.
    pub async fn live_among(&self, groups: &[GroupId]) -> Result<Vec<GroupId>, Fault> {
        let mut live = Vec::new();
        for group in groups {
            if self.shared.load(group).await?.is_some_and(|loaded| loaded.row.live().is_some()) {
                live.push(group.clone());
            }
        }
        Ok(live)
    }
}
