//! What needs a hand inside the writer.

use std::sync::mpsc;

use handover_core::{RowVersion, Touched};
use rusqlite::StatementStatus;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::seal::MasterKey;

fn open() -> (TempDir, Arc<Sqlite>) {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(MasterKey::from_bytes(Zeroizing::new([7; 32])));
    let state = Sqlite::open(&folder.path().join("state.db"), Arc::new(sealer)).unwrap();
    (folder, Arc::new(state))
}

fn commit(name: &str, epoch: Epoch, bytes: usize) -> Commit {
    let group = GroupId::parse(name).unwrap();
    Commit {
        row: Row { version: RowVersion(1), ..Row::new(group) },
        plan: None,
        expect: None,
        epoch,
        candidate: Some((Generation(1), Candidate(1), Secret::from_bytes(vec![1; bytes]))),
        erase: Vec::new(),
        due_at: None,
        entries: vec![Entry { at: Timestamp(0), event: "started", actor: "engine".to_owned(), fields: Vec::new() }],
    }
}

async fn pages_max(state: &Sqlite, pages: i64) {
    state
        .write(move |batch| {
            // Below what is there, SQLite takes what is there.
            batch.connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_stores_nothing_and_is_got_over() {
    let (_folder, state) = open();
    let epoch = state.lease().await.unwrap();
    state.commit(commit("before", epoch, 10)).await.unwrap();
    pages_max(&state, 1).await;
    let together = [commit("big", epoch, 200_000), commit("small", epoch, 10)].map(|commit| state.commit(commit));
    let [big, small] = together;
    let (big, small) = tokio::join!(big, small);
    let fault = big.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Nothing));
    assert!(fault.detail.contains("free space"), "{fault}");
    // The small one shared the transaction, or found room of its own.
    let there = match small {
        Ok(_) => 2,
        Err(fault) => {
            assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Nothing));
            1
        }
    };
    assert_eq!(state.groups().await.unwrap().len(), there, "reading goes on");
    assert_eq!(state.verify_chain().await.unwrap().records, there as u64);
    pages_max(&state, 1_000_000).await;
    state.commit(commit("big", epoch, 200_000)).await.unwrap();
    assert_eq!(state.verify_chain().await.unwrap().broken, None);
    state.verify_rows().await.unwrap();
}

#[tokio::test]
async fn what_waits_shares_one_transaction() {
    let (folder, state) = open();
    let epoch = state.lease().await.unwrap();
    // The writer is kept busy until all of them wait.
    let (release, released) = mpsc::channel::<()>();
    let (start, started) = oneshot::channel();
    let busy = tokio::spawn({
        let state = state.clone();
        async move {
            state
                .write(move |_| {
                    let _ = start.send(());
                    let _ = released.recv();
                    Ok(())
                })
                .await
        }
    });
    started.await.unwrap();
    let waiting: Vec<_> = (0..BATCH_MAX)
        .map(|number| {
            let state = state.clone();
            tokio::spawn(async move { state.commit(commit(&format!("g{number}"), epoch, 10)).await })
        })
        .collect();
    while state.work.as_ref().unwrap().capacity() > BATCH_MAX {
        tokio::task::yield_now().await;
    }
    let log = || std::fs::metadata(folder.path().join("state.db-wal")).unwrap().len();
    let before = log();
    release.send(()).unwrap();
    busy.await.unwrap().unwrap();
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    // Each transaction writes at least the page of the head, that of the group and that of the record.
    let written = log() - before;
    assert!(written < BATCH_MAX as u64 * 4096 * 3 / 2, "{written} bytes of log for {BATCH_MAX} commits");
}

#[tokio::test]
async fn a_tick_reads_the_index_and_no_more_than_is_due() {
    let (_folder, state) = open();
    state
        .write(|batch| {
            batch.connection.execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
                 INSERT INTO groups (name, version, due_at, body, mac, last_record)
                 SELECT 'g' || i, 1, i, '{}', x'00', 0 FROM n",
            )?;
            Ok(())
        })
        .await
        .unwrap();
    let (due, next) = state.due(Timestamp(1_000_000), 100).await.unwrap();
    assert_eq!((due.len(), due[0].as_str(), next), (100, "g1", Some(Timestamp(101))));
    let (plan, steps) = state
        .read(|reader| {
            let plan: Vec<String> = reader
                .connection
                .prepare(&format!("EXPLAIN QUERY PLAN {}", reader::DUE))?
                .query_map([10], |row| row.get(3))?
                .collect::<Result<_, _>>()?;
            let mut statement = reader.connection.prepare(reader::DUE)?;
            let rows = statement.query_map([11], |row| row.get::<_, String>(0))?.count();
            assert_eq!(rows, 11);
            Ok((plan, statement.get_status(StatementStatus::VmStep)))
        })
        .await
        .unwrap();
    assert_eq!(plan, ["SEARCH groups USING COVERING INDEX groups_by_due (due_at>?)"], "no sort, no table");
    assert!(steps < 200, "{steps} steps of SQLite's machine for 11 of 100,000 due rows");
}

