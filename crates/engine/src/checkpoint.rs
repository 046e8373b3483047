//! Checkpoints of the history: some time after something was committed, after many commits, and at the end.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::{Call, Whom};
use crate::shared::Shared;
use crate::telemetry;

/// Makes checkpoints until it is told to drain. The last one is the caller's, once all work has ended.
pub(crate) async fn run(shared: Arc<Shared>, mut drain: watch::Receiver<bool>) {
    let mut committed = shared.committed.subscribe();
    // Whatever a process that died left without a checkpoint gets one.
    let mut open = true;
    while !*drain.borrow_and_update() {
        if !open {
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return },
                _ = drain.changed() => return,
            }
        }
        let since = *committed.borrow_and_update();
        let enough = shared.options.checkpoint_commits_max.max(1);
        let until = Instant::now() + shared.options.checkpoint_every;
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            many = committed.wait_for(|count| count.wrapping_sub(since) >= enough) => if many.is_err() { return },
            _ = drain.changed() => return,
        }
        open = make(&shared).await;
    }
}

/// Makes one, if there is anything to vouch for. Whether it has to be tried again.
pub(crate) async fn make(shared: &Shared) -> bool {
    if shared.lease_doubted() {
        return true;
    }
    let (epoch, at) = (shared.epoch(), shared.now());
    let call = Call::act(Whom::State, "checkpoint");
    match shared.calls.make(call, || shared.ports.state.checkpoint(epoch, at)).await {
        Ok(made) => {
            if made {
                shared.committed.send_modify(|count| *count = count.wrapping_add(1));
            }
            false
        }
        Err(fault) => {
            tracing::warn!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::CHECKPOINT_FAILED);
            true
        }
    }
}
