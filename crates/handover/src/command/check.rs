//! `handover check`: the configuration and the files that it names. Also the first thing that `serve` does.

use handover_adapters::seal::MasterKey;
use handover_adapters::sink::SinkKind;
use serde::Serialize;

use crate::assembly;
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::server::tls::Tls;
use crate::tokens::Tokens;

/// What was checked.
#[derive(Serialize)]
struct Checked {
    groups: Vec<String>,
}

pub(crate) fn run(arguments: &ConfigFile, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    look(&config)?;
    let checked = Checked { groups: config.groups.iter().map(|group| group.name.to_string()).collect() };
    printer.data(&checked, |checked| match checked.groups.as_slice() {
        [] => "the configuration is usable; it has no group yet".to_owned(),
        groups => format!("the configuration is usable; groups: {}", groups.join(", ")),
    })?;
    printer.say("Targets were not contacted: `handover plan GROUP` does that.");
    Ok(())
}

/// Opens what can be opened without changing anything.
pub(crate) fn look(config: &Config) -> Result<(), Failure> {
    MasterKey::read(&config.master_key)?;
    Tokens::open(&config.tokens)?;
    config.tls.as_ref().map(Tls::open).transpose()?;
    for sink in &config.sinks {
        match sink.kind() {
            // Opening it takes a lock, which a running server holds.
            SinkKind::File => {}
            SinkKind::Syslog | SinkKind::Http => drop(assembly::sink(sink)?),
        }
    }
    for group in &config.groups {
        assembly::target(group)?;
    }
    Ok(())
}
