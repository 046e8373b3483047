//! P12: what history adds to a commit, and how fast the chain is verified.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::state::sqlite::Sqlite;
use handover_core::port::{Commit, Entry, StateStore};
use handover_core::{Epoch, GroupId, Row, RowVersion, Timestamp};
use sha2::{Digest, Sha256};

use crate::report::{Budget, Findings, percentile};
use crate::rotations::scratch;
use crate::world::{groups, state, words};
use crate::{Setting, Trouble, bare};

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(measure(setting))
}

async fn measure(setting: &Setting) -> Result<Findings, Trouble> {
    let mut found = Findings::default();
    let directory = scratch(setting)?;
    let path = directory.path().join("state.db");
    let state = state(&path)?;
    let epoch = state.lease().await.map_err(words)?;
    let (rounds, flight) = if setting.smoke { (4, 16) } else { (400, 512) };
    let groups = groups(flight)?.into_iter().map(|group| (group, 0)).collect();
    let mut versions = Versions { state: Arc::clone(&state), epoch, groups };
    versions.round(flight, true).await?;

    // Turn and turn about, so that what else the machine does weighs on both.
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        with.push(versions.round(1, true).await?.as_secs_f64() * 1e6);
        without.push(versions.round(1, false).await?.as_secs_f64() * 1e6);
    }
    share(&mut found, "one commit at a time, p50", percentile(&mut with, 0.5), percentile(&mut without, 0.5));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        with.push(versions.round(flight, true).await?.as_secs_f64() * 1e6 / flight as f64);
        without.push(versions.round(flight, false).await?.as_secs_f64() * 1e6 / flight as f64);
    }
    let what = format!("{flight} commits at once, p50 of each's share");
    share(&mut found, &what, percentile(&mut with, 0.5), percentile(&mut without, 0.5));

    verify(&state, &path, &mut found).await?;
    Ok(found)
}

fn share(found: &mut Findings, what: &str, with: f64, without: f64) {
    found.figure(
        "P12",
        (&format!("history's share of a commit, {what}"), (with - without) / with * 100.0, "%"),
        Some(10.0),
    );
    found.note(format!("{what}: {with:.1} µs with one record, {without:.1} µs without"));
}

async fn verify(state: &Sqlite, path: &std::path::Path, found: &mut Findings) -> Result<(), Trouble> {
    let mut bytes = Vec::new();
    for record in bare::records(path, 0)? {
        // What a link hashes: the previous hash, four lengths, position and time, group and body.
        bytes.extend_from_slice(&[0; 32 + 4 * 8 + 8 + 8]);
        bytes.extend_from_slice(record.group.as_str().as_bytes());
        bytes.extend_from_slice(record.body.as_bytes());
    }
    let mib = bytes.len() as f64 / (1 << 20) as f64;
    let (mut verified, mut hashed, mut records) = (Vec::new(), Vec::new(), 0);
    for _ in 0..5 {
        let start = Instant::now();
        let chain = state.verify_chain().await.map_err(words)?;
        verified.push(mib / start.elapsed().as_secs_f64());
        if let Some(broken) = chain.broken {
            return Err(format!("the chain broke: {broken:?}"));
        }
        records = chain.records;
        let start = Instant::now();
        std::hint::black_box(Sha256::digest(std::hint::black_box(&bytes)));
        hashed.push(mib / start.elapsed().as_secs_f64());
    }
    let (verified, hashed) = (percentile(&mut verified, 0.5), percentile(&mut hashed, 0.5));
    let what = format!("the chain of {records} records verified");
    found.compare("P12", (&what, verified, "MiB/s"), ("SHA-256 of the same bytes", hashed), Budget::RatioMin(0.5));
    Ok(())
}

/// Rows that are committed again and again.
struct Versions {
    state: Arc<Sqlite>,
    epoch: Epoch,
    groups: Vec<(GroupId, u64)>,
}

impl Versions {
    /// Commits the next version of the first so many rows at once. How long it took until the last was durable.
    async fn round(&mut self, flight: usize, with_history: bool) -> Result<Duration, Trouble> {
        let epoch = self.epoch;
        let rows = self.groups.iter_mut().take(flight);
        let commits: Vec<Commit> = rows.map(|(group, version)| commit(group, version, epoch, with_history)).collect();
        let start = Instant::now();
        let mut work = tokio::task::JoinSet::new();
        for commit in commits {
            let state = Arc::clone(&self.state);
            work.spawn(async move { state.commit(commit).await });
        }
        while let Some(done) = work.join_next().await {
            done.map_err(|error| error.to_string())?.map_err(words)?;
        }
        Ok(start.elapsed())
    }
}

/// The next version of a row, as big as a row between rotations is.
fn commit(group: &GroupId, version: &mut u64, epoch: Epoch, with_history: bool) -> Commit {
    let expect = (*version > 0).then_some(RowVersion(*version));
    *version += 1;
    let entry = Entry {
        at: Timestamp(1_800_000_000_000),
        event: "advanced",
        actor: "engine".to_owned(),
        fields: vec![("generation", "2".to_owned()), ("from", "apply".to_owned()), ("to", "verify".to_owned())],
    };
    Commit {
        row: Row { version: RowVersion(*version), ..Row::new(group.clone()) },
        plan: None,
        expect,
        epoch,
        candidate: None,
        erase: Vec::new(),
        due_at: None,
        entries: if with_history { vec![entry] } else { Vec::new() },
    }
}
