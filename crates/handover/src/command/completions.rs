//! `handover completions`: a script for a shell.

use clap::CommandFactory as _;

use crate::cli::{Cli, Completions};
use crate::failure::Failure;
use crate::printer::Printer;

pub(crate) fn run(arguments: &Completions, printer: &Printer) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "handover", &mut script);
    printer.raw(&script)
}
