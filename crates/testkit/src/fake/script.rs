//! What goes wrong, and when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handover_core::Fault;
use tokio::sync::{Notify, watch};

use super::locked;

/// What happens to a call instead of what should.
#[derive(Clone, Debug)]
pub enum Injection {
    /// Nothing is done; this is the answer.
    Refuse(Fault),
    /// It is done; this is the answer all the same.
    LoseReply(Fault),
    /// Nothing is done, and nothing is answered.
    Hang,
    /// It is done, and nothing is answered.
    HangAfter,
    /// Nothing is done, and the call panics with this text.
    Panic(&'static str),
    /// It is done and answered after a wait.
    Delay(Duration),
    /// Nothing is answered; it is done when the test says so, though the caller is gone by then.
    Late(Arc<Notify>),
}

/// The script of one process: which of its calls go wrong, and at which edge it dies.
///
/// Calls are named after the port and the method: `target.create`, `store.point`, `state.commit`. Each has two edges,
/// before and after what it does.
#[derive(Clone, Debug)]
pub struct Script(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lines: Mutex<Lines>,
    died: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Lines {
    once: BTreeMap<&'static str, VecDeque<Injection>>,
    always: BTreeMap<&'static str, Injection>,
    calls: Vec<&'static str>,
    edges: u64,
    die_at: Option<u64>,
}

impl Default for Script {
    fn default() -> Self {
        Self(Arc::new(Inner { lines: Mutex::default(), died: watch::Sender::new(false) }))
    }
}

impl Script {
    /// The next call of this name goes wrong. Several add up, in order.
    pub fn once(&self, name: &'static str, injection: Injection) {
        locked(&self.0.lines).once.entry(name).or_default().push_back(injection);
    }

    /// Every call of this name goes wrong until [`Script::heal`].
    pub fn always(&self, name: &'static str, injection: Injection) {
        locked(&self.0.lines).always.insert(name, injection);
    }

    /// Calls of this name are fine again.
    pub fn heal(&self, name: &'static str) {
        let mut lines = locked(&self.0.lines);
        lines.always.remove(name);
        lines.once.remove(name);
    }

    /// The process dies at this edge, counted from 1: no call of it answers any more, nor does anything.
    pub fn die_at(&self, edge: u64) {
        locked(&self.0.lines).die_at = Some(edge);
    }

    /// Waits until the process died.
    pub async fn died(&self) {
        let mut died = self.0.died.subscribe();
        // The sender lives in this script, so the wait ends by death alone.
        drop(died.wait_for(|died| *died).await);
    }

    /// How many edges were passed so far.
    pub fn edges(&self) -> u64 {
        locked(&self.0.lines).edges
    }

    /// How often a call of this name was made.
    pub fn calls(&self, name: &str) -> usize {
        locked(&self.0.lines).calls.iter().filter(|call| **call == name).count()
    }

    /// All calls, in order.
    pub fn log(&self) -> Vec<&'static str> {
        locked(&self.0.lines).calls.clone()
    }

    /// Passes a call through the script.
    pub(super) async fn pass<T: Send + 'static>(
        &self,
        name: &'static str,
        act: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.edge().await;
        let injection = {
            let mut lines = locked(&self.0.lines);
            lines.calls.push(name);
            let once = lines.once.get_mut(name).and_then(VecDeque::pop_front);
            once.or_else(|| lines.always.get(name).cloned())
        };
        let answer = match injection {
            None => act(),
            Some(Injection::Refuse(fault)) => Err(fault),
            Some(Injection::LoseReply(fault)) => act().and(Err(fault)),
            Some(Injection::Hang) => std::future::pending().await,
            Some(Injection::HangAfter) => {
                drop(act());
                std::future::pending().await
            }
            #[expect(clippy::panic, reason = "what is injected")]
            Some(Injection::Panic(text)) => panic!("{text}"),
            Some(Injection::Delay(wait)) => {
                tokio::time::sleep(wait).await;
                act()
            }
            Some(Injection::Late(go)) => {
                tokio::spawn(async move {
                    go.notified().await;
                    drop(act());
                });
                std::future::pending().await
            }
        };
        self.edge().await;
        answer
    }

    async fn edge(&self) {
        let dead = {
            let mut lines = locked(&self.0.lines);
            lines.edges += 1;
            lines.die_at.is_some_and(|edge| lines.edges >= edge)
        };
        if dead {
            self.0.died.send_replace(true);
            std::future::pending::<()>().await;
        }
    }
}
