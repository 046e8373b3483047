//! Looking at a state without opening it: beside a server that works on it, or after one that died.

use std::path::Path;

use handover_core::{Fault, FaultKind};

use super::schema::{self, Found};
use super::trouble::Stop;
use super::verify::{self, Chain};
use crate::seal::Sealer;

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
    if let Found::Nothing = schema::look(path)? {
        let detail = format!("there is no state at {}: name the configuration of a server that ran", path.display());
        return Err(Fault::untouched(FaultKind::Missing, detail));
    }
    let connection = schema::open_reader(path)?;
    let integrity = schema::open_integrity(&connection, sealer, path)?;
    let work = || -> Result<Inspection, Stop> {
        let transaction = connection.unchecked_transaction()?;
        let chain = verify::chain(&transaction, &integrity, 0)?;
        let rows = if chain.broken.is_none() { verify::rows(&transaction, &integrity)? } else { 0 };
        Ok(Inspection { chain, rows })
    };
    work().map_err(|stop| stop.fault(path))
}
