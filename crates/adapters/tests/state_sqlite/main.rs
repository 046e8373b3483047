//! The embedded state on real files: conformance, foreign and torn files, tampering, kills, and a file of schema 3.
#![cfg(feature = "state-sqlite")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test asserts")]

mod files;
mod handed;
mod kill;
mod schema;
mod tamper;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::state::chain;
use handover_adapters::state::sqlite::{Sqlite, inspect};
use handover_core::port::{Answer, Commit, Consumers, Delivery, Entry, Request, StateStore};
use handover_core::{
    Candidate, ConsumerId, Epoch, Fault, Generation, GroupId, Publication, Reach, Role, Row, RowVersion, Timestamp,
};
use handover_secret::Secret;
use handover_testkit::conformance::state::{Harness, State, failures, plans};
use tempfile::TempDir;
use zeroize::Zeroizing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_what_every_state_must_do() {
    let failed = failures(|| Folder(tempfile::tempdir().unwrap())).await;
    assert!(failed.is_empty(), "failed: {failed:?}");
}

struct Folder(TempDir);

impl Harness for Folder {
    fn open(&self) -> Answer<'_, Arc<dyn State>> {
        Box::pin(async { Ok(Arc::new(open(&self.0.path().join("state.db"))?) as Arc<dyn State>) })
    }

    fn at_rest(&self) -> Vec<u8> {
        let files = fs::read_dir(self.0.path()).unwrap();
        files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

fn sealer(byte: u8) -> Arc<Sealer> {
    Arc::new(Sealer::new(MasterKey::from_bytes(Zeroizing::new([byte; 32]))))
}

fn open(path: &Path) -> Result<Sqlite, Fault> {
    Sqlite::open(path, sealer(1))
}

fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

fn consumer(name: &str) -> ConsumerId {
    ConsumerId::parse(name).unwrap()
}

fn step(name: &str, epoch: Epoch, version: u64) -> Commit {
    let group = group(name);
    Commit {
        row: Row { version: RowVersion(version), ..Row::new(group) },
        plan: None,
        expect: (version > 1).then(|| RowVersion(version - 1)),
        epoch,
        candidate: Some((Generation(version), Candidate(1), Secret::from_text(format!("value-{name}-{version}")))),
        erase: Vec::new(),
        due_at: Some(Timestamp(version.cast_signed())),
        entries: vec![Entry {
            at: Timestamp(version.cast_signed()),
            event: "advanced",
            actor: "engine".to_owned(),
            fields: vec![("version", version.to_string())],
        }],
    }
}

/// A closed state with something in every table: group `a` at version 5 and `b` at version 5, and ten records.
async fn filled(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("state.db");
    let state = open(&path).unwrap();
    fill(&state).await;
    path
}

async fn fill(state: &Sqlite) {
    let epoch = state.lease().await.unwrap();
    for version in 1..=5 {
        let plan = (version == 1).then(|| plans().remove(0));
        state.commit(Commit { plan, ..step("a", epoch, version) }).await.unwrap();
        let request = Request {
            caller: "anna".to_owned(),
            key: format!("key-{version}"),
            digest: [7; 32],
            at: Timestamp(version.cast_signed()),
            answer: version.to_string(),
        };
        state.carry_out(step("b", epoch, version), request).await.unwrap();
    }
    let (a, web) = (group("a"), consumer("web"));
    state.declare(&a, &web, Role::Presenter).await.unwrap();
    state.declare(&a, &consumer("job"), Role::Verifier).await.unwrap();
    state.set_complete(&a, true).await.unwrap();
    let delivery = Delivery { publication: Publication(3), generation: Generation(2), nonce: b"nonce".to_vec() };
    state.delivered(&a, &web, Role::Presenter, &delivery).await.unwrap();
    state.acknowledged(&a, &web, Role::Presenter, Publication(3), Reach::Loaded).await.unwrap();
    state.move_cursor("file", 4).await.unwrap();
}

#[tokio::test]
async fn history_holds_for_whoever_checks_it_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&filled(&folder).await).unwrap();
    let mut hash = chain::START;
    let records = state.records(0, 100).await.unwrap();
    for (position, record) in (1..).zip(&records) {
        hash = chain::follows(&hash, position, record).expect("it follows");
    }
    let chain = state.verify_chain().await.unwrap();
    assert_eq!((chain.records, chain.broken, chain.head), (10, None, hex::encode(hash)));
    assert!(records[0].body.starts_with(r#"{"v":1,"event":"advanced","actor":"engine","epoch":1,"row":1,"#));
    // Two rows, a plan, two keys, ten candidates, a cursor, a roll, two members, a delivery, and five requests.
    assert_eq!(state.verify_rows().await.unwrap(), 25);
}

#[tokio::test]
async fn the_list_is_complete_when_the_configuration_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db")).unwrap();
    let (a, web) = (group("a"), consumer("web"));
    assert!(!state.roll_call(&a, Role::Presenter).await.unwrap().complete);
    for complete in [true, true, false, true] {
        state.set_complete(&a, complete).await.unwrap();
        assert_eq!(state.roll_call(&a, Role::Presenter).await.unwrap().complete, complete);
        assert!(!state.roll_call(&group("b"), Role::Presenter).await.unwrap().complete);
    }
    for _ in 0..2 {
        state.declare(&a, &web, Role::Presenter).await.unwrap();
        let call = state.roll_call(&a, Role::Presenter).await.unwrap();
        assert_eq!(call.members.len(), 1);
        assert_eq!(call.members[0].acked, None, "declared, and nothing heard yet");
    }
    state.acknowledged(&a, &web, Role::Presenter, Publication(1), Reach::Loaded).await.unwrap();
    state.declare(&a, &web, Role::Presenter).await.unwrap();
    let call = state.roll_call(&a, Role::Presenter).await.unwrap();
    assert_eq!(call.members[0].acked, Some((Publication(1), Reach::Loaded)), "declaring takes nothing back");
}

