//! What is particular to the embedded store: its file, restored, edited, torn, foreign, killed in the middle.
#![cfg(feature = "store-embedded")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::store::embedded::Embedded;
use handover_core::port::{SecretStore as _, Value};
use handover_core::{
    Candidate, Effect, Fault, FaultKind, Generation, GroupId, Occupant, Publication, Slot, StoreId, StoreVersion,
    Touched,
};
use handover_secret::Secret;

struct World {
    dir: tempfile::TempDir,
    group: GroupId,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        MasterKey::create(&dir.path().join("master.key")).unwrap();
        Self { dir, group: GroupId::parse("orders").unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    fn open(&self) -> Result<Embedded, Fault> {
        open(self.dir.path())
    }

    /// A file at rest: one connection, closed, so that all is in the main file.
    async fn at_rest(&self) -> Vec<u8> {
        let store = self.open().unwrap();
        let one = point(&store, &self.group, 1, 1, None).await.unwrap();
        point(&store, &self.group, 2, 2, Some(&one)).await.unwrap();
        drop(store);
        let file = rusqlite::Connection::open(self.path()).unwrap();
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(file);
        std::fs::read(self.path()).unwrap()
    }

    fn edit(&self, sql: &str) {
        let file = rusqlite::Connection::open(self.path()).unwrap();
        assert!(file.execute(sql, []).unwrap() > 0, "{sql} changes nothing");
    }
}

fn open(dir: &Path) -> Result<Embedded, Fault> {
    let sealer = Arc::new(Sealer::new(MasterKey::read(&dir.join("master.key")).unwrap()));
    Embedded::open(dir.join("store.db"), sealer)
}

fn value(generation: u64) -> Secret {
    Secret::from_text(format!("value of generation {generation}"))
}

async fn point(
    store: &Embedded,
    group: &GroupId,
    generation: u64,
    publication: u64,
    expect: Option<&StoreVersion>,
) -> Result<StoreVersion, Fault> {
    let who = Occupant { generation: Generation(generation), slot: Slot(0), candidate: Candidate(1) };
    let to = StoreId::parse("embedded").unwrap();
    let publication = Publication(publication);
    let id = Effect::Point { store: to, value: who, publication, expect: None }.id(group, who);
    let (secret, fields) = (value(generation), [("username".to_owned(), format!("orders_{}", generation % 2))]);
    let value = Value { id: &id, who, fields: &fields, secret: &secret };
    store.put(group, &value).await?;
    store.point(group, &value, publication, expect).await
}

#[tokio::test]
async fn it_is_as_it_was_after_it_was_closed() {
    let world = World::new();
    let store = world.open().unwrap();
    assert_eq!(std::fs::metadata(world.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let wal = world.dir.path().join("store.db-wal");
    let one = point(&store, &world.group, 1, 1, None).await.unwrap();
    assert_eq!(std::fs::metadata(wal).unwrap().permissions().mode() & 0o777, 0o600);
    let two = point(&store, &world.group, 2, 2, Some(&one)).await.unwrap();
    drop(store);

    let store = world.open().unwrap();
    let current = store.read(&world.group).await.unwrap().unwrap();
    assert_eq!((&current.version, current.publication, current.generation), (&two, Publication(2), Generation(2)));
    assert_eq!(current.fields, [("username".to_owned(), "orders_0".to_owned())]);
    assert!(current.secret.matches(&value(2)));
    let kept = store.read_generation(&world.group, Generation(1)).await.unwrap().unwrap();
    assert!(kept.secret.matches(&value(1)));
    let moves = store.moves(&world.group).await.unwrap();
    assert_eq!(moves.iter().map(|moved| &moved.version).collect::<Vec<_>>(), [&one, &two]);
    assert_eq!(moves[1].publication, Publication(2));
    let labels = store.labels(&world.group).await.unwrap();
    assert_eq!(labels[0].effect, "orders/1.1/point/embedded/1");
    let three = point(&store, &world.group, 1, 3, Some(&two)).await.unwrap();
    assert_eq!(store.head(&world.group).await.unwrap().unwrap().version, three);
}

#[tokio::test]
async fn versions_do_not_recur_after_the_file_is_restored() {
    let world = World::new();
    let backup = world.at_rest().await;
    let version = {
        let store = world.open().unwrap();
        let at = store.head(&world.group).await.unwrap().unwrap().version;
        point(&store, &world.group, 3, 3, Some(&at)).await.unwrap()
    };
    let restored = World { dir: tempfile::tempdir().unwrap(), group: world.group.clone() };
    std::fs::copy(world.dir.path().join("master.key"), restored.dir.path().join("master.key")).unwrap();
    std::fs::write(restored.path(), backup).unwrap();
    let store = restored.open().unwrap();
    let at = store.head(&world.group).await.unwrap().unwrap().version;
    let again = point(&store, &world.group, 1, 3, Some(&at)).await.unwrap();
    assert_ne!(version, again, "an intent made before the restore would pass for one made after it");
    let fault = point(&store, &world.group, 3, 3, Some(&version)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
}

#[tokio::test]
async fn the_last_hundred_moves_are_remembered() {
    let world = World::new();
    let store = world.open().unwrap();
    let mut at = None;
    for number in 1..=103 {
        at = Some(point(&store, &world.group, 1, number, at.as_ref()).await.unwrap());
    }
    let moves = store.moves(&world.group).await.unwrap();
    assert_eq!(moves.len(), 100);
    assert_eq!((moves[0].publication, moves[99].publication), (Publication(4), Publication(103)));
    assert_eq!(store.labels(&world.group).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_master_key_is_told_from_a_broken_file() {
    let world = World::new();
    let before = world.at_rest().await;
    let other = world.dir.path().join("other.key");
    let sealer = Arc::new(Sealer::new(MasterKey::create(&other).unwrap()));
    let fault = Embedded::open(world.path(), sealer).unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing));
    assert!(fault.detail.contains("master key"), "{}", fault.detail);
    assert_eq!(std::fs::read(world.path()).unwrap(), before, "the file is as it was");
    world.open().unwrap();
}

#[tokio::test]
async fn a_foreign_file_stays_as_it_is() {
    let world = World::new();
    for foreign in ["CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)", "PRAGMA user_version = 7"] {
        let _ = std::fs::remove_file(world.path());
        rusqlite::Connection::open(world.path()).unwrap().execute_batch(foreign).unwrap();
        let before = std::fs::read(world.path()).unwrap();
        let fault = world.open().unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing));
        assert!(fault.detail.contains("name another file"), "{}", fault.detail);
        assert_eq!(std::fs::read(world.path()).unwrap(), before);
    }
    let text = b"#!/bin/sh\necho this is no database, and long enough to look like one at a first glance\n".repeat(20);
    std::fs::write(world.path(), &text).unwrap();
    assert_eq!(world.open().unwrap_err().kind, FaultKind::Corrupt);
    assert_eq!(std::fs::read(world.path()).unwrap(), text);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_to_it() {
    let world = World::new();
    world.at_rest().await;
    rusqlite::Connection::open(world.path()).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let fault = world.open().unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Unsupported, Touched::Nothing));
    assert!(fault.detail.contains("layout 2"), "{}", fault.detail);
}

#[tokio::test]
async fn every_edit_of_a_row_is_noticed() {
    let edits = [
        "UPDATE head SET version = '9-00'",
        "UPDATE head SET publication = publication + 1",
        "UPDATE head SET generation = 1",
        "UPDATE head SET candidate = 2",
        "UPDATE head SET value = (SELECT min(id) FROM value)",
        "UPDATE head SET mac = zeroblob(32)",
        "UPDATE head SET group_name = 'payments'",
        "DELETE FROM head",
        "UPDATE value SET sealed = (SELECT sealed FROM value ORDER BY id LIMIT 1)",
        "UPDATE value SET sealed = zeroblob(64)",
        "UPDATE value SET generation = 3 - generation",
        "UPDATE data_key SET wrapped = zeroblob(length(wrapped))",
        "DELETE FROM data_key",
    ];
    for edit in edits {
        let world = World::new();
        world.at_rest().await;
        world.edit(edit);
        let seen = world.open().unwrap().read(&world.group).await;
        // What cannot be opened in its place is never served as something else.
        match seen {
            Err(fault) => assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing), "{edit}"),
            Ok(seen) if edit.contains("SET generation = 3") => assert!(seen.unwrap().secret.matches(&value(2))),
            Ok(seen) => panic!("{edit} was served as {seen:?}"),
        }
    }
}

