//! Effects and computed values that wait for something: tasks on the caller's executor.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::audit::Cause;
use crate::context;
use crate::core::{Body, Core, Id, Name, Timed, TimerKey, Work, contain, outcome, run_all};
use crate::effect::{Effect, Ending, Extra, Health, Retry};
use crate::fault::{Failure, Fault};
use crate::graph::Graph;
use crate::scope::Scope;
use crate::signal::Signal;
use crate::sync::Mutex;

/// What an executor is given.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor. With the feature `tokio`, its `Handle` is one; any other needs one line.
pub trait Spawn {
    /// Polls the task to its end.
    fn spawn(&self, task: Task);
}

#[cfg(feature = "tokio")]
impl Spawn for tokio::runtime::Handle {
    fn spawn(&self, task: Task) {
        drop(Self::spawn(self, task));
    }
}

/// What becomes of a run if something changes that it read before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Superseded {
    /// It is dropped where it waits, and begins anew.
    #[default]
    Cancel,
    /// It comes to its end with what it read, and then begins anew.
    Finish,
}

/// How a task is run.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    name: Name,
    retry: Retry,
    deadline: Option<Duration>,
    superseded: Superseded,
}

/// A value that a task makes of others. Readers see the last one that it made, and run again for the next.
///
/// Between a change of what it read and its end, this is behind: see [`AsyncComputed::is_stale`]. What belongs together
/// should come out of one task, as one value. Clones are handles to the same value.
pub struct AsyncComputed<T> {
    value: Signal<Option<Arc<T>>>,
    name: Name,
    effect: Arc<Effect>,
}

impl TaskOptions {
    /// Repeats as [`Retry::default`] says, no deadline, and a run that is superseded is cancelled.
    pub fn new(name: impl Into<Name>) -> Self {
        Self { name: name.into(), retry: Retry::default(), deadline: None, superseded: Superseded::Cancel }
    }

    /// When runs that failed are repeated.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// How long a run may take. One that takes longer is dropped, and has failed.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// What becomes of a run when something newer comes.
    #[must_use]
    pub fn superseded(self, superseded: Superseded) -> Self {
        Self { superseded, ..self }
    }
}

impl<N: Into<Name>> From<N> for TaskOptions {
    fn from(name: N) -> Self {
        Self::new(name)
    }
}

impl Graph {
    /// As [`Graph::effect`], for what waits: each run is a future on the caller's executor. What it reads with its scope
    /// at any `.await` is its dependency, and of the moment in which the run began.
    pub fn effect_async<F, R>(
        &self,
        spawn: &(impl Spawn + ?Sized),
        options: impl Into<TaskOptions>,
        f: impl FnMut(Scope) -> F + Send + 'static,
    ) -> Effect
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending + 'static,
    {
        let options = options.into();
        let notify = Arc::new(Notify::default());
        let (name, retry) = (options.name.clone(), options.retry);
        let effect = Effect::insert(self, name, retry, Work::Task(Arc::clone(&notify)));
        let driver = Driver { core: Arc::clone(self.core()), id: effect.id, notify, options };
        spawn.spawn(Box::pin(driver.drive(f)));
        effect
    }

    /// As [`Graph::try_computed`], for what waits. The task runs whether or not somebody reads.
    pub fn computed_async<T, F, E>(
        &self,
        spawn: &(impl Spawn + ?Sized),
        options: impl Into<TaskOptions>,
        f: impl Fn(Scope) -> F + Send + 'static,
    ) -> AsyncComputed<T>
    where
        T: PartialEq + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        let options = options.into();
        let name = options.name.clone();
        let value = self.signal(name.clone(), None);
        let into = value.clone();
        let effect = self.effect_async(spawn, options, move |scope| {
            let (future, into) = (f(scope), into.clone());
            async move {
                let made = future.await?;
                into.set(Some(Arc::new(made)));
                Ok::<(), E>(())
            }
        });
        AsyncComputed { value, name, effect: Arc::new(effect) }
    }
}

