//! Deliveries that are known to stand, so that a repeat of one needs no write.
//!
//! A delivery is known only once its transaction is durable, and is not known any more from the moment somebody begins to
//! take it back. Whatever was recorded while something was taken back is not believed: which of the two came first is in
//! the file alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use handover_core::port::Delivery;
use handover_core::{ConsumerId, GroupId, Role};

/// How many deliveries are known. When there are more, all are forgotten, and the next of each is recorded anew.
const HANDED_MAX: usize = 16_384;

type Key = (GroupId, ConsumerId, Role);

/// The newest delivery to each consumer in each role.
pub(super) struct Handed {
    known: RwLock<Known>,
    /// Set when nobody can say what the disk holds: then nothing is known.
    lost: Arc<AtomicBool>,
}

#[derive(Default)]
struct Known {
    /// Grows whenever something begins or ends to be taken back.
    taken_back: u64,
    deliveries: HashMap<Key, Delivery>,
}

/// When a recording began.
pub(super) struct Begun(u64);

/// What a group's consumers were handed is being taken back, until this is dropped.
pub(super) struct TakingBack<'a> {
    handed: &'a Handed,
    group: GroupId,
}

impl Handed {
    pub(super) fn new(lost: Arc<AtomicBool>) -> Self {
        Self { known: RwLock::default(), lost }
    }

    pub(super) fn find(&self, group: &GroupId, consumer: &ConsumerId, role: Role) -> Option<Delivery> {
        if self.lost.load(Ordering::Acquire) {
            return None;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.deliveries.get(&(group.clone(), consumer.clone(), role)).cloned()
    }

    /// To be called before a delivery is recorded.
    pub(super) fn begin(&self) -> Begun {
        Begun(self.known.read().unwrap_or_else(PoisonError::into_inner).taken_back)
    }

    /// The recording that began then is durable.
    pub(super) fn keep(&self, begun: Begun, key: Key, delivery: &Delivery) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.taken_back != begun.0 {
            return;
        }
        if known.deliveries.len() >= HANDED_MAX && !known.deliveries.contains_key(&key) {
            known.deliveries.clear();
        }
        // The file keeps nonces of the highest publication only, whichever was recorded last.
        if known.deliveries.get(&key).is_none_or(|newest| newest.publication <= delivery.publication) {
            known.deliveries.insert(key, delivery.clone());
        }
    }

    /// To be held from before the order is given to take something back until it was carried out. Whoever stops waiting
    /// drops it earlier; the order stands in the queue by then, before all that begins later.
    pub(super) fn taking_back(&self, group: &GroupId) -> TakingBack<'_> {
        self.forget(group);
        TakingBack { handed: self, group: group.clone() }
    }

    fn forget(&self, group: &GroupId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.taken_back += 1;
        known.deliveries.retain(|(of, ..), _| of != group);
    }
}

impl Drop for TakingBack<'_> {
    fn drop(&mut self) {
        self.handed.forget(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use handover_core::{Generation, Publication};

    use super::*;

    fn key(group: &str) -> Key {
        (GroupId::parse(group).unwrap(), ConsumerId::parse("app").unwrap(), Role::Presenter)
    }

    fn delivery(publication: u64) -> Delivery {
        Delivery { publication: Publication(publication), generation: Generation(1), nonce: vec![1] }
    }

    fn handed() -> Handed {
        Handed::new(Arc::default())
    }

    fn find(handed: &Handed, group: &str) -> Option<Delivery> {
        let (group, consumer, role) = key(group);
        handed.find(&group, &consumer, role)
    }

    #[test]
    fn what_was_recorded_while_something_was_taken_back_is_not_believed() {
        let handed = handed();
        let before = handed.begin();
        let taking = handed.taking_back(&key("a").0);
        let during = handed.begin();
        handed.keep(before, key("a"), &delivery(1));
        assert_eq!(find(&handed, "a"), None);
        // It may have been recorded before what takes it back, or after.
        handed.keep(during, key("a"), &delivery(1));
        assert_eq!(find(&handed, "a"), Some(delivery(1)));
        let during = handed.begin();
        drop(taking);
        assert_eq!(find(&handed, "a"), None);
        handed.keep(during, key("a"), &delivery(1));
        assert_eq!(find(&handed, "a"), None);
        handed.keep(handed.begin(), key("a"), &delivery(1));
        assert_eq!(find(&handed, "a"), Some(delivery(1)));
    }

    #[test]
    fn others_are_left_alone_and_the_highest_publication_stands() {
        let handed = handed();
        handed.keep(handed.begin(), key("a"), &delivery(2));
        handed.keep(handed.begin(), key("b"), &delivery(2));
        handed.keep(handed.begin(), key("a"), &delivery(1));
        assert_eq!(find(&handed, "a"), Some(delivery(2)));
        drop(handed.taking_back(&key("a").0));
        assert_eq!((find(&handed, "a"), find(&handed, "b")), (None, Some(delivery(2))));
    }

    #[test]
    fn nothing_is_known_once_the_file_is_lost() {
        let handed = handed();
        handed.keep(handed.begin(), key("a"), &delivery(1));
        handed.lost.store(true, Ordering::Release);
        assert_eq!(find(&handed, "a"), None);
    }

    #[test]
    fn no_more_is_known_than_the_limit() {
        let handed = handed();
        for number in 0..=HANDED_MAX {
            handed.keep(handed.begin(), key(&format!("g{number}")), &delivery(1));
        }
        assert!(find(&handed, "g0").is_none() && find(&handed, &format!("g{HANDED_MAX}")).is_some());
    }
}
