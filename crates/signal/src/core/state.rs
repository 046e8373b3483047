//! What the lock guards: nodes, their edges, what is due, and which past is still in use.

use std::any::Any;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::past::{Past, Pins};
use super::timers::Timers;
use crate::effect::Extra;
use crate::fault::{Failure, Fault};
use crate::scope::Scope;
use crate::task::Notify;

/// A value of any type that a node holds.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;
/// What a person called a node.
pub(crate) type Name = Cow<'static, str>;
/// Later than every epoch.
pub(crate) const NEVER: u64 = u64::MAX;

/// How a computed value is made: `None` if it equals the one that is given.
pub(crate) type Compute = dyn Fn(&Scope, Option<&Value>) -> Result<Option<Value>, Fault> + Send + Sync;
/// What an effect on the setter's thread does.
pub(crate) type Run = dyn FnMut(&Scope) -> Result<(), Failure> + Send;

/// Which node. A place is used again under another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// One end of a subscription: the node at the other end, and the place of this subscription in its list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) node: u32,
    pub(crate) back: u32,
}

/// What a node knows of what is upstream of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Nothing changed since the last run.
    Clean,
    /// Something further up changed; whether it comes through is not known.
    Check,
    /// Something that was read changed.
    Dirty,
}

/// A signal, a computed value or an effect. Two cache lines: a million of them are walked at each change.
pub(crate) struct Node {
    pub(crate) generation: u32,
    /// How many of the last run's dependencies this run has read again, in the same order.
    pub(crate) cursor: u32,
    /// How many dependencies the last run had: those behind them are of the present run.
    pub(crate) last_deps: u32,
    pub(crate) status: Status,
    /// It is in the queue.
    pub(crate) queued: bool,
    /// A thread that took it from the queue is finding out whether it must run.
    pub(crate) claimed: bool,
    pub(crate) running: bool,
    pub(crate) name: Name,
    pub(crate) deps: SmallVec<[Edge; 2]>,
    /// The first epoch for which the last run does not speak; [`NEVER`] if it is clean.
    pub(crate) dirty_since: u64,
    /// The epoch that the present or last run sees.
    pub(crate) as_of: u64,
    /// The present or last run, unique among all.
    pub(crate) run: u64,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Vacant { next: u32 },
    Source(Box<Source>),
    Effect { work: Work, extra: Option<Box<Extra>> },
}

/// What an effect does.
pub(crate) enum Work {
    /// On the thread that drains the queue. `None` while it runs.
    Inline(Option<Box<Run>>),
    /// A task somewhere else, which is told.
    Task(Arc<Notify>),
}

/// A signal or a computed value.
pub(crate) struct Source {
    pub(crate) subscribers: Vec<Edge>,
    pub(crate) held: Held,
    /// The epoch in which the value came to be.
    pub(crate) changed_at: u64,
    /// From when on `held` is known to be the value.
    pub(crate) from: u64,
    /// The last evaluation looked at something that is not among its dependencies.
    pub(crate) peeked: bool,
    /// The last run that subscribed, so that reading twice costs little.
    pub(crate) reader: u64,
    /// How it is computed; `None` for a signal.
    pub(crate) compute: Option<Arc<Compute>>,
    /// `dirty_since` of when the present evaluation began.
    pub(crate) started_since: u64,
    /// The node whose evaluation this one's is waiting for.
    pub(crate) waits_for: Option<u32>,
}

/// What a source has to show.
#[derive(Clone)]
pub(crate) enum Held {
    /// It was never evaluated.
    Nothing,
    Value(Value),
    Fault(Fault),
}

/// All that the lock guards.
pub(crate) struct State {
    /// Grows with every commit.
    pub(crate) epoch: u64,
    pub(crate) runs: u64,
    pub(crate) nodes: Slab,
    /// Effects that are due, oldest first.
    pub(crate) queue: VecDeque<u32>,
    /// How many effects were ever put into the queue, and taken out.
    pub(crate) pushed: u64,
    pub(crate) popped: u64,
    /// How many effects are claimed or running.
    pub(crate) active: usize,
    pub(crate) edges: usize,
    pub(crate) pins: Pins,
    /// Values that are over, and are still seen by a run that began before.
    pub(crate) past: FxHashMap<u32, Vec<Past>>,
    pub(crate) timers: Timers,
    /// The run that caused the present commit, and the rounds of effects which were caused by effects.
    pub(crate) cause: u64,
    pub(crate) rounds: FxHashMap<u32, Round>,
    /// How many threads wait for an evaluation, or for rest.
    pub(crate) waiters: usize,
    pub(crate) watcher: super::drain::Watcher,
    marking: Vec<u32>,
}

