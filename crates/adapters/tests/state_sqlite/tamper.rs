//! Whoever can write to the file, but does not have the master key, is noticed.

use handover_core::port::CampaignCommit;
use handover_core::{FaultKind, Touched};
use handover_testkit::conformance::state::campaigns;
use rusqlite::Connection;

use super::*;

fn edit(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    let changed: i64 = connection.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
    assert!(changed > 0, "the edit changed nothing: {sql}");
}

/// Writes other bytes into the segment of one record. Each commit of [`fill`] makes one of its own.
fn edit_bytes(path: &Path, position: i64, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len(), "lengths are kept");
    let connection = Connection::open(path).unwrap();
    let read = "SELECT body FROM history WHERE last = ?1";
    let mut body: Vec<u8> = connection.query_row(read, [position], |row| row.get(0)).unwrap();
    let at = body.windows(from.len()).rposition(|window| window == from).expect("it is there");
    body[at..at + from.len()].copy_from_slice(to);
    connection.execute("UPDATE history SET body = ?2 WHERE last = ?1", (position, body)).unwrap();
}

/// The hash of the record at a position.
fn hash(path: &Path, position: i64) -> Vec<u8> {
    let read = "SELECT substr(body, -32) FROM history WHERE last = ?1";
    Connection::open(path).unwrap().query_row(read, [position], |row| row.get(0)).unwrap()
}

type Edit = (&'static str, u64, fn(&Path));

/// Edits of history, and the position at which each must be noticed.
const HISTORY: [Edit; 11] = [
    ("edited body", 4, |path| edit_bytes(path, 4, b"engine", b"nobody")),
    ("edited time", 1, |path| edit_bytes(path, 1, &[0, 0, 0, 0, 0, 0, 0, 1, 0], &[0, 0, 0, 0, 0, 0, 0, 2, 0])),
    ("edited group", 10, |path| edit_bytes(path, 10, b"b\0", b"z\0")),
    ("edited hash", 5, |path| edit_bytes(path, 5, &hash(path, 5), &[0; 32])),
    ("edited position", 7, |path| edit_bytes(path, 7, &[8, 0, 0, 0, 0, 0, 0, 0, 7], &[8, 0, 0, 0, 0, 0, 0, 0, 8])),
    ("deleted", 6, |path| edit(path, "DELETE FROM history WHERE last = 6")),
    ("deleted first", 1, |path| edit(path, "DELETE FROM history WHERE last = 1")),
    ("torn", 3, |path| edit(path, "UPDATE history SET body = substr(body, 1, length(body) - 1) WHERE last = 3")),
    ("cut", 8, |path| edit(path, "DELETE FROM history WHERE last >= 8")),
    ("reordered", 2, |path| {
        edit(
            path,
            "UPDATE history SET last = 99 WHERE last = 2; UPDATE history SET last = 2 WHERE last = 3;
             UPDATE history SET last = 3 WHERE last = 99",
        );
    }),
    ("appended", 11, |path| {
        edit(path, "INSERT INTO history SELECT 11, body FROM history WHERE last = 10");
        edit_bytes(path, 11, &[8, 0, 0, 0, 0, 0, 0, 0, 10], &[8, 0, 0, 0, 0, 0, 0, 0, 11]);
    }),
];

/// S34: edited, deleted, reordered, cut and appended records.
#[tokio::test]
async fn edits_of_history_are_found_at_their_position() {
    for (what, position, spoil) in HISTORY {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let state = open(&path).unwrap();
        fill(&state).await;
        assert_eq!(state.verify_chain().await.unwrap().broken, None);
        spoil(&path);
        let broken = state.verify_chain().await.unwrap().broken.unwrap_or_else(|| panic!("{what} went unnoticed"));
        assert_eq!(broken.position, position, "{what}: {}", broken.why);
        if what != "cut" {
            let fault = state.records(0, 100).await.expect_err("it would be handed to a sink");
            assert_eq!(fault.kind, FaultKind::Corrupt, "{what}");
        }
        drop(state);
        let fault = open(&path).err().unwrap_or_else(|| panic!("{what}: a file with a broken history was opened"));
        assert_eq!(fault.kind, FaultKind::Corrupt);
        assert!(fault.detail.contains(&format!("position {position}")), "{what}: {fault}");
    }
}

/// A record that does not name the one before it of the same group would hide that from whoever reads one group's.
#[tokio::test]
async fn a_record_that_hides_others_of_its_group_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder).await;
    let last = [&8_u64.to_be_bytes()[..], &hash(&path, 10)].concat();
    edit_bytes(&path, 10, &last, &[&4_u64.to_be_bytes()[..], &hash(&path, 10)].concat());
    let fault = open(&path).err().expect("it must be refused");
    assert!(fault.detail.contains("position 10: the record does not name the one before it"), "{fault}");
}

