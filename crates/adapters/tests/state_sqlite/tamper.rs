//! Whoever can write to the file, but does not have the master key, is noticed.

use handover_core::{FaultKind, Touched};
use rusqlite::Connection;

use super::*;

fn edit(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    let changed: i64 = connection.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
    assert!(changed > 0, "the edit changed nothing: {sql}");
}

/// Edits of history, and the position at which each must be noticed.
const HISTORY: [(&str, u64, &str); 9] = [
    ("edited body", 4, "UPDATE records SET body = replace(body, 'engine', 'nobody') WHERE position = 4"),
    ("edited time", 1, "UPDATE records SET at = at + 1 WHERE position = 1"),
    ("edited group", 10, "UPDATE records SET group_name = 'z' WHERE position = 10"),
    ("edited hash", 5, "UPDATE records SET hash = zeroblob(32) WHERE position = 5"),
    ("deleted", 6, "DELETE FROM records WHERE position = 6"),
    ("deleted first", 1, "DELETE FROM records WHERE position = 1"),
    ("cut", 8, "DELETE FROM records WHERE position >= 8"),
    (
        "reordered",
        2,
        "UPDATE records SET position = 99 WHERE position = 2; UPDATE records SET position = 2 WHERE position = 3;
         UPDATE records SET position = 3 WHERE position = 99",
    ),
    ("appended", 11, "INSERT INTO records SELECT 11, group_name, at, body, hash FROM records WHERE position = 10"),
];

/// S34: edited, deleted, reordered, cut and appended records.
#[tokio::test]
async fn edits_of_history_are_found_at_their_position() {
    for (what, position, sql) in HISTORY {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let state = open(&path).unwrap();
        fill(&state).await;
        assert_eq!(state.verify_chain().await.unwrap().broken, None);
        edit(&path, sql);
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

/// A chain that was computed anew from an edited record on has the right links, but not the head that was sealed.
#[tokio::test]
async fn a_history_that_was_linked_anew_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder).await;
    let connection = Connection::open(&path).unwrap();
    let mut hash = chain::START;
    for position in 1..=10_i64 {
        let (name, at, body): (String, i64, String) = connection
            .query_row("SELECT group_name, at, body FROM records WHERE position = ?1", [position], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        let body = if position == 3 { body.replace("engine", "nobody") } else { body };
        hash = chain::link(&hash, position.cast_unsigned(), &name, Timestamp(at), &body);
        connection
            .execute("UPDATE records SET body = ?2, hash = ?3 WHERE position = ?1", (position, body, hash))
            .unwrap();
    }
    let fault = open(&path).err().expect("it must be refused");
    assert!(fault.detail.contains("position 10: the record is not the one that the head names"), "{fault}");
    connection.execute("UPDATE state SET hash = ?1", [hash]).unwrap();
    let fault = open(&path).err().expect("it must be refused");
    assert_eq!(fault.kind, FaultKind::Corrupt);
    assert!(fault.detail.contains("the head of the state was edited"), "{fault}");
}

/// Edits of rows, and what the fault must say.
const ROWS: [(&str, &str); 19] = [
    (
        "groups was edited: that of a",
        "UPDATE groups SET body = replace(body, '\"publication\":0', '\"publication\":9') WHERE name = 'a'",
    ),
    ("groups was edited: that of a", "UPDATE groups SET version = 4 WHERE name = 'a'"),
    ("groups was edited: that of b", "UPDATE groups SET due_at = NULL WHERE name = 'b'"),
    ("groups was edited: that of b", "UPDATE groups SET plan = '' WHERE name = 'b'"),
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
];

/// S34: edited, deleted, moved and swapped rows.
#[tokio::test]
async fn edits_of_rows_are_found() {
    for (words, sql) in ROWS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let state = open(&path).unwrap();
        fill(&state).await;
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
        "UPDATE groups SET due_at = 99 WHERE name = 'a'",
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

/// A change keeps some columns of the row that it changes. If they were edited, it would sign the edit.
#[tokio::test]
async fn a_change_of_an_edited_row_is_refused_and_covers_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db")).unwrap();
    fill(&state).await;
    let epoch = state.lease().await.unwrap();
    let (a, web, job) = (group("a"), consumer("web"), consumer("job"));
    edit(&folder.path().join("state.db"), "UPDATE groups SET plan = '{}' WHERE name = 'a'");
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
         DELETE FROM records WHERE position = 11",
    );
    assert_eq!(state.verify_chain().await.unwrap().broken, None, "the chain alone cannot tell");
    assert!(state.verify_rows().await.is_err(), "the rows can");
}