/// How often an effect was run by what came of its own chain of causes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Round {
    pub(crate) cause: u64,
    pub(crate) count: u32,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 1,
            runs: 0,
            nodes: Slab::default(),
            queue: VecDeque::new(),
            pushed: 0,
            popped: 0,
            active: 0,
            edges: 0,
            pins: Pins::default(),
            past: FxHashMap::default(),
            timers: Timers::default(),
            cause: 0,
            rounds: FxHashMap::default(),
            waiters: 0,
            watcher: super::drain::Watcher::default(),
            marking: Vec::new(),
        }
    }

    pub(crate) fn next_run(&mut self) -> u64 {
        self.runs += 1;
        self.runs
    }

    /// Whether this is still the node that it was.
    pub(crate) fn alive(&self, id: Id) -> bool {
        self.nodes.find(id.index).is_some_and(|node| node.generation == id.generation)
    }

    /// Begins a run: what is read from here on are its dependencies.
    pub(crate) fn begin(&mut self, index: u32, epoch: u64) -> u64 {
        let run = self.next_run();
        let node = &mut self.nodes[index];
        node.status = Status::Clean;
        node.dirty_since = NEVER;
        node.claimed = false;
        node.running = true;
        node.as_of = epoch;
        node.run = run;
        node.cursor = 0;
        node.last_deps = length(node.deps.len());
        run
    }

    /// Notes that a run read this source: it is subscribed, or stays so.
    pub(crate) fn track(&mut self, reader: u32, run: u64, epoch: u64, source: u32) {
        let node = &mut self.nodes[reader];
        if !node.running || node.run != run {
            return;
        }
        if node.cursor < node.last_deps && node.deps[node.cursor as usize].node == source {
            node.cursor += 1;
            let Body::Source(of) = &mut self.nodes[source].body else { return };
            of.reader = run;
        } else {
            let Body::Source(of) = &mut self.nodes[source].body else { return };
            if of.reader == run {
                return;
            }
            of.reader = run;
            self.subscribe(reader, source);
        }
        // It saw the past: it must run again for what came after.
        let of = &self.nodes[source];
        let Body::Source(value) = &of.body else { return };
        let (changed_at, status, dirty_since) = (value.changed_at, of.status, of.dirty_since);
        if changed_at > epoch {
            self.mark_one(reader, Status::Dirty, changed_at);
        } else if status != Status::Clean && dirty_since > epoch {
            self.mark_one(reader, Status::Check, dirty_since);
        }
    }

    fn subscribe(&mut self, reader: u32, source: u32) {
        let place = length(self.nodes[reader].deps.len());
        let Body::Source(of) = &mut self.nodes[source].body else { return };
        let back = length(of.subscribers.len());
        of.subscribers.push(Edge { node: reader, back: place });
        self.nodes[reader].deps.push(Edge { node: source, back });
        self.edges += 1;
    }

    /// Takes a subscription off its source's list. The reader's list is the caller's.
    fn unsubscribe(&mut self, dep: Edge) {
        let Body::Source(of) = &mut self.nodes[dep.node].body else { return };
        of.subscribers.swap_remove(dep.back as usize);
        self.edges -= 1;
        if let Some(moved) = of.subscribers.get(dep.back as usize).copied() {
            self.nodes[moved.node].deps[moved.back as usize].back = dep.back;
        } else if of.subscribers.is_empty() {
            of.subscribers = Vec::new();
        }
    }

    /// Ends a run. If it went well, its dependencies are those that it read; otherwise the old ones are kept as well.
    pub(crate) fn end(&mut self, index: u32, well: bool) {
        let node = &mut self.nodes[index];
        node.running = false;
        let (cursor, last) = (node.cursor as usize, node.last_deps as usize);
        if well {
            if cursor < last {
                self.drop_deps(index, |place, _| place >= cursor && place < last);
            }
            return;
        }
        let mut seen = rustc_hash::FxHashSet::default();
        self.drop_deps(index, |_, dep| !seen.insert(dep.node));
        // Old dependencies that nobody looked at may have been waiting to be: the reader waits with them.
        let unsure = self.nodes[index].deps.iter().map(|dep| self.nodes[dep.node].dirty_since).min().unwrap_or(NEVER);
        if unsure != NEVER {
            self.mark_one(index, Status::Check, unsure);
        }
    }

    /// Takes off those that are `gone`. All are unsubscribed before any place changes, for a source that is left may
    /// move another of this reader's subscriptions.
    fn drop_deps(&mut self, index: u32, mut gone: impl FnMut(usize, Edge) -> bool) {
        let mut left: SmallVec<[bool; 16]> = SmallVec::new();
        for place in 0..self.nodes[index].deps.len() {
            let dep = self.nodes[index].deps[place];
            left.push(gone(place, dep));
            if left[place] {
                self.unsubscribe(dep);
            }
        }
        let deps = std::mem::take(&mut self.nodes[index].deps);
        let mut kept: SmallVec<[Edge; 2]> = SmallVec::new();
        for (_, dep) in deps.into_iter().enumerate().filter(|(place, _)| !left[*place]) {
            if let Body::Source(of) = &mut self.nodes[dep.node].body {
                of.subscribers[dep.back as usize].back = length(kept.len());
            }
            kept.push(dep);
        }
        self.nodes[index].deps = kept;
    }

    /// Marks all that read this source, and all that is further down. Effects come into the queue.
    pub(crate) fn mark_subscribers(&mut self, source: u32, at: u64) {
        let mut stack = std::mem::take(&mut self.marking);
        self.mark_direct(source, Status::Dirty, at, &mut stack);
        self.mark_rest(stack, at);
    }

    /// Marks one node, and all that is further down.
    pub(crate) fn mark_one(&mut self, index: u32, level: Status, at: u64) {
        let mut stack = std::mem::take(&mut self.marking);
        self.mark(index, level, at, &mut stack);
        self.mark_rest(stack, at);
    }

    fn mark_rest(&mut self, mut stack: Vec<u32>, at: u64) {
        while let Some(next) = stack.pop() {
            self.mark_direct(next, Status::Check, at, &mut stack);
        }
        self.marking = stack;
    }

    fn mark_direct(&mut self, source: u32, level: Status, at: u64, stack: &mut Vec<u32>) {
        let Body::Source(of) = &mut self.nodes[source].body else { return };
        let subscribers = std::mem::take(&mut of.subscribers);
        for edge in &subscribers {
            self.mark(edge.node, level, at, stack);
        }
        if let Body::Source(of) = &mut self.nodes[source].body {
            of.subscribers = subscribers;
        }
    }

    fn mark(&mut self, index: u32, level: Status, at: u64, stack: &mut Vec<u32>) {
        let cause = self.cause;
        let node = &mut self.nodes[index];
        if node.running && node.as_of >= at {
            return; // Its run sees what changed.
        }
        node.dirty_since = node.dirty_since.min(at);
        if node.status >= level {
            return;
        }
        let first = node.status == Status::Clean;
        node.status = level;
        match &node.body {
            Body::Source(_) if first => stack.push(index),
            Body::Effect { work, .. } => {
                let waits = node.queued || node.claimed || (node.running && matches!(work, Work::Inline(_)));
                if !waits {
                    self.enqueue(index);
                }
                if cause != 0 {
                    let round = self.rounds.entry(index).or_default();
                    if round.cause != cause {
                        *round = Round { cause, count: 0 };
                    }
                } else if !self.rounds.is_empty() {
                    self.rounds.remove(&index);
                }
            }
            Body::Source(_) | Body::Vacant { .. } => {}
        }
    }

    pub(crate) fn enqueue(&mut self, index: u32) {
        self.nodes[index].queued = true;
        self.queue.push_back(index);
        self.pushed += 1;
    }

    /// Takes a node out, with all its subscriptions on either side. What it held is to be dropped when the lock is free.
    pub(crate) fn remove(&mut self, id: Id) -> Option<(Body, Vec<Past>)> {
        if !self.alive(id) {
            return None;
        }
        self.drop_deps(id.index, |_, _| true);
        let subscribers = match &mut self.nodes[id.index].body {
            Body::Source(of) => std::mem::take(&mut of.subscribers),
            Body::Vacant { .. } | Body::Effect { .. } => Vec::new(),
        };
        for edge in subscribers {
            self.forget_dep(edge.node, id.index);
        }
        self.rounds.remove(&id.index);
        let past = self.past.remove(&id.index).unwrap_or_default();
        Some((self.nodes.vacate(id.index), past))
    }

    fn forget_dep(&mut self, reader: u32, source: u32) {
        let node = &mut self.nodes[reader];
        let Some(place) = node.deps.iter().position(|dep| dep.node == source) else { return };
        node.deps.remove(place);
        node.cursor -= u32::from(length(place) < node.cursor);
        node.last_deps -= u32::from(length(place) < node.last_deps);
        self.edges -= 1;
        for place in place..self.nodes[reader].deps.len() {
            let dep = self.nodes[reader].deps[place];
            if let Body::Source(of) = &mut self.nodes[dep.node].body {
                of.subscribers[dep.back as usize].back = length(place);
            }
        }
    }
}

