//! Everything a contributor runs. `cargo xtask test` is what CI runs, no more and no less.
//!
//! Data goes to stdout, all else to stderr. Exit codes: 0 done, 1 a check failed or something is missing that the user
//! can install, 2 an error of this program.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to the person who started it")]

mod bench;
mod demo;
mod deps;
mod documents;
mod faults;
mod setup;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

fn main() -> ExitCode {
    let root = root();
    let done = match Arguments::parse().task {
        Task::Test { list: true, .. } => {
            test::list();
            Ok(Verdict::Good)
        }
        Task::Test { list: false, only } => test::run(&root, &only),
        Task::Deps => deps::check(&root).map(|found| tell(&found)),
        Task::Documents => documents::check(&root).map(|found| tell(&found)),
        Task::Setup => setup::run(&setup::ALL),
        Task::Demo(options) => demo::run(&root, &options),
        Task::Bench(options) => bench::run(&root, &options),
        Task::Faults(options) => faults::run(&root, &options),
    };
    match done {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Tasks of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Rotate a real PostgreSQL password under load, three times, with a failure and a crash; exit 0 if nobody noticed.
    Demo(demo::Options),
    /// Measure it: each figure against a floor or a peer of the same run. Writes target/bench/*.json.
    Bench(bench::Options),
    /// The soak: kill, stop and cut off a rotating fleet at random, and judge from outside; exit 0 if no harm was found.
    Faults(faults::Options),
    /// Run what CI runs: format, lints, rules, documents, tests.
    Test {
        /// Say which steps there are, and run nothing.
        #[arg(long)]
        list: bool,
        /// Run only these steps, in their usual order.
        #[arg(value_name = "STEP")]
        only: Vec<String>,
    },
    /// Check which crate depends on which.
    Deps,
    /// Check error pages, links, decision records, the code map and the table of faults.
    Documents,
    /// Install what tests need: PostgreSQL's server and Chromium, from Debian.
    Setup,
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Good,
    Bad,
}

/// What keeps this program from doing its work, in words for its user.
type Trouble = String;

fn tell(found: &[String]) -> Verdict {
    for line in found {
        eprintln!("error: {line}");
    }
    if found.is_empty() { Verdict::Good } else { Verdict::Bad }
}

/// The workspace: this package's parent. Cargo says where the package is, also when this program was built elsewhere.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    package.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
