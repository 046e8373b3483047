//! Schedules with the real binary and a real PostgreSQL: rotations that nobody orders, restarts, and pauses.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use serde_json::Value;

const POLICY: &str = "passes_min = 1\nquiet_min = \"100ms\"\nbrake_for = \"100ms\"\npoll = \"50ms\"";
const LIMIT: Duration = Duration::from_secs(30);

/// An installation whose group has a schedule, with its first generation in force.
fn rig(schedule: &str) -> Rig {
    let policy = format!("{POLICY}\n[group.schedule]\n{schedule}");
    let options = Options { consumers: Vec::new(), policy, fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig
}

fn json(rig: &Rig, arguments: &[&str]) -> Value {
    let text = rig.succeed(&[arguments, &["--output", "json"]].concat()).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn generation(rig: &Rig) -> u64 {
    json(rig, &["status", GROUP])["current"]["generation"].as_u64().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "never saw {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn starts(rig: &Rig) -> usize {
    let history = json(rig, &["history", GROUP, "--limit", "1000"]);
    history["records"].as_array().unwrap().iter().filter(|record| record["event"] == "started").count()
}

#[test]
fn a_schedule_rotates_a_pause_stops_it_and_both_outlive_a_restart() {
    let rig = rig("every = \"3s\"");
    until("a rotation that nobody ordered", || generation(&rig) >= 2);
    let history = rig.succeed(&["history", GROUP, "--limit", "1000"]).unwrap();
    assert!(history.lines().any(|line| line.contains(" started ") && line.contains(" schedule ")), "{history}");
    let told = rig.succeed(&["schedule", "list"]).unwrap();
    assert!(told.contains(GROUP) && told.contains("every 3s"), "{told}");
    let status = rig.succeed(&["status", GROUP]).unwrap();
    assert!(status.contains("schedule     every 3s: "), "{status}");

    let said = rig.succeed(&["schedule", "pause", GROUP, "--reason", "year-end freeze"]).unwrap();
    assert_eq!(said.trim(), format!("{GROUP}: schedule paused"));
    until("the end of what was live", || json(&rig, &["status", GROUP])["rotation"]["phase"] == "done");
    let before = starts(&rig);
    rig.kill();
    rig.start(&[]).unwrap();
    let paused = json(&rig, &["schedule", "list"]);
    assert_eq!(paused["schedules"][0]["state"], "paused", "{paused:#}");
    assert!(json(&rig, &["schedule", "next", GROUP])["rotations"].as_array().unwrap().is_empty());
    let explained = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(explained.contains("by schedule: a person paused it"), "{explained}");
    // Twice as long as it is late after.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(starts(&rig), before, "nothing starts while it is paused");

    // All at once: only what is not as it should be is told.
    assert_eq!(rig.succeed(&["schedule", "pause", "--all"]).unwrap().trim(), "no schedule had to be paused");
    let resumed = json(&rig, &["schedule", "resume", "--all", "--reason", "the freeze is over"]);
    assert_eq!(resumed, serde_json::json!([{ "group": GROUP, "schedule": "resumed" }]));
    until("a rotation after the pause", || starts(&rig) > before);
    let history = rig.succeed(&["history", GROUP, "--limit", "1000"]).unwrap();
    assert!(history.contains("year-end freeze") && history.contains("unpaused"), "{history}");
    rig.succeed(&["audit", "verify"]).unwrap();
}

/// F56: restarts of an idle server start nothing, and do not move what is planned.
#[test]
fn restarts_start_nothing_and_move_nothing() {
    let rig = rig("cron = \"30 2 1 1 *\"\nzone = \"Europe/Berlin\"");
    let next = || json(&rig, &["schedule", "next", GROUP, "--limit", "1"])["rotations"][0]["start_at"].clone();
    let planned = next();
    assert!(planned.as_str().unwrap().ends_with("-01-01T01:30:00Z"), "half past two in Berlin: {planned}");
    for _ in 0..5 {
        rig.kill();
        rig.start(&[]).unwrap();
        assert_eq!(next(), planned);
    }
    assert_eq!(starts(&rig), 1);
    let calendar = rig.succeed(&["schedule", "calendar", "--days", "400"]).unwrap();
    assert!(calendar.contains("-01-01 UTC\n  01:30:00  "), "{calendar}");
}

/// F65: with the real thing: outside of its window a rotation is parked where both are valid, and told.
#[test]
fn outside_of_a_window_the_old_generation_stays_valid() {
    // Closed today and tomorrow, whatever day it is.
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let until_tomorrow = format!("blackout = [\"{today}..{}\"]", today.tomorrow().unwrap());
    let rig = rig(&until_tomorrow);
    rig.succeed(&["rotate", GROUP]).unwrap();
    let waits = |kind: &str| {
        let status = json(&rig, &["status", GROUP]);
        let waiting = status["rotation"]["waiting_for"].as_array().unwrap().clone();
        status["rotation"]["phase"] == "drain" && waiting.iter().any(|waiting| waiting["kind"] == kind)
    };
    until("the window in the way", || waits("window"));
    let parked = |rig: &Rig| rig.succeed(&["history", GROUP]).unwrap().matches(" parked ").count();
    until("the record of it", || parked(&rig) == 1);
    let explained = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(explained.contains("no window is open until "), "{explained}");
    rig.succeed(&["force", GROUP, "--reason", "a test of the way out"]).unwrap();
    until("the brake", || json(&rig, &["status", GROUP])["rotation"]["phase"] == "disable");
    rig.succeed(&["rollback", GROUP]).unwrap();
    until("the way back", || json(&rig, &["status", GROUP])["rotation"]["status"] == "rolled_back");
}
