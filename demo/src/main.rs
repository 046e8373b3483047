//! The demonstration: a private PostgreSQL, a controller, three consumers under load, and rotations that nobody
//! notices. `cargo xtask demo` builds what it needs and runs it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that shows something")]

mod board;
mod crew;
mod frame;
mod interrupt;
mod screen;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use board::Board;
use clap::{Parser, ValueEnum};
use crew::Crew;
use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use summary::{Ended, Summary};

/// Rotates a database password under load, three times over the same two users; lets one rotation fail its
/// verification; kills the controller in another. The exit code says whether all promises held.
#[derive(Parser, Debug)]
struct Arguments {
    /// The `handover` binary, built with the feature `fault-points`.
    #[arg(long)]
    handover: PathBuf,
    /// The `demo-consumer` binary.
    #[arg(long)]
    consumer: PathBuf,
    /// Shorter waits: ends within a minute.
    #[arg(long)]
    fast: bool,
    /// What the summary is printed as.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Output {
    Text,
    Json,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who consumes, and how.
pub(crate) const CONSUMERS: [&str; 3] = ["pool", "job", "session"];

/// The controller stops here in the last rotation, between the target's commit in Apply and its record, and is killed.
/// The sixth accept: one for the first password, three rotations, one that fails its verification, and this one.
const FAULT_POINT: &str = "after:accept#6";

const ROTATION_PATIENCE: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match demonstrate(&arguments) {
        Ok(summary) => {
            match arguments.output {
                Output::Text => println!("{summary}"),
                Output::Json => println!("{}", serde_json::to_string_pretty(&summary).unwrap_or_default()),
            }
            if summary.all_held { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(_) if interrupt::is_asked() => {
            eprintln!("interrupted: what the demonstration started has ended");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

fn demonstrate(arguments: &Arguments) -> Result<Summary, Failure> {
    interrupt::listen()?;
    let board = Board::new();
    board.say("starting a private PostgreSQL (TLS, SCRAM) and a controller on embedded state and store");
    let rig = Rig::new(&arguments.handover, &options(arguments.fast))?;
    rig.start(&[("HANDOVER_FAULT_POINT", &format!("{FAULT_POINT}=pause"))])?;
    board.follow(&rig);

    board.say("the first password: minted, set, verified, published");
    let mut crew = Crew::default();
    rig.succeed(&["rotate", GROUP])?;
    board.wait_for_first_generation(&rig, ROTATION_PATIENCE)?;
    crew.start(&rig, &arguments.consumer)?;
    board.show_consumers(crew.progresses());
    let first = board.wait_for_end(&rig, ROTATION_PATIENCE)?;
    let began = Instant::now();
    board.say("three consumers are at work: a pool, a connection per job, a session of five seconds per job");

    let mut ended = Vec::new();
    let mut end = |what, expected, outcome| {
        let one = Ended::new(what, expected, outcome);
        board.ended(&one);
        ended.push(one);
    };
    end("first password", "success", first);
    for number in 1..=3 {
        board.say(&format!("rotation {number} of 3 over the same two users"));
        end("rotation", "success", rotate(&rig, &board)?);
    }
    end("verification fails", "rolled_back", fail_verification(&rig, &board)?);
    end("controller killed", "success", kill_in_apply(&rig, &board)?);

    board.say("ending the consumers; the credentials that they held are tried once more");
    let worked_for = began.elapsed();
    let accounts = crew.end()?;
    board.say("verifying the audit chain");
    let audit = rig.run(&["audit", "verify"])?;
    if !audit.status.success() {
        board.say(&String::from_utf8_lossy(&audit.stderr));
    }
    let phases = board.time_per_phase();
    rig.stop()?;
    Ok(Summary::of(accounts, worked_for, ended, audit.status.success(), phases))
}

fn options(fast: bool) -> Options {
    let (waits, poll) = if fast { ("1s", "250ms") } else { ("5s", "1s") };
    let policy = format!(
        "passes_min = 2\nquiet_min = \"{waits}\"\noverlap_min = \"{waits}\"\nbrake_for = \"{waits}\"\npoll = \"{poll}\"\n\
         reach_min = \"used\""
    );
    Options { consumers: CONSUMERS.to_vec(), policy, fsync: true }
}

fn rotate(rig: &Rig, board: &Board) -> Result<String, Failure> {
    rig.succeed(&["rotate", GROUP])?;
    board.wait_for_end(rig, ROTATION_PATIENCE)
}

/// Somebody grants a right to the user in force, and not to the owner role: the other user would lack it.
fn fail_verification(rig: &Rig, board: &Board) -> Result<String, Failure> {
    let twin = board.current_twin(rig)?;
    board.say(&format!("a rotation that must not succeed: somebody granted a right to {twin} alone"));
    let table = "CREATE TABLE IF NOT EXISTS public.totals (day date, orders bigint)";
    rig.postgres.execute(DATABASE, &format!("{table}; GRANT SELECT ON public.totals TO {twin}"))?;
    let outcome = rotate(rig, board);
    rig.postgres.execute(DATABASE, &format!("REVOKE SELECT ON public.totals FROM {twin}"))?;
    outcome
}

fn kill_in_apply(rig: &Rig, board: &Board) -> Result<String, Failure> {
    board.say("a rotation in which the controller is killed: the target has the password, the record is not written");
    rig.succeed(&["rotate", GROUP])?;
    let reached = "fault point reached: after:accept";
    let limit = Instant::now() + ROTATION_PATIENCE;
    while !rig.says_within(reached, Duration::from_millis(250)) {
        interrupt::check()?;
        if Instant::now() > limit {
            return Err("the controller did not come to the point at which it is killed".into());
        }
    }
    rig.kill();
    board.say("SIGKILL; the consumers go on; starting it again");
    rig.start(&[])?;
    board.wait_for_end(rig, ROTATION_PATIENCE)
}
