//! What signals, computed values and effects promise, one thread at a time.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use handover_signal::{
    Cause, Computed, Effect, Fault, Graph, Health, Keys, Outcome, Rerun, Retry, Scope, Signal, Stats,
};

const LIMIT: Duration = Duration::from_secs(20);

/// What an effect saw, run by run.
struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Seen<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn push(&self, value: T) {
        self.0.lock().unwrap().push(value);
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn watch<T: Clone + PartialEq + Send + Sync + 'static>(graph: &Graph, signal: &Signal<T>) -> (Effect, Seen<T>) {
    let seen = Seen::new();
    let (signal, into) = (signal.clone(), seen.clone());
    (graph.effect("watch", move |scope| into.push((*signal.get(scope)).clone())), seen)
}

fn ok(f: impl FnOnce()) -> Result<(), ()> {
    f();
    Ok(())
}

#[test]
fn an_effect_runs_at_once_and_for_each_change() {
    let graph = Graph::new();
    let key = graph.signal("key", 1);
    let (effect, seen) = watch(&graph, &key);
    key.set(2);
    key.set(2);
    key.update(|key| key + 1);
    assert_eq!(seen.take(), [1, 2, 3]);
    drop(effect);
    key.set(4);
    assert_eq!(seen.take(), [] as [i32; 0]);
}

#[test]
fn dependencies_are_those_of_the_last_run() {
    let graph = Graph::new();
    let (which, a, b) = (graph.signal("which", true), graph.signal("a", 1), graph.signal("b", 10));
    let seen = Seen::new();
    let _effect = {
        let (which, a, b, seen) = (which.clone(), a.clone(), b.clone(), seen.clone());
        graph.effect("reader", move |scope| seen.push(if *which.get(scope) { *a.get(scope) } else { *b.get(scope) }))
    };
    b.set(11);
    a.set(2);
    which.set(false);
    a.set(3);
    b.set(12);
    assert_eq!(seen.take(), [1, 2, 11, 12]);
    assert_eq!(graph.stats().subscriptions, 2);
}

#[test]
fn a_peek_subscribes_nobody() {
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 1), graph.signal("b", 1));
    let sum = {
        let b = b.clone();
        graph.computed("sum", move |scope| *b.get(scope) + 1)
    };
    let seen = Seen::new();
    let _effect = {
        let (a, b, sum, seen) = (a.clone(), b.clone(), sum.clone(), seen.clone());
        graph.effect("peeks", move |scope| seen.push((*a.get(scope), *b.peek(scope), *sum.peek(scope).unwrap())))
    };
    b.set(2);
    assert_eq!(seen.take(), [(1, 1, 2)]);
    a.set(2);
    assert_eq!(seen.take(), [(2, 2, 3)]);
}

#[test]
fn a_batch_is_one_change_and_there_and_back_is_none() {
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 1), graph.signal("b", 1));
    let seen = Seen::new();
    let _effect = {
        let (a, b, seen) = (a.clone(), b.clone(), seen.clone());
        graph.effect("both", move |scope| seen.push((*a.get(scope), *b.get(scope))))
    };
    graph.batch(|| ok(|| (a.set(2), b.set(2)).1)).unwrap();
    assert_eq!(seen.take(), [(1, 1), (2, 2)]);
    let version = a.version();
    graph.batch(|| ok(|| (a.set(9), a.set(2)).1)).unwrap();
    assert_eq!((seen.take(), a.version()), (vec![], version));
    graph
        .batch(|| {
            a.update(|a| a + 1);
            a.update(|a| a + 1);
            assert_eq!(*a.latest(), 2, "a batch shows nothing before it ends");
            Ok::<(), ()>(())
        })
        .unwrap();
    assert_eq!(seen.take(), [(4, 2)]);
    assert!(a.version() > version);
}

#[test]
fn a_batch_that_fails_or_panics_publishes_nothing() {
    let graph = Graph::new();
    let a = graph.signal("a", 1);
    let (_effect, seen) = watch(&graph, &a);
    let failed = graph.batch(|| {
        a.set(2);
        Err::<(), &str>("no")
    });
    assert_eq!(failed, Err("no"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = graph.batch(|| -> Result<(), ()> {
            a.set(3);
            panic!("in the middle")
        });
    }));
    assert!(panicked.is_err());
    assert_eq!((seen.take(), *a.latest()), (vec![1], 1));
    a.set(4);
    assert_eq!(seen.take(), [4], "the thread is out of the batch");
}

