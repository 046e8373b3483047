//! The file sink against real files: reopened, torn, edited, renamed, cut and locked.
#![cfg(feature = "sink-file")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use handover_adapters::sink::file::FileSink;
use handover_core::port::{Record, Sink as _};
use handover_core::{FaultKind, GroupId, Timestamp, Touched};

fn record(position: u64) -> Record {
    Record {
        position,
        group: GroupId::parse("orders").unwrap(),
        at: Timestamp(1_700_000_000_000),
        body: format!("{{\"event\":\"advanced\",\"note\":\"a \\\"quote\\\", a \\n and a \u{2028}\",\"n\":{position}}}"),
        hash: format!("{position:064x}"),
    }
}

fn records(positions: impl IntoIterator<Item = u64>) -> Vec<Record> {
    positions.into_iter().map(record).collect()
}

fn positions(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the file ends in the middle of a line");
    text.split_terminator('\n')
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let position = line["position"].as_u64().unwrap();
            let wanted = record(position);
            assert_eq!(line["body"], wanted.body, "the hashed bytes come out as they went in");
            assert_eq!(line["hash"], wanted.hash);
            assert_eq!(line["group"], "orders");
            assert_eq!(line["at_ms"], 1_700_000_000_000_i64);
            position
        })
        .collect()
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.jsonl");
    (dir, path)
}

