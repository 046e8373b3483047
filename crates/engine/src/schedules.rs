//! Starting what is due by schedule: the same start as one that a person orders, at a time that follows from durable
//! facts. A process that starts finds what it missed; that it started is no reason for anything.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_core::schedule::{Agenda, Due, Opening, Schedule};
use handover_core::{Fault, FaultKind, GroupId, Row, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::call::caught;
use crate::handle::{Handle, StartRefused};
use crate::history;
use crate::service::Binding;
use crate::shared::Shared;
use crate::telemetry;

/// How long the wall clock is believed: it may jump, and then the next due time is nearer or farther than it was.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The first wait after a start that was refused. Later ones double.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The longest such wait.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What is due, and what was refused.
#[derive(Default)]
pub(crate) struct Schedules {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    agenda: Agenda,
    /// Groups whose start is being tried.
    starting: usize,
    refused: HashMap<GroupId, Refused>,
    /// Groups whose row has to be read: their binding is new.
    unread: Vec<GroupId>,
}

/// A start that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When it was tried last.
    pub at: Timestamp,
    /// When it is tried again.
    pub again_at: Timestamp,
    /// For when it was planned.
    pub planned_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why it was refused.
    pub why: StartRefused,
}

/// How a group's schedule stands.
#[derive(Clone, Debug)]
pub struct ScheduleSeen {
    /// The schedule.
    pub schedule: Arc<Schedule>,
    /// Whether a person paused it.
    pub paused: bool,
    /// Whether a rotation is live: what is due waits for its end.
    pub live: bool,
    /// From when the next rotation is counted; `None`: nothing is in force yet.
    pub since: Option<Timestamp>,
    /// The next rotation; `None`: none is planned, or it waits for a person.
    pub due: Option<Due>,
    /// Why the last start was refused, if it was.
    pub refused: Option<Refused>,
    /// Whether a window is open.
    pub opening: Opening,
}

/// How schedules stand as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SchedulesSeen {
    /// Groups that have a next rotation.
    pub planned: usize,
    /// Groups that may start and have not.
    pub late: usize,
    /// For when the most late of them was planned.
    pub late_since: Option<Timestamp>,
}

impl Schedules {
    /// A row was committed or read. What follows for its group's schedule follows from the row alone.
    pub(crate) fn stands(&self, shared: &Shared, row: &Row) {
        let due = shared.binding(&row.group).and_then(|binding| next(&binding, row, shared.now()));
        let mut inner = self.lock();
        // Under the lock: whoever commits a later row comes here after it is known.
        if shared.numbers.knows_later(row) {
            return;
        }
        if row.live().is_some() {
            inner.refused.remove(&row.group);
        }
        if inner.agenda.due(&row.group) == due {
            return;
        }
        inner.agenda.set(&row.group, due);
        drop(inner);
        self.news.notify_one();
    }

    /// These groups are bound anew, or not any more.
    pub(crate) fn rebound(&self, anew: &[GroupId], removed: &[GroupId]) {
        let mut inner = self.lock();
        for group in removed {
            inner.agenda.set(group, None);
            inner.refused.remove(group);
        }
        inner.unread.extend(anew.iter().cloned());
        drop(inner);
        self.news.notify_one();
    }

    /// All rows are read again, because time is not what it was.
    pub(crate) fn reread(&self, shared: &Shared) {
        let bound = shared.bindings();
        let scheduled = bound.values().filter(|binding| binding.schedule.is_some());
        let unread: Vec<_> = scheduled.map(|binding| binding.group.clone()).collect();
        self.lock().unread = unread;
        self.news.notify_one();
    }

    pub(crate) fn refused(&self, group: &GroupId) -> Option<Refused> {
        self.lock().refused.get(group).cloned()
    }

    pub(crate) fn seen(&self) -> SchedulesSeen {
        let inner = self.lock();
        let (late, late_since) = inner.agenda.late();
        SchedulesSeen { planned: inner.agenda.len(), late, late_since }
    }

