//! A check in memory, which answers as it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handover_core::port::{Answer, Check, Finding, Subject};
use handover_core::{Fault, Generation, Moments};

use super::locked;

/// A check in memory. Where nothing else is ordered it passes.
#[derive(Clone, Debug)]
pub struct FakeCheck {
    name: String,
    moments: Moments,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    orders: VecDeque<FakeFinding>,
    asked: Vec<Generation>,
}

/// What a [`FakeCheck`] comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FakeFinding {
    /// It passes.
    Passed,
    /// It is known to fail.
    Failed(&'static str),
    /// It could not be found out.
    Unknown(Fault),
    /// It never answers.
    Hangs,
    /// It panics.
    Panics,
}

impl FakeCheck {
    /// One that is made at these moments.
    pub fn new(name: &str, moments: Moments) -> Self {
        Self { name: name.to_owned(), moments, inner: Arc::default() }
    }

    /// The next times it comes to this, one each.
    pub fn order(&self, findings: impl IntoIterator<Item = FakeFinding>) {
        locked(&self.inner).orders.extend(findings);
    }

    /// About which generations it was asked.
    pub fn asked(&self) -> Vec<Generation> {
        locked(&self.inner).asked.clone()
    }
}

impl Check for FakeCheck {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "fake"
    }

    fn moments(&self) -> Moments {
        self.moments
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    #[expect(clippy::panic, reason = "ordered by a test")]
    fn run<'a>(&'a self, subject: Subject<'a>) -> Answer<'a, Finding> {
        let finding = {
            let mut inner = locked(&self.inner);
            inner.asked.push(subject.who.generation);
            inner.orders.pop_front().unwrap_or(FakeFinding::Passed)
        };
        Box::pin(async move {
            match finding {
                FakeFinding::Passed => Ok(Finding::Passed),
                FakeFinding::Failed(reason) => Ok(Finding::Failed(reason.to_owned())),
                FakeFinding::Unknown(fault) => Err(fault),
                FakeFinding::Hangs => std::future::pending().await,
                FakeFinding::Panics => panic!("ordered"),
            }
        })
    }
}
