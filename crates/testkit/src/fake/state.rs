//! A state store in memory. What it holds survives the processes that use it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use handover_core::campaign::Campaign;
use handover_core::port::{
    Answer, CAMPAIGNS_ENDED_MAX, CampaignCommit, Commit, Committed, Entry, Loaded, REQUEST_KEPT_MS_MIN, Record,
    Request, StateStore,
};
use handover_core::{
    CampaignId, Candidate, Epoch, Fault, FaultKind, Generation, GroupId, Plan, Row, RowVersion, Timestamp,
};
use handover_secret::Secret;

use super::{Script, locked};

/// A state store in memory, as one process sees it.
#[derive(Clone, Debug)]
pub struct FakeState {
    inner: Arc<Mutex<Inner>>,
    script: Script,
    process: u64,
}

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<GroupId, Stored>,
    values: BTreeMap<(GroupId, Generation, Candidate), Secret>,
    records: Vec<Record>,
    cursors: BTreeMap<String, u64>,
    requests: BTreeMap<(String, String), Request>,
    commits: Vec<(GroupId, Row)>,
    campaigns: BTreeMap<CampaignId, Campaign>,
    epoch: u64,
    holder: Option<u64>,
    processes: u64,
}

#[derive(Clone, Debug)]
struct Stored {
    row: Row,
    plan: Option<Plan>,
    due_at: Option<Timestamp>,
}

impl FakeState {
    /// An empty state store, and its first process.
    pub fn new(script: &Script) -> Self {
        Self { inner: Arc::default(), script: script.clone(), process: 0 }
    }

    /// The same state store, as another process sees it.
    #[must_use]
    pub fn seen_by(&self, script: &Script) -> Self {
        let mut inner = locked(&self.inner);
        inner.processes += 1;
        Self { inner: Arc::clone(&self.inner), script: script.clone(), process: inner.processes }
    }

    /// A copy of everything, as a backup would be: writing to one leaves the other as it is.
    #[must_use]
    pub fn backup(&self) -> Self {
        let inner = locked(&self.inner);
        let values = inner.values.iter().map(|(key, value)| (key.clone(), value.duplicate())).collect();
        let copy = Inner {
            rows: inner.rows.clone(),
            values,
            records: inner.records.clone(),
            cursors: inner.cursors.clone(),
            commits: inner.commits.clone(),
            requests: inner.requests.clone(),
            campaigns: inner.campaigns.clone(),
            epoch: inner.epoch,
            holder: None,
            processes: inner.processes,
        };
        Self { inner: Arc::new(Mutex::new(copy)), script: self.script.clone(), process: 0 }
    }

    /// The lease is free: its holder died, or was not heard of for too long.
    pub fn free_lease(&self) {
        locked(&self.inner).holder = None;
    }

    /// The stored row.
    pub fn row(&self, group: &GroupId) -> Option<Row> {
        locked(&self.inner).rows.get(group).map(|stored| stored.row.clone())
    }

    /// All rows ever committed, in order.
    pub fn commits(&self, group: &GroupId) -> Vec<Row> {
        locked(&self.inner).commits.iter().filter(|(of, _)| of == group).map(|(_, row)| row.clone()).collect()
    }

    /// Stores a row as nobody should: by hand.
    pub fn tamper(&self, group: &GroupId, change: impl FnOnce(&mut Row)) {
        if let Some(stored) = locked(&self.inner).rows.get_mut(group) {
            change(&mut stored.row);
        }
    }

    /// Generations and candidates of which a sealed value is kept.
    pub fn sealed(&self, group: &GroupId) -> Vec<(Generation, Candidate)> {
        let inner = locked(&self.inner);
        inner.values.keys().filter(|(of, ..)| of == group).map(|(_, generation, value)| (*generation, *value)).collect()
    }

    /// A sealed value.
    pub fn value(&self, group: &GroupId, generation: Generation, candidate: Candidate) -> Option<Secret> {
        locked(&self.inner).values.get(&(group.clone(), generation, candidate)).map(Secret::duplicate)
    }

    /// All history.
    pub fn history(&self) -> Vec<Record> {
        locked(&self.inner).records.clone()
    }

    /// How far a sink got.
    pub fn cursor_of(&self, sink: &str) -> u64 {
        locked(&self.inner).cursors.get(sink).copied().unwrap_or(0)
    }
}

