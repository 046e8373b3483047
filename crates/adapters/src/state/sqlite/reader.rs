//! Threads that read, each on a connection of its own that cannot write.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use handover_core::port::{Committed, Loaded, Record};
use handover_core::{Candidate, Fault, Generation, GroupId, Timestamp, Touched};
use handover_secret::Secret;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::guard::{GroupColumns, candidate_key, cursor_mac};
use super::trouble::{Stop, corrupt, read_int};
use super::verify;
use super::writer::lost;
use crate::seal::{Integrity, Place, Purpose, Sealer};
use crate::state::{chain, rows};

/// The most that one call lists, whatever it asks for.
const LIST_MAX: usize = 100_000;

/// What a tick reads: the index alone, and of it no more than is due and one.
pub(super) const DUE: &str = "SELECT name, due_at FROM groups WHERE due_at IS NOT NULL ORDER BY due_at, name LIMIT ?1";

/// A group's history, the newest first: the index alone, and for each record found the record and the one before it.
pub(super) const HISTORY_OF: &str =
    "SELECT records.position, records.group_name, records.at, records.body, records.hash, before.hash
     FROM records LEFT JOIN records AS before ON before.position = records.position - 1
     WHERE records.group_name = ?3 AND records.position < ?1 ORDER BY records.position DESC LIMIT ?2";

/// All history, the newest first.
const HISTORY: &str = "SELECT records.position, records.group_name, records.at, records.body, records.hash, before.hash
     FROM records LEFT JOIN records AS before ON before.position = records.position - 1
     WHERE records.position < ?1 ORDER BY records.position DESC LIMIT ?2";

/// One piece of reading.
pub(super) type Look = Box<dyn FnOnce(&Reader) + Send>;

/// Makes a look of a piece of reading, and what its answer arrives by.
pub(super) fn look<T, W>(work: W) -> (Look, oneshot::Receiver<Result<T, Fault>>)
where
    T: Send + 'static,
    W: FnOnce(&Reader) -> Result<T, Stop> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let look = Box::new(move |reader: &Reader| {
        let found = if reader.lost.load(Ordering::Acquire) {
            Err(Fault { touched: Touched::Nothing, ..lost(&reader.path) })
        } else {
            work(reader).map_err(|stop| stop.fault(&reader.path))
        };
        // Whoever asked may be gone; nothing was changed.
        let _ = reply.send(found);
    });
    (look, answer)
}

/// What such a thread owns.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) integrity: Arc<Integrity>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) path: PathBuf,
    pub(super) lost: Arc<AtomicBool>,
}

impl Reader {
    /// Works until every sender is gone.
    pub(super) fn run(self, looks: &Mutex<mpsc::Receiver<Look>>) {
        loop {
            let next = looks.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(look) = next else { return };
            look(&self);
        }
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Result<(Vec<GroupId>, Option<Timestamp>), Stop> {
        let limit = limit.min(LIST_MAX);
        let mut statement = self.connection.prepare_cached(DUE)?;
        let mut rows = statement.query([limit + 1])?;
        let mut due = Vec::new();
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(1)?;
            if at > now.0 || due.len() == limit {
                return Ok((due, Some(Timestamp(at))));
            }
            due.push(group(&row.get::<_, String>(0)?)?);
        }
        Ok((due, None))
    }

