//! The audit end to end: what was shipped shows a state that was rolled back, and reading needs no server.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Output;

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::Receiver;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fetches the value as a consumer does, and looks only at whether it came.
fn fetch(rig: &Rig) {
    let token = std::fs::read_to_string(rig.token_file("reader", "consumer").unwrap()).unwrap();
    let mut stream = TcpStream::connect(rig.url().strip_prefix("http://").unwrap()).unwrap();
    let request = format!(
        "GET /v1/groups/{GROUP}/secret HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().unwrap_or_default());
}

/// S34: the whole state set back, shown by what was shipped.
#[test]
fn what_was_shipped_shows_a_state_that_was_rolled_back() {
    let policy =
        "passes_min = 1\nquiet_min = \"100ms\"\nbrake_for = \"100ms\"\npoll = \"100ms\"\nfetch_to_load_max = \"10ms\"";
    let options = Options { consumers: Vec::new(), policy: policy.to_owned(), fsync: false };
    let rig = Rig::new(env!("CARGO_BIN_EXE_handover").as_ref(), &options).unwrap();
    let receiver = Receiver::start().unwrap();
    let mut text = std::fs::read_to_string(rig.path("handover.toml")).unwrap();
    text.push_str(&format!("\n[[sink]]\nkind = \"http\"\nname = \"siem\"\nurl = \"{}\"\n", receiver.url()));
    std::fs::write(rig.path("handover.toml"), text).unwrap();

    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    let beside = rig.succeed(&["audit", "tail", "--group", GROUP, "-n", "1"]).unwrap();
    fetch(&rig);
    let read = rig.succeed(&["audit", "tail", "-n", "1"]).unwrap();
    assert!(read.contains(" read by reader generation=1 publication=1"), "{read}");
    assert!(beside.contains(" ended by engine ") && beside.contains("outcome=success"), "{beside}");
    rig.stop().unwrap();
    let shipped = std::fs::read_to_string(rig.path("audit.jsonl")).unwrap();
    assert_eq!(rig.succeed(&["audit", "export"]).unwrap(), shipped, "an export is what sinks get");
    let posted: String = receiver.taken().into_iter().map(|request| request.body).collect();
    assert_eq!(posted, shipped, "each sink gets all of it");
    let fits = rig.succeed(&["audit", "verify", "--against", "audit.jsonl"]).unwrap();
    assert!(fits.contains("the last checkpoint among them is at"), "{fits}");
    std::fs::copy(rig.path("state.db"), rig.path("old.db")).unwrap();

    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig.stop().unwrap();
    rig.succeed(&["audit", "verify", "--against", "audit.jsonl"]).unwrap();
    std::fs::copy(rig.path("old.db"), rig.path("state.db")).unwrap();
    rig.succeed(&["audit", "verify"]).unwrap();
    let verified = rig.run(&["audit", "verify", "--against", "audit.jsonl"]).unwrap();
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    assert!(said(&verified).contains("the state ends at position"), "{}", said(&verified));
    assert!(said(&verified).contains("vouches for the file"), "{}", said(&verified));

    let edited = shipped.replacen("started", "stopped", 1);
    std::fs::write(rig.path("edited.jsonl"), edited).unwrap();
    let verified = rig.run(&["audit", "verify", "--against", "edited.jsonl"]).unwrap();
    assert!(said(&verified).contains("the file was edited"), "{}", said(&verified));
}
