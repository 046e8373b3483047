//! P1: whole `dual_write` rotations on the real state, many at once and one at a time, against a bare loop that writes
//! the same rows.

use std::time::Instant;

use handover_engine::Options;

use crate::report::{Budget, Findings, percentile};
use crate::world::{Fakes, World, groups, prompt, state};
use crate::{Setting, Trouble, bare};

/// Rotations at once, and commits to a transaction of the bare loop.
const FLIGHT: usize = 512;
/// Durable steps of a rotation that the budget allows.
const STEPS: f64 = 9.0;

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let mut found = Findings::default();
    let (each, alone) = if setting.smoke { (1, 5) } else { (20, 300) };
    let flight = if setting.smoke { 16 } else { FLIGHT };
    runtime.block_on(many(setting, flight, each, &mut found))?;
    runtime.block_on(one(setting, alone, &mut found))?;
    Ok(found)
}

async fn many(setting: &Setting, flight: usize, each: usize, found: &mut Findings) -> Result<(), Trouble> {
    let directory = scratch(setting)?;
    let path = directory.path().join("state.db");
    let groups = groups(flight)?;
    let fakes = Fakes::of(&groups);
    let state = state(&path)?;
    let batches = state.batches();
    let options = Options { calls_max: 2 * flight, ..Options::default() };
    let consumers = prompt(&fakes)?;
    let mut world = World::start(state, consumers, fakes.bindings()?, options).await?;
    // The first rotation of a group has nothing to retire.
    world.rotate_all(&groups, 1).await?;
    let from = bare::position(&path)?;
    let (transactions, writes) = batches.counted();
    let took = world.rotate_all(&groups, each).await?;
    let (transactions, writes) = (batches.counted().0 - transactions, batches.counted().1 - writes);
    world.stop().await?;
    let tape = bare::Tape::read(&path, from)?;
    let (bare, _) = tape.play(&directory.path().join("bare.db"), FLIGHT, usize::MAX)?;
    let rotations = (flight * each) as f64;
    let rate = rotations / took.as_secs_f64();
    found.compare(
        "P1",
        (&format!("whole rotations, {flight} in flight"), rate, "/s"),
        ("a bare loop that writes the same rows in batches of 512", rotations / bare.as_secs_f64()),
        Budget::RatioMin(0.5),
    );
    found.note(format!(
        "{:.1} commits for a rotation, {:.0} to a transaction",
        writes as f64 / rotations,
        writes as f64 / transactions as f64
    ));
    if tape.commits() as f64 + 1.0 < writes as f64 * 0.99 {
        found.note(format!(
            "{} commits of {writes} left no history, and are not in the bare loop",
            writes - tape.commits() as u64
        ));
    }
    Ok(())
}

async fn one(setting: &Setting, rotations: usize, found: &mut Findings) -> Result<(), Trouble> {
    let directory = scratch(setting)?;
    let path = directory.path().join("state.db");
    let groups = groups(1)?;
    let fakes = Fakes::of(&groups);
    let consumers = prompt(&fakes)?;
    let state = state(&path)?;
    let batches = state.batches();
    let mut world = World::start(state, consumers, fakes.bindings()?, Options::default()).await?;
    world.rotate_all(&groups, 1).await?;
    let mut times = Vec::new();
    let before = batches.counted().1;
    for _ in 0..rotations {
        let start = Instant::now();
        world.rotate_all(&groups, 1).await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let commits = (batches.counted().1 - before) as f64 / rotations as f64;
    world.stop().await?;
    let tape = bare::Tape::read(&path, 0)?;
    let (_, mut flushes) = tape.play(&directory.path().join("bare.db"), 1, usize::MAX)?;
    let flush = percentile(&mut flushes, 0.5) * 1e3;
    found.compare(
        "P1",
        ("one rotation alone, p50", percentile(&mut times, 0.5), "ms"),
        (&format!("{STEPS} flushes of a bare commit, p50 {flush:.3} ms each"), STEPS * flush),
        Budget::RatioMax(1.5),
    );
    found.note(format!("alone, a rotation has {commits:.1} commits"));
    Ok(())
}

/// A folder that is gone when it is dropped, on the disk that the results are on.
pub(crate) fn scratch(setting: &Setting) -> Result<tempfile::TempDir, Trouble> {
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&setting.directory)
        .map_err(|error| format!("no folder in {}: {error}", setting.directory.display()))
}
