//! A row that somebody edits in the state's file while the server runs: it is told, and hides no other.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use handover_testkit::rig::{GROUP, Options, Rig};

const OTHER: &str = "webhook";

/// It is neither acted on nor passed over in silence, and the list of groups is not lost with it.
#[test]
fn an_edited_row_hides_no_other_group() {
    let rig = Rig::new(
        Path::new(env!("CARGO_BIN_EXE_handover")),
        &Options { consumers: vec![], policy: "poll = \"100ms\"".to_owned(), fsync: false },
    )
    .unwrap();
    let other = format!(
        "\n[[group]]\nname = \"{OTHER}\"\nconsumers = [{{ name = \"shop\" }}]\n\n[group.target]\nkind = \"none\"\n"
    );
    let configuration = fs::read_to_string(rig.path("handover.toml")).unwrap() + &other;
    fs::write(rig.path("handover.toml"), configuration).unwrap();
    let arguments = ["token", "create", "anna", "--group", GROUP, "--group", OTHER, "--role", "operator"];
    let token = rig.succeed(&arguments).unwrap();
    let mut file = fs::OpenOptions::new();
    let file = file.create(true).truncate(true).write(true).mode(0o600).open(rig.path("anna.token"));
    file.unwrap().write_all(token.trim().as_bytes()).unwrap();
    let anna = |arguments: &[&str]| {
        let mut command = rig.command(arguments);
        let output = command.env("HANDOVER_TOKEN_FILE", rig.path("anna.token")).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };

    rig.start(&[]).unwrap();
    assert_eq!(anna(&["rotate", OTHER]).0, Some(0));
    assert_eq!(anna(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, Some(0));
    let state = rusqlite::Connection::open(rig.path("state.db")).unwrap();
    state.busy_timeout(Duration::from_secs(10)).unwrap();
    let edit = "UPDATE groups SET version = version + 1 WHERE name = ?1";
    assert_eq!(state.execute(edit, [OTHER]).unwrap(), 1);
    drop(state);

    for listing in [&["group", "list"][..], &["status"][..]] {
        let (code, out, said) = anna(listing);
        assert_eq!(code, Some(0), "{said}");
        let line = |name: &str| out.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line(GROUP).contains("generation 1"), "{out}");
        assert!(line(OTHER).contains("cannot be read") && line(OTHER).contains("HO0115"), "{out}");
    }
    let (code, out, said) = anna(&["status", OTHER]);
    assert!(code != Some(0) && out.is_empty() && said.contains("HO0115"), "{code:?} {out} {said}");
    let (code, _, said) = anna(&["rotate", OTHER]);
    assert!(code != Some(0) && said.contains("HO0115"), "nothing is started on it: {code:?} {said}");
}
