//! Who reads, and which state of the graph it sees.

use std::sync::Arc;

use crate::core::Core;

/// Who reads, and which moment's state it sees.
///
/// A run of an effect or a computed value gets one. All that is read with it is of the moment in which the run began,
/// however long it takes and whatever is set meanwhile, and what was read runs it again when it changes. It is an
/// argument like any other: it goes across `.await`, and into another thread or task, and still says whose read it is.
///
/// [`Graph::snapshot`](crate::Graph::snapshot) gives one that subscribes nobody.
pub struct Scope {
    pub(crate) core: Arc<Core>,
    pub(crate) epoch: u64,
    pub(crate) reader: Option<Reader>,
    /// The run from which this one descends.
    pub(crate) root: u64,
    pub(crate) depth: u32,
    /// It comes after a failure, and looks again at what failed.
    pub(crate) retrying: bool,
    pinned: bool,
}

/// Whose reads these are.
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) index: u32,
    pub(crate) run: u64,
    /// Whether it is a value that is being computed.
    pub(crate) evaluating: bool,
}

impl Scope {
    /// Calls `f` before the effect's next run, or when the effect is dropped.
    ///
    /// Elsewhere than in an effect's run there is no next run: `f` is called at once.
    pub fn on_cleanup(&self, f: impl FnOnce() + Send + 'static) {
        let f: Box<dyn FnOnce() + Send> = Box::new(f);
        let left = match self.reader {
            Some(reader) => self.core.add_cleanup(reader, f),
            None => Some(f),
        };
        if let Some(f) = left {
            f();
        }
    }

    /// The number of the state that is seen. It grows with every change.
    pub fn version(&self) -> u64 {
        self.epoch
    }

    /// A scope that pins its epoch; the caller pinned it already.
    pub(crate) fn root(core: &Arc<Core>, epoch: u64, root: u64) -> Self {
        let core = Arc::clone(core);
        Self { core, epoch, reader: None, root, depth: 0, retrying: false, pinned: true }
    }

    pub(crate) fn of_effect(core: &Arc<Core>, epoch: u64, index: u32, run: u64, retrying: bool) -> Self {
        let reader = Some(Reader { index, run, evaluating: false });
        Self { core: Arc::clone(core), epoch, reader, root: run, depth: 0, retrying, pinned: true }
    }

    /// For a computation that this scope's read asks for.
    pub(crate) fn nested(&self, index: u32, run: u64) -> Self {
        let mut inner = self.nested_past();
        inner.reader = Some(Reader { index, run, evaluating: true });
        inner
    }

    /// For a computation that leaves no trace.
    pub(crate) fn nested_past(&self) -> Self {
        let (core, epoch, root) = (Arc::clone(&self.core), self.epoch, self.root);
        Self { core, epoch, reader: None, root, depth: self.depth + 1, retrying: self.retrying, pinned: false }
    }

    /// Leaves it to the caller to let go of the epoch.
    pub(crate) fn unpinning(mut self) -> Option<u64> {
        std::mem::take(&mut self.pinned).then_some(self.epoch)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if self.pinned {
            let past = self.core.lock().unpin(self.epoch);
            drop(past);
        }
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("version", &self.epoch).finish_non_exhaustive()
    }
}
