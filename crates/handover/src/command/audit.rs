//! `handover audit verify`: every record of the state against the hash chain.

use serde::Serialize;

use crate::assembly;
use crate::cli::{Audit, ConfigFile};
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;

/// What was found.
#[derive(Serialize)]
struct Verified {
    records: u64,
    head: String,
    rows: u64,
}

pub(crate) async fn run(arguments: &Audit, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        Audit::Verify(arguments) => verify(arguments, printer).await,
    }
}

async fn verify(arguments: &ConfigFile, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let state = assembly::state(&config, assembly::sealer(&config)?)?;
    let chain = state.verify_chain().await?;
    if let Some(broken) = chain.broken {
        return Err(Failure::refused(format!("the chain breaks at position {}: {}", broken.position, broken.why))
            .hint("compare with the records that were shipped elsewhere: somebody edited the state, or the disk did"));
    }
    let rows = state.verify_rows().await?;
    let verified = Verified { records: chain.records, head: chain.head, rows };
    printer.data(&verified, |verified| {
        format!(
            "{} records hold together; the last is {}; {} rows hold",
            verified.records, verified.head, verified.rows
        )
    })
}
