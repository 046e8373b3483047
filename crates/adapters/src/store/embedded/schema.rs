//! The file: how it is made, recognised and opened.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use handover_core::{Fault, FaultKind, Touched};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use rustix::fs::{FlockOperation, flock};

use super::fault::{corrupt, fault};
use crate::seal::{Integrity, Sealer};

/// What the integrity key is minted for.
const FILE: &str = "embedded store";

/// Marks the file as ours, in the field that SQLite keeps for that: the letters `HoSt`.
const APPLICATION_ID: i32 = 0x486f_5374;

/// The newest layout that this code knows.
const SCHEMA: i32 = 1;

/// How long a statement waits for another process's lock. Transactions here take milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE integrity (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    wrapped BLOB NOT NULL
) STRICT;
CREATE TABLE data_key (
    group_name TEXT PRIMARY KEY,
    wrapped    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE value (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    group_name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    candidate  INTEGER NOT NULL,
    effect     TEXT NOT NULL,
    sealed     BLOB NOT NULL
) STRICT;
CREATE INDEX value_of_group ON value (group_name, generation, candidate, id);
CREATE TABLE move (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    group_name  TEXT NOT NULL,
    nonce       TEXT NOT NULL,
    publication INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    candidate   INTEGER NOT NULL
) STRICT;
CREATE INDEX move_of_group ON move (group_name, id);
CREATE TABLE head (
    group_name  TEXT PRIMARY KEY,
    version     TEXT NOT NULL,
    publication INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    candidate   INTEGER NOT NULL,
    value       INTEGER NOT NULL REFERENCES value (id),
    mac         BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Opens the file for writing; makes it if it is not there.
pub(super) fn open_writer(path: &Path, sealer: &Sealer) -> Result<(Connection, Integrity), Fault> {
    let _alone = alone_in(path)?;
    make_file(path)?;
    let untouched = |error: rusqlite::Error| fault(path, Touched::Nothing, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(untouched)?;
    connection.busy_timeout(LOCK_WAIT).map_err(untouched)?;
    // Before anything that writes: a file that is not ours stays as it is.
    let found = recognise(&connection, path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(untouched)?;
    if mode != "wal" {
        let words = format!("the file system of {} cannot hold a write-ahead log: use a local disk", path.display());
        return Err(Fault::untouched(FaultKind::Unsupported, words));
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
        )
        .map_err(untouched)?;
    if found == Found::Nothing {
        create(&mut connection, path, sealer)?;
    }
    check_pages(&connection, path)?;
    let wrapped: Vec<u8> = connection
        .query_row("SELECT wrapped FROM integrity WHERE only = 1", [], |row| row.get(0))
        .map_err(untouched)?;
    let integrity = sealer.open_integrity(FILE, &wrapped)?;
    Ok((connection, integrity))
}

/// Opens one more connection, for reading, to a file that [`open_writer`] opened before.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Fault> {
    let untouched = |error: rusqlite::Error| fault(path, Touched::Nothing, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(untouched)?;
    connection.busy_timeout(LOCK_WAIT).map_err(untouched)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;").map_err(untouched)?;
    Ok(connection)
}

#[derive(PartialEq, Eq)]
enum Found {
    Nothing,
    Ours,
}

fn recognise(connection: &Connection, path: &Path) -> Result<Found, Fault> {
    let read = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let (application, schema, tables) = (|| {
        // One snapshot: between two reads another process may make the file, and half of each looks like nobody's.
        let _snapshot = connection.unchecked_transaction()?;
        let tables = read("SELECT count(*) FROM sqlite_schema")?;
        Ok((read("PRAGMA application_id")?, read("PRAGMA user_version")?, tables))
    })()
    .map_err(|error: rusqlite::Error| fault(path, Touched::Nothing, &error))?;
    let path = path.display();
    match (application, schema) {
        (0, 0) if tables == 0 => Ok(Found::Nothing),
        (APPLICATION_ID, SCHEMA) => Ok(Found::Ours),
        (APPLICATION_ID, newer) if newer > SCHEMA => {
            let words = format!(
                "the store file {path} has layout {newer}, this version knows {SCHEMA}: use the version that wrote it"
            );
            Err(Fault::untouched(FaultKind::Unsupported, words))
        }
        _ => {
            let words = format!("{path} is no store file of ours, and was left as it is: name another file");
            Err(Fault::untouched(FaultKind::Corrupt, words))
        }
    }
}

fn create(connection: &mut Connection, path: &Path, sealer: &Sealer) -> Result<(), Fault> {
    let (_, wrapped) = sealer.mint_integrity(FILE)?;
    let made = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have made it since: then there is nothing left to do.
        let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.execute("INSERT INTO integrity (only, wrapped) VALUES (1, ?1)", params![wrapped])?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        transaction.commit()
    })();
    made.map_err(|error| fault(path, Touched::Unknown, &error))
}

fn check_pages(connection: &Connection, path: &Path) -> Result<(), Fault> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| fault(path, Touched::Nothing, &error))?;
    if verdict == "ok" { Ok(()) } else { Err(corrupt(path, "a page")) }
}

/// Makes an empty file that only its owner may use. SQLite gives its log the same mode.
fn make_file(path: &Path) -> Result<(), Fault> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let made = match made {
        Ok(_) => File::open(directory(path)).and_then(|directory| directory.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    made.map_err(|error| cannot_make(path, &error))
}

/// Lets one process or thread at a time open files in a directory for writing; the lock ends with the answer.
///
/// Making the tables and turning to a write-ahead log both want the file alone, and SQLite says *busy* at once, without
/// waiting, where two do that together. The lock is on the directory: closing a descriptor of the file itself would
/// free the locks that SQLite holds on it in this process.
fn alone_in(path: &Path) -> Result<File, Fault> {
    let directory = File::open(directory(path)).map_err(|error| cannot_make(path, &error))?;
    flock(&directory, FlockOperation::LockExclusive).map_err(|error| cannot_make(path, &error.into()))?;
    Ok(directory)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot_make(path: &Path, error: &io::Error) -> Fault {
    let path = path.display();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel's errors: all others are alike to us")]
    let (kind, why) = match error.kind() {
        io::ErrorKind::NotFound => (FaultKind::Missing, "its directory is not there: create it"),
        io::ErrorKind::PermissionDenied => (FaultKind::NotPermitted, "this user may not: fix the directory's owner"),
        _ => (FaultKind::Storage, "the file system failed: look at the kernel's log"),
    };
    Fault::untouched(kind, format!("cannot make the store file {path}: {why}"))
}
