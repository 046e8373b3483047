//! Connections that read, off the runtime's threads. They see what is committed, and never wait for the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use handover_core::{Fault, FaultKind, Touched};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::fault::fault;
use super::schema::open_reader;

/// The most reads at once. A read takes microseconds of one core; more would only open more files.
const READS_MAX: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), permits: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Reads within one transaction: all that `look` sees is of one moment.
    pub(super) async fn read<T, F>(&self, look: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let ended = || Fault::untouched(FaultKind::Bug, "a read of the store ended without an answer: report this");
        // The permit goes into the task: a caller that stops waiting does not free it while the read goes on.
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| ended())?;
        let readers = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = idle.map_or_else(|| open_reader(&readers.path), Ok)?;
            let untouched = |error: rusqlite::Error| fault(&readers.path, Touched::Nothing, &error);
            let transaction = connection.transaction().map_err(untouched)?;
            let seen = look(&transaction);
            transaction.finish().map_err(untouched)?;
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            seen
        });
        task.await.unwrap_or_else(|_| Err(ended()))
    }
}
