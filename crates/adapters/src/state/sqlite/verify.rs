//! Does everything that is stored hold together?

use handover_core::{Fault, Timestamp};
use rusqlite::Connection;

use super::guard::{GroupColumns, Head, Mac, Sum, Table, candidate_mac, cursor_mac, key_mac, roll_mac};
use super::members::{delivery_columns, member_columns};
use super::requests::request_columns;
use super::trouble::{Stop, corrupt, read_int};
use crate::seal::Integrity;
use crate::state::chain;

/// What a walk over the chain found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// How many records the head says there are.
    pub records: u64,
    /// The hash that the head says the last one has, in hexadecimal.
    pub head: String,
    /// The first place that does not hold; `None`: all of it holds.
    pub broken: Option<Break>,
}

/// The first place of a chain that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Break {
    /// The position.
    pub position: u64,
    /// What is wrong there.
    pub why: &'static str,
}

/// Walks the chain after `from` up to the head. The caller holds a transaction, so that both belong together.
pub(super) fn chain(connection: &Connection, integrity: &Integrity, from: i64) -> Result<Chain, Stop> {
    let head = connection.query_row(Head::SELECT, [], |row| Head::read(row, integrity))??;
    let found = |broken| -> Result<Chain, Stop> {
        Ok(Chain { records: read_int(head.position)?, head: hex::encode(head.hash), broken })
    };
    let at = |position: i64, why| Some(Break { position: position.unsigned_abs(), why });
    let mut hash = hash_at(connection, from)?.unwrap_or(chain::START);
    let mut statement = connection
        .prepare("SELECT position, group_name, at, body, hash FROM records WHERE position > ?1 ORDER BY position")?;
    let mut rows = statement.query([from])?;
    let mut expected = from + 1;
    while let Some(row) = rows.next()? {
        let position: i64 = row.get(0)?;
        if position != expected {
            return found(at(expected, "the record is missing"));
        }
        if position > head.position {
            return found(at(position, "the record stands behind the head: it was put there by somebody else"));
        }
        let (group, time): (String, i64) = (row.get(1)?, row.get(2)?);
        let (body, stored): (String, Vec<u8>) = (row.get(3)?, row.get(4)?);
        hash = chain::link(&hash, position.unsigned_abs(), &group, Timestamp(time), &body);
        if stored != hash {
            return found(at(position, "the record does not follow the one before: one of them was edited or moved"));
        }
        expected += 1;
    }
    if expected <= head.position {
        return found(at(expected, "the record is missing: the end was cut off"));
    }
    if hash != head.hash {
        return found(at(head.position, "the record is not the one that the head names"));
    }
    found(None)
}

pub(super) fn hash_at(connection: &Connection, position: i64) -> Result<Option<chain::Hash>, Stop> {
    if position == 0 {
        return Ok(None);
    }
    let hash: Vec<u8> =
        connection.query_row("SELECT hash FROM records WHERE position = ?1", [position], |row| row.get(0))?;
    Ok(Some(hash.try_into().map_err(|_| corrupt("a hash in the chain is torn".to_owned()))?))
}

/// Checks every guarded row, and that none is missing, doubled or from an earlier time. Gives back how many there are.
pub(super) fn rows(connection: &Connection, integrity: &Integrity) -> Result<u64, Stop> {
    let head = connection.query_row(Head::SELECT, [], |row| Head::read(row, integrity))??;
    let mut check = Check { connection, integrity, sum: Sum::EMPTY, rows: 0 };
    let schema: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for table in Table::ALL.into_iter().filter(|table| table.since() <= schema) {
        match table {
            Table::Groups => check.groups()?,
            Table::Keys => check.keys()?,
            Table::Candidates => check.candidates()?,
            Table::Cursors => check.cursors()?,
            Table::Rolls => check.rolls()?,
            Table::Members => check.members()?,
            Table::Deliveries => check.deliveries()?,
            Table::Requests => check.requests()?,
        }
    }
    if !check.sum.matches(&head.sum) {
        return Err(corrupt("a row was deleted, or set back to what it was before".to_owned()).into());
    }
    Ok(check.rows)
}

