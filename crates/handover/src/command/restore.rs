//! `handover restore`: a backup in place of what is there. Whatever dies on the way, either the old files stand or the
//! new ones, and none of the new ones is in use before every group in it is doubted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handover_adapters::state::sqlite::{Alone, Sqlite};
use handover_core::FaultKind;
use handover_engine::{Options, Ports, Service, SystemClock};
use serde::Serialize;

use crate::assembly;
use crate::backup::{self, Manifest};
use crate::cli::Restore;
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;

/// Who restores, in the history.
const ACTOR: &str = "handover restore";

/// What was restored.
#[derive(Serialize)]
struct Restored {
    /// When the backup was made.
    at: String,
    /// The groups that wait to be recovered.
    groups: Vec<String>,
    /// Where the files went that were there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    aside: Option<PathBuf>,
}

pub(crate) async fn run(arguments: &Restore, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config.config)?;
    let manifest = Manifest::read(&arguments.directory)?;
    // Nobody may use the state meanwhile; held until the end.
    let _alone = Alone::at(&config.state).map_err(|fault| {
        if fault.kind == FaultKind::Fenced {
            return Failure::refused(fault.to_string()).hint("stop the server first");
        }
        Failure::from(fault)
    })?;
    let there = config.state.exists() || config.store.exists();
    if there && !arguments.replace {
        return Err(Failure::refused("there is a state or a store already; nothing was changed")
            .hint("--replace moves both aside, and deletes nothing"));
    }
    let (state, store) =
        (backup::beside(&config.state, assembly::RESTORING), backup::beside(&config.store, assembly::RESTORING));
    // Left by one that died on the way.
    for stale in backup::with_companions(&state).into_iter().chain(backup::with_companions(&store)) {
        remove(&stale)?;
    }
    copy(&arguments.directory.join(backup::STORE), &store)?;
    copy(&arguments.directory.join(backup::STATE), &state)?;
    let groups = doubt_all(&config, &state, &arguments.reason).await?;
    let aside = if there { Some(set_aside(&config)?) } else { None };
    // The state last: without it nothing is served.
    for (from, to) in [(&store, &config.store), (&state, &config.state)] {
        fs::rename(from, to).map_err(|error| unwritable(to, &error))?;
        backup::sync_folder(to.parent().unwrap_or(Path::new("."))).map_err(|error| unwritable(to, &error))?;
    }
    let tokens = arguments.directory.join(backup::TOKENS);
    if tokens.exists() && !config.tokens.exists() {
        copy(&tokens, &config.tokens)?;
    }
    let restored = Restored { at: manifest.at, groups, aside };
    printer.data(&restored, |restored| {
        let aside = restored.aside.as_ref().map(|aside| format!("; what was there is in {}", aside.display()));
        format!("restored the backup of {}{}", restored.at, aside.unwrap_or_default())
    })?;
    printer.say(&format!(
        "{} groups wait: nothing is started or written before each is compared with the world.\n\
         Next: start the server, then `handover recover GROUP --check` for each.",
        restored.groups.len()
    ));
    Ok(())
}

/// Opens the copy, which verifies all of it, and says of each of its groups that it may not be what the world is at.
async fn doubt_all(config: &Config, state: &Path, reason: &str) -> Result<Vec<String>, Failure> {
    let opened = Arc::new(Sqlite::open(state, assembly::sealer(config)?)?);
    let ports =
        Ports { state: opened.clone(), consumers: opened.clone(), sinks: Vec::new(), clock: Arc::new(SystemClock) };
    // Never run: it lends its lease, and nothing else.
    let (service, engine) = Service::new(Options::default(), ports, Vec::new()).await?;
    let groups = engine.doubt_all(ACTOR, Some(reason)).await?;
    drop((service, engine));
    // The last handle merges the log into the file, so that the file alone is whole.
    drop(opened);
    remove(&backup::beside(state, "lock"))?;
    for left in backup::with_companions(state).into_iter().skip(1) {
        remove(&left)?;
    }
    Ok(groups.iter().map(ToString::to_string).collect())
}

/// Moves what is there into a folder beside the state.
fn set_aside(config: &Config) -> Result<PathBuf, Failure> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ");
    let folder = backup::beside(&config.state, &format!("before-restore-{stamp}"));
    backup::make_folder(&folder).map_err(|error| unwritable(&folder, &error))?;
    for path in backup::with_companions(&config.state).into_iter().chain(backup::with_companions(&config.store)) {
        let Some(name) = path.file_name() else { continue };
        match fs::rename(&path, folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&path, &error)),
            Ok(()) | Err(_) => {}
        }
    }
    backup::sync_folder(&folder).map_err(|error| unwritable(&folder, &error))?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let work = || -> std::io::Result<()> {
        let mut source = fs::File::open(from)?;
        let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        std::io::copy(&mut source, &mut target)?;
        target.sync_all()
    };
    work().map_err(|error| unwritable(to, &error))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::error(format!("{} cannot be written: {}", path.display(), error.kind()))
        .hint("nothing of it is in use: mend it, and restore again")
}
