//! `handover check`: the configuration, the files that it names, and on request the targets and sinks. The part that
//! contacts nobody is also the first thing that `serve` does.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use handover_adapters::sink::{SinkConfig, SinkKind};
use handover_core::{Fault, FaultKind, Moments, Strategy};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::assembly::{self, TargetFilesReader};
use crate::cli::Check;
use crate::config::delivery::Delivery;
use crate::config::{Config, Group, Unusable, schema};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote_stores::WiredStore;
use crate::server::tls::Tls;
use crate::tokens::Tokens;

/// How many targets and sinks are asked at once.
const AT_ONCE_MAX: usize = 8;

/// How long one target may take. Each of its calls is bounded by the target's own options.
const TARGET_PATIENCE: Duration = Duration::from_secs(60);

/// How long one sink may take to answer.
const SINK_PATIENCE: Duration = Duration::from_secs(5);

/// What was checked, and what was found.
#[derive(Serialize)]
struct Checked {
    groups: Vec<String>,
    /// What is asked about candidates of groups, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Asked>,
    /// Whether targets, stores and sinks were contacted.
    online: bool,
    findings: Vec<Finding>,
    /// What is weaker than it could be, by choice. It stands in nobody's way.
    cautions: Vec<Caution>,
}

/// A check of a group.
#[derive(Serialize)]
struct Asked {
    group: String,
    check: String,
    kind: &'static str,
    before_publish: bool,
    after_publish: bool,
}

/// Something that was chosen, and is weaker than what comes without choosing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Caution {
    /// What it is about: a group.
    about: String,
    /// What it means.
    words: String,
}

/// Something that stands in the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Finding {
    /// What it is about: the configuration, a group, a sink.
    about: String,
    /// The line of the configuration, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The code of its page in `docs/errors/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// What is wrong.
    words: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(crate) async fn run(arguments: &Check, printer: &Printer) -> Result<(), Failure> {
    if arguments.print_schema {
        return printer.raw(schema().as_bytes());
    }
    let config = match Config::read(&arguments.config.config) {
        Ok(config) => config,
        Err(unusable) => {
            let checked = Checked {
                groups: Vec::new(),
                checks: Vec::new(),
                online: false,
                findings: of_configuration(&unusable),
                cautions: Vec::new(),
            };
            printer.data(&checked, text)?;
            return Err(Failure::error(unusable.what).hint(unusable.hint));
        }
    };
    let files = look_at_files(&config);
    let unusable = !files.is_empty();
    let mut findings = files;
    if arguments.online {
        findings.extend(look_around(&config).await);
    }
    let groups = config.groups.iter().map(|group| group.name.to_string()).collect();
    let (checks, cautions) = (config.groups.iter().flat_map(|group| asked(group)).collect(), cautions(&config));
    let checked = Checked { groups, checks, online: arguments.online, findings, cautions };
    printer.data(&checked, text)?;
    if !arguments.online {
        printer.say("Targets, stores and sinks were not contacted: `handover check --online` does that.");
    }
    let words = match checked.findings.len() {
        0 => return Ok(()),
        1 => "there is 1 finding".to_owned(),
        several => format!("there are {several} findings"),
    };
    let failure = if unusable { Failure::error(words) } else { Failure::refused(words) };
    Err(failure.hint("what stands after `next:` mends it; then run this again. Nothing was changed"))
}

/// Opens what can be opened without changing anything and without contacting anybody.
pub(crate) fn look(config: &Config) -> Result<(), Failure> {
    let findings = look_at_files(config);
    let Some(first) = findings.first() else {
        return Ok(());
    };
    if findings.len() == 1 {
        let failure = Failure::error(format!("{}: {}", first.about, first.told()));
        return Err(match &first.next {
            Some(next) => failure.hint(next.clone()),
            None => failure,
        });
    }
    let told: String = findings.iter().map(|finding| format!("\n  - {}: {}", finding.about, finding.told())).collect();
    Err(Failure::error(format!("what the configuration names is not usable:{told}"))
        .hint("`handover check` says what mends each"))
}