#[tokio::test]
async fn a_withdrawn_consumer_is_off_the_roll_in_that_role_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = open(&path).unwrap();
    let (a, web, guest) = (group("a"), consumer("web"), consumer("guest"));
    for role in [Role::Presenter, Role::Verifier] {
        state.declare(&a, &web, role).await.unwrap();
    }
    let delivery = Delivery { publication: Publication(1), generation: Generation(1), nonce: b"nonce".to_vec() };
    state.delivered(&a, &guest, Role::Presenter, &delivery).await.unwrap();
    let both = [(web.clone(), Role::Presenter), (web.clone(), Role::Verifier)];
    assert_eq!(state.declared_in(vec![a.clone()]).await.unwrap(), [both], "a guest was not declared");
    for _ in 0..2 {
        state.withdraw(&a, &web, Role::Presenter).await.unwrap();
        state.withdraw(&a, &guest, Role::Presenter).await.unwrap();
    }
    let names = async |role| {
        let call = state.roll_call(&a, role).await.unwrap();
        call.members.into_iter().map(|member| member.consumer).collect::<Vec<_>>()
    };
    assert_eq!(names(Role::Presenter).await, [guest], "who came by itself stays");
    assert_eq!(names(Role::Verifier).await, std::slice::from_ref(&web));
    assert_eq!(state.declared_in(vec![a]).await.unwrap(), [[(web, Role::Verifier)]]);
    drop(state);
    open(&path).expect("the sum over all rows still holds");
}

#[tokio::test]
async fn nonces_are_kept_up_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(&folder.path().join("state.db")).unwrap();
    let (a, web) = (group("a"), consumer("web"));
    let deliver = async |number: u32| {
        let nonce = number.to_be_bytes().to_vec();
        let delivery = Delivery { publication: Publication(1), generation: Generation(1), nonce };
        state.delivered(&a, &web, Role::Presenter, &delivery).await.unwrap();
    };
    for number in 0..1030 {
        deliver(number).await;
    }
    for (number, there) in [(0, false), (5, false), (6, true), (1029, true)] {
        let found = state.delivery(&a, &web, &u32::to_be_bytes(number)).await.unwrap();
        assert_eq!(found.is_some(), there, "{number}");
    }
    state.verify_rows().await.unwrap();
}
