//! `handover audit`: looking at the history beside a server that works on it. Nothing here takes a lock or writes.

mod against;
mod show;
mod sinks;

use std::time::Duration;

use handover_adapters::seal::Verifier;
use handover_adapters::sink::line;
use handover_adapters::state::checkpoint::Checkpoint;
use handover_adapters::state::sqlite::{Inspection, Reading, inspect};
use handover_core::port::Record;
use serde::Serialize;

use crate::assembly;
use crate::cli::{Audit, AuditExport, AuditTail, AuditVerify, Bound, ConfigFile, ExportFormat, Output};
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;

/// How many records are read at once.
const PAGE_RECORDS: usize = 1_000;

/// How often a followed history is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(arguments: &Audit, printer: &Printer) -> Result<(), Failure> {
    if let Audit::Sinks(arguments) = arguments {
        return sinks::run(arguments, printer).await;
    }
    // Files are read on a thread that may block: there is nothing else to be done meanwhile.
    let (arguments, printer) = (arguments.clone(), *printer);
    let done = tokio::task::spawn_blocking(move || match &arguments {
        Audit::Verify(arguments) => verify(arguments, &printer),
        Audit::Tail(arguments) => tail(arguments, &printer),
        Audit::Export(arguments) => export(arguments, &printer),
        Audit::Key(arguments) => key(arguments, &printer),
        Audit::Sinks(arguments) => sinks::stored(&arguments.config, &printer),
    });
    done.await.unwrap_or_else(|_| Err(Failure::error("the work on the history broke off")))
}

/// What was found.
#[derive(Serialize)]
struct Verified {
    records: u64,
    head: String,
    rows: u64,
    checkpoints: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<against::Compared>,
}

fn verify(arguments: &AuditVerify, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config.config)?;
    let sealer = assembly::sealer(&config)?;
    let mut keys = vec![sealer.signer().verifier()];
    for key in &arguments.keys {
        keys.push(Verifier::parse(key)?);
    }
    let Inspection { chain, rows } = inspect(&config.state, &sealer)?;
    if let Some(broken) = chain.broken {
        return Err(Failure::refused(format!("the chain breaks at position {}: {}", broken.position, broken.why))
            .hint("compare with the records that were shipped elsewhere: somebody edited the state, or the disk did"));
    }
    let reading = Reading::open(&config.state, sealer)?;
    let checkpoints = checkpoints(&reading, &keys)?;
    let against = match &arguments.against {
        Some(file) => Some(against::compare(file, &reading, &keys)?),
        None => None,
    };
    let verified = Verified { records: chain.records, head: chain.head, rows, checkpoints, against };
    printer.data(&verified, |verified| {
        let mut text = format!(
            "{} records hold together; the last is {}; {} rows hold; {} checkpoints are signed by us",
            verified.records, verified.head, verified.rows, verified.checkpoints
        );
        if let Some(compared) = &verified.against {
            text.push('\n');
            text.push_str(&compared.words());
        }
        text
    })
}

/// Counts the checkpoints of the state, each of which must be signed.
fn checkpoints(reading: &Reading, keys: &[Verifier]) -> Result<u64, Failure> {
    let mut count = 0;
    each(reading, 0, |record| {
        let Some(checkpoint) = Checkpoint::of(record) else { return Ok(true) };
        if !keys.iter().any(|key| checkpoint.holds(key)) {
            return Err(unsigned(record.position, &checkpoint));
        }
        count += 1;
        Ok(true)
    })?;
    Ok(count)
}

fn unsigned(position: u64, checkpoint: &Checkpoint) -> Failure {
    Failure::refused(format!("the checkpoint at position {position} does not bear our signature")).hint(format!(
        "if it was made under another master key that you trust, add --key {}",
        show::printable(&checkpoint.key)
    ))
}

fn tail(arguments: &AuditTail, printer: &Printer) -> Result<(), Failure> {
    let reading = reading(&arguments.config)?;
    let group = arguments.group.as_deref().map(super::group).transpose()?;
    let wanted = |record: &Record| group.as_ref().is_none_or(|group| record.group == *group);
    let mut after = match arguments.after {
        Some(after) => after,
        None => start_of_tail(&reading, arguments.lines, wanted)?,
    };
    loop {
        let heard = each(&reading, after, |record| {
            after = record.position;
            if !wanted(record) {
                return Ok(true);
            }
            printer.line(&match printer.output() {
                Output::Text => show::line(record),
                Output::Json => line::write(record)?,
            })
        })?;
        if !heard || !arguments.follow {
            return Ok(());
        }
        std::thread::sleep(FOLLOW_EVERY);
    }
}

/// The position after which the last so many records that are wanted stand.
fn start_of_tail(reading: &Reading, lines: usize, wanted: impl Fn(&Record) -> bool) -> Result<u64, Failure> {
    let (mut above, mut left) = (reading.last_position()?, lines);
    while above > 0 && left > 0 {
        let page = PAGE_RECORDS.min(usize::try_from(above).unwrap_or(PAGE_RECORDS));
        let after = above - page as u64;
        for record in reading.records(after, page)?.iter().rev().filter(|record| wanted(record)) {
            left -= 1;
            if left == 0 {
                return Ok(record.position - 1);
            }
        }
        above = after;
    }
    Ok(above)
}

fn export(arguments: &AuditExport, printer: &Printer) -> Result<(), Failure> {
    let reading = reading(&arguments.config)?;
    let after = match arguments.from {
        Some(Bound::Position(from)) => from.saturating_sub(1),
        Some(Bound::Time(_)) | None => 0,
    };
    if arguments.format == ExportFormat::Csv && !printer.line(show::CSV_HEADER)? {
        return Ok(());
    }
    each(&reading, after, |record| {
        // Clocks jump: a record that is too late by its time says nothing of those behind it.
        if arguments.to.is_some_and(|to| matches!(to, Bound::Position(to) if record.position > to)) {
            return Ok(false);
        }
        let early = |from: Bound| matches!(from, Bound::Time(from) if record.at.0 < from);
        let late = |to: Bound| matches!(to, Bound::Time(to) if record.at.0 > to);
        if arguments.from.is_some_and(early) || arguments.to.is_some_and(late) {
            return Ok(true);
        }
        printer.line(&match arguments.format {
            ExportFormat::Jsonl => line::write(record)?,
            ExportFormat::Csv => show::csv(record),
        })
    })?;
    Ok(())
}

/// The key that checks checkpoints.
#[derive(Serialize)]
struct Key {
    algorithm: &'static str,
    key: String,
}

fn key(arguments: &ConfigFile, printer: &Printer) -> Result<(), Failure> {
    let sealer = assembly::sealer(&Config::load(&arguments.config)?)?;
    let key = Key { algorithm: "Ed25519", key: sealer.signer().verifier().text() };
    printer.data(&key, |key| key.key.clone())
}

fn reading(arguments: &ConfigFile) -> Result<Reading, Failure> {
    let config = Config::load(&arguments.config)?;
    let sealer = assembly::sealer(&config)?;
    Ok(Reading::open(&config.state, sealer)?)
}

/// Goes through the records after a position, until there are no more or `visit` has seen enough. Whether it had not.
fn each(
    reading: &Reading,
    after: u64,
    mut visit: impl FnMut(&Record) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let mut after = after;
    loop {
        let page = reading.records(after, PAGE_RECORDS)?;
        let Some(last) = page.last() else { return Ok(true) };
        after = last.position;
        for record in &page {
            if !visit(record)? {
                return Ok(false);
            }
        }
    }
}
