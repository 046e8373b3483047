//! `handover backup`: a copy of everything but the master key, also beside a running server.

use std::fs;
use std::path::{Path, PathBuf};

use handover_adapters::copy::copy_database;
use handover_adapters::state::sqlite::Sqlite;
use handover_core::port::StateStore as _;
use handover_engine::history;

use crate::assembly;
use crate::backup::{self, GroupAt, Item, Manifest};
use crate::cli::Backup;
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;

pub(crate) async fn run(arguments: &Backup, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config.config)?;
    // Without a slash at its end: what is beside it is named after it.
    let to = &arguments.directory.components().collect::<PathBuf>();
    if to.exists() {
        return Err(Failure::refused(format!("{} is there already; nothing was written", to.display()))
            .hint("name a new folder, such as one with the time in its name"));
    }
    let staged = backup::beside(to, "partial");
    // Left by one that died on the way: it was never whole.
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(|error| unwritable(&staged, &error))?;
    }
    backup::make_folder(&staged).map_err(|error| unwritable(&staged, &error))?;
    let done = fill(&config, &staged, arguments.require_rest).await;
    let manifest = match done {
        Ok(manifest) => manifest,
        Err(failure) => {
            // Half a backup helps nobody. If it cannot be removed, the next one says so.
            drop(fs::remove_dir_all(&staged));
            return Err(failure);
        }
    };
    fs::rename(&staged, to)
        .and_then(|()| backup::sync_folder(to.parent().unwrap_or(Path::new("."))))
        .map_err(|error| unwritable(to, &error))?;
    for live in manifest.live() {
        let (group, phase) = (&live.group, live.phase.as_deref().unwrap_or_default());
        printer.say(&format!(
            "A rotation of {group} is live, at {phase}: after a restore, `handover recover` finds how it went on."
        ));
    }
    printer.data(&manifest, |manifest| {
        let (groups, position) = (manifest.groups.len(), manifest.position);
        format!("{}: {groups} groups, history up to position {position}", to.display())
    })?;
    printer.say("The master key is not in it: keep that elsewhere.");
    Ok(())
}

async fn fill(config: &Config, staged: &Path, require_rest: bool) -> Result<Manifest, Failure> {
    copy_database(&config.store, &staged.join(backup::STORE))?;
    let state_file = staged.join(backup::STATE);
    copy_database(&config.state, &state_file)?;
    let mut names = vec![backup::STATE, backup::STORE];
    if config.tokens.exists() {
        backup::copy_file(&config.tokens, &staged.join(backup::TOKENS)).map_err(|error| unwritable(staged, &error))?;
        names.push(backup::TOKENS);
    }
    let (groups, position) = look_into(config, &state_file).await?;
    let mut files = Vec::new();
    for name in names {
        let item = Item::of(staged, name).map_err(|error| unwritable(staged, &error))?;
        files.push(item);
    }
    let (at, program) = (jiff::Timestamp::now().to_string(), env!("CARGO_PKG_VERSION").to_owned());
    let manifest = Manifest { version: 1, at, program, position, files, groups };
    if let (true, Some(live)) = (require_rest, manifest.live().first()) {
        return Err(Failure::refused(format!("a rotation of {} is live; nothing was written", live.group))
            .hint("wait for its end, or leave --require-rest out"));
    }
    manifest.write(staged).and_then(|()| backup::sync_folder(staged)).map_err(|error| unwritable(staged, &error))?;
    Ok(manifest)
}

/// Opens the copy, which verifies all of it, and says what is in it.
async fn look_into(config: &Config, copy: &Path) -> Result<(Vec<GroupAt>, u64), Failure> {
    let state = Sqlite::open(copy, assembly::sealer(config)?)?;
    let mut groups = Vec::new();
    for group in state.groups().await? {
        let Some(loaded) = state.load(&group).await? else { continue };
        groups.push(GroupAt {
            group: group.to_string(),
            generation: loaded.row.current.map(|current| current.generation.0),
            publication: loaded.row.publication.0,
            phase: loaded.row.live().map(|_| history::row_word(&loaded.row).to_owned()),
        });
    }
    let chain = state.verify_chain().await?;
    drop(state);
    // The copy is not a state in use: no lock, no log.
    for left in backup::with_companions(copy).into_iter().skip(1).chain([backup::beside(copy, "lock")]) {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&left, &error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok((groups, chain.records))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::error(format!("{} cannot be written: {}", path.display(), error.kind()))
        .hint("check that its folder exists, may be written, and has space")
}
