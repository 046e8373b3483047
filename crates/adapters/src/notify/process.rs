//! A program that is run for each message: fixed arguments, no shell, an environment that is empty but for `PATH`, and
//! the event as one line of JSON on its standard input. What it prints is not read.

use std::process::Stdio;

use handover_core::{Fault, FaultKind};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::event::{Event, EventKind};
use super::misconfigured;

/// What a program finds of the environment.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

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
        if self.command.first().is_some_and(|program| program.starts_with('/')) {
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
        let mut running = self.start()?;
        if let Some(mut stdin) = running.child.stdin.take() {
            // One that does not read is judged by how it ends.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
        let status = running.child.wait().await.map_err(|_| self.failed("it could not be waited for"))?;
        running.is_over = true;
        match (status.success(), status.code()) {
            (true, _) => Ok(()),
            (false, Some(code)) => Err(self.failed(&format!("it ended with {code}; it is run again"))),
            (false, None) => Err(self.failed("it was killed; it is run again")),
        }
    }

    fn start(&self) -> Result<Running, Fault> {
        let [program, arguments @ ..] = self.config.command.as_slice() else {
            return Err(misconfigured(&self.config.name, "command is empty"));
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", PATH).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().map_err(|error| {
            let words = format!("notify {}: its program cannot be run: {}", self.config.name, error.kind());
            Fault::untouched(FaultKind::Misconfigured, words)
        })?;
        Ok(Running { child, is_over: false })
    }

    fn failed(&self, why: &str) -> Fault {
        Fault::unknown(FaultKind::Busy, format!("notify {}: {why}", self.config.name))
    }
}

/// A program that runs. Given up, it is killed with all that it started.
struct Running {
    child: Child,
    is_over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group.filter(|_| !self.is_over) {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
