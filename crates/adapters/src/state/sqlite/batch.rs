//! What may be done within one transaction.

use handover_core::port::{Commit, Committed, Entry};
use handover_core::{Candidate, Epoch, Fault, FaultKind, Generation, GroupId, Row, RowVersion, Timestamp};
use handover_secret::Secret;
use rusqlite::{Connection, OptionalExtension, params};

use super::guard::{GroupColumns, Head, Table, candidate_key, candidate_mac, cursor_mac, key_mac};
use super::trouble::{Stop, corrupt, read_int, stored_int};
use crate::seal::{DataKey, Integrity, Place, Purpose, Sealer};
use crate::state::{chain, checkpoint, rows};

/// One transaction. Whatever refuses a piece of work does so before its first write: the others go on.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) integrity: &'a Integrity,
    sealer: &'a Sealer,
    head: Head,
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
        Ok(Self { connection, integrity, sealer, head, lease, changed: false })
    }

    /// Writes the head, if anything changed. Gives back the lease.
    pub(super) fn finish(self) -> Result<Option<Epoch>, Stop> {
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
        let (version, old_mac, old_plan) = match stored {
            Some(Stored { version, mac, plan }) => (Some(version), Some(mac), plan),
            None => (None, None, None),
        };
        if version != expect.map(|expect| stored_int(expect.0)).transpose()? {
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
        let plan = plan.map(|plan| rows::write_plan(&plan)).or(old_plan);
        self.put_group(
            &GroupColumns {
                name: row.group.as_str(),
                version,
                due_at: due_at.map(|at| at.0),
                body: &rows::write_row(&row),
                plan: plan.as_deref(),
            },
            old_mac.as_deref(),
        )?;
        for generation in erase {
            self.erase(row.group.as_str(), generation)?;
        }
        if let Some(sealed) = sealed {
            self.keep(row.group.as_str(), sealed)?;
        }
        for entry in &entries {
            self.record(&row.group, entry, epoch, Some(row.version))?;
        }
        Ok(Committed::vouch(row))
    }

    /// Appends history that belongs to no change of a row.
    pub(super) fn append(&mut self, group: &GroupId, epoch: Epoch, entry: &Entry) -> Result<(), Stop> {
        self.fence(epoch)?;
        self.record(group, entry, epoch, None)?;
        Ok(())
    }

    /// Appends a checkpoint over the head, unless there is nothing, or the head is one.
    pub(super) fn checkpoint(&mut self, epoch: Epoch, at: Timestamp) -> Result<bool, Stop> {
        self.fence(epoch)?;
        let last: Option<String> = self
            .connection
            .prepare_cached("SELECT body FROM records WHERE position = ?1")?
            .query_row([self.head.position], |row| row.get(0))
            .optional()?;
        if last.is_none_or(|body| checkpoint::is_body(&body)) {
            return Ok(false);
        }
        let position = read_int(self.head.position)?;
        let entry = checkpoint::entry(self.sealer.signer(), position, &self.head.hash, at);
        self.record(&checkpoint::group(), &entry, epoch, None)?;
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

    /// The row as it stands, checked: a commit may keep its plan, and must not sign an edit.
    pub(super) fn stored(&self, group: &GroupId, expect: Option<RowVersion>) -> Result<Option<Stored>, Stop> {
        type Columns = (i64, Option<i64>, String, Option<String>, Vec<u8>);
        let found: Option<Columns> = self
            .connection
            .prepare_cached("SELECT version, due_at, body, plan, mac FROM groups WHERE name = ?1")?
            .query_row([group.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .optional()?;
        if found.is_none() && expect.is_some() {
            return Err(fenced(format!("there is no row of {group} any more; load it again")).into());
        }
        let Some((version, due_at, body, plan, mac)) = found else { return Ok(None) };
        let columns = GroupColumns { name: group.as_str(), version, due_at, body: &body, plan: plan.as_deref() };
        if !columns.mac(self.integrity).matches(&mac) {
            return Err(corrupt(format!("the row of {group} was edited")).into());
        }
        Ok(Some(Stored { version, mac, plan }))
    }

    fn put_group(&mut self, columns: &GroupColumns<'_>, old_mac: Option<&[u8]>) -> Result<(), rusqlite::Error> {
        let mac = columns.mac(self.integrity);
        let sql = if old_mac.is_some() {
            "UPDATE groups SET version = ?2, due_at = ?3, body = ?4, plan = ?5, mac = ?6 WHERE name = ?1"
        } else {
            "INSERT INTO groups (name, version, due_at, body, plan, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        };
        self.connection.prepare_cached(sql)?.execute(params![
            columns.name,
            columns.version,
            columns.due_at,
            columns.body,
            columns.plan,
            mac
        ])?;
        self.replaced(Table::Groups, old_mac, Some(&mac));
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

    pub(super) fn record(
        &mut self,
        group: &GroupId,
        entry: &Entry,
        epoch: Epoch,
        row: Option<RowVersion>,
    ) -> Result<(), rusqlite::Error> {
        let body = chain::body(entry, epoch, row);
        let position = self.head.position + 1;
        let hash = chain::link(&self.head.hash, position.unsigned_abs(), group.as_str(), entry.at, &body);
        self.connection
            .prepare_cached("INSERT INTO records (position, group_name, at, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![position, group.as_str(), entry.at.0, body, hash])?;
        self.head.position = position;
        self.head.hash = hash;
        self.changed = true;
        Ok(())
    }
}

pub(super) struct Stored {
    pub(super) version: i64,
    pub(super) mac: Vec<u8>,
    plan: Option<String>,
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
