//! The command line: arguments only. What they do is in [`crate::command`], one file per verb.

mod approve;
pub(crate) mod campaign;
mod emergency;
mod notify;
mod schedule;
mod statistics;
mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config;
use crate::config::duration::Span;
pub(crate) use approve::{Approvals, Approve, GateArgument};
pub(crate) use emergency::{Emergency, EmergencyRun, Selector};
pub(crate) use notify::{Notify, NotifyTest};
pub(crate) use schedule::{Schedule, ScheduleCalendar, ScheduleList, ScheduleNext, SchedulePause};
pub(crate) use statistics::{Statistics, StatisticsVerb};
pub(crate) use token::{Bootstrap, Token, TokenCreate, TokenRevoke};

/// Rotates credentials without anybody noticing.
#[derive(Debug, Parser)]
#[command(name = "handover", version, about, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of all verbs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// How data on standard output is written.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// How the log on standard error is written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How data is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For machines: the types of the API.
    Json,
}

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write a commented configuration and a master key into a directory.
    #[command(after_help = "Example:\n  handover init /etc/handover")]
    Init(Init),
    /// Check the configuration, the files that it names and, on request, targets and sinks.
    #[command(after_help = "Example:\n  handover check --online --config /etc/handover/handover.toml")]
    Check(Check),
    /// Run the server.
    #[command(after_help = "Example:\n  handover serve --config /etc/handover/handover.toml")]
    Serve(ConfigFile),
    /// Have the running server read its configuration again: groups, policies, consumers, sinks, passwords of administrators.
    ///
    /// It is checked whole first; one that is not right changes nothing. With a token that covers every group.
    #[command(after_help = "Example:\n  handover reload --check")]
    Reload(Reload),
    /// Make a user that is in use a group's first generation, with the password that it has.
    #[command(
        after_help = "Example:\n  handover adopt orders --user orders_app --password-file orders.password --check"
    )]
    Adopt(Adopt),
    /// Make tokens, list them, take them back.
    #[command(subcommand)]
    Token(Token),
    /// Make the first operator's token, with the one-time code that `serve` wrote.
    #[command(after_help = "Example:\n  handover bootstrap anna --code-file bootstrap.code > anna.token")]
    Bootstrap(Bootstrap),
    /// Show what a rotation would do, or what stands in its way.
    #[command(after_help = "Example:\n  handover plan orders")]
    Plan(OneGroup),
    /// Start a rotation.
    #[command(
        after_help = "Examples:\n  handover rotate orders --wait --wait-max 30m\n  handover rotate orders --compromised --end-sessions --reason 'INC-4711: laptop stolen'"
    )]
    Rotate(Rotate),
    /// Show where groups stand, and for whom they wait.
    #[command(after_help = "Example:\n  handover status orders")]
    Status(Status),
    /// Say what is happening to a group, for whom it waits, what comes next, and what can be done now.
    #[command(after_help = "Example:\n  handover explain orders")]
    Explain(OneGroup),
    /// Show what happens, line by line, until it is interrupted.
    #[command(after_help = "Example:\n  handover watch orders")]
    Watch(WatchStream),
    /// Show what happened to a group, the latest last.
    #[command(after_help = "Example:\n  handover history orders --limit 50")]
    History(History),
    /// Show what rotations came to: outcomes, durations, ages. Or a report for whoever answers for the groups.
    #[command(name = "stats", args_conflicts_with_subcommands = true)]
    Statistics(Statistics),
    /// Fetch a published value, with a consumer's token. The value goes to standard output, and nowhere else.
    ///
    /// Whoever fetches a value is waited for in each rotation from then on, or it could be disabled while it is used. So
    /// one who is not waited for yet has to say which it is: --join, to be waited for, or --peek, for a look without any
    /// promise that the value stays valid.
    #[command(
        after_help = "Example:\n  handover get orders --token-file worker.token --ack loaded > /run/worker/password"
    )]
    Get(Get),
    /// List groups, or forget one that is not configured any more.
    #[command(subcommand)]
    Group(Group),
    /// Take a rotation back.
    #[command(after_help = "Example:\n  handover rollback orders --reason 'reports fail with the new user'")]
    Rollback(Ordered),
    /// Keep a rotation where it is.
    #[command(after_help = "Example:\n  handover hold orders --reason 'the database moves tonight'")]
    Hold(Ordered),
    /// Let a held rotation go on. After drift: write over what somebody else wrote.
    #[command(after_help = "Example:\n  handover resume orders")]
    Resume(Ordered),
    /// Give up a rotation that has touched nothing yet.
    #[command(after_help = "Example:\n  handover abandon orders")]
    Abandon(Ordered),
    /// Stop waiting in the present phase. Irreversible.
    #[command(after_help = "Example:\n  handover force orders --reason 'worker-7 is gone for good'")]
    Force(Forced),
    /// Start a new rotation over a rollback that waits, and retire with it what the rollback would have revoked.
    #[command(after_help = "Example:\n  handover supersede orders --reason 'worker-7 will not come back today'")]
    Supersede(Forced),
    /// Take compromised credentials out of force, in many groups at once, and see beforehand who would break.
    #[command(subcommand)]
    Emergency(Emergency),
    /// Show the approvals that rotations wait for: what would happen, who gave what, and what is missing.
    #[command(after_help = "Example:\n  handover approvals orders")]
    Approvals(Approvals),
    /// Approve what a rotation waits to do. Not what you asked for yourself; a person counts once.
    ///
    /// The approval is of the rotation and the plan that wait now, and of no other.
    #[command(after_help = "Example:\n  handover approve orders --gate disable --reason 'change 4711'")]
    Approve(Approve),
    /// Compare a group's record with the world after a restore, and make them be of one time again.
    ///
    /// The truth is at the target. Where the record is behind, it follows what is in force there; where the target or a
    /// store is behind, it is made what the record says. Nothing is guessed: what cannot be told is refused with the
    /// reason. With --offline: without a server, as a last resort.
    #[command(
        after_help = "Examples:\n  handover recover orders --check\n  handover recover orders --reason 'database restored from the snapshot of Monday'\n  handover recover orders --offline --show 7 --reason 'server lost, on-call needs the password'"
    )]
    Recover(Recover),
    /// Copy the state, the store and the tokens into a folder, also beside a running server.
    #[command(after_help = "Example:\n  handover backup /var/backups/handover/2026-01-31")]
    Backup(Backup),
    /// Put a backup in place of the state and the store. Every group then waits until it is recovered.
    #[command(
        after_help = "Example:\n  handover restore /var/backups/handover/2026-01-31 --replace --reason 'disk lost'"
    )]
    Restore(Restore),
    /// Look at schedules, at what is coming, and pause them.
    #[command(subcommand)]
    Schedule(Schedule),
    /// Rotate groups that depend on one another, in order; look at that, hold it, undo it.
    #[command(subcommand)]
    Campaign(campaign::Campaign),
    /// Look at the audit chain.
    #[command(subcommand)]
    Audit(Audit),
    /// See whether those who are told what happens hear it.
    #[command(subcommand)]
    Notify(Notify),
    /// Run a scenario on the core, without a server.
    #[command(after_help = "Example:\n  handover sim tests/scenarios/supersede.txt")]
    Sim(Sim),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  handover completions bash > /etc/bash_completion.d/handover")]
    Completions(Completions),
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = config::FILE)]
    pub(crate) config: PathBuf,
}

