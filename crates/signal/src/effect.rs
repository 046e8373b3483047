//! Effects: what is done whenever something that was read changes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::{Body, Core, Id, Status, TimerKey, Work, run_all};
use crate::fault::{BoxError, Failure};
use crate::graph::Graph;
use crate::scope::{Reader, Scope};
use crate::signal::Signal;

/// Something that is done at once and whenever something changes that it read. It ends when this is dropped.
///
/// It runs on the thread that sets what it read. While one takes long, the others that are due are run by a thread of
/// the graph's own after some milliseconds; but the `set` that the long one is in returns only when it is done. What
/// takes long, or waits for something, is better an [effect that is a task](Graph::effect_async).
#[must_use = "an effect ends when it is dropped"]
pub struct Effect {
    pub(crate) core: Arc<Core>,
    pub(crate) id: Id,
}

/// How an effect is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// The last run went well, or there was none yet.
    #[default]
    Healthy,
    /// The last run failed, and there will be another.
    Retrying {
        /// How many runs failed since the last that went well.
        attempt: u32,
    },
    /// The last run failed, and there will be no other until something changes.
    Failed,
}

/// When a run that failed is repeated. Waits grow twofold, and each is shortened at random by up to half, so that many
/// that failed together do not come back together. A change of what was read comes first, and counts as a new beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many times in a row.
    pub attempts_max: u32,
    /// The wait before the first repeat.
    pub wait_first: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
}

/// What a run may give: nothing, or whether it went well.
pub trait Ending {
    /// The same for all.
    ///
    /// # Errors
    /// What the run failed with.
    fn ending(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// What few effects have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) retry: Retry,
    pub(crate) attempt: u32,
    pub(crate) health: Health,
    pub(crate) error: Option<BoxError>,
    pub(crate) timer: Option<TimerKey>,
    /// The next run is a repeat.
    pub(crate) retrying: bool,
    pub(crate) cleanups: Vec<Box<dyn FnOnce() + Send>>,
    pub(crate) shown: Option<Signal<Health>>,
}

/// A change of health that is to be shown once the lock is free.
#[derive(Default)]
pub(crate) struct Publish(Option<(Signal<Health>, Health)>);

impl Effect {
    pub(crate) fn inline<R: Ending>(
        graph: &Graph,
        name: crate::core::Name,
        retry: Retry,
        mut f: impl FnMut(&Scope) -> R + Send + 'static,
    ) -> Self {
        let run = move |scope: &Scope| f(scope).ending().map_err(|error| Failure::Error(Arc::from(error)));
        Self::insert(graph, name, retry, Work::Inline(Some(Box::new(run))))
    }

    pub(crate) fn insert(graph: &Graph, name: crate::core::Name, retry: Retry, work: Work) -> Self {
        let core = Arc::clone(graph.core());
        let extra = (retry != Retry::default()).then(|| Box::new(Extra { retry, ..Extra::default() }));
        let mut state = core.lock();
        let id = state.nodes.insert(name, Status::Dirty, Body::Effect { work, extra });
        state.enqueue(id.index);
        core.drain(state);
        Self { core, id }
    }

    /// How it is doing now.
    pub fn health(&self) -> Health {
        let state = self.core.lock();
        match &state.nodes[self.id.index].body {
            Body::Effect { extra: Some(extra), .. } => extra.health,
            Body::Effect { extra: None, .. } | Body::Source(_) | Body::Vacant { .. } => Health::Healthy,
        }
    }

    /// How it is doing, as a signal: others may read it and be run when it changes.
    pub fn health_signal(&self) -> Signal<Health> {
        let shown = |core: &Core| match &core.lock().nodes[self.id.index].body {
            Body::Effect { extra: Some(extra), .. } => extra.shown.clone(),
            Body::Effect { extra: None, .. } | Body::Source(_) | Body::Vacant { .. } => None,
        };
        if let Some(signal) = shown(&self.core) {
            return signal;
        }
        let name = self.core.lock().nodes[self.id.index].name.clone();
        let made = Signal::new(&self.core, format!("{name}: health").into(), Health::Healthy, PartialEq::eq);
        let mut state = self.core.lock();
        let Body::Effect { extra, .. } = &mut state.nodes[self.id.index].body else { return made };
        let extra = extra.get_or_insert_with(Box::<Extra>::default);
        let (signal, health) = (extra.shown.get_or_insert_with(|| made.clone()).clone(), extra.health);
        drop(state);
        signal.set(health);
        signal
    }

