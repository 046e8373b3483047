//! What rotations came to, folded from the history.
//!
//! Nothing is remembered but what the history says: after a restart the same is folded again. The fold goes on from where
//! it was, so that a request costs what happened since the last one, and what is kept of it is bounded.

mod ledger;
mod summary;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_core::{Fault, Timestamp};
use handover_engine::{Handle, history};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alerts;
use crate::server::configured::Configured;

pub(crate) use ledger::{Body, Ledger, Watched};
pub(crate) use summary::{AgeCount, Window, summary};

/// How many records are read at once.
const PAGE_RECORDS: usize = 1_000;

/// How many records are folded after a start at most: the newest ones. Figures say from when on they are complete.
const RECORDS_MAX: u64 = 2_000_000;

/// How often what happened is folded while nobody asks.
const EVERY: Duration = Duration::from_secs(5);

/// How long a request waits for records that are not folded yet. What is left then is told as such.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps the figures.
#[derive(Default)]
pub(crate) struct Statistics {
    ledger: Mutex<Ledger>,
    /// One at a time folds.
    folding: tokio::sync::Mutex<()>,
}

impl Statistics {
    /// Folds what happened, and looks for alerts, until `drain` turns true.
    pub(crate) async fn follow(&self, engine: &Handle, configured: &Configured, mut drain: watch::Receiver<bool>) {
        loop {
            let looked = tokio::select! {
                _ = drain.wait_for(|drain| *drain) => return,
                looked = self.look(engine, configured) => looked,
            };
            if let Err(fault) = looked {
                // Whoever asks for figures is told; here it is tried again.
                tracing::debug!(
                    code = fault.kind.code(),
                    "history could not be read for figures and alerts, or none be added"
                );
            }
            tokio::select! {
                _ = drain.wait_for(|drain| *drain) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self, engine: &Handle, configured: &Configured) -> Result<(), Fault> {
        self.fold(engine, None).await?;
        alerts::look(engine, self, configured, Timestamp(jiff::Timestamp::now().as_millisecond())).await
    }

    /// Folds what happened until now, as far as that is quickly done; how many records are left.
    pub(crate) async fn catch_up(&self, engine: &Handle) -> Result<u64, Fault> {
        self.fold(engine, Some(Instant::now() + PATIENCE)).await?;
        let last = engine.history(None, None, 1).await?.first().map_or(0, |record| record.position);
        Ok(last.saturating_sub(self.ledger().position()))
    }

    /// What is folded. To be held shortly.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fold(&self, engine: &Handle, until: Option<Instant>) -> Result<(), Fault> {
        let is_late = || until.is_some_and(|until| Instant::now() >= until);
        let turn = match until {
            None => self.folding.lock().await,
            Some(until) => match tokio::time::timeout_at(until, self.folding.lock()).await {
                Ok(turn) => turn,
                // Somebody folds, and that takes long: after a start.
                Err(_) => return Ok(()),
            },
        };
        if self.ledger().position() == 0 {
            let last = engine.history(None, None, 1).await?.first().map_or(0, |record| record.position);
            self.ledger().begin_after(last.saturating_sub(RECORDS_MAX));
        }
        loop {
            let position = self.ledger().position();
            let records = engine.records(position, PAGE_RECORDS).await?;
            {
                let mut ledger = self.ledger();
                records.iter().for_each(|record| ledger.fold(record));
            }
            if records.len() < PAGE_RECORDS || is_late() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(turn);
        Ok(())
    }
}

/// When the counters were reset last. Read from the end of a history of its own: it costs one record.
pub(crate) async fn reset_at(engine: &Handle) -> Result<Option<Timestamp>, Fault> {
    let found = engine.history(Some(&history::statistics()), None, 1).await?;
    Ok(found.first().map(|record| record.at))
}
