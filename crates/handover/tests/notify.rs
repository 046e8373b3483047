//! Who is told what happens, beside rotations of the real server.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::{Receiver, Reply};
use serde_json::Value;

const POLICY: &str =
    "passes_min = 1\nquiet_min = \"300ms\"\nfetch_to_load_max = \"100ms\"\nbrake_for = \"1h\"\npoll = \"100ms\"";

/// Longer than a message may take (10 s), and the wait after it.
const PATIENCE: Duration = Duration::from_secs(60);

fn rig() -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap()
}

fn append(rig: &Rig, text: &str) {
    let file = rig.path("handover.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{before}\n{text}")).unwrap();
}

fn key(rig: &Rig) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(rig.path("hook.key")).unwrap();
    file.write_all(b"canary-key-of-at-least-24-bytes").unwrap();
}

fn webhook(receiver: &Receiver) -> String {
    format!(
        "[[notify]]\nkind = \"webhook\"\nname = \"ops\"\nurl = \"{}\"\nkey_file = \"hook.key\"\nallow_private = true\n\
         groups = [\"{GROUP}\"]\n",
        receiver.url()
    )
}

/// The events that arrived, with their ids.
fn told(receiver: &Receiver) -> Vec<(String, String)> {
    let event = |body: &str| {
        let body: Value = serde_json::from_str(body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("event"), text("id"))
    };
    receiver.taken().iter().map(|request| event(&request.body)).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool, last: impl Fn() -> String) {
    let limit = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < limit, "{what} did not come; last seen: {}", last());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// F92: also where the receiver hangs, and the server is killed before its answer.
#[test]
fn what_happens_is_told_at_least_once_and_nothing_waits_for_it() {
    let (rig, receiver) = (rig(), Receiver::start().unwrap());
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    rig.succeed(&["hold", GROUP]).unwrap();

    // Configured while the server runs: what was before is not told.
    key(&rig);
    append(&rig, &webhook(&receiver));
    assert!(rig.succeed(&["check"]).unwrap().contains("usable"));
    // A reload takes a token that covers every group; the signal takes none.
    assert!(rig.hang_up());
    assert!(rig.says_within("configuration taken", PATIENCE), "{}", rig.said());
    rig.succeed(&["resume", GROUP]).unwrap();

    // The receiver hangs, and rotations go on beside it.
    receiver.order([Reply::Hang]);
    rig.succeed(&["hold", GROUP, "--reason", "caf\u{e9} <!channel>"]).unwrap();
    until("the message", || receiver.asked() == 1, || receiver.asked().to_string());
    rig.succeed(&["resume", GROUP]).unwrap();
    rig.succeed(&["rollback", GROUP]).unwrap();
    let state = || rig.succeed(&["status", GROUP]).unwrap();
    until("the rollback", || state().contains("rolled_back"), state);
    assert_eq!(told(&receiver), []);

    // Killed while nobody knows whether the message was taken: it is told again.
    rig.kill();
    rig.start(&[]).unwrap();
    until(
        "the end",
        || told(&receiver).iter().any(|(event, _)| event == "rolled_back"),
        || format!("{:?}", told(&receiver)),
    );
    let events: Vec<String> = told(&receiver).into_iter().map(|(event, _)| event).collect();
    assert_eq!(events, ["held", "rolling_back", "rolled_back"]);
    let bodies: String = receiver.taken().iter().map(|request| request.body.clone()).collect();
    assert!(bodies.is_ascii() && bodies.contains("caf\\\\u{e9} <!channel>"), "{bodies}");
    assert!(rig.succeed(&["audit", "sinks"]).unwrap().contains("notify.ops"));
    assert!(!rig.said().contains("canary"), "{}", rig.said());
}

#[test]
fn a_receiver_is_tested_by_a_message_that_says_so() {
    let (rig, receiver) = (rig(), Receiver::start().unwrap());
    key(&rig);
    append(&rig, &webhook(&receiver));
    let output = rig.run(&["notify", "test", "opps"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("did you mean `ops`?"), "{said}");
    let out = rig.succeed(&["notify", "test", "ops", "--output", "json"]).unwrap();
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told(&receiver), [("test".to_owned(), out["id"].as_str().unwrap().to_owned())]);
    receiver.order([Reply::Status(302, "canary-answer")]);
    let output = rig.run(&["notify", "test", "ops"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("not followed") && !said.contains("canary"), "{said}");
    // Without leave to go there, it is refused before anybody is asked.
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("allow_private = true", "allow_private = false");
    std::fs::write(&file, text).unwrap();
    let output = rig.run(&["check"]).unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(2) && out.contains("notify ops") && out.contains("https"), "{out}");
}