#[test]
fn batches_nest_and_an_inner_one_may_fail_alone() {
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 1), graph.signal("b", 1));
    let (_effect, seen) = watch(&graph, &a);
    graph
        .batch(|| {
            a.set(2);
            let _ = graph.batch(|| {
                a.set(3);
                b.set(3);
                Err::<(), ()>(())
            });
            graph.batch(|| ok(|| b.set(4)))?;
            assert_eq!((*a.latest(), *b.latest()), (1, 1));
            Ok::<(), ()>(())
        })
        .unwrap();
    assert_eq!((seen.take(), *b.latest()), (vec![1, 2], 4));
}

#[test]
fn a_diamond_runs_once_and_shows_no_half() {
    let graph = Graph::new();
    let source = graph.signal("source", 1);
    let times = |factor: i32| {
        let source = source.clone();
        graph.computed("side", move |scope| *source.get(scope) * factor)
    };
    let (left, right) = (times(2), times(3));
    let runs = Arc::new(AtomicUsize::new(0));
    let sum = {
        let (left, right, runs) = (left, right, Arc::clone(&runs));
        graph.try_computed("sum", move |scope| {
            runs.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Fault>((*left.get(scope)?, *right.get(scope)?))
        })
    };
    let seen = Seen::new();
    let _effect = {
        let (seen, source) = (seen.clone(), source.clone());
        graph.effect("bottom", move |scope| seen.push((*source.get(scope), *sum.get(scope).unwrap())))
    };
    source.set(2);
    source.set(3);
    assert_eq!(seen.take(), [(1, (2, 3)), (2, (4, 6)), (3, (6, 9))]);
    assert_eq!(runs.load(Ordering::Relaxed), 3);
}

#[test]
fn an_equal_value_stops_a_change_and_a_costly_one_is_computed_once() {
    let graph = Graph::new();
    let source = graph.signal("source", 1);
    let (runs, reads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let costly = {
        let (source, runs) = (source.clone(), Arc::clone(&runs));
        graph.computed("costly", move |scope| {
            runs.fetch_add(1, Ordering::Relaxed);
            *source.get(scope) / 10
        })
    };
    assert!(costly.is_stale());
    let effects: Vec<Effect> = (0..5)
        .map(|_| {
            let (costly, reads) = (costly.clone(), Arc::clone(&reads));
            graph.effect("reader", move |scope| {
                reads.fetch_add(1, Ordering::Relaxed);
                costly.get(scope).map(drop)
            })
        })
        .collect();
    assert!(!costly.is_stale());
    source.set(2);
    assert_eq!((runs.load(Ordering::Relaxed), reads.load(Ordering::Relaxed)), (2, 5));
    source.set(20);
    assert_eq!((runs.load(Ordering::Relaxed), reads.load(Ordering::Relaxed)), (3, 10));
    drop(effects);
    source.set(30);
    assert_eq!(runs.load(Ordering::Relaxed), 3, "nobody asked");
    assert!(costly.is_stale());
    assert_eq!(*costly.latest().unwrap(), 3);
}

#[test]
fn a_run_sees_one_moment_however_long_it_takes() {
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 1), graph.signal("b", 1));
    let sum = {
        let (a, b) = (a.clone(), b.clone());
        graph.computed("sum", move |scope| *a.get(scope) + *b.get(scope))
    };
    let (arrived, in_effect) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let seen = Seen::new();
    let effect = {
        let (graph, a, b, sum, seen) = (graph.clone(), a.clone(), b.clone(), sum.clone(), seen.clone());
        thread::spawn(move || {
            graph.effect("slow", move |scope| {
                let a = *a.get(scope);
                let _ = arrived.send(());
                let _ = may_go_on.recv();
                seen.push((a, *b.get(scope), *sum.get(scope).unwrap()));
            })
        })
    };
    in_effect.recv_timeout(LIMIT).unwrap();
    graph.batch(|| ok(|| (a.set(2), b.set(2)).1)).unwrap();
    assert_eq!(*sum.latest().unwrap(), 4, "the present is computed beside it");
    drop(go_on);
    let effect = effect.join().unwrap();
    assert!(graph.settled(LIMIT));
    assert_eq!(seen.take(), [(1, 1, 2), (2, 2, 4)]);
    assert_eq!((graph.stats().past, graph.stats().runs), (0, 0), "nothing of the past is kept");
    drop(effect);
}