impl Inner {
    fn commit(&mut self, commit: Commit) -> Result<Committed<Row>, Fault> {
        let group = commit.row.group.clone();
        let fenced = |why: &str| Err(Fault::untouched(FaultKind::Fenced, why));
        if commit.epoch.0 != self.epoch {
            return fenced("the epoch is not the latest");
        }
        if self.rows.get(&group).map(|stored| stored.row.version) != commit.expect {
            return fenced("the row moved on");
        }
        if commit.expect.is_some_and(|expect| commit.row.version <= expect) {
            return Err(Fault::untouched(FaultKind::Bug, "the version does not grow"));
        }
        if let Some((generation, candidate, value)) = commit.candidate {
            let key = (group.clone(), generation, candidate);
            if self.values.contains_key(&key) {
                return Err(Fault::untouched(FaultKind::Bug, "a second value for one candidate"));
            }
            self.values.insert(key, value);
        }
        self.values.retain(|(of, generation, _), _| of != &group || !commit.erase.contains(generation));
        for entry in commit.entries {
            self.append(&group, entry);
        }
        let plan = commit.plan.or_else(|| self.rows.get(&group).and_then(|stored| stored.plan.clone()));
        self.commits.push((group.clone(), commit.row.clone()));
        self.rows.insert(group, Stored { row: commit.row.clone(), plan, due_at: commit.due_at });
        Ok(Committed::vouch(commit.row))
    }

    fn carry_out(&mut self, commit: Commit, request: Request) -> Result<Committed<Row>, Fault> {
        let key = (request.caller.clone(), request.key.clone());
        if self.requests.contains_key(&key) {
            return Err(Fault::untouched(FaultKind::Fenced, "the request was carried out already"));
        }
        let row = self.commit(commit)?;
        self.requests.retain(|_, kept| request.at.0.saturating_sub(kept.at.0) <= REQUEST_KEPT_MS_MIN);
        self.requests.insert(key, request);
        Ok(row)
    }

    fn commit_campaign(&mut self, commit: CampaignCommit) -> Result<Committed<Campaign>, Fault> {
        let CampaignCommit { campaign, expect, epoch, under, entries, request } = commit;
        let key = request.as_ref().map(|request| (request.caller.clone(), request.key.clone()));
        if epoch.0 != self.epoch
            || self.campaigns.get(&campaign.id).map(|stored| stored.version) != expect
            || key.as_ref().is_some_and(|key| self.requests.contains_key(key))
        {
            return Err(Fault::untouched(FaultKind::Fenced, "the campaign moved on"));
        }
        for entry in entries {
            self.append(&under, entry);
        }
        self.requests.extend(key.zip(request));
        let oldest = campaign.id.0.saturating_sub(CAMPAIGNS_ENDED_MAX);
        self.campaigns.retain(|id, kept| expect.is_some() || id.0 > oldest || kept.is_live());
        self.campaigns.insert(campaign.id, campaign.clone());
        Ok(Committed::vouch(campaign))
    }

    fn append(&mut self, group: &GroupId, entry: Entry) {
        let position = self.records.len() as u64 + 1;
        let body = format!("{} by {}: {:?}", entry.event, entry.actor, entry.fields);
        self.records.push(Record { position, group: group.clone(), at: entry.at, body, hash: String::new() });
    }
}

