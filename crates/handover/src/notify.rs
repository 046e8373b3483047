//! What the service manager is told, where there is one: `NOTIFY_SOCKET` and `WATCHDOG_USEC` of systemd.

use std::time::Duration;

use handover_engine::Handle;
use sd_notify::NotifyState;

use crate::environment;

/// The server serves.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that all is well, as often as the manager wants to hear it, for as long as the engine's loop works. Returns
/// where nobody wants to hear it.
pub(crate) async fn watchdog(engine: Handle) {
    let Some(every) = environment::watchdog() else { return };
    // Twice as often as demanded: one word may be late.
    let mut tick = tokio::time::interval((every / 2).max(Duration::from_millis(10)));
    loop {
        tick.tick().await;
        if engine.standing().alive() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a manager there is nobody to tell, and a manager that does not listen acts by itself.
    drop(sd_notify::notify(false, state));
}