/// How to reach the server.
#[derive(Clone, Debug, Args)]
pub(crate) struct Server {
    /// The server: `https://…`, or `http://` on loopback only.
    #[arg(long, env = crate::environment::URL, default_value = "http://127.0.0.1:8300")]
    pub(crate) url: String,
    /// A file with an operator's token.
    #[arg(long, value_name = "FILE", env = crate::environment::TOKEN_FILE)]
    pub(crate) token_file: Option<PathBuf>,
    /// CA certificates, PEM, that the server's certificate must chain to.
    #[arg(long, value_name = "FILE", env = crate::environment::CA_FILE)]
    pub(crate) ca_file: Option<PathBuf>,
    /// A client certificate, PEM, with those between it and its CA.
    #[arg(long, value_name = "FILE", env = crate::environment::CLIENT_CERTIFICATE_FILE, requires = "client_key_file")]
    pub(crate) client_certificate_file: Option<PathBuf>,
    /// The client certificate's key, PEM, mode 0600.
    #[arg(long, value_name = "FILE", env = crate::environment::CLIENT_KEY_FILE, requires = "client_certificate_file")]
    pub(crate) client_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to write. It is made if it is not there; files in it are never overwritten.
    #[arg(default_value = ".")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Contact each target and sink, and say what would make a rotation fail. Changes nothing; may run beside a server.
    #[arg(long)]
    pub(crate) online: bool,
    /// Print the JSON Schema of the configuration, and check nothing.
    #[arg(long, conflicts_with = "online")]
    pub(crate) print_schema: bool,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// Only say what would change.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("password").required(true).args(["password_file", "password_stdin"])))]
pub(crate) struct Adopt {
    /// Which group. Its configuration names the user as one of its twins.
    pub(crate) group: String,
    /// The user, as applications log in now. It keeps its name and its password.
    #[arg(long)]
    pub(crate) user: String,
    /// A file with the user's password, mode 0600.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the user's password from standard input.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Only print what a superuser must run first, for psql. Changes nothing, and may run beside a server.
    #[arg(long, conflicts_with = "check")]
    pub(crate) print_sql: bool,
    /// Only say what would be done. Changes nothing, and may run beside a server.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Debug, Args)]
pub(crate) struct OneGroup {
    /// Which group.
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Which group.
    pub(crate) group: String,
    /// Wait until the rotation has ended, and show each phase. Exit code 0 only for a success.
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: how long at the most.
    #[arg(long, value_name = "DURATION", value_parser = span, requires = "wait")]
    pub(crate) wait_max: Option<Span>,
    /// What is in force may be held by somebody else: cut waits to what the policy's emergency section allows, over whatever
    /// is on its way. Refused where somebody would be left behind, unless that is accepted.
    #[arg(long, requires = "reason")]
    pub(crate) compromised: bool,
    /// With --compromised: why; audited.
    #[arg(long, requires = "compromised")]
    pub(crate) reason: Option<String>,
    /// With --compromised: presenters that do not load the new value within the policy's ceiling may break.
    #[arg(long, requires = "compromised")]
    pub(crate) accept_breakage: bool,
    /// With --compromised: end open sessions of what is compromised, once it is refused.
    #[arg(long, requires = "compromised")]
    pub(crate) end_sessions: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Which group; all of them if absent.
    pub(crate) group: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct WatchStream {
    /// Which group; all that the token covers if absent.
    pub(crate) group: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Which group.
    pub(crate) group: String,
    /// How many records at the most.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Only records before this position.
    #[arg(long, value_name = "POSITION")]
    pub(crate) before: Option<u64>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Which group.
    pub(crate) group: String,
    /// What goes with the value instead of it, such as `user`.
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
    /// Look only: do not be waited for. The value may be disabled while it is used.
    #[arg(long, conflicts_with_all = ["join", "ack"])]
    pub(crate) peek: bool,
    /// Be waited for in each rotation from now on.
    #[arg(long)]
    pub(crate) join: bool,
    /// What to vouch for once the value is written: that it arrived, that everything new uses it, or that it was used
    /// with success. A rotation goes on only once a consumer has loaded or used what it fetched.
    #[arg(long, value_enum, default_value_t = Vouched::Delivered)]
    pub(crate) ack: Vouched,
    /// Show the value on a terminal.
    #[arg(long)]
    pub(crate) reveal: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// How far a value got, as whoever fetched it vouches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Vouched {
    /// It arrived.
    Delivered,
    /// Everything new uses it.
    Loaded,
    /// It was used with success.
    Used,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// List the configured groups, and those that only the state still knows.
    #[command(after_help = "Example:\n  handover group list")]
    List(GroupList),
    /// Forget a group that is not configured any more: its sealed values and its row. Its history stays, and nothing is
    /// touched at its target: users, passwords and our labels there stay as they are.
    #[command(after_help = "Example:\n  handover group remove orders --reason 'the service was shut down'")]
    Remove(Forced),
}

#[derive(Debug, Args)]
pub(crate) struct GroupList {
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Ordered {
    /// Which group.
    pub(crate) group: String,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Forced {
    /// Which group.
    pub(crate) group: String,
    /// Why; audited.
    #[arg(long, required = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Which group.
    pub(crate) group: String,
    /// Only say what would be done.
    #[arg(long, conflicts_with_all = ["show", "push"])]
    pub(crate) check: bool,
    /// The generation to keep, where the world does not tell which one is published.
    #[arg(long, value_name = "GENERATION")]
    pub(crate) keep: Option<u64>,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Without a server: list the values that the state holds, show one, or push what is right.
    #[arg(long)]
    pub(crate) offline: bool,
    /// With --offline: print the value of this generation. It goes to standard output, and nowhere else.
    #[arg(long, value_name = "GENERATION", requires_all = ["offline", "reason"], conflicts_with = "push")]
    pub(crate) show: Option<u64>,
    /// With --offline: recover at the target and the stores.
    #[arg(long, requires = "offline")]
    pub(crate) push: bool,
    /// With --push: a file with the value in force, mode 0600, where nobody here has it.
    #[arg(long, value_name = "FILE", requires = "push")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Backup {
    /// Where to. It must not be there yet.
    pub(crate) directory: PathBuf,
    /// Only if no rotation is live: such a backup never needs a rotation to be followed.
    #[arg(long)]
    pub(crate) require_rest: bool,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Restore {
    /// What `handover backup` wrote.
    pub(crate) directory: PathBuf,
    /// Move the state and the store that are there aside.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Why; audited.
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check every record of the state against the hash chain, and every checkpoint against our key.
    #[command(after_help = "Example:\n  handover audit verify --against /var/log/handover/audit.jsonl")]
    Verify(AuditVerify),
    /// Show the last records, also beside a running server.
    #[command(after_help = "Example:\n  handover audit tail --follow --group orders")]
    Tail(AuditTail),
    /// Write records to standard output.
    #[command(after_help = "Example:\n  handover audit export --format csv --from 2026-01-01 > history.csv")]
    Export(AuditExport),
    /// Print the public key that checks checkpoints.
    #[command(after_help = "Example:\n  handover audit key")]
    Key(ConfigFile),
    /// Show how far each sink got; with a token, from a server that runs, which knows what fails.
    #[command(after_help = "Example:\n  handover audit sinks")]
    Sinks(AuditSinks),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AuditSinks {
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AuditVerify {
    /// Compare with the records in this file: a copy of the audit file, an export, or a syslog receiver's file.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Another key that checkpoints may be signed with, as `audit key` printed it; may be repeated.
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AuditTail {
    /// Go on, and show each record as it is committed.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only records of this group.
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Begin after this position.
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<u64>,
    /// How many records, where no position is given.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20, conflicts_with = "after")]
    pub(crate) lines: usize,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AuditExport {
    /// How records are written.
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub(crate) format: ExportFormat,
    /// The first: a position, a date, or a time as in 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "BOUND", value_parser = bound_from)]
    pub(crate) from: Option<Bound>,
    /// The last, in the same way; a date takes in its whole day.
    #[arg(long, value_name = "BOUND", value_parser = bound_to)]
    pub(crate) to: Option<Bound>,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
}

/// How records are exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ExportFormat {
    /// The lines that sinks get, one JSON object each.
    Jsonl,
    /// A table.
    Csv,
}

/// Where an export begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    /// A position in the chain.
    Position(u64),
    /// A time, in milliseconds since the Unix epoch.
    Time(i64),
}

#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// The scenario.
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "a duration is a whole number with a unit: 500ms, 10s, 5m, 2h, 1d".to_owned())
}

fn bound_from(text: &str) -> Result<Bound, String> {
    bound(text, 0)
}

fn bound_to(text: &str) -> Result<Bound, String> {
    bound(text, DAY_MS - 1)
}

fn bound(text: &str, date_ms: i64) -> Result<Bound, String> {
    let wanted = || "a bound is a position, a date as in 2026-01-31, or a time as in 2026-01-31T08:00:00Z".to_owned();
    if let Ok(position) = text.parse() {
        return Ok(Bound::Position(position));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Bound::Time(time.as_millisecond()));
    }
    let midnight = format!("{text}T00:00:00Z").parse::<jiff::Timestamp>().map_err(|_| wanted())?;
    Ok(Bound::Time(midnight.as_millisecond() + date_ms))
}

const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_bound_is_a_position_a_date_or_a_time() {
        assert_eq!(bound_from("12"), Ok(Bound::Position(12)));
        assert_eq!(bound_from("1970-01-02"), Ok(Bound::Time(DAY_MS)));
        assert_eq!(bound_to("1970-01-02"), Ok(Bound::Time(2 * DAY_MS - 1)));
        assert_eq!(bound_to("1970-01-01T00:00:01Z"), Ok(Bound::Time(1_000)));
        assert!(bound_to("yesterday").is_err());
    }

    #[test]
    fn the_arguments_make_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        let mut pending = vec![(String::new(), Cli::command())];
        while let Some((path, command)) = pending.pop() {
            let name = format!("{path} {}", command.get_name());
            if !command.has_subcommands() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                let examples: Vec<&str> =
                    help.lines().map(str::trim).filter(|line| line.starts_with("handover ")).collect();
                assert!(help.starts_with("Example") && !examples.is_empty(), "{name} has no example: {help:?}");
                for example in examples {
                    // It is of this verb, and would be taken.
                    assert!(format!("{example} ").starts_with(&format!("{} ", name.trim())), "{name}: {example}");
                    let words = example.split(" > ").next().unwrap_or_default();
                    Cli::try_parse_from(shell_words(words)).unwrap_or_else(|error| panic!("{example}: {error}"));
                }
            }
            pending.extend(command.get_subcommands().map(|verb| (name.clone(), verb.clone())));
        }
    }

    /// Words of a command line, with '…' around those that contain spaces.
    fn shell_words(line: &str) -> Vec<String> {
        line.split('\'')
            .enumerate()
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }
}
