//! The Handover server and the operator's command line.
//!
//! Data goes to standard output, all else to standard error. Exit codes: 0 done, 1 refused by the state of the world,
//! 2 error.

mod alerts;
mod assembly;
mod backup;
mod cli;
mod command;
mod config;
mod environment;
mod failure;
mod file;
mod metrics;
mod near;
mod notify;
mod printer;
mod process;
mod reload;
mod remote;
mod remote_stores;
mod server;
mod sim;
mod statistics;
mod terminal;
mod tokens;
mod trace;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let printer = printer::Printer::new(cli.global.output);
    // Before there is a runtime, and dropped after it: what sends traces blocks its own thread.
    let (traces, done) = match trace::begin(&cli.verb) {
        Ok(begun) => {
            let (traces, spans) = begun.unzip();
            process::log_to_stderr(cli.global.log_format, spans);
            (traces, process::harden().and_then(|()| command::run(cli.verb, &printer)))
        }
        Err(failure) => (None, Err(failure)),
    };
    drop(traces);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer.say(&failure.message());
            failure.exit_code()
        }
    }
}
