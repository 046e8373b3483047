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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aside: Vec<PathBuf>,
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
    let groups = match prepare(&config, arguments, &state, &store).await {
        Ok(groups) => groups,
        Err(failure) => {
            // What stands was not touched, and must start as before. Without it, one that was cut off may have moved it
            // aside: then what is left here is what says so.
            if config.state.exists() {
                discard(&state);
                discard(&store);
            }
            return Err(failure);
        }
    };
    let aside = if there { set_aside(&config)? } else { Vec::new() };
    // The state last: without it nothing is served.
    for (from, to) in [(&store, &config.store), (&state, &config.state)] {
        fs::rename(from, to).map_err(|error| unwritable(to, &error))?;
        backup::sync_folder(to.parent().unwrap_or(Path::new("."))).map_err(|error| unwritable(to, &error))?;
    }
    let tokens = arguments.directory.join(backup::TOKENS);
    if tokens.exists() && !config.tokens.exists() {
        // Under another name until it is whole: half a token file is refused as a whole.
        let whole = backup::beside(&config.tokens, assembly::RESTORING);
        remove(&whole)?;
        copy(&tokens, &whole)?;
        fs::rename(&whole, &config.tokens).map_err(|error| unwritable(&config.tokens, &error))?;
    }
    let restored = Restored { at: manifest.at, groups, aside };
    printer.data(&restored, |restored| {
        let folders: Vec<_> = restored.aside.iter().map(|folder| folder.display().to_string()).collect();
        let aside = if there { format!("; what was there is in {}", folders.join(" and ")) } else { String::new() };
        format!("restored the backup of {}{aside}", restored.at)
    })?;
    printer.say(&format!(
        "{} groups wait: nothing is started or written before each is compared with the world.\n\
         Consumers that joined by themselves since {} are on no roll: have them fetch, or declare them, before a rotation.\n\
         Next: start the server, then `handover recover GROUP --check` for each.",
        restored.groups.len(),
        restored.at
    ));
    Ok(())
}

/// Copies the backup beside what stands, and doubts its groups.
async fn prepare(config: &Config, arguments: &Restore, state: &Path, store: &Path) -> Result<Vec<String>, Failure> {
    // What one left that died on the way goes one by one: until the end, something says that it was cut off.
    for (name, to) in [(backup::STORE, store), (backup::STATE, state)] {
        for stale in backup::with_companions(to) {
            remove(&stale)?;
        }
        copy(&arguments.directory.join(name), to)?;
    }
    doubt_all(config, state, &arguments.reason).await
}

/// Removes what was prepared. What cannot be removed is named by the next start.
fn discard(path: &Path) {
    for left in backup::with_companions(path).into_iter().chain([backup::beside(path, "lock")]) {
        drop(remove(&left));
    }
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

/// Moves what is there into a folder beside it: into one, or one each where state and store are not in one folder. They
/// may be on two file systems, and a name cannot move from one to another.
fn set_aside(config: &Config) -> Result<Vec<PathBuf>, Failure> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
    let databases = [&config.state, &config.store];
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in databases {
        if folders.iter().all(|folder| folder.parent() != path.parent()) {
            let folder = backup::beside(path, &format!("before-restore-{stamp}"));
            backup::make_folder(&folder).map_err(|error| unwritable(&folder, &error))?;
            folders.push(folder);
        }
    }
    for path in databases {
        let Some(folder) = folders.iter().find(|folder| folder.parent() == path.parent()) else { continue };
        for file in backup::with_companions(path) {
            let Some(name) = file.file_name() else { continue };
            match fs::rename(&file, folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&file, &error)),
                Ok(()) | Err(_) => {}
            }
        }
        backup::sync_folder(folder).map_err(|error| unwritable(folder, &error))?;
    }
    Ok(folders)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    backup::copy_file(from, to).map_err(|error| unwritable(to, &error))
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