#[tokio::test]
async fn a_moved_value_does_not_open_in_another_place() {
    let world = World::new();
    world.at_rest().await;
    world.edit("UPDATE value SET generation = 3 - generation");
    let store = world.open().unwrap();
    let fault = store.read_generation(&world.group, Generation(1)).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing));
}

/// F59: the store's file too.
#[tokio::test]
async fn a_torn_file_is_never_served_as_something_else() {
    let world = World::new();
    let whole = world.at_rest().await;
    let mut refused = 0;
    for page in 0..whole.len() / 4096 {
        let mut torn = whole.clone();
        torn[page * 4096..(page + 1) * 4096].fill(0);
        std::fs::write(world.path(), torn).unwrap();
        let seen = match world.open() {
            Ok(store) => store.read(&world.group).await,
            Err(fault) => Err(fault),
        };
        match seen {
            Ok(Some(current)) => assert!(current.secret.matches(&value(2)), "page {page}"),
            Ok(None) => panic!("page {page}: a torn file passed for an empty one"),
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Corrupt, "page {page}: {fault}");
                refused += 1;
            }
        }
        let _ = std::fs::remove_file(world.dir.path().join("store.db-wal"));
        let _ = std::fs::remove_file(world.dir.path().join("store.db-shm"));
    }
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_groups_at_once_are_all_kept() {
    const GROUPS: u64 = 600;
    let world = World::new();
    let store = world.open().unwrap();
    let name = |number| GroupId::parse(&format!("group-{number}")).unwrap();
    let tasks: Vec<_> = (0..GROUPS)
        .map(|number| {
            let (store, group) = (store.clone(), name(number));
            tokio::spawn(async move { point(&store, &group, 1, 1, None).await.unwrap() })
        })
        .collect();
    let mut versions = std::collections::BTreeSet::new();
    for task in tasks {
        versions.insert(task.await.unwrap());
    }
    assert_eq!(versions.len() as u64, GROUPS);
    drop(store);
    let store = world.open().unwrap();
    for number in 0..GROUPS {
        assert!(versions.contains(&store.head(&name(number)).await.unwrap().unwrap().version));
    }
}

