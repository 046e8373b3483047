//! Which group is due when. The cost of finding the next one follows what is due, not what exists.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use handover_core::GroupId;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How a group is woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Wake {
    /// A look at the row is enough; a wait after a failure goes on.
    Hint,
    /// The row was changed by a person: a wait after a failure ends, and work on the old row stops.
    Changed,
}

/// The queue. Wake-ups only wake: whoever is woken reads its row again.
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    pub(crate) news: Notify,
}

#[derive(Default)]
struct Inner {
    order: BTreeSet<(Instant, GroupId)>,
    slots: HashMap<GroupId, Slot>,
}

#[derive(Default)]
struct Slot {
    due: Option<Instant>,
    running: bool,
    woken: Option<Wake>,
}

impl Queue {
    /// Wakes a group: due now, or again as soon as the work on it ends.
    pub(crate) fn wake(&self, group: &GroupId, wake: Wake, now: Instant) {
        let mut inner = self.lock();
        let slot = inner.slots.entry(group.clone()).or_default();
        slot.woken = slot.woken.max(Some(wake));
        if !slot.running {
            inner.schedule(group, now);
        }
        drop(inner);
        self.news.notify_one();
    }

    /// Makes a group due now unless it is queued or worked on already.
    pub(crate) fn ensure(&self, group: &GroupId, now: Instant) {
        let mut inner = self.lock();
        let slot = inner.slots.entry(group.clone()).or_default();
        if !slot.running && slot.due.is_none() {
            inner.schedule(group, now);
            drop(inner);
            self.news.notify_one();
        }
    }

    /// Takes every group that is due, each with how it was woken; they count as worked on until [`Queue::finished`].
    pub(crate) fn take(&self, now: Instant) -> Vec<(GroupId, Option<Wake>)> {
        let mut inner = self.lock();
        let mut taken = Vec::new();
        while let Some((due, _)) = inner.order.first()
            && *due <= now
            && let Some((_, group)) = inner.order.pop_first()
        {
            let slot = inner.slots.entry(group.clone()).or_default();
            slot.due = None;
            slot.running = true;
            taken.push((group, slot.woken.take()));
        }
        taken
    }

    /// The work on a group ended; it is due at `next`, or not before somebody wakes it.
    pub(crate) fn finished(&self, group: &GroupId, next: Option<Instant>, now: Instant) {
        let mut inner = self.lock();
        let slot = inner.slots.entry(group.clone()).or_default();
        slot.running = false;
        let next = if slot.woken.is_some() { Some(now) } else { next };
        match next {
            Some(next) => inner.schedule(group, next),
            None => drop(inner.slots.remove(group)),
        }
    }

    /// Whether a person changed the row since the work on it began.
    pub(crate) fn changed(&self, group: &GroupId) -> bool {
        self.lock().slots.get(group).is_some_and(|slot| slot.woken == Some(Wake::Changed))
    }

    /// Takes a wake-up that came during the work, because the row is read again anyway.
    pub(crate) fn acknowledge(&self, group: &GroupId) -> Option<Wake> {
        self.lock().slots.get_mut(group).and_then(|slot| slot.woken.take())
    }

    /// When the next group is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.lock().order.first().map(|(due, _)| *due)
    }

    /// How many groups wait for their time, and how many are worked on.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.order.len(), inner.slots.values().filter(|slot| slot.running).count())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn schedule(&mut self, group: &GroupId, due: Instant) {
        let slot = self.slots.entry(group.clone()).or_default();
        if let Some(before) = slot.due.replace(due) {
            self.order.remove(&(before, group.clone()));
        }
        self.order.insert((due, group.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).unwrap()
    }

    #[test]
    fn a_group_is_worked_on_once_at_a_time_and_a_wake_in_between_is_not_lost() {
        let (queue, now, a) = (Queue::default(), Instant::now(), group("a"));
        queue.wake(&a, Wake::Hint, now);
        queue.wake(&a, Wake::Hint, now);
        assert_eq!(queue.take(now), [(a.clone(), Some(Wake::Hint))]);
        queue.wake(&a, Wake::Changed, now);
        assert!(queue.changed(&a));
        assert_eq!(queue.take(now), [], "it is being worked on");
        queue.finished(&a, None, now);
        assert_eq!(queue.take(now), [(a.clone(), Some(Wake::Changed))]);
        queue.finished(&a, None, now);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn the_earliest_due_comes_first_and_later_ones_wait() {
        let (queue, now) = (Queue::default(), Instant::now());
        for (name, secs) in [("b", 2), ("a", 1), ("c", 3)] {
            queue.ensure(&group(name), now);
            let _taken = queue.take(now);
            queue.finished(&group(name), Some(now + Duration::from_secs(secs)), now);
        }
        assert_eq!(queue.next(), Some(now + Duration::from_secs(1)));
        let taken: Vec<_> = queue.take(now + Duration::from_secs(2)).into_iter().map(|(group, _)| group).collect();
        assert_eq!(taken, [group("a"), group("b")]);
    }
}