#[tokio::test]
async fn history_of_a_group_is_read_page_by_page_wherever_its_records_lie() {
    let (_folder, state) = open();
    let epoch = state.lease().await.unwrap();
    let names = ["a", "b", "c"].map(|name| GroupId::parse(name).unwrap());
    let row = |version: u64, entries: Vec<Entry>| Commit {
        row: Row { version: RowVersion(version), ..Row::new(names[0].clone()) },
        expect: (version > 1).then(|| RowVersion(version - 1)),
        candidate: None,
        entries,
        ..commit("a", epoch, 1)
    };
    let entry = |words: &str| Entry {
        at: Timestamp(1),
        event: "learnt",
        actor: "engine".to_owned(),
        fields: vec![("words", words.to_owned())],
    };
    // Before there is a row, with rows, without one again; segments that end for their size; groups that alternate.
    state.append(&names[0], epoch, entry("before")).await.unwrap();
    for version in 1..=6 {
        let long = "x".repeat(10_000);
        state.commit(row(version, vec![entry(&long), entry("short"), entry(&long)])).await.unwrap();
        for other in &names[1..] {
            state.append(other, epoch, entry("between")).await.unwrap();
        }
        state.append(&names[0], epoch, entry("alone")).await.unwrap();
    }
    state.forget(&names[0], RowVersion(6), epoch, entry("forgotten")).await.unwrap();
    state.append(&names[0], epoch, entry("after")).await.unwrap();
    state.commit(row(1, vec![entry("again")])).await.unwrap();
    assert_eq!(state.verify_chain().await.unwrap().broken, None);

    let all = state.records(0, 1000).await.unwrap();
    assert_eq!(all.len(), 1 + 6 * 6 + 3);
    for of in [None, Some(&names[0]), Some(&names[1]), Some(&names[2])] {
        let expected: Vec<_> =
            all.iter().rev().filter(|record| of.is_none_or(|group| record.group == *group)).cloned().collect();
        for page in [1, 2, 7, 1000] {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let more = state.history(of, before, page).await.unwrap();
                let Some(last) = more.last() else { break };
                before = Some(last.position);
                seen.extend(more);
            }
            assert!(seen == expected, "{of:?} by {page}");
        }
        // From any position, not only from one that a page ended at.
        for before in 0..=all.len() as u64 + 2 {
            let found = state.history(of, Some(before), 1).await.unwrap();
            assert_eq!(found.first(), expected.iter().find(|record| record.position < before), "{of:?} {before}");
        }
    }
    for after in 0..all.len() {
        assert_eq!(state.records(after as u64, 3).await.unwrap(), all[after..(after + 3).min(all.len())]);
    }
}

#[tokio::test]
async fn another_holder_fences_this_one_even_without_the_lock() {
    let (folder, state) = open();
    let epoch = state.lease().await.unwrap();
    // As through a second name of the same file, whose lock is another.
    let alias = folder.path().join("alias.db");
    let writer = schema::open_writer(&folder.path().join("state.db")).unwrap();
    let sealer = Sealer::new(MasterKey::from_bytes(Zeroizing::new([7; 32])));
    let integrity = schema::open_integrity(&writer, &sealer, &alias).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let Ok(mut batch) = Batch::begin(&writer, &integrity, &sealer, None) else { panic!("it is well kept") };
    assert!(batch.lease().is_ok_and(|taken| taken > epoch));
    assert!(batch.finish().is_ok());
    writer.execute_batch("COMMIT").unwrap();
    let fault = state.commit(commit("a", epoch, 10)).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    let fault = state.move_cursor("file", 3).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    assert_eq!(state.lease().await.unwrap_err().kind, FaultKind::Fenced, "a lost lease is not taken back");
}
