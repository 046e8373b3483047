//! Computed values: made of what they read, when somebody asks and something changed.

use std::error::Error;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::core::{Body, Core, Held, Name, Status, Value};
use crate::fault::Fault;
use crate::scope::Scope;
use crate::signal::{Node, own};

/// A value that is made of others. It is computed when it is read, and again only after something that it read changed:
/// once for each change, whoever reads and however many. Clones are handles to the same value.
pub struct Computed<T> {
    node: Arc<Node>,
    of: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> Computed<T> {
    pub(crate) fn new<E: Into<Box<dyn Error + Send + Sync>>>(
        core: &Arc<Core>,
        name: Name,
        same: fn(&T, &T) -> bool,
        f: impl Fn(&Scope) -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        let own_name = name.clone();
        let compute = move |scope: &Scope, old: Option<&Value>| {
            let new = f(scope).map_err(|error| Fault::of(&own_name, error.into()))?;
            let unchanged = old.and_then(|old| old.downcast_ref()).is_some_and(|old| same(old, &new));
            Ok((!unchanged).then(|| Arc::new(new) as Value))
        };
        let id = core.insert_computed(name, Arc::new(compute));
        Self { node: Arc::new(Node { core: Arc::clone(core), id }), of: PhantomData }
    }

    /// The value, of the moment that the scope sees. Whoever the scope is of runs again when it changes.
    ///
    /// # Errors
    /// If it cannot be computed.
    pub fn get(&self, scope: &Scope) -> Result<Arc<T>, Fault> {
        self.read(scope, true)
    }

    /// The value, of the moment that the scope sees. Nobody runs again for it.
    ///
    /// # Errors
    /// If it cannot be computed.
    pub fn peek(&self, scope: &Scope) -> Result<Arc<T>, Fault> {
        self.read(scope, false)
    }

    /// The value that follows from what was published last.
    ///
    /// # Errors
    /// If it cannot be computed.
    pub fn latest(&self) -> Result<Arc<T>, Fault> {
        self.peek(&snapshot(&self.node.core))
    }

    /// Whether something further up changed since it was computed, or it never was.
    pub fn is_stale(&self) -> bool {
        let state = self.node.core.lock();
        let node = &state.nodes[self.node.id.index];
        let known = matches!(&node.body, Body::Source(source) if !matches!(source.held, Held::Nothing));
        node.status != Status::Clean || node.running || !known
    }

    fn read(&self, scope: &Scope, tracked: bool) -> Result<Arc<T>, Fault> {
        self.node.is_of(scope);
        let value = scope.core.read_computed(scope, self.node.id.index, tracked)?;
        Ok(own(Held::Value(value)))
    }
}

impl<T> Clone for Computed<T> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), of: PhantomData }
    }
}

impl<T> std::fmt::Debug for Computed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.node.core.lock().nodes[self.node.id.index].name.clone();
        f.debug_struct("Computed").field("name", &name).finish_non_exhaustive()
    }
}

/// A scope of nobody, for the present moment.
pub(crate) fn snapshot(core: &Arc<Core>) -> Scope {
    let mut state = core.lock();
    let (epoch, root) = (state.pin(), state.next_run());
    drop(state);
    Scope::root(core, epoch, root)
}
