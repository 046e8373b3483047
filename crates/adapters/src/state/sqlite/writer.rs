//! The one thread that writes. Work arrives by channel; whatever waits is done in one transaction and answered after
//! its commit, so that durability costs one flush for many commits.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handover_core::{Epoch, Fault, FaultKind, Touched};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::batches::Batches;
use super::schema::beside_dash;
use super::trouble::{Stop, disk_full, fault};
use crate::seal::{Integrity, Sealer};

/// How many pieces of work share one transaction.
pub(super) const BATCH_MAX: usize = 512;

/// One piece of work and whom to answer.
pub(super) trait Job: Send {
    /// Does it, unless it is refused. A database error ends the whole transaction.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), rusqlite::Error>;

    /// Answers, once it is known how the transaction ended.
    fn settle(self: Box<Self>, ended: &Result<(), Fault>);
}

/// Makes a job of a piece of work, and what its answer arrives by.
pub(super) fn job<T, W>(work: W) -> (Box<dyn Job>, oneshot::Receiver<Result<T, Fault>>)
where
    T: Send + 'static,
    W: FnOnce(&mut Batch<'_>) -> Result<T, Stop> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Task { work: Some(work), outcome: None, reply }), answer)
}

struct Task<T, W> {
    work: Option<W>,
    outcome: Option<Result<T, Fault>>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T, W> Job for Task<T, W>
where
    T: Send,
    W: FnOnce(&mut Batch<'_>) -> Result<T, Stop> + Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), rusqlite::Error> {
        let Some(work) = self.work.take() else { return Ok(()) };
        match work(batch) {
            Ok(value) => self.outcome = Some(Ok(value)),
            Err(Stop::Refused(fault)) => self.outcome = Some(Err(fault)),
            Err(Stop::Broken(error)) => return Err(error),
        }
        Ok(())
    }

    fn settle(self: Box<Self>, ended: &Result<(), Fault>) {
        let answer = match (ended, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(Fault::untouched(FaultKind::Bug, "a piece of work was never done")),
            (Err(fault), _) => Err(fault.clone()),
        };
        // Whoever asked may be gone: cut off, the outcome is unknown to it, and it loads.
        let _ = self.reply.send(answer);
    }
}

/// What the thread owns.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) integrity: Arc<Integrity>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) path: PathBuf,
    pub(super) file: FileId,
    /// The epoch of the lease, once it was taken.
    pub(super) lease: Option<Epoch>,
    /// Set when nobody can say what the disk holds. Nothing is read or written after that.
    pub(super) lost: Arc<AtomicBool>,
    pub(super) batches: Arc<Batches>,
}

impl Writer {
    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut work: mpsc::Receiver<Box<dyn Job>>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while let Some(first) = work.blocking_recv() {
            jobs.push(first);
            while jobs.len() < BATCH_MAX {
                let Ok(next) = work.try_recv() else { break };
                jobs.push(next);
            }
            let ended = self.transact(&mut jobs);
            if ended.is_ok() {
                self.batches.committed(jobs.len());
            }
            for job in jobs.drain(..) {
                job.settle(&ended);
            }
        }
    }

    fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Fault> {
        if self.lost.load(Ordering::Acquire) {
            return Err(Fault { touched: Touched::Nothing, ..lost(&self.path) });
        }
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| fault(&error, &self.path))?;
        match self.work(jobs) {
            Ok(lease) => {
                self.commit()?;
                self.lease = lease;
                Ok(())
            }
            Err(stop) => {
                self.roll_back();
                Err(stop.fault(&self.path))
            }
        }
    }

    fn work(&self, jobs: &mut [Box<dyn Job>]) -> Result<Option<Epoch>, Stop> {
        let mut batch = Batch::begin(&self.connection, &self.integrity, &self.sealer, self.lease)?;
        for job in jobs {
            job.run(&mut batch)?;
        }
        batch.finish()
    }

    fn commit(&self) -> Result<(), Fault> {
        if let Err(error) = self.connection.execute_batch("COMMIT") {
            self.roll_back();
            if disk_full(&error) {
                return Err(fault(&error, &self.path));
            }
            // The log may hold the whole transaction although its flush failed: a restart would bring it back. Until
            // then nothing may be built on either reading.
            self.lost.store(true, Ordering::Release);
            return Err(lost(&self.path));
        }
        // A file that was removed or replaced while open takes writes that nobody will find again.
        if FileId::of(&self.path) != Some(self.file) {
            self.lost.store(true, Ordering::Release);
            return Err(lost(&self.path));
        }
        Ok(())
    }

    fn roll_back(&self) {
        // SQLite has done it already after some errors.
        if self.connection.is_autocommit() {
            return;
        }
        if self.connection.execute_batch("ROLLBACK").is_err() && !self.connection.is_autocommit() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

/// Which file and which log a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    file: (u64, u64),
    log: (u64, u64),
}

impl FileId {
    /// `None` if either is not there.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        let log = std::fs::metadata(beside_dash(path, "wal")).ok()?;
        Some(Self { file: (file.dev(), file.ino()), log: (log.dev(), log.ino()) })
    }
}

/// The fault of everything that is asked after the file was lost.
pub(super) fn lost(path: &Path) -> Fault {
    Fault::unknown(
        FaultKind::Storage,
        format!(
            "the state {} could not be made durable: the disk failed, or the file was removed or replaced while open; \
             nothing more is read or written until the server is restarted, which finds out what was stored",
            path.display()
        ),
    )
}
