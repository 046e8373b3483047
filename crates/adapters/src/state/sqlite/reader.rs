//! Threads that read, each on a connection of its own that cannot write.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use handover_core::port::{Committed, Loaded, Record};
use handover_core::{Candidate, Fault, Generation, GroupId, Timestamp, Touched};
use handover_secret::Secret;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::guard::{GroupColumns, candidate_key, cursor_mac, plan_mac};
use super::segment::{self, Kept, Records};
use super::trouble::{Stop, corrupt, read_int};
use super::writer::lost;
use crate::seal::{Integrity, Place, Purpose, Sealer};
use crate::state::rows;

/// The most that one call lists, whatever it asks for.
const LIST_MAX: usize = 100_000;

/// What a tick reads: the index alone, and of it no more than is due and one.
pub(super) const DUE: &str = "SELECT name, due_at FROM groups WHERE due_at IS NOT NULL ORDER BY due_at, name LIMIT ?1";

/// Where a group's history begins, read backwards.
const LAST_RECORD: &str = "SELECT last_record FROM groups WHERE name = ?1
     UNION ALL SELECT last_record FROM rowless WHERE group_name = ?1 LIMIT 1";

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
        let mut statement = self.connection.prepare_cached(
            "SELECT version, due_at, groups.body, groups.mac, plans.body, plans.mac
             FROM groups LEFT JOIN plans ON plans.group_name = name WHERE name = ?1",
        )?;
        let mut found = statement.query([group.as_str()])?;
        let Some(row) = found.next()? else { return Ok(None) };
        let (name, body) = (group.as_str(), row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
        let columns = GroupColumns { name, version: row.get(0)?, due_at: row.get(1)?, body };
        let plan = row.get_ref(4)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        let (mac, mac_of_plan): (Vec<u8>, Option<Vec<u8>>) = (row.get(3)?, row.get(5)?);
        let plan_holds =
            plan.is_none_or(|plan| plan_mac(&self.integrity, name, plan).matches(&mac_of_plan.unwrap_or_default()));
        if !columns.mac(&self.integrity).matches(&mac) || !plan_holds {
            return Err(corrupt(format!("the row of {group} was edited")).into());
        }
        let plan = plan.map(rows::read_plan).transpose()?;
        Ok(Some(Loaded { row: Committed::vouch(rows::read_row(body)?), plan }))
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
        let limit = limit.min(LIST_MAX);
        let transaction = self.connection.unchecked_transaction()?;
        let mut statement =
            transaction.prepare_cached("SELECT last, body FROM history WHERE last > ?1 ORDER BY last")?;
        let mut segments = statement.query([start])?;
        let (mut records, mut previous) = (Vec::new(), None);
        while records.len() < limit
            && let Some(row) = segments.next()?
        {
            let last: i64 = row.get(0)?;
            let segment = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let before = records.len();
            for kept in Records::of(segment).skip_while(|kept| kept.position <= after).take(limit - before) {
                let hash = match previous {
                    Some(hash) => hash,
                    None => segment::hash_at(&transaction, after)?,
                };
                let position = after + records.len() as u64 + 1;
                if kept.position != position || !kept.follows(&hash) {
                    return Err(segment::breaks(position).into());
                }
                previous = Some(kept.hash()?);
                records.push(kept.record()?);
            }
            let reached = after + records.len() as u64;
            if records.len() < limit && reached != last.unsigned_abs() {
                return Err(segment::breaks(reached + 1).into());
            }
        }
        Ok(records)
    }

    /// Reads history backwards. Each record is held against the one before it, whosever that is.
    pub(super) fn history(&self, of: Option<&GroupId>, before: Option<u64>, limit: usize) -> Result<Vec<Record>, Stop> {
        let limit = limit.min(LIST_MAX);
        let transaction = self.connection.unchecked_transaction()?;
        let mut next = match of {
            Some(group) => last_of_group_before(&transaction, group, before)?,
            None => {
                let last: i64 = transaction
                    .prepare_cached("SELECT COALESCE(MAX(last), 0) FROM history")?
                    .query_row([], |row| row.get(0))?;
                before.map_or(u64::MAX, |before| before.saturating_sub(1)).min(read_int(last)?)
            }
        };
        let mut walk = Backwards { connection: &transaction, segment: Vec::new() };
        let mut records = Vec::new();
        while next > 0 && records.len() < limit {
            let kept = walk.at(next)?;
            next = match of {
                Some(group) => kept.before_of(group)?,
                None => next - 1,
            };
            records.push(kept.record()?);
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

/// The last record of a group before a position; 0 if there is none.
fn last_of_group_before(connection: &Connection, group: &GroupId, before: Option<u64>) -> Result<u64, Stop> {
    let before = before.unwrap_or(u64::MAX);
    // Whoever reads page by page names the last record of the page before: the one to go on with is written in it.
    let segment = segment::holding(connection, before)?;
    if let Ok(kept) = segment::find(&segment, before)
        && kept.is_of(group)
    {
        return Ok(kept.before_of(group)?);
    }
    let last: Option<i64> =
        connection.prepare_cached(LAST_RECORD)?.query_row([group.as_str()], |row| row.get(0)).optional()?;
    let mut next = read_int(last.unwrap_or_default())?;
    let mut walk = Backwards { connection, segment };
    while next > 0 && next >= before {
        next = walk.at(next)?.before_of(group)?;
    }
    Ok(next)
}

/// Records one by one, from the newest to older ones; a segment is read once for all that lie in it.
struct Backwards<'a> {
    connection: &'a Connection,
    segment: Vec<u8>,
}

impl Backwards<'_> {
    fn at(&mut self, position: u64) -> Result<Kept<'_>, Stop> {
        if segment::find(&self.segment, position).is_err() {
            self.segment = segment::holding(self.connection, position)?;
        }
        let kept = segment::find(&self.segment, position)?;
        // What stands before a segment's first record is the end of the segment before.
        let follows = if kept.is_first_of(&self.segment) {
            kept.follows(&segment::hash_at(self.connection, position - 1)?)
        } else {
            kept.holds()
        };
        if follows { Ok(kept) } else { Err(segment::breaks(position).into()) }
    }
}

fn group(name: &str) -> Result<GroupId, Fault> {
    GroupId::parse(name).map_err(|_| corrupt("a stored group has no valid name".to_owned()))
}
