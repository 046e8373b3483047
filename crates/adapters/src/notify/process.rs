//! A program that is run for each message: fixed arguments, no shell, an environment that is empty but for `PATH`, and
//! the event as one line of JSON on its standard input. What it prints is not read.

use handover_core::{Fault, FaultKind};
use serde::Deserialize;

use super::event::{Event, EventKind};
use super::misconfigured;
use crate::program::{self, Running};

/// Options of a program.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The notifier's name: the key of its cursor.
    pub name: String,
    /// The program by its whole path, and its arguments.
    pub command: Vec<String>,
    /// What is told; absent: what somebody may have to act on.
    pub events: Option<Vec<EventKind>>,
    /// Of which groups; empty: of all.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Fault> {
        if program::is_whole(&self.command) {
            return Ok(());
        }
        Err(misconfigured(&self.name, "command begins with the whole path of a program"))
    }
}

pub(super) struct Process {
    config: Config,
}

impl Process {
    pub(super) const fn new(config: Config) -> Self {
        Self { config }
    }

    pub(super) async fn send(&self, event: &Event) -> Result<(), Fault> {
        let line = event.json()? + "\n";
        let running = Running::start(&self.config.command).map_err(|error| {
            let words = format!("notify {}: its program cannot be run: {}", self.config.name, error.kind());
            Fault::untouched(FaultKind::Misconfigured, words)
        })?;
        let status = running.feed(line.as_bytes()).await.map_err(|_| self.failed("it could not be waited for"))?;
        match (status.success(), status.code()) {
            (true, _) => Ok(()),
            (false, Some(code)) => Err(self.failed(&format!("it ended with {code}; it is run again"))),
            (false, None) => Err(self.failed("it was killed; it is run again")),
        }
    }

    fn failed(&self, why: &str) -> Fault {
        Fault::unknown(FaultKind::Busy, format!("notify {}: {why}", self.config.name))
    }
}
