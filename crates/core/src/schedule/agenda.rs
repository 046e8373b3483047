//! Groups by the time of their next rotation. What a look costs follows what is due, not what there is.

use std::collections::{BTreeSet, HashMap};

use super::Due;
use crate::id::GroupId;
use crate::time::Timestamp;

/// Which groups are to rotate, and when.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: HashMap<GroupId, Entry>,
    /// Those whose time has not come, by when it does.
    waiting: BTreeSet<(Timestamp, GroupId)>,
    /// Those that may start, by when they were planned: the most late first.
    ready: BTreeSet<(Timestamp, GroupId)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Due,
    ready: bool,
}

impl Agenda {
    /// Has a group start as `due` says, instead of what was said before; `None`: not at all.
    pub fn set(&mut self, group: &GroupId, due: Option<Due>) {
        if let Some(before) = self.entries.remove(group) {
            let (list, at) = match before.ready {
                true => (&mut self.ready, before.due.planned_at),
                false => (&mut self.waiting, before.due.start_at),
            };
            list.remove(&(at, group.clone()));
        }
        if let Some(due) = due {
            self.entries.insert(group.clone(), Entry { due, ready: false });
            self.waiting.insert((due.start_at, group.clone()));
        }
    }

    /// Takes note of what time it is: whose time has come may start.
    pub fn ripen(&mut self, now: Timestamp) {
        while let Some((start_at, _)) = self.waiting.first()
            && *start_at <= now
            && let Some((_, group)) = self.waiting.pop_first()
        {
            if let Some(entry) = self.entries.get_mut(&group) {
                entry.ready = true;
                self.ready.insert((entry.due.planned_at, group));
            }
        }
    }

    /// Takes the most late of those that may start.
    pub fn take(&mut self) -> Option<(GroupId, Due)> {
        let (_, group) = self.ready.pop_first()?;
        self.entries.remove(&group).map(|entry| (group, entry.due))
    }

    /// When the next one may start; `None`: none is known of beside those that may already.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(start_at, _)| *start_at)
    }

    /// How many may start and have not, and for when the first of them was planned.
    pub fn late(&self) -> (usize, Option<Timestamp>) {
        (self.ready.len(), self.ready.first().map(|(planned_at, _)| *planned_at))
    }

    /// When a group starts, if it is listed.
    pub fn due(&self, group: &GroupId) -> Option<Due> {
        self.entries.get(group).map(|entry| entry.due)
    }

    /// How many groups are listed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
