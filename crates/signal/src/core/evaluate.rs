//! Reading: what a value is in the epoch that a scope sees, and computing it if nobody has.

use std::sync::{Arc, PoisonError};

use rustc_hash::FxHashSet;

use super::past::Past;
use super::state::{Body, Compute, Held, Id, NEVER, Node, State, Status, Value};
use super::{Core, contain};
use crate::audit::{Cause, Outcome};
use crate::fault::Fault;
use crate::scope::Scope;
use crate::sync::{BACKGROUND, MutexGuard};

/// After so many evaluations inside each other, the next has a stack of its own.
const NESTED_MAX: u32 = 96;
const STACK_BYTES: usize = 8 << 20;
/// Evaluations of the past are in no list of those under way, so that this is what ends a cycle among them.
const DEPTH_MAX: u32 = 200_000;

impl Core {
    /// What a signal is for this scope.
    pub(crate) fn read_signal(&self, scope: &Scope, index: u32, tracked: bool) -> Held {
        let mut state = self.lock();
        state.note_read(scope, index, tracked);
        let Body::Source(source) = &state.nodes[index].body else { return Held::Nothing };
        if source.from <= scope.epoch {
            return source.held.clone();
        }
        // A signal that is younger than what the scope sees has no past: it is what it was made with, or is now.
        state.past_of(index, scope.epoch).unwrap_or(&source.held).clone()
    }

    /// What a computed value is for this scope; it is computed if need be.
    pub(crate) fn read_computed(self: &Arc<Self>, scope: &Scope, index: u32, tracked: bool) -> Result<Value, Fault> {
        loop {
            let mut state = self.lock();
            if scope.retrying {
                state.doubt_fault(index, scope);
            }
            let node = &state.nodes[index];
            let Body::Source(source) = &node.body else { return Err(Fault::cycle(Vec::new())) };
            let past = !matches!(source.held, Held::Nothing) && scope.epoch < source.from;
            if past || settled_at(node, scope.epoch) {
                state.note_read(scope, index, tracked);
                let Body::Source(source) = &state.nodes[index].body else { return Err(Fault::cycle(Vec::new())) };
                let held = match past {
                    false => source.held.clone(),
                    true => match state.past_of(index, scope.epoch) {
                        Some(held) => held.clone(),
                        None => {
                            drop(state);
                            self.evaluate_past(scope, index)
                        }
                    },
                };
                return match held {
                    Held::Value(value) => Ok(value),
                    Held::Fault(fault) => Err(fault),
                    Held::Nothing => Err(Fault::cycle(Vec::new())),
                };
            }
            drop(state);
            self.settle(scope, index)?;
        }
    }

    /// Finds out what `target` is in the epoch of the scope: computes what is upstream of it, deepest first, and the
    /// target itself if it is a value. An effect is left marked. There is no recursion along known dependencies.
    pub(crate) fn settle(self: &Arc<Self>, scope: &Scope, target: u32) -> Result<(), Fault> {
        let waiter = scope.reader.filter(|reader| reader.evaluating).map(|reader| reader.index);
        let mut frames = vec![(target, 0)];
        let mut open = FxHashSet::from_iter([target]);
        let mut state = self.lock();
        while let Some((index, next)) = frames.last().copied() {
            let settled = state.nodes.find(index).is_none_or(|node| settled_at(node, scope.epoch));
            if settled {
                frames.pop();
                open.remove(&index);
                continue;
            }
            let node = &state.nodes[index];
            if node.running && matches!(node.body, Body::Source(_)) {
                if let Some(path) = waiter.and_then(|waiter| state.cycle(waiter, &frames, index)) {
                    return Err(Fault::cycle(path));
                }
                state = self.wait_for(state, waiter, index);
                continue;
            }
            match node.status {
                Status::Dirty if matches!(node.body, Body::Effect { .. }) => return Ok(()),
                Status::Dirty => state = self.evaluate(state, scope, index)?,
                Status::Check => match state.unsettled_dep(index, next, scope.epoch) {
                    // Only a circle comes back to what is being looked at: running it will name it.
                    Some((dep, _)) if open.contains(&dep) => state.nodes[index].status = Status::Dirty,
                    Some((dep, place)) => {
                        if let Some(frame) = frames.last_mut() {
                            frame.1 = place;
                        }
                        frames.push((dep, 0));
                        open.insert(dep);
                    }
                    None => state = self.leave_unchanged(state, index, scope.epoch),
                },
                Status::Clean => return Ok(()),
            }
        }
        Ok(())
    }