/// Nor does a record that is the last of its group go unseen because the group's row names an earlier one, or none.
#[tokio::test]
async fn a_row_that_hides_the_last_records_of_its_group_is_found() {
    for (what, sql) in [
        (
            "an earlier one",
            "UPDATE groups SET last_record = (SELECT min(last_record) FROM groups WHERE last_record > 0) - 1",
        ),
        ("none", "UPDATE groups SET last_record = 0"),
        ("of a group without a row", "INSERT INTO rowless (group_name, last_record) VALUES ('ghost', 3)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(&folder).await;
        edit(&path, sql);
        let fault = open(&path).err().unwrap_or_else(|| panic!("{what}: it must be refused"));
        assert!(fault.detail.contains("does not end with its last record"), "{what}: {fault}");
    }
}

/// A chain that was computed anew from an edited record on has the right links, but not the head that was sealed.
#[tokio::test]
async fn a_history_that_was_linked_anew_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder).await;
    edit_bytes(&path, 3, b"engine", b"nobody");
    let connection = Connection::open(&path).unwrap();
    let mut hash = chain::START;
    for position in 1..=10_i64 {
        let read = "SELECT body FROM history WHERE last = ?1";
        let mut body: Vec<u8> = connection.query_row(read, [position], |row| row.get(0)).unwrap();
        // The hash before, three parts of eight bytes and a group of one, each with its length; then the body.
        let text = &body[32 + 16 + 9 + 16 + 8..body.len() - 40];
        let (name, text) = (char::from(body[32 + 16 + 8]).to_string(), std::str::from_utf8(text).unwrap());
        let at = Timestamp(i64::from(body[32 + 16 + 9 + 15]));
        let linked = chain::link(&hash, position.cast_unsigned(), &name, at, text);
        body[..32].copy_from_slice(&hash);
        let end = body.len();
        body[end - 32..].copy_from_slice(&linked);
        connection.execute("UPDATE history SET body = ?2 WHERE last = ?1", (position, body)).unwrap();
        hash = linked;
    }
    let fault = open(&path).err().expect("it must be refused");
    assert!(fault.detail.contains("position 10: the record is not the one that the head names"), "{fault}");
    connection.execute("UPDATE state SET hash = ?1", [hash]).unwrap();
    let fault = open(&path).err().expect("it must be refused");
    assert_eq!(fault.kind, FaultKind::Corrupt);
    assert!(fault.detail.contains("the head of the state was edited"), "{fault}");
}

