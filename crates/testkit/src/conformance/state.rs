//! The suite of [`StateStore`] and [`Consumers`]: what every state must do, whatever keeps it.
//!
//! A state supplies a [`Harness`] for each case; [`failures`] runs every case and names those that failed.
#![expect(clippy::expect_used, reason = "a suite asserts")]

/// A table of the cases that are named.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        pub(super) const CASES: &[(&str, super::Case)] =
            &[$((stringify!($case), |harness| Box::pin($case(harness)))),*];
    };
}

mod campaigns;
mod cases;
mod consumers;
mod forget;
mod sample;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use handover_core::port::{Answer, Commit, Committed, Consumers, Entry, Loaded, Record, StateStore};
use handover_core::{Candidate, Epoch, Fault, Generation, GroupId, Row, RowVersion, Timestamp};
use handover_secret::Secret;

pub use campaigns::campaigns;
pub use sample::{asking_plans, doubted_rows, plans, rows};

/// Both ports that a state serves.
pub trait State: StateStore + Consumers {}

impl<T: StateStore + Consumers> State for T {}

/// What the suite needs of a state besides its ports. One for each case: it starts empty.
pub trait Harness: Send + Sync {
    /// Opens the state as the next process would. The lease of an earlier one is free once all its handles are dropped.
    fn open(&self) -> Answer<'_, Arc<dyn State>>;

    /// Everything that the state keeps at rest. No value may be found in it in clear.
    fn at_rest(&self) -> Vec<u8>;
}

/// Runs every case on a harness of its own, and names those that failed.
pub async fn failures<M, H>(make: M) -> Vec<&'static str>
where
    M: Fn() -> H,
    H: Harness + 'static,
{
    let mut failed = Vec::new();
    for (name, case) in cases::CASES.iter().chain(consumers::CASES).chain(forget::CASES).chain(campaigns::CASES) {
        // A task of its own, so that a case that panics does not take the others with it.
        if tokio::spawn(case(Arc::new(make()))).await.is_err() {
            failed.push(*name);
        }
    }
    failed
}

type Case = fn(Arc<dyn Harness>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A state that is open, with the lease.
struct World {
    harness: Arc<dyn Harness>,
    state: Arc<dyn State>,
    epoch: Epoch,
}

impl World {
    async fn open(harness: Arc<dyn Harness>) -> Self {
        let state = harness.open().await.expect("an empty or well kept state opens");
        let epoch = state.lease().await.expect("nobody else holds the lease");
        Self { harness, state, epoch }
    }

    /// Ends, and starts again.
    async fn reopened(self) -> Self {
        drop(self.state);
        Self::open(self.harness).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed<Row>, Fault> {
        self.state.commit(commit).await
    }

    async fn loaded(&self, group: &GroupId) -> Loaded {
        self.state.load(group).await.expect("a load").expect("there is a row")
    }

    async fn records(&self) -> Vec<Record> {
        self.state.records(0, 10_000).await.expect("records")
    }

    async fn value(&self, group: &GroupId, generation: u64, candidate: u32) -> Option<Secret> {
        self.state.candidate(group, Generation(generation), Candidate(candidate)).await.expect("it opens")
    }

    /// A commit that moves an empty row from `expect` to the version after it, with one line of history.
    fn step(&self, group: &GroupId, expect: Option<u64>) -> Commit {
        let version = RowVersion(expect.map_or(1, |expect| expect + 1));
        Commit {
            row: Row { version, ..Row::new(group.clone()) },
            plan: None,
            expect: expect.map(RowVersion),
            epoch: self.epoch,
            candidate: None,
            erase: Vec::new(),
            due_at: None,
            entries: vec![entry("advanced", version.0)],
        }
    }
}

fn group(name: &str) -> GroupId {
    GroupId::parse(name).expect("a good name")
}

fn entry(event: &'static str, number: u64) -> Entry {
    Entry { at: Timestamp(1_000), event, actor: "engine".to_owned(), fields: vec![("number", format!("<{number}>"))] }
}

fn canary(group: &GroupId, generation: u64, candidate: u32) -> String {
    format!("canary-{group}-{generation}-{candidate}-Zm9yYmlkZGVu")
}

fn minted(group: &GroupId, generation: u64, candidate: u32) -> Option<(Generation, Candidate, Secret)> {
    let value = Secret::from_text(canary(group, generation, candidate));
    Some((Generation(generation), Candidate(candidate), value))
}