#[test]
fn a_snapshot_is_one_moment() {
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 1), graph.signal("b", 1));
    let both = graph.snapshot(|scope| {
        let first = *a.get(scope);
        graph.batch(|| ok(|| (a.set(2), b.set(2)).1)).unwrap();
        (first, *b.get(scope), *b.latest())
    });
    assert_eq!(both, (1, 1, 2));
    assert_eq!(graph.stats(), Stats { nodes: 2, ..Stats::default() });
}

#[test]
fn one_slow_effect_delays_no_other() {
    let graph = Graph::new();
    let key = graph.signal("key", 0);
    let (release, released) = mpsc::channel::<()>();
    let slow = {
        let key = key.clone();
        graph.effect("slow", move |scope| {
            if *key.get(scope) == 1 {
                let _ = released.recv_timeout(LIMIT);
            }
        })
    };
    let (said, heard) = mpsc::channel();
    let quick = {
        let key = key.clone();
        graph.effect("quick", move |scope| said.send(*key.get(scope)).unwrap())
    };
    assert_eq!(heard.recv_timeout(LIMIT), Ok(0));
    let setter = {
        let key = key.clone();
        thread::spawn(move || key.set(1))
    };
    assert_eq!(heard.recv_timeout(LIMIT), Ok(1), "while the slow one is at it");
    key.set(2);
    assert_eq!(heard.recv_timeout(LIMIT), Ok(2), "a set elsewhere goes through as well");
    drop(release);
    setter.join().unwrap();
    assert!(graph.settled(LIMIT));
    drop((slow, quick));
}

#[test]
fn effects_may_set_and_what_follows_runs_after_them() {
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 1), graph.signal("b", 0));
    let order = Seen::new();
    let _first = {
        let (a, b, order) = (a.clone(), b.clone(), order.clone());
        graph.effect("first", move |scope| {
            b.set(*a.get(scope) * 10);
            order.push("first ends".to_owned());
        })
    };
    let _second = {
        let (b, order) = (b.clone(), order.clone());
        graph.effect("second", move |scope| order.push(format!("second sees {}", b.get(scope))))
    };
    a.set(2);
    assert_eq!(order.take(), ["first ends", "second sees 10", "first ends", "second sees 20"]);
}

#[test]
fn chains_of_100000_are_no_deeper_than_short_ones() {
    const LONG: usize = 100_000;
    let graph = Graph::new();
    let source = graph.signal("source", 0_usize);
    let mut last: Computed<usize> = {
        let source = source.clone();
        graph.computed("first", move |scope| *source.get(scope))
    };
    for _ in 1..LONG {
        let before = last.clone();
        last = graph.try_computed("link", move |scope| Ok::<_, Fault>(*before.get(scope)? + 1));
    }
    assert_eq!(*last.latest().unwrap(), LONG - 1, "asked from the far end first");
    source.set(7);
    assert_eq!(*last.latest().unwrap(), LONG + 6);
    drop(last);
    assert_eq!(graph.stats(), Stats { nodes: 1, ..Stats::default() });
}

#[test]
fn chains_of_100000_effects_that_set_run_one_after_the_other() {
    const LONG: usize = 100_000;
    let graph = Graph::new();
    let links: Vec<Signal<usize>> = (0..=LONG).map(|_| graph.signal("link", 0)).collect();
    let effects: Vec<Effect> = links
        .windows(2)
        .map(|pair| {
            let (from, to) = (pair[0].clone(), pair[1].clone());
            graph.effect("copy", move |scope| to.set(*from.get(scope)))
        })
        .collect();
    links[0].set(7);
    assert!(graph.settled(LIMIT));
    assert_eq!(*links[LONG].latest(), 7);
    drop(effects);
}

