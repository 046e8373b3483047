//! `cargo xtask demo`: installs what is missing, builds the programs, and runs the demonstration.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::{Trouble, Verdict, setup};

/// What the demonstration takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Shorter waits: ends within a minute, once built.
    #[arg(long)]
    fast: bool,
    /// How the summary is printed: `text` or `json`.
    #[arg(long, default_value = "text")]
    output: String,
}

/// Runs it. Its exit code says whether all promises held.
pub(crate) fn run(root: &Path, options: &Options) -> Result<Verdict, Trouble> {
    if setup::run(&setup::SERVERS)? == Verdict::Bad {
        return Ok(Verdict::Bad);
    }
    eprintln!("building the controller (with fault points, so that it can be killed at one) and the consumers");
    let package = ["build", "--package", "handover", "--features", "fault-points"];
    build(root, &package)?;
    build(root, &["build", "--package", "handover-demo"])?;
    let programs = programs(root);
    let mut demo = Command::new(programs.join("demo"));
    demo.arg("--handover").arg(programs.join("handover")).arg("--consumer").arg(programs.join("demo-consumer"));
    demo.args(["--output", &options.output]).stdin(Stdio::null());
    if options.fast {
        demo.arg("--fast");
    }
    let status = demo.status().map_err(|error| format!("the demonstration cannot be started: {error}"))?;
    match status.code() {
        Some(0) => Ok(Verdict::Good),
        Some(1) => Ok(Verdict::Bad),
        Some(_) | None => Err(format!("the demonstration ended with {status}")),
    }
}

fn build(root: &Path, arguments: &[&str]) -> Result<(), Trouble> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(arguments).current_dir(root).stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("cargo cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", arguments.join(" "))) }
}

/// Where cargo puts programs of the dev profile.
fn programs(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |named| root.join(named));
    target.join("debug")
}
