//! The concurrent core under a scheduler that tries orders of steps: its sources, with locks and threads of shuttle's.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    reason = "the sources of the library, compiled again for the model; they are checked where they belong"
)]

#[path = "../src/audit.rs"]
mod audit;
#[path = "../src/computed.rs"]
mod computed;
#[path = "../src/context.rs"]
mod context;
#[path = "../src/core/mod.rs"]
mod core;
#[path = "../src/effect.rs"]
mod effect;
#[path = "../src/fault.rs"]
mod fault;
#[path = "../src/graph.rs"]
mod graph;
#[path = "../src/scope.rs"]
mod scope;
#[path = "../src/signal.rs"]
mod signal;
#[path = "../src/task.rs"]
mod task;

pub use scope::Scope;

/// As `src/sync.rs`, by the model checker.
mod sync {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread_local;
    pub(crate) const BACKGROUND: bool = false;
}

mod graph_under_test {
    pub(crate) use crate::computed::Computed;
    pub(crate) use crate::graph::{Graph, Stats};
}

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use graph_under_test::{Graph, Stats};
use shuttle::thread;

const ORDERS: usize = 3_000;

/// Tries the scenario in so many orders: at random, and with few, well placed switches.
fn explore(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scenario.clone(), ORDERS);
    shuttle::check_pct(scenario, ORDERS, 3);
}

fn batch(graph: &Graph, f: impl FnOnce()) {
    let done = graph.batch(|| {
        f();
        Ok::<(), Infallible>(())
    });
    match done {
        Ok(()) => {}
    }
}

#[test]
fn nobody_sees_half_of_a_batch() {
    explore(|| {
        let graph = Graph::new();
        let (a, b) = (graph.signal("a", 0), graph.signal("b", 0));
        let both = {
            let (a, b) = (a.clone(), b.clone());
            graph.computed("both", move |scope| (*a.get(scope), *b.get(scope)))
        };
        let effect = {
            let (a, b, both) = (a.clone(), b.clone(), both.clone());
            graph.effect("pair", move |scope| {
                let first = *a.get(scope);
                thread::yield_now();
                let pair = (first, *b.get(scope));
                assert_eq!(pair.0, pair.1);
                assert_eq!(*both.get(scope).unwrap(), pair);
            })
        };
        let setters: Vec<_> = (1..3)
            .map(|value| {
                let (graph, a, b) = (graph.clone(), a.clone(), b.clone());
                thread::spawn(move || batch(&graph, || (a.set(value), b.set(value)).1))
            })
            .collect();
        graph.snapshot(|scope| {
            let first = *b.get(scope);
            assert_eq!((*a.get(scope), *both.get(scope).unwrap()), (first, (first, first)));
        });
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(a.latest(), b.latest());
        assert_eq!(*both.latest().unwrap(), (*a.latest(), *b.latest()));
        drop(effect);
        assert_eq!((graph.stats().past, graph.stats().runs), (0, 0));
        drop((a, b, both));
        assert_eq!(graph.stats(), Stats::default());
    });
}

#[test]
fn the_last_value_reaches_the_effect_and_no_run_overlaps_itself() {
    explore(|| {
        let graph = Graph::new();
        let key = graph.signal("key", 0);
        let (seen, inside) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let twice = {
            let key = key.clone();
            graph.computed("twice", move |scope| *key.get(scope) * 2)
        };
        let effect = {
            let (seen, inside) = (Arc::clone(&seen), Arc::clone(&inside));
            graph.effect("reader", move |scope| {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "it is running already");
                let value = *twice.get(scope).unwrap();
                thread::yield_now();
                seen.store(value, Ordering::SeqCst);
                inside.fetch_sub(1, Ordering::SeqCst);
            })
        };
        let setters: Vec<_> = (1..4)
            .map(|value| {
                let key = key.clone();
                thread::spawn(move || key.set(value))
            })
            .collect();
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(graph.stats().queued, 0);
        assert_eq!(seen.load(Ordering::SeqCst), *key.latest() * 2);
        drop(effect);
    });
}

#[test]
fn a_value_is_computed_once_for_all_who_ask() {
    explore(|| {
        let graph = Graph::new();
        let key = graph.signal("key", 1);
        let runs = Arc::new(AtomicUsize::new(0));
        let costly = {
            let (key, runs) = (key.clone(), Arc::clone(&runs));
            graph.computed("costly", move |scope| {
                runs.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
                *key.get(scope) * 10
            })
        };
        let other = graph.signal("other", 0);
        let askers: Vec<_> = (0..3)
            .map(|number| {
                let (costly, other) = (costly.clone(), other.clone());
                thread::spawn(move || {
                    other.set(number);
                    assert_eq!(*costly.latest().unwrap(), 10);
                })
            })
            .collect();
        for asker in askers {
            asker.join().unwrap();
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn values_that_need_each_other_end_in_a_fault_on_every_thread() {
    use computed::Computed;
    type Slot = Arc<shuttle::sync::Mutex<Option<Computed<i32>>>>;
    explore(|| {
        let graph = Graph::new();
        let slots: [Slot; 2] = [Slot::default(), Slot::default()];
        let values: Vec<Computed<i32>> = [("one", 1), ("other", 0)]
            .into_iter()
            .map(|(name, other)| {
                let slot = Arc::clone(&slots[other]);
                graph.try_computed(name, move |scope| {
                    let other = slot.lock().unwrap().clone().unwrap();
                    other.get(scope).map(|value| *value)
                })
            })
            .collect();
        for (slot, value) in slots.iter().zip(&values) {
            *slot.lock().unwrap() = Some(value.clone());
        }
        let askers: Vec<_> = values
            .iter()
            .cloned()
            .map(|value| thread::spawn(move || assert!(matches!(value.latest(), Err(fault::Fault::Cycle { .. })))))
            .collect();
        for asker in askers {
            asker.join().unwrap();
        }
        for slot in slots {
            let value = slot.lock().unwrap().take();
            drop(value);
        }
    });
}

#[test]
fn an_effect_may_be_dropped_while_another_thread_runs_it() {
    explore(|| {
        let graph = Graph::new();
        let key = graph.signal("key", 0);
        let effects: Vec<_> = (0..2)
            .map(|_| {
                let key = key.clone();
                graph.effect("reader", move |scope| {
                    let _ = key.get(scope);
                    thread::yield_now();
                    scope.on_cleanup(|| {});
                })
            })
            .collect();
        let setter = {
            let key = key.clone();
            thread::spawn(move || (key.set(1), key.set(2)).1)
        };
        drop(effects);
        setter.join().unwrap();
        assert_eq!(graph.stats(), Stats { nodes: 1, ..Stats::default() });
    });
}
