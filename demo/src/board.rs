//! Lines as it goes: phases and evidence from the committed history, and who is being waited for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Rig};
use serde_json::Value;

use crate::Failure;

const LOOK: Duration = Duration::from_millis(250);

/// The board.
pub(crate) struct Board {
    began: Instant,
    times: Arc<Mutex<Times>>,
}

/// How long each phase took, over all rotations, from the times in the history.
#[derive(Default)]
struct Times {
    phase: Option<(String, i64)>,
    spent_ms: BTreeMap<String, Vec<i64>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), times: Arc::default() }
    }

    /// One line to standard error: standard output is for the summary.
    pub(crate) fn say(&self, text: &str) {
        say(self.began, text);
    }

    /// Shows each line of history as it is delivered to the audit file.
    pub(crate) fn follow(&self, rig: &Rig) {
        let (path, began, times) = (rig.path("audit.jsonl"), self.began, Arc::clone(&self.times));
        std::thread::spawn(move || read_on(&path, began, &times));
    }

    /// Waits until the group's rotation has ended; how it ended.
    pub(crate) fn wait_for_end(&self, rig: &Rig, patience: Duration) -> Result<String, Failure> {
        let ended = self.watch(rig, patience, |status| {
            let rotation = &status["rotation"];
            (rotation["phase"] == "done").then(|| rotation["status"].as_str().unwrap_or("?").to_owned())
        })?;
        // The history is delivered right after the commit; what follows should not overtake it on the screen.
        std::thread::sleep(LOOK);
        Ok(ended)
    }

    /// Waits until the group's first password is published, for consumers to fetch.
    pub(crate) fn wait_for_first_generation(&self, rig: &Rig, patience: Duration) -> Result<(), Failure> {
        self.watch(rig, patience, |status| {
            let phase = status["rotation"]["phase"].as_str().unwrap_or_default();
            (["propagate", "done"].contains(&phase)).then_some(())
        })
    }

    /// The user that the generation in force logs in as.
    pub(crate) fn current_twin(&self, rig: &Rig) -> Result<String, Failure> {
        let slot = status(rig)?["current"]["slot"].as_u64().unwrap_or_default();
        let twin = usize::try_from(slot).ok().and_then(|slot| rig.roles.twins.get(slot));
        twin.cloned().ok_or_else(|| "the group has no generation in force".into())
    }

    /// Mean time per phase, in milliseconds, by phase.
    pub(crate) fn time_per_phase(&self) -> BTreeMap<String, i64> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = |spent: &Vec<i64>| spent.iter().sum::<i64>() / i64::try_from(spent.len().max(1)).unwrap_or(1);
        times.spent_ms.iter().map(|(phase, spent)| (phase.clone(), mean(spent))).collect()
    }

    fn watch<T>(
        &self,
        rig: &Rig,
        patience: Duration,
        mut wanted: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T, Failure> {
        let limit = Instant::now() + patience;
        let mut shown = String::new();
        loop {
            let status = status(rig)?;
            if let Some(found) = wanted(&status) {
                return Ok(found);
            }
            let waiting = waiting_for(&status);
            if waiting != shown && !waiting.is_empty() {
                self.say(&format!("           waiting for {waiting}"));
                shown = waiting;
            }
            if Instant::now() > limit {
                return Err(format!("not within {} s; last seen: {}", patience.as_secs(), status["rotation"]).into());
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn status(rig: &Rig) -> Result<Value, Failure> {
    Ok(serde_json::from_str(&rig.succeed(&["status", GROUP, "--output", "json"])?)?)
}

/// Whom it waits for, without the seconds that change at every look.
fn waiting_for(status: &Value) -> String {
    let blockers = status["rotation"]["waiting_for"].as_array().cloned().unwrap_or_default();
    let people = |blocker: &Value| match blocker["kind"].as_str() {
        Some("consumer") => blocker["subject"].as_str().map(|who| format!("consumer {who}")),
        Some("in_use") => Some("old sessions to end".to_owned()),
        Some("quiet") => Some("the quiet time".to_owned()),
        Some("overlap") => Some("the overlap".to_owned()),
        Some("brake") => Some("the brake".to_owned()),
        _ => None,
    };
    blockers.iter().filter_map(people).collect::<Vec<_>>().join(", ")
}

fn read_on(path: &PathBuf, began: Instant, times: &Mutex<Times>) {
    let file = loop {
        match std::fs::File::open(path) {
            Ok(file) => break file,
            Err(_) => std::thread::sleep(LOOK),
        }
    };
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    loop {
        match reader.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => {
                show(&line, began, times);
                line.clear();
            }
            Ok(_) => std::thread::sleep(LOOK / 5),
            Err(_) => return,
        }
    }
}

fn show(line: &str, began: Instant, times: &Mutex<Times>) {
    let record: Value = serde_json::from_str(line).unwrap_or_default();
    let body: Value = record["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    let field = |name: &str| {
        let value = &body["fields"][name];
        value.as_str().map(str::to_owned).unwrap_or_default()
    };
    let (at_ms, event) = (record["at_ms"].as_i64().unwrap_or_default(), body["event"].as_str().unwrap_or_default());
    let phase = match event {
        "started" => "stage".to_owned(),
        "ended" => field("outcome"),
        _ => field("phase"),
    };
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        "started" | "advanced" | "ended" => {
            if let Some((before, since_ms)) = times.phase.take() {
                times.spent_ms.entry(before).or_default().push(at_ms - since_ms);
            }
            times.phase = (event != "ended").then(|| (phase.clone(), at_ms));
            say(began, &format!("  {:<10} {}", phase, field("evidence")));
        }
        "learnt" => say(began, &format!("  {:<10} {}", "", field("evidence"))),
        "faulted" | "held" => {
            say(began, &format!("  {:<10} {} {}", event, field("detail"), field("hold")));
        }
        _ => {}
    }
}

fn say(began: Instant, text: &str) {
    eprintln!("{:>6.1} s  {text}", began.elapsed().as_secs_f64());
}
