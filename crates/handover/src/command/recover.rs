//! `handover recover`: making record and world be of one time again, by the server or, as a last resort, without one.

use std::fmt::Write as _;

use handover_api as api;
use handover_api::path;
use handover_core::port::{Entry, StateStore as _};
use handover_core::{Candidate, Generation, GroupId, Timestamp};
use handover_engine::{Clock as _, RecoverRequest, SystemClock, history};
use serde::Serialize;

use super::group;
use crate::assembly::{self, Assembly, assemble};
use crate::cli::Recover;
use crate::config::{AuditReads, Config, Group};
use crate::failure::Failure;
use crate::file;
use crate::printer::Printer;
use crate::remote::Remote;
use crate::server::recover::recovery;
use crate::words;

/// Who recovers without a server, in the history.
const ACTOR: &str = "handover recover --offline";

pub(crate) async fn run(arguments: &Recover, printer: &Printer) -> Result<(), Failure> {
    let name = group(&arguments.group)?;
    if !arguments.offline {
        let remote = Remote::new(&arguments.server)?;
        let (check, keep, reason) = (arguments.check, arguments.keep, arguments.reason.clone());
        let body = api::RecoverRequest { check, keep, reason };
        let recovered: api::Recovered = remote.post(&path::group(path::RECOVER, name.as_str()), &body).await?;
        return printer.data(&recovered, text);
    }
    let config = Config::load(&arguments.config.config)?;
    let group =
        config.groups.iter().find(|group| group.name == name).ok_or_else(|| {
            Failure::refused(format!("the configuration has no group {name}")).hint("describe it first")
        })?;
    // Opening it would make an empty one, which passes for a state that knows what is in force.
    if !config.state.exists() {
        return Err(Failure::refused(format!("the state {} is not there; nothing was made", config.state.display()))
            .hint("restore it from its backup, or name it with `state =`"));
    }
    match arguments.show {
        Some(generation) => show(&config, group, Generation(generation), arguments, printer).await,
        None if arguments.push || arguments.check => push(&config, &name, arguments, printer).await,
        None => list(&config, &name, printer).await,
    }
}

fn text(recovered: &api::Recovered) -> String {
    let api::Recovered { group, done, text, .. } = recovered;
    if *done { format!("{group}: done: {text}") } else { format!("{group}: {text}") }
}

/// A value that the state holds.
#[derive(Serialize)]
struct Attempt {
    generation: u64,
    candidate: u32,
    /// `current`, `old` and `new` of a live rotation, `owed`, or `kept`.
    place: &'static str,
}

/// What the state holds of a group.
#[derive(Serialize)]
struct Attempts {
    group: String,
    phase: &'static str,
    publication: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<&'static str>,
    values: Vec<Attempt>,
}

async fn list(config: &Config, name: &GroupId, printer: &Printer) -> Result<(), Failure> {
    let state = assembly::state(config, assembly::sealer(config)?)?;
    let sealed = state.candidates(name).await?;
    let Some(loaded) = state.load(name).await? else {
        return Err(
            Failure::refused(format!("the state knows nothing of {name}")).hint("it was never rotated or adopted")
        );
    };
    let row = loaded.row;
    let place = |generation: Generation| match row.live() {
        Some(live) if live.to.generation == generation => "new",
        Some(live) if live.from.is_some_and(|from| from.generation == generation) => "old",
        Some(live) if live.owed.iter().any(|owed| owed.generation == generation) => "owed",
        Some(_) | None if row.current.is_some_and(|current| current.generation == generation) => "current",
        Some(_) | None => "kept",
    };
    let attempt = |(generation, candidate): &(Generation, Candidate)| Attempt {
        generation: generation.0,
        candidate: candidate.0,
        place: place(*generation),
    };
    let attempts = Attempts {
        group: name.to_string(),
        phase: if row.live().is_some() { history::row_word(&row) } else { "rest" },
        publication: row.publication.0,
        doubt: row.doubt.as_ref().map(words::doubt_kind),
        values: sealed.iter().map(attempt).collect(),
    };
    printer.data(&attempts, |Attempts { group, phase, publication, values, .. }| {
        let mut text = format!("{group}: {phase}, publication {publication}");
        for Attempt { generation, candidate, place } in values {
            let _ = write!(text, "\n  generation {generation}, candidate {candidate}: {place}");
        }
        text
    })?;
    if let Some(doubt) = &row.doubt {
        printer.say(&format!("Doubted: {}.", words::doubt(doubt)));
    }
    printer.say("Next: --show GENERATION prints a value, --check says what --push would do.");
    Ok(())
}

/// The last resort: a value, when neither a server nor its stores can be had.
async fn show(
    config: &Config,
    group: &Group,
    generation: Generation,
    arguments: &Recover,
    printer: &Printer,
) -> Result<(), Failure> {
    let state = assembly::state(config, assembly::sealer(config)?)?;
    let name = &group.name;
    let newest = state.candidates(name).await?.into_iter().rev().find(|(of, _)| *of == generation);
    let Some((_, candidate)) = newest else {
        return Err(Failure::refused(format!("the state holds no value of generation {generation} of {name}"))
            .hint("without --show, it lists those that it holds"));
    };
    let value = state.candidate(name, generation, candidate).await?.ok_or_else(|| {
        Failure::error(format!("the value of generation {generation} of {name} went away while it was looked at"))
    })?;
    let written = record(&state, name, generation, arguments.reason.as_deref(), SystemClock.now()).await;
    match (written, group.audit_reads) {
        (Ok(()), _) => {}
        (Err(fault), AuditReads::Closed) => return Err(fault.into()),
        (Err(fault), AuditReads::Open) => printer.say(&format!("warning: this read is not in the history: {fault}")),
    }
    printer.secret(&value)
}

async fn record(
    state: &handover_adapters::state::sqlite::Sqlite,
    name: &GroupId,
    generation: Generation,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), handover_core::Fault> {
    let epoch = state.lease().await?;
    let mut fields = vec![("generation", generation.to_string())];
    fields.extend(reason.map(|reason| ("reason", reason.to_owned())));
    let entry = Entry { at: now, event: history::READ, actor: ACTOR.to_owned(), fields };
    state.append(name, epoch, entry).await
}

/// The same recovery as the server's, in this process.
async fn push(config: &Config, name: &GroupId, arguments: &Recover, printer: &Printer) -> Result<(), Failure> {
    let value = arguments.password_file.as_deref().map(|path| file::secret(path, "the password file")).transpose()?;
    // The service is dropped without having run: nothing but the recovery happens.
    let Assembly { engine, .. } = assemble(config).await?;
    let (check, keep) = (arguments.check, arguments.keep.map(Generation));
    let request = RecoverRequest { keep, value, check, reason: arguments.reason.clone() };
    let recovered = engine.recover(name, request, ACTOR).await.map_err(|refused| {
        let (detail, hint) = words::recover::refused(&refused);
        Failure::refused(format!("{name} is not recovered: {detail}")).hint(hint)
    })?;
    let answer = recovery(name.as_str(), check, &recovered);
    printer.data(&answer, text)?;
    if answer.done && answer.phase.is_some() {
        printer.say("Next: start the server with `handover serve`; the rotation goes on from there.");
    }
    Ok(())
}
