//! Arguments of the verbs about emergencies.

use std::str::FromStr;

use clap::{Args, Subcommand};

use super::{Server, span};
use crate::config::duration::Span;

#[derive(Debug, Subcommand)]
pub(crate) enum Emergency {
    /// Show which groups would be taken, in which order, and who would be left without a valid credential.
    #[command(after_help = "Example:\n  handover emergency plan --select label=env=prod --select older-than=30d")]
    Plan(EmergencyPlan),
    /// Take what is in force out of force in all selected groups, a few at a time, and report how long it took.
    ///
    /// Each order is durable on the server as soon as it is taken, and goes on by itself. Where this command ended early, the
    /// same one with --run and its number takes up where it was: what was ordered is not ordered twice.
    #[command(
        after_help = "Example:\n  handover emergency run --select target=db.internal --ceiling 4 --end-sessions --reason 'INC-4711: backup stolen'"
    )]
    Run(EmergencyRun),
}

#[derive(Debug, Args)]
pub(crate) struct EmergencyPlan {
    /// `label=KEY=VALUE`, `target=NAME`, `older-than=DURATION` or `group=NAME`. May be repeated: all that is said must hold,
    /// of groups one.
    #[arg(long, required = true, value_name = "SELECTOR")]
    pub(crate) select: Vec<Selector>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct EmergencyRun {
    /// `label=KEY=VALUE`, `target=NAME`, `older-than=DURATION` or `group=NAME`. May be repeated: all that is said must hold,
    /// of groups one.
    #[arg(long, required = true, value_name = "SELECTOR")]
    pub(crate) select: Vec<Selector>,
    /// How many groups are on their way at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) ceiling: u16,
    /// Why; audited.
    #[arg(long, required = true)]
    pub(crate) reason: String,
    /// Presenters that do not load the new value within the policy's ceiling may break.
    #[arg(long)]
    pub(crate) accept_breakage: bool,
    /// End open sessions of what is compromised, once it is refused.
    #[arg(long)]
    pub(crate) end_sessions: bool,
    /// Take up an earlier run: the number that it printed.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) run: Option<String>,
    /// How long each group is waited for. It goes on all the same.
    #[arg(long, value_name = "DURATION", value_parser = span, default_value = "10m")]
    pub(crate) wait_max: Span,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// By what groups are selected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Selector {
    /// They have this label.
    Label(String, String),
    /// They are on this target.
    Target(String),
    /// What is in force there is older.
    OlderThan(Span),
    /// It is this one.
    Group(String),
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once('=').unwrap_or((text, ""));
        match (kind, rest.split_once('=')) {
            ("label", Some((key, value))) if !key.is_empty() && !value.is_empty() => {
                Ok(Self::Label(key.to_owned(), value.to_owned()))
            }
            ("target", _) if !rest.is_empty() => Ok(Self::Target(rest.to_owned())),
            ("group", _) if !rest.is_empty() => Ok(Self::Group(rest.to_owned())),
            ("older-than", _) => span(rest).map(Self::OlderThan),
            _ => Err("a selector is label=KEY=VALUE, target=NAME, older-than=DURATION or group=NAME".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_one_of_four() {
        let label = Selector::Label("env".to_owned(), "prod".to_owned());
        assert_eq!("label=env=prod".parse(), Ok(label));
        assert_eq!("target=db:5432".parse(), Ok(Selector::Target("db:5432".to_owned())));
        assert_eq!("older-than=30d".parse(), Ok(Selector::OlderThan(Span::seconds(30 * 86_400))));
        for bad in ["", "label=env", "label==x", "target=", "older-than=soon", "owner=me"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
