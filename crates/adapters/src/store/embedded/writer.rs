//! One thread owns the connection that writes. What is waiting is committed together: one flush for all of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use handover_core::{Fault, FaultKind, Touched};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::fault::fault;

/// The most changes in one transaction. Each waits for the whole batch, so that more would only add delay.
const BATCH_MAX: usize = 256;

/// Hands changes to the thread that writes. The thread ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    // Unbounded in type; bounded by the callers, each of whom waits for its answer.
    queue: Sender<Box<dyn Change>>,
}

impl Writer {
    pub(super) fn start(path: PathBuf, connection: Connection) -> Result<Self, Fault> {
        let (queue, changes) = channel();
        std::thread::Builder::new()
            .name("embedded-store".to_owned())
            .spawn(move || run(&path, connection, &changes))
            .map_err(|_| Fault::untouched(FaultKind::Storage, "the store's thread cannot be started: no resources"))?;
        Ok(Self { queue })
    }

    /// Makes a change, or nothing of it if it answers with a fault. `Ok` means that it is durable.
    pub(super) async fn change<T, F>(&self, act: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let gone = || Fault::unknown(FaultKind::Bug, "the store's thread has ended: restart, and report this");
        self.queue.send(Box::new(Pending { act: Some(act), done: None, reply })).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

trait Change: Send {
    /// Acts within the transaction. `false`: undo what it did.
    fn act(&mut self, connection: &Connection) -> bool;

    /// Answers the caller, given how the commit went.
    fn settle(self: Box<Self>, committed: Result<(), Fault>);
}

struct Pending<T, F> {
    act: Option<F>,
    done: Option<Result<T, Fault>>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T, Fault> + Send> Change for Pending<T, F> {
    fn act(&mut self, connection: &Connection) -> bool {
        let done = self.act.take().map(|act| act(connection));
        let keep = matches!(done, Some(Ok(_)));
        self.done = done;
        keep
    }

    fn settle(self: Box<Self>, committed: Result<(), Fault>) {
        let answer = match (self.done, committed) {
            (Some(Err(fault)), _) | (_, Err(fault)) => Err(fault),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(Fault::untouched(FaultKind::Bug, "a change of the store was never made")),
        };
        // Nobody waits any more if the caller's future was dropped: its outcome is unknown to it, as promised.
        let _ = self.reply.send(answer);
    }
}

fn run(path: &Path, mut connection: Connection, changes: &Receiver<Box<dyn Change>>) {
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        batch.extend(changes.try_iter().take(BATCH_MAX - 1));
        let committed = commit(path, &mut connection, &mut batch);
        for change in batch {
            change.settle(committed.clone());
        }
    }
}

fn commit(path: &Path, connection: &mut Connection, batch: &mut [Box<dyn Change>]) -> Result<(), Fault> {
    let untouched = |error: rusqlite::Error| fault(path, Touched::Nothing, &error);
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(untouched)?;
    for change in batch {
        let savepoint = transaction.savepoint().map_err(untouched)?;
        let keep = change.act(&savepoint);
        if savepoint.is_autocommit() {
            // A full disk makes SQLite undo the whole transaction, those of the others in this batch included.
            let words = format!("the store file {} failed while others were writing: nothing was kept", path.display());
            return Err(Fault::untouched(FaultKind::Storage, words));
        }
        if keep { savepoint.commit() } else { savepoint.finish() }.map_err(untouched)?;
    }
    // A flush that failed may or may not have reached the disk.
    transaction.commit().map_err(|error| fault(path, Touched::Unknown, &error))
}
