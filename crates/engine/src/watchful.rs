//! How the engine itself is doing: for metrics, for readiness, and for whoever looks after sinks.

use std::collections::BTreeMap;
use std::time::Duration;

use handover_core::{Epoch, Fault, GroupId};
use tokio::time::Instant;

use crate::call::{Call, Whom};
use crate::handle::{FaultSeen, Handle};
use crate::numbers::{Counters, GroupNumbers, Recalled, StateTrouble};

/// How the engine stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The epoch of the lease that was taken last.
    pub epoch: Epoch,
    /// Whether the lease is held, as far as is known.
    pub lease_held: bool,
    /// Why the state store cannot be written or read, if its last calls failed.
    pub state: Option<StateTrouble>,
    /// How long ago the loop came by; `None` before its first time, and after its end.
    pub since_beat: Option<Duration>,
    /// The longest that the loop may stay away when all is well.
    pub beat_max: Duration,
    /// Groups that wait for their time.
    pub queued: usize,
    /// Groups that are worked on.
    pub running: usize,
}

impl Standing {
    /// Whether the loop works.
    pub fn alive(&self) -> bool {
        self.since_beat.is_some_and(|since| since <= self.beat_max)
    }
}

/// How far a sink got, as the state says, and how it is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SinkProgress {
    /// Its name.
    pub name: String,
    /// Everything up to this position is delivered.
    pub position: u64,
    /// How many records wait for it.
    pub waiting: u64,
    /// Since when it takes nothing, and why; `None` if the last delivery went well, or none was tried.
    pub failing: Option<FaultSeen>,
    /// How many records it took from this process.
    pub records: u64,
    /// How many deliveries to it failed in this process.
    pub failures: u64,
}

impl Handle {
    /// How the engine stands.
    pub fn standing(&self) -> Standing {
        let shared = &self.shared;
        let (queued, running) = shared.queue.depth();
        Standing {
            epoch: shared.epoch(),
            lease_held: !shared.lease_doubted(),
            state: shared.numbers.state_trouble(),
            since_beat: shared.numbers.since_beat(Instant::now()),
            // The loop waits for a sweep, and a sweep for one call of the state store.
            beat_max: shared.options.sweep_every + shared.options.state_deadline + BEAT_SLACK,
            queued,
            running,
        }
    }

    /// What happened since the process started.
    pub fn counters(&self) -> Counters {
        self.shared.numbers.counters()
    }

    /// How configured groups stand, of which a row was read or committed: `most` of those that are `wanted`, first those
    /// with a live rotation, then the others by name. And how many were left out.
    pub fn groups_now(
        &self,
        wanted: impl Fn(&GroupId) -> bool,
        most: usize,
    ) -> (BTreeMap<GroupId, GroupNumbers>, usize) {
        let bindings = self.shared.bindings();
        self.shared.numbers.groups(|group| bindings.contains_key(group) && wanted(group), most)
    }

    /// Shows how each configured group stands, without a copy of all of them. `see` must be quick, and ask the engine for
    /// nothing: meanwhile no row is committed.
    pub fn each_group_now(&self, mut see: impl FnMut(&GroupId, &GroupNumbers)) {
        let bindings = self.shared.bindings();
        self.shared.numbers.each(|group, numbers| {
            if bindings.contains_key(group) {
                see(group, numbers);
            }
        });
    }

    /// Tells the numbers what history says of a group, where its row does not.
    pub fn recalled(&self, group: &GroupId, recalled: &Recalled) {
        self.shared.numbers.recalled(group, recalled);
    }

    /// How far each sink got, and how many records wait for it.
    pub async fn sinks_progress(&self) -> Result<Vec<SinkProgress>, Fault> {
        let (state, calls) = (&self.shared.ports.state, &self.shared.calls);
        let mut all = Vec::new();
        for seen in self.shared.sinks_seen() {
            let cursor = calls.make(Call::look(Whom::State, "cursor"), || state.cursor(&seen.name)).await?;
            // Asked after the cursor, so that it is not behind it.
            let last = self.history(None, None, 1).await?.first().map_or(0, |record| record.position);
            all.push(SinkProgress {
                position: cursor,
                waiting: last.saturating_sub(cursor),
                failing: seen.failing,
                records: seen.records,
                failures: seen.failures,
                name: seen.name,
            });
        }
        Ok(all)
    }
}

/// What a busy machine may add.
const BEAT_SLACK: Duration = Duration::from_secs(10);
