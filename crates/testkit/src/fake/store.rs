//! A store in memory: versions that never recur, compared with every pointer move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use handover_core::port::{Answer, Head, SecretStore, Value};
use handover_core::{
    Candidate, Fault, FaultKind, Generation, GroupId, Occupant, Publication, StoreCapability, StoreVersion,
};
use handover_secret::Secret;

use super::{Script, locked};

/// A store in memory.
#[derive(Clone, Debug)]
pub struct FakeStore {
    inner: Arc<Mutex<Inner>>,
    script: Script,
    shared: bool,
}

#[derive(Debug, Default)]
struct Inner {
    shelves: BTreeMap<GroupId, Shelf>,
    staged: BTreeMap<(GroupId, String), (Occupant, Secret)>,
    versions: u64,
    points: u64,
}

#[derive(Debug)]
struct Shelf {
    version: StoreVersion,
    label: Option<(Publication, Occupant)>,
    value: Secret,
}

impl FakeStore {
    /// An empty store.
    pub fn new(script: &Script) -> Self {
        Self { inner: Arc::default(), script: script.clone(), shared: false }
    }

    /// The same, and others may write there.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// A copy of everything, as a backup would be: writing to one leaves the other as it is. Versions never recur, not
    /// even in a copy.
    #[must_use]
    pub fn backup(&self) -> Self {
        let inner = locked(&self.inner);
        let shelf = |shelf: &Shelf| Shelf {
            version: shelf.version.clone(),
            label: shelf.label,
            value: shelf.value.duplicate(),
        };
        let copy = Inner {
            shelves: inner.shelves.iter().map(|(group, standing)| (group.clone(), shelf(standing))).collect(),
            staged: inner.staged.iter().map(|(key, (who, value))| (key.clone(), (*who, value.duplicate()))).collect(),
            versions: inner.versions + 1_000_000,
            points: inner.points,
        };
        Self { inner: Arc::new(Mutex::new(copy)), ..self.clone() }
    }

    /// The same store, as another process sees it.
    #[must_use]
    pub fn seen_by(&self, script: &Script) -> Self {
        Self { script: script.clone(), ..self.clone() }
    }

    /// What a consumer would fetch.
    pub fn published(&self, group: &GroupId) -> Option<(Publication, Occupant, Secret)> {
        let inner = locked(&self.inner);
        let shelf = inner.shelves.get(group)?;
        shelf.label.map(|(publication, who)| (publication, who, shelf.value.duplicate()))
    }

    /// Somebody else writes a value.
    pub fn write_by_other(&self, group: &GroupId, value: Secret) {
        let mut inner = locked(&self.inner);
        let version = inner.next_version();
        inner.shelves.insert(group.clone(), Shelf { version, label: None, value });
    }

    /// How often a pointer moved.
    pub fn points(&self) -> u64 {
        locked(&self.inner).points
    }

    /// Generations of which a value is kept, current or not.
    pub fn kept(&self, group: &GroupId) -> Vec<Generation> {
        let inner = locked(&self.inner);
        let staged = inner.staged.iter().filter(|((owner, _), _)| owner == group).map(|(_, (kept, _))| kept.generation);
        let mut kept: Vec<_> = staged.collect();
        kept.extend(inner.shelves.get(group).and_then(|shelf| shelf.label).map(|(_, who)| who.generation));
        kept.sort();
        kept.dedup();
        kept
    }
}

impl Inner {
    fn next_version(&mut self) -> StoreVersion {
        self.versions += 1;
        StoreVersion(format!("v{}", self.versions).into())
    }
}

impl SecretStore for FakeStore {
    fn capability(&self) -> StoreCapability {
        StoreCapability { stages: true, fences: true, versions_max: None, shared: self.shared }
    }