impl<T: PartialEq + Send + Sync + 'static> AsyncComputed<T> {
    /// The value that was made last, of the moment that the scope sees. Whoever the scope is of runs again for the next.
    ///
    /// # Errors
    /// [`Fault::Pending`] before the first.
    pub fn get(&self, scope: &Scope) -> Result<Arc<T>, Fault> {
        self.or_pending((*self.value.get(scope)).clone())
    }

    /// As [`AsyncComputed::get`], and nobody runs again for it.
    ///
    /// # Errors
    /// [`Fault::Pending`] before the first.
    pub fn peek(&self, scope: &Scope) -> Result<Arc<T>, Fault> {
        self.or_pending((*self.value.peek(scope)).clone())
    }

    /// The value that was made last.
    ///
    /// # Errors
    /// [`Fault::Pending`] before the first.
    pub fn latest(&self) -> Result<Arc<T>, Fault> {
        self.or_pending((*self.value.latest()).clone())
    }

    /// Whether something that it read changed, and the value does not follow from that yet.
    pub fn is_stale(&self) -> bool {
        self.effect.is_stale()
    }

    /// How its task is doing. A failure leaves the last value in place.
    pub fn health(&self) -> Health {
        self.effect.health()
    }

    /// How its task is doing, as a signal.
    pub fn health_signal(&self) -> Signal<Health> {
        self.effect.health_signal()
    }

    fn or_pending(&self, value: Option<Arc<T>>) -> Result<Arc<T>, Fault> {
        value.ok_or_else(|| Fault::Pending { name: self.name.to_string() })
    }
}

impl<T> Clone for AsyncComputed<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), name: self.name.clone(), effect: Arc::clone(&self.effect) }
    }
}

impl<T> std::fmt::Debug for AsyncComputed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncComputed").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a task learns that it has to run, or to end.
#[derive(Default)]
pub(crate) struct Notify(Mutex<Told>);

#[derive(Default)]
struct Told {
    due: bool,
    removed: bool,
    waker: Option<Waker>,
}

impl Notify {
    pub(crate) fn due(&self) {
        self.tell(|told| told.due = true);
    }

    pub(crate) fn remove(&self) {
        self.tell(|told| told.removed = true);
    }

    fn tell(&self, what: impl FnOnce(&mut Told)) {
        let waker = self.with(|told| {
            what(told);
            told.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Told) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it is removed, and whether it is due. The task is woken when one of these becomes true.
    fn look(&self, context: &Context<'_>) -> (bool, bool) {
        let waker = context.waker().clone();
        let (told, former) = self.with(|told| ((told.removed, told.due), told.waker.replace(waker)));
        drop(former);
        told
    }
}

struct Driver {
    core: Arc<Core>,
    id: Id,
    notify: Arc<Notify>,
    options: TaskOptions,
}

/// A run that was begun.
struct Begun {
    scope: Scope,
    cleanups: Vec<Box<dyn FnOnce() + Send>>,
    causes: Option<Vec<Cause>>,
    cause: u64,
}

impl Driver {
    async fn drive<F, R>(self, mut f: impl FnMut(Scope) -> F + Send)
    where
        F: Future<Output = R> + Send,
        R: Ending,
    {
        loop {
            let due = poll_fn(|context| match self.notify.look(context) {
                (true, _) => Poll::Ready(false),
                (false, true) => Poll::Ready(true),
                (false, false) => Poll::Pending,
            });
            if !due.await {
                return;
            }
            self.notify.with(|told| told.due = false);
            let Some(Begun { scope, cleanups, causes, cause }) = self.core.begin_task(self.id) else { return };
            run_all(cleanups);
            let former = context::set_cause(cause);
            let future = contain(|| f(scope));
            context::set_cause(former);
            let result = match future {
                Ok(future) => self.run(Box::pin(future), cause).await,
                Err(()) => Err(Failure::Panicked),
            };
            self.core.finish_task(self.id, result, causes);
        }
    }

    async fn run<F, R>(&self, future: Pin<Box<F>>, cause: u64) -> Result<(), Failure>
    where
        F: Future<Output = R>,
        R: Ending,
    {
        let mut future = Some(future);
        let deadline = self.options.deadline.map(|deadline| Instant::now() + deadline);
        let mut sleep = deadline.map(|at| Sleep { core: Arc::clone(&self.core), at, key: None });
        let result = poll_fn(|context| {
            let (removed, due) = self.notify.look(context);
            if removed || (due && self.options.superseded == Superseded::Cancel) {
                return Poll::Ready(Err(Failure::Superseded));
            }
            if sleep.as_mut().is_some_and(|sleep| sleep.over(context)) {
                return Poll::Ready(Err(Failure::Deadline));
            }
            let Some(running) = &mut future else { return Poll::Ready(Err(Failure::Superseded)) };
            let former = context::set_cause(cause);
            let polled = contain(|| running.as_mut().poll(context).map(Ending::ending));
            context::set_cause(former);
            match polled {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(ending)) => Poll::Ready(ending.map_err(|error| Failure::Error(Arc::from(error)))),
                Err(()) => Poll::Ready(Err(Failure::Panicked)),
            }
        })
        .await;
        // Its own destructors may panic as well.
        match contain(|| drop(future.take())) {
            Ok(()) => result,
            Err(()) => result.and(Err(Failure::Panicked)),
        }
    }
}

impl Drop for Driver {
    /// The executor may drop a task in the middle of a run, when it shuts down.
    fn drop(&mut self) {
        self.core.abandon_task(self.id);
    }
}

/// Ends at a time. The graph's own thread sees to it, so that no runtime's timer is needed.
struct Sleep {
    core: Arc<Core>,
    at: Instant,
    key: Option<TimerKey>,
}

impl Sleep {
    fn over(&mut self, context: &Context<'_>) -> bool {
        if Instant::now() >= self.at {
            return true;
        }
        let waker = context.waker().clone();
        let mut state = self.core.lock();
        let former = match self.key {
            Some(key) => state.timers.replace(key, waker),
            None => {
                self.key = Some(state.timers.insert(self.at, Timed::Wake(waker)));
                self.core.wake_watcher(&mut state);
                None
            }
        };
        drop(state);
        drop(former);
        false
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let timed = self.core.lock().timers.remove(key);
            drop(timed);
        }
    }
}

