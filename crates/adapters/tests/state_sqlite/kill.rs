//! A real process is killed while it commits; whatever it had been told is durable, and everything agrees.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Where the child finds its state. Without it, the test of that name is not a child and has nothing to do.
const CHILD: &str = "HANDOVER_TEST_STATE_FOLDER";
const GROUPS: [&str; 6] = ["g0", "g1", "g2", "g3", "g4", "g5"];
const PATIENCE: Duration = Duration::from_secs(60);

/// The process that is killed: commits on several groups at once and says what was answered. Run by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let state = Arc::new(open(&PathBuf::from(folder).join("state.db")).unwrap());
    let epoch = state.lease().await.unwrap();
    println!("epoch {epoch}");
    let tasks = GROUPS.map(|name| {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let stored = state.load(&group(name)).await.unwrap().map_or(0, |loaded| loaded.row.version.0);
            for version in stored + 1.. {
                let erase = if version > 2 { vec![Generation(version - 2)] } else { Vec::new() };
                state.commit(Commit { erase, ..step(name, epoch, version) }).await.unwrap();
                println!("committed {name} {version}");
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
}

struct Killed {
    epoch: u64,
    versions: BTreeMap<String, u64>,
}

/// Starts the child, kills it after `lines` answers, and gives back what it had said.
fn run_and_kill(folder: &TempDir, lines: usize) -> Killed {
    let mut process = spawn(folder);
    let (mut epoch, mut versions) = (0, BTreeMap::new());
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut answers = 0;
    // The limit is that of the whole test: a child that says nothing has failed, and closes its output.
    while answers < lines {
        let line = said.next().expect("the child ended by itself").unwrap();
        answers += usize::from(note(&line, &mut epoch, &mut versions));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    // What it said between the last line read and its death counts too; its very last line may be cut.
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    for line in rest.iter().take(rest.len().saturating_sub(1)) {
        note(line, &mut epoch, &mut versions);
    }
    Killed { epoch, versions }
}

fn spawn(folder: &TempDir) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn note(line: &str, epoch: &mut u64, versions: &mut BTreeMap<String, u64>) -> bool {
    match line.split(' ').collect::<Vec<_>>()[..] {
        // The harness's own words may stand before ours on the first line.
        [.., "epoch", number] => {
            *epoch = number.parse().unwrap();
            false
        }
        ["committed", name, version] => {
            versions.insert(name.to_owned(), version.parse().unwrap());
            true
        }
        _ => false,
    }
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_and_all_parts_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut last_epoch = 0;
    for lines in [1, 2, 7, 30, 100, 3, 250, 11] {
        let killed = run_and_kill(&folder, lines);
        assert!(killed.epoch > last_epoch, "each process has a higher epoch");
        let state = open(&path).expect("the kernel freed the lock, and the file holds together");
        let epoch = state.lease().await.unwrap();
        assert!(epoch.0 > killed.epoch);
        last_epoch = epoch.0;
        agree(&state, &killed.versions).await;
    }
}

/// Row, history and candidates of each group tell the same version, and none is older than what was answered.
async fn agree(state: &Sqlite, answered: &BTreeMap<String, u64>) {
    assert_eq!(state.verify_chain().await.unwrap().broken, None);
    state.verify_rows().await.unwrap();
    let mut records = Vec::new();
    while let page @ [_, ..] = &state.records(records.len() as u64, 1000).await.unwrap()[..] {
        records.extend_from_slice(page);
    }
    for name in GROUPS {
        let a = group(name);
        let version = state.load(&a).await.unwrap().map_or(0, |loaded| loaded.row.version.0);
        let said = answered.get(name).copied().unwrap_or(0);
        assert!(version >= said, "{name}: {said} was answered, and {version} is stored");
        let told: Vec<_> = records.iter().filter(|record| record.group == a).collect();
        assert_eq!(told.len() as u64, version, "{name}: row and history disagree");
        for (record, version) in told.iter().zip(1..) {
            assert!(record.body.contains(&format!("\"row\":{version},")), "{name} {version}: {}", record.body);
        }
        for generation in version.saturating_sub(4).max(1)..=version + 2 {
            let value = state.candidate(&a, Generation(generation), Candidate(1)).await.unwrap();
            let there = generation + 1 >= version && generation <= version;
            assert_eq!(value.is_some(), there, "{name}: at version {version}, candidate {generation}");
            let minted = Secret::from_text(format!("value-{name}-{generation}"));
            assert!(value.is_none_or(|value| value.matches(&minted)));
        }
    }
}

/// Killed while the file is being made, there is either none or a whole one.
#[tokio::test]
async fn killed_at_the_start_it_starts_again() {
    for round in 0..10_u32 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let mut process = spawn(&folder);
        let since = Instant::now();
        // A different point each time: the lock, the staged file, the file itself, and the polls after.
        let awaited = ["state.db.lock", "state.db.new", "state.db", "state.db-wal"][round as usize % 4];
        while !folder.path().join(awaited).exists() && !path.exists() {
            assert!(since.elapsed() < PATIENCE, "the child did not make {awaited} in time");
            std::thread::yield_now();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let state = open(&path).unwrap_or_else(|fault| panic!("killed at {awaited}: {fault}"));
        state.lease().await.unwrap();
        agree(&state, &BTreeMap::new()).await;
    }
}
