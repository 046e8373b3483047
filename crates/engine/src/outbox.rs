//! The outbox: each sink gets all committed records in order, from its own cursor, in a task of its own. A sink that
//! cannot be reached waits alone.

use std::sync::Arc;

use handover_core::Fault;
use handover_core::port::Sink;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::{Call, Whom};
use crate::memory::BackOff;
use crate::shared::Shared;

/// Starts a task per sink. Each ends when it is told to drain and has delivered what there is, or cannot.
pub(crate) fn spawn(shared: &Arc<Shared>, drain: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for sink in &shared.ports.sinks {
        let outbox = Outbox {
            shared: Arc::clone(shared),
            sink: Arc::clone(sink),
            committed: shared.committed.subscribe(),
            drain: drain.clone(),
            backoff: BackOff::default(),
        };
        tasks.spawn(outbox.run());
    }
    tasks
}

struct Outbox {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    committed: watch::Receiver<u64>,
    drain: watch::Receiver<bool>,
    backoff: BackOff,
}

impl Outbox {
    async fn run(mut self) {
        loop {
            let draining = *self.drain.borrow_and_update();
            // Marked as seen before the records are read: one that is committed meanwhile wakes us again.
            self.committed.mark_unchanged();
            let delivered = self.deliver().await;
            self.shared.sink_went(self.sink.name(), delivered.as_ref().err());
            let wait_until = match delivered {
                Ok(true) => {
                    self.backoff.reset();
                    continue;
                }
                Ok(false) => {
                    self.backoff.reset();
                    None
                }
                Err(_) => {
                    let now = Instant::now();
                    self.backoff.failed(&self.shared.options, now);
                    self.backoff.until(now)
                }
            };
            if draining {
                return;
            }
            match wait_until {
                // What is committed meanwhile does not hurry a sink that failed.
                Some(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    drain = self.drain.changed() => if drain.is_err() { return },
                },
                None => tokio::select! {
                    committed = self.committed.changed() => if committed.is_err() { return },
                    drain = self.drain.changed() => if drain.is_err() { return },
                },
            }
        }
    }

    /// Delivers one batch and then moves the cursor: a crash in between delivers it twice, never not at all. Whether
    /// there was anything.
    async fn deliver(&self) -> Result<bool, Fault> {
        let (state, name) = (&self.shared.ports.state, self.sink.name());
        let calls = &self.shared.calls;
        let cursor = calls.make(Call::look(Whom::State, "cursor"), || state.cursor(name)).await?;
        let limit = self.shared.options.outbox_batch_max.max(1);
        let records = calls.make(Call::look(Whom::State, "records"), || state.records(cursor, limit)).await?;
        let Some(last) = records.last() else { return Ok(false) };
        let position = last.position;
        calls.make(Call::act(Whom::Sink(name), "deliver"), || self.sink.deliver(&records)).await?;
        calls.make(Call::act(Whom::State, "move_cursor"), || state.move_cursor(name, position)).await?;
        self.shared.sink_took(name, position, records.len());
        Ok(true)
    }
}