/// Edits of rows, and what the fault must say.
const ROWS: [(&str, &str); 23] = [
    (
        "groups was edited: that of a",
        "UPDATE groups SET body = replace(body, '\"publication\":0', '\"publication\":9') WHERE name = 'a'",
    ),
    ("groups was edited: that of a", "UPDATE groups SET version = 4 WHERE name = 'a'"),
    ("groups was edited: that of b", "UPDATE groups SET due_at = NULL WHERE name = 'b'"),
    ("plans was edited: that of a", "UPDATE plans SET body = '' WHERE group_name = 'a'"),
    ("deleted, or set back", "DELETE FROM plans WHERE group_name = 'a'"),
    ("groups was edited: that of", "UPDATE groups SET name = 'c' WHERE name = 'b'"),
    ("deleted, or set back", "DELETE FROM groups WHERE name = 'a'"),
    ("deleted, or set back", "DELETE FROM candidates WHERE group_name = 'a' AND generation = 3"),
    ("deleted, or set back", "UPDATE candidates SET generation = 9 WHERE group_name = 'a' AND generation = 3"),
    (
        "deleted, or set back",
        "UPDATE candidates SET sealed = (SELECT sealed FROM candidates WHERE group_name = 'a' AND generation = 2)
         WHERE group_name = 'a' AND generation = 3",
    ),
    ("deleted, or set back", "DELETE FROM keys WHERE group_name = 'a'"),
    ("cursors was edited", "UPDATE cursors SET position = 9"),
    ("deleted, or set back", "DELETE FROM cursors"),
    ("rolls was edited", "UPDATE rolls SET complete = 0"),
    ("members was edited", "UPDATE members SET acked_publication = 9 WHERE consumer = 'web'"),
    ("members was edited", "UPDATE members SET acked_reach = 'used' WHERE consumer = 'web'"),
    ("members was edited", "UPDATE members SET role = 'presenter' WHERE consumer = 'job'"),
    ("deleted, or set back", "DELETE FROM members WHERE consumer = 'job'"),
    ("deliveries was edited", "UPDATE deliveries SET publication = 9"),
    ("deleted, or set back", "DELETE FROM deliveries"),
    ("campaigns was edited: that of 1", "UPDATE campaigns SET live = 0"),
    ("campaigns was edited: that of 2", "UPDATE campaigns SET id = 2"),
    ("deleted, or set back", "DELETE FROM campaigns; DROP TABLE campaigns"),
];

/// S34: edited, deleted, moved and swapped rows.
#[tokio::test]
async fn edits_of_rows_are_found() {
    for (words, sql) in ROWS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let state = open(&path).unwrap();
        fill(&state).await;
        let commit = CampaignCommit {
            campaign: campaigns().remove(0),
            expect: None,
            epoch: state.lease().await.unwrap(),
            under: group("handover.campaigns"),
            entries: Vec::new(),
            request: None,
        };
        state.commit_campaign(commit).await.unwrap();
        state.verify_rows().await.unwrap();
        edit(&path, sql);
        let fault = state.verify_rows().await.err().unwrap_or_else(|| panic!("went unnoticed: {sql}"));
        assert_eq!(fault.kind, FaultKind::Corrupt, "{sql}");
        assert!(fault.detail.contains(words), "{sql}: {fault}");
        drop(state);
        assert_eq!(open(&path).err().map(|fault| fault.kind), Some(FaultKind::Corrupt), "opened after: {sql}");
    }
}

#[tokio::test]
async fn an_edited_row_is_refused_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path).unwrap();
    fill(&state).await;
    let (a, web) = (group("a"), consumer("web"));
    for sql in [
        "UPDATE plans SET body = '{}' WHERE group_name = 'a'",
        "UPDATE members SET acked_publication = 9 WHERE consumer = 'web'",
        "UPDATE deliveries SET generation = 1",
        "UPDATE cursors SET position = 9",
        "UPDATE candidates SET sealed = (SELECT sealed FROM candidates WHERE group_name = 'a' AND generation = 2)
         WHERE group_name = 'a' AND generation = 3",
    ] {
        edit(&path, sql);
    }
    let kinds = [
        state.load(&a).await.err(),
        state.roll_call(&a, Role::Presenter).await.err(),
        state.delivery(&a, &web, b"nonce").await.err(),
        state.cursor("file").await.err(),
        state.candidate(&a, Generation(3), Candidate(1)).await.err(),
    ]
    .map(|fault| fault.map(|fault| fault.kind));
    assert_eq!(kinds, [Some(FaultKind::Corrupt); 5]);
    state.load(&group("b")).await.expect("the others can be read");
    edit(&path, "UPDATE rolls SET complete = 0");
    assert_eq!(state.roll_call(&a, Role::Verifier).await.unwrap_err().kind, FaultKind::Corrupt);
}

