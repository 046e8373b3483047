//! Limits and times of the engine, apart from any group's policy.

use std::time::Duration;

/// How the engine works. [`Options::default`] fits one controller with some thousand groups.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long one call of a target, a store or a sink may take. A call that takes longer is cut off, and its outcome
    /// is unknown. Default 15 s.
    pub call_deadline: Duration,
    /// How long one call of the state store or the consumers may take. Default 30 s.
    pub state_deadline: Duration,
    /// How many calls may run at one target or one store at the same time. Default 4.
    pub calls_each_max: usize,
    /// How many calls may run at all targets and stores together. Default 64. A target that never answers takes up at
    /// most `calls_each_max` of them.
    pub calls_max: usize,
    /// The first wait after a failure. Later ones double, with full jitter on top of this. Default 500 ms.
    pub retry_base: Duration,
    /// The longest wait after a failure. Default 60 s.
    pub retry_max: Duration,
    /// How long running work may go on after the order to drain. Default 20 s.
    pub drain_limit: Duration,
    /// How often the state store is asked for due groups that nobody woke. Default 30 s.
    pub sweep_every: Duration,
    /// How many groups one sweep takes. Default 1,000.
    pub sweep_max: usize,
    /// How many rotations may be live for the schedule to start another one; held ones do not count. Default 16.
    pub scheduled_max: usize,
    /// How many records a sink is given at once. Default 256.
    pub outbox_batch_max: usize,
    /// How long a sink that took all there was is left alone, so that what is committed meanwhile goes together: each
    /// delivery costs flushes. Default 50 ms.
    pub outbox_pause: Duration,
    /// How long after a commit history gets a checkpoint. Default 60 s.
    pub checkpoint_every: Duration,
    /// How often stores of others are looked at while nothing rotates. Default 60 s.
    pub drift_every: Duration,
    /// How often, at the most, the target is asked by a login whether it still accepts what is in force, while nothing
    /// rotates; zero: never. Default 15 min.
    pub login_every: Duration,
    /// After how many commits it gets one sooner. Default 256.
    pub checkpoint_commits_max: u64,
    /// How many events a slow receiver may fall behind before it misses some. Default 1,024.
    pub events_max: usize,
    /// How many faults are remembered per group, for people to read. Default 8.
    pub faults_kept_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            call_deadline: Duration::from_secs(15),
            state_deadline: Duration::from_secs(30),
            calls_each_max: 4,
            calls_max: 64,
            retry_base: Duration::from_millis(500),
            retry_max: Duration::from_secs(60),
            drain_limit: Duration::from_secs(20),
            sweep_every: Duration::from_secs(30),
            sweep_max: 1_000,
            scheduled_max: 16,
            outbox_batch_max: 256,
            outbox_pause: Duration::from_millis(50),
            checkpoint_every: Duration::from_secs(60),
            drift_every: Duration::from_secs(60),
            login_every: Duration::from_secs(900),
            checkpoint_commits_max: 256,
            events_max: 1_024,
            faults_kept_max: 8,
        }
    }
}
