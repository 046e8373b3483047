//! The floor of everything that is committed: a bare loop that writes the rows and records that an engine wrote, each as
//! one row of a table, with one connection, without sealing, fences or checksums of rows.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use handover_adapters::state::chain;
use handover_adapters::state::sqlite::Reading;
use handover_core::Timestamp;
use handover_core::port::Record;
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::{Trouble, world};

/// What is written, in the simplest form that can be asked what is due, and for the history of one group. A plan is
/// written once, and not here.
const SCHEMA: &str = "
    CREATE TABLE state (id INTEGER PRIMARY KEY, position INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
    CREATE TABLE groups (
        name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, due_at INTEGER, body TEXT NOT NULL, mac BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX groups_by_due ON groups (due_at, name) WHERE due_at IS NOT NULL;
    CREATE TABLE records (
        position INTEGER PRIMARY KEY, group_name TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL
    ) STRICT;
    CREATE INDEX records_by_group ON records (group_name, position);";

/// What an engine wrote, to be written again.
pub(crate) struct Tape {
    rows: HashMap<String, String>,
    pieces: Vec<Piece>,
}

/// One commit: a row, and its history.
struct Piece {
    group: String,
    version: i64,
    records: Vec<(i64, String)>,
}

#[derive(Deserialize)]
struct Body {
    row: Option<i64>,
}

impl Tape {
    /// Reads what was committed after a position of the history.
    pub(crate) fn read(path: &Path, after: u64) -> Result<Self, Trouble> {
        let connection = Connection::open(path).map_err(words)?;
        let mut statement = connection.prepare("SELECT name, body FROM groups").map_err(words)?;
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).map_err(words)?;
        let mut pieces: Vec<Piece> = Vec::new();
        for Record { group, at, body, .. } in records(path, after)? {
            let (group, Timestamp(at)) = (group.to_string(), at);
            let Body { row } = serde_json::from_str(&body).map_err(|error| format!("a record is odd: {error}"))?;
            let Some(version) = row else { continue };
            match pieces.last_mut().filter(|last| last.group == group && last.version == version) {
                Some(last) => last.records.push((at, body)),
                None => pieces.push(Piece { group, version, records: vec![(at, body)] }),
            }
        }
        Ok(Self { rows, pieces })
    }

    /// How many commits there are.
    pub(crate) fn commits(&self) -> usize {
        self.pieces.len()
    }

    /// Writes it into a new file, so many commits to a transaction. How long it took, and each transaction.
    pub(crate) fn play(&self, path: &Path, batch: usize, limit: usize) -> Result<(Duration, Vec<f64>), Trouble> {
        let connection = self.make(path)?;
        let pieces = self.pieces.get(..limit.min(self.pieces.len())).unwrap_or_default();
        let (mut hash, mut position, mut flushes) = (chain::START, 0_u64, Vec::new());
        let start = Instant::now();
        for batch in pieces.chunks(batch) {
            let begun = Instant::now();
            connection.execute_batch("BEGIN IMMEDIATE").map_err(words)?;
            for Piece { group, version, records } in batch {
                let body = self.rows.get(group).ok_or("a group without a row")?;
                connection
                    .prepare_cached("UPDATE groups SET version = ?2, due_at = ?3, body = ?4, mac = ?5 WHERE name = ?1")
                    .and_then(|mut update| update.execute(params![group, version, version, body, hash]))
                    .map_err(words)?;
                for (at, body) in records {
                    position += 1;
                    hash = chain::link(&hash, position, group, Timestamp(*at), body);
                    connection
                        .prepare_cached(
                            "INSERT INTO records (position, group_name, at, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
                        )
                        .and_then(|mut insert| insert.execute(params![position.cast_signed(), group, at, body, hash]))
                        .map_err(words)?;
                }
            }
            connection
                .prepare_cached("UPDATE state SET position = ?1, hash = ?2 WHERE id = 1")
                .and_then(|mut update| update.execute(params![position.cast_signed(), hash]))
                .map_err(words)?;
            connection.execute_batch("COMMIT").map_err(words)?;
            flushes.push(begun.elapsed().as_secs_f64());
        }
        Ok((start.elapsed(), flushes))
    }

    fn make(&self, path: &Path) -> Result<Connection, Trouble> {
        let mut connection = Connection::open(path).map_err(words)?;
        connection.set_prepared_statement_cache_capacity(64);
        let _mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(words)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(words)?;
        let transaction = connection.transaction().map_err(words)?;
        transaction.execute_batch(SCHEMA).map_err(words)?;
        let none: &[u8] = &[0; 32];
        transaction.execute("INSERT INTO state VALUES (1, 0, ?1)", [none]).map_err(words)?;
        for (name, body) in &self.rows {
            transaction
                .execute("INSERT INTO groups VALUES (?1, 0, 0, ?2, ?3)", params![name, body, none])
                .map_err(words)?;
        }
        transaction.commit().map_err(words)?;
        Ok(connection)
    }
}

/// The last position of a history.
pub(crate) fn position(path: &Path) -> Result<u64, Trouble> {
    reading(path)?.last_position().map_err(world::words)
}

/// A history after a position.
pub(crate) fn records(path: &Path, after: u64) -> Result<Vec<Record>, Trouble> {
    const PAGE: usize = 10_000;
    let (reading, mut records) = (reading(path)?, Vec::<Record>::new());
    loop {
        let after = records.last().map_or(after, |record| record.position);
        let page = reading.records(after, PAGE).map_err(world::words)?;
        if page.is_empty() {
            return Ok(records);
        }
        records.extend(page);
    }
}

fn reading(path: &Path) -> Result<Reading, Trouble> {
    Reading::open(path, world::sealer()).map_err(world::words)
}

fn words(error: rusqlite::Error) -> Trouble {
    format!("SQLite: {error}")
}
