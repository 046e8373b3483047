//! The command line against a real server and a real PostgreSQL: exit codes, standard output, hints.

#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of the functions that are marked as tests")]

use std::path::Path;
use std::process::Output;

use handover_testkit::rig::{GROUP, Options, Rig};
use serde_json::Value;

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\npasses_min = 2";

fn rig(consumers: Vec<&'static str>) -> Rig {
    let options = Options { consumers, policy: POLICY.to_owned(), fsync: false };
    Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap()
}

fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn run(rig: &Rig, arguments: &[&str]) -> (i32, String, String) {
    parts(&rig.run(arguments).unwrap())
}

#[test]
fn a_group_rotates_from_plan_to_audit() {
    let rig = rig(vec![]);
    let (code, out, _) = run(&rig, &["check"]);
    assert_eq!((code, out.as_str()), (0, "the configuration is usable; groups: app\n"));
    rig.start(&[]).unwrap();

    let (code, out, said) = run(&rig, &["plan", GROUP]);
    assert_eq!(code, 0, "{said}");
    assert!(out.starts_with("app, dual_write:\n  stage ") && out.contains("\n  destroy "), "{out}");

    let (code, out, said) = run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s", "--output", "json"]);
    assert_eq!(code, 0, "{said}");
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["rotation"]["status"], "success");
    assert_eq!(status["current"]["generation"], 1);

    let (code, out, said) = run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("in force     generation 2 in slot 1, publication 2"), "{out}");
    for phase in ["app: apply", "app: verify", "app: publish", "app: drain", "app: disable", "app: done"] {
        assert!(said.contains(phase), "{phase} is not in\n{said}");
    }

    let (code, out, said) = run(&rig, &["status"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("generation 2") && out.contains("success (done)"), "{out}");

    let (code, out, said) = run(&rig, &["audit", "verify"]);
    assert_eq!(code, 0, "beside a running server: {said}");
    assert!(out.contains("records hold together"), "{out}");
    let worker = std::fs::read_to_string(rig.token_file("worker", "consumer").unwrap()).unwrap();
    let operator = std::fs::read_to_string(rig.path("operator.token")).unwrap();
    let tokens = std::fs::read_to_string(rig.path("tokens.json")).unwrap();
    let audit = std::fs::read_to_string(rig.path("audit.jsonl")).unwrap();
    for secret in [worker.trim(), operator.trim(), rig.roles.admin_password.as_str()] {
        for (place, text) in [("log", &rig.said()), ("token file", &tokens), ("audit file", &audit)] {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }

    rig.stop().unwrap();
    let (code, out, said) = run(&rig, &["audit", "verify"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("records hold together"), "{out}");
}

#[test]
fn a_rotation_is_held_resumed_and_taken_back() {
    let rig = rig(vec!["nobody"]);
    rig.start(&[]).unwrap();
    // The first rotation waits for a presenter that never comes, so it stays where it is.
    let (code, out, said) = run(&rig, &["rotate", GROUP]);
    assert_eq!((code, out.as_str()), (0, "app: rotation to generation 1 started\n"), "{said}");
    let waiting = |what: &str| {
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let (_, out, said) = run(&rig, &["status", GROUP]);
            if out.contains(what) {
                return;
            }
            assert!(std::time::Instant::now() < limit, "never {what}; last seen\n{out}{said}\n{}", rig.said());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    waiting("presenter nobody has not acknowledged");
    let (code, _, said) = run(&rig, &["rotate", GROUP]);
    assert_eq!(code, 1, "one live rotation per group");
    assert!(said.starts_with("error: a rotation of this group is live") && said.contains("\nhint: "), "{said}");
    let (code, _, said) = run(&rig, &["abandon", GROUP]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot be abandoned"), "{said}");
    assert_eq!(run(&rig, &["hold", GROUP]).0, 0);
    waiting("held         ordered");
    assert_eq!(run(&rig, &["resume", GROUP]).0, 0);
    let (code, _, said) = run(&rig, &["rollback", GROUP]);
    assert_eq!(code, 1, "there is nothing older to return to");
    assert!(said.contains("nothing older"), "{said}");
    let (code, _, said) = run(&rig, &["force", GROUP]);
    assert_eq!(code, 2, "a reason is wanted: {said}");
    assert_eq!(run(&rig, &["force", GROUP, "--reason", "nobody is gone for good"]).0, 0);
    waiting("success");

    // Whoever is taken out of the configuration is not waited for any more.
    rig.stop().unwrap();
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("{ name = \"nobody\" }, ", "")).unwrap();
    rig.start(&[]).unwrap();
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);
}

#[test]
fn what_is_wrong_is_said_with_the_right_exit_code() {
    let rig = rig(vec![]);
    let (code, _, said) = run(&rig, &["status"]);
    assert_eq!(code, 2, "no server");
    assert!(said.contains("hint: start it with `handover serve`"), "{said}");
    rig.start(&[]).unwrap();
    let (code, _, said) = run(&rig, &["status", "others"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no_such_group"), "{said}");
    let (code, _, said) = run(&rig, &["status", "Bad Name"]);
    assert_eq!(code, 2, "{said}");
    let worker = rig.token_file("worker", "consumer").unwrap();
    let (code, _, said) = run(&rig, &["status", "--token-file", worker.to_str().unwrap()]);
    assert_eq!(code, 2, "a consumer's token gives no orders");
    assert!(said.contains("not_permitted"), "{said}");
    let (code, _, said) = run(&rig, &["hold", GROUP]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no live rotation"), "{said}");
    let (code, _, said) = run(&rig, &["init"]);
    assert_eq!(code, 1, "nothing is written over: {said}");
    let (code, _, said) = run(&rig, &["serve"]);
    assert_eq!(code, 2, "the address is taken");
    assert!(said.contains("cannot listen"), "{said}");
    let (code, out, _) = run(&rig, &["completions", "bash"]);
    assert!(code == 0 && out.contains("handover"));
}