    /// Takes what may start now, the most late first, as far as there is room beside `live` rotations.
    fn take(&self, now: Timestamp, live: usize, most: usize) -> Vec<(GroupId, Due)> {
        let mut inner = self.lock();
        inner.agenda.ripen(now);
        let room = most.saturating_sub(live + inner.starting);
        let taken: Vec<_> = std::iter::from_fn(|| inner.agenda.take()).take(room).collect();
        inner.starting += taken.len();
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group's next rotation: none while one is live, while a person paused it, and before there is anything in force.
fn next(binding: &Binding, row: &Row, now: Timestamp) -> Option<Due> {
    if row.live().is_some() || row.cadence.paused {
        return None;
    }
    binding.schedule.as_ref()?.due(&row.group, row.counted_from()?, now)
}

/// Starts what is due, for as long as the engine runs. May be dropped at any await: a start that is cut off is either
/// durable or tried again.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    starts: JoinSet<(GroupId, Due, Result<(), StartRefused>)>,
}

impl Scheduler {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.schedules.reread(shared);
        Self { shared: Arc::clone(shared), starts: JoinSet::new() }
    }

    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            let mut wait = LOOK_EVERY;
            if !self.shared.lease_doubted() {
                match self.read().await {
                    Ok(()) => wait = self.start_due().min(wait),
                    Err(fault) => {
                        tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::STATE_FAILED);
                    }
                }
            }
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                () = shared.schedules.news.notified() => {}
                Some(started) = self.starts.join_next() => self.started(started).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reads the rows of groups that are bound anew, all of them before anything starts: only who knows all knows which is
    /// the most late.
    async fn read(&self) -> Result<(), Fault> {
        loop {
            let Some(group) = self.shared.schedules.lock().unread.last().cloned() else { return Ok(()) };
            let row = self.shared.load(&group).await?.map(|loaded| loaded.row.into_inner());
            self.shared.schedules.stands(&self.shared, &row.unwrap_or_else(|| Row::new(group.clone())));
            let mut inner = self.shared.schedules.lock();
            if let Some(at) = inner.unread.iter().rposition(|other| *other == group) {
                inner.unread.swap_remove(at);
            }
        }
    }

    /// Starts what may start. How long until the next one may.
    fn start_due(&mut self) -> Duration {
        let shared = &self.shared;
        let now = shared.now();
        let live = shared.numbers.moving().saturating_sub(shared.asking());
        for (group, due) in shared.schedules.take(now, live, shared.options.scheduled_max) {
            let shared = Arc::clone(shared);
            self.starts.spawn(async move {
                let started = caught(start(&shared, &group, due)).await.unwrap_or_else(|| Err(panicked()));
                (group, due, started)
            });
        }
        shared.schedules.lock().agenda.wake_at().map_or(LOOK_EVERY, |at| at.since(now))
    }

    /// A start was made or refused.
    async fn started(&self, ended: Result<(GroupId, Due, Result<(), StartRefused>), tokio::task::JoinError>) {
        let (shared, now) = (&self.shared, self.shared.now());
        // A task ends without an answer only when it is aborted, which happens at an end.
        let Ok((group, due, started)) = ended else { return };
        let first = {
            let mut inner = shared.schedules.lock();
            inner.starting = inner.starting.saturating_sub(1);
            let Err(why) = &started else { return };
            let before = inner.refused.get(&group).filter(|before| before.planned_at == due.planned_at);
            let tries = before.map_or(0, |before| before.tries) + 1;
            let again_at = now.after(again_after(tries));
            let planned_at = due.planned_at;
            let first = before.is_none_or(|before| before.why != *why);
            inner.refused.insert(group.clone(), Refused { at: now, again_at, planned_at, tries, why: why.clone() });
            inner.agenda.set(&group, Some(Due { start_at: again_at, ..due }));
            first
        };
        if let (true, Err(why)) = (first, started) {
            tracing::warn!(%group, %why, "{}", telemetry::NOT_STARTED);
            shared.append(&group, history::not_started(due.planned_at, &why, now)).await;
        }
    }
}

/// Starts one rotation, unless the world is another one by now.
async fn start(shared: &Arc<Shared>, group: &GroupId, due: Due) -> Result<(), StartRefused> {
    let now = shared.now();
    let Some(binding) = shared.binding(group) else { return Ok(()) };
    let row = shared.load(group).await.map_err(StartRefused::Fault)?.map(|loaded| loaded.row.into_inner());
    let row = row.unwrap_or_else(|| Row::new(group.clone()));
    // Somebody started, paused or adopted meanwhile, or a window closed: what follows from the row as it is now counts.
    let still = next(&binding, &row, now).is_some_and(|next| next.planned_at == due.planned_at && next.start_at <= now);
    if !still {
        shared.schedules.stands(shared, &row);
        return Ok(());
    }
    Handle::new(Arc::clone(shared)).rotate_by_schedule(group).await.map(drop)
}

fn panicked() -> StartRefused {
    StartRefused::Fault(Fault::unknown(FaultKind::Bug, "the engine panicked on this start"))
}

fn again_after(tries: u32) -> Duration {
    AGAIN_AFTER.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(AGAIN_AFTER_MAX)
}

impl Handle {
    /// How a group's schedule stands; `None` if it has none.
    pub async fn schedule(&self, group: &GroupId) -> Result<Option<ScheduleSeen>, Fault> {
        let Some(binding) = self.binding(group) else { return Ok(None) };
        let Some(schedule) = binding.schedule.clone() else { return Ok(None) };
        let loaded = self.shared.load(group).await?;
        let row = loaded.map_or_else(|| Row::new(group.clone()), |loaded| loaded.row.into_inner());
        Ok(Some(self.schedule_of(schedule, &row)))
    }

    /// The same, as it follows from a row.
    pub fn schedule_of(&self, schedule: Arc<Schedule>, row: &Row) -> ScheduleSeen {
        let now = self.shared.now();
        let since = row.counted_from();
        let due = if row.cadence.paused { None } else { since.and_then(|since| schedule.due(&row.group, since, now)) };
        ScheduleSeen {
            paused: row.cadence.paused,
            live: row.live().is_some(),
            since,
            due,
            refused: self.shared.schedules.refused(&row.group),
            opening: schedule.opening(now),
            schedule,
        }
    }

    /// The schedule that a group is bound to.
    pub fn bound_schedule(&self, group: &GroupId) -> Option<Arc<Schedule>> {
        self.binding(group)?.schedule.clone()
    }

    /// What time it is, by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// How schedules stand as a whole.
    pub fn schedules(&self) -> SchedulesSeen {
        self.shared.schedules.seen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_start_is_tried_ever_less_often() {
        let waits: Vec<u64> = [1, 2, 3, 6, 7, 60].map(|tries| again_after(tries).as_secs()).to_vec();
        assert_eq!(waits, [60, 120, 240, 1_920, 3_600, 3_600]);
    }
}
