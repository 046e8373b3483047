//! P4: an agenda of a million groups, and ten thousand that are due at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_core::schedule::{Agenda, Due, Missed, Repeats, Schedule};
use handover_core::{GroupId, Timestamp};
use handover_engine::{Happening, Options};

use crate::memory::resident_mib;
use crate::report::{Budget, Findings};
use crate::rotations::scratch;
use crate::world::{Fakes, World, groups, prompt, state};
use crate::{Setting, Trouble};

/// How many groups have a schedule.
const GROUPS: usize = 1_000_000;
/// The same for the tick that the other one is held against.
const FEW: usize = 1_000;
/// How many are due at once.
const AT_ONCE: usize = 10_000;
/// Ticks that are timed together: one alone is below what a clock can tell.
const TICKS: u32 = 100_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let mut found = Findings::default();
    let (many, at_once) = if setting.smoke { (10_000, 50) } else { (GROUPS, AT_ONCE) };
    let few = idle_tick(&mut agenda(FEW)?);
    let process = std::process::id();
    let (before, begun) = (resident_mib(process)?, Instant::now());
    let mut all = agenda(many)?;
    let filled = begun.elapsed();
    let each = (resident_mib(process)? - before) * 1_048_576.0 / many as f64;
    let more = idle_tick(&mut all);
    drop(all);
    let whats = format!("idle tick, {many} groups");
    found.compare("P4", (&whats, more, "µs"), (&format!("with {FEW} groups"), few), Budget::Max(50.0));
    found.figure("P4", ("memory of each group's place in the agenda, its name included", each, "B"), Some(300.0));
    found.figure(
        "P4",
        (&format!("computing when {many} groups are due, and listing them"), filled.as_secs_f64(), "s"),
        Some(3.0),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(due_at_once(setting, at_once, &mut found))?;
    Ok(found)
}

/// Groups with a daily interval, spread over the day, as a start makes it from their rows.
fn agenda(count: usize) -> Result<Agenda, Trouble> {
    let schedule = daily();
    let mut agenda = Agenda::default();
    for number in 0..count {
        let group = GroupId::parse(&format!("group-{number:07}")).map_err(|bad| bad.why.to_owned())?;
        let due: Option<Due> = schedule.due(&group, Timestamp(0), Timestamp(1));
        agenda.set(&group, due);
    }
    Ok(agenda)
}

/// What a look costs while nothing is due, in microseconds.
fn idle_tick(agenda: &mut Agenda) -> f64 {
    let begun = Instant::now();
    for tick in 0..TICKS {
        agenda.ripen(Timestamp(i64::from(tick % 1_000)));
        std::hint::black_box((agenda.take(), agenda.wake_at()));
    }
    begun.elapsed().as_secs_f64() * 1_000_000.0 / f64::from(TICKS)
}

fn daily() -> Schedule {
    let day = Duration::from_millis(DAY_MS.unsigned_abs());
    let repeats = Repeats::Every(day);
    Schedule { repeats, openings: None, spread: day, jitter: Duration::ZERO, missed: Missed::RunOnce }
}

/// All late at a start: from the first durable start of a rotation to the last.
async fn due_at_once(setting: &Setting, count: usize, found: &mut Findings) -> Result<(), Trouble> {
    let directory = scratch(setting)?;
    let path = directory.path().join("state.db");
    let groups = groups(count)?;
    let fakes = Fakes::of(&groups);
    let options = Options { calls_max: 2 * count, scheduled_max: count, ..Options::default() };
    let mut world = World::start(state(&path)?, prompt(&fakes)?, fakes.bindings()?, options.clone()).await?;
    world.rotate_all(&groups, 1).await?;
    world.stop().await?;
    // Whatever rotated is late after a millisecond, and not again before all is measured.
    let always = Schedule { repeats: Repeats::Every(Duration::from_millis(1)), spread: Duration::ZERO, ..daily() };
    let always = Arc::new(always);
    let bindings = fakes.bindings()?.into_iter();
    let bindings =
        bindings.map(|binding| handover_engine::Binding { schedule: Some(always.clone()), ..binding }).collect();
    let begun = Instant::now();
    let mut world = World::start(state(&path)?, prompt(&fakes)?, bindings, options).await?;
    let (mut started, mut first) = (HashSet::new(), None);
    while started.len() < count {
        let event = tokio::time::timeout(Duration::from_secs(120), world.events.recv()).await;
        let event = event.map_err(|_| format!("{} of {count} were started", started.len()))?;
        let event = event.map_err(|error| format!("events were missed: {error}"))?;
        if let Happening::Committed { .. } = event.happening {
            first.get_or_insert_with(Instant::now);
            started.insert(event.group);
        }
    }
    let whole = begun.elapsed().as_secs_f64();
    let spent = first.map_or(whole, |first| first.elapsed().as_secs_f64());
    let what = format!("from the first durable start of {count} that are due at once to the last");
    found.figure("P4", (&what, spent, "s"), Some(1.0));
    found.figure("P4", ("the same, from the start of the engine", whole, "s"), None);
    world.stop().await
}
