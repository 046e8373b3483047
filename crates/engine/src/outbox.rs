//! The outbox: each sink gets all committed records in order, from its own cursor, in a task of its own. A sink that
//! cannot be reached waits alone. Sinks come and go with the configuration; a cursor outlives them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use handover_core::Fault;
use handover_core::port::Sink;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::{Call, Whom};
use crate::memory::BackOff;
use crate::shared::Shared;

/// What an outbox is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    /// Deliver what is committed.
    Deliver,
    /// Deliver what there is, and end.
    Drain,
    /// End after the delivery at hand: the sink is not configured any more. Its cursor stays.
    Stop,
}

/// What a sink took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Took {
    /// There was nothing.
    Nothing,
    /// As much as it is given at once; there may be more.
    Some,
    /// All there was.
    All,
}

/// A task for each sink that is bound.
pub(crate) struct Outboxes {
    shared: Arc<Shared>,
    bound: watch::Receiver<Vec<Arc<dyn Sink>>>,
    running: Vec<(Arc<dyn Sink>, watch::Sender<Ask>)>,
    /// One task at a time moves the cursor of a name: the next one waits until the last delivery of the one before ended.
    turns: HashMap<String, Arc<Mutex<()>>>,
    tasks: JoinSet<()>,
}

impl Outboxes {
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let mut outboxes = Self {
            shared: Arc::clone(shared),
            bound: shared.sinks_bound.subscribe(),
            running: Vec::new(),
            turns: HashMap::new(),
            tasks: JoinSet::new(),
        };
        outboxes.bind();
        outboxes
    }

    /// Starts and stops tasks as sinks are bound anew. May be dropped at any await.
    pub(crate) async fn follow(&mut self) -> Infallible {
        loop {
            tokio::select! {
                changed = self.bound.changed() => match changed {
                    Ok(()) => self.bind(),
                    // Its sender is gone with all handles: nothing changes any more.
                    Err(_) => std::future::pending().await,
                },
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    /// Delivers what there is, and waits until every task ended.
    pub(crate) async fn drain(&mut self) {
        for (_, ask) in &self.running {
            ask.send_replace(Ask::Drain);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// How many tasks run.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Cuts off what runs.
    pub(crate) async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }

    fn bind(&mut self) {
        let bound = self.bound.borrow_and_update().clone();
        self.running.retain(|(sink, ask)| {
            let stays = bound.iter().any(|other| Arc::ptr_eq(other, sink));
            if !stays {
                ask.send_replace(Ask::Stop);
            }
            stays
        });
        for sink in bound {
            if self.running.iter().all(|(other, _)| !Arc::ptr_eq(other, &sink)) {
                self.begin(sink);
            }
        }
    }

    fn begin(&mut self, sink: Arc<dyn Sink>) {
        let ask = watch::Sender::new(Ask::Deliver);
        let outbox = Outbox {
            shared: Arc::clone(&self.shared),
            sink: Arc::clone(&sink),
            committed: self.shared.committed.subscribe(),
            ask: ask.subscribe(),
            backoff: BackOff::default(),
        };
        let turn = Arc::clone(self.turns.entry(sink.name().to_owned()).or_default());
        self.tasks.spawn(async move {
            let _turn = turn.lock().await;
            outbox.run().await;
        });
        self.running.push((sink, ask));
    }
}

struct Outbox {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    committed: watch::Receiver<u64>,
    ask: watch::Receiver<Ask>,
    backoff: BackOff,
}

impl Outbox {
    async fn run(mut self) {
        loop {
            let ask = *self.ask.borrow_and_update();
            if ask == Ask::Stop {
                return;
            }
            // Marked as seen before the records are read: one that is committed meanwhile wakes us again.
            self.committed.mark_unchanged();
            let delivered = self.deliver().await;
            self.shared.sink_went(self.sink.name(), delivered.as_ref().err());
            let wait_until = match delivered {
                Ok(Took::All) if ask == Ask::Deliver => {
                    self.backoff.reset();
                    Some(Instant::now() + self.shared.options.outbox_pause)
                }
                Ok(Took::All | Took::Some) => {
                    self.backoff.reset();
                    continue;
                }
                Ok(Took::Nothing) => {
                    self.backoff.reset();
                    None
                }
                Err(_) => {
                    let now = Instant::now();
                    self.backoff.failed(&self.shared.options, now);
                    self.backoff.until(now)
                }
            };
            if ask == Ask::Drain {
                return;
            }
            match wait_until {
                // What is committed meanwhile hurries no sink that failed, or has just taken all there was.
                Some(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    asked = self.ask.changed() => if asked.is_err() { return },
                },
                None => tokio::select! {
                    committed = self.committed.changed() => if committed.is_err() { return },
                    asked = self.ask.changed() => if asked.is_err() { return },
                },
            }
        }
    }

    /// Delivers one batch and then moves the cursor: a crash in between delivers it twice, never not at all.
    async fn deliver(&self) -> Result<Took, Fault> {
        let (state, name) = (&self.shared.ports.state, self.sink.name());
        let calls = &self.shared.calls;
        let cursor = calls.make(Call::look(Whom::State, "cursor"), || state.cursor(name)).await?;
        let limit = self.shared.options.outbox_batch_max.max(1);
        let records = calls.make(Call::look(Whom::State, "records"), || state.records(cursor, limit)).await?;
        let Some(last) = records.last() else { return Ok(Took::Nothing) };
        let position = last.position;
        calls.make(Call::act(Whom::Sink(name), "deliver"), || self.sink.deliver(&records)).await?;
        calls.make(Call::act(Whom::State, "move_cursor"), || state.move_cursor(name, position)).await?;
        self.shared.sink_took(name, position, records.len());
        Ok(if records.len() < limit { Took::All } else { Took::Some })
    }
}
