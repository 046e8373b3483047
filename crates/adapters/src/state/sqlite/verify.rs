//! Does everything that is stored hold together?

use std::collections::HashMap;

use handover_core::Fault;
use rusqlite::Connection;

use super::campaigns::campaign_columns;
use super::guard::{GroupColumns, Head, Mac, Sum, Table, candidate_mac, cursor_mac, key_mac, plan_mac, roll_mac};
use super::members::{delivery_columns, member_columns};
use super::requests::request_columns;
use super::segment::{Records, hash_at};
use super::trouble::{Stop, corrupt, read_int, stored_int};
use crate::seal::Integrity;

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
pub(super) fn chain(connection: &Connection, integrity: &Integrity, from: u64) -> Result<Chain, Stop> {
    let head = connection.query_row(Head::SELECT, [], |row| Head::read(row, integrity))??;
    let end: u64 = read_int(head.position)?;
    let found =
        |position, why| Ok(Chain { records: end, head: hex::encode(head.hash), broken: Some(Break { position, why }) });
    let mut hash = hash_at(connection, from)?;
    let mut statement = connection.prepare("SELECT last, body FROM history WHERE last > ?1 ORDER BY last")?;
    let mut segments = statement.query([stored_int(from)?])?;
    let (mut expected, mut groups) = (from + 1, LastOfGroups::default());
    while let Some(row) = segments.next()? {
        let (last, segment) = (row.get::<_, i64>(0)?, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        for record in Records::of(segment).skip_while(|record| record.position <= from) {
            let position = record.position;
            if position != expected {
                return found(expected, "the record is missing");
            }
            if position > end {
                return found(position, "the record stands behind the head: it was put there by somebody else");
            }
            if !record.follows(&hash) {
                let why = "the record does not follow the one before: one of them was edited or moved";
                return found(position, why);
            }
            if from == 0 && groups.replace(record.group, position) != record.before {
                return found(position, "the record does not name the one before it of the same group");
            }
            hash = record.hash()?;
            expected += 1;
        }
        if last.unsigned_abs() + 1 != expected {
            return found(expected, "the record is missing");
        }
    }
    if expected <= end {
        return found(expected, "the record is missing: the end was cut off");
    }
    if hash != head.hash {
        return found(end, "the record is not the one that the head names");
    }
    if from == 0
        && let Some(position) = groups.differs(connection)?
    {
        return found(position, "the history of a group does not end with its last record, where its row says so");
    }
    Ok(Chain { records: end, head: hex::encode(head.hash), broken: None })
}

/// The last record of each group that was seen.
#[derive(Default)]
struct LastOfGroups(HashMap<Vec<u8>, u64>);

impl LastOfGroups {
    /// Puts another one in its place; 0 stands for none.
    fn replace(&mut self, group: &[u8], position: u64) -> u64 {
        match self.0.get_mut(group) {
            Some(last) => std::mem::replace(last, position),
            None => self.0.insert(group.to_vec(), position).unwrap_or_default(),
        }
    }

    /// The last record of a group for which something else is kept, from where its history would be read backwards.
    fn differs(mut self, connection: &Connection) -> Result<Option<u64>, Stop> {
        let mut statement = connection.prepare(
            "SELECT name, last_record FROM groups WHERE last_record <> 0 UNION ALL SELECT group_name, last_record FROM rowless",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, kept): (String, i64) = (row.get(0)?, row.get(1)?);
            let last = self.0.remove(name.as_bytes());
            if last != Some(kept.unsigned_abs()) {
                return Ok(Some(last.unwrap_or(kept.unsigned_abs())));
            }
        }
        Ok(self.0.into_values().min())
    }
}

/// Checks every guarded row, and that none is missing, doubled or from an earlier time. Gives back how many there are.
pub(super) fn rows(connection: &Connection, integrity: &Integrity) -> Result<u64, Stop> {
    let head = connection.query_row(Head::SELECT, [], |row| Head::read(row, integrity))??;
    let mut check = Check { connection, integrity, sum: Sum::EMPTY, rows: 0 };
    for table in Table::ALL {
        match table {
            Table::Groups => check.groups()?,
            Table::Plans => check.plans()?,
            Table::Keys => check.keys()?,
            Table::Candidates => check.candidates()?,
            Table::Cursors => check.cursors()?,
            Table::Rolls => check.rolls()?,
            Table::Members => check.members()?,
            Table::Deliveries => check.deliveries()?,
            Table::Requests => check.requests()?,
            Table::Campaigns => check.campaigns()?,
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
        let mut statement = self.connection.prepare("SELECT name, version, due_at, body, mac FROM groups")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, body): (String, String) = (row.get(0)?, row.get(3)?);
            let columns = GroupColumns { name: &name, version: row.get(1)?, due_at: row.get(2)?, body: &body };
            self.row(Table::Groups, &name, &row.get::<_, Vec<u8>>(4)?, &columns.mac(self.integrity))?;
        }
        Ok(())
    }

    fn plans(&mut self) -> Result<(), Stop> {
        let mut statement = self.connection.prepare("SELECT group_name, body, mac FROM plans")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, body): (String, String) = (row.get(0)?, row.get(1)?);
            let mac = plan_mac(self.integrity, &name, &body);
            self.row(Table::Plans, &name, &row.get::<_, Vec<u8>>(2)?, &mac)?;
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

    /// A file of an earlier schema has no such table, and what is only looked at is not migrated. One that was taken away
    /// shows in the sum of all rows.
    fn campaigns(&mut self) -> Result<(), Stop> {
        let there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'campaigns')";
        if !self.connection.query_row(there, [], |row| row.get::<_, bool>(0))? {
            return Ok(());
        }
        let mut statement = self.connection.prepare("SELECT id, version, live, body, mac FROM campaigns")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (columns, stored) = campaign_columns(row)?;
            self.row(Table::Campaigns, &columns.id.to_string(), &stored, &columns.mac(self.integrity))?;
        }
        Ok(())
    }
}
