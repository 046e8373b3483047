//! Arguments of the verbs about identities.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{ConfigFile, Server, span};
use crate::config::duration::Span;
use crate::tokens::{Grant, Verb};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token. It is printed once, on standard output, and kept nowhere.
    #[command(after_help = "Example:\n  handover token create worker --group orders --role consumer > worker.token")]
    Create(TokenCreate),
    /// Show who may do what. Never shows a token.
    #[command(after_help = "Example:\n  handover token list --output json")]
    List(ConfigFile),
    /// Take a token back. A running server refuses it at once, and ends its streams.
    #[command(after_help = "Example:\n  handover token revoke --identity worker")]
    Revoke(TokenRevoke),
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// Whose token it is. For a consumer: the name under which it acknowledges.
    pub(crate) identity: String,
    /// A group that it covers; may be repeated. `*`, for viewers and operators only: every group.
    #[arg(long = "group", value_name = "GROUP", required = true)]
    pub(crate) groups: Vec<String>,
    /// What it may do.
    #[arg(long, value_enum)]
    pub(crate) role: Grant,
    /// For operators: this verb only, and `look`; may be repeated.
    #[arg(long = "verb", value_name = "VERB", value_enum)]
    pub(crate) verbs: Vec<Verb>,
    /// When it stops, as in 30d. Without it: when it is revoked.
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) expires_in: Option<Span>,
    /// No token: whoever presents a client certificate with exactly this name in it. A URI, or `dns:NAME`.
    #[arg(long, value_name = "NAME")]
    pub(crate) certificate_san: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "identity"])))]
pub(crate) struct TokenRevoke {
    /// The identifier that `token list` shows.
    pub(crate) id: Option<String>,
    /// All of this identity.
    #[arg(long, value_name = "NAME")]
    pub(crate) identity: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    /// Whose token the first operator's token is.
    pub(crate) identity: String,
    /// The file with the one-time code: `serve` wrote it, and said where.
    #[arg(long, value_name = "FILE")]
    pub(crate) code_file: PathBuf,
    #[command(flatten)]
    pub(crate) server: Server,
}
