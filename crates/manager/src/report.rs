//! What a rotation came to.

use std::fmt;
use std::time::Duration;

use handover_core::port::Record;
use handover_core::{Fault, Generation, GroupId, Timestamp};
use handover_engine::{Handle, StartRefused, history};
use serde::Deserialize;

/// How many records are read at once.
const PAGE: usize = 256;

/// How a rotation stands that is not waited for any longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The new generation is in force, and the old one is forgotten.
    Success,
    /// The old generation is in force again.
    RolledBack,
    /// It was given up before anything outside was touched.
    Failed,
    /// Nothing happens until somebody decides; why, as one word of docs/phases.md. Both generations may be valid.
    Held {
        /// Why.
        why: String,
    },
}

/// A rotation, as its history tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Which group.
    pub group: GroupId,
    /// The old generation; `None` for a group's first.
    pub from: Option<Generation>,
    /// The new one.
    pub to: Generation,
    /// How it ended.
    pub ending: Ending,
    /// From its start to its end, or to its last record where it is held.
    pub took: Duration,
    /// How long each phase took, in the order in which they were entered first.
    pub phases: Vec<(String, Duration)>,
    /// The last thing that went wrong, if anything did; also where it was overcome.
    pub error: Option<String>,
}

impl Report {
    /// Whether the new generation is in force.
    pub fn is_success(&self) -> bool {
        self.ending == Ending::Success
    }
}

/// Why there is no report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RotateError {
    /// No rotation was started.
    Refused(StartRefused),
    /// It was started, and it cannot be seen how it goes. It goes on, or resumes at the next start.
    Unseen(Fault),
}

impl fmt::Display for RotateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "no rotation was started: {refused}"),
            Self::Unseen(fault) => write!(f, "the rotation goes on, unseen: {fault}"),
        }
    }
}

impl std::error::Error for RotateError {}

#[derive(Deserialize)]
struct Body {
    event: String,
    #[serde(default)]
    fields: Fields,
}

#[derive(Default, Deserialize)]
struct Fields {
    generation: Option<String>,
    from: Option<String>,
    phase: Option<String>,
    code: Option<String>,
    detail: Option<String>,
}

/// Reads the report of a rotation out of the history.
pub(crate) async fn read(engine: &Handle, group: &GroupId, to: Generation, ending: Ending) -> Result<Report, Fault> {
    let mut records = Vec::new();
    let mut before = None;
    loop {
        let page = engine.history(Some(group), before, PAGE).await?;
        before = page.last().map(|record| record.position);
        let end = page.len() < PAGE;
        let mut parsed: Vec<(Timestamp, Body)> = page.iter().filter_map(|record| body(record, to)).collect();
        let whole = parsed.iter().any(|(_, body)| body.event == history::STARTED);
        records.append(&mut parsed);
        if whole || end {
            break;
        }
    }
    records.reverse();
    Ok(fold(group, to, ending, &records))
}

fn body(record: &Record, to: Generation) -> Option<(Timestamp, Body)> {
    let body: Body = serde_json::from_str(&record.body).ok()?;
    (body.fields.generation.as_deref() == Some(to.to_string().as_str())).then_some((record.at, body))
}

fn fold(group: &GroupId, to: Generation, ending: Ending, records: &[(Timestamp, Body)]) -> Report {
    let mut report =
        Report { group: group.clone(), from: None, to, ending, took: Duration::ZERO, phases: Vec::new(), error: None };
    let mut entered: Option<(String, Timestamp)> = None;
    let mut started = None;
    for (at, Body { event, fields }) in records {
        let next = match event.as_str() {
            history::STARTED => {
                started = Some(*at);
                report.from = fields.from.as_deref().and_then(|from| from.parse().ok()).map(Generation);
                Some("stage".to_owned())
            }
            history::ADVANCED => fields.phase.clone(),
            history::FAULTED => {
                let words = [&fields.code, &fields.detail].into_iter().flatten().cloned().collect::<Vec<_>>();
                report.error = Some(words.join(": "));
                None
            }
            history::ENDED => Some(String::new()),
            _ => None,
        };
        if let Some(next) = next
            && let Some((phase, since)) = entered.replace((next, *at))
        {
            stay(&mut report.phases, phase, at.since(since));
        }
        report.took = started.map_or(Duration::ZERO, |started| at.since(started));
    }
    report
}

/// A phase that is entered twice counts once, with both times.
fn stay(phases: &mut Vec<(String, Duration)>, phase: String, time: Duration) {
    match phases.iter_mut().find(|(known, _)| *known == phase) {
        Some((_, total)) => *total += time,
        None => phases.push((phase, time)),
    }
}
