//! The floor of everything that is committed: a bare loop that writes what an engine wrote into the same tables, with
//! one connection, without sealing, fences or checksums of rows.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use handover_adapters::state::chain;
use handover_core::Timestamp;
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::Trouble;

/// What an engine wrote, to be written again.
pub(crate) struct Tape {
    schema: Vec<String>,
    rows: HashMap<String, (String, Option<String>)>,
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
    pub(crate) fn read(path: &Path, after: i64) -> Result<Self, Trouble> {
        let connection = Connection::open(path).map_err(words)?;
        let mut statement = connection
            .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
            .map_err(words)?;
        let schema = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(words)?;
        let mut statement = connection.prepare("SELECT name, body, plan FROM groups").map_err(words)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
            .and_then(Iterator::collect)
            .map_err(words)?;
        let mut statement = connection
            .prepare("SELECT group_name, at, body FROM records WHERE position > ?1 ORDER BY position")
            .map_err(words)?;
        let records: Vec<(String, i64, String)> = statement
            .query_map([after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(Iterator::collect)
            .map_err(words)?;
        let mut pieces: Vec<Piece> = Vec::new();
        for (group, at, body) in records {
            let Body { row } = serde_json::from_str(&body).map_err(|error| format!("a record is odd: {error}"))?;
            let Some(version) = row else { continue };
            match pieces.last_mut().filter(|last| last.group == group && last.version == version) {
                Some(last) => last.records.push((at, body)),
                None => pieces.push(Piece { group, version, records: vec![(at, body)] }),
            }
        }
        Ok(Self { schema, rows, pieces })
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
                let (body, plan) = self.rows.get(group).ok_or("a group without a row")?;
                connection
                    .prepare_cached(
                        "UPDATE groups SET version = ?2, due_at = ?3, body = ?4, plan = ?5, mac = ?6 WHERE name = ?1",
                    )
                    .and_then(|mut update| update.execute(params![group, version, version, body, plan, hash]))
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
        for sql in &self.schema {
            transaction.execute_batch(sql).map_err(words)?;
        }
        let none: &[u8] = &[0; 32];
        transaction.execute("INSERT INTO state VALUES (1, ?1, 1, 0, ?1, ?1)", [none]).map_err(words)?;
        for (name, (body, plan)) in &self.rows {
            transaction
                .execute("INSERT INTO groups VALUES (?1, 0, 0, ?2, ?3, ?4)", params![name, body, plan, none])
                .map_err(words)?;
        }
        transaction.commit().map_err(words)?;
        Ok(connection)
    }
}

/// The last position of a history.
pub(crate) fn position(path: &Path) -> Result<i64, Trouble> {
    let connection = Connection::open(path).map_err(words)?;
    connection.query_row("SELECT coalesce(max(position), 0) FROM records", [], |row| row.get(0)).map_err(words)
}

fn words(error: rusqlite::Error) -> Trouble {
    format!("SQLite: {error}")
}
