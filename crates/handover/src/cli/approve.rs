//! Arguments of the verbs about approvals.

use clap::{Args, ValueEnum};

use super::Server;

/// [`handover_api::Gate`] on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum GateArgument {
    /// Before anything is minted.
    Start,
    /// Before the old generation is refused.
    Disable,
    /// Before it is forgotten, for good.
    Destroy,
}

#[derive(Debug, Args)]
pub(crate) struct Approvals {
    /// Of which group; of all that the token covers if absent.
    pub(crate) group: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Which group.
    pub(crate) group: String,
    /// Before what. Needed only where the rotation stands before two gates at once.
    #[arg(long, value_enum)]
    pub(crate) gate: Option<GateArgument>,
    /// Only if this is the plan: its digest, or the beginning of it, as `handover approvals` shows it.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan: Option<String>,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}
