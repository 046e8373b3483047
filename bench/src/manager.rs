//! The manager inside a program: how long a rotation takes at a slow target, and ten that are due at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_manager::schedule::{Missed, Repeats, Schedule};
use handover_manager::{Builder, Group, GroupId, Manager, MasterKey};
use handover_testkit::fake::{FakeTarget, Injection, Script};

use crate::report::{Budget, Findings};
use crate::rotations::scratch;
use crate::world::words;
use crate::{Setting, Trouble};

/// How long the target takes for each call.
const LATENCY: Duration = Duration::from_millis(50);
/// How many are due at once.
const DUE: usize = 10;
/// The calls of the target that a rotation makes.
const CALLS: [&str; 7] = [
    "target.preflight",
    "target.create",
    "target.probe",
    "target.verify",
    "target.observe",
    "target.disable",
    "target.destroy",
];

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(rotations(setting))
}

async fn rotations(setting: &Setting) -> Result<Findings, Trouble> {
    let directory = scratch(setting)?;
    let manager = manager(directory.path()).await?;
    let rounds = if setting.smoke { 1 } else { 10 };
    let (mut alone, mut together) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        alone += due(&manager, 1).await?;
        together += due(&manager, DUE).await?;
    }
    let (alone, together) = (alone / rounds, together / rounds);
    manager.stop().await;
    let mut found = Findings::default();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let what = format!("{DUE} rotations that are due at once, target with {} ms a call", LATENCY.as_millis());
    found.compare("ROT", (&what, ms(together), "ms"), ("one of them", ms(alone)), Budget::RatioMax(1.5));
    let rate = DUE as f64 / together.as_secs_f64();
    found.figure("ROT", ("rotations by schedule at such a target, ten at a time", rate, "/s"), None);
    found.note(format!(
        "a rotation waits for the target {} times in a row at least; no quiet time, no brake, one round of verification",
        ms(alone) as u64 / ms(LATENCY) as u64
    ));
    Ok(found)
}

/// Each group at a target of its own, none scheduled yet, all with a first generation.
async fn manager(directory: &std::path::Path) -> Result<Manager, Trouble> {
    let key = MasterKey::create(&directory.join("master.key")).map_err(words)?;
    let mut builder = Builder::new(directory, key);
    for name in names(DUE)? {
        let script = Script::default();
        for call in CALLS {
            script.always(call, Injection::Delay(LATENCY));
        }
        let target = FakeTarget::new(&script, handover_manager::target::Slots::Fixed(2));
        builder = builder.group(Group::new(name, Arc::new(target)).policy(|policy| {
            policy.passes_min = 1;
            policy.quiet_min = Duration::from_millis(1);
            policy.brake_for = Duration::ZERO;
            policy.poll = Duration::from_millis(2);
        }));
    }
    let manager = builder.start().await.map_err(words)?;
    for name in names(DUE)? {
        manager.rotate(&name).await.map_err(|error| error.to_string())?;
    }
    Ok(manager)
}

/// So many groups fall due, and are rotated by schedule: how long it takes until all of them ended.
async fn due(manager: &Manager, count: usize) -> Result<Duration, Trouble> {
    let daily = |every| Schedule {
        repeats: Repeats::Every(every),
        openings: None,
        spread: Duration::ZERO,
        jitter: Duration::ZERO,
        missed: Missed::RunOnce,
    };
    let (names, before) = (names(count)?, manager.statistics());
    let start = Instant::now();
    for name in &names {
        manager.schedule(name, Some(daily(Duration::from_millis(1)))).await.map_err(words)?;
    }
    // Once started, the next one would be due at once: it is taken back.
    while manager.statistics().started - before.started < count as u64 {
        tokio::task::yield_now().await;
    }
    for name in &names {
        manager.schedule(name, None).await.map_err(words)?;
    }
    manager.process_due().await.map_err(words)?;
    let took = start.elapsed();
    let succeeded = manager.statistics().succeeded - before.succeeded;
    if succeeded != count as u64 {
        return Err(format!("{succeeded} of {count} succeeded"));
    }
    Ok(took)
}

fn names(count: usize) -> Result<Vec<GroupId>, Trouble> {
    (0..count).map(|number| GroupId::parse(&format!("due-{number}")).map_err(|bad| bad.why.to_owned())).collect()
}
