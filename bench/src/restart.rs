//! P13: how long after a SIGKILL with rotations in flight the engine acts again.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use handover_core::port::StateStore;
use handover_core::{GroupId, Phase, Timestamp};
use handover_engine::Options;
use tokio::sync::Notify;

use crate::report::{Budget, Findings};
use crate::rotations::scratch;
use crate::world::{Fakes, Presenter, World, groups, state, words};
use crate::{Setting, Trouble, ourselves};

const LIMIT: Duration = Duration::from_secs(300);

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let count = if setting.smoke { 50 } else { 10_000 };
    let directory = scratch(setting)?;
    let path = directory.path().join("state.db");
    let (mut first, mut said) = engine(&path, count, true)?;
    expect(&mut said, "in flight")?;
    kill(&mut first);

    let start = Instant::now();
    let (mut second, mut said) = engine(&path, count, false)?;
    let opened: f64 = expect(&mut said, "opened")?;
    expect(&mut said, "effect")?;
    let effect = start.elapsed().as_secs_f64();
    expect(&mut said, "all")?;
    let all = start.elapsed().as_secs_f64();
    kill(&mut second);

    let reading = reading(&path, count)?;
    let mut found = Findings::default();
    let what = format!("from the start after SIGKILL with {count} in flight to the first effect");
    found.compare("P13", (&what, effect, "s"), ("reading those rows from the state", reading), Budget::Max(1.0));
    found.figure("P13", ("from the start to an effect of each of them", all, "s"), None);
    found.figure("P13", ("of that, until the state was open and the lease taken", opened, "s"), None);
    found.note("the effect is the roll call that each waited in when it was killed, after its record was compared with target and store");
    Ok(found)
}

/// Loads each unfinished row once, in a process that does nothing else.
fn reading(path: &Path, count: usize) -> Result<f64, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let start = Instant::now();
    let state = state(path)?;
    runtime.block_on(async {
        let (due, _) = state.due(Timestamp(i64::MAX), usize::MAX).await.map_err(words)?;
        let mut work = tokio::task::JoinSet::new();
        for group in due {
            let state = Arc::clone(&state);
            work.spawn(async move { state.load(&group).await });
        }
        let mut loaded = 0;
        while let Some(row) = work.join_next().await {
            loaded += usize::from(row.map_err(|error| error.to_string())?.map_err(words)?.is_some());
        }
        if loaded == count { Ok(start.elapsed().as_secs_f64()) } else { Err(format!("{loaded} rows of {count}")) }
    })
}

fn engine(path: &Path, count: usize, start: bool) -> Result<(Child, BufReader<ChildStdout>), Trouble> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(ourselves()?).arg("engine");
    command.arg("--path").arg(path).args(["--groups", &count.to_string()]);
    if start {
        command.arg("--start");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("the engine could not be started: {error}"))?;
    let said = child.stdout.take().ok_or("the engine has no output")?;
    Ok((child, BufReader::new(said)))
}

fn kill(child: &mut Child) {
    // An error means that it has ended already, which the wait finds.
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits for a line that begins so; the number after it.
fn expect(said: &mut BufReader<ChildStdout>, word: &str) -> Result<f64, Trouble> {
    let mut line = String::new();
    let read = said.read_line(&mut line).map_err(|error| format!("the engine cannot be heard: {error}"))?;
    let number = line.trim().strip_prefix(word).and_then(|rest| rest.trim().parse().ok());
    number.ok_or_else(|| format!("the engine said {line:?} ({read} bytes) instead of {word:?}"))
}

/// An engine whose consumers never answer.
#[derive(Args)]
pub(crate) struct Engine {
    #[arg(long)]
    path: PathBuf,
    #[arg(long)]
    groups: usize,
    /// Start a rotation of each.
    #[arg(long)]
    start: bool,
}

impl Engine {
    /// Works until it is killed.
    pub(crate) fn run(self) -> Result<(), Trouble> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(self.work())
    }

    async fn work(self) -> Result<(), Trouble> {
        let start = Instant::now();
        let groups = groups(self.groups)?;
        let fakes = Fakes::of(&groups);
        let asked = Arc::new(Asked::default());
        let counting = Arc::clone(&asked);
        let silent = Arc::new(Presenter::new(move |group: &GroupId| {
            counting.by(group);
            None
        })?);
        let state = state(&self.path)?;
        let world = World::start(state.clone(), silent, fakes.bindings()?, Options::default()).await?;
        if self.start {
            let mut starting = tokio::task::JoinSet::new();
            for group in &groups {
                let (handle, group) = (world.handle.clone(), group.clone());
                starting.spawn(async move { handle.rotate(&group, "bench").await });
            }
            while let Some(started) = starting.join_next().await {
                started.map_err(|error| error.to_string())?.map_err(|refused| refused.to_string())?;
            }
            asked.until(self.groups).await?;
            in_flight(&*state, &groups).await?;
            say("in flight", self.groups as f64)?;
        } else {
            say("opened", start.elapsed().as_secs_f64())?;
            asked.until(1).await?;
            say("effect", start.elapsed().as_secs_f64())?;
            asked.until(self.groups).await?;
            say("all", start.elapsed().as_secs_f64())?;
        }
        std::future::pending().await
    }
}

/// All rotations must be where they are said to be: in Propagate.
async fn in_flight(state: &dyn StateStore, groups: &[GroupId]) -> Result<(), Trouble> {
    for group in groups {
        let loaded = state.load(group).await.map_err(words)?;
        let phase = loaded.as_ref().and_then(|loaded| loaded.row.live()).map(|live| &live.phase);
        if !matches!(phase, Some(Phase::Propagate { .. })) {
            return Err(format!("{group} is not in flight: {phase:?}"));
        }
    }
    Ok(())
}

fn say(word: &str, number: f64) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {number}").and_then(|()| out.flush()).map_err(|error| format!("nobody listens: {error}"))
}

/// How many groups have called their presenter, which never loads anything.
#[derive(Default)]
struct Asked {
    groups: Mutex<HashSet<GroupId>>,
    more: Notify,
}

impl Asked {
    fn by(&self, group: &GroupId) {
        if self.groups().insert(group.clone()) {
            self.more.notify_one();
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashSet<GroupId>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, count: usize) -> Result<(), Trouble> {
        let limit = tokio::time::Instant::now() + LIMIT;
        loop {
            let more = self.more.notified();
            let asked = self.groups().len();
            if asked >= count {
                return Ok(());
            }
            tokio::time::timeout_at(limit, more).await.map_err(|_| format!("{asked} of {count} asked"))?;
        }
    }
}
