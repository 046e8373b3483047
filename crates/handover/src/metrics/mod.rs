//! Metrics: what is counted here, and the text that Prometheus scrapes. The engine offers plain numbers; this is the one
//! place that knows an exporter.

pub(crate) mod names;
mod recall;
mod render;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use handover_adapters::state::sqlite::Batches;
use handover_engine::{CALL_BOUNDS_S, Spread};

pub(crate) use recall::recall;
pub(crate) use render::{Scrape, render};

/// The media type of a scrape.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counts what the server does.
#[derive(Debug)]
pub(crate) struct Meter {
    started_at: SystemTime,
    http: Mutex<Http>,
    proofs_refused: AtomicU64,
    exports: Arc<Exports>,
    batches: Arc<Batches>,
}

/// Batches of spans that were sent, and that could not be sent.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    pub(crate) done: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// What is counted of requests.
#[derive(Clone, Debug, Default)]
struct Http {
    requests: BTreeMap<(String, &'static str, u16), u64>,
    durations: BTreeMap<(String, &'static str), Spread>,
    refused: BTreeMap<&'static str, u64>,
}

impl Meter {
    pub(crate) fn new(exports: Arc<Exports>, batches: Arc<Batches>) -> Self {
        Self {
            started_at: SystemTime::now(),
            http: Mutex::default(),
            proofs_refused: AtomicU64::new(0),
            exports,
            batches,
        }
    }

    /// A request was answered. `route` is a template of ours: never what was sent.
    pub(crate) fn answered(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let mut http = self.http();
        *http.requests.entry((route.to_owned(), method, status)).or_default() += 1;
        http.durations.entry((route.to_owned(), method)).or_insert_with(|| Spread::new(&CALL_BOUNDS_S)).add(took);
        let reason = match status {
            401 => "unauthenticated",
            403 => "not_permitted",
            _ => return,
        };
        *http.refused.entry(reason).or_default() += 1;
    }

    /// An acknowledgement was refused for its proof.
    pub(crate) fn proof_refused(&self) {
        self.proofs_refused.fetch_add(1, Ordering::Relaxed);
    }

    fn http(&self) -> MutexGuard<'_, Http> {
        self.http.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