#[test]
fn what_is_dropped_leaves_nothing_behind() {
    let graph = Graph::new();
    let key = graph.signal("key", 0);
    let keys: Keys<u32> = Keys::new(&graph);
    for round in 0..100_000 {
        let effect = {
            let key = key.clone();
            let twice = graph.computed("twice", {
                let key = key.clone();
                move |scope| *key.get(scope) * 2
            });
            graph.effect("passing", move |scope| (key.get(scope), twice.get(scope)).1.map(drop))
        };
        if round % 1_000 == 0 {
            key.set(round);
        }
        drop(effect);
    }
    assert_eq!(graph.stats(), Stats { nodes: 1, ..Stats::default() });
    for question in 0..10_000 {
        graph.snapshot(|scope| assert_eq!(keys.get(scope, &format!("nobody.{question}")), None));
    }
    assert!(graph.stats().nodes < 200, "{:?}", graph.stats());
    let (effect, _seen) = watch(&graph, &key);
    drop(key);
    drop(effect);
    drop(keys);
    assert_eq!(graph.stats(), Stats::default());
}

#[test]
fn a_failure_keeps_the_subscriptions() {
    let graph = Graph::new();
    let (guard, key) = (graph.signal("guard", true), graph.signal("key", 1));
    let half = {
        let (guard, key) = (guard.clone(), key.clone());
        graph.computed("half", move |scope| {
            let key = *key.get(scope);
            assert!(*guard.get(scope), "the guard is down");
            key / 2
        })
    };
    let seen = Seen::new();
    let effect = {
        let (half, seen) = (half.clone(), seen.clone());
        graph.effect_with("reader", Retry::never(), move |scope| {
            let half = half.get(scope);
            seen.push(half.as_ref().map(|half| **half).ok());
            half.map(drop)
        })
    };
    guard.set(false);
    assert!(matches!(half.latest(), Err(Fault::Panicked { name }) if name == "half"));
    assert_eq!(effect.health(), Health::Failed);
    assert_eq!(effect.last_error().unwrap().to_string(), "the computation of half panicked");
    key.set(10);
    guard.set(true);
    assert_eq!(seen.take(), [Some(0), None, Some(5)]);
    assert_eq!((effect.health(), effect.last_error().is_none()), (Health::Healthy, true));
    assert_eq!(graph.stats().subscriptions, 3);
}

#[test]
fn a_failed_run_is_repeated_and_looks_again_at_what_failed() {
    let graph = Graph::new();
    let key = graph.signal("key", 1);
    let calls = Arc::new(AtomicUsize::new(0));
    let resolved = {
        let (key, calls) = (key.clone(), Arc::clone(&calls));
        graph.try_computed("resolved", move |scope| {
            let key = *key.get(scope);
            if calls.fetch_add(1, Ordering::Relaxed) < 2 { Err("the key service is away") } else { Ok(key) }
        })
    };
    let (said, heard) = mpsc::channel();
    let retry = Retry { attempts_max: 5, wait_first: Duration::from_millis(2), wait_max: Duration::from_millis(5) };
    let effect = graph.effect_with("client", retry, move |scope| {
        let _ = said.send(*resolved.get(scope)?);
        Ok::<(), Fault>(())
    });
    let health = Seen::new();
    let _shown = {
        let (signal, health) = (effect.health_signal(), health.clone());
        graph.effect("health", move |scope| health.push(*signal.get(scope)))
    };
    assert_eq!(heard.recv_timeout(LIMIT), Ok(1));
    assert!(graph.settled(LIMIT));
    assert_eq!((effect.health(), calls.load(Ordering::Relaxed)), (Health::Healthy, 3));
    assert_eq!(health.take().last(), Some(&Health::Healthy));
    assert_eq!(graph.stats().timers, 0);
}

