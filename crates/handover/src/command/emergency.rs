//! `handover rotate --compromised`, `handover emergency plan` and `run`.

use std::collections::VecDeque;
use std::time::Duration;

use handover_api::{EmergencyPlan, EmergencyPlans, EmergencyRequest, EmergencySelect, GroupStatus, Started, path};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::Serialize;
use tokio::time::Instant;

use super::group;
use crate::cli::{Emergency, EmergencyRun, Rotate, Selector};
use crate::config::duration::Span;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

/// How often groups are looked at that are on their way.
const POLL: Duration = Duration::from_millis(300);

/// The longest number of a run, in characters: with a group's name it is the key of an order.
const RUN_CHARS_MAX: usize = 32;

pub(crate) async fn run(arguments: &Emergency, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        Emergency::Plan(arguments) => {
            let remote = Remote::new(&arguments.server)?;
            let plans = plans(&remote, &arguments.select).await?;
            printer.data(&plans, |plans| text(&plans.groups))
        }
        Emergency::Run(arguments) => run_all(arguments, printer).await,
    }
}

/// The order for one group.
pub(crate) async fn order(arguments: &Rotate, remote: &Remote) -> Result<Started, Failure> {
    let group = group(&arguments.group)?;
    let body = EmergencyRequest {
        reason: arguments.reason.clone(),
        accept_breakage: arguments.accept_breakage,
        end_sessions: arguments.end_sessions,
    };
    remote.post(&path::group(path::EMERGENCY, group.as_str()), &body).await
}

async fn plans(remote: &Remote, selectors: &[Selector]) -> Result<EmergencyPlans, Failure> {
    let mut select = EmergencySelect::default();
    for selector in selectors {
        match selector {
            Selector::Label(key, value) => {
                if select.labels.insert(key.clone(), value.clone()).is_some_and(|other| other != *value) {
                    return Err(Failure::error(format!("no group has two values of the label {key}")));
                }
            }
            Selector::Target(name) => select.target = Some(name.clone()),
            Selector::OlderThan(age) => select.older_than_s = Some(age.0.as_secs()),
            Selector::Group(name) => select.groups.push(group(name)?.to_string()),
        }
    }
    remote.post(path::EMERGENCY_PLAN, &select).await
}

