//! `handover audit sinks`: how far each sink got.

use handover_api::{SinkView, Sinks, path};

use super::reading;
use crate::cli::{AuditSinks, ConfigFile};
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

/// Asks the server, which knows what fails; where none answers, or there is no token, the state says how far they got.
pub(super) async fn run(arguments: &AuditSinks, printer: &Printer) -> Result<(), Failure> {
    if arguments.server.token_file.is_some() {
        let asked = match Remote::new(&arguments.server) {
            Ok(remote) => remote.get::<Sinks>(path::SINKS).await,
            Err(failure) => Err(failure),
        };
        match asked {
            Ok(sinks) => return show(&sinks, printer),
            Err(failure) => {
                printer.say(&format!("as the state has it, because no server said more: {}", failure.parts().0))
            }
        }
    }
    let (config, printer) = (arguments.config.clone(), *printer);
    let done = tokio::task::spawn_blocking(move || stored(&config, &printer));
    done.await.unwrap_or_else(|_| Err(Failure::error("the work on the history broke off")))
}

/// What the state has. Blocks.
pub(super) fn stored(arguments: &ConfigFile, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let reading = reading(arguments)?;
    let mut sinks = Vec::new();
    for sink in config.sink_names() {
        let position = reading.cursor(&sink)?;
        // Asked after the cursor, so that it is not behind it.
        let waiting = reading.last_position()?.saturating_sub(position);
        sinks.push(SinkView { sink, position, waiting, failing: None });
    }
    show(&Sinks { sinks }, printer)
}

fn show(sinks: &Sinks, printer: &Printer) -> Result<(), Failure> {
    printer.data(&sinks.sinks, |sinks| {
        let line = |SinkView { sink, position, waiting, failing }: &SinkView| {
            let mut line = format!("{sink}: delivered up to {position}, {waiting} records wait");
            if let Some(failing) = failing {
                line.push_str(&format!("; fails since {} with {}: {}", failing.since, failing.code, failing.detail));
            }
            line
        };
        if sinks.is_empty() {
            return "the configuration names no sink".to_owned();
        }
        sinks.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
