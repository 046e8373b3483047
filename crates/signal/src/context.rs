//! What a thread is in the middle of: batches, draining, and taking things apart. Reads have nothing to do with it: what
//! they subscribe is said by their scope.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::core::{Core, Write};
use crate::sync::thread_local;

#[derive(Default)]
struct Context {
    batches: Vec<(usize, Writes)>,
    /// Graphs whose queue this thread is emptying, each with how far.
    drains: Vec<(usize, u64)>,
    /// The run that is under way, to which what it sets is put down.
    cause: u64,
    graveyard: Vec<Box<dyn std::any::Any>>,
    burying: bool,
}

/// What a batch would set, by signal.
type Writes = FxHashMap<u32, Write>;

thread_local! {
    static CONTEXT: RefCell<Context> = RefCell::new(Context::default());
}

fn with<R>(f: impl FnOnce(&mut Context) -> R) -> R {
    CONTEXT.with(|context| f(&mut context.borrow_mut()))
}

fn key(core: &Arc<Core>) -> usize {
    Arc::as_ptr(core).addr()
}

/// A batch that is open on this thread. It is given up when it is dropped before [`Batch::end`].
pub(crate) struct Batch {
    core: Arc<Core>,
    open: bool,
}

impl Batch {
    pub(crate) fn begin(core: &Arc<Core>) -> Self {
        with(|context| context.batches.push((key(core), Writes::default())));
        Self { core: Arc::clone(core), open: true }
    }

    /// Hands what was set to the batch around this one, or publishes it.
    pub(crate) fn end(mut self) {
        self.open = false;
        let core = key(&self.core);
        let writes = with(|context| {
            let (_, writes) = context.batches.pop()?;
            match context.batches.iter_mut().rfind(|(other, _)| *other == core) {
                Some((_, outer)) => {
                    let replaced = writes.into_values().filter_map(|write| outer.insert(write.index, write));
                    Some((Vec::new(), replaced.collect::<Vec<_>>()))
                }
                None => Some((writes.into_values().collect(), Vec::new())),
            }
        });
        if let Some((writes, replaced)) = writes {
            drop(replaced);
            if !writes.is_empty() {
                self.core.commit(&writes);
            }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.open {
            // Taken out first: values are dropped when the context is free again.
            drop(with(|context| context.batches.pop()));
        }
    }
}

/// Whether a batch of this graph is open on this thread.
pub(crate) fn in_batch(core: &Arc<Core>) -> bool {
    with(|context| context.batches.iter().any(|(other, _)| *other == key(core)))
}

/// Puts a write into the innermost open batch of this graph.
pub(crate) fn batch(core: &Arc<Core>, write: Write) {
    let replaced = with(|context| {
        let (_, writes) = context.batches.iter_mut().rfind(|(other, _)| *other == key(core))?;
        writes.insert(write.index, write)
    });
    drop(replaced);
}

/// What the open batches of this graph would set a signal to.
pub(crate) fn batched(core: &Arc<Core>, index: u32) -> Option<crate::core::Value> {
    with(|context| {
        let mut ours = context.batches.iter().rev().filter(|(other, _)| *other == key(core));
        ours.find_map(|(_, writes)| writes.get(&index)).map(|write| Arc::clone(&write.value))
    })
}

/// Begins to empty a graph's queue. If this thread does so already, that one is told to go on until `ticket`.
pub(crate) fn begin_drain(core: &Arc<Core>, ticket: u64) -> bool {
    with(|context| match context.drains.iter_mut().find(|(other, _)| *other == key(core)) {
        Some((_, until)) => {
            *until = ticket.max(*until);
            false
        }
        None => {
            context.drains.push((key(core), ticket));
            true
        }
    })
}

/// How far the queue is to be emptied.
pub(crate) fn drain_until(core: &Arc<Core>) -> u64 {
    with(|context| context.drains.iter().find(|(other, _)| *other == key(core)).map_or(0, |(_, until)| *until))
}

/// Has this thread empty the queue of what its own run added.
pub(crate) fn extend_drain(core: &Arc<Core>, ticket: u64) {
    with(|context| {
        if let Some((_, until)) = context.drains.iter_mut().find(|(other, _)| *other == key(core)) {
            *until = ticket.max(*until);
        }
    });
}

pub(crate) fn end_drain(core: &Arc<Core>) {
    with(|context| context.drains.retain(|(other, _)| *other != key(core)));
}

/// The run to which what is set now is put down; 0 if there is none.
pub(crate) fn cause() -> u64 {
    with(|context| context.cause)
}

/// Puts what is set from now on down to a run. Returns the former one.
pub(crate) fn set_cause(cause: u64) -> u64 {
    with(|context| std::mem::replace(&mut context.cause, cause))
}

/// Drops something that may hold handles whose drop comes back here, and so on for 100,000 steps: one after the other.
pub(crate) fn bury(what: impl std::any::Any) {
    let mut what: Option<Box<dyn std::any::Any>> = Some(Box::new(what));
    // While a thread ends, its context may be gone: then there is nothing to wait for.
    let busy = CONTEXT.try_with(|context| {
        let mut context = context.borrow_mut();
        context.graveyard.extend(what.take());
        std::mem::replace(&mut context.burying, true)
    });
    if !matches!(busy, Ok(false)) {
        return;
    }
    while let Some(next) = with(|context| {
        let next = context.graveyard.pop();
        context.burying = next.is_some();
        next
    }) {
        drop(next);
    }
}
