//! What runs in progress still see: they read the state of the moment in which they began.

use std::collections::VecDeque;

use super::state::{Held, State};

/// Epochs that runs in progress see, with how many each.
#[derive(Default)]
pub(crate) struct Pins(VecDeque<(u64, u32)>);

/// A value that is over: it held in the epochs from `from` until before `until`.
pub(crate) struct Past {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) held: Held,
}

impl Pins {
    /// Whether a run sees one of the epochs from `from` until before `until`.
    pub(crate) fn any_in(&self, from: u64, until: u64) -> bool {
        let first = self.0.partition_point(|(epoch, _)| *epoch < from);
        self.0.range(first..).take_while(|(epoch, _)| *epoch < until).any(|(_, count)| *count > 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|(_, count)| *count as usize).sum()
    }
}

impl State {
    /// Keeps the values of an epoch until [`State::unpin`].
    pub(crate) fn pin(&mut self) -> u64 {
        match self.pins.0.back_mut() {
            Some((epoch, count)) if *epoch == self.epoch => *count += 1,
            Some(_) | None => self.pins.0.push_back((self.epoch, 1)),
        }
        self.epoch
    }

    /// Lets go of an epoch. Returns the values that nobody sees any more, to be dropped when the lock is free.
    #[must_use]
    pub(crate) fn unpin(&mut self, epoch: u64) -> Vec<Past> {
        let place = self.pins.0.partition_point(|(pinned, _)| *pinned < epoch);
        let Some((_, count)) = self.pins.0.get_mut(place) else { return Vec::new() };
        *count -= 1;
        if *count > 0 {
            return Vec::new();
        }
        while self.pins.0.front().is_some_and(|(_, count)| *count == 0) {
            self.pins.0.pop_front();
        }
        if self.past.is_empty() {
            return Vec::new();
        }
        let pins = &self.pins;
        let mut over = Vec::new();
        self.past.retain(|_, kept| {
            over.extend(kept.extract_if(.., |past| !pins.any_in(past.from, past.until)));
            !kept.is_empty()
        });
        over
    }

    /// Keeps a value that is over, if a run sees it. Otherwise it comes back, to be dropped when the lock is free.
    #[must_use]
    pub(crate) fn keep(&mut self, index: u32, past: Past) -> Option<Past> {
        if past.from >= past.until || !self.pins.any_in(past.from, past.until) {
            return Some(past);
        }
        self.past.entry(index).or_default().push(past);
        None
    }

    /// What a node held in an epoch that is over.
    pub(crate) fn past_of(&self, index: u32, epoch: u64) -> Option<&Held> {
        let past = self.past.get(&index)?.iter();
        past.filter(|past| past.from <= epoch && epoch < past.until).map(|past| &past.held).next_back()
    }
}
