//! `handover audit verify`: every record of the state against the hash chain.

use handover_adapters::state::sqlite::{Inspection, inspect};
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
    let (path, sealer) = (config.state.clone(), assembly::sealer(&config)?);
    let inspected = tokio::task::spawn_blocking(move || inspect(&path, &sealer)).await;
    let Inspection { chain, rows } = inspected.map_err(|_| Failure::error("the inspection broke off"))??;
    if let Some(broken) = chain.broken {
        return Err(Failure::refused(format!("the chain breaks at position {}: {}", broken.position, broken.why))
            .hint("compare with the records that were shipped elsewhere: somebody edited the state, or the disk did"));
    }
    let verified = Verified { records: chain.records, head: chain.head, rows };
    printer.data(&verified, |verified| {
        format!(
            "{} records hold together; the last is {}; {} rows hold",
            verified.records, verified.head, verified.rows
        )
    })
}
