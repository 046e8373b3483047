//! From the library's errors to faults, in our own words.

use std::path::Path;

use handover_core::{Fault, FaultKind};
use rusqlite::ErrorCode;

/// Why a piece of work ended early.
pub(super) enum Stop {
    /// It was refused before it wrote anything.
    Refused(Fault),
    /// The database failed.
    Broken(rusqlite::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

impl Stop {
    pub(super) fn fault(self, path: &Path) -> Fault {
        match self {
            Self::Refused(fault) => fault,
            Self::Broken(error) => fault(&error, path),
        }
    }
}

/// A broken constraint belongs here: what is inserted was looked up before, so only an edit puts something in its way.
const CORRUPT: [ErrorCode; 4] =
    [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::TypeMismatch, ErrorCode::ConstraintViolation];

/// The fault for an error after which the transaction is rolled back for certain, or that came while reading.
pub(super) fn fault(error: &rusqlite::Error, path: &Path) -> Fault {
    let shown = path.display();
    let is = |codes: &[ErrorCode]| error.sqlite_error_code().is_some_and(|code| codes.contains(&code));
    if disk_full(error) {
        Fault::untouched(
            FaultKind::Storage,
            format!("there is no space left for the state {shown}; nothing was stored; free space on its disk"),
        )
    } else if is(&[ErrorCode::SystemIoFailure]) {
        Fault::untouched(FaultKind::Storage, format!("the disk failed under the state {shown}; check the system's log"))
    } else if is(&CORRUPT) || !stored(error) {
        Fault::untouched(
            FaultKind::Corrupt,
            format!("the state {shown} is torn or was edited; stop the server and restore it from a backup"),
        )
    } else if is(&[ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked]) {
        Fault::untouched(
            FaultKind::Busy,
            format!("another program holds a lock on the state {shown}; close whatever else has it open"),
        )
    } else if is(&[ErrorCode::ReadOnly, ErrorCode::PermissionDenied, ErrorCode::CannotOpen]) {
        Fault::untouched(
            FaultKind::NotPermitted,
            format!(
                "the state {shown} may not be opened or written by this user; check the owner of it and its folder"
            ),
        )
    } else {
        let code = error.sqlite_error().map_or(0, |error| error.extended_code);
        Fault::untouched(FaultKind::Bug, format!("the state {shown} refused a statement (SQLite code {code})"))
    }
}

/// Whether the error says that the disk is full. In write-ahead mode the mark that makes a transaction count is in the
/// last page written, so one that ran out of space before that page's end never took place.
pub(super) fn disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether the error came from SQLite. Otherwise a column did not have the type that we store.
fn stored(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some()
}

pub(super) fn corrupt(detail: String) -> Fault {
    Fault::untouched(FaultKind::Corrupt, format!("{detail}; stop the server and restore the state from a backup"))
}

/// A number as SQLite stores it.
pub(super) fn stored_int(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::untouched(FaultKind::Bug, "a number is too large to be stored"))
}

/// A stored number that was never negative when it was written.
pub(super) fn read_int(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| corrupt("a stored number is negative".to_owned()))
}