    pub(super) fn load(&self, group: &GroupId) -> Result<Option<Loaded>, Stop> {
        type Columns = (i64, Option<i64>, String, Option<String>, Vec<u8>);
        let found: Option<Columns> = self
            .connection
            .prepare_cached("SELECT version, due_at, body, plan, mac FROM groups WHERE name = ?1")?
            .query_row([group.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .optional()?;
        let Some((version, due_at, body, plan, mac)) = found else { return Ok(None) };
        let columns = GroupColumns { name: group.as_str(), version, due_at, body: &body, plan: plan.as_deref() };
        if !columns.mac(&self.integrity).matches(&mac) {
            return Err(corrupt(format!("the row of {group} was edited")).into());
        }
        let row = rows::read_row(&body)?;
        let plan = plan.as_deref().map(rows::read_plan).transpose()?;
        Ok(Some(Loaded { row: Committed::vouch(row), plan }))
    }

    pub(super) fn groups(&self) -> Result<Vec<GroupId>, Stop> {
        let mut statement = self.connection.prepare_cached("SELECT name FROM groups ORDER BY name")?;
        let mut rows = statement.query([])?;
        let mut groups = Vec::new();
        while let Some(row) = rows.next()? {
            groups.push(group(&row.get::<_, String>(0)?)?);
        }
        Ok(groups)
    }

    pub(super) fn candidates(&self, group: &GroupId) -> Result<Vec<(Generation, Candidate)>, Stop> {
        let mut statement = self.connection.prepare_cached(
            "SELECT generation, candidate FROM candidates WHERE group_name = ?1 ORDER BY generation, candidate",
        )?;
        let mut rows = statement.query([group.as_str()])?;
        let mut candidates = Vec::new();
        while let Some(row) = rows.next()? {
            let (generation, candidate): (i64, i64) = (row.get(0)?, row.get(1)?);
            let candidate = u32::try_from(candidate)
                .map_err(|_| corrupt(format!("a sealed value of {group} bears a number that nobody gave")))?;
            candidates.push((Generation(generation.unsigned_abs()), Candidate(candidate)));
        }
        Ok(candidates)
    }

    pub(super) fn candidate(
        &self,
        group: &GroupId,
        generation: Generation,
        candidate: Candidate,
    ) -> Result<Option<Secret>, Stop> {
        let (stored_generation, stored_candidate) = candidate_key(generation, candidate)?;
        let found: Option<(Vec<u8>, Option<Vec<u8>>)> = self
            .connection
            .prepare_cached(
                "SELECT sealed, wrapped FROM candidates LEFT JOIN keys USING (group_name)
                 WHERE group_name = ?1 AND generation = ?2 AND candidate = ?3",
            )?
            .query_row(params![group.as_str(), stored_generation, stored_candidate], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((sealed, wrapped)) = found else { return Ok(None) };
        let wrapped = wrapped.ok_or_else(|| corrupt(format!("the data key of {group} is gone")))?;
        let place = Place { group, generation, candidate, purpose: Purpose::Candidate };
        Ok(Some(self.sealer.open_key(group, &wrapped)?.open(place, &sealed)?))
    }

    /// Reads a page of history, and follows its links: what was edited is not handed to any sink.
    pub(super) fn records(&self, after: u64, limit: usize) -> Result<Vec<Record>, Stop> {
        // A position that no record can have: there is nothing after it.
        let Ok(start) = i64::try_from(after) else { return Ok(Vec::new()) };
        let transaction = self.connection.unchecked_transaction()?;
        let mut statement = transaction.prepare_cached(
            "SELECT position, group_name, at, body, hash FROM records WHERE position > ?1 ORDER BY position LIMIT ?2",
        )?;
        let mut rows = statement.query(params![start, limit.min(LIST_MAX)])?;
        let (mut records, mut previous) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            let record = record(row)?;
            let before = match previous {
                Some(hash) => hash,
                None => verify::hash_at(&transaction, start)?.unwrap_or(chain::START),
            };
            let position = after + records.len() as u64 + 1;
            let hash = chain::follows(&before, position, &record)
                .ok_or_else(|| corrupt(format!("the history breaks at position {position}")))?;
            previous = Some(hash);
            records.push(record);
        }
        Ok(records)
    }

    /// Reads history backwards. Each record is held against the one before it, whosever that is.
    pub(super) fn history(&self, of: Option<&GroupId>, before: Option<u64>, limit: usize) -> Result<Vec<Record>, Stop> {
        let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
        let limit = limit.min(LIST_MAX);
        let mut statement = self.connection.prepare_cached(if of.is_some() { HISTORY_OF } else { HISTORY })?;
        let mut rows = match of {
            Some(group) => statement.query(params![before, limit, group.as_str()])?,
            None => statement.query(params![before, limit])?,
        };
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let record = record(row)?;
            let breaks = || corrupt(format!("the history breaks at position {}", record.position));
            let previous = match row.get::<_, Option<Vec<u8>>>(5)? {
                Some(hash) => hash.try_into().map_err(|_| breaks())?,
                None if record.position == 1 => chain::START,
                None => return Err(breaks().into()),
            };
            chain::follows(&previous, record.position, &record).ok_or_else(breaks)?;
            records.push(record);
        }
        Ok(records)
    }

    pub(super) fn cursor(&self, sink: &str) -> Result<u64, Stop> {
        let found: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT position, mac FROM cursors WHERE sink = ?1")?
            .query_row([sink], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((position, mac)) = found else { return Ok(0) };
        if !cursor_mac(&self.integrity, sink, position).matches(&mac) {
            return Err(corrupt(format!("the cursor of the sink {sink} was edited")).into());
        }
        Ok(read_int(position)?)
    }
}

/// The columns `position, group_name, at, body, hash`, in this order.
fn record(row: &rusqlite::Row<'_>) -> Result<Record, Stop> {
    Ok(Record {
        position: read_int(row.get(0)?)?,
        group: group(&row.get::<_, String>(1)?)?,
        at: Timestamp(row.get(2)?),
        body: row.get(3)?,
        hash: hex::encode(row.get::<_, Vec<u8>>(4)?),
    })
}

fn group(name: &str) -> Result<GroupId, Fault> {
    GroupId::parse(name).map_err(|_| corrupt("a stored group has no valid name".to_owned()))
}
