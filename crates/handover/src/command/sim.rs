//! `handover sim`: a scenario on the core, without a server.

use serde::Serialize;

use crate::cli::Sim;
use crate::failure::Failure;
use crate::file;
use crate::printer::Printer;
use crate::sim::{self, End, Failed, Mistake};

/// The longest scenario.
const BYTES_MAX: usize = 1024 * 1024;

pub(crate) fn run(arguments: &Sim, printer: &Printer) -> Result<(), Failure> {
    let bytes = file::public(&arguments.file, "the scenario")?;
    if bytes.len() > BYTES_MAX {
        return Err(Failure::error(format!("a scenario has at most {BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::error("the scenario is not UTF-8"))?;
    let report = sim::run(&text);
    let shown = Shown {
        lines: report.output.lines().collect(),
        expectations: match &report.end {
            End::Held { expectations } => Some(*expectations),
            End::Failed(_) | End::Mistaken(_) => None,
        },
        held: matches!(report.end, End::Held { .. }),
    };
    if !report.output.is_empty() {
        printer.data(&shown, |_| report.output.clone())?;
    }
    match report.end {
        End::Held { .. } => Ok(()),
        End::Failed(Failed { line, text }) => Err(Failure::refused(format!("line {line}: {text}"))
            .hint("the lines on standard output show what happened before")),
        End::Mistaken(Mistake { line, text, hint }) => Err(Failure::error(format!("line {line}: {text}")).hint(hint)),
    }
}

/// How a scenario went, for machines.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    /// What happened.
    lines: Vec<&'a str>,
    /// How many expectations held, if all did.
    expectations: Option<usize>,
    /// Whether all was as expected.
    held: bool,
}
