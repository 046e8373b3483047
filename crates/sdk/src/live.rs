//! A handle that resolves at use.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// What a live handle needs to know of its value.
pub trait Versioned {
    /// The publication: a number that rises with every pointer move, rollback included.
    fn publication(&self) -> u64;
}

/// What became of an offered value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a refused value must not be acknowledged"]
pub enum Offer {
    /// It is in force: whoever resolves from now on gets it.
    Taken,
    /// This publication was in force already; the value in force stays.
    Same,
    /// It is older than what is in force, and was refused.
    Lower {
        /// The publication in force.
        held: u64,
    },
}

/// A value that changes while its users hold the handle. Cheap to clone; the last one dropped ends the task behind it.
///
/// Resolve with [`Live::current`] each time the value is used, and keep the result no longer than that use.
#[derive(Debug)]
pub struct Live<T> {
    cell: Arc<Cell<T>>,
    task: Option<Arc<AbortOnDrop>>,
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone(), task: self.task.clone() }
    }
}

impl<T: Versioned> Live<T> {
    /// A handle without a task behind it: it changes when somebody calls [`Live::offer`].
    pub fn new(value: T) -> Self {
        Self { cell: Arc::new(Cell::new(Arc::new(value))), task: None }
    }

    /// The value in force, whole.
    pub fn current(&self) -> Arc<T> {
        self.cell.current()
    }

    /// Puts `value` in force, unless its publication is not higher than that in force. Never looks at generations: a
    /// rollback has a lower one.
    pub fn offer(&self, value: Arc<T>) -> Offer {
        self.cell.offer(value)
    }

    /// Tells of every swap. The receiver's value is the publication in force.
    pub fn swaps(&self) -> watch::Receiver<u64> {
        self.cell.publication.subscribe()
    }

    /// Says that `publication` was used with success, so that this is acknowledged. Cheap when repeated.
    pub fn used(&self, publication: u64) {
        self.cell.used.send_if_modified(|used| {
            let news = publication > *used;
            *used = publication.max(*used);
            news
        });
    }

    /// Says that the target refused `publication`, and waits, at most `wait_max`, until another one is in force. Many
    /// callers cause one look at the controller. Returns whether there is another one now.
    pub async fn refused(&self, publication: u64, wait_max: Duration) -> bool {
        let mut swaps = self.swaps();
        self.cell.suspect.notify_one();
        let changed = swaps.wait_for(|now| *now != publication);
        tokio::time::timeout(wait_max, changed).await.is_ok_and(|changed| changed.is_ok())
    }

    /// The highest publication that was used with success; 0 if none was.
    pub fn highest_used(&self) -> u64 {
        *self.cell.used.borrow()
    }

    pub(crate) fn with_tasks(cell: Arc<Cell<T>>, tasks: Vec<AbortHandle>) -> Self {
        Self { cell, task: Some(Arc::new(AbortOnDrop(tasks))) }
    }
}

/// What handles and the task behind them share.
#[derive(Debug)]
pub(crate) struct Cell<T> {
    value: watch::Sender<Arc<T>>,
    publication: watch::Sender<u64>,
    /// The highest publication that was used with success.
    pub(crate) used: watch::Sender<u64>,
    /// Somebody was refused with the value in force.
    pub(crate) suspect: Notify,
}

impl<T: Versioned> Cell<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        let publication = value.publication();
        Self {
            value: watch::Sender::new(value),
            publication: watch::Sender::new(publication),
            used: watch::Sender::new(0),
            suspect: Notify::new(),
        }
    }

    pub(crate) fn current(&self) -> Arc<T> {
        self.value.borrow().clone()
    }

    pub(crate) fn offer(&self, offered: Arc<T>) -> Offer {
        let publication = offered.publication();
        let mut answer = Offer::Taken;
        // The comparison and the swap are one step under the channel's lock: two offers cannot overtake each other.
        self.value.send_if_modified(|held| {
            let held_publication = held.publication();
            answer = match publication.cmp(&held_publication) {
                std::cmp::Ordering::Greater => {
                    *held = offered;
                    Offer::Taken
                }
                std::cmp::Ordering::Equal => Offer::Same,
                std::cmp::Ordering::Less => Offer::Lower { held: held_publication },
            };
            answer == Offer::Taken
        });
        if answer == Offer::Taken {
            self.publication.send_if_modified(|known| {
                let news = publication > *known;
                *known = publication.max(*known);
                news
            });
        }
        answer
    }
}

#[derive(Debug)]
struct AbortOnDrop(Vec<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::tests::credential;

    #[test]
    fn a_lower_publication_is_refused_a_lower_generation_is_not() {
        let live = Live::new(credential(4, 3));
        assert_eq!(live.offer(Arc::new(credential(3, 9))), Offer::Lower { held: 4 });
        assert_eq!(live.current().generation(), 3, "a replayed publication changes nothing");
        assert_eq!(live.offer(Arc::new(credential(4, 9))), Offer::Same);
        assert_eq!(live.current().generation(), 3);
        assert_eq!(live.offer(Arc::new(credential(5, 2))), Offer::Taken);
        assert_eq!(live.current().generation(), 2, "a rollback is a higher publication of a lower generation");
    }

    #[test]
    fn a_publication_is_swapped_whole() {
        let live = Live::new(credential(1, 1));
        let writer = {
            let live = live.clone();
            std::thread::spawn(move || {
                for number in 2..200 {
                    assert_eq!(live.offer(Arc::new(credential(number, number))), Offer::Taken);
                }
            })
        };
        while live.current().publication() < 199 {
            let now = live.current();
            assert_eq!(now.user().unwrap(), format!("orders_{}", now.generation()));
            let value = handover_secret::Secret::from_text(format!("password-{}", now.generation()));
            assert!(now.value().matches(&value), "user and password of one publication");
        }
        writer.join().unwrap();
    }

    #[test]
    fn swaps_are_told() {
        let live = Live::new(credential(1, 1));
        let mut swaps = live.swaps();
        assert_eq!(live.offer(Arc::new(credential(1, 1))), Offer::Same);
        assert!(!swaps.has_changed().unwrap());
        assert_eq!(live.offer(Arc::new(credential(2, 2))), Offer::Taken);
        assert_eq!(*swaps.borrow_and_update(), 2);
    }

    #[tokio::test]
    async fn one_who_was_refused_learns_of_another_publication_or_gives_up() {
        let live = Live::new(credential(1, 1));
        assert!(!live.refused(1, Duration::from_millis(10)).await, "nothing new came");
        let waiting = tokio::spawn({
            let live = live.clone();
            async move { live.refused(1, Duration::from_secs(20)).await }
        });
        assert_eq!(live.offer(Arc::new(credential(2, 2))), Offer::Taken);
        assert!(waiting.await.unwrap());
    }
}