    fn leave_unchanged<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        index: u32,
        epoch: u64,
    ) -> MutexGuard<'a, State> {
        let gone = state.unchanged(index, epoch);
        if gone.is_none() {
            return state;
        }
        drop(state);
        drop(gone);
        self.lock()
    }

    /// Waits until an evaluation ends that another thread is at.
    fn wait_for<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        waiter: Option<u32>,
        index: u32,
    ) -> MutexGuard<'a, State> {
        state.waits(waiter, Some(index));
        state.waiters += 1;
        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiters -= 1;
        state.waits(waiter, None);
        state
    }

    /// Computes one value, in the epoch of the scope.
    fn evaluate<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        scope: &Scope,
        index: u32,
    ) -> Result<MutexGuard<'a, State>, Fault> {
        let waiter = scope.reader.filter(|reader| reader.evaluating).map(|reader| reader.index);
        let node = &mut state.nodes[index];
        let id = Id { index, generation: node.generation };
        let since = node.dirty_since;
        let causes = self.audit.as_ref().map(|_| state.causes(index));
        let node = &mut state.nodes[index];
        let Body::Source(source) = &mut node.body else { return Ok(state) };
        source.started_since = since;
        source.peeked = false;
        let Some(compute) = source.compute.clone() else { return Ok(state) };
        let old = match &source.held {
            Held::Value(value) => Some(Arc::clone(value)),
            Held::Nothing | Held::Fault(_) => None,
        };
        let name = node.name.clone();
        let run = state.begin(index, scope.epoch);
        state.waits(waiter, Some(index));
        drop(state);
        let inner = scope.nested(index, run);
        let result = on_a_stack(&inner, || compute_contained(&*compute, &inner, old.as_ref(), &name));
        drop(old);
        drop(compute);
        if let Some(causes) = causes {
            self.tell(&name, causes, 0, if result.is_ok() { Outcome::Finished } else { Outcome::Failed });
        }
        let mut state = self.lock();
        state.waits(waiter, None);
        let gone = if state.alive(id) { state.evaluated(index, scope.epoch, result) } else { None };
        if state.waiters > 0 {
            self.changed.notify_all();
        }
        if gone.is_some() {
            drop(state);
            drop(gone);
            state = self.lock();
        }
        Ok(state)
    }

    /// Computes a value for an epoch that is over, beside the present one.
    fn evaluate_past(self: &Arc<Self>, scope: &Scope, index: u32) -> Held {
        let (compute, name) = {
            let state = self.lock();
            let node = &state.nodes[index];
            let Body::Source(source) = &node.body else { return Held::Nothing };
            (source.compute.clone(), node.name.clone())
        };
        let Some(compute) = compute else { return Held::Nothing };
        if scope.depth > DEPTH_MAX {
            return Held::Fault(Fault::cycle(vec![name.to_string()]));
        }
        let inner = scope.nested_past();
        let result = on_a_stack(&inner, || compute_contained(&*compute, &inner, None, &name));
        let held = match result {
            Ok(Some(value)) => Held::Value(value),
            Ok(None) => Held::Nothing,
            Err(fault) => Held::Fault(fault),
        };
        let past = Past { from: scope.epoch, until: scope.epoch + 1, held: held.clone() };
        let back = self.lock().keep(index, past);
        drop(back);
        held
    }

    pub(crate) fn tell(&self, name: &str, causes: Vec<Cause>, attempt: u32, outcome: Outcome) {
        if let Some(audit) = &self.audit {
            audit(&crate::audit::Rerun { name: name.to_owned(), causes, attempt, outcome });
        }
    }
}

impl State {
    fn note_read(&mut self, scope: &Scope, index: u32, tracked: bool) {
        let Some(reader) = scope.reader else { return };
        if tracked {
            return self.track(reader.index, reader.run, scope.epoch, index);
        }
        let of = &mut self.nodes[reader.index];
        if let Body::Source(of) = &mut of.body {
            of.peeked = true;
        }
    }

    /// A retry looks again at what failed before it began.
    fn doubt_fault(&mut self, index: u32, scope: &Scope) {
        let node = &self.nodes[index];
        let Body::Source(source) = &node.body else { return };
        if matches!(source.held, Held::Fault(_)) && !node.running && node.run < scope.root {
            self.mark_one(index, Status::Dirty, scope.epoch);
        }
    }

    fn unsettled_dep(&self, index: u32, next: u32, epoch: u64) -> Option<(u32, u32)> {
        let deps = &self.nodes[index].deps;
        let unsettled = deps.iter().enumerate().skip(next as usize);
        let mut unsettled = unsettled.filter(|(_, dep)| !settled_at(&self.nodes[dep.node], epoch));
        unsettled.next().map(|(place, dep)| (dep.node, super::state::length(place)))
    }

    /// All that it read is as it was: so is the node, until one of them is not.
    fn unchanged(&mut self, index: u32, epoch: u64) -> Option<Past> {
        let since = self.nodes[index].deps.iter().map(|dep| settled_until(&self.nodes[dep.node])).min();
        let since = since.unwrap_or(NEVER);
        let node = &mut self.nodes[index];
        let before = node.dirty_since;
        node.dirty_since = since;
        if since == NEVER {
            node.status = Status::Clean;
        }
        self.held_again(index, before, epoch)
    }