    fn head<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Head>> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("store.head", move || {
            Ok(locked(&inner).shelves.get(&group).map(|shelf| Head {
                version: shelf.version.clone(),
                publication: shelf.label.map(|(publication, _)| publication),
                generation: shelf.label.map(|(_, who)| who.generation),
            }))
        }))
    }

    fn put<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        let (inner, key) = (Arc::clone(&self.inner), (group.clone(), value.id.to_string()));
        let kept = (value.who, value.secret.duplicate());
        Box::pin(self.script.pass("store.put", move || {
            locked(&inner).staged.insert(key, kept);
            Ok(())
        }))
    }

    fn stage<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        let (inner, key) = (Arc::clone(&self.inner), (group.clone(), value.id.to_string()));
        let kept = (value.who, value.secret.duplicate());
        Box::pin(self.script.pass("store.stage", move || {
            locked(&inner).staged.insert(key, kept);
            Ok(())
        }))
    }

    fn is_staged<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, bool> {
        let (inner, key) = (Arc::clone(&self.inner), (group.clone(), value.id.to_string()));
        let (who, secret) = (value.who, value.secret.duplicate());
        Box::pin(self.script.pass("store.is_staged", move || {
            let staged = |(kept, value): &(Occupant, Secret)| *kept == who && value.matches(&secret);
            Ok(locked(&inner).staged.get(&key).is_some_and(staged))
        }))
    }

    fn unstage<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("store.unstage", move || {
            locked(&inner).staged.retain(|(owner, _), (kept, _)| *owner != group || kept.generation != generation);
            Ok(())
        }))
    }

    fn retained<'a>(&'a self, group: &'a GroupId) -> Answer<'a, BTreeSet<Generation>> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("store.retained", move || {
            let inner = locked(&inner);
            let of = inner.staged.iter().filter(|((owner, _), _)| *owner == group);
            Ok(of.map(|(_, (kept, _))| kept.generation).collect())
        }))
    }

    fn point<'a>(
        &'a self,
        group: &'a GroupId,
        value: &'a Value<'a>,
        publication: Publication,
        expect: Option<&'a StoreVersion>,
    ) -> Answer<'a, StoreVersion> {
        let (inner, group, expect) = (Arc::clone(&self.inner), group.clone(), expect.cloned());
        let (label, value) = (Some((publication, value.who)), value.secret.duplicate());
        Box::pin(self.script.pass("store.point", move || {
            let mut inner = locked(&inner);
            if inner.shelves.get(&group).map(|shelf| &shelf.version) != expect.as_ref() {
                return Err(Fault::untouched(FaultKind::Conflict, "the head is at another version"));
            }
            let version = inner.next_version();
            inner.points += 1;
            inner.shelves.insert(group, Shelf { version: version.clone(), label, value });
            Ok(version)
        }))
    }

    fn recall<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, Option<(Candidate, Secret)>> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("store.recall", move || {
            let inner = locked(&inner);
            let shelf = inner.shelves.get(&group);
            let current = shelf.and_then(|shelf| shelf.label.map(|(_, who)| (who, &shelf.value)));
            let current = current.filter(|(who, _)| who.generation == generation);
            let staged = || {
                let staged = inner.staged.iter().filter(|((owner, _), _)| *owner == group);
                staged.map(|(_, (who, value))| (*who, value)).find(|(who, _)| who.generation == generation)
            };
            Ok(current.or_else(staged).map(|(who, value)| (who.candidate, value.duplicate())))
        }))
    }

    fn discard<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        let (inner, group) = (Arc::clone(&self.inner), group.clone());
        Box::pin(self.script.pass("store.discard", move || {
            let mut inner = locked(&inner);
            let current = inner.shelves.get(&group).and_then(|shelf| shelf.label);
            if current.is_some_and(|(_, who)| who.generation == generation) {
                return Err(Fault::untouched(FaultKind::Conflict, "the generation is current"));
            }
            inner.staged.retain(|(owner, _), (kept, _)| owner != &group || kept.generation != generation);
            Ok(())
        }))
    }
}
