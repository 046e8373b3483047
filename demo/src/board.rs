//! What one sees while it goes: on a terminal one board, redrawn in place; elsewhere plain lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Rig};
use serde_json::Value;

use crate::crew::Progresses;
pub(crate) use crate::frame::ConsumerLine;
use crate::frame::{self, Frame, GroupLine, PhaseLine};
use crate::screen::{self, Screen};
use crate::summary::Ended;
use crate::{Failure, interrupt};

const LOOK: Duration = Duration::from_millis(250);
const REDRAW: Duration = Duration::from_millis(200);

/// The board. What is drawn stays on the terminal when it is dropped.
pub(crate) struct Board {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
}

struct Shared {
    began: Instant,
    on_terminal: bool,
    over: AtomicBool,
    told: Mutex<Told>,
}

/// What was told so far.
#[derive(Default)]
struct Told {
    scene: String,
    ended: Vec<(String, bool)>,
    generations: String,
    waiting_for: String,
    /// Of the live rotation, or of the last one, with the time of the record that entered it.
    phases: Vec<(PhaseLine, i64)>,
    entered: Option<Instant>,
    outcome: Option<String>,
    consumers: Option<Progresses>,
    /// How long each phase took, over all rotations, from the times in the history.
    spent_ms: BTreeMap<String, Vec<i64>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        let on_terminal = screen::canvas().is_some();
        let (began, over) = (Instant::now(), AtomicBool::new(false));
        let shared = Arc::new(Shared { began, on_terminal, over, told: Mutex::default() });
        let painter = on_terminal.then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || paint(&shared))
        });
        Self { shared, painter }
    }

    /// What is being done now. All goes to standard error: standard output is for the summary.
    pub(crate) fn say(&self, text: &str) {
        text.clone_into(&mut self.shared.told().scene);
        self.shared.line(text);
    }

    /// Shows what is in the history as it is delivered to the audit file.
    pub(crate) fn follow(&self, rig: &Rig) {
        let (path, shared) = (rig.path("audit.jsonl"), Arc::clone(&self.shared));
        std::thread::spawn(move || read_on(&path, &shared));
    }

    /// Shows what consumers say of themselves.
    pub(crate) fn show_consumers(&self, progresses: Progresses) {
        self.shared.told().consumers = Some(progresses);
    }

    /// Shows how a rotation ended.
    pub(crate) fn ended(&self, ended: &Ended) {
        let figures = {
            let mut told = self.shared.told();
            told.ended.push((ended.what.to_owned(), ended.is_as_expected()));
            told.consumers.as_ref().map(Progresses::lines)
        };
        for line in figures.iter().flatten() {
            let Some(progress) = line.progress else { continue };
            let rate = line.rates.map(|(rate, _)| format!(" ({rate:.0}/s)")).unwrap_or_default();
            let who = &line.who;
            self.shared.line(&format!("  {who:<10} {} queries{rate}, {} failed", progress.queries, progress.failed));
        }
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
        let told = self.shared.told();
        let mean = |spent: &Vec<i64>| spent.iter().sum::<i64>() / i64::try_from(spent.len().max(1)).unwrap_or(1);
        told.spent_ms.iter().map(|(phase, spent)| (phase.clone(), mean(spent))).collect()
    }

    fn watch<T>(
        &self,
        rig: &Rig,
        patience: Duration,
        mut wanted: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T, Failure> {
        let limit = Instant::now() + patience;
        loop {
            interrupt::check()?;
            let status = status(rig)?;
            let found = wanted(&status);
            let waiting = waiting_for(&status);
            let is_new = std::mem::replace(&mut self.shared.told().waiting_for, waiting.clone()) != waiting;
            if let Some(found) = found {
                return Ok(found);
            }
            if is_new && !waiting.is_empty() {
                self.shared.line(&format!("             waiting for {waiting}"));
            }
            if Instant::now() > limit {
                return Err(format!("not within {} s; last seen: {}", patience.as_secs(), status["rotation"]).into());
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plain line, where there is no board.
    fn line(&self, text: &str) {
        if !self.on_terminal {
            eprintln!("{:>6.1} s  {text}", self.began.elapsed().as_secs_f64());
        }
    }
}

impl Told {
    fn frame(&self, elapsed: Duration) -> Frame {
        let phase = self.phases.last().map(|(line, _)| line.phase.clone());
        let groups = phase.into_iter().map(|phase| GroupLine {
            name: GROUP.to_owned(),
            generations: self.generations.clone(),
            phase: self.outcome.clone().unwrap_or(phase),
            standing_for: self.entered.map(|entered| entered.elapsed()).unwrap_or_default(),
            waiting_for: self.waiting_for.clone(),
        });
        Frame {
            elapsed,
            scene: self.scene.clone(),
            ended: self.ended.clone(),
            groups: groups.collect(),
            phases: self.phases.iter().map(|(line, _)| line.clone()).collect(),
            consumers: self.consumers.as_ref().map(Progresses::lines).unwrap_or_default(),
        }
    }

    /// A record of the history; the plain lines that say the same.
    fn take(&mut self, line: &str) -> Vec<String> {
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        let body: Value = record["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        let field = |name: &str| body["fields"][name].as_str().unwrap_or_default().to_owned();
        let (at_ms, event) = (record["at_ms"].as_i64().unwrap_or_default(), body["event"].as_str().unwrap_or_default());
        match event {
            "started" => {
                self.phases.clear();
                self.outcome = None;
                self.generations = format!("{} → {}", field("from"), field("generation"));
                self.enter("stage", at_ms);
                vec![format!("  {:<10} generation {}", "stage", self.generations)]
            }
            "advanced" => {
                self.leave(&field("evidence"), at_ms);
                self.enter(&field("phase"), at_ms);
                vec![format!("  {:<10} {}", field("phase"), field("evidence"))]
            }
            "ended" => {
                self.leave(&field("evidence"), at_ms);
                self.outcome = Some(field("outcome"));
                self.entered = Some(Instant::now());
                vec![format!("  {:<10} {}", field("outcome"), field("evidence"))]
            }
            "learnt" => self.learn(field("evidence"), ""),
            "faulted" => self.learn(field("detail"), event),
            "held" => self.learn(field("hold"), event),
            _ => Vec::new(),
        }
    }

    fn enter(&mut self, phase: &str, at_ms: i64) {
        let line = PhaseLine { phase: phase.to_owned(), took: None, evidence: String::new() };
        self.phases.push((line, at_ms));
        self.entered = Some(Instant::now());
    }

    fn leave(&mut self, evidence: &str, at_ms: i64) {
        let Some((line, since_ms)) = self.phases.last_mut() else { return };
        let spent_ms = at_ms - *since_ms;
        line.took = Some(Duration::from_millis(u64::try_from(spent_ms).unwrap_or_default()));
        evidence.clone_into(&mut line.evidence);
        self.spent_ms.entry(line.phase.clone()).or_default().push(spent_ms);
    }

    fn learn(&mut self, what: String, event: &str) -> Vec<String> {
        let told = format!("  {event:<10} {what}");
        if let Some((line, _)) = self.phases.last_mut() {
            line.evidence = if event.is_empty() { what } else { format!("{event}: {what}") };
        }
        vec![told]
    }
}

/// Draws until it is over, and then once more.
fn paint(shared: &Shared) {
    let Some(mut canvas) = screen::canvas() else { return };
    let mut screen = Screen::new(std::io::stderr());
    loop {
        let is_last = shared.over.load(Ordering::SeqCst);
        canvas = screen::canvas().unwrap_or(canvas);
        let frame = shared.told().frame(shared.began.elapsed());
        screen.draw(&frame::draw(&frame, canvas), canvas);
        if is_last {
            return;
        }
        std::thread::park_timeout(REDRAW);
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

fn read_on(path: &Path, shared: &Shared) {
    let file = loop {
        match File::open(path) {
            Ok(file) => break file,
            Err(_) if shared.over.load(Ordering::SeqCst) => return,
            Err(_) => std::thread::sleep(LOOK),
        }
    };
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    while !shared.over.load(Ordering::SeqCst) {
        match reader.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => {
                let told = shared.told().take(&line);
                told.iter().for_each(|each| shared.line(each));
                line.clear();
            }
            Ok(_) => std::thread::sleep(LOOK / 5),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(at_ms: i64, event: &str, fields: &Value) -> String {
        let body = json!({ "event": event, "actor": "engine", "fields": fields }).to_string();
        json!({ "at_ms": at_ms, "body": body }).to_string()
    }

    #[test]
    fn the_history_is_what_the_board_shows() {
        let mut told = Told::default();
        let started = record(1_000, "started", &json!({ "from": "2", "generation": "3" }));
        assert_eq!(told.take(&started), ["  stage      generation 2 → 3"]);
        let advanced = record(1_250, "advanced", &json!({ "phase": "apply", "evidence": "candidate sealed" }));
        assert_eq!(told.take(&advanced), ["  apply      candidate sealed"]);
        let faulted = record(1_300, "faulted", &json!({ "detail": "no answer" }));
        assert_eq!(told.take(&faulted), ["  faulted    no answer"]);
        assert!(told.take("no record").is_empty());

        let frame = told.frame(Duration::from_secs(2));
        let phases: Vec<_> = frame.phases.iter().map(|line| (&*line.phase, line.took, &*line.evidence)).collect();
        let quarter = Some(Duration::from_millis(250));
        assert_eq!(phases, [("stage", quarter, "candidate sealed"), ("apply", None, "faulted: no answer")]);
        assert_eq!((&*frame.groups[0].generations, &*frame.groups[0].phase), ("2 → 3", "apply"));

        let ended = record(1_500, "ended", &json!({ "outcome": "rolled_back", "evidence": "revoked" }));
        assert_eq!(told.take(&ended), ["  rolled_back revoked"]);
        assert_eq!(told.frame(Duration::ZERO).groups[0].phase, "rolled_back");
        assert_eq!(told.spent_ms["apply"], [250]);
    }
}
