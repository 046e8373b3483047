//! The manager: an engine that runs, and what is asked of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_adapters::store::embedded::Embedded;
use handover_core::port::Sink;
use handover_core::schedule::Schedule;
use handover_core::{Fault, FaultKind, Generation, GroupId, Order, Outcome, Phase, Row};
use handover_engine::{Event, Handle, Rebind, RebindRefused, history};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::builder::Group;
use crate::presenter::{Presenter, Published};
use crate::report::{self, Ending, Report, RotateError};
use crate::statistics::Statistics;

/// Who orders, in the history, where the program does not say.
const ACTOR: &str = "program";

/// How often a row is looked at where no event tells of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Manages rotations. Dropped, it stops as if its process had died: nothing is lost, and the next start resumes.
pub struct Manager {
    engine: Handle,
    store: Embedded,
    groups: Mutex<HashMap<GroupId, Group>>,
    sinks: Vec<Arc<dyn Sink>>,
    drain: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("groups", &self.groups().keys()).finish_non_exhaustive()
    }
}

/// What came of that which was due.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Processed {
    /// Rotations that ended, or are held.
    pub reports: Vec<Report>,
    /// Groups whose rotation was due and was refused, with why. It is tried again, ever less often.
    pub refused: Vec<(GroupId, String)>,
}

impl Manager {
    pub(crate) fn new(
        engine: Handle,
        store: Embedded,
        groups: Vec<Group>,
        sinks: Vec<Arc<dyn Sink>>,
        drain: watch::Sender<bool>,
        task: JoinHandle<()>,
    ) -> Self {
        let groups = groups.into_iter().map(|group| (group.name.clone(), group)).collect();
        Self { engine, store, groups: Mutex::new(groups), sinks, drain, task }
    }

    /// Starts a rotation, and waits until it ended or is held. Dropped while it waits, the rotation goes on.
    ///
    /// It takes as long as its waits and its consumers: give it a limit of your own with `tokio::time::timeout`.
    pub async fn rotate(&self, group: &GroupId) -> Result<Report, RotateError> {
        let mut events = self.engine.events();
        let to = self.engine.rotate(group, ACTOR).await.map_err(RotateError::Refused)?;
        self.ended(group, to, &mut events).await.map_err(RotateError::Unseen)
    }

    /// Orders the way back of the live rotation, and waits until it ended or is held.
    ///
    /// `Conflict` where there is none, or none any more: after Destroy, rotate again.
    pub async fn roll_back(&self, group: &GroupId, reason: &str) -> Result<Report, Fault> {
        let mut events = self.engine.events();
        let row = self.engine.view(group).await?.row;
        let live = row.live().ok_or_else(|| conflict(format!("group {group} has no live rotation")))?;
        let to = live.to.generation;
        let ordered = self.engine.order(group, Order::Rollback, ACTOR, Some(reason.to_owned())).await;
        ordered.map_err(|refused| conflict(refused.to_string()))?;
        self.ended(group, to, &mut events).await
    }

    /// Has a group rotate by itself from now on, or not any more. Nothing durable changes: the same has to be said at the
    /// next start, with [`Group::schedule`]. When a rotation is due follows from when the last one started.
    ///
    /// `Missing` where there is no such group.
    pub async fn schedule(&self, group: &GroupId, schedule: Option<Schedule>) -> Result<(), Fault> {
        let known = self.groups().get(group).cloned();
        let known = known.ok_or_else(|| missing(format!("group {group} is not managed here")))?;
        let anew = known.scheduled(schedule);
        let binding = anew.bind(&self.store)?;
        let rebind =
            Rebind { bindings: vec![binding], removed: Vec::new(), at_rest: Vec::new(), sinks: self.sinks.clone() };
        self.engine.rebind(rebind).await.map_err(|refused| match refused {
            RebindRefused::Live(_) => conflict(refused.to_string()),
            RebindRefused::Fault(fault) => fault,
        })?;
        self.groups().insert(group.clone(), anew);
        Ok(())
    }

