//! Recovery: making record and world be of one time again, after either was set back. See [`handover_core::recover()`].
//!
//! It can be cut off anywhere and asked for again: the row stays doubted until everything is done, and what is written
//! to the target bears a mark above all that stand there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use handover_core::port::{Commit, Entry, Head, Intent, Probe, Standing, State};
use handover_core::{
    Candidate, Course, Doubt, Effect, Fault, FaultKind, Generation, GroupId, Mark, Obstacle, Occupant, Plan, Recovery,
    Row, Slot, StoreId, Survey, Unrecoverable, check, compare, plan_of, recover, sought, wants,
};
use handover_secret::Secret;

use crate::call::{Call, Whom};
use crate::drive;
use crate::handle::Handle;
use crate::history;
use crate::queue::Wake;
use crate::service::Binding;
use crate::shared::Shared;

/// The most logins that recovery tries at one slot: accounts lock after some that fail.
pub const LOGINS_EACH_MAX: usize = 2;

/// What a person says to a recovery.
#[derive(Debug, Default)]
pub struct RecoverRequest {
    /// The generation to keep where the world does not tell.
    pub keep: Option<Generation>,
    /// The value in force, where neither the state nor a store has it.
    pub value: Option<Secret>,
    /// Only look, and say what would be done.
    pub check: bool,
    /// Why.
    pub reason: Option<String>,
}

/// What a recovery did, or would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// What spoke against the record.
    pub doubt: Option<Doubt>,
    /// What kind of recovery it is.
    pub course: Course,
    /// What the target is made to accept, in place.
    pub accepted: Vec<Occupant>,
    /// What came back, and goes out of use as in any rotation.
    pub retiring: Vec<Occupant>,
    /// The row that comes of it.
    pub row: Row,
}

/// Why nothing was recovered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecoverRefused {
    /// The configuration names no such group.
    UnknownGroup(GroupId),
    /// What stands in the way of any rotation also stands in the way of this.
    Obstacles(Vec<Obstacle>),
    /// The core refuses it: what a person must find out first.
    Refused(Unrecoverable),
    /// The state store, the target or a store could not do its part. Asked again, it goes on.
    Fault(Fault),
}

