//! Arguments of the verbs about schedules.

use clap::{Args, Subcommand};

use super::Server;

#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// Show how the schedules of all groups stand.
    #[command(after_help = "Example:\n  handover schedule list")]
    List(ScheduleList),
    /// Show the next rotations that are planned, of one group or of all.
    #[command(after_help = "Example:\n  handover schedule next orders --limit 3")]
    Next(ScheduleNext),
    /// Show what is coming, day by day.
    #[command(after_help = "Example:\n  handover schedule calendar --days 30")]
    Calendar(ScheduleCalendar),
    /// Have nothing started by a group's schedule until it is resumed. A live rotation goes on.
    #[command(after_help = "Examples:\n  handover schedule pause orders --reason 'year-end freeze'\n  \
                            handover schedule pause --all --reason 'year-end freeze'")]
    Pause(SchedulePause),
    /// Let a group's schedule start rotations again. What is late then starts once.
    #[command(after_help = "Examples:\n  handover schedule resume orders\n  handover schedule resume --all")]
    Resume(SchedulePause),
}

#[derive(Debug, Args)]
pub(crate) struct SchedulePause {
    /// Which group.
    #[arg(required_unless_present = "all")]
    pub(crate) group: Option<String>,
    /// Every group that has a schedule and that the token covers. Groups that come later are not among them.
    #[arg(long, conflicts_with = "group")]
    pub(crate) all: bool,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleList {
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleNext {
    /// Of which group; of all that the token covers if absent.
    pub(crate) group: Option<String>,
    /// How many at the most.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleCalendar {
    /// How far ahead.
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) server: Server,
}
