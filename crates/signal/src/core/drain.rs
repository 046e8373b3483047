//! Running effects: whoever changes something runs what follows, unless an effect is slow: then others do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::past::Past;
use super::state::{Body, Id, Run, State, Status, Work};
use super::{Core, Timed};
use crate::audit::{Cause, Outcome};
use crate::context;
use crate::effect::{Extra, Health, Publish};
use crate::fault::Failure;
use crate::scope::Scope;
use crate::sync::{BACKGROUND, MutexGuard};
use crate::task::Notify;

/// How often the watcher looks whether the queue moves, while there is one.
const TICK: Duration = Duration::from_millis(1);
/// After so many looks at an empty queue the watcher sleeps, and after this time it ends.
const QUIET_TICKS: u32 = 20;
const LINGER: Duration = Duration::from_secs(1);
/// How many threads may be stuck in slow effects before the next have to wait.
const RUNNERS_MAX: usize = 64;
/// How often an effect may be run by what came of its own runs.
pub(crate) const ROUNDS_MAX: u32 = 100;

/// The thread that sees to stalled queues and timers. There is none while there is nothing to see to.
#[derive(Default)]
pub(crate) struct Watcher {
    alive: bool,
    ticking: bool,
    runners: usize,
}

/// What became of an effect that was taken from the queue.
enum Taken {
    /// Nothing that it read changed after all.
    Unchanged,
    Inline(Begun),
    Task(Arc<Notify>),
    /// It keeps causing itself.
    Circling(Vec<String>),
}

/// An effect about to run on this thread.
struct Begun {
    id: Id,
    scope: Scope,
    work: Box<Run>,
    cleanups: Vec<Box<dyn FnOnce() + Send>>,
    causes: Option<Vec<Cause>>,
    cause: u64,
}

