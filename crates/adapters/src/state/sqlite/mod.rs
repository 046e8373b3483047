//! The embedded state: one SQLite file, nothing to install.
//!
//! * **One writer.** Work goes to one thread by channel; up to 512 pieces share a transaction, and each is answered
//!   after its commit. Each has its own fence (row version and epoch), and one that is fenced drops out alone. Readers
//!   have connections and threads of their own, so nothing blocks a runtime.
//! * **One holder.** The lease is a lock on `<path>.lock`, held for life and freed by the kernel, and an epoch that is
//!   raised durably by each holder. Every transaction compares the epoch, so that a holder who lost the lock by
//!   whatever trick is refused.
//! * **One history.** Journal and audit are one hash chain ([`crate::state::chain`]), written in segments in the transaction
//!   of the row that it is about. Sinks read it from cursors.
//! * **Edits show.** Each row has a keyed checksum; the head of the chain and the sum of all rows are sealed in the same
//!   transaction. An edited row is refused when it is read; a deleted row, one set back to an earlier content, and a
//!   broken chain are found by [`Sqlite::verify_rows`] and [`Sqlite::verify_chain`], which run when a small file is opened.
//!   A whole file set back to an earlier time holds together: that shows only against history shipped elsewhere.

mod alone;
mod batch;
mod batches;
mod campaigns;
mod forget;
mod guard;
mod handed;
mod inspect;
mod lock;
mod members;
mod reader;
mod requests;
mod schema;
mod segment;
mod trouble;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use handover_core::campaign::Campaign;
use handover_core::port::{
    Answer, CampaignCommit, Commit, Committed, Consumers, Delivery, Entry, Loaded, Record, Request, StateStore,
};
use handover_core::{
    CampaignId, Candidate, ConsumerId, Epoch, Fault, FaultKind, Generation, GroupId, Publication, Reach, Role,
    RollCall, Row, RowVersion, Timestamp,
};
use handover_secret::Secret;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use self::alone::Alone;
use self::batch::Batch;
pub use self::batches::Batches;
use self::handed::Handed;
pub use self::inspect::{Inspection, Reading, inspect};
use self::lock::Lock;
use self::reader::{Look, Reader};
use self::schema::Found;
use self::trouble::{Stop, corrupt};
pub use self::verify::{Break, Chain};
use self::writer::{BATCH_MAX, FileId, Job, Writer};
use crate::seal::{Integrity, Sealer};

/// Threads that read. More than cores would only wait for each other.
const READERS: usize = 2;
/// Files up to this size are verified whole when they are opened; of larger ones only the end of the chain.
const VERIFY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much of the end of the chain is walked in a larger file.
const VERIFY_RECORDS: u64 = 1_000;

/// The state in one SQLite file, open and locked for as long as this lives.
///
/// Dropping it waits until the transaction in hand has ended, and frees the lock.
pub struct Sqlite {
    work: Option<mpsc::Sender<Box<dyn Job>>>,
    looks: Option<mpsc::Sender<Look>>,
    readers: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
    path: PathBuf,
    batches: Arc<Batches>,
    handed: Handed,
    _lock: Lock,
}