#[tokio::test]
async fn what_many_groups_publish_is_told_at_once_and_one_that_was_edited_hides_no_other() {
    const GROUPS: u64 = 520;
    let world = World::new();
    let store = world.open().unwrap();
    let groups: Vec<_> = (0..GROUPS).map(|number| GroupId::parse(&format!("group-{number}")).unwrap()).collect();
    let mut points = tokio::task::JoinSet::new();
    for (group, number) in groups.iter().cloned().zip(1..GROUPS) {
        let store = store.clone();
        points.spawn(async move { point(&store, &group, 1, number, None).await.unwrap() });
    }
    assert_eq!(points.join_all().await.len() as u64, GROUPS - 1);
    world.edit("UPDATE head SET mac = zeroblob(32) WHERE group_name = 'group-7'");
    let told = store.publications(&groups).await.unwrap();
    for (index, (told, number)) in told.iter().zip(1..=GROUPS).enumerate() {
        match told {
            Err(fault) => assert_eq!((index, fault.kind), (7, FaultKind::Corrupt)),
            Ok(told) => assert_eq!(*told, (number < GROUPS).then_some(Publication(number))),
        }
    }
    assert!(told.len() as u64 == GROUPS && told[7].is_err());
}

#[tokio::test]
async fn one_refused_change_takes_no_other_with_it() {
    let world = World::new();
    let store = world.open().unwrap();
    let (other, third) = (GroupId::parse("payments").unwrap(), GroupId::parse("third").unwrap());
    let stale = StoreVersion(Arc::from("1-00"));
    // All wait for the same transaction, or for one after the other: either way each stands alone.
    let (first, refused, second) = tokio::join!(
        point(&store, &world.group, 1, 1, None),
        point(&store, &other, 1, 1, Some(&stale)),
        point(&store, &third, 1, 1, None),
    );
    first.unwrap();
    second.unwrap();
    assert_eq!(refused.unwrap_err().kind, FaultKind::Conflict);
    assert!(store.read(&other).await.unwrap().is_none());
}

