//! How much work shares a transaction.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts committed transactions, and the pieces of work in them.
#[derive(Debug, Default)]
pub struct Batches {
    transactions: AtomicU64,
    writes: AtomicU64,
}

impl Batches {
    /// How many transactions were committed, and how many pieces of work they held.
    pub fn counted(&self) -> (u64, u64) {
        (self.transactions.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    pub(super) fn committed(&self, writes: usize) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
    }
}