fn look_at_files(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |about: String, failure: Option<Failure>| {
        findings.extend(failure.map(|failure| Finding::of_failure(about, &failure)));
    };
    find("configuration".to_owned(), assembly::sealer(config).err());
    find("configuration".to_owned(), Tokens::open(&config.tokens).err());
    find("tls".to_owned(), config.tls.as_ref().and_then(|tls| Tls::open(tls).err()));
    for sink in &config.sinks {
        match sink.kind() {
            // Opening it takes a lock, which a running server holds.
            SinkKind::File => {}
            SinkKind::Syslog | SinkKind::Http => {
                let delivery = Delivery::Sink(sink.clone());
                find(delivery.called(), assembly::sink(&delivery).err());
            }
        }
    }
    if let Ok(sealer) = assembly::sealer(config) {
        for store in &config.remote_stores {
            find(format!("remote_store {}", store.name()), WiredStore::make(store, &sealer).err());
        }
    }
    for notify in &config.notify {
        let delivery = Delivery::Notify(notify.clone());
        find(delivery.called(), assembly::sink(&delivery).err());
    }
    for hook in &config.hooks {
        for key in &hook.key {
            find(format!("hook {}", hook.name), hook.verifier(key).err());
        }
    }
    let mut files = TargetFilesReader::default();
    for group in &config.groups {
        if let Err(failure) = assembly::target_with(group, &mut files) {
            find(format!("group {}", group.name), Some(failure));
        }
    }
    findings
}

/// Asks targets, remote stores and sinks. What their files lack has been found before.
async fn look_around(config: &Config) -> Vec<Finding> {
    let targets = stream::iter(&config.groups).map(|group| look_at_target(group)).buffered(AT_ONCE_MAX);
    let sinks = stream::iter(&config.sinks).map(look_at_sink).buffered(AT_ONCE_MAX);
    let mut findings = targets.concat().await;
    findings.extend(look_at_stores(config).await);
    findings.extend(sinks.concat().await);
    findings
}

async fn look_at_target(group: &Group) -> Vec<Finding> {
    let Ok(target) = assembly::target(group) else {
        return Vec::new();
    };
    let faults = match timeout(TARGET_PATIENCE, target.preflight()).await {
        Ok(Ok(faults)) => faults,
        Ok(Err(fault)) => vec![fault],
        Err(_) => vec![Fault::untouched(FaultKind::TimedOut, "the target did not answer all questions in time")],
    };
    faults.iter().map(|fault| Finding::of_fault(format!("group {}", group.name), fault)).collect()
}

async fn look_at_stores(config: &Config) -> Vec<Finding> {
    let wired = assembly::sealer(config).and_then(|sealer| WiredStore::make_all(config, &sealer));
    let Ok(wired) = wired else {
        return Vec::new();
    };
    let pairs = config.groups.iter().flat_map(|group| {
        let named = wired.iter().filter(|store| group.stores.iter().any(|name| name == store.name()));
        named.map(move |store| (group, store))
    });
    let looks = stream::iter(pairs).map(|(group, store)| async move {
        let found = store.look(&group.name, stages(group)).await;
        found.iter().map(|fault| Finding::of_fault(format!("group {}", group.name), fault)).collect::<Vec<_>>()
    });
    looks.buffered(AT_ONCE_MAX).concat().await
}

/// Whether its rotations stage the candidate in the stores.
fn stages(group: &Group) -> bool {
    let policy = group.policy.policy(group.called());
    // All kinds of stores can.
    assembly::target(group).is_ok_and(|target| policy.strategy_on(target.capability().slots, true) == Strategy::Staged)
}

async fn look_at_sink(sink: &SinkConfig) -> Vec<Finding> {
    let Some((host, port)) = sink.receiver() else {
        return Vec::new();
    };
    let why = match timeout(SINK_PATIENCE, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => return Vec::new(),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => "nothing listens there",
        Ok(Err(_)) => "there is no way to it, or its name cannot be resolved",
        Err(_) => "it does not answer",
    };
    let fault =
        Fault::untouched(FaultKind::Unreachable, format!("the receiver {host}:{port} cannot be reached: {why}"));
    let finding = Finding::of_fault(format!("sink {}", sink.name()), &fault);
    let next = "start the receiver, or correct its address; until then its records wait here".to_owned();
    vec![Finding { next: Some(next), ..finding }]
}

