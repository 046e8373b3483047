//! The benchmarks. `cargo xtask bench` builds what they need and runs this; each benchmark is a process of its own.
//!
//! Exit codes: 0 all that was asked for was measured, 1 a benchmark failed. A budget that is missed is shown, and is no
//! failure.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to the person who started it")]

mod audit;
mod bare;
mod immediate;
mod load;
mod machine;
mod manager;
mod memory;
mod openbao;
mod postgres;
mod read;
mod report;
mod requests;
mod restart;
mod rotations;
mod schedules;
mod signals;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Args, Parser, Subcommand, ValueEnum};

use machine::Machine;
use report::{Benchmark, Findings, Run};

/// What keeps a benchmark from its figures, in words.
type Trouble = String;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run benchmarks, all if none is named, and print the table.
    Run {
        #[command(flatten)]
        setting: Setting,
        /// What is printed.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
        /// Which profile the programs were built with.
        #[arg(long, default_value = "unknown")]
        profile: String,
        /// Which benchmarks.
        #[arg(value_name = "NAME")]
        names: Vec<Name>,
    },
    /// Run one benchmark in this process and print its findings as JSON.
    One {
        #[command(flatten)]
        setting: Setting,
        name: Name,
    },
    /// The engine that is killed, and its successor: part of `restart`.
    #[command(hide = true)]
    Engine(restart::Engine),
}

/// What all benchmarks are told.
#[derive(Args, Clone)]
pub(crate) struct Setting {
    /// The `handover` program.
    #[arg(long)]
    handover: PathBuf,
    /// Where files are kept, and results written.
    #[arg(long)]
    directory: PathBuf,
    /// Only show that the benchmarks work: seconds, and figures that mean nothing.
    #[arg(long)]
    smoke: bool,
    /// How long consumers work through rotations, in minutes.
    #[arg(long, default_value_t = 1)]
    minutes: u32,
}

impl Setting {
    /// Paths that hold wherever a process works.
    fn absolute(self) -> Result<Self, Trouble> {
        let whole = |path: &Path| std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()));
        Ok(Self { handover: whole(&self.handover)?, directory: whole(&self.directory)?, ..self })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// The benchmarks.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// P1: whole rotations, on a fake target and the real state.
    #[value(alias = "P1")]
    Rotations,
    /// P2: one password written over another on a real PostgreSQL, against OpenBao.
    #[value(alias = "P2")]
    Immediate,
    /// P3: whole rotations on a real PostgreSQL.
    #[value(alias = "P3")]
    Postgres,
    /// P4: a million schedules, and ten thousand due at once.
    #[value(alias = "P4")]
    Schedules,
    /// The manager inside a program, at a target that takes 50 ms for each call.
    Manager,
    /// P6: reading one secret over TLS, against OpenBao.
    #[value(alias = "P6")]
    Read,
    /// P7: from a change to its effects.
    #[value(alias = "P7")]
    Signals,
    /// P10: what an idle controller holds in memory, against OpenBao.
    #[value(alias = "P10")]
    Memory,
    /// P12: what history costs, and how fast it is verified.
    #[value(alias = "P12")]
    Audit,
    /// P13: from a SIGKILL to the first effect.
    #[value(alias = "P13")]
    Restart,
    /// P14: requests of a consumer while rotations go on.
    #[value(alias = "P14")]
    Requests,
}

impl Name {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rotations => "rotations",
            Self::Immediate => "immediate",
            Self::Postgres => "postgres",
            Self::Schedules => "schedules",
            Self::Manager => "manager",
            Self::Read => "read",
            Self::Signals => "signals",
            Self::Memory => "memory",
            Self::Audit => "audit",
            Self::Restart => "restart",
            Self::Requests => "requests",
        }
    }

    fn run(self, setting: &Setting) -> Result<Findings, Trouble> {
        match self {
            Self::Rotations => rotations::run(setting),
            Self::Immediate => immediate::run(setting),
            Self::Postgres => postgres::run(setting),
            Self::Schedules => schedules::run(setting),
            Self::Manager => manager::run(setting),
            Self::Read => read::run(setting),
            Self::Signals => signals::run(setting),
            Self::Memory => memory::run(setting),
            Self::Audit => audit::run(setting),
            Self::Restart => restart::run(setting),
            Self::Requests => requests::run(setting),
        }
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Run { setting, output, profile, names } => {
            setting.absolute().and_then(|setting| run(&setting, output, &profile, &names))
        }
        Task::One { setting, name } => {
            setting.absolute().and_then(|setting| name.run(&setting)).and_then(|found| say(&found)).map(|()| true)
        }
        Task::Engine(engine) => engine.run().map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::from(1)
        }
    }
}

fn run(setting: &Setting, output: Output, profile: &str, names: &[Name]) -> Result<bool, Trouble> {
    let directory = &setting.directory;
    std::fs::create_dir_all(directory).map_err(|error| format!("{} cannot be made: {error}", directory.display()))?;
    let names = if names.is_empty() { Name::value_variants() } else { names };
    let mut run = Run { machine: Machine::look(directory, profile), smoke: setting.smoke, benchmarks: Vec::new() };
    for name in names {
        eprintln!("==> {}", name.as_str());
        let (findings, failure) = match apart(setting, *name) {
            Ok(findings) => (Some(findings), None),
            Err(trouble) => {
                eprintln!("error: {}: {trouble}", name.as_str());
                (None, Some(trouble))
            }
        };
        let benchmark = Benchmark { name: name.as_str().to_owned(), findings, failure };
        let alone = Run { benchmarks: vec![benchmark.clone()], ..run.clone() };
        write(&directory.join(format!("{}.json", name.as_str())), &alone)?;
        run.benchmarks.push(benchmark);
    }
    match output {
        Output::Text => println!("{}", run.table()),
        Output::Json => say(&run)?,
    }
    Ok(run.benchmarks.iter().all(|benchmark| benchmark.failure.is_none()))
}

/// Runs a benchmark in a process of its own: what one leaves in memory does not slow the next.
fn apart(setting: &Setting, name: Name) -> Result<Findings, Trouble> {
    let mut command = Command::new(ourselves()?);
    command.args(["one", name.as_str()]).arg("--handover").arg(&setting.handover);
    command.arg("--directory").arg(&setting.directory).args(["--minutes", &setting.minutes.to_string()]);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    if setting.smoke {
        command.arg("--smoke");
    }
    let output = command.output().map_err(|error| format!("it could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("it ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("it said something else: {error}"))
}

fn ourselves() -> Result<PathBuf, Trouble> {
    std::env::current_exe().map_err(|error| format!("this program does not know where it is: {error}"))
}

fn say(what: &impl serde::Serialize) -> Result<(), Trouble> {
    let text = serde_json::to_string_pretty(what).map_err(|error| format!("a result does not serialise: {error}"))?;
    println!("{text}");
    Ok(())
}

fn write(path: &Path, what: &impl serde::Serialize) -> Result<(), Trouble> {
    let text = serde_json::to_string_pretty(what).map_err(|error| format!("a result does not serialise: {error}"))?;
    std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
