//! Approvals with the real binary, a real PostgreSQL, and tokens of several people.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use serde_json::{Value, json};

const POLICY: &str = "passes_min = 1\nquiet_min = \"100ms\"\nbrake_for = \"100ms\"\npoll = \"50ms\"";
const LIMIT: Duration = Duration::from_secs(30);

fn rig(policy: &str) -> Rig {
    let options = Options { consumers: Vec::new(), policy: format!("{POLICY}\n{policy}"), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig
}

/// Somebody's command line.
fn by(rig: &Rig, token: &Path, arguments: &[&str]) -> Output {
    rig.command(arguments).env("HANDOVER_TOKEN_FILE", token).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json_of(rig: &Rig, arguments: &[&str]) -> Value {
    serde_json::from_str(&rig.succeed(&[arguments, &["--output", "json"]].concat()).unwrap()).unwrap()
}

fn phase(rig: &Rig) -> String {
    json_of(rig, &["status", GROUP])["rotation"]["phase"].as_str().unwrap_or("none").to_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "never saw {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Another token of somebody who may approve.
fn approver(rig: &Rig, name: &str, file: &str) -> PathBuf {
    let token = rig.succeed(&["token", "create", name, "--group", GROUP, "--role", "approver"]).unwrap();
    let path = rig.path(file);
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    made.write_all(token.as_bytes()).unwrap();
    path
}

/// Sends an approval as it was sent before, or made up.
async fn send(rig: &Rig, token: &Path, body: &Value) -> (u16, Value) {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().unwrap();
    let token = std::fs::read_to_string(token).unwrap();
    let request = client.post(format!("{}/v1/groups/{GROUP}/approve", rig.url())).bearer_auth(token.trim()).json(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn asked(rig: &Rig) -> Value {
    let found = json_of(rig, &["approvals", GROUP]);
    let one = found["approvals"][0].clone();
    json!({ "generation": one["generation"], "gate": one["gate"], "plan": one["plan"] })
}

/// S32: replay, one's own request, plan A approved and plan B run, a stale approval, one person with two tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_of_one_rotation_one_plan_and_different_people() {
    let rig = rig("approvals.start = { quorum = 2, expires = \"1h\" }");
    let [ben, again] = ["ben.1", "ben.2"].map(|file| approver(&rig, "ben", file));
    let carl = approver(&rig, "carl", "carl");
    let own = approver(&rig, "operator", "own");
    let told = rig.succeed(&["rotate", GROUP]).unwrap();
    assert!(told.contains("asked for: it starts once it is approved"), "{told}");
    assert_eq!(phase(&rig), "stage");

    let refused = by(&rig, &own, &["approve", GROUP]);
    assert!(!refused.status.success() && said(&refused).contains("own_request"), "{}", said(&refused));
    let operator = rig.run(&["approve", GROUP]).unwrap();
    assert!(!operator.status.success() && said(&operator).contains("an approver's token"), "{}", said(&operator));
    let first = asked(&rig);
    for token in [&ben, &again, &ben] {
        let approved = by(&rig, token, &["approve", GROUP, "--reason", "change 4711"]);
        assert!(approved.status.success(), "{}", said(&approved));
    }
    let listed = rig.succeed(&["approvals", GROUP]).unwrap();
    assert!(listed.contains("before start: 1 of 2 given") && listed.contains("by ben at "), "{listed}");
    assert!(listed.contains("asked for by operator"), "{listed}");
    let explained = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(explained.contains("1 of 2 have (ben); operator asked for it"), "{explained}");

    // Another policy: what waits is planned anew, and what was approved does not count.
    let configuration = std::fs::read_to_string(rig.path("handover.toml")).unwrap();
    std::fs::write(rig.path("handover.toml"), configuration.replace("brake_for = \"100ms\"", "brake_for = \"200ms\""))
        .unwrap();
    // The rig's operator covers one group: the signal has it read again.
    assert!(rig.hang_up());
    until("the new plan", || asked(&rig)["plan"] != first["plan"]);
    let (status, problem) = send(&rig, &carl, &first).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("other_plan")), "{problem}");
    let listed = rig.succeed(&["approvals", GROUP]).unwrap();
    assert!(listed.contains("0 of 2 given"), "{listed}");

    rig.kill();
    rig.start(&[]).unwrap();
    assert_eq!(phase(&rig), "stage", "a restart starts nothing");
    let second = asked(&rig);
    for token in [&ben, &carl] {
        let approved = by(&rig, token, &["approve", GROUP]);
        assert!(approved.status.success(), "{}", said(&approved));
    }
    until("the end of the rotation", || phase(&rig) == "done");

    // The same words again, for the next rotation.
    rig.succeed(&["rotate", GROUP]).unwrap();
    for (token, body) in [(&ben, &second), (&carl, &second), (&carl, &first)] {
        let (status, problem) = send(&rig, token, body).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("other_plan")), "{problem}");
    }
    assert_eq!(phase(&rig), "stage");
    rig.succeed(&["abandon", GROUP]).unwrap();
    let history = rig.succeed(&["history", GROUP, "--limit", "200"]).unwrap();
    for words in [" approval_wanted ", " approved ", "change 4711", " replanned ", "OwnRequest", "OtherPlan"] {
        assert!(history.contains(words), "{words}: {history}");
    }
    rig.succeed(&["audit", "verify"]).unwrap();
}