#[tokio::test]
async fn many_may_make_the_file_at_once() {
    for _ in 0..60 {
        let world = World::new();
        let start = std::sync::Barrier::new(6);
        let stores: Vec<Embedded> = std::thread::scope(|scope| {
            let open = || {
                start.wait();
                world.open()
            };
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        let version = point(&stores[0], &world.group, 1, 1, None).await.unwrap();
        for store in &stores {
            assert_eq!(store.read(&world.group).await.unwrap().unwrap().version, version);
        }
    }
}

#[tokio::test]
async fn a_value_that_is_too_long_is_refused_whole() {
    let world = World::new();
    let store = world.open().unwrap();
    let who = Occupant { generation: Generation(1), slot: Slot(0), candidate: Candidate(1) };
    let id = Effect::Seal { to: who }.id(&world.group, who);
    let secret = Secret::from_bytes(vec![7; 1024 * 1024]);
    let fault = store.put(&world.group, &Value { id: &id, who, fields: &[], secret: &secret }).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Unsupported, Touched::Nothing));
    assert_eq!(store.labels(&world.group).await.unwrap(), []);
}

/// The first layout, as its first version wrote it: `tests/data/store-1.db`, with the key beside it.
#[tokio::test]
async fn a_file_of_layout_1_is_read() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in [("store-1.db", "store.db"), ("store-1.key", "master.key")] {
        std::fs::copy(data.join(from), dir.path().join(to)).unwrap();
        std::fs::set_permissions(dir.path().join(to), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let store = open(dir.path()).unwrap();
    let group = GroupId::parse("orders").unwrap();
    let current = store.read(&group).await.unwrap().unwrap();
    assert_eq!((current.publication, current.generation), (Publication(2), Generation(2)));
    assert_eq!(current.fields, [("username".to_owned(), "orders_0".to_owned())]);
    assert!(current.secret.matches(&value(2)));
    assert!(store.read_generation(&group, Generation(1)).await.unwrap().unwrap().secret.matches(&value(1)));
    point(&store, &group, 1, 3, Some(&current.version)).await.unwrap();
}

/// The process that is killed: moves the pointer until it dies, and says each version once it was told that it is
/// durable. Run by itself, without a folder, it makes a few moves and checks that each was announced.
#[tokio::test]
async fn process_that_moves_pointers() {
    let group = GroupId::parse("orders").unwrap();
    let (own, dir, moves_max) = match std::env::var_os(FOLDER) {
        Some(dir) => (None, PathBuf::from(dir), u64::MAX),
        None => {
            let world = World::new();
            let dir = world.dir.path().to_owned();
            (Some(world), dir, 5)
        }
    };
    let store = open(&dir).unwrap();
    let head = store.head(&group).await.unwrap();
    let first = head.as_ref().map_or(0, |head| head.publication.unwrap().0) + 1;
    let mut at = head.map(|head| head.version);
    for number in (first..).take(usize::try_from(moves_max).unwrap()) {
        let moved = point(&store, &group, number, number, at.as_ref()).await;
        let mut out = std::io::stdout().lock();
        match moved {
            Ok(version) => {
                writeln!(out, "\nDURABLE {number} {version}").unwrap();
                at = Some(version);
            }
            Err(fault) => {
                writeln!(out, "\nFAULT {:?}", fault.kind).unwrap();
                assert!(own.is_none(), "{fault}");
                break;
            }
        }
        out.flush().unwrap();
    }
    if own.is_some() {
        assert_eq!(store.moves(&group).await.unwrap().len(), 5);
    }
}

fn child(program: &str, arguments: &[&str], dir: &Path) -> std::process::Child {
    Command::new(program)
        .args(arguments)
        .args(["--exact", "process_that_moves_pointers", "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_was_promised_survives_a_full_disk() {
    let world = World::new();
    drop(world.open().unwrap());
    let this = std::env::current_exe().unwrap();
    // A limit on the size of files is a full disk for who writes. The limit is counted in blocks of 512 or 1024 bytes,
    // by the shell's taste.
    for limit_blocks in [60, 100, 300, 1000, 1001] {
        let limited = format!("trap '' XFSZ; ulimit -f {limit_blocks}; exec \"$0\" \"$@\"");
        let mut child = child("/bin/sh", &["-c", &limited, this.to_str().unwrap()], world.dir.path());
        let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        child.wait().unwrap();
        let store = world.open().unwrap();
        let current = store.read(&world.group).await.unwrap();
        // A child that cannot even open the file says neither.
        if let Some(last) = lines.iter().rfind(|line| line.starts_with("DURABLE ")) {
            let current = current.unwrap();
            let (number, version) = last["DURABLE ".len()..].split_once(' ').unwrap();
            let number: u64 = number.parse().unwrap();
            assert!(
                current.publication == Publication(number) && current.version.0.as_ref() == version
                    || current.publication == Publication(number + 1),
                "{limit_blocks} blocks: {last} was promised, {current:?} is there"
            );
            assert!(current.secret.matches(&value(current.generation.0)));
            assert!(lines.iter().any(|line| line == "FAULT Storage"), "{limit_blocks} blocks: {lines:?}");
        }
    }
    let store = world.open().unwrap();
    let at = store.head(&world.group).await.unwrap();
    assert!(at.is_some(), "no child got as far as its first move");
    let at = at.map(|head| head.version);
    point(&store, &world.group, 1, 1_000_000, at.as_ref()).await.unwrap();
}

#[tokio::test]
async fn what_was_promised_survives_sigkill() {
    let world = World::new();
    drop(world.open().unwrap());
    let mut seed = 0x9e37_79b9_u64;
    for round in 0..12 {
        let mut child = child(std::env::current_exe().unwrap().to_str().unwrap(), &[], world.dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let wanted = 1 + (seed >> 33) % 20;
        let mut last = None;
        for line in lines
            .by_ref()
            .map(Result::unwrap)
            .filter(|line| line.starts_with("DURABLE "))
            .take(usize::try_from(wanted).unwrap())
        {
            last = Some(line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts as promised too.
        for line in lines.map(Result::unwrap).filter(|line| line.starts_with("DURABLE ")) {
            last = Some(line);
        }
        let last = last.unwrap();
        let (number, version) = last["DURABLE ".len()..].split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();

        let store = world.open().unwrap();
        let current = store.read(&world.group).await.unwrap().unwrap();
        assert!(
            current.publication == Publication(number) && current.version.0.as_ref() == version
                || current.publication == Publication(number + 1),
            "round {round}: {last} was promised, {current:?} is there"
        );
        assert!(
            current.secret.matches(&value(current.generation.0)),
            "round {round}: the pointer and the value differ"
        );
        assert_eq!(current.generation.0, current.publication.0);
    }
}

const FOLDER: &str = "HANDOVER_TEST_STORE_FOLDER";

/// S48: what was read lately is not handed out once anybody has replaced or discarded it.
#[tokio::test]
async fn a_value_that_was_read_lately_ends_with_its_replacement() {
    let world = World::new();
    let (store, other) = (world.open().unwrap(), world.open().unwrap());
    let mut version = None;
    for generation in 1..4 {
        // By turns through the same handle, and one that stands for another process.
        let writer = if generation == 2 { &other } else { &store };
        let moved = point(writer, &world.group, generation, generation, version.as_ref()).await.unwrap();
        version = Some(moved.clone());
        for _ in 0..3 {
            let current = store.read(&world.group).await.unwrap().unwrap();
            assert_eq!((&current.version, current.generation), (&moved, Generation(generation)));
            assert!(current.secret.matches(&value(generation)));
        }
        if generation > 1 {
            writer.discard(&world.group, Generation(generation - 1)).await.unwrap();
            assert!(store.read_generation(&world.group, Generation(generation - 1)).await.unwrap().is_none());
        }
    }
    store.forget(&world.group).await.unwrap();
    assert!(store.read(&world.group).await.unwrap().is_none(), "nothing of it is left to hand out");
}
