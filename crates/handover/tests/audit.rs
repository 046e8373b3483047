//! The audit end to end: what was shipped shows a state that was rolled back, and reading needs no server.

use std::process::Output;

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::Receiver;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

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
