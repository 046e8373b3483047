//! From where credentials that retire are seen in use: for people, who have to find the one who uses it. Nothing is
//! decided by it, and it is lost with the process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use handover_core::port::Source;
use handover_core::{Generation, GroupId, Timestamp};

/// How many addresses of one rotation are told in history.
const TOLD_MAX: usize = 64;

/// A look that found something in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// How many uses.
    pub uses: u32,
    /// From where, as far as the target tells.
    pub sources: Vec<Source>,
}

/// The last sighting of each group.
#[derive(Default)]
pub(crate) struct Sightings(Mutex<HashMap<GroupId, OfGroup>>);

struct OfGroup {
    /// The generation that the rotation leads to.
    to: Generation,
    told: BTreeSet<Option<String>>,
    last: Option<Sighting>,
}

impl Sightings {
    /// Whether so many uses are news: then it is worth asking from where.
    pub(crate) fn is_news(&self, group: &GroupId, to: Generation, uses: u32) -> bool {
        let all = self.lock();
        let last = all.get(group).filter(|seen| seen.to == to).and_then(|seen| seen.last.as_ref());
        last.is_none_or(|last| last.uses != uses)
    }

    /// Something is in use. Gives back from where, if one of the sources was not told in this rotation yet.
    pub(crate) fn seen(&self, group: &GroupId, to: Generation, sighting: Sighting) -> Option<String> {
        let words = words(&sighting.sources);
        let mut all = self.lock();
        let fresh = || OfGroup { to, told: BTreeSet::new(), last: None };
        let seen = all.entry(group.clone()).or_insert_with(fresh);
        if seen.to != to {
            *seen = fresh();
        }
        let before = seen.told.len();
        for source in &sighting.sources {
            if seen.told.len() < TOLD_MAX {
                seen.told.insert(source.address.clone());
            }
        }
        let news = seen.told.len() > before;
        seen.last = Some(sighting);
        news.then_some(words)
    }

    /// Nothing is in use: whatever is seen next is news.
    pub(crate) fn unseen(&self, group: &GroupId) {
        if let Some(seen) = self.lock().get_mut(group) {
            seen.last = None;
        }
    }

    /// The last look of a rotation that found something in use, unless a later one found nothing.
    pub(crate) fn last(&self, group: &GroupId, to: Generation) -> Option<Sighting> {
        self.lock().get(group).filter(|seen| seen.to == to)?.last.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupId, OfGroup>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `127.0.0.1 (2), an address that our user may not see (1)`.
pub fn words(sources: &[Source]) -> String {
    let each = sources.iter().map(|source| {
        let address = source.address.as_deref().unwrap_or("an address that our user may not see");
        format!("{address} ({})", source.uses)
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(addresses: &[Option<&str>]) -> Sighting {
        let source = |address: &Option<&str>| Source { address: address.map(str::to_owned), uses: 1 };
        let sources: Vec<Source> = addresses.iter().map(source).collect();
        Sighting { at: Timestamp(0), uses: u32::try_from(sources.len()).unwrap(), sources }
    }

    #[test]
    fn each_address_is_told_once_in_a_rotation_and_the_last_look_is_kept() {
        let (sightings, group, to) = (Sightings::default(), GroupId::parse("app").unwrap(), Generation(2));
        assert!(sightings.is_news(&group, to, 1));
        let told = sightings.seen(&group, to, sighting(&[Some("10.0.0.5"), None]));
        assert_eq!(told.as_deref(), Some("10.0.0.5 (1), an address that our user may not see (1)"));
        assert!(!sightings.is_news(&group, to, 2) && sightings.is_news(&group, to, 1));
        assert_eq!(sightings.seen(&group, to, sighting(&[None])), None, "it was told");
        assert_eq!(sightings.last(&group, to), Some(sighting(&[None])));
        sightings.unseen(&group);
        assert!(sightings.is_news(&group, to, 1) && sightings.last(&group, to).is_none());
        assert_eq!(sightings.last(&group, Generation(3)), None);
        assert!(sightings.seen(&group, Generation(3), sighting(&[None])).is_some(), "another rotation");
    }
}