    /// What the last run failed with, if it gave an error and none went well since.
    pub fn last_error(&self) -> Option<Arc<dyn std::error::Error + Send + Sync>> {
        match &self.core.lock().nodes[self.id.index].body {
            Body::Effect { extra: Some(extra), .. } => extra.error.clone(),
            Body::Effect { extra: None, .. } | Body::Source(_) | Body::Vacant { .. } => None,
        }
    }

    /// Whether something that it read changed, and it has not run to its end since.
    pub fn is_stale(&self) -> bool {
        let state = self.core.lock();
        let node = &state.nodes[self.id.index];
        node.status != Status::Clean || node.running
    }
}

impl Drop for Effect {
    fn drop(&mut self) {
        self.core.remove_effect(self.id);
    }
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.core.lock().nodes[self.id.index].name.clone();
        f.debug_struct("Effect").field("name", &name).field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Retry {
    /// No repeats.
    pub const fn never() -> Self {
        Self { attempts_max: 0, wait_first: Duration::ZERO, wait_max: Duration::ZERO }
    }

    /// The longest wait before this repeat; the first is 1.
    pub fn wait(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.wait_first.saturating_mul(doubled).min(self.wait_max)
    }

    fn shortened(&self, attempt: u32) -> Duration {
        let wait = self.wait(attempt);
        // The standard library's random state: it need not be better than that here.
        let random = RandomState::new().build_hasher().finish() % 1_000;
        wait - wait.mul_f64(random as f64 / 2_000.0)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts_max: 10, wait_first: Duration::from_millis(100), wait_max: Duration::from_secs(30) }
    }
}

impl Ending for () {
    fn ending(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> Ending for Result<(), E> {
    fn ending(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}

impl Extra {
    /// Notes how it is doing. What is returned shows it.
    pub(crate) fn becomes(&mut self, health: Health) -> Publish {
        self.health = health;
        Publish(self.shown.clone().map(|signal| (signal, health)))
    }

    /// Notes a failure. Returns when to try again.
    pub(crate) fn failed(
        &mut self,
        failure: Failure,
        old: &mut Option<BoxError>,
        publish: &mut Publish,
    ) -> Option<Instant> {
        let error = match failure {
            Failure::Superseded => return None,
            Failure::Error(error) => Some(error),
            Failure::Panicked | Failure::Deadline => None,
        };
        *old = std::mem::replace(&mut self.error, error);
        self.attempt += 1;
        let again = self.attempt <= self.retry.attempts_max;
        *publish = self.becomes(if again { Health::Retrying { attempt: self.attempt } } else { Health::Failed });
        again.then(|| Instant::now() + self.retry.shortened(self.attempt))
    }
}

impl Publish {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn now(self) {
        if let Some((signal, health)) = self.0 {
            signal.set(health);
        }
    }
}

impl Core {
    /// Keeps a clean-up for later, or gives it back if there is no later.
    pub(crate) fn add_cleanup(
        &self,
        reader: Reader,
        cleanup: Box<dyn FnOnce() + Send>,
    ) -> Option<Box<dyn FnOnce() + Send>> {
        let mut state = self.lock();
        let found = state.nodes.find(reader.index).is_some_and(|node| node.running && node.run == reader.run);
        if !found {
            return Some(cleanup);
        }
        match &mut state.nodes[reader.index].body {
            Body::Effect { extra, .. } => {
                extra.get_or_insert_with(Box::<Extra>::default).cleanups.push(cleanup);
                None
            }
            Body::Source(_) | Body::Vacant { .. } => Some(cleanup),
        }
    }

    /// Ends an effect: it does not run again, and a task of its is not polled again.
    fn remove_effect(&self, id: Id) {
        let mut state = self.lock();
        if !state.alive(id) {
            return;
        }
        let node = &mut state.nodes[id.index];
        let mut open = 0;
        let (mut cleanups, mut timer, mut task) = (Vec::new(), None, None);
        if let Body::Effect { work, extra } = &mut node.body {
            if let Some(extra) = extra {
                cleanups = std::mem::take(&mut extra.cleanups);
                timer = extra.timer.take();
            }
            if let Work::Task(notify) = work {
                task = Some(Arc::clone(notify));
                open = usize::from(node.claimed) + usize::from(node.running);
            }
        }
        state.active -= open;
        if let Some(timer) = timer {
            state.timers.remove(timer);
        }
        let removed = state.remove(id);
        self.rest(&mut state);
        drop(state);
        if let Some(task) = task {
            task.remove();
        }
        run_all(cleanups);
        if let Some(removed) = removed {
            crate::context::bury(removed);
        }
    }
}