#[test]
fn repeats_end_and_a_newer_value_comes_before_them() {
    let graph = Graph::new();
    let key = graph.signal("key", 1);
    let seen = Seen::new();
    let hour = Duration::from_secs(3600);
    let effect = {
        let (key, seen) = (key.clone(), seen.clone());
        let retry = Retry { attempts_max: 1, wait_first: hour, wait_max: hour };
        graph.effect_with("client", retry, move |scope| {
            seen.push(*key.get(scope));
            Err::<(), _>("refused")
        })
    };
    assert_eq!((effect.health(), graph.stats().timers), (Health::Retrying { attempt: 1 }, 1));
    key.set(2);
    assert_eq!((effect.health(), graph.stats().timers), (Health::Failed, 0), "the hour is not waited for");
    assert_eq!(seen.take(), [1, 2]);
    drop(effect);
    assert_eq!(graph.stats().nodes, 1);
}

#[test]
fn a_retry_that_waits_goes_with_its_effect() {
    let graph = Graph::new();
    let effect = graph.effect("client", |_: &Scope| Err::<(), _>("refused"));
    assert_eq!(graph.stats().timers, 1);
    drop(effect);
    assert_eq!(graph.stats(), Stats::default());
}

#[test]
fn waits_double_up_to_a_bound() {
    let retry = Retry { attempts_max: 9, wait_first: Duration::from_millis(100), wait_max: Duration::from_secs(1) };
    let waits: Vec<u128> = [1, 2, 3, 4, 5, 60, u32::MAX].map(|attempt| retry.wait(attempt).as_millis()).into();
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000, 1000]);
}

#[test]
fn a_circle_of_values_is_refused_by_name() {
    let graph = Graph::new();
    let slot: Arc<Mutex<Option<Computed<i32>>>> = Arc::default();
    let closed = graph.signal("closed", false);
    let a = {
        let (slot, closed) = (Arc::clone(&slot), closed.clone());
        graph.try_computed("a", move |scope| {
            if !*closed.get(scope) {
                return Ok(1);
            }
            let c = slot.lock().unwrap().clone().unwrap();
            c.get(scope).map(|c| *c)
        })
    };
    let b = {
        let a = a.clone();
        graph.try_computed("b", move |scope| a.get(scope).map(|a| *a + 1))
    };
    let c = {
        let b = b.clone();
        graph.try_computed("c", move |scope| b.get(scope).map(|b| *b + 1))
    };
    *slot.lock().unwrap() = Some(c.clone());
    assert_eq!(*c.latest().unwrap(), 3);
    closed.set(true);
    for (value, name) in [(&c, "c"), (&b, "b"), (&a, "a")] {
        let fault = value.latest().unwrap_err();
        let Fault::Cycle { path } = &fault else { panic!("{name}: {fault}") };
        assert_eq!(path.first(), path.last(), "{fault}");
        assert_eq!(path.len(), 4, "{fault}");
        for member in ["a", "b", "c"] {
            assert!(path.iter().any(|name| name == member), "{fault}");
        }
    }
    closed.set(false);
    assert_eq!(*c.latest().unwrap(), 3, "it comes back when the circle opens");
    *slot.lock().unwrap() = None;
}

#[test]
fn a_value_that_needs_itself_is_refused() {
    let graph = Graph::new();
    let slot: Arc<Mutex<Option<Computed<i32>>>> = Arc::default();
    let own = {
        let slot = Arc::clone(&slot);
        graph.try_computed("own", move |scope| {
            let own = slot.lock().unwrap().clone().unwrap();
            own.get(scope).map(|own| *own)
        })
    };
    *slot.lock().unwrap() = Some(own.clone());
    assert_eq!(own.latest().unwrap_err().to_string(), "values need each other: own → own");
    *slot.lock().unwrap() = None;
}

#[test]
fn an_effect_that_keeps_causing_itself_is_stopped_and_reported() {
    let told: Seen<Rerun> = Seen::new();
    let graph = Graph::with_audit({
        let told = told.clone();
        move |rerun| told.push(rerun.clone())
    });
    let count = graph.signal("count", 0_u64);
    let effect = {
        let count = count.clone();
        graph.effect("greedy", move |scope| count.set(*count.get(scope) + 1))
    };
    assert_eq!(effect.health(), Health::Failed);
    let circle = ["greedy", "count", "greedy"].map(str::to_owned).to_vec();
    assert_eq!(told.take().last().unwrap().outcome, Outcome::Circle(circle));
    let after = *count.latest();
    assert!((100..=110).contains(&after), "{after}");
    count.set(1_000);
    assert!(*count.latest() > 1_050, "a change from outside begins anew");
}