/// Nodes by place, in chunks: a place never moves, and growing copies nothing.
#[derive(Default)]
pub(crate) struct Slab {
    chunks: Vec<Vec<Node>>,
    free: Option<u32>,
    live: usize,
    generation: u32,
}

const CHUNK_BITS: u32 = 9;
const CHUNK: usize = 1 << CHUNK_BITS;

impl Slab {
    pub(crate) fn insert(&mut self, name: Name, status: Status, body: Body) -> Id {
        self.generation = self.generation.wrapping_add(1);
        self.live += 1;
        let node = Node {
            generation: self.generation,
            cursor: 0,
            last_deps: 0,
            status,
            queued: false,
            claimed: false,
            running: false,
            name,
            deps: SmallVec::new(),
            dirty_since: if status == Status::Clean { NEVER } else { 0 },
            as_of: 0,
            run: 0,
            body,
        };
        let index = match self.free {
            Some(index) => {
                let place = &mut self[index];
                let Body::Vacant { next } = place.body else { unreachable!("the list of free places names free ones") };
                *place = node;
                self.free = (next != u32::MAX).then_some(next);
                index
            }
            None => self.push(node),
        };
        Id { index, generation: self.generation }
    }

    fn push(&mut self, node: Node) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let last = self.chunks.len() - 1;
        self.chunks[last].push(node);
        length(before + self.chunks[last].len() - 1)
    }

    fn vacate(&mut self, index: u32) -> Body {
        let next = self.free.unwrap_or(u32::MAX);
        let place = &mut self[index];
        place.name = Name::Borrowed("");
        place.queued = false;
        place.running = false;
        let body = std::mem::replace(&mut place.body, Body::Vacant { next });
        self.free = Some(index);
        self.live -= 1;
        if self.live == 0 {
            // What is left of a crowd is given back.
            self.chunks = Vec::new();
            self.free = None;
        }
        body
    }

    /// The node at a place, if there is one.
    pub(crate) fn find(&self, index: u32) -> Option<&Node> {
        let node = self.chunks.get((index >> CHUNK_BITS) as usize)?.get(index as usize & (CHUNK - 1))?;
        (!matches!(node.body, Body::Vacant { .. })).then_some(node)
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }
}

impl std::ops::Index<u32> for Slab {
    type Output = Node;

    fn index(&self, index: u32) -> &Node {
        &self.chunks[(index >> CHUNK_BITS) as usize][index as usize & (CHUNK - 1)]
    }
}

impl std::ops::IndexMut<u32> for Slab {
    fn index_mut(&mut self, index: u32) -> &mut Node {
        &mut self.chunks[(index >> CHUNK_BITS) as usize][index as usize & (CHUNK - 1)]
    }
}

/// A count as it is kept in a node.
#[expect(clippy::expect_used, reason = "four thousand million nodes do not fit into memory")]
pub(crate) fn length(count: usize) -> u32 {
    u32::try_from(count).expect("a graph has fewer nodes than this")
}
