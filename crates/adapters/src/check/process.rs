//! A program that looks: fixed arguments, no shell, an environment that is empty but for `PATH`, and the credential as
//! one line of JSON on its standard input. What it prints is not read. It ends with 0 if it is as it should be and with 1
//! if it is known not to be; every other end says nothing.

use handover_core::port::{Finding, Subject};
use handover_core::{Fault, FaultKind, GroupId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::{Common, When, always, failed, misconfigured, timeout_ms, unknown};
use crate::program::{self, Running};

/// Options of `process`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "always")]
    pub when: Vec<When>,
    /// How long it may take; then it is killed with all that it started.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// The program by its whole path, and its arguments. The credential is never among them.
    pub command: Vec<String>,
}

impl Config {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if program::is_whole(&self.command) {
            return Ok(());
        }
        Err(misconfigured(&self.name, "command begins with the whole path of a program"))
    }
}

/// What the program reads.
#[derive(Serialize)]
struct Input<'a> {
    group: &'a str,
    generation: u64,
    fields: BTreeMap<&'a str, &'a str>,
    value: &'a str,
}

pub(super) struct Process {
    config: Config,
    group: GroupId,
}

impl Process {
    pub(super) fn new(config: Config, group: &GroupId) -> Self {
        Self { config, group: group.clone() }
    }

    pub(super) async fn run(&self, subject: Subject<'_>) -> Result<Finding, Fault> {
        let line = self.line(subject)?;
        let running = Running::start(&self.config.command).map_err(|error| {
            unknown(FaultKind::Misconfigured, format!("its program cannot be run: {}", error.kind()))
        })?;
        let status = running.feed(&line).await;
        let status = status.map_err(|_| unknown(FaultKind::Busy, "its program could not be waited for"))?;
        match status.code() {
            Some(0) => Ok(Finding::Passed),
            Some(1) => Ok(failed("its program ended with 1")),
            Some(code) => Err(unknown(FaultKind::Busy, format!("its program ended with {code}, which says nothing"))),
            None => Err(unknown(FaultKind::Busy, "its program was killed")),
        }
    }

    fn line(&self, subject: Subject<'_>) -> Result<Zeroizing<Vec<u8>>, Fault> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the program presents it; it is written to a pipe and nowhere else"
        )]
        let value = subject.value.expose_text();
        let value =
            value.ok_or_else(|| unknown(FaultKind::Unsupported, "a value that is no text cannot be passed on"))?;
        let fields = subject.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (group, generation) = (self.group.as_str(), subject.who.generation.0);
        // Room for all of it: a buffer that grows leaves copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(64 * 1024));
        serde_json::to_writer(&mut *line, &Input { group, generation, fields, value })
            .map_err(|_| unknown(FaultKind::Bug, "its input could not be written"))?;
        line.push(b'\n');
        Ok(line)
    }
}
