//! The work on one group: load, derive, perform, fold, commit; again until it has to wait.

use std::sync::Arc;
use std::time::Duration;

use handover_core::port::{Commit, Committed, Entry, Loaded};
use handover_core::schedule::{Opening, needs_opening};
use handover_core::{
    Candidate, Effect, Fact, Fault, FaultKind, Generation, GroupId, Occupant, Outcome, Phase, Plan, Row, RowVersion,
    Seen, Stretch, Timestamp, Touched, Violation, Wants, advance, check, retry_at, wants,
};
use handover_secret::Secret;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use crate::approve::plan_digest;
use crate::execute::{Executor, Learnt};
use crate::handle::{Handle, StartRefused};
use crate::history;
use crate::memory::{Done, Memory, same_phase};
use crate::queue::Wake;
use crate::service::Binding;
use crate::shared::Shared;
use crate::telemetry;

/// How many rounds are made in one go before other groups get their turn. A whole rotation needs about ten.
const ROUNDS_MAX: u32 = 64;

/// How soon a row is read again that somebody else has moved.
const RETRY_LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long the wall clock is believed while an attempt more is waited for.
const RETRY_LOOK_EVERY: Duration = Duration::from_secs(60);

/// When a group is due again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Not before somebody wakes it.
    Idle,
    /// At this time.
    At(Instant),
}

/// Works on a group until it has to wait.
pub(crate) async fn drive(
    shared: &Arc<Shared>,
    group: &GroupId,
    memory: &mut Memory,
    wake: Option<Wake>,
    drain: &watch::Receiver<bool>,
) -> Next {
    if let Some(wake) = wake {
        memory.woken(wake);
    }
    let span = tracing::debug_span!(telemetry::SPAN_DRIVE, %group);
    async {
        let mut drive = Drive { shared, group, memory };
        let mut loaded = None;
        for _ in 0..ROUNDS_MAX {
            // What is not taken up while draining stays due in the durable row.
            if *drain.borrow() || shared.lease_doubted() {
                break;
            }
            // The lease may have been taken anew meanwhile: then the row is compared before anything else is done on it.
            let current = match loaded.take().filter(|_| shared.is_compared(group)) {
                Some(current) => current,
                None => match drive.load().await {
                    Ok(current) => current,
                    Err(next) => return next,
                },
            };
            match drive.round(current).await {
                Round::Again(current) => loaded = current.map(|current| *current),
                Round::Wait(next) => return next,
            }
        }
        Next::At(Instant::now())
    }
    .instrument(span)
    .await
}

/// A group's committed row, its plan and its binding.
pub(crate) struct Current {
    pub(crate) row: Committed<Row>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) binding: Arc<Binding>,
}

enum Round {
    /// Another round at once: on this row, or on what the state store says.
    Again(Option<Box<Current>>),
    Wait(Next),
}

struct Drive<'a> {
    shared: &'a Arc<Shared>,
    group: &'a GroupId,
    memory: &'a mut Memory,
}