impl Core {
    /// Runs what is due, until all that was due at the call has been begun by somebody.
    pub(crate) fn drain<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        if state.queue.is_empty() {
            return;
        }
        if !context::begin_drain(self, state.pushed) {
            // The run that this is in has to end first; if it takes long, others do it.
            self.arm(&mut state);
            return;
        }
        let ending = Ending(self);
        while !state.queue.is_empty() && state.popped < context::drain_until(self) {
            state = self.step(state);
        }
        drop(state);
        drop(ending);
    }

    /// Runs one effect of the queue.
    fn step<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(index) = state.queue.pop_front() else { return state };
        state.popped += 1;
        let Some(node) = state.nodes.find(index).filter(|node| node.queued) else { return state };
        let id = Id { index, generation: node.generation };
        let unsure = node.status == Status::Check;
        let node = &mut state.nodes[index];
        node.queued = false;
        node.claimed = true;
        state.active += 1;
        if unsure {
            state = self.look_upstream(state, id);
        }
        match self.take(&mut state, id) {
            Taken::Unchanged => {
                state.active -= 1;
                self.rest(&mut state);
                state
            }
            Taken::Inline(begun) => self.run(state, begun),
            Taken::Task(notify) => {
                drop(state);
                notify.due();
                self.lock()
            }
            Taken::Circling(path) => {
                let publish = state.fail_circling(id);
                drop(state);
                self.tell(&path[0].clone(), Vec::new(), 0, Outcome::Circle(path));
                publish.now();
                let mut state = self.lock();
                state.active -= 1;
                self.rest(&mut state);
                state
            }
        }
    }

    /// Computes what is upstream of an effect that may have to run.
    fn look_upstream<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>, id: Id) -> MutexGuard<'a, State> {
        let (epoch, root) = (state.pin(), state.next_run());
        drop(state);
        let scope = Scope::root(self, epoch, root);
        if self.settle(&scope, id.index).is_err() {
            // Its own read of what failed will tell it so.
            let mut state = self.lock();
            if state.alive(id) {
                state.mark_one(id.index, Status::Dirty, epoch);
            }
        }
        drop(scope);
        self.lock()
    }

    fn take(self: &Arc<Self>, state: &mut State, id: Id) -> Taken {
        if !state.alive(id) {
            return Taken::Unchanged;
        }
        let node = &mut state.nodes[id.index];
        if node.status != Status::Dirty {
            // What is newer than this look comes by its own mark.
            let newer = node.status == Status::Check;
            node.claimed = false;
            if newer {
                state.enqueue(id.index);
            }
            return Taken::Unchanged;
        }
        let round = state.round(id.index);
        let causes = self.audit.as_ref().map(|_| state.causes(id.index));
        if round.is_some_and(|(_, count)| count > ROUNDS_MAX) {
            state.rounds.remove(&id.index);
            let mut path = vec![state.nodes[id.index].name.to_string()];
            path.extend(state.causes(id.index).into_iter().map(|cause| cause.name));
            path.push(path[0].clone());
            let node = &mut state.nodes[id.index];
            node.claimed = false;
            node.status = Status::Clean;
            node.dirty_since = super::NEVER;
            node.as_of = state.epoch;
            return Taken::Circling(path);
        }
        let Body::Effect { work, extra } = &mut state.nodes[id.index].body else { return Taken::Unchanged };
        let timer = extra.as_mut().and_then(|extra| extra.timer.take());
        let retrying = extra.as_mut().is_some_and(|extra| std::mem::take(&mut extra.retrying));
        let cleanups = extra.as_mut().map(|extra| std::mem::take(&mut extra.cleanups)).unwrap_or_default();
        if let Some(timer) = timer {
            state.timers.remove(timer);
        }
        let work = match work {
            Work::Inline(work) => work.take(),
            Work::Task(notify) => {
                // They stay where they are: the task takes them when it begins.
                let notify = Arc::clone(notify);
                if let Some(extra) = extra {
                    extra.cleanups = cleanups;
                    extra.retrying = retrying;
                }
                return Taken::Task(notify);
            }
        };
        let Some(work) = work else {
            // Its task's executor is gone.
            state.nodes[id.index].claimed = false;
            return Taken::Unchanged;
        };
        let epoch = state.pin();
        let run = state.begin(id.index, epoch);
        if !state.queue.is_empty() {
            self.arm(state);
        }
        let scope = Scope::of_effect(self, epoch, id.index, run, retrying);
        let cause = round.map_or(run, |(cause, _)| cause);
        Taken::Inline(Begun { id, scope, work, cleanups, causes, cause })
    }

    fn run<'a>(self: &'a Arc<Self>, state: MutexGuard<'a, State>, begun: Begun) -> MutexGuard<'a, State> {
        let Begun { id, scope, mut work, cleanups, causes, cause } = begun;
        drop(state);
        let former = context::set_cause(cause);
        run_all(cleanups);
        let result = contain(|| work(&scope)).unwrap_or(Err(Failure::Panicked));
        context::set_cause(former);
        let outcome = outcome(&result);
        let mut state = self.lock();
        let after = state.finish(id, scope.unpinning(), Some(work), result);
        if let Some(timer) = after.due {
            self.schedule(&mut state, timer, id);
        }
        if state.nodes.find(id.index).is_some_and(|node| node.queued) {
            context::extend_drain(self, state.pushed);
        }
        if causes.is_none() && after.nothing_left() {
            self.rest(&mut state);
            return state;
        }
        let name = state.alive(id).then(|| state.nodes[id.index].name.clone());
        // There is no rest before all that follows has been told.
        state.active += 1;
        drop(state);
        if let (Some(causes), Some(name)) = (causes, name) {
            self.tell(&name, causes, after.attempt, outcome);
        }
        after.publish.now();
        drop((after.work, after.past, after.error));
        let mut state = self.lock();
        state.active -= 1;
        self.rest(&mut state);
        state
    }

    /// Has an effect run again later.
    pub(crate) fn schedule(self: &Arc<Self>, state: &mut State, at: Instant, id: Id) {
        let key = state.timers.insert(at, Timed::Retry(id));
        if let Body::Effect { extra: Some(extra), .. } = &mut state.nodes[id.index].body {
            extra.timer = Some(key);
        }
        self.wake_watcher(state);
    }

    /// Tells those who wait for rest.
    pub(crate) fn rest(&self, state: &mut State) {
        if state.active > 0 || !state.queue.is_empty() {
            return;
        }
        if !state.rounds.is_empty() {
            state.rounds.clear();
        }
        if state.waiters > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until no effect is due or running.
    pub(crate) fn wait_for_rest(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.lock();
        while state.active > 0 || !state.queue.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.waiters += 1;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiters -= 1;
        }
        true
    }

    /// Makes sure that somebody sees it if the queue stops moving.
    fn arm(self: &Arc<Self>, state: &mut State) {
        if !state.watcher.ticking {
            state.watcher.ticking = true;
            self.wake_watcher(state);
        }
    }

    pub(crate) fn wake_watcher(self: &Arc<Self>, state: &mut State) {
        if !BACKGROUND {
            return;
        }
        if state.watcher.alive {
            self.watch.notify_one();
            return;
        }
        let core = Arc::clone(self);
        let thread = std::thread::Builder::new().name("signal-watch".to_owned());
        // Without a thread nothing is lost that is in the queue: the next change runs it.
        state.watcher.alive = thread.spawn(move || core.watch()).is_ok();
        state.watcher.ticking = state.watcher.alive;
    }

    fn watch(self: Arc<Self>) {
        let (mut seen, mut quiet) = (0, 0);
        let mut state = self.lock();
        loop {
            let wakers = state.fire(Instant::now());
            if !wakers.is_empty() {
                drop(state);
                for waker in wakers {
                    waker.wake();
                }
                state = self.lock();
            }
            if !state.queue.is_empty() && state.popped == seen && state.watcher.runners < RUNNERS_MAX {
                let core = Arc::clone(&self);
                let thread = std::thread::Builder::new().name("signal-run".to_owned());
                let started = thread.spawn(move || core.help()).is_ok();
                state.watcher.runners += usize::from(started);
            }
            seen = state.popped;
            quiet = if state.queue.is_empty() { quiet + 1 } else { 0 };
            let timer = state.timers.next().map(|at| at.saturating_duration_since(Instant::now()));
            let wait = if quiet < QUIET_TICKS { TICK } else { timer.unwrap_or(LINGER) };
            state.watcher.ticking = quiet < QUIET_TICKS;
            let waited = self.watch.wait_timeout(state, wait.max(Duration::from_micros(10)));
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            if state.watcher.ticking && quiet >= QUIET_TICKS {
                quiet = 0;
            }
            let nothing = quiet >= QUIET_TICKS && state.queue.is_empty() && state.timers.len() == 0;
            if nothing && timeout.timed_out() {
                state.watcher.alive = false;
                state.watcher.ticking = false;
                return;
            }
        }
    }

    /// Empties the queue while another thread is stuck.
    fn help(self: Arc<Self>) {
        context::begin_drain(&self, u64::MAX);
        let ending = Ending(&self);
        let mut state = self.lock();
        while !state.queue.is_empty() {
            state = self.step(state);
        }
        state.watcher.runners -= 1;
        drop(state);
        drop(ending);
    }
}

