//! The fault points of a whole rotation and of a rollback, and that each of them ends the process for real.
//!
//! The test runs its own binary as the process that dies. Without the feature there is nothing to run.

#![cfg(feature = "fault-points")]
#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use common::*;
use handover_core::{Order, Outcome};
use handover_engine::environment::{FAULT_POINT, FAULT_TRACE};

/// Set in the process that runs the rotation.
const CHILD: &str = "HANDOVER_TEST_CHILD";

fn child() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "rotates_in_the_child", "--nocapture"]).env(CHILD, "1").stdout(Stdio::null());
    command
}

/// Does nothing in the parent: it is what the child runs.
#[tokio::test(start_paused = true)]
async fn rotates_in_the_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let world = World::new();
    let process = world.start().await;
    assert_eq!(process.rotate().await, Outcome::Success);
    assert_eq!(process.rotate().await, Outcome::Success);
    process.handle.rotate(&group("db"), "tester").await.unwrap();
    process.until("disable").await;
    process.handle.order(&group("db"), Order::Rollback, "tester", None).await.unwrap();
    assert_eq!(process.until_done().await, Outcome::RolledBack);
}

fn points() -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    assert!(child().env(FAULT_TRACE, &path).status().unwrap().success());
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_effect_and_every_commit_has_its_points() {
    let points = points();
    let effects = ["seal", "accept", "login", "head", "put", "point", "adoption", "use", "refuse", "destroy"];
    let back = ["release", "revoke", "probe", "discard"];
    let phases = ["stage", "apply", "verify", "publish", "propagate", "drain", "disable", "destroy", "done"];
    let phases_back = ["release", "unpublish", "return", "quiet", "revoke"];
    let names = effects.iter().chain(&back).map(|name| (*name).to_owned());
    let commits = phases.iter().chain(&phases_back).map(|phase| format!("commit:{phase}"));
    for name in names.chain(commits) {
        for edge in ["before", "after"] {
            let point = format!("{edge}:{name}");
            assert!(points.contains(&point), "{point} is not among {points:?}");
        }
    }
}

#[test]
fn kill_ends_the_process_at_each_point() {
    for point in points() {
        let status = child().env(FAULT_POINT, format!("{point}=kill")).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.signal(), Some(9), "{point}: {status}");
    }
}

#[test]
fn pause_says_where_it_stands_and_blocks() {
    let mut child = child().env(FAULT_POINT, "after:accept#2=pause").stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let said = stderr.lines().map(Result::unwrap).find(|line| line.starts_with("fault point reached"));
    assert_eq!(said.as_deref(), Some("fault point reached: after:accept"));
    assert_eq!(child.try_wait().unwrap(), None, "it is still there");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn an_order_that_does_not_parse_is_no_silent_success() {
    let status = child().env(FAULT_POINT, "after:accept=nap").stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