    /// Waits until every rotation that is live or due now has ended, is held, or was refused. Rotations start by themselves
    /// all the same: this is for programs that run now and then, and stop when all is done.
    pub async fn process_due(&self) -> Result<Processed, Fault> {
        let now = self.engine.now();
        let mut processed = Processed::default();
        for group in self.engine.groups() {
            let mut events = self.engine.events();
            loop {
                let row = self.engine.view(&group).await?.row;
                if let Some(live) = row.live() {
                    let report = self.ended(&group, live.to.generation, &mut events).await?;
                    processed.reports.push(report);
                    break;
                }
                let Some(seen) = self.engine.schedule(&group).await? else { break };
                if let Some(refused) = seen.refused {
                    processed.refused.push((group, refused.why.to_string()));
                    break;
                }
                // What started since it was asked has moved this on; what it came to is in the history.
                if seen.due.is_none_or(|due| due.start_at > now) {
                    if let Some(ended) = ended_since(&row, now) {
                        processed.reports.push(report::read(&self.engine, &group, ended.0, ended.1).await?);
                    }
                    break;
                }
                next(&mut events, &group).await?;
            }
        }
        Ok(processed)
    }

    /// Counts of what this process saw.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.engine)
    }

    /// What is published now; `None` before the first rotation. Nobody is recorded, and nobody waits for whoever looks. While
    /// waves are open one after the other, it is what those read who come last.
    pub async fn look(&self, group: &GroupId) -> Result<Option<Published>, Fault> {
        let Some(current) = self.store.read(group).await? else { return Ok(None) };
        let withheld = self.engine.withheld(group).await?;
        let own = self.store.own(group, None, current, withheld.as_deref()).await?;
        Ok(own.map(|current| Published::new(current, Vec::new())))
    }

    /// One who presents a group's credential, and is waited for.
    ///
    /// `Misconfigured` where the name is none.
    pub fn presenter(&self, group: &GroupId, consumer: &str) -> Result<Presenter, Fault> {
        Presenter::new(self.engine.clone(), self.store.clone(), group.clone(), consumer)
    }

    /// All the rest: holding, resuming, forcing, recovering, the plan, the history, the events.
    pub const fn engine(&self) -> &Handle {
        &self.engine
    }

    /// Takes up nothing new, lets running work finish within [`handover_engine::Options::drain_limit`], and closes. What is
    /// unfinished resumes at the next start.
    pub async fn stop(mut self) {
        self.drain.send_replace(true);
        // A panic in there was told where it happened.
        let _ = (&mut self.task).await;
    }

    /// Waits until the rotation to this generation ended or is held.
    async fn ended(
        &self,
        group: &GroupId,
        to: Generation,
        events: &mut broadcast::Receiver<Event>,
    ) -> Result<Report, Fault> {
        loop {
            let row = self.engine.view(group).await?.row;
            if let Some(ending) = ending(&row, to)? {
                return report::read(&self.engine, group, to, ending).await;
            }
            next(events, group).await?;
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<GroupId, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until something happened to the group, or for a while: events are a hint, and some may be missed.
async fn next(events: &mut broadcast::Receiver<Event>, group: &GroupId) -> Result<(), Fault> {
    let about = async {
        loop {
            match events.recv().await {
                Ok(event) if event.group == *group => return Ok(()),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Ok(()),
                Err(RecvError::Closed) => return Err(stopped()),
            }
        }
    };
    tokio::time::timeout(LOOK_EVERY, about).await.unwrap_or(Ok(()))
}

/// How the rotation to this generation stands, if it is not waited for any longer.
fn ending(row: &Row, to: Generation) -> Result<Option<Ending>, Fault> {
    let Some(rotation) = row.rotation.as_ref().filter(|rotation| rotation.to.generation == to) else {
        return Err(conflict(format!("another rotation of group {} has started since", row.group)));
    };
    Ok(match (&rotation.phase, &rotation.hold) {
        (Phase::Done(outcome), _) => Some(outcome_of(*outcome)),
        (_, Some(hold)) => Some(Ending::Held { why: history::hold_words(hold) }),
        (_, None) => None,
    })
}

/// The rotation that started at or after `since` and ended, if the row's last one did.
fn ended_since(row: &Row, since: handover_core::Timestamp) -> Option<(Generation, Ending)> {
    let rotation = row.rotation.as_ref()?;
    let Phase::Done(outcome) = rotation.phase else { return None };
    (row.cadence.since? >= since).then(|| (rotation.to.generation, outcome_of(outcome)))
}

const fn outcome_of(outcome: Outcome) -> Ending {
    match outcome {
        Outcome::Success => Ending::Success,
        Outcome::RolledBack => Ending::RolledBack,
        Outcome::Abandoned => Ending::Failed,
    }
}

fn conflict(words: String) -> Fault {
    Fault::untouched(FaultKind::Conflict, words)
}

fn missing(words: String) -> Fault {
    Fault::untouched(FaultKind::Missing, words)
}

fn stopped() -> Fault {
    Fault::untouched(FaultKind::Unreachable, "the engine has stopped; what is unfinished resumes at the next start")
}
