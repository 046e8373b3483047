//! The consumers: each its own process.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use handover_demo::Account;
use handover_testkit::rig::{GROUP, Rig};
use rustix::process::{Pid, Signal, kill_process};

use crate::{CONSUMERS, Failure};

/// All consumers.
#[derive(Default)]
pub(crate) struct Crew(Vec<(&'static str, Child)>);

impl Crew {
    /// Starts them.
    pub(crate) fn start(&mut self, rig: &Rig, binary: &Path) -> Result<(), Failure> {
        for habit in CONSUMERS {
            let token = rig.token_file(habit, "consumer")?;
            let mut command = Command::new(binary);
            command
                .args(["--habit", habit, "--identity", habit, "--group", GROUP, "--url", &rig.url()])
                .args(["--port", &rig.postgres.port().to_string(), "--prove"])
                .arg("--token-file")
                .arg(token)
                .arg("--ca-file")
                .arg(rig.postgres.ca_path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            self.0.push((habit, command.spawn()?));
        }
        Ok(())
    }

    /// Tells them to end, and takes their accounts.
    pub(crate) fn end(mut self) -> Result<Vec<Account>, Failure> {
        for (_, child) in &self.0 {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM)?;
            }
        }
        let mut accounts = Vec::new();
        for (habit, mut child) in std::mem::take(&mut self.0) {
            let mut said = String::new();
            child.stdout.take().ok_or("a consumer has no output")?.read_to_string(&mut said)?;
            let status = child.wait()?;
            if !status.success() {
                return Err(format!("consumer {habit} ended with {status}").into());
            }
            accounts.push(serde_json::from_str(&said)?);
        }
        Ok(accounts)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