    /// What is held is right again. In between it may have been something else, of which nobody knows: a run that sees
    /// that moment must ask.
    fn held_again(&mut self, index: u32, before: u64, epoch: u64) -> Option<Past> {
        let from = self.known_from(index, epoch);
        if !self.pins.any_in(before, from) {
            return None;
        }
        let Body::Source(source) = &mut self.nodes[index].body else { return None };
        let past = Past { from: source.from, until: before, held: source.held.clone() };
        source.from = from;
        self.keep(index, past)
    }

    /// Since when all that a value is made of is what it was in this epoch: since then it is the same.
    fn known_from(&self, index: u32, epoch: u64) -> u64 {
        let node = &self.nodes[index];
        match &node.body {
            Body::Source(source) if !source.peeked => {}
            Body::Source(_) | Body::Effect { .. } | Body::Vacant { .. } => return epoch,
        }
        let since = node.deps.iter().map(|dep| match &self.nodes[dep.node].body {
            Body::Source(source) if source.from <= epoch => source.from,
            Body::Source(_) | Body::Effect { .. } | Body::Vacant { .. } => epoch,
        });
        since.max().unwrap_or(0)
    }

    /// Ends an evaluation.
    fn evaluated(&mut self, index: u32, epoch: u64, result: Result<Option<Value>, Fault>) -> Option<Past> {
        self.end(index, result.is_ok());
        let from = self.known_from(index, epoch);
        let Body::Source(source) = &mut self.nodes[index].body else { return None };
        let since = source.started_since;
        let held = match result {
            Ok(None) => return self.held_again(index, since, epoch),
            Ok(Some(value)) => Held::Value(value),
            Err(fault) => Held::Fault(fault),
        };
        let again = matches!((&source.held, &held), (Held::Fault(_), Held::Fault(_)));
        let past = Past { from: source.from, until: since, held: std::mem::replace(&mut source.held, held) };
        let from = from.max(since);
        source.from = from;
        if !again {
            source.changed_at = from;
            self.mark_subscribers(index, from);
        }
        self.keep(index, past)
    }

    fn waits(&mut self, waiter: Option<u32>, on: Option<u32>) {
        let Some(waiter) = waiter.filter(|waiter| self.nodes.find(*waiter).is_some()) else { return };
        if let Body::Source(source) = &mut self.nodes[waiter].body {
            source.waits_for = on;
        }
    }

    /// The names of a circle, if what `waiter` wants is waiting for `waiter` in turn.
    fn cycle(&self, waiter: u32, frames: &[(u32, u32)], wanted: u32) -> Option<Vec<String>> {
        let mut path = vec![waiter];
        path.extend(frames.iter().map(|(index, _)| *index));
        let mut at = wanted;
        while at != waiter {
            let Body::Source(source) = &self.nodes.find(at)?.body else { return None };
            at = source.waits_for?;
            path.push(at);
        }
        path.dedup();
        if path.len() == 1 {
            path.push(waiter);
        }
        Some(path.iter().map(|index| self.nodes[*index].name.to_string()).collect())
    }

    /// What a node read that is newer than its last run.
    pub(crate) fn causes(&self, index: u32) -> Vec<Cause> {
        let node = &self.nodes[index];
        let deps = node.deps.iter().map(|dep| &self.nodes[dep.node]);
        deps.filter_map(|dep| match &dep.body {
            Body::Source(source) if source.changed_at > node.as_of => {
                Some(Cause { name: dep.name.to_string(), version: source.changed_at })
            }
            Body::Source(_) | Body::Vacant { .. } | Body::Effect { .. } => None,
        })
        .collect()
    }
}

/// Whether what a node has is right in this epoch.
fn settled_at(node: &Node, epoch: u64) -> bool {
    match &node.body {
        Body::Source(source) if matches!(source.held, Held::Nothing) => false,
        Body::Source(_) => epoch < settled_until(node),
        Body::Effect { .. } => node.status == Status::Clean,
        Body::Vacant { .. } => true,
    }
}

/// The first epoch in which what a node has may be wrong.
fn settled_until(node: &Node) -> u64 {
    match &node.body {
        Body::Source(source) if node.running => source.started_since,
        Body::Source(_) | Body::Vacant { .. } | Body::Effect { .. } => node.dirty_since,
    }
}

fn compute_contained(
    compute: &Compute,
    scope: &Scope,
    old: Option<&Value>,
    name: &str,
) -> Result<Option<Value>, Fault> {
    contain(|| compute(scope, old)).unwrap_or_else(|()| Err(Fault::Panicked { name: name.to_owned() }))
}

/// Calls on a stack that has room for the next evaluations.
fn on_a_stack(
    scope: &Scope,
    compute: impl FnOnce() -> Result<Option<Value>, Fault> + Send,
) -> Result<Option<Value>, Fault> {
    if !BACKGROUND || !scope.depth.is_multiple_of(NESTED_MAX) {
        return compute();
    }
    std::thread::scope(|threads| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(threads, compute);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Fault::TooDeep),
        }
    })
}
