//! Effects and values that are tasks, on tokio.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handover_signal::{
    Fault, Graph, Health, Outcome, Rerun, Retry, Scope, Spawn, Stats, Superseded, Task, TaskOptions,
};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, oneshot};

const LIMIT: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

async fn next<T>(from: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(LIMIT, from.recv()).await.unwrap().unwrap()
}

#[test]
fn reads_after_an_await_are_dependencies_of_the_same_moment() {
    let runtime = runtime();
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 1), graph.signal("b", 1));
    let (said, mut heard) = mpsc::unbounded_channel();
    let (gate, open) = tokio::sync::watch::channel(false);
    let _effect = {
        let (a, b) = (a.clone(), b.clone());
        let options = TaskOptions::new("pair").superseded(Superseded::Finish);
        graph.effect_async(runtime.handle(), options, move |scope: Scope| {
            let (a, b, said, mut open) = (a.clone(), b.clone(), said.clone(), open.clone());
            async move {
                let first = *a.get(&scope);
                let _ = said.send((first, 0));
                let _ = open.wait_for(|open| *open).await;
                // Also elsewhere: the scope says whose read it is.
                let second = tokio::spawn(async move { *b.get(&scope) }).await.unwrap();
                let _ = said.send((first, second));
            }
        })
    };
    runtime.block_on(async {
        assert_eq!(next(&mut heard).await, (1, 0));
        let done: Result<(), ()> = graph.batch(|| {
            a.set(2);
            b.set(2);
            Ok(())
        });
        done.unwrap();
        gate.send(true).unwrap();
        assert_eq!(next(&mut heard).await, (1, 1), "the moment in which it began");
        assert_eq!((next(&mut heard).await, next(&mut heard).await), ((2, 0), (2, 2)));
        b.set(3);
        assert_eq!((next(&mut heard).await, next(&mut heard).await), ((2, 0), (2, 3)));
    });
    assert!(graph.settled(LIMIT));
    assert_eq!((graph.stats().past, graph.stats().runs), (0, 0));
}

/// Says when it is dropped.
struct Falls(Arc<AtomicUsize>);

