//! Looking at a state without opening it: beside a server that works on it, or after one that died.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use handover_core::port::Record;
use handover_core::{Fault, FaultKind};
use rusqlite::Connection;

use super::guard::Head;
use super::reader::Reader;
use super::schema::{self, Found};
use super::trouble::{Stop, read_int};
use super::verify::{self, Chain};
use crate::seal::{Integrity, Sealer};

/// What an inspection found.
#[derive(Debug)]
pub struct Inspection {
    /// The chain of history.
    pub chain: Chain,
    /// How many rows there are, and all of them hold; only looked at if the chain holds.
    pub rows: u64,
}

/// Verifies the whole chain and every row of the state at `path`, in one snapshot. It takes no lock and changes
/// nothing of the state; SQLite may leave an empty log and its index beside the file. Blocks.
///
/// # Errors
/// `Missing` if there is no state. `Corrupt` names the first row that does not hold, or says that the master key is
/// another one.
pub fn inspect(path: &Path, sealer: &Sealer) -> Result<Inspection, Fault> {
    let (connection, integrity) = open(path, sealer)?;
    let work = || -> Result<Inspection, Stop> {
        let transaction = connection.unchecked_transaction()?;
        let chain = verify::chain(&transaction, &integrity, 0)?;
        let rows = if chain.broken.is_none() { verify::rows(&transaction, &integrity)? } else { 0 };
        Ok(Inspection { chain, rows })
    };
    work().map_err(|stop| stop.fault(path))
}

/// History, read beside a server that works on it, or after one that died. It takes no lock.
pub struct Reading {
    reader: Reader,
}

impl Reading {
    /// Opens the state at `path` for reading. Blocks, as everything here.
    ///
    /// # Errors
    /// `Missing` if there is no state, `Corrupt` if the master key is another one.
    pub fn open(path: &Path, sealer: Arc<Sealer>) -> Result<Self, Fault> {
        let (connection, integrity) = open(path, &sealer)?;
        let (integrity, lost) = (Arc::new(integrity), Arc::new(AtomicBool::new(false)));
        Ok(Self { reader: Reader { connection, integrity, sealer, path: path.to_owned(), lost } })
    }

    /// Reads history after a position, in order, and follows its links.
    ///
    /// # Errors
    /// `Corrupt` if a link does not hold.
    pub fn records(&self, after: u64, limit: usize) -> Result<Vec<Record>, Fault> {
        self.reader.records(after, limit).map_err(|stop| stop.fault(&self.reader.path))
    }

    /// The position of the last record; 0 if there is none.
    ///
    /// # Errors
    /// `Corrupt` if the head was edited.
    pub fn last_position(&self) -> Result<u64, Fault> {
        let work = || -> Result<u64, Stop> {
            let Reader { connection, integrity, .. } = &self.reader;
            let head = connection.query_row(Head::SELECT, [], |row| Head::read(row, integrity))??;
            Ok(read_int(head.position)?)
        };
        work().map_err(|stop| stop.fault(&self.reader.path))
    }

    /// How far a sink got; 0 if nothing was delivered to it.
    ///
    /// # Errors
    /// `Corrupt` if the cursor was edited.
    pub fn cursor(&self, sink: &str) -> Result<u64, Fault> {
        self.reader.cursor(sink).map_err(|stop| stop.fault(&self.reader.path))
    }
}

fn open(path: &Path, sealer: &Sealer) -> Result<(Connection, Integrity), Fault> {
    if let Found::Nothing = schema::look(path)? {
        let detail = format!("there is no state at {}: name the configuration of a server that ran", path.display());
        return Err(Fault::untouched(FaultKind::Missing, detail));
    }
    let connection = schema::open_reader(path)?;
    let integrity = schema::open_integrity(&connection, sealer, path)?;
    Ok((connection, integrity))
}