struct Ending<'a>(&'a Arc<Core>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        context::end_drain(self.0);
    }
}

/// What is to be done once the lock is free.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) work: Option<Box<Run>>,
    pub(crate) past: Vec<Past>,
    pub(crate) error: Option<crate::fault::BoxError>,
    pub(crate) publish: Publish,
    pub(crate) due: Option<Instant>,
    pub(crate) attempt: u32,
}

impl After {
    fn nothing_left(&self) -> bool {
        self.work.is_none() && self.past.is_empty() && self.error.is_none() && self.publish.is_empty()
    }
}

impl State {
    /// Ends an effect's run.
    pub(crate) fn finish(
        &mut self,
        id: Id,
        unpin: Option<u64>,
        work: Option<Box<Run>>,
        result: Result<(), Failure>,
    ) -> After {
        let mut after = After::default();
        if let Some(epoch) = unpin {
            after.past = self.unpin(epoch);
        }
        if !self.alive(id) {
            // Of a task that was taken away, this was seen to at once.
            self.active -= usize::from(work.is_some());
            after.work = work;
            return after;
        }
        self.active -= 1;
        self.end(id.index, result.is_ok());
        let newer = self.nodes[id.index].status != Status::Clean;
        if newer && !self.nodes[id.index].queued && !self.nodes[id.index].claimed {
            self.enqueue(id.index);
        }
        let Body::Effect { work: place, extra } = &mut self.nodes[id.index].body else { return after };
        if let (Work::Inline(place), Some(work)) = (place, work) {
            *place = Some(work);
        }
        match result {
            Ok(()) => {
                if let Some(extra) = extra.as_mut().filter(|extra| extra.health != Health::Healthy) {
                    extra.attempt = 0;
                    after.error = extra.error.take();
                    after.publish = extra.becomes(Health::Healthy);
                }
            }
            Err(failure) => {
                let extra = extra.get_or_insert_with(Box::<Extra>::default);
                after.due = extra.failed(failure, &mut after.error, &mut after.publish).filter(|_| !newer);
                after.attempt = extra.attempt;
            }
        }
        after
    }

