//! `handover init`: a commented configuration and a master key. Nothing is written over.

use std::path::Path;

use handover_adapters::seal::MasterKey;
use handover_core::FaultKind;

use crate::cli::Init;
use crate::config;
use crate::failure::Failure;
use crate::file;
use crate::printer::Printer;

/// The configuration that is written. A test reads it, with and without its comments.
const EXAMPLE: &str = include_str!("handover.toml");

const MASTER_KEY: &str = "master.key";

pub(crate) fn run(arguments: &Init, printer: &Printer) -> Result<(), Failure> {
    let directory = &arguments.directory;
    make_directory(directory)?;
    let (config, key) = (directory.join(config::FILE), directory.join(MASTER_KEY));
    // What is there already must not be half of another installation.
    if config.exists() {
        return Err(Failure::refused(format!("{} is there already", config.display()))
            .hint("nothing was changed; name another directory, or go on with `handover check`"));
    }
    // The key first: a configuration without its key could be served by accident with another one. A key without a
    // configuration is what an `init` that died on the way left behind, or one that was restored: it stays as it is.
    if let Err(fault) = MasterKey::create(&key) {
        if fault.kind != FaultKind::Conflict {
            return Err(fault.into());
        }
        MasterKey::read(&key)?;
        printer.say(&format!("{} was there already, and stays as it is.", key.display()));
    }
    if !file::create(&config, EXAMPLE, 0o644)? {
        return Err(Failure::refused(format!("{} appeared meanwhile", config.display())));
    }
    printer.say(&format!(
        "Wrote {config} and {key}.\n\
         \n\
         Back up {key} now, apart from the state: without it, neither the state nor the store can be opened,\n\
         and nobody can restore what they hold.\n\
         \n\
         Next:\n\
         \x20 1. describe a group in {config}\n\
         \x20 2. handover check --online --config {config}\n\
         \x20 3. handover serve --config {config}\n\
         \x20 4. handover token create me --role operator --group '*' --config {config} > operator.token\n\
         \x20    (after `umask 077`: a token file that everybody may read is refused)\n\
         \x20 5. handover plan GROUP --token-file operator.token",
        config = config.display(),
        key = key.display(),
    ));
    Ok(())
}

fn make_directory(directory: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| Failure::error(format!("{} cannot be made: {}", directory.display(), error.kind())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::cli::Output;
    use crate::config::Config;

    #[test]
    fn what_is_written_can_be_read_and_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = Init { directory: directory.path().join("new") };
        let printer = Printer::new(Output::Text);
        run(&arguments, &printer).unwrap();
        let config = Config::load(&arguments.directory.join(config::FILE)).unwrap();
        let key = std::fs::metadata(&config.master_key).unwrap();
        assert_eq!(key.mode() & 0o777, 0o600);
        let before = std::fs::read(&config.master_key).unwrap();
        assert!(run(&arguments, &printer).is_err());
        assert_eq!(std::fs::read(&config.master_key).unwrap(), before);
    }

    #[test]
    fn an_init_that_died_before_the_configuration_goes_on_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = Init { directory: directory.path().to_owned() };
        let key = directory.path().join(MASTER_KEY);
        MasterKey::create(&key).unwrap();
        let before = std::fs::read(&key).unwrap();
        run(&arguments, &Printer::new(Output::Text)).unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), before);
        assert!(directory.path().join(config::FILE).exists());
    }

    #[test]
    fn every_option_in_the_comments_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(config::FILE);
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").or_else(|| line.strip_prefix("#:")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(uncommented.contains("\n[[group]]"), "the group is there once its comments are gone");
        std::fs::write(&file, uncommented).unwrap();
        let config = Config::load(&file).unwrap();
        assert_eq!(config.groups.len(), 1);
    }
}