#[test]
fn an_effect_that_settles_what_it_reads_is_no_circle() {
    let graph = Graph::new();
    let name = graph.signal("name", " key ".to_owned());
    let effect = {
        let name = name.clone();
        graph.effect("trim", move |scope| name.set(name.get(scope).trim().to_owned()))
    };
    for round in 0..300 {
        name.set(format!(" {round} "));
    }
    assert_eq!((effect.health(), name.latest().as_str()), (Health::Healthy, "299"));
}

#[test]
fn clean_ups_run_before_the_next_run_and_at_the_end() {
    let graph = Graph::new();
    let key = graph.signal("key", 1);
    let seen = Seen::new();
    let effect = {
        let (key, seen) = (key.clone(), seen.clone());
        graph.effect("pool", move |scope| {
            let (key, closing) = (*key.get(scope), seen.clone());
            seen.push(format!("open {key}"));
            scope.on_cleanup(move || closing.push(format!("close {key}")));
            scope.on_cleanup(|| panic!("a clean-up of another's"));
        })
    };
    key.set(2);
    drop(effect);
    assert_eq!(seen.take(), ["open 1", "close 1", "open 2", "close 2"]);
    graph.snapshot(|scope| scope.on_cleanup(move || seen.push("at once".to_owned())));
}

#[test]
fn the_audit_names_who_what_which_and_how() {
    let told: Seen<Rerun> = Seen::new();
    let graph = Graph::with_audit({
        let told = told.clone();
        move |rerun| told.push(rerun.clone())
    });
    let key = graph.signal("db.key", 1);
    let _effect = {
        let key = key.clone();
        graph.effect_with(
            "client",
            Retry::never(),
            move |scope| {
                if *key.get(scope) == 2 { Err("refused") } else { Ok(()) }
            },
        )
    };
    key.set(2);
    let cause = Cause { name: "db.key".to_owned(), version: key.version() };
    let expected = [
        Rerun { name: "client".to_owned(), causes: vec![], attempt: 0, outcome: Outcome::Finished },
        Rerun { name: "client".to_owned(), causes: vec![cause], attempt: 1, outcome: Outcome::Failed },
    ];
    assert_eq!(told.take(), expected);
}

#[test]
fn a_scope_of_another_graph_is_refused() {
    let (one, other) = (Graph::new(), Graph::new());
    let key = other.signal("key", 1);
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one.snapshot(|scope| *key.get(scope))));
    assert!(read.is_err());
    assert_eq!(one.stats().runs, 0);
}

#[test]
fn one_graphs_effect_may_set_anothers_signal_and_back() {
    let (one, other) = (Graph::new(), Graph::new());
    let (here, there, back) = (one.signal("here", 1), other.signal("there", 0), one.signal("back", 0));
    let _to = {
        let (here, there) = (here.clone(), there.clone());
        one.effect("to", move |scope| there.set(*here.get(scope)))
    };
    let _fro = {
        let back = back.clone();
        other.effect("fro", move |scope| back.set(*there.get(scope)))
    };
    let (_effect, seen) = watch(&one, &back);
    here.set(5);
    assert_eq!(seen.take(), [1, 5]);
}

#[test]
fn a_million_effects_hang_on_one_signal() {
    let many = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let graph = Graph::new();
    let key = graph.signal("key", 0_usize);
    let count = Arc::new(AtomicUsize::new(0));
    let effects: Vec<Effect> = (0..many)
        .map(|_| {
            let (key, count) = (key.clone(), Arc::clone(&count));
            graph.effect("reader", move |scope| {
                count.fetch_add(*key.get(scope), Ordering::Relaxed);
            })
        })
        .collect();
    key.set(1);
    assert!(graph.settled(LIMIT));
    assert_eq!(count.load(Ordering::Relaxed), many);
    assert_eq!(graph.stats().subscriptions, many);
    drop(effects);
    assert_eq!(graph.stats(), Stats { nodes: 1, ..Stats::default() });
}
