//! Arguments of `handover stats`.

use clap::{Args, Subcommand};

use super::{Server, span};
use crate::config::duration::Span;

#[derive(Debug, Args)]
pub(crate) struct Statistics {
    /// Which group; all that the token covers if absent.
    pub(crate) group: Option<String>,
    /// Only what ended within this time, as in 30d.
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) since: Option<Span>,
    /// A report in Markdown instead: who owns what, how old it is, and what shows its last rotation.
    #[arg(long, conflicts_with_all = ["group", "since"])]
    pub(crate) report: bool,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(subcommand)]
    pub(crate) verb: Option<StatisticsVerb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StatisticsVerb {
    /// Have the counters begin anew. The history stays. With a token that covers every group.
    #[command(after_help = "Example:\n  handover stats reset --reason 'the drill is over'")]
    Reset(StatisticsReset),
}

#[derive(Debug, Args)]
pub(crate) struct StatisticsReset {
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}
