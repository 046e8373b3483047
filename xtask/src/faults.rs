//! `cargo xtask faults`: the soak. And the table of faults in the documents, which is made from the tests.

mod rows;
pub(crate) mod switches;
mod table;

use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args;

pub(crate) use table::{check, write};

use crate::{Trouble, Verdict, setup};

/// What the soak takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Decides every choice. Without it, one is drawn and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults come; the end of it takes about a minute more.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Do harm instead, of the kinds that fences prevent, and fail if the judges do not find it.
    #[arg(long, conflicts_with_all = ["seed", "minutes"])]
    spoil: bool,
    /// Switch this fence off (`slot` or `store`), have an overtaken controller write late, and fail if the judges find no
    /// harm.
    #[arg(long, value_parser = ["slot", "store"], conflicts_with_all = ["seed", "minutes", "spoil"])]
    without_fence: Option<String>,
    /// Write docs/faults.md from the tests, and run nothing.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "spoil", "without_fence"])]
    write_table: bool,
}

/// Runs it. Its exit code says whether harm was found, or a kind of fault never fired.
pub(crate) fn run(root: &Path, options: &Options) -> Result<Verdict, Trouble> {
    if options.write_table {
        return write(root).map(|()| Verdict::Good);
    }
    if setup::run(&setup::SOAK)? == Verdict::Bad {
        return Ok(Verdict::Bad);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut soak = Command::new(cargo);
    soak.current_dir(root).args(["test", "--quiet", "--package", "handover", "--test", "faults_soak", "--"]);
    soak.stdin(Stdio::null());
    if options.spoil {
        soak.arg("--spoil");
    } else if let Some(fence) = &options.without_fence {
        soak.args(["--without-fence", fence]);
    } else {
        soak.args(["--minutes", &options.minutes.to_string()]);
    }
    if let Some(seed) = options.seed {
        soak.args(["--seed", &seed.to_string()]);
    }
    let status = soak.status().map_err(|error| format!("the soak cannot be started: {error}"))?;
    Ok(if status.success() { Verdict::Good } else { Verdict::Bad })
}
