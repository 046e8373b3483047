//! A controller's files, or the database, restored to an earlier time, beneath a consumer that logs in all the while.
//! Whatever was set back, nothing is written before record and world were compared, and the consumer is refused only for
//! as long as the database itself does not know its password.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use handover_testkit::rig::{GROUP, Options, Rig};
use serde_json::Value;

use crate::consumer::{CONSUMER, Consumer, status};

const POLICY: &str =
    "passes_min = 1\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\noverlap_min = \"100ms\"\npoll = \"100ms\"";

async fn installation() -> (Rig, Consumer) {
    let options = Options { consumers: vec![CONSUMER], policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    let consumer = Consumer::start(&rig).await;
    wait_for_rest(&rig).await;
    (rig, consumer)
}

async fn wait_for_rest(rig: &Rig) {
    let at_rest = |status: &Value| status["rotation"].is_null() || status["rotation"]["phase"] == "done";
    consumer::wait(rig, "rest", at_rest).await;
}

async fn rotate(rig: &Rig, consumer: &Consumer) -> u64 {
    rig.succeed(&["rotate", GROUP]).unwrap();
    wait_for_rest(rig).await;
    let generation = status(rig)["current"]["generation"].as_u64().unwrap();
    consumer.holds(generation).await;
    generation
}

/// A command that must be refused by the state of the world; what it said.
fn refused(rig: &Rig, arguments: &[&str]) -> String {
    let output = rig.run(arguments).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

fn recover(rig: &Rig, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["recover", GROUP, "--output", "json"].iter().chain(arguments).copied().collect();
    serde_json::from_str(&rig.succeed(&all).unwrap()).unwrap()
}

/// F60: nothing is written before it is recovered.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_restored_three_generations_back_writes_nothing_before_it_is_recovered() {
    let (rig, consumer) = installation().await;
    let said = rig.succeed(&["backup", "saved"]).unwrap();
    assert!(said.contains("saved: 1 groups"), "{said}");
    for expected in 2..=4 {
        assert_eq!(rotate(&rig, &consumer).await, expected);
    }
    rig.stop().unwrap();
    let there = refused(&rig, &["restore", "saved", "--reason", "the disk died"]);
    assert!(there.contains("--replace moves both aside"), "{there}");
    let restored = rig.succeed(&["restore", "saved", "--replace", "--reason", "the disk died"]).unwrap();
    assert!(restored.contains("what was there is in"), "{restored}");
    rig.start(&[]).unwrap();

    let planned = refused(&rig, &["rotate", GROUP]);
    assert!(planned.contains("the state was restored from a backup"), "{planned}");
    let looked = recover(&rig, &["--check"]);
    // The password of generation 4 is in no backup: only the consumer and the database know it.
    assert_eq!((&looked["course"], &looked["done"]), (&Value::from("replaces"), &Value::from(false)));
    let logins = consumer.logins.load(Ordering::Relaxed);
    let recovered = recover(&rig, &["--reason", "the disk died"]);
    assert_eq!((&recovered["course"], &recovered["done"]), (&Value::from("replaces"), &Value::from(true)));
    wait_for_rest(&rig).await;
    assert_eq!(status(&rig)["current"]["generation"], 5);
    consumer.holds(5).await;
    assert_eq!(rotate(&rig, &consumer).await, 6);
    assert!(consumer.logins.load(Ordering::Relaxed) > logins, "the consumer worked all the while");
    assert_eq!(consumer.refused.load(Ordering::Relaxed), 0, "nobody noticed");
    rig.succeed(&["audit", "verify"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_alone_set_back_follows_what_the_store_and_the_database_have() {
    let (rig, consumer) = installation().await;
    rig.succeed(&["backup", "saved"]).unwrap();
    assert_eq!(rotate(&rig, &consumer).await, 2);
    assert_eq!(rotate(&rig, &consumer).await, 3);
    rig.stop().unwrap();
    // As somebody does who copies a file back by hand.
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        drop(std::fs::remove_file(rig.path(name)));
    }
    std::fs::copy(rig.path("saved/state.db"), rig.path("state.db")).unwrap();
    rig.start(&[]).unwrap();
    let planned = refused(&rig, &["rotate", GROUP]);
    assert!(planned.contains("the target bears a mark that this state never wrote"), "{planned}");
    let recovered = recover(&rig, &["--reason", "copied back"]);
    assert_eq!((&recovered["course"], &recovered["current"]["generation"]), (&Value::from("follows"), &Value::from(3)));
    assert_eq!(rotate(&rig, &consumer).await, 4);
    assert_eq!(consumer.refused.load(Ordering::Relaxed), 0, "nobody noticed");
}

/// F61: it gets its password back.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_set_back_to_a_snapshot_gets_its_password_back() {
    let (rig, consumer) = installation().await;
    let snapshot = rig.postgres.snapshot().unwrap();
    let first = consumer.live.current();
    for expected in 2..=4 {
        assert_eq!(rotate(&rig, &consumer).await, expected);
    }
    rig.postgres.set_back(&snapshot).unwrap();
    consumer.dialler.dial(&first).await.expect("the snapshot lets the first password in again");

    let planned = refused(&rig, &["rotate", GROUP]);
    assert!(planned.contains("the target does not bear what this state wrote there"), "{planned}");
    let recovered = recover(&rig, &["--reason", "restored from the snapshot"]);
    assert_eq!(
        (&recovered["course"], &recovered["current"]["generation"]),
        (&Value::from("reasserts"), &Value::from(4))
    );
    assert_eq!(recovered["retiring"][0]["generation"], 1, "what came back goes out of use");
    let current = consumer.live.current();
    assert_eq!(current.generation(), 4);
    consumer.dialler.dial(&current).await.expect("and what the consumer holds is let in");
    wait_for_rest(&rig).await;
    assert!(consumer.dialler.dial(&first).await.is_err(), "the revoked password is refused again");
    assert_eq!(rotate(&rig, &consumer).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_the_middle_of_a_rotation_is_followed_from_there() {
    let (rig, consumer) = installation().await;
    rig.succeed(&["rotate", GROUP]).unwrap();
    rig.succeed(&["hold", GROUP]).unwrap();
    let live = refused(&rig, &["backup", "at-rest", "--require-rest"]);
    assert!(live.contains("a rotation of app is live") && !rig.path("at-rest").exists(), "{live}");
    let output = rig.run(&["backup", "saved"]).unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("A rotation of app is live, at "), "{output:?}");
    rig.succeed(&["resume", GROUP]).unwrap();
    wait_for_rest(&rig).await;
    consumer.holds(2).await;
    rig.stop().unwrap();
    rig.succeed(&["restore", "saved", "--replace", "--reason", "a test"]).unwrap();
    rig.start(&[]).unwrap();
    let held = refused(&rig, &["resume", GROUP]);
    assert!(held.contains("the record may not be what the world is at"), "{held}");
    recover(&rig, &["--reason", "a test"]);
    wait_for_rest(&rig).await;
    let generation = status(&rig)["current"]["generation"].as_u64().unwrap();
    consumer.holds(generation).await;
    rotate(&rig, &consumer).await;
    assert_eq!(consumer.refused.load(Ordering::Relaxed), 0, "nobody noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_a_value_can_be_shown_and_pushed() {
    let (rig, consumer) = installation().await;
    let beside = refused(&rig, &["recover", GROUP, "--offline"]);
    assert!(beside.contains("another process has the state"), "{beside}");
    rig.stop().unwrap();
    let listed = rig.succeed(&["recover", GROUP, "--offline"]).unwrap();
    assert_eq!(listed, "app: rest, publication 1\n  generation 1, candidate 1: current\n");
    let shown = rig.succeed(&["recover", GROUP, "--offline", "--show", "1", "--reason", "on-call"]).unwrap();
    let current = consumer.live.current();
    #[expect(clippy::disallowed_methods, reason = "compares what was shown with what was fetched")]
    let value = current.value().expose_text().unwrap().to_owned();
    assert_eq!(shown.trim_end(), value);
    let unknown = refused(&rig, &["recover", GROUP, "--offline", "--show", "7", "--reason", "on-call"]);
    assert!(unknown.contains("the state holds no value of generation 7"), "{unknown}");
    let history = rig.succeed(&["audit", "tail", "-n", "3"]).unwrap();
    assert!(history.contains("on-call") && history.contains("handover recover --offline"), "{history}");

    // Somebody sets the password back by hand, and the controller's host is gone: the last resort puts it right.
    let user = &rig.roles.twins[0];
    rig.postgres.execute("postgres", &format!("ALTER ROLE {user} NOLOGIN")).unwrap();
    assert!(consumer.dialler.dial(&current).await.is_err());
    let pushed = rig.succeed(&["recover", GROUP, "--offline", "--push", "--reason", "on-call"]).unwrap();
    assert!(pushed.contains("the target accepts generation 1 again"), "{pushed}");
    consumer.dialler.dial(&current).await.expect("let in again");
    rig.start(&[]).unwrap();
    rotate(&rig, &consumer).await;
}

fn at_rest() -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap()
}

/// An empty state beside a store would pass for one that knows what is in force.
#[test]
fn a_state_that_is_gone_is_not_made_anew_by_looking_at_it() {
    let rig = at_rest();
    for arguments in [
        ["recover", GROUP, "--offline"].as_slice(),
        &["recover", GROUP, "--offline", "--show", "1", "--reason", "on-call"],
    ] {
        let said = refused(&rig, arguments);
        assert!(said.contains("state.db is not there"), "{said}");
    }
    assert!(!rig.path("state.db").exists(), "nothing was made in its place");
}

#[test]
fn a_restore_that_cannot_open_its_backup_leaves_a_server_that_starts() {
    let rig = at_rest();
    rig.start(&[]).unwrap();
    rig.succeed(&["backup", "saved"]).unwrap();
    rig.stop().unwrap();
    std::fs::rename(rig.path("master.key"), rig.path("kept.key")).unwrap();
    rig.succeed(&["init", "other"]).unwrap();
    std::fs::copy(rig.path("other/master.key"), rig.path("master.key")).unwrap();
    let failed = rig.run(&["restore", "saved", "--replace", "--reason", "the wrong key"]).unwrap();
    assert!(!failed.status.success(), "sealed with another key: {failed:?}");
    std::fs::rename(rig.path("kept.key"), rig.path("master.key")).unwrap();
    rig.start(&[]).unwrap();
}

/// A file cannot be moved into a folder on another file system by its name alone.
#[test]
fn what_was_there_is_moved_aside_where_it_is() {
    let rig = at_rest();
    let configuration = std::fs::read_to_string(rig.path("handover.toml")).unwrap();
    std::fs::write(rig.path("handover.toml"), format!("store = \"kept/store.db\"\n{configuration}")).unwrap();
    std::fs::create_dir(rig.path("kept")).unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["backup", "saved/"]).unwrap();
    rig.stop().unwrap();
    rig.succeed(&["restore", "saved", "--replace", "--reason", "a test"]).unwrap();
    for (folder, name) in [(".", "state.db"), ("kept", "store.db")] {
        let entries = std::fs::read_dir(rig.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        let aside = entries.filter(|path| path.to_string_lossy().contains(".before-restore-"));
        let aside: Vec<_> = aside.map(|path| path.join(name).exists()).collect();
        assert_eq!(aside, [true], "{name} is in a folder beside it");
    }
    rig.start(&[]).unwrap();
}

/// F87: nothing is rotated over it; what was set by hand is taken on, or goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_changed_by_hand_is_not_rotated_over() {
    let (rig, consumer) = installation().await;
    let superuser = rig.postgres.superuser("postgres").await.unwrap();
    let user = consumer.live.current().field("user").unwrap().to_owned();
    let set = async |password: &str| {
        superuser.batch_execute(&format!("ALTER ROLE \"{user}\" PASSWORD '{password}'")).await.unwrap();
    };
    set("of-a-hurried-administrator").await;
    let planned = refused(&rig, &["rotate", GROUP]);
    assert!(planned.contains("somebody changed it there by hand") && planned.contains("handover recover"), "{planned}");
    let looked = recover(&rig, &["--check"]);
    assert_eq!((&looked["course"], &looked["done"]), (&Value::from("reasserts"), &Value::from(false)));
    let recovered = recover(&rig, &["--reason", "set again"]);
    assert_eq!((&recovered["course"], &recovered["done"]), (&Value::from("reasserts"), &Value::from(true)));
    consumer.dialler.dial(&consumer.live.current()).await.expect("what the consumer holds is let in again");

    set("of-a-second-administrator").await;
    std::fs::write(rig.path("by-hand"), "of-a-second-administrator").unwrap();
    std::fs::set_permissions(rig.path("by-hand"), std::fs::Permissions::from_mode(0o600)).unwrap();
    rig.stop().unwrap();
    let by_hand = rig.path("by-hand");
    let by_hand = ["--offline", "--push", "--reason", "taken on", "--password-file", by_hand.to_str().unwrap()];
    let recovered = recover(&rig, &by_hand);
    assert_eq!(
        (&recovered["course"], &recovered["current"]["generation"]),
        (&Value::from("follows"), &Value::from(1)),
        "{recovered:#}"
    );
    rig.start(&[]).unwrap();
    wait_for_rest(&rig).await;
    assert_eq!(rotate(&rig, &consumer).await, 2);
    rig.succeed(&["audit", "verify"]).unwrap();
}
