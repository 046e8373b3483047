//! Files that are not ours, not whole, not alone, or not there.

use std::os::unix::fs::PermissionsExt;

use handover_core::{FaultKind, Touched};
use rusqlite::Connection;

use super::*;

/// Every file in the folder but the lock, with its content.
fn content(folder: &TempDir) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn refused(folder: &TempDir, kind: FaultKind, words: &str) {
    let before = content(folder);
    let fault = open(&folder.path().join("state.db")).err().expect("it must be refused");
    assert_eq!((fault.kind, fault.touched), (kind, Touched::Nothing), "{fault}");
    assert!(fault.detail.contains(words), "{words:?} is not in: {fault}");
    assert!(content(folder) == before, "a refused file was changed");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    fs::write(&path, "[server]\nlisten = \"127.0.0.1:8200\"\n".repeat(10)).unwrap();
    refused(&folder, FaultKind::Misconfigured, "not a state file of Handover");
    fs::write(&path, "short").unwrap();
    refused(&folder, FaultKind::Misconfigured, "point the configuration to another path");
    fs::write(&path, "").unwrap();
    refused(&folder, FaultKind::Corrupt, "is empty");
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE groups (name TEXT)").unwrap();
    refused(&folder, FaultKind::Misconfigured, "not a state file of Handover");
    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("state.db-wal"), "left over").unwrap();
    refused(&folder, FaultKind::Corrupt, "state.db-wal");
    fs::create_dir(&path).unwrap();
    assert_eq!(open(&path).err().unwrap().touched, Touched::Nothing);
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder).await;
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 99").unwrap();
    refused(&folder, FaultKind::Misconfigured, "schema 99");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 0").unwrap();
    refused(&folder, FaultKind::Misconfigured, "schema 0");
}

#[tokio::test]
async fn another_master_key_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder).await;
    let before = fs::read(&path).unwrap();
    let fault = Sqlite::open(&path, sealer(2)).err().unwrap();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing));
    assert!(fault.detail.contains(&sealer(1).id()) && fault.detail.contains(&sealer(2).id()), "{fault}");
    assert!(fault.detail.contains("point the configuration to the key file"), "{fault}");
    assert!(fs::read(&path).unwrap() == before);
    open(&path).expect("the right key opens it");
}

/// F59: wherever it is torn.
#[tokio::test]
async fn torn_files_are_noticed_wherever_they_are_torn() {
    let whole = tempfile::tempdir().unwrap();
    let bytes = fs::read(filled(&whole).await).unwrap();
    let page = 4096;
    assert!(bytes.len() > 10 * page, "the file has {} bytes", bytes.len());
    for cut in [page / 2, page, 3 * page, bytes.len() / 2, bytes.len() - page] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        fs::write(&path, &bytes[..cut]).unwrap();
        let fault = open(&path).err().expect("it must be refused");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing), "cut to {cut}: {fault}");
        assert!(fault.detail.contains("restore"), "{fault}");
    }
    for start in (page..bytes.len()).step_by(page) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let mut torn = bytes.clone();
        torn[start..start + page].fill(0);
        if torn == bytes {
            continue;
        }
        fs::write(&path, &torn).unwrap();
        let fault = open(&path).err().unwrap_or_else(|| panic!("a zeroed page at {start} went unnoticed"));
        assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing), "page at {start}: {fault}");
    }
}

#[tokio::test]
async fn only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path).unwrap();
    fill(&state).await;
    for name in ["state.db", "state.db-wal", "state.db-shm", "state.db.lock"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(state);
    let names: Vec<_> = content(&folder).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, [path], "closed, all of it is in one file");
}

#[tokio::test]
async fn a_second_holder_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = open(&path).unwrap();
    let fault = open(&path).err().unwrap();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing));
    assert!(fault.detail.contains("another process has the state"), "{fault}");
    drop(first);
    open(&path).expect("the lock is free again");
}

#[tokio::test]
async fn a_file_that_goes_away_while_open_stops_everything() {
    for name in ["state.db", "state.db-wal"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let state = open(&path).unwrap();
        fill(&state).await;
        let epoch = state.lease().await.unwrap();
        fs::remove_file(folder.path().join(name)).unwrap();
        let fault = state.commit(step("c", epoch, 1)).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Unknown), "{name}: {fault}");
        assert!(fault.detail.contains("removed or replaced"), "{fault}");
        let fault = state.commit(step("c", epoch, 1)).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Nothing), "{name}: {fault}");
        let fault = state.load(&group("a")).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Nothing), "{name}: {fault}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let fault = open(&folder.path().join("absent/state.db")).err().unwrap();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Nothing));
    assert!(fault.detail.contains("folder exists"), "{fault}");
}

#[test]
fn what_a_creation_left_behind_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    fs::write(folder.path().join("state.db.new"), "half").unwrap();
    fs::write(folder.path().join("state.db.new-journal"), "half").unwrap();
    drop(open(&path).unwrap());
    let names: Vec<_> = content(&folder).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, [path]);
}

#[tokio::test]
async fn an_inspection_sees_all_of_it_beside_the_holder_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    assert_eq!(inspect(&path, &sealer(1)).unwrap_err().kind, FaultKind::Missing);
    assert!(content(&folder).is_empty());
    let state = open(&path).unwrap();
    fill(&state).await;
    let found = inspect(&path, &sealer(1)).unwrap();
    assert_eq!((found.chain.records, found.chain.broken, found.rows), (10, None, 25));
    let epoch = state.lease().await.unwrap();
    state.commit(step("a", epoch, 6)).await.expect("the holder is not disturbed");
    drop(state);
    let before = fs::read(&path).unwrap();
    let found = inspect(&path, &sealer(1)).unwrap();
    assert_eq!((found.chain.records, found.chain.broken), (11, None));
    assert!(fs::read(&path).unwrap() == before, "an inspection changed the state");
    let log = fs::metadata(folder.path().join("state.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "an inspection left something in the log");
    fs::remove_file(&path).unwrap();
    drop(open(&path).expect("an empty log is no hindrance to a new state"));
}