/// A change keeps some columns of a member's row. If they were edited, it would sign the edit.
#[tokio::test]
async fn a_change_of_an_edited_row_is_refused_and_covers_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db")).unwrap();
    fill(&state).await;
    let epoch = state.lease().await.unwrap();
    let (a, web, job) = (group("a"), consumer("web"), consumer("job"));
    edit(&folder.path().join("state.db"), "UPDATE groups SET due_at = 1 WHERE name = 'a'");
    let fault = state.commit(step("a", epoch, 6)).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing), "{fault}");
    edit(&folder.path().join("state.db"), "UPDATE members SET declared = 0 WHERE consumer IN ('web', 'job')");
    let delivery = Delivery { publication: Publication(9), generation: Generation(9), nonce: b"other".to_vec() };
    let kinds = [
        state.acknowledged(&a, &web, Role::Presenter, Publication(9), Reach::Used).await.err(),
        state.declare(&a, &job, Role::Verifier).await.err(),
        state.delivered(&a, &job, Role::Verifier, &delivery).await.err(),
    ]
    .map(|fault| fault.map(|fault| fault.kind));
    assert_eq!(kinds, [Some(FaultKind::Corrupt); 3]);
    assert!(state.verify_rows().await.is_err());
    state.commit(step("b", epoch, 6)).await.expect("the others can be changed");
}

#[tokio::test]
async fn a_row_set_back_to_what_it_was_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path).unwrap();
    fill(&state).await;
    let epoch = state.lease().await.unwrap();
    edit(&path, "CREATE TABLE aside AS SELECT * FROM groups; INSERT INTO aside SELECT * FROM aside");
    state.commit(step("a", epoch, 6)).await.unwrap();
    edit(
        &path,
        "DELETE FROM groups WHERE name = 'a'; INSERT INTO groups SELECT * FROM aside WHERE name = 'a' LIMIT 1;
         DROP TABLE aside",
    );
    let fault = state.verify_rows().await.unwrap_err();
    assert!(fault.detail.contains("set back"), "{fault}");
    // What is built on it later does not make it good.
    state.commit(Commit { candidate: None, ..step("a", epoch, 6) }).await.unwrap();
    assert!(state.verify_rows().await.is_err(), "a commit covered it up");
}

#[tokio::test]
async fn an_edited_head_stops_every_commit() {
    for sql in [
        "UPDATE state SET epoch = epoch + 1",
        "UPDATE state SET position = position - 1",
        "UPDATE state SET hash = zeroblob(32)",
        "UPDATE state SET sum = zeroblob(61)",
        "DELETE FROM state",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let state = open(&path).unwrap();
        fill(&state).await;
        let epoch = state.lease().await.unwrap();
        edit(&path, sql);
        let fault = state.commit(step("c", epoch, 1)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Corrupt, "{sql}: {fault}");
        assert_eq!(state.verify_chain().await.unwrap_err().kind, FaultKind::Corrupt, "{sql}");
        drop(state);
        assert_eq!(open(&path).err().map(|fault| fault.kind), Some(FaultKind::Corrupt), "opened after: {sql}");
    }
}

#[tokio::test]
async fn a_head_of_an_earlier_time_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path).unwrap();
    fill(&state).await;
    let epoch = state.lease().await.unwrap();
    edit(&path, "CREATE TABLE aside AS SELECT * FROM state; INSERT INTO aside SELECT * FROM aside");
    state.commit(step("a", epoch, 6)).await.unwrap();
    edit(
        &path,
        "DELETE FROM state; INSERT INTO state SELECT * FROM aside LIMIT 1; DROP TABLE aside;
         DELETE FROM history WHERE last = 11",
    );
    // The chain itself ends where the head says. That the group's row names a later record gives it away, and the sum.
    let broken = state.verify_chain().await.unwrap().broken.expect("the group's row tells");
    assert!(broken.why.contains("does not end with its last record"), "{}", broken.why);
    assert!(state.verify_rows().await.is_err(), "the sum of the rows tells");
}