#[tokio::test]
async fn one_record_is_one_line_and_only_the_owner_reads_it() {
    let (_dir, path) = scratch();
    let sink = FileSink::open("history", &path).unwrap();
    assert_eq!((sink.name(), sink.last_position()), ("history", 0));
    sink.deliver(&records(1..=3)).await.unwrap();
    sink.deliver(&[]).await.unwrap();
    sink.deliver(&records([4])).await.unwrap();
    assert_eq!(positions(&path), [1, 2, 3, 4]);
    assert_eq!(sink.last_position(), 4);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_arrives_again_is_not_written_again() {
    let (_dir, path) = scratch();
    let sink = FileSink::open("history", &path).unwrap();
    sink.deliver(&records(1..=3)).await.unwrap();
    sink.deliver(&records(2..=4)).await.unwrap();
    drop(sink);
    let sink = FileSink::open("history", &path).unwrap();
    assert_eq!(sink.last_position(), 4, "found out from the file alone");
    sink.deliver(&records(1..=5)).await.unwrap();
    assert_eq!(positions(&path), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_line_cut_at_any_byte_is_cut_off_and_arrives_again() {
    let (_dir, path) = scratch();
    let sink = FileSink::open("history", &path).unwrap();
    sink.deliver(&records(1..=2)).await.unwrap();
    let whole = fs::read(&path).unwrap();
    drop(sink);
    let first_len = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for len in first_len..whole.len() {
        for zeros in [0, 17] {
            let mut torn = whole[..len].to_vec();
            torn.resize(len + zeros, 0);
            fs::write(&path, torn).unwrap();
            let sink = FileSink::open("history", &path).unwrap();
            assert_eq!(sink.last_position(), 1, "torn at byte {len}, followed by {zeros} zeros");
            sink.deliver(&records(1..=2)).await.unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole, "torn at byte {len}, followed by {zeros} zeros");
        }
    }
}

#[tokio::test]
async fn the_very_first_line_may_be_torn_too() {
    let (_dir, path) = scratch();
    fs::write(&path, b"{\"positi").unwrap();
    let sink = FileSink::open("history", &path).unwrap();
    sink.deliver(&records([1])).await.unwrap();
    assert_eq!(positions(&path), [1]);
}

#[test]
fn a_file_that_is_not_ours_is_never_touched() {
    let foreign: [&[u8]; 5] = [
        b"root:x:0:0:root:/root:/bin/bash\n",
        b"no newline at all",
        b"{\"position\":\"one\"}\n",
        b"{\"position\":1,\"group\":\"g\",\"at_ms\":1,\"hash\":\"\",\"body\":\"\"}\nsomething else",
        &[b'x'; 3 * 1024 * 1024],
    ];
    for content in foreign {
        let (_dir, path) = scratch();
        fs::write(&path, content).unwrap();
        let fault = FileSink::open("history", &path).unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_long_last_line_is_found() {
    let (_dir, path) = scratch();
    let sink = FileSink::open("history", &path).unwrap();
    let mut long = record(7);
    long.body = "x".repeat(900 * 1024);
    sink.deliver(&[record(6), long.clone()]).await.unwrap();
    drop(sink);
    assert_eq!(FileSink::open("history", &path).unwrap().last_position(), 7);

    let sink = FileSink::open("history", &path).unwrap();
    long.position = 8;
    long.body = "x".repeat(1024 * 1024);
    let fault = sink.deliver(&[long]).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Bug, Touched::Nothing), "too long to be found again");
}

#[tokio::test]
async fn a_log_rotator_may_rename_or_cut_the_file() {
    let (dir, path) = scratch();
    let sink = FileSink::open("history", &path).unwrap();
    sink.deliver(&records(1..=2)).await.unwrap();

    let old = dir.path().join("history.jsonl.1");
    fs::rename(&path, &old).unwrap();
    sink.deliver(&records(2..=3)).await.unwrap();
    assert_eq!((positions(&old), positions(&path)), (vec![1, 2], vec![3]), "renamed");

    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    sink.deliver(&records(3..=4)).await.unwrap();
    assert_eq!(positions(&path), [4], "cut to nothing");
}

#[tokio::test]
async fn lines_of_somebody_else_stop_delivery_instead_of_mixing() {
    let (_dir, path) = scratch();
    let sink = FileSink::open("history", &path).unwrap();
    sink.deliver(&records([1])).await.unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"hello\n").unwrap();
    let before = fs::read(&path).unwrap();
    let fault = sink.deliver(&records([2])).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn another_history_is_refused_instead_of_being_swallowed() {
    let other = |positions: std::ops::RangeInclusive<u64>| -> Vec<Record> {
        positions
            .map(|position| Record { hash: format!("{:064x}", position + 1_000_000), ..record(position) })
            .collect()
    };
    // A new state begins at 1; a restored one begins where it was restored to; one may have overtaken the file.
    for begins in [1..=2, 4..=5, 5..=9, 1..=9] {
        let (_dir, path) = scratch();
        FileSink::open("history", &path).unwrap().deliver(&records(1..=5)).await.unwrap();
        let before = fs::read(&path).unwrap();
        let sink = FileSink::open("history", &path).unwrap();
        for _ in 0..2 {
            let fault = sink.deliver(&other(begins.clone())).await.unwrap_err();
            assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing), "{begins:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        sink.deliver(&records(*begins.start()..=9)).await.unwrap();
        assert_eq!(positions(&path), (1..=9).collect::<Vec<_>>(), "the right history still goes on");
    }
}

#[tokio::test]
async fn a_file_of_another_history_in_our_place_is_noticed_while_running() {
    let (dir, path) = scratch();
    let sink = FileSink::open("history", &path).unwrap();
    sink.deliver(&records(1..=2)).await.unwrap();
    let other = dir.path().join("other");
    let longer = Record { hash: "f".repeat(64), ..record(4) };
    FileSink::open("other", &other).unwrap().deliver(&[longer]).await.unwrap();
    fs::rename(&other, &path).unwrap();
    let fault = sink.deliver(&records(3..=4)).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing));
}

#[test]
fn two_sinks_cannot_share_a_file() {
    let (_dir, path) = scratch();
    let first = FileSink::open("history", &path).unwrap();
    let fault = FileSink::open("history", &path).unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Busy, Touched::Nothing));
    drop(first);
    FileSink::open("history", &path).unwrap();
}

#[test]
fn a_missing_directory_is_named() {
    let (dir, _) = scratch();
    let fault = FileSink::open("history", dir.path().join("nowhere/history.jsonl")).unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Missing, Touched::Nothing));
    assert!(fault.detail.contains("nowhere/history.jsonl"), "{}", fault.detail);
}

#[tokio::test]
async fn a_full_disk_is_a_fault_and_moves_nothing() {
    // /dev/full takes an open and refuses every write, as a full disk does.
    let sink = FileSink::open("history", "/dev/full").unwrap();
    let fault = sink.deliver(&records([1])).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Unknown));
    assert_eq!(sink.last_position(), 0);
}
