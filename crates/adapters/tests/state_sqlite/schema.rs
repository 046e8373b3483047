//! A file that was written with schema 3 is read by every later program.
//!
//! `tests/data/schema3.db` and its key are committed and never written again. They came from this test, run once with
//! `HANDOVER_TEST_SCHEMA_OUT` naming a folder. The key protects nothing else.

use std::os::unix::fs::PermissionsExt;

use handover_testkit::conformance::state::rows;

use super::*;

const OUT: &str = "HANDOVER_TEST_SCHEMA_OUT";

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[tokio::test]
async fn schema_3_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("schema3.db"), folder.path().join("schema3.key"));
    if let Some(out) = std::env::var_os(OUT) {
        let out = PathBuf::from(out);
        let sealer = Sealer::new(MasterKey::create(&out.join("schema3.key")).unwrap());
        write(&Sqlite::open(&out.join("schema3.db"), Arc::new(sealer)).unwrap()).await;
    }
    fs::copy(committed("schema3.db"), &path).unwrap();
    fs::copy(committed("schema3.key"), &key).unwrap();
    for file in [&path, &key] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let sealer = Arc::new(Sealer::new(MasterKey::read(&key).unwrap()));
    let before = fs::read(&path).unwrap();
    assert_eq!(inspect(&path, &sealer).unwrap().chain.broken, None, "looked at as it is");
    assert!(fs::read(&path).unwrap() == before, "whoever looks changes nothing");
    let state = Sqlite::open(&path, sealer).unwrap();
    check(&state).await;
    // And it is not only read: what comes next goes on from it.
    let epoch = state.lease().await.unwrap();
    assert_eq!(epoch, Epoch(2));
    state.commit(step("a", epoch, 6)).await.unwrap();
    assert_eq!(state.verify_chain().await.unwrap().broken, None);
    state.verify_rows().await.unwrap();
}

/// What this program writes now reads the same as what was written then.
#[tokio::test]
async fn what_is_written_now_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    write(&open(&path).unwrap()).await;
    check(&open(&path).unwrap()).await;
}

async fn write(state: &Sqlite) {
    fill(state).await;
    let epoch = state.lease().await.unwrap();
    for (row, plan) in rows().into_iter().zip(plans().into_iter().cycle()) {
        let version = RowVersion(row.version.0 + 1);
        let row = Row { version, ..row };
        let commit = Commit { row, plan: Some(plan), expect: None, candidate: None, ..step("z", epoch, 1) };
        state.commit(commit).await.unwrap();
    }
}

async fn check(state: &Sqlite) {
    assert_eq!(state.verify_chain().await.unwrap().broken, None);
    state.verify_rows().await.unwrap();
    for (row, plan) in rows().into_iter().zip(plans().into_iter().cycle()) {
        let row = Row { version: RowVersion(row.version.0 + 1), ..row };
        let loaded = state.load(&row.group).await.unwrap().expect("it was written");
        assert_eq!((&*loaded.row, loaded.plan), (&row, Some(plan)));
    }
    for version in 1..=5 {
        let value = state.candidate(&group("a"), Generation(version), Candidate(1)).await.unwrap();
        let minted = Secret::from_text(format!("value-a-{version}"));
        assert!(value.is_some_and(|value| value.matches(&minted)));
    }
    let (a, web) = (group("a"), consumer("web"));
    let call = state.roll_call(&a, Role::Presenter).await.unwrap();
    assert!(call.complete);
    assert_eq!(call.members.len(), 1);
    assert_eq!(call.members[0].acked, Some((Publication(3), Reach::Loaded)));
    let delivery = Delivery { publication: Publication(3), generation: Generation(2), nonce: b"nonce".to_vec() };
    assert_eq!(state.delivery(&a, &web, b"nonce").await.unwrap(), Some(delivery));
    assert_eq!(state.cursor("file").await.unwrap(), 4);
    let records = state.records(0, 100).await.unwrap();
    assert_eq!(records.len(), 10 + rows().len());
    assert_eq!(
        records[2].body,
        r#"{"v":1,"event":"advanced","actor":"engine","epoch":1,"row":2,"fields":{"version":"2"}}"#
    );
}
