//! What may be done within one transaction.

use handover_core::port::{Commit, Committed, Entry};
use handover_core::{Candidate, Epoch, Fault, FaultKind, Generation, GroupId, Row, RowVersion, Timestamp};
use handover_secret::Secret;
use rusqlite::{Connection, OptionalExtension, params};

use super::guard::{GroupColumns, Head, Table, candidate_key, candidate_mac, cursor_mac, key_mac, plan_mac};
use super::segment::{self, Line, Segment};
use super::trouble::{Stop, corrupt, read_int, stored_int};
use crate::seal::{DataKey, Integrity, Place, Purpose, Sealer};
use crate::state::{checkpoint, rows};

/// One transaction. Whatever refuses a piece of work does so before its first write: the others go on.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) integrity: &'a Integrity,
    sealer: &'a Sealer,
    head: Head,
    /// Records that are not written yet.
    segment: Segment,
    lease: Option<Epoch>,
    changed: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn begin(
        connection: &'a Connection,
        integrity: &'a Integrity,
        sealer: &'a Sealer,
        lease: Option<Epoch>,
    ) -> Result<Self, Stop> {
        let head = connection.prepare_cached(Head::SELECT)?.query_row([], |row| Head::read(row, integrity))??;
        let epoch = Epoch(read_int(head.epoch)?);
        if lease.is_some_and(|ours| ours != epoch) {
            return Err(fenced("another process has taken the state over; this one must end").into());
        }
        Ok(Self { connection, integrity, sealer, head, segment: Segment::default(), lease, changed: false })
    }

    /// Writes the head, if anything changed. Gives back the lease.
    pub(super) fn finish(mut self) -> Result<Option<Epoch>, Stop> {
        self.end_segment()?;
        if self.changed {
            self.connection
                .prepare_cached("UPDATE state SET epoch = ?1, position = ?2, hash = ?3, sum = ?4 WHERE id = 1")?
                .execute(params![
                    self.head.epoch,
                    self.head.position,
                    self.head.hash,
                    self.head.sealed(self.integrity)?
                ])?;
        }
        Ok(self.lease)
    }

    /// Takes the lease; the one that is held already, if it is.
    pub(super) fn lease(&mut self) -> Result<Epoch, Stop> {
        if let Some(held) = self.lease {
            return Ok(held);
        }
        self.head.epoch += 1;
        self.changed = true;
        let epoch = Epoch(read_int(self.head.epoch)?);
        self.lease = Some(epoch);
        Ok(epoch)
    }

    /// Commits one row with all that belongs to it.
    pub(super) fn commit(&mut self, commit: Commit) -> Result<Committed<Row>, Stop> {
        self.fence(commit.epoch)?;
        let Commit { row, plan, expect, epoch, candidate, erase, due_at, entries } = commit;
        if expect.is_some_and(|expect| row.version <= expect) {
            return Err(bug("a row was committed without a higher version").into());
        }
        let stored = self.stored(&row.group, expect)?;
        if stored.as_ref().map(|stored| stored.version) != expect.map(|expect| stored_int(expect.0)).transpose()? {
            return Err(fenced(format!(
                "the row of {} is not at the version that this commit was made for; load it again",
                row.group
            ))
            .into());
        }
        let version = stored_int(row.version.0)?;
        let sealed = candidate.map(|minted| self.seal(&row.group, minted, &erase)).transpose()?;
        let erase = erase.iter().map(|generation| stored_int(generation.0)).collect::<Result<Vec<_>, _>>()?;
        // Nothing was written until here, and nothing is refused after.
        let mut last_record = match &stored {
            Some(stored) => stored.last_record,
            None => self.take_last_record_of_rowless(row.group.as_str())?,
        };
        for entry in &entries {
            last_record = self.record(&row.group, entry, epoch, Some(row.version), last_record)?;
        }
        self.put_group(
            &GroupColumns {
                name: row.group.as_str(),
                version,
                due_at: due_at.map(|at| at.0),
                body: &rows::write_row(&row),
            },
            stored.as_ref().map(|stored| stored.mac.as_slice()),
            last_record,
        )?;
        if let Some(plan) = plan {
            self.put_plan(row.group.as_str(), &rows::write_plan(&plan))?;
        }
        for generation in erase {
            self.erase(row.group.as_str(), generation)?;
        }
        if let Some(sealed) = sealed {
            self.keep(row.group.as_str(), sealed)?;
        }
        Ok(Committed::vouch(row))
    }

    /// Appends history that belongs to no change of a row.
    pub(super) fn append(&mut self, group: &GroupId, epoch: Epoch, entry: &Entry) -> Result<(), Stop> {
        self.fence(epoch)?;
        Ok(self.record_alone(group, entry, epoch)?)
    }

    /// Appends a checkpoint over the head, unless there is nothing, or the head is one.
    pub(super) fn checkpoint(&mut self, epoch: Epoch, at: Timestamp) -> Result<bool, Stop> {
        self.fence(epoch)?;
        let position = read_int(self.head.position)?;
        if position == 0 {
            return Ok(false);
        }
        // The head may be among the records that are not written yet.
        self.end_segment()?;
        let last = segment::holding(self.connection, position)?;
        if checkpoint::is_body(segment::find(&last, position)?.body()?) {
            return Ok(false);
        }
        let entry = checkpoint::entry(self.sealer.signer(), position, &self.head.hash, at);
        self.record_alone(&checkpoint::group(), &entry, epoch)?;
        Ok(true)
    }

    /// Records how far a sink got, unless it was further.
    pub(super) fn move_cursor(&mut self, sink: &str, position: u64) -> Result<(), Stop> {
        let position = stored_int(position)?;
        let old: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT position, mac FROM cursors WHERE sink = ?1")?
            .query_row([sink], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if old.as_ref().is_some_and(|(stored, _)| *stored >= position) {
            return Ok(());
        }
        let mac = cursor_mac(self.integrity, sink, position);
        self.connection
            .prepare_cached(
                "INSERT INTO cursors (sink, position, mac) VALUES (?1, ?2, ?3)
                 ON CONFLICT (sink) DO UPDATE SET position = excluded.position, mac = excluded.mac",
            )?
            .execute(params![sink, position, mac])?;
        self.replaced(Table::Cursors, old.as_ref().map(|(_, mac)| mac.as_slice()), Some(&mac));
        Ok(())
    }

    /// Keeps the sum in step with a guarded row that came, changed or went.
    pub(super) fn replaced(&mut self, table: Table, old: Option<&[u8]>, new: Option<&[u8]>) {
        for mac in old.into_iter().chain(new) {
            self.head.sum.toggle(self.integrity, table, mac);
        }
        self.changed = true;
    }

    pub(super) fn fence(&self, epoch: Epoch) -> Result<(), Fault> {
        match self.lease {
            Some(held) if held == epoch => Ok(()),
            Some(held) => {
                Err(fenced(format!("epoch {epoch} is not the latest, which is {held}; take the lease again")))
            }
            None => Err(fenced("the lease was not taken; take it before committing")),
        }
    }

    /// The row as it stands, checked: what was edited is not written over before anybody noticed.
    pub(super) fn stored(&self, group: &GroupId, expect: Option<RowVersion>) -> Result<Option<Stored>, Stop> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT version, due_at, body, mac, last_record FROM groups WHERE name = ?1")?;
        let mut found = statement.query([group.as_str()])?;
        let Some(row) = found.next()? else {
            if expect.is_some() {
                return Err(fenced(format!("there is no row of {group} any more; load it again")).into());
            }
            return Ok(None);
        };
        let (version, mac): (i64, &[u8]) = (row.get(0)?, row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?);
        let body = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
        let columns = GroupColumns { name: group.as_str(), version, due_at: row.get(1)?, body };
        if !columns.mac(self.integrity).matches(mac) {
            return Err(corrupt(format!("the row of {group} was edited")).into());
        }
        Ok(Some(Stored { version, mac: mac.to_vec(), last_record: row.get(4)? }))
    }

    fn put_group(
        &mut self,
        columns: &GroupColumns<'_>,
        old_mac: Option<&[u8]>,
        last_record: i64,
    ) -> Result<(), rusqlite::Error> {
        let mac = columns.mac(self.integrity);
        let sql = if old_mac.is_some() {
            "UPDATE groups SET version = ?2, due_at = ?3, body = ?4, mac = ?5, last_record = ?6 WHERE name = ?1"
        } else {
            "INSERT INTO groups (name, version, due_at, body, mac, last_record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let GroupColumns { name, version, due_at, body } = columns;
        statement.execute(params![name, version, due_at, body, mac, last_record])?;
        self.replaced(Table::Groups, old_mac, Some(&mac));
        Ok(())
    }

    fn put_plan(&mut self, group: &str, body: &str) -> Result<(), rusqlite::Error> {
        let old: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT mac FROM plans WHERE group_name = ?1")?
            .query_row([group], |row| row.get(0))
            .optional()?;
        let mac = plan_mac(self.integrity, group, body);
        self.connection
            .prepare_cached(
                "INSERT INTO plans (group_name, body, mac) VALUES (?1, ?2, ?3)
                 ON CONFLICT (group_name) DO UPDATE SET body = excluded.body, mac = excluded.mac",
            )?
            .execute(params![group, body, mac])?;
        self.replaced(Table::Plans, old.as_deref(), Some(&mac));
        Ok(())
    }

    /// Seals a candidate under its group's key, which is minted with the first. Writes nothing yet.
    fn seal(
        &self,
        group: &GroupId,
        (generation, candidate, value): (Generation, Candidate, Secret),
        erase: &[Generation],
    ) -> Result<Sealed, Stop> {
        let (stored_generation, stored_candidate) = candidate_key(generation, candidate)?;
        let there: bool = self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM candidates WHERE group_name = ?1 AND generation = ?2 AND candidate = ?3)",
            )?
            .query_row(params![group.as_str(), stored_generation, stored_candidate], |row| row.get(0))?;
        if there && !erase.contains(&generation) {
            return Err(bug(format!("candidate {generation}.{candidate} of {group} was minted twice")).into());
        }
        let (key, minted) = self.key(group)?;
        let place = Place { group, generation, candidate, purpose: Purpose::Candidate };
        let sealed = key.seal(place, &value)?;
        Ok(Sealed { minted, generation: stored_generation, candidate: stored_candidate, sealed })
    }

    fn key(&self, group: &GroupId) -> Result<(DataKey, Option<Vec<u8>>), Stop> {
        let wrapped: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT wrapped FROM keys WHERE group_name = ?1")?
            .query_row([group.as_str()], |row| row.get(0))
            .optional()?;
        Ok(match wrapped {
            Some(wrapped) => (self.sealer.open_key(group, &wrapped)?, None),
            None => {
                let (key, wrapped) = self.sealer.mint_key(group)?;
                (key, Some(wrapped))
            }
        })
    }

    fn keep(&mut self, group: &str, sealed: Sealed) -> Result<(), rusqlite::Error> {
        let Sealed { minted, generation, candidate, sealed } = sealed;
        if let Some(wrapped) = minted {
            self.connection
                .prepare_cached("INSERT INTO keys (group_name, wrapped) VALUES (?1, ?2)")?
                .execute(params![group, wrapped])?;
            let mac = key_mac(self.integrity, group, &wrapped);
            self.replaced(Table::Keys, None, Some(&mac));
        }
        self.connection
            .prepare_cached(
                "INSERT INTO candidates (group_name, generation, candidate, sealed) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![group, generation, candidate, sealed])?;
        let mac = candidate_mac(self.integrity, group, generation, candidate, &sealed);
        self.replaced(Table::Candidates, None, Some(&mac));
        Ok(())
    }

    fn erase(&mut self, group: &str, generation: i64) -> Result<(), rusqlite::Error> {
        let gone: Vec<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "DELETE FROM candidates WHERE group_name = ?1 AND generation = ?2 RETURNING candidate, sealed",
            )?
            .query_map(params![group, generation], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (candidate, sealed) in gone {
            let mac = candidate_mac(self.integrity, group, generation, candidate, &sealed);
            self.replaced(Table::Candidates, Some(&mac), None);
        }
        Ok(())
    }

    /// Appends a record, and gives back its position. `before` is the one before it of the same group.
    pub(super) fn record(
        &mut self,
        group: &GroupId,
        entry: &Entry,
        epoch: Epoch,
        row: Option<RowVersion>,
        before: i64,
    ) -> Result<i64, rusqlite::Error> {
        let position = self.head.position + 1;
        let line = Line { position: position.unsigned_abs(), group, entry, epoch, row, before };
        self.head.hash = self.segment.push(&self.head.hash, &line);
        self.head.position = position;
        self.changed = true;
        if self.segment.is_full() {
            self.end_segment()?;
        }
        Ok(position)
    }

    /// Appends a record that comes with no change of a row.
    pub(super) fn record_alone(&mut self, group: &GroupId, entry: &Entry, epoch: Epoch) -> Result<(), rusqlite::Error> {
        let name = group.as_str();
        let of_row: Option<i64> = self
            .connection
            .prepare_cached("SELECT last_record FROM groups WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        match of_row {
            Some(before) => {
                let position = self.record(group, entry, epoch, None, before)?;
                self.connection
                    .prepare_cached("UPDATE groups SET last_record = ?2 WHERE name = ?1")?
                    .execute(params![name, position])?;
            }
            None => {
                let before = self.take_last_record_of_rowless(name)?;
                let position = self.record(group, entry, epoch, None, before)?;
                self.set_last_record_of_rowless(name, position)?;
            }
        }
        Ok(())
    }

    pub(super) fn set_last_record_of_rowless(&self, group: &str, position: i64) -> Result<(), rusqlite::Error> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO rowless (group_name, last_record) VALUES (?1, ?2)")?
            .execute(params![group, position])?;
        Ok(())
    }

    fn take_last_record_of_rowless(&self, group: &str) -> Result<i64, rusqlite::Error> {
        let taken = self
            .connection
            .prepare_cached("DELETE FROM rowless WHERE group_name = ?1 RETURNING last_record")?
            .query_row([group], |row| row.get(0))
            .optional()?;
        Ok(taken.unwrap_or_default())
    }

    fn end_segment(&mut self) -> Result<(), rusqlite::Error> {
        if !self.segment.is_empty() {
            self.connection
                .prepare_cached("INSERT INTO history (last, body) VALUES (?1, ?2)")?
                .execute(params![self.head.position, self.segment.bytes()])?;
            self.segment.clear();
        }
        Ok(())
    }
}

pub(super) struct Stored {
    pub(super) version: i64,
    pub(super) mac: Vec<u8>,
    pub(super) last_record: i64,
}

struct Sealed {
    minted: Option<Vec<u8>>,
    generation: i64,
    candidate: i64,
    sealed: Vec<u8>,
}

pub(super) fn fenced(detail: impl Into<String>) -> Fault {
    Fault::untouched(FaultKind::Fenced, detail)
}

fn bug(detail: impl Into<String>) -> Fault {
    Fault::untouched(FaultKind::Bug, detail)
}