impl fmt::Display for RecoverRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup(group) => write!(f, "group {group} is not configured"),
            Self::Obstacles(obstacles) => write!(f, "{} obstacles stand in the way of a recovery", obstacles.len()),
            Self::Refused(why) => write!(f, "nothing can be recovered yet ({why:?})"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for RecoverRefused {}

impl From<Fault> for RecoverRefused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A value that recovery has, and whether the state holds it sealed.
struct Held {
    who: Occupant,
    value: Secret,
    sealed: bool,
}

impl Handle {
    /// Compares the group's record with the world, and makes them be of one time.
    pub async fn recover(
        &self,
        group: &GroupId,
        request: RecoverRequest,
        actor: &str,
    ) -> Result<Recovered, RecoverRefused> {
        let binding = self.binding(group).ok_or_else(|| RecoverRefused::UnknownGroup(group.clone()))?;
        let RecoverRequest { keep, value, check: only_look, reason } = request;
        let row =
            self.shared.load(group).await?.map_or_else(|| Row::new(group.clone()), |found| found.row.into_inner());
        let at_rest = Row { doubt: None, rotation: None, ..row.clone() };
        let plan = self.planned_without_doubt(&binding, &at_rest).await?.map_err(RecoverRefused::Obstacles)?;
        let (standings, heads) = self.shared.look(&binding).await?;
        let sought = sought(&row, &plan, standings.as_deref().unwrap_or_default(), &heads);
        let held = self.held(&binding, sought, value).await?;
        let let_in = self.log_in(&binding, &held, standings.as_deref().unwrap_or_default()).await?;
        let known = held.iter().map(|held| held.who).collect();
        let survey = Survey { standings, heads, known, let_in };
        let doubt = row.doubt.clone().or_else(|| compare(&row, survey.standings.as_deref(), &survey.heads));
        let in_doubt = Row { doubt: doubt.clone(), ..row.clone() };
        let recovery = recover(&in_doubt, &plan, &survey, keep, self.shared.now()).map_err(RecoverRefused::Refused)?;
        let recovered = |recovery: Recovery, doubt| {
            let Recovery { course, accept, retire, row } = recovery;
            Recovered { doubt, course, accepted: accept, retiring: retire, row }
        };
        if only_look || (recovery.course == Course::Agrees && doubt.is_none()) {
            return Ok(recovered(recovery, doubt));
        }
        // As where a rotation starts: what was looked at must be what the group is bound to for as long as this acts.
        let _held = self.shared.rebinding.read().await;
        if !self.shared.is_bound(&binding) {
            return Err(match self.binding(group) {
                None => RecoverRefused::UnknownGroup(group.clone()),
                Some(_) => {
                    let detail = format!("{group} was configured otherwise meanwhile; recover it again");
                    Fault::untouched(FaultKind::Busy, detail).into()
                }
            });
        }
        // A recovery that is cut off has moved the version on: what follows must not depend on a comparison again.
        let behind = match recovery.course {
            Course::Follows | Course::Resumes | Course::Replaces | Course::Nothing => Some(Doubt::TargetAhead),
            Course::Agrees | Course::Reasserts => doubt.clone(),
        };
        let told = Told { actor, reason: reason.as_deref(), doubt: behind.unwrap_or(Doubt::TargetBehind) };
        let row = self.carry_out(&binding, &row, &plan, &recovery, held, &told).await?;
        self.shared.compared(&binding);
        self.shared.wake(group, Wake::Changed);
        Ok(Recovered { row, ..recovered(recovery, doubt) })
    }

    /// Says of every group that it may not be what the world is at, durably: after a restore, before anything else. Campaigns
    /// that have not ended are held.
    /// Gives the groups that were not doubted before.
    pub async fn doubt_all(&self, actor: &str, reason: Option<&str>) -> Result<Vec<GroupId>, Fault> {
        let mut doubted = Vec::new();
        let state = &self.shared.ports.state;
        let groups = self.shared.calls.make(Call::look(Whom::State, "groups"), || state.groups()).await?;
        for group in groups {
            let Some(loaded) = self.shared.load(&group).await? else { continue };
            let row = loaded.row.into_inner();
            if row.doubt.is_some() {
                continue;
            }
            let next = Row { version: row.version.next(), doubt: Some(Doubt::Restored), ..row.clone() };
            let entries = vec![history::doubted(&Doubt::Restored, actor, reason, self.shared.now())];
            self.shared.commit(Some(&row), self.shared.change(&row, next, entries)).await?;
            doubted.push(group);
        }
        self.hold_restored_campaigns().await?;
        Ok(doubted)
    }

    /// The values that we have of whatever is accepted, or must be: what a person gave first, then what is sealed, then
    /// what the stores keep.
    async fn held(
        &self,
        binding: &Binding,
        sought: BTreeSet<(Generation, Slot)>,
        given: Option<Secret>,
    ) -> Result<Vec<Held>, Fault> {
        let group = &binding.group;
        let state = &self.shared.ports.state;
        let call = Call::look(Whom::State, "candidates");
        let sealed = self.shared.calls.make(call, || state.candidates(group)).await?;
        let mut held: Vec<Held> = Vec::new();
        for (generation, slot) in sought {
            let last = sealed.iter().filter(|(of, _)| *of == generation).map(|(_, candidate)| candidate.0).max();
            let mut unsealed = Candidate(last.unwrap_or(0) + 1);
            let whose = |candidate| Occupant { generation, slot, candidate };
            if let Some(value) = &given {
                held.push(Held { who: whose(unsealed), value: value.duplicate(), sealed: false });
                unsealed = unsealed.next();
            }
            for (_, candidate) in sealed.iter().rev().filter(|(of, _)| *of == generation) {
                let call = Call::look(Whom::State, "candidate");
                let value = self.shared.calls.make(call, || state.candidate(group, generation, *candidate)).await?;
                held.extend(value.map(|value| Held { who: whose(*candidate), value, sealed: true }));
            }
            for (store, port) in binding.stores.iter() {
                let call = Call::look(Whom::Store(store), "recall");
                let recalled = self.shared.calls.make(call, || port.recall(group, generation)).await?;
                if let Some((_, value)) = recalled.filter(|(_, value)| {
                    held.iter().all(|other| other.who.generation != generation || !other.value.matches(value))
                }) {
                    held.push(Held { who: whose(unsealed), value, sealed: false });
                    unsealed = unsealed.next();
                }
            }
        }
        Ok(held)
    }

    /// Tries what we have, slot by slot, until one is let in or the bound is reached. Where a slot's label names another
    /// generation, a login would say nothing of this one, and there are few of them.
    async fn log_in(
        &self,
        binding: &Binding,
        held: &[Held],
        standings: &[Standing],
    ) -> Result<BTreeSet<Occupant>, Fault> {
        let another = |who: &Occupant| {
            let labelled = |standing: &Standing| standing.slot == who.slot && standing.state == State::Accepting;
            let named = standings.iter().find(|standing| labelled(standing)).and_then(|standing| standing.generation);
            named.is_some_and(|named| named != who.generation)
        };
        let mut let_in = BTreeSet::new();
        let mut tried: BTreeMap<_, usize> = BTreeMap::new();
        for Held { who, value, .. } in held {
            let tries = tried.entry(who.slot).or_default();
            let done =
                let_in.iter().any(|other: &Occupant| other.slot == who.slot && other.generation == who.generation);
            if done || another(who) || *tries >= LOGINS_EACH_MAX {
                continue;
            }
            *tries += 1;
            let call = Call::look(Whom::Target(&binding.target_name), "probe");
            if self.shared.calls.make(call, || binding.target.probe(*who, value, None)).await? == Probe::Accepted {
                let_in.insert(*who);
            }
        }
        Ok(let_in)
    }

    async fn carry_out(
        &self,
        binding: &Binding,
        before: &Row,
        plan: &Plan,
        recovery: &Recovery,
        held: Vec<Held>,
        told: &Told<'_>,
    ) -> Result<Row, RecoverRefused> {
        let plan = plan_of(&recovery.row, plan);
        let ours = recovery.row.live().is_some() && before.rotation != recovery.row.rotation;
        if ours && !check(&recovery.row, &plan).is_empty() {
            self.shared.violated(&recovery.row.group, check(&recovery.row, &plan));
            return Err(drive::bug(&recovery.row.group).into());
        }
        let mut row = before.clone();
        let mut to_seal: Vec<Held> = held
            .iter()
            .filter(|held| !held.sealed && named(&recovery.row).any(|who| who == held.who))
            .map(Held::duplicate)
            .collect();
        let acts = !recovery.accept.is_empty();
        let last = if acts { None } else { to_seal.pop() };
        // Intent before act, and one sealed value to a commit. Doubted all the while: cut off, nothing goes on.
        for (number, seal) in to_seal.into_iter().map(Some).chain(acts.then_some(None)).enumerate() {
            let version = if number == 0 { recovery.row.version } else { row.version.next() };
            // The marks of what is written now bear it.
            let last_generation = row.last_generation.max(recovery.row.last_generation);
            let next = Row { version, last_generation, doubt: Some(told.doubt.clone()), ..row.clone() };
            let entries = vec![history::recovering(recovery, told.actor, told.reason, self.shared.now())];
            let mut commit = self.shared.change(&row, next, entries);
            commit.candidate = seal.map(|held| (held.who.generation, held.who.candidate, held.value));
            row = self.shared.commit(Some(&row), commit).await?.into_inner();
        }
        if acts {
            self.act(binding, &row, recovery, &held).await?;
        }
        let version = recovery.row.version.max(row.version.next());
        let next = Row { version, ..recovery.row.clone() };
        let entries = vec![history::recovered(recovery, &next, told.actor, told.reason, self.shared.now())];
        let mut commit = self.shared.change(&row, next, entries);
        commit.candidate = last.map(|held| (held.who.generation, held.who.candidate, held.value));
        commit.plan = ours.then(|| plan.clone());
        // Where nothing is in force, nothing says either that a value serves nobody.
        if recovery.course != Course::Nothing {
            commit.erase = self.stale(&commit.row).await?;
        }
        commit.due_at = wants(&commit.row, &plan, self.shared.now()).wake_at.map(|_| self.shared.now());
        Ok(self.shared.commit(Some(&row), commit).await?.into_inner())
    }

    /// Generations whose sealed values serve nobody by this row.
    async fn stale(&self, row: &Row) -> Result<Vec<Generation>, Fault> {
        let state = &self.shared.ports.state;
        let call = Call::look(Whom::State, "candidates");
        let sealed = self.shared.calls.make(call, || state.candidates(&row.group)).await?;
        let generations: BTreeSet<Generation> = sealed.into_iter().map(|(generation, _)| generation).collect();
        Ok(generations.into_iter().filter(|generation| !named(row).any(|who| who.generation == *generation)).collect())
    }

    /// Makes the world what the record says. Each write bears the mark of the row that named it.
    async fn act(&self, binding: &Binding, row: &Row, recovery: &Recovery, held: &[Held]) -> Result<(), Fault> {
        let mark = Mark { generation: row.last_generation, version: row.version };
        let (group, target) = (&binding.group, &binding.target);
        for who in recovery.accept.iter().copied() {
            let value = held.iter().find(|held| held.who == who).map(|held| &held.value).ok_or_else(|| {
                Fault::untouched(FaultKind::Bug, format!("no value of generation {} to assert", who.generation))
            })?;
            let intent = Intent { id: Effect::EnsureAccepted { who, mark }.id(group, who), who, mark };
            let call = Call::act(Whom::Target(&binding.target_name), "accept");
            self.shared.calls.make(call, || target.create(&intent, value)).await?;
        }
        Ok(())
    }
}

/// Who does it, and why.
struct Told<'a> {
    actor: &'a str,
    reason: Option<&'a str>,
    doubt: Doubt,
}