impl Core {
    fn begin_task(self: &Arc<Self>, id: Id) -> Option<Begun> {
        let mut state = self.lock();
        if !state.alive(id) {
            return None;
        }
        let causes = self.audit.as_ref().map(|_| state.causes(id.index));
        let round = state.rounds.get(&id.index).map(|round| round.cause);
        let epoch = state.pin();
        let run = state.begin(id.index, epoch);
        let Body::Effect { extra, .. } = &mut state.nodes[id.index].body else { return None };
        let cleanups = extra.as_mut().map(|extra| std::mem::take(&mut extra.cleanups)).unwrap_or_default();
        let retrying = extra.as_mut().is_some_and(|extra| std::mem::take(&mut extra.retrying));
        drop(state);
        let scope = Scope::of_effect(self, epoch, id.index, run, retrying);
        Some(Begun { scope, cleanups, causes, cause: round.unwrap_or(run) })
    }

    fn finish_task(self: &Arc<Self>, id: Id, result: Result<(), Failure>, causes: Option<Vec<Cause>>) {
        let outcome = outcome(&result);
        let mut state = self.lock();
        let after = state.finish(id, None, None, result);
        if let Some(at) = after.due {
            self.schedule(&mut state, at, id);
        }
        let name = state.alive(id).then(|| state.nodes[id.index].name.clone());
        // There is no rest before all that follows has been told.
        state.active += 1;
        self.drain(state);
        if let (Some(causes), Some(name)) = (causes, name) {
            self.tell(&name, causes, after.attempt, outcome);
        }
        after.publish.now();
        let mut state = self.lock();
        state.active -= 1;
        self.rest(&mut state);
    }

    /// Its executor is gone: nobody will poll it again, and its health says so.
    fn abandon_task(&self, id: Id) {
        let mut state = self.lock();
        if !state.alive(id) {
            return;
        }
        let node = &mut state.nodes[id.index];
        let open = usize::from(node.claimed) + usize::from(node.running);
        node.claimed = false;
        node.running = false;
        let publish = match &mut node.body {
            Body::Effect { work, extra } => {
                *work = Work::Inline(None);
                extra.get_or_insert_with(Box::<Extra>::default).becomes(Health::Failed)
            }
            Body::Source(_) | Body::Vacant { .. } => return,
        };
        state.active -= open;
        self.rest(&mut state);
        drop(state);
        publish.now();
    }
}
