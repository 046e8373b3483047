//! What rotations came to, from a real server with a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use serde_json::Value;

const POLICY: &str =
    "poll = \"100ms\"\nquiet_min = \"300ms\"\nfetch_to_load_max = \"100ms\"\nbrake_for = \"300ms\"\npasses_min = 1";

fn rig() -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let named = format!("name = \"{GROUP}\"\n");
    let text = text.replacen(&named, &format!("{named}owner = \"payments\"\nage_max = \"1s\"\n"), 1);
    std::fs::write(&file, text).unwrap();
    rig.start(&[]).unwrap();
    rig
}

fn figures(rig: &Rig, arguments: &[&str]) -> Value {
    let arguments = [&["stats", "--output", "json"], arguments].concat();
    serde_json::from_str(&rig.succeed(&arguments).unwrap()).unwrap()
}

#[test]
fn figures_come_from_the_history_and_a_restart_changes_none() {
    let rig = rig();
    for _ in 0..2 {
        rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    }
    rig.succeed(&["rotate", GROUP]).unwrap();
    let second = rig.run(&["rotate", GROUP]).unwrap();
    assert_eq!(second.status.code(), Some(1), "one is live");
    rig.succeed(&["rollback", GROUP]).unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    let before = loop {
        let seen = figures(&rig, &[]);
        if seen["ended"]["rolled_back"] == 1 {
            break seen;
        }
        assert!(Instant::now() < limit, "the rollback does not end; last seen: {seen}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(before["ended"]["success"], 2, "{before}");
    assert_eq!((&before["rollbacks"]["dual_write"], &before["refused_concurrent"]), (&1.into(), &1.into()), "{before}");
    assert_eq!((&before["duration"]["count"], &before["overlap"]["count"]), (&2.into(), &1.into()), "{before}");
    assert!(before["phases"]["drain"]["p50_ms"].as_u64().unwrap() >= 300, "it was quiet for as long: {before}");

    rig.stop().unwrap();
    rig.start(&[]).unwrap();
    let after = figures(&rig, &[]);
    for name in
        ["ended", "success_rate", "rollbacks", "refused_concurrent", "duration", "phases", "overlap", "lifetime"]
    {
        assert_eq!(before[name], after[name], "{name}");
    }

    // What is in force is older than the configuration allows by now.
    let limit = Instant::now() + Duration::from_secs(30);
    while figures(&rig, &[])["overdue_groups"] != serde_json::json!([GROUP]) {
        assert!(Instant::now() < limit, "never overdue: {}", figures(&rig, &[]));
        std::thread::sleep(Duration::from_millis(100));
    }
    let text = rig.succeed(&["stats", GROUP, "--since", "1h"]).unwrap();
    assert!(text.contains("2 success, 1 rolled back, 0 failed, 0 superseded"), "{text}");
    assert!(text.contains("66.7 %") && text.contains("1 of dual_write"), "{text}");

    let report = rig.succeed(&["stats", "--report"]).unwrap();
    let line = report.lines().find(|line| line.starts_with("| app ")).unwrap();
    assert!(
        line.contains("| payments | postgres | 2 |") && line.contains("| 1s | overdue | rolled_back at "),
        "{line}"
    );
    let record: Value =
        serde_json::from_str(&rig.succeed(&["stats", "--report", "--output", "json"]).unwrap()).unwrap();
    let last = &record["groups"][0]["last"];
    let exported = std::fs::read_to_string(rig.path("audit.jsonl")).unwrap();
    let position = format!("{{\"position\":{},", last["position"]);
    let shown = exported.lines().find(|line| line.starts_with(&position)).unwrap();
    assert!(shown.contains(last["hash"].as_str().unwrap()), "{shown}");
}
