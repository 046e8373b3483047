//! The unit file, the container file and the configuration beside them name what is there.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_handover");

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(packaging(name)).unwrap()
}

/// The values of a key of the unit, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// Whether the binary takes these arguments, as far as its help tells.
fn takes(arguments: &[&str]) {
    let output = Command::new(BINARY).args([arguments[0], "--help"]).output().unwrap();
    assert!(output.status.success(), "there is no verb {}", arguments[0]);
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in arguments.iter().filter(|argument| argument.starts_with("--")) {
        assert!(help.contains(flag), "`handover {}` knows no {flag}", arguments[0]);
    }
}

#[test]
fn the_unit_runs_what_there_is_and_the_configuration_fits() {
    let (unit, configuration) = (read("handover.service"), read("handover.toml"));
    let [start] = values(&unit, "ExecStart")[..] else { panic!("one ExecStart") };
    let arguments: Vec<&str> = start.split_whitespace().collect();
    assert_eq!(arguments[0], "/usr/bin/handover");
    takes(&arguments[1..]);
    // What it does to the server on SIGHUP is tested with the server.
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let at = arguments.iter().position(|argument| *argument == "--config").unwrap();
    assert_eq!(arguments[at + 1], "/etc/handover/handover.toml");
    let credentials = values(&unit, "LoadCredential");
    assert_eq!(credentials.len(), 2);
    for credential in credentials {
        let (name, source) = credential.split_once(':').unwrap();
        assert!(source.starts_with("/etc/handover/"), "{credential}");
        let path = format!("/run/credentials/handover.service/{name}");
        assert!(configuration.contains(&path), "handover.toml does not use {path}");
    }
    let state = format!("/var/lib/{}/", values(&unit, "StateDirectory")[0]);
    for key in ["state", "store", "tokens", "audit_file"] {
        let line = configuration.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        assert!(line.contains(&state), "{line}: not writable under ProtectSystem=strict");
    }
    // Drain of the engine (20 s), of connections (10 s) and of traces (2 s).
    let stop: u64 = values(&unit, "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > 20 + 10 + 2);
}

/// The keys of the configuration are known, and their values make sense; only the files are not there.
#[test]
fn the_configuration_is_one() {
    let output = Command::new(BINARY).args(["check", "--config"]).arg(packaging("handover.toml")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A mistake in the file is said with its line, and comes before anything is looked for.
    assert!(said.contains("there is no master key at /run/credentials/") && !said.contains("line "), "{said}");
}

#[test]
fn systemd_takes_the_unit() {
    let program = Path::new("/usr/bin/systemd-analyze");
    assert!(program.exists(), "systemd-analyze is missing; run: cargo xtask setup");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("handover.service");
    // The program is not installed here: its own is named instead.
    std::fs::write(&copy, read("handover.service").replace("/usr/bin/handover", BINARY)).unwrap();
    let output = Command::new(program).arg("verify").arg(&copy).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("handover.service"), "{said}");
}

#[test]
fn the_image_runs_what_there_is_and_not_as_root() {
    let text = read("Containerfile");
    let last = text.rsplit("\nFROM ").next().unwrap();
    let command = last.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let arguments: Vec<String> = serde_json::from_str(command).unwrap();
    takes(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(last.contains("\nENTRYPOINT [\"/usr/bin/handover\"]\n"));
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(!user.starts_with('0') && user.chars().all(|c| c.is_ascii_digit() || c == ':'), "{user}");
}
