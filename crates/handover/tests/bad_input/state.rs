//! Files of the state that were edited, deleted, exchanged or taken twice, and a disk that is full.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Rig};

use crate::transcript::{Transcript, census, edit, rig};

const STATE: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];

/// An installation that has rotated once and is stopped.
fn rotated() -> Rig {
    let rig = rig();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    rig.stop().unwrap();
    rig
}

fn keep(rig: &Rig, names: &[&str], from: &str, to: &str) {
    for name in names {
        let (kept, there) = (rig.path(&format!("{from}{name}")), rig.path(&format!("{to}{name}")));
        drop(std::fs::remove_file(&there));
        if kept.exists() {
            std::fs::copy(kept, there).unwrap();
        }
    }
}

/// The server runs with what is there again, and rotates.
fn goes_on(rig: &Rig) {
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    rig.stop().unwrap();
}

/// Nothing starts, nothing is touched at the server, and with the files as they were all goes on.
fn refused(transcript: &mut Transcript, rig: &Rig, title: &str, names: &[&str], spoil: impl FnOnce(&Rig)) {
    let before = census(&rig.postgres);
    keep(rig, names, "", "kept-");
    spoil(rig);
    transcript.case(title);
    assert_ne!(transcript.run(&["serve"]), 0, "{title}");
    assert_eq!(census(&rig.postgres), before, "{title}: nothing is touched");
    keep(rig, names, "kept-", "");
    goes_on(rig);
}

/// Another installation's state and key, which never knew this one.
fn another(rig: &Rig) -> std::path::PathBuf {
    let other = rig.path("other");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        command.args(arguments).current_dir(rig.path("")).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success());
    };
    run(&["init", "other"]);
    other
}

/// F59: noticed at the start, and nothing is touched.
#[test]
fn a_state_that_was_edited_deleted_or_exchanged() {
    let rig = rotated();
    let mut transcript = Transcript::of("state", &rig);
    refused(&mut transcript, &rig, "the state was overwritten in the middle", &STATE, |rig| {
        let mut bytes = std::fs::read(rig.path("state.db")).unwrap();
        let half = bytes.len() / 2;
        bytes[half..].fill(0x5a);
        std::fs::write(rig.path("state.db"), bytes).unwrap();
    });
    refused(&mut transcript, &rig, "the state is not a database", &STATE, |rig| {
        std::fs::write(rig.path("state.db"), "something else, longer than a header of SQLite is; ".repeat(100))
            .unwrap();
    });
    refused(&mut transcript, &rig, "the state was deleted, and the store is there", &STATE, |rig| {
        STATE.iter().for_each(|name| drop(std::fs::remove_file(rig.path(name))));
    });
    refused(&mut transcript, &rig, "the master key is another one", &["master.key"], |rig| {
        std::fs::copy(another(rig).join("master.key"), rig.path("master.key")).unwrap();
    });
    refused(&mut transcript, &rig, "the master key is gone", &["master.key"], |rig| {
        std::fs::remove_file(rig.path("master.key")).unwrap();
    });
    refused(&mut transcript, &rig, "the state is the store's file", &STATE, |rig| {
        STATE.iter().for_each(|name| drop(std::fs::remove_file(rig.path(name))));
        std::fs::copy(rig.path("store.db"), rig.path("state.db")).unwrap();
    });
    transcript.end();
}

#[test]
fn two_controllers_on_one_state() {
    let rig = rig();
    rig.start(&[]).unwrap();
    let mut transcript = Transcript::of("two_controllers", &rig);
    transcript.case("on one address");
    assert_eq!(transcript.run(&["serve"]), 2);
    let listen = rig.url().trim_start_matches("http://").to_owned();
    edit(&rig, &listen, "127.0.0.1:0");
    transcript.case("on another address");
    assert_eq!(transcript.run(&["serve"]), 1);
    transcript.case("an adoption beside a server");
    std::fs::copy(rig.path("admin.password"), rig.path("user.password")).unwrap();
    let user = rig.roles.twins[0].clone();
    transcript.run(&["adopt", GROUP, "--user", &user, "--password-file", "user.password"]);
    transcript.case("a check beside a server");
    assert_eq!(transcript.run(&["check", "--online"]), 0);
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    transcript.end();
}