impl Sqlite {
    /// Opens the state at `path`; makes it, readable by its owner only, if there is nothing. Blocks: for start-up.
    ///
    /// `Fenced` if another process has it open. `Misconfigured` if it is some other program's file, or of a newer
    /// schema: it is left as it is. `Corrupt` if it is torn or edited, or sealed with another master key.
    pub fn open(path: &Path, sealer: Arc<Sealer>) -> Result<Self, Fault> {
        let lock = Lock::take(path)?;
        match schema::look(path)? {
            Found::State => {}
            Found::Nothing => schema::create(path, &sealer)?,
        }
        // The master key is tried on a connection that cannot write, so that a wrong one changes nothing.
        let integrity = Arc::new(schema::open_integrity(&schema::open_reader(path)?, &sealer, path)?);
        let connection = schema::open_writer(path)?;
        verify_at_start(&connection, &integrity, path)?;
        let lost = Arc::new(AtomicBool::new(false));
        let file =
            FileId::of(path).ok_or_else(|| corrupt(format!("{} went away while it was opened", path.display())))?;

        let batches = Arc::<Batches>::default();
        let (work, jobs) = mpsc::channel(2 * BATCH_MAX);
        let (looks, looking) = mpsc::channel(BATCH_MAX);
        let looking = Arc::new(Mutex::new(looking));
        let writer = Writer {
            connection,
            integrity: integrity.clone(),
            sealer: sealer.clone(),
            path: path.to_owned(),
            file,
            lease: None,
            lost: lost.clone(),
            batches: batches.clone(),
        };
        let mut state = Self {
            work: Some(work),
            looks: Some(looks),
            readers: Vec::new(),
            writer: Some(spawn("state-writer", move || writer.run(jobs))?),
            path: path.to_owned(),
            batches,
            handed: Handed::new(lost.clone()),
            _lock: lock,
        };
        for _ in 0..READERS {
            let reader = Reader {
                connection: schema::open_reader(path)?,
                integrity: integrity.clone(),
                sealer: sealer.clone(),
                path: path.to_owned(),
                lost: lost.clone(),
            };
            let looking = looking.clone();
            state.readers.push(spawn("state-reader", move || reader.run(&looking))?);
        }
        Ok(state)
    }

    /// How much work shares a transaction.
    pub fn batches(&self) -> Arc<Batches> {
        Arc::clone(&self.batches)
    }

    /// Walks the whole chain and says where it first breaks, if it does. `Corrupt` if not even the head holds.
    pub async fn verify_chain(&self) -> Result<Chain, Fault> {
        self.read(|reader| {
            let transaction = reader.connection.unchecked_transaction()?;
            verify::chain(&transaction, &reader.integrity, 0)
        })
        .await
    }

    /// Checks every row, and that none was deleted or set back. Gives back how many there are; `Corrupt` names the
    /// first that does not hold.
    pub async fn verify_rows(&self) -> Result<u64, Fault> {
        self.read(|reader| {
            let transaction = reader.connection.unchecked_transaction()?;
            verify::rows(&transaction, &reader.integrity)
        })
        .await
    }

    /// Puts a consumer on the roll because the configuration names it. Twice is once. One that was excused is expected
    /// again: take it out of the configuration too.
    pub async fn declare(&self, group: &GroupId, consumer: &ConsumerId, role: Role) -> Result<(), Fault> {
        let (group, consumer) = (group.clone(), consumer.clone());
        self.write(move |batch| batch.declare(&group, &consumer, role)).await
    }

    /// The same for all consumers of many groups, whose lists are complete from then on, in one transaction. If it is
    /// refused, part of it may be done: that is done when it is asked for again.
    pub async fn declare_all(&self, rolls: Vec<(GroupId, Vec<(ConsumerId, Role)>)>) -> Result<(), Fault> {
        self.write(move |batch| {
            for (group, consumers) in &rolls {
                for (consumer, role) in consumers {
                    batch.declare(group, consumer, *role)?;
                }
                batch.set_complete(group, true)?;
            }
            Ok(())
        })
        .await
    }

    /// Those that a configuration has put on the rolls of these groups, now or earlier, in the order of the groups.
    pub async fn declared_in(&self, groups: Vec<GroupId>) -> Result<Vec<Vec<(ConsumerId, Role)>>, Fault> {
        self.read(move |reader| groups.iter().map(|group| reader.declared(group)).collect()).await
    }

    /// Takes a consumer off the roll in one role because the configuration does not name it there any more. One that
    /// came by itself, and was never declared, stays. Twice is once.
    pub async fn withdraw(&self, group: &GroupId, consumer: &ConsumerId, role: Role) -> Result<(), Fault> {
        let _taken_back = self.handed.taking_back(group);
        let (group, consumer) = (group.clone(), consumer.clone());
        self.write(move |batch| batch.withdraw(&group, &consumer, role)).await
    }

    /// Says whether the configuration lists all consumers of a group. Until it is said, the list is not complete.
    pub async fn set_complete(&self, group: &GroupId, complete: bool) -> Result<(), Fault> {
        let group = group.clone();
        self.write(move |batch| batch.set_complete(&group, complete)).await
    }

