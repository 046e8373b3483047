//! The program as it is shipped has none of the switches by which tests kill it, stop it, or turn a fence off.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Trouble;

/// Names of variables of the environment: whoever asks for one has its name in the program.
const SWITCHES: [&str; 3] = ["HANDOVER_FAULT_POINT", "HANDOVER_FAULT_TRACE", "HANDOVER_WITHOUT_FENCE"];

/// Builds it with the switches, where all of them must be found, and as it is shipped, where none may be.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Trouble> {
    let mut wrong = Vec::new();
    for (features, wanted) in [(&["--features", "fault-points"][..], true), (&[][..], false)] {
        let program = build(root, features)?;
        for switch in SWITCHES {
            let found = program.windows(switch.len()).any(|window| window == switch.as_bytes());
            if found != wanted {
                let has = if found { "has" } else { "lacks" };
                let which = if wanted { "for tests" } else { "as it is shipped" };
                wrong.push(format!("the program {which} {has} the switch {switch}"));
            }
        }
    }
    Ok(wrong)
}

fn build(root: &Path, features: &[&str]) -> Result<Vec<u8>, Trouble> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(root).args(["build", "--quiet", "--package", "handover"]).args(features).stdin(Stdio::null());
    let status = build.status().map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !status.success() {
        return Err("the program could not be built".to_owned());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |named| root.join(named));
    let program = target.join("debug/handover");
    std::fs::read(&program).map_err(|error| format!("{} cannot be read: {error}", program.display()))
}
