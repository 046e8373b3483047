//! The consumers, each a process of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use handover_demo::{Account, Progress, Said};
use handover_testkit::rig::{GROUP, Rig};
use rustix::process::{Pid, Signal, kill_process};

use crate::board::ConsumerLine;
use crate::{CONSUMERS, Failure};

/// Rates are over the last two seconds or so.
const SAMPLES_MAX: usize = 9;
/// One who said nothing for so long has no rate that anybody knows.
const SILENT_MAX: Duration = Duration::from_secs(2);

/// What all consumers said so far, in the order of [`CONSUMERS`].
#[derive(Clone, Default)]
pub(crate) struct Progresses(Arc<Mutex<Vec<Samples>>>);

impl Progresses {
    /// As the board shows it.
    pub(crate) fn lines(&self) -> Vec<ConsumerLine> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|samples| samples.line(Instant::now())).collect()
    }

    fn join(&self, who: &'static str) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Samples { who, said: VecDeque::new() });
        all.len() - 1
    }

    fn heard(&self, index: usize, progress: Progress) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(samples) = all.get_mut(index) else { return };
        samples.said.push_back((Instant::now(), progress));
        if samples.said.len() > SAMPLES_MAX {
            samples.said.pop_front();
        }
    }
}

struct Samples {
    who: &'static str,
    said: VecDeque<(Instant, Progress)>,
}

impl Samples {
    fn line(&self, now: Instant) -> ConsumerLine {
        let last = self.said.back();
        let rates = self.said.front().zip(last).and_then(|((since, first), (at, last))| {
            let spent = at.duration_since(*since).as_secs_f64();
            let fresh = spent > 0.0 && now.duration_since(*at) < SILENT_MAX;
            let rate = |first: u64, last: u64| last.saturating_sub(first) as f64 / spent;
            fresh.then(|| (rate(first.queries, last.queries), rate(first.failed, last.failed)))
        });
        ConsumerLine { who: self.who.to_owned(), progress: last.map(|(_, progress)| *progress), rates }
    }
}

/// All consumers.
#[derive(Default)]
pub(crate) struct Crew {
    members: Vec<Member>,
    progresses: Progresses,
}

struct Member {
    habit: &'static str,
    child: Child,
    listener: JoinHandle<Option<Account>>,
}

impl Crew {
    /// What they say of themselves, live.
    pub(crate) fn progresses(&self) -> Progresses {
        self.progresses.clone()
    }

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
            let mut child = command.spawn()?;
            let output = child.stdout.take().ok_or("a consumer has no output")?;
            let (index, progresses) = (self.progresses.join(habit), self.progresses.clone());
            let listener = std::thread::spawn(move || listen(output, index, &progresses));
            self.members.push(Member { habit, child, listener });
        }
        Ok(())
    }

    /// Tells them to end, and takes their accounts.
    pub(crate) fn end(mut self) -> Result<Vec<Account>, Failure> {
        for Member { child, .. } in &self.members {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM)?;
            }
        }
        let mut accounts = Vec::new();
        for Member { habit, mut child, listener } in std::mem::take(&mut self.members) {
            let account = listener.join().ok().flatten();
            let status = child.wait()?;
            if !status.success() {
                return Err(format!("consumer {habit} ended with {status}").into());
            }
            accounts.push(account.ok_or_else(|| format!("consumer {habit} gave no account"))?);
        }
        Ok(accounts)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for Member { child, .. } in &mut self.members {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads to the end: the last line is the account.
fn listen(output: ChildStdout, index: usize, progresses: &Progresses) -> Option<Account> {
    let mut account = None;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Said::Progress(progress)) => progresses.heard(index, progress),
            Ok(Said::Account(said)) => {
                progresses.heard(index, Progress { queries: said.queries, failed: said.failed });
                account = Some(said);
            }
            Err(_) => {}
        }
    }
    account
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_what_was_heard_and_unknown_in_silence() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut samples = Samples { who: "pool", said: VecDeque::new() };
        assert_eq!(samples.line(at(0)).progress, None);
        samples.said.push_back((at(0), Progress { queries: 100, failed: 0 }));
        assert_eq!(samples.line(at(0)).rates, None, "one look is no rate");
        samples.said.push_back((at(500), Progress { queries: 150, failed: 2 }));
        assert_eq!(samples.line(at(600)).rates, Some((100.0, 4.0)));
        assert_eq!(samples.line(at(2_600)).rates, None, "who is silent is not at rest");
    }
}
