//! Arguments of `handover notify`.

use clap::{Args, Subcommand};

use super::ConfigFile;

#[derive(Debug, Subcommand)]
pub(crate) enum Notify {
    /// Tell a receiver that nothing happened, to see that it hears. Needs no server, and may run beside one.
    #[command(after_help = "Example:\n  handover notify test ops --config /etc/handover/handover.toml")]
    Test(NotifyTest),
}

#[derive(Debug, Args)]
pub(crate) struct NotifyTest {
    /// Its name in the configuration.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}