    async fn write<T, W>(&self, work: W) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, Stop> + Send + 'static,
    {
        let (job, answer) = writer::job(work);
        self.ask(self.work.as_ref(), job, answer).await
    }

    async fn read<T, W>(&self, work: W) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: FnOnce(&Reader) -> Result<T, Stop> + Send + 'static,
    {
        let (look, answer) = reader::look(work);
        self.ask(self.looks.as_ref(), look, answer).await
    }

    async fn ask<J, T>(
        &self,
        queue: Option<&mpsc::Sender<J>>,
        job: J,
        answer: oneshot::Receiver<Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let stopped = || format!("a thread of the state {} has stopped; restart the server", self.path.display());
        let queue = queue.ok_or_else(|| Fault::untouched(FaultKind::Bug, stopped()))?;
        queue.send(job).await.map_err(|_| Fault::untouched(FaultKind::Bug, stopped()))?;
        answer.await.unwrap_or_else(|_| Err(Fault::unknown(FaultKind::Bug, stopped())))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // Readers first: the connection that closes last merges the log into the file, and they cannot write. A thread
        // that panicked has said so, and has let go of its connection.
        self.looks = None;
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.work = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl StateStore for Sqlite {
    fn lease(&self) -> Answer<'_, Epoch> {
        Box::pin(self.write(|batch| batch.lease()))
    }

    fn due(&self, now: Timestamp, limit: usize) -> Answer<'_, (Vec<GroupId>, Option<Timestamp>)> {
        Box::pin(self.read(move |reader| reader.due(now, limit)))
    }

    fn load<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Loaded>> {
        let group = group.clone();
        Box::pin(self.read(move |reader| reader.load(&group)))
    }

    fn groups(&self) -> Answer<'_, Vec<GroupId>> {
        Box::pin(self.read(|reader| reader.groups()))
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed<Row>> {
        Box::pin(self.write(move |batch| batch.commit(commit)))
    }

    fn carry_out(&self, commit: Commit, request: Request) -> Answer<'_, Committed<Row>> {
        Box::pin(self.write(move |batch| batch.carry_out(commit, request)))
    }

    fn request<'a>(&'a self, caller: &'a str, key: &'a str) -> Answer<'a, Option<Request>> {
        let (caller, key) = (caller.to_owned(), key.to_owned());
        Box::pin(self.read(move |reader| reader.request(&caller, &key)))
    }

    fn candidate<'a>(
        &'a self,
        group: &'a GroupId,
        generation: Generation,
        candidate: Candidate,
    ) -> Answer<'a, Option<Secret>> {
        let group = group.clone();
        Box::pin(self.read(move |reader| reader.candidate(&group, generation, candidate)))
    }

    fn candidates<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Vec<(Generation, Candidate)>> {
        let group = group.clone();
        Box::pin(self.read(move |reader| reader.candidates(&group)))
    }

    fn records(&self, after: u64, limit: usize) -> Answer<'_, Vec<Record>> {
        Box::pin(self.read(move |reader| reader.records(after, limit)))
    }

    fn history<'a>(&'a self, group: Option<&'a GroupId>, before: Option<u64>, limit: usize) -> Answer<'a, Vec<Record>> {
        let group = group.cloned();
        Box::pin(self.read(move |reader| reader.history(group.as_ref(), before, limit)))
    }

    fn append<'a>(&'a self, group: &'a GroupId, epoch: Epoch, entry: Entry) -> Answer<'a, ()> {
        let group = group.clone();
        Box::pin(self.write(move |batch| batch.append(&group, epoch, &entry)))
    }

    fn forget<'a>(&'a self, group: &'a GroupId, expect: RowVersion, epoch: Epoch, entry: Entry) -> Answer<'a, ()> {
        Box::pin(async move {
            let _taken_back = self.handed.taking_back(group);
            let group = group.clone();
            self.write(move |batch| batch.forget(&group, expect, epoch, &entry)).await
        })
    }

    fn checkpoint(&self, epoch: Epoch, at: Timestamp) -> Answer<'_, bool> {
        Box::pin(self.write(move |batch| batch.checkpoint(epoch, at)))
    }

    fn commit_campaign(&self, commit: CampaignCommit) -> Answer<'_, Committed<Campaign>> {
        Box::pin(self.write(move |batch| batch.commit_campaign(commit)))
    }

    fn campaign(&self, id: CampaignId) -> Answer<'_, Option<Committed<Campaign>>> {
        Box::pin(self.read(move |reader| reader.campaign(id)))
    }

    fn campaigns(&self, live: bool, before: Option<CampaignId>, limit: usize) -> Answer<'_, Vec<Committed<Campaign>>> {
        Box::pin(self.read(move |reader| reader.campaigns(live, before, limit)))
    }

    fn cursor<'a>(&'a self, sink: &'a str) -> Answer<'a, u64> {
        let sink = sink.to_owned();
        Box::pin(self.read(move |reader| reader.cursor(&sink)))
    }

    fn move_cursor<'a>(&'a self, sink: &'a str, position: u64) -> Answer<'a, ()> {
        let sink = sink.to_owned();
        Box::pin(self.write(move |batch| batch.move_cursor(&sink, position)))
    }
}

