//! P7: from a change to its effects, against a bare loop over closures and two other crates.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use futures_signals::signal::{Mutable, SignalExt};
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use handover_signal::{Effect, Graph, Signal};
use reactive_graph::effect::{ImmediateEffect, batch};
use reactive_graph::signal::ArcRwSignal;
use reactive_graph::traits::{Get, Set};

use crate::memory::resident_mib;
use crate::report::{Budget, Findings};
use crate::{Setting, Trouble};

/// So many runs of effects make a round, whatever the number of subscribers.
const RUNS: usize = 50_000;
/// The best of so many rounds counts: others work on this machine as well.
const ROUNDS: usize = 9;
/// With more subscribers than this, a round of a peer takes minutes.
const PEERS_MAX: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);
const BATCH: usize = 1_000;
/// A budget that says *flat*: what a subscriber of many costs, against one of a few.
const FLAT: f64 = 1.5;

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let mut found = Findings::default();
    let many = if setting.smoke { 1_000 } else { 1_000_000 };
    // First, while nothing is in memory that was freed.
    memory(&mut found, many)?;
    one(&mut found, setting);
    let counts = [10, 100, 1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|count| *count <= many);
    let mut few = f64::NAN;
    for count in counts {
        let ns = fan_out(&mut found, setting, count);
        if count == 1_000 {
            few = ns;
        }
        if count == 1_000_000 {
            let what = "1,000,000 subscribers, each";
            found.compare("P7", (what, ns, "ns"), ("of 1,000 subscribers", few), Budget::RatioMax(FLAT));
        }
    }
    thousand(&mut found, setting);
    found
        .note(format!("the best of {ROUNDS} rounds, turn and turn about; each effect reads the signal and adds it up"));
    found
        .note("reactive_graph: `ImmediateEffect` on `ArcRwSignal`, its kind of effect that runs on the setting thread");
    found.note("futures-signals: `for_each` on a `Mutable`, polled in a `FuturesUnordered` on the setting thread");
    found.note("a set of ours takes an `Arc` for the new value; a peer's copies a number. signalpy was not run");
    Ok(found)
}

/// Something that can be set, and whose subscribers add up what they read.
trait Subject {
    fn set(&mut self, value: usize);

    /// Waits for what another thread took over.
    fn settle(&self) {}
}

struct Bare {
    closures: Vec<Box<dyn Fn(usize)>>,
}

struct Ours {
    graph: Graph,
    signal: Signal<usize>,
    _effects: Vec<Effect>,
}

struct Leptos {
    signal: ArcRwSignal<usize>,
    _effects: Vec<ImmediateEffect>,
}

type Subscriber = Pin<Box<dyn Future<Output = ()>>>;

struct Futures {
    signal: Mutable<usize>,
    tasks: FuturesUnordered<Subscriber>,
}

impl Bare {
    fn new(count: usize, sum: &Arc<AtomicUsize>) -> Self {
        let closure = |_| {
            let sum = Arc::clone(sum);
            Box::new(move |value| {
                black_box(sum.fetch_add(value, Ordering::Relaxed));
            }) as Box<dyn Fn(usize)>
        };
        Self { closures: (0..count).map(closure).collect() }
    }
}

impl Subject for Bare {
    fn set(&mut self, value: usize) {
        for closure in &self.closures {
            closure(value);
        }
    }
}

impl Ours {
    fn new(count: usize, sum: &Arc<AtomicUsize>) -> Self {
        let graph = Graph::new();
        let signal = graph.signal("signal", 0);
        let effect = |_| {
            let (signal, sum) = (signal.clone(), Arc::clone(sum));
            graph.effect("effect", move |scope| {
                sum.fetch_add(*signal.get(scope), Ordering::Relaxed);
            })
        };
        let effects = (0..count).map(effect).collect();
        Self { graph, signal, _effects: effects }
    }
}

impl Subject for Ours {
    fn set(&mut self, value: usize) {
        self.signal.set(value);
    }

    fn settle(&self) {
        self.graph.settled(PATIENCE);
    }
}

impl Leptos {
    fn new(count: usize, sum: &Arc<AtomicUsize>) -> Self {
        let signal = ArcRwSignal::new(0);
        let effect = |_| {
            let (signal, sum) = (signal.clone(), Arc::clone(sum));
            ImmediateEffect::new(move || {
                sum.fetch_add(signal.get(), Ordering::Relaxed);
            })
        };
        let effects = (0..count).map(effect).collect();
        Self { signal, _effects: effects }
    }
}

impl Subject for Leptos {
    fn set(&mut self, value: usize) {
        self.signal.set(value);
    }
}

impl Futures {
    fn new(count: usize, sum: &Arc<AtomicUsize>) -> Self {
        let signal = Mutable::new(0);
        let subscriber = |_| {
            let sum = Arc::clone(sum);
            let each = signal.signal().for_each(move |value| {
                sum.fetch_add(value, Ordering::Relaxed);
                std::future::ready(())
            });
            Box::pin(each) as Subscriber
        };
        let tasks = (0..count).map(subscriber).collect();
        let mut subject = Self { signal, tasks };
        subject.poll();
        subject
    }

    fn poll(&mut self) {
        // All that were woken: none of them ends.
        let _ = Pin::new(&mut self.tasks).poll_next(&mut Context::from_waker(Waker::noop()));
    }
}

impl Subject for Futures {
    fn set(&mut self, value: usize) {
        self.signal.set(value);
        self.poll();
    }
}

