//! Text that tries to be more than text: a second line of the audit, a record of its own, an order to a terminal.

use std::path::Path;

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::{Receiver, Reply};
use serde_json::{Value, json};

use crate::http;
use crate::installation::Installation;

const FORGED: &str = r#"why"} {"position":999,"event":"forged","actor":"root"} \u000a = , ' %0a $$"#;

fn rig() -> Rig {
    let policy = "poll = \"100ms\"\nquiet_min = \"30s\"\nbrake_for = \"0s\"\npasses_min = 1".to_owned();
    let options = Options { consumers: Vec::new(), policy, fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig
}

/// S35: a reason that is JSON, quotes and escapes is one field of one record, in the file, in each form of the export, and
/// in what the command line prints; one with a line feed or an order to a terminal is refused.
#[test]
fn a_reason_is_text_in_every_sink() {
    let rig = rig();
    let token = std::fs::read_to_string(rig.path("operator.token")).unwrap();
    let (port, token) = (http::port(&rig.url()), token.trim());
    assert_eq!(http::ask(port, "POST", "/v1/groups/app/rotate", token, "{}").0, 202);
    for refused in ["a\nb", "a\r\nb", "\u{1b}[2J", "a\u{9b}2J", "a\0b", "a\u{2028}b", "a\u{202e}b"] {
        let body = json!({ "reason": refused }).to_string();
        let (status, said) = http::ask(port, "POST", "/v1/groups/app/hold", token, &body);
        assert_eq!(status, 400, "{refused:?}: {said}");
        assert!(!said.contains(refused), "{refused:?} comes back");
    }
    let body = json!({ "reason": FORGED }).to_string();
    let hostile_agent = format!(
        "POST /v1/groups/app/hold HTTP/1.1\r\nhost: x\r\nuser-agent: {FORGED} \u{202e}\r\nx-forwarded-for: {FORGED}\r\n\
         authorization: Bearer {token}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(http::send(port, hostile_agent.as_bytes()).0, 204);

    let records = rig.succeed(&["audit", "export"]).unwrap();
    let verified = rig.succeed(&["audit", "verify"]).unwrap();
    assert!(verified.starts_with(&format!("{} records hold", records.lines().count())), "{verified}");
    let holds: Vec<Value> = records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["body"].as_str().unwrap().contains("forged"))
        .collect();
    let [record] = holds.as_slice() else { panic!("one record bears it: {holds:?}") };
    let inner: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
    assert_eq!((&inner["event"], &inner["fields"]["reason"]), (&json!("ordered"), &json!(FORGED)));
    assert!(!records.contains("\u{202e}"), "no header of a request is in the history");

    let limit = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let file = loop {
        let file = std::fs::read_to_string(rig.path("audit.jsonl")).unwrap();
        if file.contains("forged") {
            break file;
        }
        assert!(std::time::Instant::now() < limit, "the file sink did not get it");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(file.lines().all(|line| line.starts_with("{\"position\":") && serde_json::from_str::<Value>(line).is_ok()));
    let table = rig.succeed(&["audit", "export", "--format", "csv"]).unwrap();
    assert_eq!(table.lines().count(), rig.succeed(&["audit", "export"]).unwrap().lines().count() + 1);
    for shown in [
        rig.succeed(&["audit", "tail", "--lines", "1000"]).unwrap(),
        rig.succeed(&["history", GROUP]).unwrap(),
        rig.succeed(&["explain", GROUP]).unwrap(),
        table,
    ] {
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.lines().any(|line| line.trim_start().starts_with("{\"position\":999")), "{shown}");
    }
    let hold = rig.succeed(&["audit", "tail", "--lines", "1000"]).unwrap();
    assert_eq!(hold.lines().filter(|line| line.contains("forged")).count(), 1, "{hold}");
}

/// S35: names are parsed before anything is written, so that none can hold what they must not.
#[test]
fn no_identity_or_group_has_a_name_that_is_more_than_a_name() {
    let installed = Installation::new("");
    for name in ["a\nb", "a b", "a\u{1b}[2J", "a\"b", "../a", "A", "", "é", "a\u{202e}b", &"x".repeat(64)] {
        let made = installed.run(&["token", "create", name, "--group", "*", "--role", "operator"]);
        assert_eq!(made.exit, 2, "{name:?}: {}", made.out);
        assert!(made.said.chars().all(|c| c == '\n' || !c.is_control()), "{name:?}: {:?}", made.said);
    }
    let listed = installed.run(&["token", "list", "--output", "json"]);
    assert!(!listed.out.contains("identity"), "{}", listed.out);
}

/// S35: what a server says cannot give orders to the terminal of whoever asks it.
#[test]
fn a_hostile_server_gives_the_terminal_no_orders() {
    let receiver = Receiver::start().unwrap();
    const PROBLEM: &str = r#"{"type":"about:blank","title":"t\u001b[2J","status":409,"detail":"d\u001b]0;owned\u0007\u202e\u009b2J\rerased","code":"held\u001b[1m","hint":"h\u001b[31m"}"#;
    const GROUPS: &str = r#"{"groups":[{"group":"a\u001b[2J","status":"at_rest\u001b[2J"}],"next":null}"#;
    let url = receiver.url().replace("/in", "");
    let installed = Installation::new("");
    let token = installed.token("anna", &["--role", "operator"]);
    for (status, body) in [(409, PROBLEM), (500, PROBLEM), (200, PROBLEM), (200, GROUPS), (500, "\u{1b}[2J")] {
        for verb in [
            &["status"][..],
            &["explain", "app"],
            &["history", "app"],
            &["group", "list"],
            &["status", "--output", "json"],
        ] {
            receiver.order([Reply::Status(status, body)]);
            let asked = installed.run(&[verb, &["--url", &url, "--token-file", token.to_str().unwrap()]].concat());
            let all = format!("{}{}", asked.out, asked.said);
            let order = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!all.contains(order), "{verb:?}, {status}: {all:?}");
            assert!(!all.is_empty(), "{verb:?}, {status}: it says something");
        }
    }
}