impl StateStore for FakeState {
    fn lease(&self) -> Answer<'_, Epoch> {
        let (inner, process) = (Arc::clone(&self.inner), self.process);
        Box::pin(self.script.pass("state.lease", move || {
            let mut inner = locked(&inner);
            match inner.holder {
                Some(holder) if holder != process => {
                    return Err(Fault::untouched(FaultKind::Fenced, "another process holds the lease"));
                }
                Some(_) => {}
                None => {
                    inner.holder = Some(process);
                    inner.epoch += 1;
                }
            }
            Ok(Epoch(inner.epoch))
        }))
    }

    fn due(&self, now: Timestamp, limit: usize) -> Answer<'_, (Vec<GroupId>, Option<Timestamp>)> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("state.due", move || {
            let inner = locked(&inner);
            let mut due: Vec<_> =
                inner.rows.iter().filter_map(|(group, stored)| stored.due_at.map(|at| (at, group.clone()))).collect();
            due.sort();
            let next = due.iter().map(|(at, _)| *at).find(|at| *at > now);
            Ok((due.into_iter().filter(|(at, _)| *at <= now).take(limit).map(|(_, group)| group).collect(), next))
        }))
    }

    fn load<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Loaded>> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("state.load", move || {
            let inner = locked(&inner);
            let stored = inner.rows.get(&group);
            Ok(stored.map(|stored| Loaded { row: Committed::vouch(stored.row.clone()), plan: stored.plan.clone() }))
        }))
    }

    fn groups(&self) -> Answer<'_, Vec<GroupId>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("state.groups", move || Ok(locked(&inner).rows.keys().cloned().collect())))
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed<Row>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("state.commit", move || locked(&inner).commit(commit)))
    }

    fn carry_out(&self, commit: Commit, request: Request) -> Answer<'_, Committed<Row>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("state.carry_out", move || locked(&inner).carry_out(commit, request)))
    }

    fn request<'a>(&'a self, caller: &'a str, key: &'a str) -> Answer<'a, Option<Request>> {
        let (inner, key) = (Arc::clone(&self.inner), (caller.to_owned(), key.to_owned()));
        Box::pin(self.script.pass("state.request", move || Ok(locked(&inner).requests.get(&key).cloned())))
    }

    fn candidate<'a>(
        &'a self,
        group: &'a GroupId,
        generation: Generation,
        candidate: Candidate,
    ) -> Answer<'a, Option<Secret>> {
        let (inner, key) = (Arc::clone(&self.inner), (group.clone(), generation, candidate));
        let act = move || Ok(locked(&inner).values.get(&key).map(Secret::duplicate));
        Box::pin(self.script.pass("state.candidate", act))
    }

    fn candidates<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Vec<(Generation, Candidate)>> {
        let (this, group) = (self.clone(), group.clone());
        Box::pin(self.script.pass("state.candidates", move || Ok(this.sealed(&group))))
    }

    fn records(&self, after: u64, limit: usize) -> Answer<'_, Vec<Record>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("state.records", move || {
            let inner = locked(&inner);
            Ok(inner.records.iter().filter(|record| record.position > after).take(limit).cloned().collect())
        }))
    }

    fn history<'a>(&'a self, group: Option<&'a GroupId>, before: Option<u64>, limit: usize) -> Answer<'a, Vec<Record>> {
        let (inner, group) = (Arc::clone(&self.inner), group.cloned());
        Box::pin(self.script.pass("state.history", move || {
            let inner = locked(&inner);
            let wanted = |record: &&Record| {
                before.is_none_or(|before| record.position < before)
                    && group.as_ref().is_none_or(|group| record.group == *group)
            };
            Ok(inner.records.iter().rev().filter(wanted).take(limit).cloned().collect())
        }))
    }

    fn append<'a>(&'a self, group: &'a GroupId, epoch: Epoch, entry: Entry) -> Answer<'a, ()> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("state.append", move || {
            let mut inner = locked(&inner);
            if epoch.0 != inner.epoch {
                return Err(Fault::untouched(FaultKind::Fenced, "the epoch is not the latest"));
            }
            inner.append(&group, entry);
            Ok(())
        }))
    }

    fn forget<'a>(&'a self, group: &'a GroupId, expect: RowVersion, epoch: Epoch, entry: Entry) -> Answer<'a, ()> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("state.forget", move || {
            let mut inner = locked(&inner);
            let stands = inner.rows.get(&group).map(|stored| stored.row.version);
            if epoch.0 != inner.epoch || stands != Some(expect) {
                return Err(Fault::untouched(FaultKind::Fenced, "the epoch is not the latest, or the row moved on"));
            }
            inner.rows.remove(&group);
            inner.values.retain(|(of, ..), _| *of != group);
            inner.append(&group, entry);
            Ok(())
        }))
    }

    fn commit_campaign(&self, commit: CampaignCommit) -> Answer<'_, Committed<Campaign>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("state.commit_campaign", move || locked(&inner).commit_campaign(commit)))
    }

    fn campaign(&self, id: CampaignId) -> Answer<'_, Option<Committed<Campaign>>> {
        let inner = Arc::clone(&self.inner);
        let act = move || Ok(locked(&inner).campaigns.get(&id).cloned().map(Committed::vouch));
        Box::pin(self.script.pass("state.campaign", act))
    }

    fn campaigns(&self, live: bool, before: Option<CampaignId>, limit: usize) -> Answer<'_, Vec<Committed<Campaign>>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.script.pass("state.campaigns", move || {
            let inner = locked(&inner);
            let all = inner.campaigns.values().rev();
            let wanted = all.filter(|one| before.is_none_or(|before| one.id < before) && (!live || one.is_live()));
            Ok(wanted.take(limit).cloned().map(Committed::vouch).collect())
        }))
    }

    fn cursor<'a>(&'a self, sink: &'a str) -> Answer<'a, u64> {
        let (inner, sink) = (Arc::clone(&self.inner), sink.to_owned());
        let act = move || Ok(locked(&inner).cursors.get(&sink).copied().unwrap_or(0));
        Box::pin(self.script.pass("state.cursor", act))
    }

    fn move_cursor<'a>(&'a self, sink: &'a str, position: u64) -> Answer<'a, ()> {
        let (inner, sink) = (Arc::clone(&self.inner), sink.to_owned());
        Box::pin(self.script.pass("state.move_cursor", move || {
            let mut inner = locked(&inner);
            let cursor = inner.cursors.entry(sink).or_default();
            *cursor = position.max(*cursor);
            Ok(())
        }))
    }
}