/// F65: an approval that does not come parks the rotation where both generations are valid; it resumes when it comes. S32: one
/// that has run out does not count.
#[test]
fn without_approval_both_generations_stay_valid() {
    let asks = "approvals.disable = { expires = \"1s\" }\napprovals.destroy = { approvers = [\"carl\"] }";
    let rig = rig(&format!("{asks}\n[alerts]\napproval_max = \"1s\""));
    let [ben, carl] = ["ben", "carl"].map(|name| approver(&rig, name, name));
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("drain", || phase(&rig) == "drain");
    let waits = || {
        let status = json_of(&rig, &["status", GROUP]);
        let waiting = status["rotation"]["waiting_for"].as_array().unwrap().clone();
        waiting.len() == 1 && waiting[0]["kind"] == "approval"
    };
    until("the approval as all that is missing", waits);
    assert!(said(&rig.run(&["force", GROUP, "--reason", "a test"]).unwrap()).contains("unapproved"));
    rig.kill();
    rig.start(&[]).unwrap();
    until("the same after a restart", waits);
    let alerted = || said(&rig.run(&["status", GROUP]).unwrap()).contains("alert approval_missing of ");
    until("the reminder", alerted);
    let approved = by(&rig, &ben, &["approve", GROUP, "--gate", "disable"]);
    assert!(approved.status.success(), "{}", said(&approved));
    until("the brake", || phase(&rig) == "disable");
    let refused = by(&rig, &ben, &["approve", GROUP]);
    assert!(said(&refused).contains("not_an_approver"), "{}", said(&refused));
    let approved = by(&rig, &carl, &["approve", GROUP]);
    assert!(approved.status.success(), "{}", said(&approved));
    until("the end", || phase(&rig) == "done");
    assert_eq!(rig.succeed(&["approvals"]).unwrap().trim(), "no approval is asked for");

    rig.succeed(&["rotate", GROUP]).unwrap();
    until("drain", || phase(&rig) == "drain");
    rig.succeed(&["hold", GROUP]).unwrap();
    assert!(by(&rig, &ben, &["approve", GROUP]).status.success());
    until("the end of what was approved", || json_of(&rig, &["approvals", GROUP])["approvals"][0]["missing"] == 1);
    rig.succeed(&["resume", GROUP]).unwrap();
    until("the approval as all that is missing", waits);
    rig.succeed(&["rollback", GROUP]).unwrap();
    until("the way back", || phase(&rig) == "done");
}

/// What a schedule asks for, everybody may approve who is entitled; it does not start before.
#[test]
fn a_schedule_asks_and_does_not_start() {
    let rig = rig("approvals.start = {}\n[group.schedule]\nevery = \"1s\"");
    let anna = approver(&rig, "operator", "anna");
    let ben = approver(&rig, "ben", "ben");
    rig.succeed(&["rotate", GROUP]).unwrap();
    assert!(by(&rig, &ben, &["approve", GROUP]).status.success());
    until("the request of the schedule", || {
        let found = json_of(&rig, &["approvals", GROUP]);
        found["approvals"][0]["generation"] == 2 && found["approvals"][0]["asked_by"].is_null()
    });
    assert_eq!(phase(&rig), "stage");
    let listed = rig.succeed(&["approvals"]).unwrap();
    assert!(listed.contains("asked for by a schedule"), "{listed}");
    rig.succeed(&["schedule", "pause", GROUP]).unwrap();
    let approved = by(&rig, &anna, &["approve", GROUP]);
    assert!(approved.status.success(), "{}", said(&approved));
    until("the rotation", || phase(&rig) == "done");
}
