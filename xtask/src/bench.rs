//! `cargo xtask bench`: builds what is measured, and runs the benchmarks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::{Trouble, Verdict, setup};

/// What the benchmarks take.
#[derive(Args)]
pub(crate) struct Options {
    /// Only show that the benchmarks work, on the dev profile: seconds once built, and figures that mean nothing.
    #[arg(long)]
    smoke: bool,
    /// How the result is printed: `text` or `json`.
    #[arg(long, default_value = "text")]
    output: String,
    /// The cargo profile to measure: `bench-run` (release without link-time optimisation) or `release`.
    #[arg(long, default_value = "bench-run", conflicts_with = "smoke")]
    profile: String,
    /// How long consumers work through rotations in `requests`, in minutes.
    #[arg(long, default_value_t = 1)]
    minutes: u32,
    /// Which benchmarks; all if none is named. By name, or by row of the table in docs/performance.md.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs them. A budget that is missed is shown in the table; only a benchmark that could not be run is a failure.
pub(crate) fn run(root: &Path, options: &Options) -> Result<Verdict, Trouble> {
    if setup::run(&setup::BENCH)? == Verdict::Bad {
        return Ok(Verdict::Bad);
    }
    let profile = if options.smoke { "dev" } else { options.profile.as_str() };
    eprintln!("building the programs to measure, with profile {profile}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--profile", profile, "--package", "handover", "--package", "handover-bench"]);
    let status = build.current_dir(root).stdin(Stdio::null()).status();
    if !status.map_err(|error| format!("cargo cannot be started: {error}"))?.success() {
        return Err("the programs to measure could not be built".to_owned());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |named| root.join(named));
    let programs = programs(&target, profile);
    let mut bench = Command::new(programs.join("handover-bench"));
    bench.arg("run").arg("--handover").arg(programs.join("handover")).arg("--directory").arg(target.join("bench"));
    bench.args(["--output", &options.output, "--profile", profile, "--minutes", &options.minutes.to_string()]);
    if options.smoke {
        bench.arg("--smoke");
    }
    bench.args(&options.names).stdin(Stdio::null());
    let status = bench.status().map_err(|error| format!("the benchmarks cannot be started: {error}"))?;
    match status.code() {
        Some(0) => Ok(Verdict::Good),
        Some(1) => Ok(Verdict::Bad),
        Some(_) | None => Err(format!("the benchmarks ended with {status}")),
    }
}

/// Where cargo puts programs of a profile.
fn programs(target: &Path, profile: &str) -> PathBuf {
    target.join(if profile == "dev" { "debug" } else { profile })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dev_profile_has_a_folder_of_another_name() {
        assert_eq!(programs(Path::new("target"), "dev"), Path::new("target/debug"));
        assert_eq!(programs(Path::new("target"), "bench-run"), Path::new("target/bench-run"));
    }
}