struct Check<'a> {
    connection: &'a Connection,
    integrity: &'a Integrity,
    sum: Sum,
    rows: u64,
}

impl Check<'_> {
    fn row(&mut self, table: Table, name: &str, stored: &[u8], mac: &Mac) -> Result<(), Fault> {
        if !mac.matches(stored) {
            return Err(corrupt(format!("a row of the table {} was edited: that of {name}", table.name())));
        }
        self.sum.toggle(self.integrity, table, mac);
        self.rows += 1;
        Ok(())
    }

    fn groups(&mut self) -> Result<(), Stop> {
        let mut statement = self.connection.prepare("SELECT name, version, due_at, body, plan, mac FROM groups")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, body, plan): (String, String, Option<String>) = (row.get(0)?, row.get(3)?, row.get(4)?);
            let columns = GroupColumns {
                name: &name,
                version: row.get(1)?,
                due_at: row.get(2)?,
                body: &body,
                plan: plan.as_deref(),
            };
            self.row(Table::Groups, &name, &row.get::<_, Vec<u8>>(5)?, &columns.mac(self.integrity))?;
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<(), Stop> {
        let mut statement = self.connection.prepare("SELECT group_name, wrapped FROM keys")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, wrapped): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let mac = key_mac(self.integrity, &name, &wrapped);
            self.row(Table::Keys, &name, &mac, &mac)?;
        }
        Ok(())
    }

    fn candidates(&mut self) -> Result<(), Stop> {
        let mut statement =
            self.connection.prepare("SELECT group_name, generation, candidate, sealed FROM candidates")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(3)?);
            let mac = candidate_mac(self.integrity, &name, row.get(1)?, row.get(2)?, &sealed);
            self.row(Table::Candidates, &name, &mac, &mac)?;
        }
        Ok(())
    }

    fn cursors(&mut self) -> Result<(), Stop> {
        let mut statement = self.connection.prepare("SELECT sink, position, mac FROM cursors")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let mac = cursor_mac(self.integrity, &name, row.get(1)?);
            self.row(Table::Cursors, &name, &row.get::<_, Vec<u8>>(2)?, &mac)?;
        }
        Ok(())
    }

    fn rolls(&mut self) -> Result<(), Stop> {
        let mut statement = self.connection.prepare("SELECT group_name, complete, mac FROM rolls")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let mac = roll_mac(self.integrity, &name, row.get(1)?);
            self.row(Table::Rolls, &name, &row.get::<_, Vec<u8>>(2)?, &mac)?;
        }
        Ok(())
    }

    fn members(&mut self) -> Result<(), Stop> {
        let mut statement = self
            .connection
            .prepare("SELECT group_name, role, consumer, declared, acked_publication, acked_reach, mac FROM members")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (columns, stored) = member_columns(row)?;
            self.row(Table::Members, &columns.group, &stored, &columns.mac(self.integrity))?;
        }
        Ok(())
    }

    fn deliveries(&mut self) -> Result<(), Stop> {
        let mut statement = self
            .connection
            .prepare("SELECT group_name, consumer, nonce, publication, generation, mac FROM deliveries")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (columns, stored) = delivery_columns(row)?;
            self.row(Table::Deliveries, &columns.group, &stored, &columns.mac(self.integrity))?;
        }
        Ok(())
    }

    fn requests(&mut self) -> Result<(), Stop> {
        let mut statement = self.connection.prepare("SELECT caller, key, digest, at, answer, mac FROM requests")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (columns, stored) = request_columns(row)?;
            self.row(Table::Requests, &columns.caller, &stored, &columns.mac(self.integrity))?;
        }
        Ok(())
    }
}
