//! A graph: what belongs together, and changes together.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::Rerun;
use crate::computed::{Computed, snapshot};
use crate::context::Batch;
use crate::core::{Core, Name};
use crate::effect::{Effect, Ending, Retry};
use crate::scope::Scope;
use crate::signal::Signal;

/// Signals, computed values and effects that see each other. Clones are handles to the same graph.
///
/// A batch is atomic within a graph, so that a process has one, as a rule. Nothing is global: tests have one each.
#[derive(Clone)]
pub struct Graph(Arc<Core>);

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Signals, computed values and effects.
    pub nodes: usize,
    /// Who runs again for what.
    pub subscriptions: usize,
    /// Effects that are due.
    pub queued: usize,
    /// Retries and deadlines to come.
    pub timers: usize,
    /// Runs and snapshots in progress.
    pub runs: usize,
    /// Values that are over and are still seen by one of those.
    pub past: usize,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self(Core::new(None))
    }

    /// An empty graph that tells of every re-run. The function is called on the thread that ran; what it is told holds
    /// names and versions, and no value.
    pub fn with_audit(audit: impl Fn(&Rerun) + Send + Sync + 'static) -> Self {
        Self(Core::new(Some(Box::new(audit))))
    }

    /// A signal. Two values that are equal count as one.
    pub fn signal<T: PartialEq + Send + Sync + 'static>(&self, name: impl Into<Name>, value: T) -> Signal<T> {
        self.signal_by(name, value, PartialEq::eq)
    }

    /// A signal whose values count as one if `same` says so.
    pub fn signal_by<T: Send + Sync + 'static>(
        &self,
        name: impl Into<Name>,
        value: T,
        same: fn(&T, &T) -> bool,
    ) -> Signal<T> {
        Signal::new(&self.0, name.into(), value, same)
    }

    /// A value that is made of others. `f` may be called at any time and more than once: it reads, and does nothing else.
    pub fn computed<T: PartialEq + Send + Sync + 'static>(
        &self,
        name: impl Into<Name>,
        f: impl Fn(&Scope) -> T + Send + Sync + 'static,
    ) -> Computed<T> {
        Computed::new(&self.0, name.into(), PartialEq::eq, move |scope| Ok::<T, Infallible>(f(scope)))
    }

    /// A value that is made of others, and may fail to be.
    pub fn try_computed<T: PartialEq + Send + Sync + 'static, E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        name: impl Into<Name>,
        f: impl Fn(&Scope) -> Result<T, E> + Send + Sync + 'static,
    ) -> Computed<T> {
        Computed::new(&self.0, name.into(), PartialEq::eq, f)
    }

    /// As [`Graph::try_computed`], for values that count as one if `same` says so.
    pub fn computed_by<T: Send + Sync + 'static, E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        name: impl Into<Name>,
        same: fn(&T, &T) -> bool,
        f: impl Fn(&Scope) -> Result<T, E> + Send + Sync + 'static,
    ) -> Computed<T> {
        Computed::new(&self.0, name.into(), same, f)
    }

    /// Calls `f` at once, and whenever something changes that it read, until what is returned is dropped. A run that
    /// fails or panics is repeated as [`Retry::default`] says.
    pub fn effect<R: Ending>(&self, name: impl Into<Name>, f: impl FnMut(&Scope) -> R + Send + 'static) -> Effect {
        self.effect_with(name, Retry::default(), f)
    }

    /// As [`Graph::effect`], with repeats of the caller's choice.
    pub fn effect_with<R: Ending>(
        &self,
        name: impl Into<Name>,
        retry: Retry,
        f: impl FnMut(&Scope) -> R + Send + 'static,
    ) -> Effect {
        Effect::inline(self, name.into(), retry, f)
    }

    /// Publishes all that `f` sets on this thread at once, when it ends. If it gives an error or panics, nothing is
    /// published. A batch inside a batch is part of it. Reads inside still see what was before.
    ///
    /// # Errors
    /// What `f` gives.
    pub fn batch<R, E>(&self, f: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
        let batch = Batch::begin(&self.0);
        let result = f()?;
        batch.end();
        Ok(result)
    }

    /// Reads one moment's state, whatever is set meanwhile.
    pub fn snapshot<R>(&self, f: impl FnOnce(&Scope) -> R) -> R {
        f(&snapshot(&self.0))
    }

    /// Waits until no effect is due or running, those that wait for a retry aside. Returns whether that came within
    /// the limit.
    pub fn settled(&self, limit: Duration) -> bool {
        self.0.wait_for_rest(limit)
    }

    /// How much of everything there is.
    pub fn stats(&self) -> Stats {
        let state = self.0.lock();
        Stats {
            nodes: state.nodes.live(),
            subscriptions: state.edges,
            queued: state.queue.len(),
            timers: state.timers.len(),
            runs: state.pins.len(),
            past: state.past.values().map(Vec::len).sum(),
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("stats", &self.stats()).finish()
    }
}