impl Consumers for Sqlite {
    fn roll_call<'a>(&'a self, group: &'a GroupId, role: Role) -> Answer<'a, RollCall> {
        let group = group.clone();
        Box::pin(self.read(move |reader| reader.roll_call(&group, role)))
    }

    fn delivered<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: Role,
        delivery: &'a Delivery,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let begun = self.handed.begin();
            let key = (group.clone(), consumer.clone(), role);
            let recorded = delivery.clone();
            self.write(move |batch| batch.delivered(&key.0, &key.1, key.2, recorded)).await?;
            self.handed.keep(begun, (group.clone(), consumer.clone(), role), delivery);
            Ok(())
        })
    }

    fn handed(&self, group: &GroupId, consumer: &ConsumerId, role: Role) -> Option<Delivery> {
        self.handed.find(group, consumer, role)
    }

    fn delivery<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        nonce: &'a [u8],
    ) -> Answer<'a, Option<Delivery>> {
        let (group, consumer, nonce) = (group.clone(), consumer.clone(), nonce.to_vec());
        Box::pin(self.read(move |reader| reader.delivery(&group, &consumer, &nonce)))
    }

    fn acknowledged<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: Role,
        publication: Publication,
        reach: Reach,
    ) -> Answer<'a, ()> {
        let (group, consumer) = (group.clone(), consumer.clone());
        Box::pin(self.write(move |batch| batch.acknowledged(&group, &consumer, role, publication, reach)))
    }

    fn excuse<'a>(&'a self, group: &'a GroupId, consumer: &'a ConsumerId) -> Answer<'a, ()> {
        Box::pin(async move {
            let _taken_back = self.handed.taking_back(group);
            let (group, consumer) = (group.clone(), consumer.clone());
            self.write(move |batch| batch.excuse(&group, &consumer)).await
        })
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|_| Fault::untouched(FaultKind::Storage, "the operating system gave no thread for the state"))
}

/// A file that does not hold together is refused before anything is built on it.
fn verify_at_start(connection: &Connection, integrity: &Integrity, path: &Path) -> Result<(), Fault> {
    let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= VERIFY_BYTES_MAX);
    let found: Result<Chain, Stop> = (|| {
        let transaction = connection.unchecked_transaction()?;
        let last: i64 = transaction.query_row("SELECT COALESCE(MAX(last), 0) FROM history", [], |row| row.get(0))?;
        if small {
            let sound: String = transaction.pragma_query_value(None, "quick_check", |row| row.get(0))?;
            if sound != "ok" {
                return Err(corrupt(format!("the state {} is torn", path.display())).into());
            }
            verify::rows(&transaction, integrity)?;
        }
        verify::chain(
            &transaction,
            integrity,
            if small { 0 } else { last.unsigned_abs().saturating_sub(VERIFY_RECORDS) },
        )
    })();
    match found.map_err(|stop| stop.fault(path))?.broken {
        None => Ok(()),
        Some(Break { position, why }) => {
            Err(corrupt(format!("the history in {} breaks at position {position}: {why}", path.display())))
        }
    }
}