    /// Which chain of causes this run is of, and how often it came by; `None` if nobody's run caused it.
    fn round(&mut self, index: u32) -> Option<(u64, u32)> {
        if self.rounds.is_empty() {
            return None;
        }
        let round = self.rounds.get_mut(&index)?;
        round.count += 1;
        Some((round.cause, round.count))
    }

    fn fail_circling(&mut self, id: Id) -> Publish {
        if !self.alive(id) {
            return Publish::default();
        }
        let Body::Effect { extra, .. } = &mut self.nodes[id.index].body else { return Publish::default() };
        extra.get_or_insert_with(Box::<Extra>::default).becomes(Health::Failed)
    }

    /// Takes what is due: effects come into the queue, wakers back.
    fn fire(&mut self, now: Instant) -> Vec<std::task::Waker> {
        let mut wakers = Vec::new();
        while let Some(timed) = self.timers.pop_due(now) {
            match timed {
                Timed::Wake(waker) => wakers.push(waker),
                Timed::Retry(id) if self.alive(id) => {
                    if let Body::Effect { extra: Some(extra), .. } = &mut self.nodes[id.index].body {
                        extra.timer = None;
                        extra.retrying = true;
                    }
                    self.rounds.remove(&id.index);
                    let epoch = self.epoch;
                    self.mark_one(id.index, Status::Dirty, epoch);
                }
                Timed::Retry(_) => {}
            }
        }
        wakers
    }
}

/// What the audit says of a run.
pub(crate) fn outcome(result: &Result<(), Failure>) -> Outcome {
    match result {
        Ok(()) => Outcome::Finished,
        Err(Failure::Error(_)) => Outcome::Failed,
        Err(Failure::Panicked) => Outcome::Panicked,
        Err(Failure::Deadline) => Outcome::Deadline,
        Err(Failure::Superseded) => Outcome::Superseded,
    }
}

/// Calls somebody else's code. What a panic says is dropped: it may hold a value.
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, ()> {
    catch_unwind(AssertUnwindSafe(f)).map_err(drop)
}

/// Runs clean-ups, each whatever the others do.
pub(crate) fn run_all(cleanups: Vec<Box<dyn FnOnce() + Send>>) {
    for cleanup in cleanups {
        // Its panic is its own: there is nobody to tell.
        let _ = contain(cleanup);
    }
}
