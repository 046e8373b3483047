//! Signals: values that are set from outside.

use std::sync::Arc;

use crate::context;
use crate::core::{Core, Held, Id, Name, Value, Write};
use crate::scope::Scope;

/// A value that can be set from any thread. Clones are handles to the same signal.
///
/// Setting a value that equals the present one does nothing. Values are shared: a reader gets an [`Arc`], and what it
/// holds does not change under its hands.
pub struct Signal<T> {
    node: Arc<Node>,
    same: fn(&T, &T) -> bool,
}

/// Keeps a node while somebody holds a handle to it.
pub(crate) struct Node {
    pub(crate) core: Arc<Core>,
    pub(crate) id: Id,
}

impl<T: Send + Sync + 'static> Signal<T> {
    pub(crate) fn new(core: &Arc<Core>, name: Name, value: T, same: fn(&T, &T) -> bool) -> Self {
        let id = core.insert_signal(name, Arc::new(value));
        Self { node: Arc::new(Node { core: Arc::clone(core), id }), same }
    }

    /// The value, of the moment that the scope sees. Whoever the scope is of runs again when it changes.
    pub fn get(&self, scope: &Scope) -> Arc<T> {
        self.node.is_of(scope);
        own(scope.core.read_signal(scope, self.node.id.index, true))
    }

    /// The value, of the moment that the scope sees. Nobody runs again for it.
    pub fn peek(&self, scope: &Scope) -> Arc<T> {
        self.node.is_of(scope);
        own(scope.core.read_signal(scope, self.node.id.index, false))
    }

    /// The value that was published last. Two of these reads may lie on either side of a batch: see
    /// [`Graph::snapshot`](crate::Graph::snapshot).
    pub fn latest(&self) -> Arc<T> {
        own(self.node.core.current(self.node.id.index).0)
    }

    /// The number of the change that brought the present value. It grows across all of a graph.
    pub fn version(&self) -> u64 {
        self.node.core.current(self.node.id.index).1
    }

    /// Sets the value. Outside of a batch, the effects that follow have run when this returns, unless another thread
    /// or task is at them.
    pub fn set(&self, value: T) {
        let value: Value = Arc::new(value);
        let core = &self.node.core;
        let index = self.node.id.index;
        if context::in_batch(core) {
            let same = self.same;
            let same = Arc::new(move |a: &Value, b: &Value| {
                a.downcast_ref().zip(b.downcast_ref()).is_some_and(|(a, b)| same(a, b))
            });
            return context::batch(core, Write { index, value, same });
        }
        loop {
            let (held, seen) = core.current(index);
            if value.downcast_ref().is_some_and(|new| (self.same)(&own(held), new)) {
                return;
            }
            if core.commit_one(index, &value, seen) {
                return;
            }
        }
    }

    /// Sets the value to what `f` makes of the present one, which may be called again if another thread sets it
    /// meanwhile. In a batch, the present one is what the batch would set; what others set before it ends is lost.
    pub fn update(&self, f: impl Fn(&T) -> T) {
        let core = &self.node.core;
        let index = self.node.id.index;
        if context::in_batch(core) {
            let batched = context::batched(core, index).map(|value| own(Held::Value(value)));
            return self.set(f(&batched.unwrap_or_else(|| self.latest())));
        }
        loop {
            let (held, seen) = core.current(index);
            let old: Arc<T> = own(held);
            let new = f(&old);
            if (self.same)(&old, &new) {
                return;
            }
            let new: Value = Arc::new(new);
            if core.commit_one(index, &new, seen) {
                return;
            }
        }
    }

    /// Whether this is the only handle, and nobody would run again.
    pub(crate) fn is_idle(&self) -> bool {
        if Arc::strong_count(&self.node) > 1 {
            return false;
        }
        let state = self.node.core.lock();
        match &state.nodes[self.node.id.index].body {
            crate::core::Body::Source(source) => source.subscribers.is_empty(),
            crate::core::Body::Effect { .. } | crate::core::Body::Vacant { .. } => false,
        }
    }
}

impl Node {
    /// # Panics
    /// If the scope is of another graph: what it sees has no moment in common with this node.
    pub(crate) fn is_of(&self, scope: &Scope) {
        assert!(Arc::ptr_eq(&self.core, &scope.core), "a scope of one graph cannot read from another");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.core.remove(self.id);
    }
}

impl<T> Clone for Signal<T> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), same: self.same }
    }
}

impl<T> std::fmt::Debug for Signal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.node.core.lock().nodes[self.node.id.index].name.clone();
        f.debug_struct("Signal").field("name", &name).finish_non_exhaustive()
    }
}

/// What a node holds, in its own type.
#[expect(clippy::expect_used, reason = "a handle's type is that of the value which its node was made with")]
pub(crate) fn own<T: Send + Sync + 'static>(held: Held) -> Arc<T> {
    let value = match held {
        Held::Value(value) => Some(value),
        Held::Nothing | Held::Fault(_) => None,
    };
    value.and_then(|value| value.downcast().ok()).expect("a node holds a value of its handle's type")
}
