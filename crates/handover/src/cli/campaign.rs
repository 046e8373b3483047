//! Arguments of the verbs about campaigns.

use clap::{Args, Subcommand, ValueEnum};

use super::{Server, span};
use crate::config::duration::Span;

#[derive(Debug, Subcommand)]
pub(crate) enum Campaign {
    /// Show in which order groups would rotate, and what stands in their way. Changes nothing.
    #[command(after_help = "Example:\n  handover campaign plan orders-admin --with-dependants")]
    Plan(CampaignPlan),
    /// Have groups rotate in the order of what depends on what. It goes on by itself.
    #[command(
        after_help = "Examples:\n  handover campaign run orders-admin --with-dependants --wait\n  handover campaign run --all --parallel 8 --on-failure undo --reason 'yearly'"
    )]
    Run(CampaignRun),
    /// List campaigns, the newest first.
    #[command(after_help = "Example:\n  handover campaign list --live")]
    List(CampaignList),
    /// Show where a campaign and each of its groups stands.
    #[command(after_help = "Example:\n  handover campaign show 3")]
    Show(CampaignShow),
    /// Start nothing more for now. Rotations that are on their way go on.
    #[command(after_help = "Example:\n  handover campaign hold 3 --reason 'the database moves tonight'")]
    Hold(CampaignOrdered),
    /// Let a held campaign go on. What failed is tried again, or left with --skip-failed.
    #[command(after_help = "Example:\n  handover campaign resume 3 --skip-failed")]
    Resume(CampaignResume),
    /// Take back what can be taken back, those first that others come before.
    #[command(after_help = "Example:\n  handover campaign undo 3 --reason 'reports fail with the new users'")]
    Undo(CampaignOrdered),
    /// Start nothing more, and end with what is on its way.
    #[command(after_help = "Example:\n  handover campaign cancel 3 --reason 'wrong groups'")]
    Cancel(CampaignOrdered),
}

/// Which groups, and how.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("chosen").required(true).args(["groups", "all"])))]
pub(crate) struct CampaignTerms {
    /// Which groups.
    #[arg(value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Every group that the token covers.
    #[arg(long)]
    pub(crate) all: bool,
    /// Also the groups that depend on the chosen ones, over however many others.
    #[arg(long)]
    pub(crate) with_dependants: bool,
    /// Which end of a dependency rotates first.
    #[arg(long, value_enum, default_value_t = First::Dependencies)]
    pub(crate) first: First,
    /// How many rotations may be on their way at once.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) parallel: u32,
    /// From when on a group counts as through, so that those after it begin.
    #[arg(long, value_enum, default_value_t = Until::Adopted)]
    pub(crate) until: Until,
    /// What happens when a rotation fails.
    #[arg(long, value_enum, default_value_t = OnFailure::Hold)]
    pub(crate) on_failure: OnFailure,
}

/// [`handover_api::First`] on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum First {
    /// What others depend on.
    Dependencies,
    /// Those that depend on others.
    Dependants,
}

/// [`handover_api::Until`] on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Until {
    /// All presenters have the new generation; the old one is still valid, and there is a way back.
    Adopted,
    /// The rotation has ended; there is no way back.
    Ended,
}

/// [`handover_api::OnFailure`] on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum OnFailure {
    /// Nothing else is started until a person decides.
    Hold,
    /// What can be undone is undone.
    Undo,
    /// What does not depend on it goes on.
    GoOn,
}

#[derive(Debug, Args)]
pub(crate) struct CampaignPlan {
    #[command(flatten)]
    pub(crate) terms: CampaignTerms,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct CampaignRun {
    #[command(flatten)]
    pub(crate) terms: CampaignTerms,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Wait until the campaign has ended or is held, and show each step. Exit code 0 only for a success.
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: how long at the most.
    #[arg(long, value_name = "DURATION", value_parser = span, requires = "wait")]
    pub(crate) wait_max: Option<Span>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct CampaignList {
    /// Only those that have not ended.
    #[arg(long)]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct CampaignShow {
    /// Which campaign.
    pub(crate) campaign: u64,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct CampaignOrdered {
    /// Which campaign.
    pub(crate) campaign: u64,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct CampaignResume {
    /// Which campaign.
    pub(crate) campaign: u64,
    /// Leave what failed, and all that comes after it, instead of trying it again; also what fails later.
    #[arg(long)]
    pub(crate) skip_failed: bool,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}