impl Held {
    fn duplicate(&self) -> Self {
        Self { who: self.who, value: self.value.duplicate(), sealed: self.sealed }
    }
}

/// Those whose values a row counts on.
fn named(row: &Row) -> impl Iterator<Item = Occupant> {
    let live = row.live().into_iter().flat_map(|live| live.from.into_iter().chain([live.to]).chain(live.owed.clone()));
    row.current.into_iter().chain(live)
}

type Looked = (Option<Vec<Standing>>, BTreeMap<StoreId, Option<Head>>);

impl Shared {
    /// Commits that a record may not be what the world is at.
    pub(crate) async fn commit_doubt(&self, row: &Row, doubt: Doubt) -> Result<(), Fault> {
        let entries = vec![history::doubted(&doubt, history::ENGINE, None, self.now())];
        let next = Row { version: row.version.next(), doubt: Some(doubt), ..row.clone() };
        self.commit(Some(row), self.change(row, next, entries)).await.map(drop)
    }

    /// A commit that changes the row and nothing beside it, and after which nothing is due.
    pub(crate) fn change(&self, before: &Row, next: Row, entries: Vec<Entry>) -> Commit {
        Commit {
            expect: (before.version.0 > 0).then_some(before.version),
            epoch: self.epoch(),
            candidate: None,
            erase: Vec::new(),
            due_at: None,
            plan: None,
            entries,
            row: next,
        }
    }