impl Drop for Falls {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_newer_value_cancels_a_run_and_a_drop_ends_it() {
    let runtime = runtime();
    let graph = Graph::new();
    let key = graph.signal("key", 1);
    let (said, mut heard) = mpsc::unbounded_channel();
    let fallen = Arc::new(AtomicUsize::new(0));
    let effect = {
        let (key, fallen) = (key.clone(), Arc::clone(&fallen));
        graph.effect_async(runtime.handle(), "connection", move |scope| {
            let (key, said, falls) = (key.clone(), said.clone(), Falls(Arc::clone(&fallen)));
            async move {
                let _ = said.send(*key.get(&scope));
                std::future::pending::<()>().await;
                drop(falls);
            }
        })
    };
    runtime.block_on(async {
        for value in 1..4 {
            key.set(value);
            assert_eq!(next(&mut heard).await, value);
            assert_eq!(fallen.load(Ordering::SeqCst), value - 1);
        }
        assert!(effect.is_stale() && effect.health() == Health::Healthy);
        drop(effect);
        assert_eq!(tokio::time::timeout(LIMIT, heard.recv()).await.unwrap(), None, "the task is gone");
    });
    assert_eq!(fallen.load(Ordering::SeqCst), 3);
    assert_eq!(graph.stats(), Stats { nodes: 1, ..Stats::default() });
}

#[test]
fn a_change_that_comes_to_nothing_cancels_no_run() {
    let runtime = runtime();
    let graph = Graph::new();
    let key = graph.signal("key", 10);
    let tens = {
        let key = key.clone();
        graph.computed("tens", move |scope| *key.get(scope) / 10)
    };
    let (said, mut heard) = mpsc::unbounded_channel();
    let _effect = graph.effect_async(runtime.handle(), "connection", move |scope| {
        let (tens, said) = (tens.clone(), said.clone());
        async move {
            let _ = said.send(*tens.get(&scope).unwrap());
            std::future::pending::<()>().await;
        }
    });
    runtime.block_on(async {
        assert_eq!(next(&mut heard).await, 1);
        key.set(11);
        key.set(12);
        key.set(20);
        assert_eq!(next(&mut heard).await, 2);
    });
}

#[test]
fn a_run_over_its_deadline_is_dropped_and_repeated() {
    let runtime = runtime();
    let told: Arc<Mutex<Vec<Rerun>>> = Arc::default();
    let graph = Graph::with_audit({
        let told = Arc::clone(&told);
        move |rerun| told.lock().unwrap().push(rerun.clone())
    });
    let runs = Arc::new(AtomicUsize::new(0));
    let (said, mut heard) = mpsc::unbounded_channel();
    let wait = Duration::from_millis(1);
    let options = TaskOptions::new("client").deadline(Duration::from_millis(20)).retry(Retry {
        attempts_max: 3,
        wait_first: wait,
        wait_max: wait,
    });
    let effect = {
        let runs = Arc::clone(&runs);
        graph.effect_async(runtime.handle(), options, move |_scope| {
            let (run, said) = (runs.fetch_add(1, Ordering::SeqCst), said.clone());
            async move {
                match run {
                    0 => std::future::pending().await,
                    1 => panic!("in the middle"),
                    2 => Err("refused"),
                    _ => {
                        let _ = said.send(run);
                        Ok(())
                    }
                }
            }
        })
    };
    assert_eq!(runtime.block_on(next(&mut heard)), 3);
    assert!(graph.settled(LIMIT));
    assert_eq!((effect.health(), graph.stats().timers), (Health::Healthy, 0));
    let outcomes: Vec<Outcome> = told.lock().unwrap().iter().map(|rerun| rerun.outcome.clone()).collect();
    assert_eq!(outcomes, [Outcome::Deadline, Outcome::Panicked, Outcome::Failed, Outcome::Finished]);
}

#[test]
fn a_value_that_is_made_by_a_task_is_pending_then_stale_then_new() {
    let runtime = runtime();
    let graph = Graph::new();
    let key = graph.signal("key", 1);
    let (said, mut asked) = mpsc::unbounded_channel::<(i32, oneshot::Sender<Result<i32, &'static str>>)>();
    let resolved = {
        let key = key.clone();
        let options = TaskOptions::new("resolved").retry(Retry::never());
        graph.computed_async(runtime.handle(), options, move |scope: Scope| {
            let (key, said) = (key.clone(), said.clone());
            async move {
                let (answer, answered) = oneshot::channel();
                said.send((*key.get(&scope), answer)).unwrap();
                answered.await.unwrap()
            }
        })
    };
    let seen: Arc<Mutex<Vec<Option<i32>>>> = Arc::default();
    let _reader = {
        let (resolved, seen) = (resolved.clone(), Arc::clone(&seen));
        graph.effect("reader", move |scope| seen.lock().unwrap().push(resolved.get(scope).ok().map(|value| *value)))
    };
    runtime.block_on(async {
        let (asked_for, answer) = next(&mut asked).await;
        assert!(matches!(resolved.latest(), Err(Fault::Pending { name }) if name == "resolved"));
        answer.send(Ok(asked_for * 10)).unwrap();
        tokio::task::block_in_place(|| assert!(graph.settled(LIMIT)));
        assert_eq!((*resolved.latest().unwrap(), resolved.is_stale()), (10, false));
        key.set(2);
        assert_eq!((*resolved.latest().unwrap(), resolved.is_stale()), (10, true));
        next(&mut asked).await.1.send(Err("away")).unwrap();
        tokio::task::block_in_place(|| assert!(graph.settled(LIMIT)));
        assert_eq!((*resolved.latest().unwrap(), resolved.health()), (10, Health::Failed));
        key.set(3);
        next(&mut asked).await.1.send(Ok(30)).unwrap();
        tokio::task::block_in_place(|| assert!(graph.settled(LIMIT)));
    });
    assert_eq!((resolved.health(), *resolved.health_signal().latest()), (Health::Healthy, Health::Healthy));
    assert_eq!(*seen.lock().unwrap(), [None, Some(10), Some(30)]);
    assert!(asked.try_recv().is_err(), "once for each change");
}

/// A runtime of no name: a thread for each task.
struct Threads;

impl Spawn for Threads {
    fn spawn(&self, task: Task) {
        std::thread::spawn(move || futures_lite(task));
    }
}

/// Polls a future on this thread.
fn futures_lite(mut task: Task) {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    while task.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending() {
        std::thread::park();
    }
}

#[test]
fn any_executor_will_do_and_sets_come_from_anywhere() {
    let graph = Graph::new();
    let key = graph.signal("key", 0);
    let (said, heard) = std::sync::mpsc::channel();
    let effect = {
        let key = key.clone();
        graph.effect_async(&Threads, "reader", move |scope| {
            let (key, said) = (key.clone(), said.clone());
            async move { said.send(*key.get(&scope)) }
        })
    };
    assert_eq!(heard.recv_timeout(LIMIT), Ok(0));
    let runtime = runtime();
    let task = {
        let key = key.clone();
        runtime.spawn(async move { key.set(1) })
    };
    assert_eq!(heard.recv_timeout(LIMIT), Ok(1));
    runtime.block_on(task).unwrap();
    std::thread::spawn(move || key.set(2)).join().unwrap();
    assert_eq!(heard.recv_timeout(LIMIT), Ok(2));
    drop(effect);
    assert!(heard.recv_timeout(LIMIT).is_err(), "its task ends");
}

#[test]
fn an_executor_that_goes_away_shows_in_the_health() {
    let runtime = runtime();
    let graph = Graph::new();
    let key = graph.signal("key", 1);
    let (said, mut heard) = mpsc::unbounded_channel();
    let effect = {
        let key = key.clone();
        graph.effect_async(&runtime.handle().clone(), "reader", move |scope| {
            let (key, said) = (key.clone(), said.clone());
            async move {
                let _ = said.send(*key.get(&scope));
                std::future::pending::<()>().await;
            }
        })
    };
    runtime.block_on(next(&mut heard));
    runtime.shutdown_timeout(LIMIT);
    assert_eq!(effect.health(), Health::Failed);
    key.set(2);
    assert!(graph.settled(LIMIT));
}

#[test]
fn many_tasks_on_many_threads_see_pairs() {
    let runtime = runtime();
    let handle: &Handle = runtime.handle();
    let graph = Graph::new();
    let (a, b) = (graph.signal("a", 0), graph.signal("b", 0));
    let last = Arc::new(Mutex::new(vec![0; 20]));
    let effects: Vec<_> = (0..20)
        .map(|number| {
            let (a, b, last) = (a.clone(), b.clone(), Arc::clone(&last));
            graph.effect_async(handle, "pair", move |scope| {
                let (a, b, last) = (a.clone(), b.clone(), Arc::clone(&last));
                async move {
                    let first = *a.get(&scope);
                    tokio::task::yield_now().await;
                    assert_eq!(*b.get(&scope), first);
                    last.lock().unwrap()[number] = first;
                }
            })
        })
        .collect();
    for value in 1..=200 {
        let done: Result<(), ()> = graph.batch(|| {
            a.set(value);
            b.set(value);
            Ok(())
        });
        done.unwrap();
    }
    assert!(graph.settled(LIMIT));
    assert!(effects.iter().all(|effect| effect.health() == Health::Healthy));
    assert_eq!(*last.lock().unwrap(), vec![200; 20]);
}
