//! The wrapper around every call of a port: concurrency, deadline, span, panics, fault points. Connectors have none of
//! it themselves.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use handover_core::port::Answer;
use handover_core::{Fault, FaultKind, StoreId, Touched};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::Instrument;

use crate::fault;
use crate::numbers::Numbers;
use crate::options::Options;
use crate::telemetry;

/// Whose port is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom<'a> {
    Target(&'a str),
    /// A check of this name, and how long it may take.
    Check(&'a str, Duration),
    Store(&'a StoreId),
    Sink(&'a str),
    Generator,
    State,
    Consumers,
}

/// Which call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) whom: Whom<'a>,
    /// The effect's kind, or the method's name where several serve one effect. Fault points are named after it.
    pub(crate) name: &'static str,
    /// Whether the outcome is unknown when it is cut off.
    pub(crate) writes: bool,
}

impl<'a> Call<'a> {
    pub(crate) const fn look(whom: Whom<'a>, name: &'static str) -> Self {
        Self { whom, name, writes: false }
    }

    pub(crate) const fn act(whom: Whom<'a>, name: &'static str) -> Self {
        Self { whom, name, writes: true }
    }

    fn fault(&self, kind: FaultKind, what: &str) -> Fault {
        let touched = if self.writes { Touched::Unknown } else { Touched::Nothing };
        Fault { kind, touched, detail: format!("{} {what} ({})", self.whom.words(), self.name) }
    }
}

impl Whom<'_> {
    /// Whose kind of port it is, in one word.
    pub(crate) const fn port(self) -> &'static str {
        match self {
            Self::Target(_) => "target",
            Self::Check(..) => "check",
            Self::Store(_) => "store",
            Self::Sink(_) => "sink",
            Self::Generator => "generator",
            Self::State => "state",
            Self::Consumers => "consumers",
        }
    }

    fn words(self) -> String {
        match self {
            Self::Target(name) => format!("target {name}"),
            Self::Check(name, _) => format!("check {name}"),
            Self::Store(store) => format!("store {store}"),
            Self::Sink(name) => format!("sink {name}"),
            Self::Generator => "the generator".to_owned(),
            Self::State => "the state store".to_owned(),
            Self::Consumers => "the consumer list".to_owned(),
        }
    }
}

/// Makes calls, and bounds them.
pub(crate) struct Calls {
    options: Options,
    numbers: Arc<Numbers>,
    all: Arc<Semaphore>,
    each: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Calls {
    pub(crate) fn new(options: &Options, numbers: Arc<Numbers>) -> Self {
        Self {
            options: options.clone(),
            numbers,
            all: Arc::new(Semaphore::new(options.calls_max.max(1))),
            each: Mutex::default(),
        }
    }

    /// Makes one call. Whatever happens inside, it ends in an answer or a fault within the deadline.
    pub(crate) async fn make<'a, T>(&self, call: Call<'_>, start: impl FnOnce() -> Answer<'a, T>) -> Result<T, Fault> {
        let _permits = self.permits(call).await?;
        let deadline = match call.whom {
            Whom::Target(_) | Whom::Store(_) | Whom::Sink(_) | Whom::Generator => self.options.call_deadline,
            Whom::Check(_, patience) => patience,
            Whom::State | Whom::Consumers => self.options.state_deadline,
        };
        let span = tracing::debug_span!(telemetry::SPAN_CALL, port = call.name, whom = %call.whom.words());
        fault::point(fault::BEFORE, call.name);
        let started = Instant::now();
        let answer = async {
            match tokio::time::timeout(deadline, caught(async { start().await })).await {
                Ok(Some(answer)) => answer,
                // The payload of the panic is dropped unread: it may hold anything.
                Ok(None) => Err(call.fault(FaultKind::Bug, "panicked")),
                Err(_) => {
                    let what = format!("did not answer within {} ms", deadline.as_millis());
                    Err(call.fault(FaultKind::TimedOut, &what))
                }
            }
        }
        .instrument(span)
        .await;
        self.numbers.called(call, started.elapsed(), answer.as_ref().err());
        fault::point(fault::AFTER, call.name);
        answer
    }

    /// First the permit of the one that is called, then the overall one: a target that never answers keeps others
    /// waiting only for as many overall permits as it may have itself.
    async fn permits(&self, call: Call<'_>) -> Result<Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>, Fault> {
        let key = match call.whom {
            Whom::Target(_) | Whom::Store(_) | Whom::Check(..) => call.whom.words(),
            // Sinks have one task each; generators, state and consumers bound themselves.
            Whom::Sink(_) | Whom::Generator | Whom::State | Whom::Consumers => return Ok(None),
        };
        let each = {
            let mut all = self.each.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.options.calls_each_max.max(1)))).clone()
        };
        let closed = |_| Fault::untouched(FaultKind::Bug, "the engine's own limit on calls was closed");
        let one = each.acquire_owned().await.map_err(closed)?;
        let overall = Arc::clone(&self.all).acquire_owned().await.map_err(closed)?;
        Ok(Some((one, overall)))
    }
}

/// The output of a future, or `None` if it panicked.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        // What a panic left half-done lies inside the future, which is never polled again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> Calls {
        let options = Options { calls_each_max: 1, call_deadline: Duration::from_secs(1), ..Options::default() };
        Calls::new(&options, Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_never_answers_ends_in_a_fault() {
        let fault = calls()
            .make::<()>(Call::act(Whom::Target("db"), "accept"), || Box::pin(std::future::pending()))
            .await
            .unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::TimedOut, Touched::Unknown));
        let fault = calls()
            .make::<()>(Call::look(Whom::Target("db"), "use"), || Box::pin(std::future::pending()))
            .await
            .unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::TimedOut, Touched::Nothing));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_in_a_fault_without_its_text() {
        let fault = calls()
            .make::<()>(Call::act(Whom::Target("db"), "accept"), || Box::pin(async { panic!("canary-text") }))
            .await
            .unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Bug, Touched::Unknown));
        assert!(!fault.to_string().contains("canary-text"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_target_delays_no_other() {
        let calls = Options { calls_each_max: 2, calls_max: 3, ..Options::default() };
        let calls = Arc::new(Calls::new(&calls, Arc::default()));
        let stuck: Vec<_> = (0..8)
            .map(|_| {
                let calls = Arc::clone(&calls);
                tokio::spawn(async move {
                    calls
                        .make::<()>(Call::look(Whom::Target("black-hole"), "use"), || Box::pin(std::future::pending()))
                        .await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let started = tokio::time::Instant::now();
        calls.make(Call::look(Whom::Target("db"), "use"), || Box::pin(async { Ok(()) })).await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
        for one in stuck {
            one.await.unwrap().unwrap_err();
        }
    }
}