/// F58: with room again, what was begun ends.
///
/// The first server's own files cannot grow: the limit of the process stands in for a full disk, and needs no rights.
#[test]
fn a_disk_that_is_full_stops_nothing_for_good() {
    let rig = rotated();
    let size = |name: &str| std::fs::metadata(rig.path(name)).map_or(0, |data| data.len());
    let largest = STATE.iter().chain(&["store.db", "audit.jsonl"]).map(|name| size(name)).max().unwrap();
    // `trap '' XFSZ`: a write beyond the limit fails, as on a full disk, instead of ending the process. Bash counts in KiB.
    let limit = largest.div_ceil(1024) + 8;
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" serve");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "bash", "-c", &script, env!("CARGO_BIN_EXE_handover")]);
    let log = std::fs::File::create(rig.path("full.log")).unwrap();
    command.current_dir(rig.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut server = command.spawn().unwrap();
    wait_for(&rig, "the server", || {
        rig.run(&["status"]).unwrap().status.success() || server.try_wait().unwrap().is_some()
    });
    // It rotates until its files are full; what happens then is said, and never that a rotation succeeded.
    wait_for(&rig, "a full disk", || {
        drop(rig.run(&["rotate", GROUP, "--wait", "--wait-max", "5s"]));
        std::fs::read_to_string(rig.path("full.log")).unwrap().contains("HO0116")
            || server.try_wait().unwrap().is_some()
    });
    let log = std::fs::read_to_string(rig.path("full.log")).unwrap();
    assert!(log.contains("HO0116"), "{log}");
    server.kill().unwrap();
    server.wait().unwrap();
    let [a, b] = &rig.roles.twins;
    assert!(
        census(&rig.postgres)
            .iter()
            .any(|role| role.starts_with(&format!("{a} t")) || role.starts_with(&format!("{b} t")))
    );
    // With room again, the rotation that was cut short ends, and the next one too.
    rig.start(&[]).unwrap();
    wait_for(&rig, "the end of what was begun", || {
        let (code, said) = {
            let output = rig.run(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
            (output.status.code(), output)
        };
        assert!(matches!(code, Some(0 | 1)), "{said:?}");
        code == Some(0)
    });
    rig.succeed(&["audit", "verify"]).unwrap();
}

fn wait_for(rig: &Rig, what: &str, mut there: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(90);
    while !there() {
        let log = std::fs::read_to_string(rig.path("full.log")).unwrap_or_default();
        assert!(Instant::now() < limit, "never: {what}\n{log}\n{}", rig.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// F59: a state without its log is older than the world.
///
/// What was committed and was in the log alone is gone: the state is older than the world.
#[test]
fn a_state_that_lost_its_log_touches_nothing() {
    let rig = rotated();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    rig.kill();
    assert!(rig.path("state.db-wal").exists());
    let standing = census(&rig.postgres);
    keep(&rig, &["state.db", "state.db-wal", "state.db-shm", "audit.jsonl", "store.db"], "", "kept-");
    std::fs::remove_file(rig.path("state.db-wal")).unwrap();
    // Whether it starts or not: it must not act on what it believes.
    if rig.start(&[]).is_ok() {
        let output = rig.run(&["rotate", GROUP, "--wait", "--wait-max", "5s"]).unwrap();
        assert_ne!(output.status.code(), Some(0), "{output:?}");
        rig.kill();
    }
    assert_eq!(census(&rig.postgres), standing, "nothing is touched");
    keep(&rig, &["state.db", "state.db-wal", "state.db-shm", "audit.jsonl", "store.db"], "kept-", "");
    goes_on(&rig);
}
