//! Copies of SQLite files that others have open: one snapshot, whole, and flushed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use handover_core::{Fault, FaultKind};
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// Copies the database at `from`, as of one moment, to `to`, which must not be there and gets mode 0600. It takes no lock
/// that would stop whoever writes to `from`. Blocks.
///
/// # Errors
/// `Missing` if there is nothing at `from`; `Storage` if `to` cannot be written whole; `Corrupt` if `from` is torn.
pub fn copy_database(from: &Path, to: &Path) -> Result<(), Fault> {
    if !from.exists() {
        return Err(Fault::untouched(FaultKind::Missing, format!("there is nothing at {}", from.display())));
    }
    let storage = || {
        let detail = format!("{} could not be written: check that it is new, and has space", to.display());
        Fault::unknown(FaultKind::Storage, detail)
    };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|_| storage())?;
    let source = open(from).map_err(|_| torn(from))?;
    let mut copy = Connection::open_with_flags(to, flags()).map_err(|_| storage())?;
    Backup::new(&source, &mut copy)
        .and_then(|backup| backup.run_to_completion(i32::MAX, std::time::Duration::ZERO, None))
        .map_err(|_| storage())?;
    let sound: String = copy.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(|_| torn(from))?;
    if sound != "ok" {
        return Err(torn(from));
    }
    copy.close().map_err(|_| storage())?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|_| storage())
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags())?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", "ON")?;
    Ok(connection)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn torn(path: &Path) -> Fault {
    Fault::untouched(FaultKind::Corrupt, format!("{} is torn, or no database: it was not copied", path.display()))
}