fn asked(group: &Group) -> impl Iterator<Item = Asked> {
    group.checks.iter().map(|check| {
        let Moments { before_publish, after_publish } = check.moments();
        let (group, kind) = (group.name.to_string(), check.kind().as_str());
        Asked { group, check: check.name().to_owned(), kind, before_publish, after_publish }
    })
}

fn cautions(config: &Config) -> Vec<Caution> {
    let of = |group: &Arc<Group>| {
        let about = format!("group {}", group.name);
        group
            .target
            .cautions()
            .into_iter()
            .map(move |words| Caution { about: about.clone(), words })
            .collect::<Vec<_>>()
    };
    config.groups.iter().flat_map(of).collect()
}

fn of_configuration(unusable: &Unusable) -> Vec<Finding> {
    let finding = |wrong: &crate::config::Wrong| Finding {
        about: "configuration".to_owned(),
        line: wrong.line,
        code: None,
        words: wrong.words.clone(),
        next: None,
    };
    unusable.wrong.iter().map(finding).collect()
}

impl Finding {
    fn of_failure(about: String, failure: &Failure) -> Self {
        let (words, next) = failure.parts();
        let words = words.strip_prefix(&format!("{about}: ")).unwrap_or(words).to_owned();
        Self { about, line: None, code: None, words, next: next.map(str::to_owned) }
    }

    /// A connector ends its words with what to run, if something mends it.
    fn of_fault(about: String, fault: &Fault) -> Self {
        let (words, next) = match fault.detail.split_once(". Run") {
            Some((words, run)) => (words.to_owned(), format!("run{run}")),
            None => (fault.detail.clone(), format!("see docs/errors/{}.md", fault.kind.code())),
        };
        Self { about, line: None, code: Some(fault.kind.code()), words, next: Some(next) }
    }

    fn told(&self) -> String {
        let line = self.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let code = self.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        format!("{line}{}{code}", self.words)
    }
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    for finding in &checked.findings {
        let _ = writeln!(text, "{}: {}", finding.about, finding.told());
        if let Some(next) = &finding.next {
            let _ = writeln!(text, "  next: {next}");
        }
    }
    for Caution { about, words } in &checked.cautions {
        let _ = writeln!(text, "caution: {about}: {words}");
    }
    if checked.findings.is_empty() {
        let groups = match checked.groups.as_slice() {
            [] => "it has no group yet".to_owned(),
            groups => format!("groups: {}", groups.join(", ")),
        };
        let _ = writeln!(text, "the configuration is usable; {groups}");
        for Asked { group, check, kind, before_publish, after_publish } in &checked.checks {
            let when = match (before_publish, after_publish) {
                (true, true) => "before publishing and after",
                (true, false) => "before publishing",
                (false, true) => "after publishing",
                (false, false) => "never",
            };
            let _ = writeln!(text, "group {group}: check {check} ({kind}), {when}");
        }
        if checked.online {
            let _ = writeln!(text, "targets, stores and sinks were contacted; nothing stands in the way");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connector_says_to_run_is_the_next_step() {
        let fault =
            Fault::untouched(FaultKind::Missing, "the owner x does not exist. Run as a superuser: CREATE ROLE \"x\";");
        let finding = Finding::of_fault("group app".to_owned(), &fault);
        assert_eq!(finding.told(), "the owner x does not exist [HO0112]");
        assert_eq!(finding.next.as_deref(), Some("run as a superuser: CREATE ROLE \"x\";"));
        let fault = Fault::untouched(FaultKind::TimedOut, "it took too long");
        let next = Finding::of_fault("group app".to_owned(), &fault).next;
        assert_eq!(next.as_deref(), Some("see docs/errors/HO0102.md"));
    }
}
