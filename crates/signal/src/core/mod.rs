//! The graph itself: one lock over all nodes, which is never held while anybody else's code runs.

mod drain;
mod evaluate;
mod past;
mod state;
mod timers;

use std::sync::{Arc, PoisonError};

pub(crate) use drain::{contain, outcome, run_all};
pub(crate) use state::{Body, Compute, Held, Id, NEVER, Name, Source, State, Status, Value, Work};
pub(crate) use timers::{Timed, TimerKey};

use crate::audit::Audit;
use crate::context;
use crate::sync::{Condvar, Mutex, MutexGuard};
use past::Past;

/// All of a graph.
pub(crate) struct Core {
    state: Mutex<State>,
    /// An evaluation ended, or the graph came to rest.
    changed: Condvar,
    /// The watcher has something to do.
    watch: Condvar,
    pub(crate) audit: Option<Box<Audit>>,
}

/// A value that is to be set, and how it is compared with the present one.
pub(crate) struct Write {
    pub(crate) index: u32,
    pub(crate) value: Value,
    pub(crate) same: Same,
}

/// Compares two values of the type that both have.
pub(crate) type Same = Arc<dyn Fn(&Value, &Value) -> bool + Send + Sync>;

impl Core {
    pub(crate) fn new(audit: Option<Box<Audit>>) -> Arc<Self> {
        let state = Mutex::new(State::new());
        Arc::new(Self { state, changed: Condvar::new(), watch: Condvar::new(), audit })
    }

    /// The lock. A panic while it is held would be a mistake of this crate, and is no reason to stop.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert_signal(&self, name: Name, value: Value) -> Id {
        let mut state = self.lock();
        let epoch = state.epoch;
        let source = source(Held::Value(value), epoch, None);
        state.nodes.insert(name, Status::Clean, Body::Source(Box::new(source)))
    }

    pub(crate) fn insert_computed(&self, name: Name, compute: Arc<Compute>) -> Id {
        let source = source(Held::Nothing, 0, Some(compute));
        self.lock().nodes.insert(name, Status::Dirty, Body::Source(Box::new(source)))
    }

    /// Takes a node out. What it held is dropped without the lock, and without recursion.
    pub(crate) fn remove(&self, id: Id) {
        let removed = self.lock().remove(id);
        if let Some(removed) = removed {
            context::bury(removed);
        }
    }

    /// The present value of a signal, and since when it is.
    pub(crate) fn current(&self, index: u32) -> (Held, u64) {
        self.lock().current(index)
    }

    /// Sets values, all at once. Those that equal what is there are left alone.
    pub(crate) fn commit(self: &Arc<Self>, writes: &[Write]) {
        loop {
            let before = self.lock().all_current(writes);
            let differs = |(write, (held, _)): (&Write, &(Held, u64))| match held {
                Held::Value(value) => !(write.same)(value, &write.value),
                Held::Nothing | Held::Fault(_) => true,
            };
            let differs: Vec<bool> = writes.iter().zip(&before).map(differs).collect();
            if !differs.contains(&true) {
                return;
            }
            let mut state = self.lock();
            let unmoved = writes.iter().zip(&before).all(|(write, (_, seen))| state.changed_at(write.index) == *seen);
            if unmoved {
                let gone = state.apply(writes, &differs);
                self.drain(state);
                drop(gone);
                return;
            }
        }
    }

    /// Sets one value if nothing was set since `seen`. This is the shortest way from a change to its effects.
    pub(crate) fn commit_one(self: &Arc<Self>, index: u32, value: &Value, seen: u64) -> bool {
        let mut state = self.lock();
        if state.changed_at(index) != seen {
            return false;
        }
        let cause = context::cause();
        state.epoch += 1;
        state.cause = cause;
        let gone = state.replace(index, value);
        state.cause = 0;
        self.drain(state);
        drop(gone);
        true
    }
}

impl State {
    fn current(&self, index: u32) -> (Held, u64) {
        match &self.nodes[index].body {
            Body::Source(source) => (source.held.clone(), source.changed_at),
            Body::Vacant { .. } | Body::Effect { .. } => (Held::Nothing, 0),
        }
    }

    fn all_current(&self, writes: &[Write]) -> Vec<(Held, u64)> {
        writes.iter().map(|write| self.current(write.index)).collect()
    }

    fn changed_at(&self, index: u32) -> u64 {
        match &self.nodes[index].body {
            Body::Source(source) => source.changed_at,
            Body::Vacant { .. } | Body::Effect { .. } => 0,
        }
    }

    fn apply(&mut self, writes: &[Write], differs: &[bool]) -> Vec<Past> {
        self.epoch += 1;
        self.cause = context::cause();
        let changed = writes.iter().zip(differs).filter(|(_, differs)| **differs);
        let gone = changed.filter_map(|(write, _)| self.replace(write.index, &write.value)).collect();
        self.cause = 0;
        gone
    }

    /// Gives a signal its value of this epoch.
    fn replace(&mut self, index: u32, value: &Value) -> Option<Past> {
        let epoch = self.epoch;
        let Body::Source(source) = &mut self.nodes[index].body else { return None };
        let held = std::mem::replace(&mut source.held, Held::Value(Arc::clone(value)));
        let past = Past { from: source.from, until: epoch, held };
        source.from = epoch;
        source.changed_at = epoch;
        self.mark_subscribers(index, epoch);
        self.keep(index, past)
    }
}

fn source(held: Held, epoch: u64, compute: Option<Arc<Compute>>) -> Source {
    Source {
        subscribers: Vec::new(),
        held,
        changed_at: epoch,
        from: epoch,
        peeked: false,
        reader: 0,
        compute,
        started_since: 0,
        waits_for: None,
    }
}
