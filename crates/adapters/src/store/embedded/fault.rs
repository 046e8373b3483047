use std::path::Path;

use handover_core::{Fault, FaultKind, Touched};
use rusqlite::ErrorCode;

/// Maps an error of the library to a fault in our own words. `touched` is for the caller to say: it knows whether the
/// transaction can have been committed.
pub(super) fn fault(path: &Path, touched: Touched, error: &rusqlite::Error) -> Fault {
    let kind = kind(error);
    let path = path.display();
    let why = if kind == FaultKind::Storage {
        "there is no space left or the disk failed: make space, look at the kernel's log"
    } else if kind == FaultKind::Busy {
        "another process has held its lock for too long: find out which one and end it"
    } else if kind == FaultKind::NotPermitted {
        "this user may not use it: fix the owner and mode of the file and its directory"
    } else if kind == FaultKind::ReadOnly {
        "it cannot be written: look whether the file system is mounted read-only"
    } else if kind == FaultKind::Corrupt {
        "it is torn, edited or no file of ours: restore it from a backup, then start again"
    } else {
        "a statement of ours was refused: report this"
    };
    Fault { kind, touched, detail: format!("the store file {path} failed: {why}") }
}

/// What does not check out, although the library could read it.
pub(super) fn corrupt(path: &Path, what: &str) -> Fault {
    let path = path.display();
    let words = format!("{what} in the store file {path} was edited or torn: restore the file from a backup");
    Fault::untouched(FaultKind::Corrupt, words)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors, which grow with it")]
fn kind(error: &rusqlite::Error) -> FaultKind {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory => FaultKind::Storage,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                FaultKind::Busy
            }
            ErrorCode::PermissionDenied | ErrorCode::CannotOpen => FaultKind::NotPermitted,
            ErrorCode::ReadOnly => FaultKind::ReadOnly,
            // Constraints of the schema can only be broken by rows that were edited, and a table that is missing is
            // reported as an unknown error.
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::Unknown => FaultKind::Corrupt,
            _ => FaultKind::Bug,
        },
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::QueryReturnedNoRows => FaultKind::Corrupt,
        _ => FaultKind::Bug,
    }
}
