//! Making, recognising and migrating the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use handover_core::{Fault, FaultKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use super::guard::{Head, Sum};
use super::trouble::{Stop, corrupt, fault};
use crate::seal::{Integrity, Sealer, beside, sync_folder};
use crate::state::chain;

/// Written into the file's header: `HOVR`.
const APPLICATION_ID: i32 = 0x484F_5652;
/// The oldest schema that is read. No released program wrote an older one.
const OLDEST: i32 = 3;
/// One for each schema, in order: the first makes the oldest. A released one is never changed.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/0003.sql"), include_str!("migrations/0004.sql")];
/// What this program writes.
pub(super) const SCHEMA: i32 = OLDEST + MIGRATIONS.len() as i32 - 1;

/// SQLite's header: magic at 0, user version at 60, application id at 68.
const HEADER_BYTES: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How long another program's lock is waited for. Nothing of ours holds one for long.
const BUSY: Duration = Duration::from_secs(5);

/// What stands at a path.
pub(super) enum Found {
    Nothing,
    State,
}

/// Looks at a file without opening it as a database, so that a foreign one is left as it is.
pub(super) fn look(path: &Path) -> Result<Found, Fault> {
    let shown = path.display();
    let mut header = [0; HEADER_BYTES];
    let read = match File::open(path).and_then(|mut file| read_up_to(&mut file, &mut header)) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // An empty log holds nothing: whoever only reads may leave one.
            if fs::metadata(beside_dash(path, "wal")).is_ok_and(|log| log.len() > 0) {
                return Err(corrupt(format!(
                    "the state {shown} is gone, and the part of it that was not merged yet ({shown}-wal) is still there"
                )));
            }
            return Ok(Found::Nothing);
        }
        Err(_) => {
            return Err(Fault::untouched(
                FaultKind::NotPermitted,
                format!("the state {shown} may not be read by this user; check its owner"),
            ));
        }
    };
    if read == 0 {
        return Err(corrupt(format!(
            "the state {shown} is empty, which no run of this program leaves behind; if it never held a state, remove it"
        )));
    }
    let number = |at: usize| i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if read < HEADER_BYTES || !header.starts_with(MAGIC) || number(68) != APPLICATION_ID {
        return Err(Fault::untouched(
            FaultKind::Misconfigured,
            format!(
                "{shown} is not a state file of Handover; it was left alone: point the configuration to another path"
            ),
        ));
    }
    refuse_unknown(path, number(60))?;
    Ok(Found::State)
}

/// Makes the file under another name and moves it into place when it is whole. The caller holds the lock.
pub(super) fn create(path: &Path, sealer: &Sealer) -> Result<(), Fault> {
    let shown = path.display();
    let storage = |_: io::Error| {
        Fault::untouched(
            FaultKind::Storage,
            format!("the state {shown} could not be made; check that its folder exists, may be written, and has space"),
        )
    };
    let staged = beside(path, "new");
    // Left by a process that died right here: it was never used.
    for stale in [staged.clone(), beside_dash(&staged, "journal")] {
        match fs::remove_file(&stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(storage(error)),
            Ok(()) | Err(_) => {}
        }
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged).map_err(storage)?;
    fill(&staged, sealer).map_err(|stop| stop.fault(path))?;
    File::open(&staged).and_then(|file| file.sync_all()).map_err(storage)?;
    fs::rename(&staged, path).map_err(storage)?;
    sync_folder(path).map_err(storage)
}

fn fill(staged: &Path, sealer: &Sealer) -> Result<(), Stop> {
    let (integrity, wrapped) = sealer.mint_integrity("the state")?;
    let head = Head { epoch: 0, position: 0, hash: chain::START, sum: Sum::EMPTY };
    let connection = Connection::open_with_flags(staged, flags() | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&connection, 0)?;
    connection.execute(
        "INSERT INTO state (id, integrity_key, epoch, position, hash, sum) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        params![wrapped, head.epoch, head.position, head.hash, head.sealed(&integrity)?],
    )?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Opens the connection that writes, and brings the file to this program's schema.
pub(super) fn open_writer(path: &Path) -> Result<Connection, Fault> {
    (|| {
        let connection = Connection::open_with_flags(path, flags() | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY)?;
        // The header may be older than what stands in the write-ahead log.
        let schema: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        refuse_unknown(path, schema)?;
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(Stop::Refused(Fault::untouched(
                FaultKind::Misconfigured,
                format!("the file system of {} has no shared memory; keep the state on a local disk", path.display()),
            )));
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What is erased is overwritten, not only forgotten.
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        tune(&connection)?;
        migrate(&connection, schema)?;
        Ok(connection)
    })()
    .map_err(|stop: Stop| stop.fault(path))
}

/// Opens a connection that changes nothing of what is stored.
///
/// Not one that SQLite calls read-only: under load, that one now and then refused a state whose last holder was killed
/// while it opened it (the test that kills at the start shows it). Nor does this one merge the log when it is closed.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Fault> {
    (|| {
        let connection = Connection::open_with_flags(path, flags() | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "query_only", "ON")?;
        tune(&connection)?;
        Ok(connection)
    })()
    .map_err(|error: rusqlite::Error| fault(&error, path))
}

/// Opens the key that the file's rows are guarded with.
pub(super) fn open_integrity(connection: &Connection, sealer: &Sealer, path: &Path) -> Result<Integrity, Fault> {
    let wrapped: Vec<u8> = connection
        .query_row("SELECT integrity_key FROM state WHERE id = 1", [], |row| row.get(0))
        .map_err(|error| fault(&error, path))?;
    sealer.open_integrity("the state", &wrapped)
}

/// `path` with `-suffix` added, as SQLite names its companions.
pub(super) fn beside_dash(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-");
    name.push(suffix);
    name.into()
}

fn flags() -> OpenFlags {
    // Each connection stays on one thread. No URI flag: a path is never parsed.
    OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Each step is one transaction, so that the file always has a schema that some program knows.
fn migrate(connection: &Connection, from: i32) -> Result<(), Stop> {
    for (number, sql) in (OLDEST..).zip(MIGRATIONS).skip_while(|(number, _)| *number <= from) {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

fn refuse_unknown(path: &Path, schema: i32) -> Result<(), Fault> {
    if (OLDEST..=SCHEMA).contains(&schema) {
        return Ok(());
    }
    Err(Fault::untouched(
        FaultKind::Misconfigured,
        format!(
            "the state {} has schema {schema}, and this program knows schemas {OLDEST} to {SCHEMA}; it was left alone: run \
             the program that wrote it, or a newer one",
            path.display()
        ),
    ))
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}