/// Nanoseconds for each run of a subscriber; the best of the rounds, by subject.
fn time<const N: usize>(
    setting: &Setting,
    count: usize,
    sum: &Arc<AtomicUsize>,
    mut subjects: [&mut dyn Subject; N],
) -> [f64; N] {
    let sets = if setting.smoke { 2 } else { (RUNS / count).max(1) };
    let mut best = [f64::INFINITY; N];
    let mut value = 0;
    for _ in 0..ROUNDS {
        for (subject, best) in subjects.iter_mut().zip(&mut best) {
            let before = sum.load(Ordering::Relaxed);
            let mut expected = 0_usize;
            let start = Instant::now();
            for _ in 0..sets {
                value += 1;
                expected += value;
                subject.set(value);
            }
            subject.settle();
            let ns = start.elapsed().as_nanos() as f64 / (sets * count) as f64;
            assert_eq!(sum.load(Ordering::Relaxed) - before, expected * count, "a subscriber was left out");
            *best = best.min(ns);
        }
    }
    best
}

/// Nanoseconds for each subscriber: ours, a bare loop, reactive_graph, futures-signals.
fn race(setting: &Setting, count: usize) -> [f64; 4] {
    let sum = Arc::new(AtomicUsize::new(0));
    let (mut ours, mut bare) = (Ours::new(count, &sum), Bare::new(count, &sum));
    let (mut leptos, mut futures) = (Leptos::new(count, &sum), Futures::new(count, &sum));
    time(setting, count, &sum, [&mut ours, &mut bare, &mut leptos, &mut futures])
}

/// As [`race`], without the peers.
fn alone(setting: &Setting, count: usize) -> [f64; 4] {
    let sum = Arc::new(AtomicUsize::new(0));
    let (mut ours, mut bare) = (Ours::new(count, &sum), Bare::new(count, &sum));
    let [ours, bare] = time(setting, count, &sum, [&mut ours, &mut bare]);
    [ours, bare, f64::NAN, f64::NAN]
}

fn one(found: &mut Findings, setting: &Setting) {
    let [ours, bare, leptos, futures] = race(setting, 1);
    let what = ("set → effect", ours, "ns");
    found.compare("P7", what, ("calling a closure", bare), Budget::Max(1_000.0));
    found.compare("P7", what, ("reactive_graph", leptos), Budget::RatioMax(1.0));
    found.compare("P7", what, ("futures-signals", futures), Budget::RatioMax(1.0));
}

fn fan_out(found: &mut Findings, setting: &Setting, count: usize) -> f64 {
    let [ours, bare, leptos, futures] = if count > PEERS_MAX { alone(setting, count) } else { race(setting, count) };
    let what = format!("{count} subscribers, each");
    let what = (what.as_str(), ours, "ns");
    found.compare("P7", what, ("a bare loop over closures", bare), Budget::Max(150.0));
    if count > PEERS_MAX {
        return ours;
    }
    found.compare("P7", what, ("reactive_graph", leptos), Budget::RatioMax(1.0));
    found.compare("P7", what, ("futures-signals", futures), Budget::RatioMax(1.0));
    ours
}

/// A batch of a thousand signals that one effect reads: for each signal.
fn thousand(found: &mut Findings, setting: &Setting) {
    let graph = Graph::new();
    let ours: Vec<Signal<usize>> = (0..BATCH).map(|_| graph.signal("signal", 0)).collect();
    let theirs: Vec<ArcRwSignal<usize>> = (0..BATCH).map(|_| ArcRwSignal::new(0)).collect();
    let sum = Arc::new(AtomicUsize::new(0));
    let _effect = {
        let (ours, sum) = (ours.clone(), Arc::clone(&sum));
        graph.effect("sum", move |scope| {
            let all: usize = ours.iter().map(|signal| *signal.get(scope)).sum();
            sum.fetch_add(all, Ordering::Relaxed);
        })
    };
    let _their_effect = {
        let (theirs, sum) = (theirs.clone(), Arc::clone(&sum));
        ImmediateEffect::new(move || {
            let all: usize = theirs.iter().map(Get::get).sum();
            sum.fetch_add(all, Ordering::Relaxed);
        })
    };
    let mut best = [f64::INFINITY; 2];
    let batches = if setting.smoke { 2 } else { RUNS / BATCH };
    for round in 0..ROUNDS {
        let values = (round * batches + 1)..=((round + 1) * batches);
        let before = sum.load(Ordering::Relaxed);
        let start = Instant::now();
        for value in values.clone() {
            let done = graph.batch(|| {
                ours.iter().for_each(|signal| signal.set(value));
                Ok::<(), std::convert::Infallible>(())
            });
            match done {
                Ok(()) => {}
            }
        }
        best[0] = best[0].min(start.elapsed().as_nanos() as f64 / (batches * BATCH) as f64);
        let middle = sum.load(Ordering::Relaxed);
        let start = Instant::now();
        for value in values {
            batch(|| theirs.iter().for_each(|signal| signal.set(value)));
        }
        best[1] = best[1].min(start.elapsed().as_nanos() as f64 / (batches * BATCH) as f64);
        assert_eq!(sum.load(Ordering::Relaxed) - middle, middle - before, "a batch ran an effect twice, or never");
    }
    let what = "a batch of 1,000 signals that one effect reads, each";
    found.compare("P7", (what, best[0], "ns"), ("reactive_graph", best[1]), Budget::RatioMax(1.0));
}

/// What an effect holds in memory, its closure and its handle included.
fn memory(found: &mut Findings, count: usize) -> Result<(), Trouble> {
    let resident = || resident_mib(std::process::id());
    let sum = Arc::new(AtomicUsize::new(0));
    let before = resident()?;
    let ours = Ours::new(count, &sum);
    let bytes = (resident()? - before) * 1_048_576.0 / count as f64;
    drop(black_box(ours));
    let what = ("memory of an effect with a closure of two pointers, resident", bytes, "B");
    found.figure("P7", what, Some(256.0));
    Ok(())
}