impl Drive<'_> {
    async fn load(&mut self) -> Result<Current, Next> {
        if let Some(wake) = self.shared.queue.acknowledge(self.group) {
            self.memory.woken(wake);
        }
        let loaded = match self.shared.load(self.group).await {
            Ok(loaded) => loaded,
            Err(fault) => return Err(self.failed("load", &fault)),
        };
        let Some(Loaded { row, plan }) = loaded else { return Err(Next::Idle) };
        if row.live().is_none() {
            return Err(self.retry(&row).await);
        }
        let Some(binding) = self.shared.binding(self.group) else {
            tracing::warn!(group = %self.group, "{}", telemetry::UNBOUND);
            return Err(Next::Idle);
        };
        let Some(plan) = plan else {
            let fault = Fault::untouched(FaultKind::Corrupt, "the rotation is stored without its plan");
            return Err(self.parked("load", &fault));
        };
        let broken = check(&row, &plan);
        if !broken.is_empty() {
            return Err(self.violated(row.version, broken).await);
        }
        if !self.shared.is_compared(self.group) {
            // As after a start: what was done may have been done elsewhere.
            self.memory.forget();
            self.compare(&row, &binding).await?;
        }
        let handle = Handle::new(Arc::clone(self.shared));
        match handle.plan_again(&row, &plan, &binding).await {
            None => {}
            Some(Ok(())) => return Err(Next::At(Instant::now())),
            Some(Err(fault)) => return Err(self.failed("plan", &fault)),
        }
        self.memory.loaded(&row);
        Ok(Current { row, plan: Arc::new(plan), binding })
    }

    /// Starts what failed once more, if that is due.
    async fn retry(&mut self, row: &Row) -> Next {
        let (now, instant) = (self.shared.now(), Instant::now());
        let binding = self.shared.binding(self.group);
        let Some(at) = binding.as_ref().and_then(|binding| retry_at(row, &binding.policy)) else { return Next::Idle };
        let closed = binding.and_then(|binding| match binding.schedule.as_ref()?.opening(now) {
            Opening::Open { .. } => None,
            Opening::Closed { until } => Some(until.map_or(RETRY_LOOK_EVERY, |until| until.since(now))),
        });
        let wait = at.since(now).max(closed.unwrap_or_default());
        if !wait.is_zero() {
            // The wall clock may jump: it is believed for so long.
            return Next::At(instant + wait.min(RETRY_LOOK_EVERY));
        }
        if let Some(until) = self.memory.backoff.until(instant) {
            return Next::At(until);
        }
        let handle = Handle::new(Arc::clone(self.shared));
        // What failed in a campaign is the campaign's: it holds, or undoes.
        if !matches!(handle.campaign_of(self.group).await, Ok(None)) {
            return Next::At(instant + RETRY_LOOK_EVERY);
        }
        match handle.rotate_again(self.group).await {
            Ok(_) => {
                self.memory.backoff.reset();
                Next::At(Instant::now())
            }
            // Somebody else was faster, or the row is another one by now.
            Err(StartRefused::Refused(_) | StartRefused::NothingWaits | StartRefused::Waits) => {
                Next::At(instant + RETRY_LOOK_AGAIN)
            }
            Err(StartRefused::Fault(fault)) => self.parked("retry", &fault),
            Err(
                why @ (StartRefused::UnknownGroup(_)
                | StartRefused::Breaks(_)
                | StartRefused::Obstacles(_)
                | StartRefused::ReasonMissing
                | StartRefused::ReasonTooLong
                | StartRefused::OtherRequest),
            ) => self.parked("retry", &Fault::untouched(FaultKind::Misconfigured, why.to_string())),
        }
    }

    /// Looks, before anything is done on a row that this process found, whether the world is of the row's time: a state
    /// that was set back would mint a second value for a generation that is in use.
    async fn compare(&mut self, row: &Committed<Row>, binding: &Binding) -> Result<(), Next> {
        match self.shared.doubt(binding, row).await {
            Ok(None) => {
                self.shared.compared(binding);
                Ok(())
            }
            Ok(Some(doubt)) => match self.shared.commit_doubt(row, doubt).await {
                Ok(()) => Err(Next::Idle),
                // Somebody moved the row: what spoke against it was theirs.
                Err(fault) => Err(self.failed("commit", &fault)),
            },
            Err(fault) => Err(self.failed("compare", &fault)),
        }
    }

    /// One round: perform what is due, fold what was learnt, commit once.
    async fn round(&mut self, current: Current) -> Round {
        let (now, instant) = (self.shared.now(), Instant::now());
        let wants = wants(&current.row, &current.plan, now);
        let Some(to) = current.row.live().map(|live| live.to) else { return Round::Wait(Next::Idle) };
        let due = match self.due(&current, to, &wants, instant) {
            Ok(due) => due,
            // The deadline goes on while everything else waits.
            Err(next) => return self.tick(current, next, now).await,
        };
        let mut work = Work::default();
        for effect in due {
            // The row was changed by a person, or somebody else is in charge: what else the row wants is not wanted.
            if self.shared.queue.changed(self.group) || self.shared.lease_doubted() {
                break;
            }
            if work.target_failed && matches!(effect, Effect::Login { .. }) {
                continue;
            }
            self.perform(&current, to, effect, &mut work).await;
        }
        if self.moved(&current, &work).await {
            return Round::Again(None);
        }
        if work.setback {
            self.shared.numbers.setback();
            self.memory.backoff.failed(&self.shared.options, Instant::now());
        }
        self.settle(current, work).await
    }

    /// What to do now, or when there will be something to do.
    fn due<'w>(
        &self,
        current: &Current,
        to: Occupant,
        wants: &'w Wants,
        now: Instant,
    ) -> Result<Vec<&'w Effect>, Next> {
        if wants.effects.is_empty() && wants.wake_at.is_none() {
            return Err(Next::Idle);
        }
        let poll = current.plan.poll;
        if let Some(until) = self.memory.backoff.until(now) {
            return Err(Next::At(until));
        }
        let when = |effect: &Effect| self.memory.due(&Done::of(effect, effect.id(self.group, to)), poll, now);
        let due: Vec<_> = wants.effects.iter().filter(|effect| when(effect) <= now).collect();
        if due.is_empty() {
            let next = wants.effects.iter().map(when).min().unwrap_or(now + poll);
            return Err(Next::At(next.min(now + poll)));
        }
        Ok(due)
    }

    async fn perform(&mut self, current: &Current, to: Occupant, effect: &Effect, work: &mut Work) {
        let id = effect.id(self.group, to);
        let done = Done::of(effect, id.clone());
        let executor = Executor { shared: self.shared, current, to };
        let probe_first = !effect.is_look() && self.memory.must_probe(&id);
        let span = tracing::debug_span!(telemetry::SPAN_EFFECT, effect = effect.kind(), probe_first);
        let learnt = executor.perform(effect, &id, probe_first).instrument(span).await;
        let Learnt { fact, sealed, entries, fault, setback, doubtful } = learnt;
        self.shared.numbers.effect(effect.kind(), fault.as_ref());
        if let Some(fault) = &fault {
            self.shared.note(self.group, effect.kind(), fault);
        }
        if !effect.is_look() {
            self.memory.outcome(id, doubtful);
        }
        if fault.is_none() {
            self.memory.performed(done, Instant::now());
        }
        work.setback |= setback;
        work.fenced |= fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Fenced);
        work.target_failed |= fault.is_some() && matches!(effect, Effect::EnsureAccepted { .. });
        work.sealed = work.sealed.take().or(sealed);
        work.entries.extend(entries);
        work.facts.extend(fact.map(|fact| Seen { now: self.shared.now(), fact }));
    }

    /// Whether the row moved under our hands, as far as we can tell without trying to commit.
    async fn moved(&mut self, current: &Current, work: &Work) -> bool {
        if self.shared.queue.changed(self.group) {
            self.memory.forget();
            return true;
        }
        if !work.fenced {
            return false;
        }
        // The target bears a higher mark. If the row moved on, somebody else is in charge; if not, the target is ahead
        // of our own record, which is a fault like any other.
        match self.shared.load(self.group).await {
            Ok(Some(loaded)) if loaded.row.version == current.row.version => false,
            Ok(_) => {
                tracing::warn!(group = %self.group, "{}", telemetry::FENCED);
                self.memory.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Folds facts into the row and commits what comes of it.
    async fn settle(&mut self, current: Current, work: Work) -> Round {
        let Work { mut facts, sealed, entries, setback, .. } = work;
        if facts.is_empty() {
            facts.push(Seen { now: self.shared.now(), fact: Fact::Tick });
        }
        let (noted, mut fold) = (entries.len(), Fold { row: Row::clone(&current.row), entries });
        for seen in &facts {
            if fold.learn(&current.plan, seen) {
                break;
            }
        }
        let fold = self.park(&current, &facts, noted, fold);
        let broken = check(&fold.row, &current.plan);
        if !broken.is_empty() {
            return Round::Wait(self.violated(fold.row.version, broken).await);
        }
        if fold.row.version == current.row.version {
            for entry in fold.entries {
                self.shared.append(self.group, entry).await;
            }
            return Round::Again(Some(Box::new(current)));
        }
        if !setback || !same_phase(&current.row, &fold.row) {
            self.memory.backoff.reset();
        }
        self.commit(current, fold, sealed).await
    }

    /// Leaves a rotation where both generations are valid, if the next step takes one away and no window is open: then only
    /// faults are learnt of this round. The rest is learnt again at the next look: waiting for a window is no waiting of the phase.
    fn park(&mut self, current: &Current, facts: &[Seen], noted: usize, fold: Fold) -> Fold {
        let schedule = current.binding.schedule.as_ref();
        let Some(schedule) = schedule.filter(|_| needs_opening(&current.row, &fold.row)) else { return fold };
        let now = self.shared.now();
        let Opening::Closed { until } = schedule.opening(now) else { return fold };
        let mut parked = Fold { row: Row::clone(&current.row), entries: fold.entries };
        parked.entries.truncate(noted);
        for seen in facts.iter().filter(|seen| matches!(seen.fact, Fact::Fault { .. })) {
            parked.learn(&current.plan, seen);
        }
        if !self.memory.parked
            && let Some(live) = current.row.live()
        {
            tracing::info!(group = %self.group, "{}", telemetry::PARKED);
            parked.entries.push(history::parked(live, until, now));
        }
        self.memory.parked = true;
        parked
    }

    async fn commit(&mut self, current: Current, fold: Fold, sealed: Option<(Generation, Candidate, Secret)>) -> Round {
        let Fold { row, entries } = fold;
        let before = Row::clone(&current.row);
        let commit = Commit {
            expect: Some(before.version),
            epoch: self.shared.epoch(),
            // A value is stored only with the row that says so: a seal whose fact was not folded is forgotten.
            candidate: sealed.filter(|_| !same_phase(&before, &row)),
            erase: to_erase(&row),
            due_at: wants(&row, &current.plan, self.shared.now())
                .wake_at
                .or_else(|| retry_at(&row, &current.binding.policy)),
            plan: None,
            entries,
            row,
        };
        match self.shared.commit(Some(&before), commit).await {
            Ok(row) => {
                self.memory.committed(&before, &row);
                Round::Again(Some(Box::new(Current { row, ..current })))
            }
            Err(fault) if fault.kind == FaultKind::Fenced => self.fenced(&before).await,
            Err(fault) => {
                // Whether it is stored or not: the row is read again, and what was done is asked for, not repeated.
                self.memory.forget();
                Round::Wait(self.failed("commit", &fault))
            }
        }
    }

    /// A commit was refused: reload and forget. If nobody moved the row, it is our lease that is not the latest.
    async fn fenced(&mut self, before: &Row) -> Round {
        tracing::warn!(group = %self.group, version = %before.version, "{}", telemetry::FENCED);
        self.memory.forget();
        match self.shared.load(self.group).await {
            Ok(Some(loaded)) if loaded.row.version == before.version => {
                self.shared.doubt_lease();
                self.memory.backoff.failed(&self.shared.options, Instant::now());
                Round::Wait(self.backed_off())
            }
            Ok(_) => Round::Again(None),
            Err(fault) => Round::Wait(self.failed("load", &fault)),
        }
    }

    /// Lets time pass for the deadline of a phase while nothing is due.
    async fn tick(&mut self, current: Current, next: Next, now: Timestamp) -> Round {
        let stretch = current.row.live().and_then(|live| Stretch::of(&live.phase));
        let deadline = stretch.and_then(|stretch| current.plan.deadlines.get(&stretch));
        let (Next::At(at), Some(_), false) = (next, deadline, self.memory.parked) else { return Round::Wait(next) };
        let next = Next::At(at.min(Instant::now() + current.plan.poll));
        let mut fold = Fold { row: Row::clone(&current.row), entries: Vec::new() };
        let advanced = fold.learn(&current.plan, &Seen { now, fact: Fact::Tick });
        if fold.row.version == current.row.version {
            return Round::Wait(next);
        }
        if advanced {
            self.memory.backoff.reset();
        }
        match self.commit(current, fold, None).await {
            Round::Again(current) if !advanced && current.is_some() => Round::Wait(next),
            round @ (Round::Again(_) | Round::Wait(_)) => round,
        }
    }

    fn failed(&mut self, what: &'static str, fault: &Fault) -> Next {
        self.shared.note(self.group, what, fault);
        self.memory.backoff.failed(&self.shared.options, Instant::now());
        self.backed_off()
    }

    fn parked(&mut self, what: &'static str, fault: &Fault) -> Next {
        self.shared.note(self.group, what, fault);
        self.memory.backoff.parked(&self.shared.options, Instant::now());
        self.backed_off()
    }

    async fn violated(&mut self, version: RowVersion, broken: Vec<Violation>) -> Next {
        self.memory.forget();
        // History says it once; the log, and those who watch, hear it each time.
        let found = Some((version, broken.clone()));
        if self.memory.violated != found {
            self.shared.append(self.group, history::violated(&broken, self.shared.now())).await;
            self.memory.violated = found;
        }
        let next = self.parked("check", &bug(self.group));
        self.shared.violated(self.group, broken);
        next
    }

    fn backed_off(&self) -> Next {
        let now = Instant::now();
        Next::At(self.memory.backoff.until(now).unwrap_or(now))
    }
}

/// What a round learnt.
#[derive(Default)]
struct Work {
    facts: Vec<Seen>,
    sealed: Option<(Generation, Candidate, Secret)>,
    entries: Vec<Entry>,
    setback: bool,
    fenced: bool,
    target_failed: bool,
}

/// A row being advanced, and the history of it.
struct Fold {
    row: Row,
    entries: Vec<Entry>,
}

impl Fold {
    /// Learns a fact. Whether to stop: the phase is another one, so that what is left answers effects of the old one.
    fn learn(&mut self, plan: &Plan, seen: &Seen) -> bool {
        match advance(&self.row, plan, seen) {
            Ok(next) => {
                self.entries.extend(history::step(&self.row, &next, &seen.fact, seen.now));
                if !plan.approvals.is_empty() {
                    let digest = plan_digest(plan);
                    self.entries.extend(history::approvals_wanted(Some(&self.row), &next, plan, &digest, seen.now));
                }
                let moved = !same_phase(&self.row, &next);
                self.row = next;
                moved
            }
            Err(refusal) => {
                tracing::debug!(group = %self.row.group, ?refusal, "fact does not apply");
                false
            }
        }
    }
}

/// Generations whose sealed values serve nobody any more once this row is stored. The current one's is kept: it is the
/// control of the next verification, what a rollback puts back, and what is asserted again after drift.
pub(crate) fn to_erase(row: &Row) -> Vec<Generation> {
    let Some(rotation) = &row.rotation else { return Vec::new() };
    let Phase::Done(outcome) = rotation.phase else { return Vec::new() };
    let over = match outcome {
        Outcome::Success => rotation.retiring(),
        Outcome::RolledBack | Outcome::Abandoned => rotation.revoking(),
    };
    over.into_iter().map(|occupant| occupant.generation).collect()
}

/// A row that cannot have come from the core.
pub(crate) fn bug(group: &GroupId) -> Fault {
    Fault {
        kind: FaultKind::Bug,
        touched: Touched::Nothing,
        detail: format!("the row of {group} breaks an invariant: nothing is done on it"),
    }
}