fn text(plans: &[EmergencyPlan]) -> String {
    if plans.is_empty() {
        return "no group is selected".to_owned();
    }
    plans.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(plan: &EmergencyPlan) -> String {
    let what = plan.compromised.map_or_else(|| "nothing is in force".to_owned(), |one| format!("generation {one}"));
    let way = match plan.way.as_str() {
        "preempts" => "the live rotation goes on, with its waits cut",
        "supersedes" => "a rotation starts over the rollback that waits",
        _ => "a rotation starts",
    };
    let mut lines = vec![format!("{}: {what} would be taken out of force; {way}", plan.group)];
    lines.extend(plan.tainted_at.iter().map(|since| format!("  it is said to be compromised since {since}")));
    if !plan.behind.is_empty() {
        let names = plan.behind.join(", ");
        lines.push(format!("  would break: {names} (not known to have loaded what is in force)"));
    }
    if plan.unknown {
        lines.push("  would break: whoever nobody declared, and nobody knows".to_owned());
    }
    for from in &plan.used_from {
        let address = from.address.as_deref().unwrap_or("an address that our user may not see");
        lines.push(format!("  in use from {address}: {} at the last look", from.uses));
    }
    if plan.behind.is_empty() && !plan.unknown {
        lines.push("  would break: nobody, as far as is known; who loads nothing is waited for".to_owned());
    }
    let overlap = Span(Duration::from_millis(plan.overlap_min_ms));
    let ceiling = Span(Duration::from_millis(plan.ceiling_ms));
    lines.push(format!("  both stay valid for {overlap} after all moved; accepted breakage begins after {ceiling}"));
    lines.extend(plan.ends_sessions.then(|| "  open sessions are ended once it is refused".to_owned()));
    lines.extend(plan.obstacles.iter().map(|obstacle| format!("  in the way: {} ({})", obstacle.text, obstacle.hint)));
    lines.join("\n")
}

/// What became of a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Line {
    group: String,
    /// `refused`: what was compromised is refused. `refused_order`: the order was not taken. `waiting`: it goes on.
    /// `ended`: the rotation ended, and what was compromised is in force.
    outcome: &'static str,
    /// From the trigger until the target refused what was compromised.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    /// Presenters that had not loaded the new generation by then.
    behind: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// How a run went.
#[derive(Serialize)]
struct Report {
    run: String,
    groups: Vec<Line>,
}

/// A group on its way.
struct Going {
    group: String,
    generation: u64,
    since: Instant,
}

async fn run_all(arguments: &EmergencyRun, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    let run = match &arguments.run {
        Some(run) if run.len() <= RUN_CHARS_MAX && run.bytes().all(|byte| byte.is_ascii_alphanumeric()) => run.clone(),
        Some(_) => return Err(Failure::error("--run takes the number that an earlier run printed")),
        None => fresh()?,
    };
    let plans = plans(&remote, &arguments.select).await?.groups;
    if plans.is_empty() {
        return Err(Failure::refused("no group is selected").hint("`handover group list` shows what there is"));
    }
    let breaking: Vec<&str> =
        plans.iter().filter(|one| one.unknown || !one.behind.is_empty()).map(|one| one.group.as_str()).collect();
    if !breaking.is_empty() && !arguments.accept_breakage {
        printer.say(&text(&plans));
        let words = format!("somebody would be left behind in {}; nothing was ordered", breaking.join(", "));
        return Err(Failure::refused(words).hint("leave those groups out, or say --accept-breakage"));
    }
    printer.say(&format!(
        "Run {run}: {} groups, {} at a time. --run {run} takes it up.",
        plans.len(),
        arguments.ceiling
    ));
    let mut crew = Crew { remote: &remote, arguments, run: &run, printer, lines: Vec::new() };
    crew.work(plans.into_iter().map(|plan| plan.group).collect()).await;
    let mut groups = crew.lines;
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    let report = Report { run, groups };
    printer.data(&report, |report| report.groups.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    let open = report.groups.iter().filter(|line| line.outcome != "refused").count();
    match open {
        0 => Ok(()),
        open => Err(Failure::refused(format!("in {open} groups what is compromised is not refused yet"))
            .hint("`handover explain GROUP` shows for whom it waits")),
    }
}

fn fresh() -> Result<String, Failure> {
    let mut number = [0; 8];
    OsRng.try_fill_bytes(&mut number).map_err(|_| Failure::error("the operating system gave no randomness"))?;
    Ok(hex::encode(number))
}

fn line(line: &Line) -> String {
    let took = line.took_ms.map_or_else(String::new, |ms| format!(" after {}.{}s", ms / 1_000, ms % 1_000 / 100));
    let behind =
        if line.behind.is_empty() { String::new() } else { format!("; left behind: {}", line.behind.join(", ")) };
    let detail = line.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
    let words = match line.outcome {
        "refused" => "the old one is refused",
        "refused_order" => "not ordered",
        "ended" => "ended without",
        _ => "goes on",
    };
    format!("{:<32} {words}{took}{behind}{detail}", line.group)
}

/// Orders groups, a few at a time, and sees them through.
struct Crew<'a> {
    remote: &'a Remote,
    arguments: &'a EmergencyRun,
    run: &'a str,
    printer: &'a Printer,
    lines: Vec<Line>,
}

impl Crew<'_> {
    async fn work(&mut self, mut waiting: VecDeque<String>) {
        let mut going: Vec<Going> = Vec::new();
        loop {
            while going.len() < usize::from(self.arguments.ceiling)
                && let Some(group) = waiting.pop_front()
            {
                going.extend(self.order(group).await);
            }
            if going.is_empty() {
                return;
            }
            tokio::time::sleep(POLL).await;
            let mut still = Vec::new();
            for one in going {
                match self.look(&one).await {
                    Some(line) => self.over(line),
                    None => still.push(one),
                }
            }
            going = still;
        }
    }

    async fn order(&mut self, group: String) -> Option<Going> {
        let EmergencyRun { reason, accept_breakage, end_sessions, .. } = self.arguments;
        let body = EmergencyRequest {
            reason: Some(reason.clone()),
            accept_breakage: *accept_breakage,
            end_sessions: *end_sessions,
        };
        let key = format!("emergency-{}-{group}", self.run);
        let ordered = self.remote.post_as::<Started>(&path::group(path::EMERGENCY, &group), &body, &key).await;
        match ordered {
            Ok(started) => {
                self.printer.say(&format!("{group}: ordered; generation {} replaces it", started.generation));
                Some(Going { group, generation: started.generation, since: Instant::now() })
            }
            Err(failure) => {
                let detail = Some(failure.message());
                self.over(Line { group, outcome: "refused_order", took_ms: None, behind: Vec::new(), detail });
                None
            }
        }
    }

    /// What became of it, once that is known.
    async fn look(&self, one: &Going) -> Option<Line> {
        let late = one.since.elapsed() >= self.arguments.wait_max.0;
        let line = |outcome, took_ms, behind, detail| {
            Some(Line { group: one.group.clone(), outcome, took_ms, behind, detail })
        };
        let path = path::group(path::GROUP, &one.group);
        let found: GroupStatus = match self.remote.get(&path).await {
            Ok(found) => found,
            // A server that is away may come back.
            Err(failure) if late => return line("waiting", None, Vec::new(), Some(failure.message())),
            Err(_) => return None,
        };
        let (behind, took_ms) = found.emergency.map_or((Vec::new(), None), |one| (one.behind, one.took_ms));
        if took_ms.is_some() {
            return line("refused", took_ms, behind, None);
        }
        let rotation = found.rotation.as_ref().filter(|rotation| rotation.to.generation == one.generation);
        if rotation.is_none_or(|rotation| rotation.status.is_final()) {
            let first = found.current.is_some_and(|current| current.generation == one.generation);
            // A group's first generation replaces nothing.
            return line(if first { "refused" } else { "ended" }, None, behind, None);
        }
        let held = rotation.and_then(|rotation| rotation.hold.clone());
        match (held, late) {
            (Some(hold), _) => line("waiting", None, behind, Some(format!("it is held: {hold}"))),
            (None, true) => line("waiting", None, behind, None),
            (None, false) => None,
        }
    }

    fn over(&mut self, line: Line) {
        self.printer.say(&self::line(&line));
        self.lines.push(line);
    }
}
