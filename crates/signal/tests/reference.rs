//! The graph against a naive one, which keeps no state but the signals and computes all anew at each look.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use handover_signal::{Computed, Effect, Fault, Graph, Signal};
use proptest::prelude::*;

const SIGNALS: usize = 4;

/// What one step does.
#[derive(Clone, Debug)]
enum Step {
    Set(usize, i32),
    /// All at once; it fails if the flag says so.
    Batch(Vec<(usize, i32)>, bool),
    /// A reader comes by and asks.
    Ask(usize),
    Drop(usize),
    Watch(usize),
}

/// How a value is made: of signals and of values before it, in a way that depends on the first one's value.
#[derive(Clone, Debug)]
struct Formula {
    first: usize,
    if_odd: Vec<usize>,
    if_even: Vec<usize>,
    /// A value is computed to one of so many, so that many changes come to nothing.
    modulus: i32,
    /// The sum that makes it fail.
    fails_at: i32,
}

fn formula() -> impl Strategy<Value = Formula> {
    let inputs = || prop::collection::vec(0..100_usize, 0..3);
    (0..100_usize, inputs(), inputs(), 2..6_i32, 0..12_i32)
        .prop_map(|(first, if_odd, if_even, modulus, fails_at)| Formula { first, if_odd, if_even, modulus, fails_at })
}

fn step() -> impl Strategy<Value = Step> {
    let write = || (0..SIGNALS, 0..4_i32);
    prop_oneof![
        4 => write().prop_map(|(signal, value)| Step::Set(signal, value)),
        3 => (prop::collection::vec(write(), 1..5), any::<bool>()).prop_map(|(writes, well)| Step::Batch(writes, well)),
        2 => (0..100_usize).prop_map(Step::Ask),
        1 => (0..100_usize).prop_map(Step::Drop),
        2 => (0..100_usize).prop_map(Step::Watch),
    ]
}

/// The value of a source, computed from nothing but the signals: signals come first, then formulas.
fn naive(signals: &[i32], formulas: &[Formula], source: usize) -> Option<i32> {
    if source < SIGNALS {
        return Some(signals[source]);
    }
    let formula = &formulas[source - SIGNALS];
    let first = naive(signals, formulas, formula.first % source)?;
    let rest = if first % 2 == 1 { &formula.if_odd } else { &formula.if_even };
    let mut sum = first;
    for input in rest {
        sum += naive(signals, formulas, input % source)?;
    }
    (sum != formula.fails_at).then(|| sum % formula.modulus)
}

#[derive(Clone)]
enum Source {
    Signal(Signal<i32>),
    Computed(Computed<i32>),
}

impl Source {
    fn get(&self, scope: &handover_signal::Scope) -> Result<i32, Fault> {
        match self {
            Self::Signal(signal) => Ok(*signal.get(scope)),
            Self::Computed(computed) => computed.get(scope).map(|value| *value),
        }
    }
}

fn build(graph: &Graph, formulas: &[Formula]) -> Vec<Source> {
    let mut sources: Vec<Source> = (0..SIGNALS).map(|_| Source::Signal(graph.signal("signal", 0))).collect();
    for formula in formulas {
        let (before, formula) = (sources.clone(), formula.clone());
        let at = before.len();
        sources.push(Source::Computed(graph.try_computed("formula", move |scope| {
            let first = before[formula.first % at].get(scope)?;
            let rest = if first % 2 == 1 { &formula.if_odd } else { &formula.if_even };
            let mut sum = first;
            for input in rest {
                sum += before[input % at].get(scope)?;
            }
            if sum == formula.fails_at { Err("it came to that".into()) } else { Ok(sum % formula.modulus) }
                .map_err(|error: Box<dyn std::error::Error + Send + Sync>| error)
        })));
    }
    sources
}

type Log = Arc<Mutex<Vec<Option<i32>>>>;

fn watch(graph: &Graph, source: &Source) -> (Effect, Log) {
    let log = Log::default();
    let (source, into) = (source.clone(), Arc::clone(&log));
    (graph.effect("watcher", move |scope| into.lock().unwrap().push(source.get(scope).ok())), log)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// After every step each watcher has seen exactly the changes of what it watches: none left out, none doubled, and
    /// nothing that was at no moment so.
    #[test]
    fn watchers_see_each_change_once(
        formulas in prop::collection::vec(formula(), 1..8),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let graph = Graph::new();
        let sources = build(&graph, &formulas);
        let mut signals = vec![0; SIGNALS];
        let mut watchers: Vec<(usize, Effect, Log, Vec<Option<i32>>)> = Vec::new();
        let put = |signal: usize, value: i32| match &sources[signal] {
            Source::Signal(signal) => signal.set(value),
            Source::Computed(_) => {}
        };
        for step in steps {
            match step {
                Step::Set(signal, value) => {
                    put(signal, value);
                    signals[signal] = value;
                }
                Step::Batch(writes, well) => {
                    let done = graph.batch(|| {
                        for (signal, value) in &writes {
                            put(*signal, *value);
                        }
                        if well { Ok(()) } else { Err(()) }
                    });
                    prop_assert_eq!(done.is_ok(), well);
                    for (signal, value) in writes.into_iter().filter(|_| well) {
                        signals[signal] = value;
                    }
                }
                Step::Ask(source) => {
                    let source = source % sources.len();
                    let found = graph.snapshot(|scope| sources[source].get(scope)).ok();
                    prop_assert_eq!(found, naive(&signals, &formulas, source));
                }
                Step::Drop(watcher) => {
                    if !watchers.is_empty() {
                        drop(watchers.remove(watcher % watchers.len()));
                    }
                }
                Step::Watch(source) => {
                    let source = source % sources.len();
                    let (effect, log) = watch(&graph, &sources[source]);
                    watchers.push((source, effect, log, Vec::new()));
                }
            }
            for (source, _, log, expected) in &mut watchers {
                let now = naive(&signals, &formulas, *source);
                if expected.last() != Some(&now) {
                    expected.push(now);
                }
                prop_assert_eq!(&*log.lock().unwrap(), expected);
            }
        }
        drop(watchers);
        drop(sources);
        prop_assert_eq!(graph.stats(), handover_signal::Stats::default());
    }
}