    /// Compares a live row with the world, if this process has not yet. An order would move the version on, past the
    /// marks that show a record which is behind; and until the comparison nothing is done on the row in any case.
    pub(crate) async fn compare_first(&self, binding: &Binding, row: &Row) -> Result<(), Fault> {
        if row.live().is_none() || row.doubt.is_some() || self.is_compared(&row.group) {
            return Ok(());
        }
        match self.doubt(binding, row).await? {
            None => {
                self.compared(binding);
                if self.is_compared(&row.group) {
                    return Ok(());
                }
                Err(Fault::untouched(FaultKind::Fenced, "the group was bound anew meanwhile"))
            }
            Some(doubt) => {
                self.commit_doubt(row, doubt).await?;
                Err(Fault::untouched(FaultKind::Fenced, "the record is in doubt from here on"))
            }
        }
    }

    /// Whether anything at the target or the stores speaks against the record; a fault if nobody could look.
    pub(crate) async fn doubt(&self, binding: &Binding, row: &Row) -> Result<Option<Doubt>, Fault> {
        if row.doubt.is_some() {
            return Ok(row.doubt.clone());
        }
        let (standings, heads) = self.look(binding).await?;
        Ok(compare(row, standings.as_deref(), &heads))
    }

    async fn look(&self, binding: &Binding) -> Result<Looked, Fault> {
        let call = Call::look(Whom::Target(&binding.target_name), "census");
        let standings = match self.calls.make(call, || binding.target.census()).await {
            Ok(standings) => Some(standings),
            Err(fault) if fault.kind == FaultKind::Unsupported => None,
            Err(fault) => return Err(fault),
        };
        let mut heads = BTreeMap::new();
        for (store, port) in binding.stores.iter() {
            let call = Call::look(Whom::Store(store), "head");
            heads.insert(store.clone(), self.calls.make(call, || port.head(&binding.group)).await?);
        }
        Ok((standings, heads))
    }
}
