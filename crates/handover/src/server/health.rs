//! Whether the server is ready: it holds the lease, can write its state, works, and is not about to end.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use handover_api::Ready;
use handover_engine::Standing;

use super::App;
use super::refusal::Refused;

/// Why the server is not ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unready {
    /// It was told to end.
    Leaving,
    /// The lease is gone, as far as is known.
    LeaseLost,
    /// The state could not be written or read the last time.
    StateFailing {
        /// The fault's code.
        code: &'static str,
    },
    /// The engine's loop does not come by, or did not begin.
    Stalled,
}

impl Unready {
    /// The first of the reasons.
    pub(crate) fn of(standing: &Standing, leaving: bool) -> Option<Self> {
        if leaving {
            return Some(Self::Leaving);
        }
        if !standing.lease_held {
            return Some(Self::LeaseLost);
        }
        if let Some(trouble) = &standing.state {
            return Some(Self::StateFailing { code: trouble.fault.kind.code() });
        }
        (!standing.alive()).then_some(Self::Stalled)
    }

    fn refused(&self) -> Refused {
        let title = "Not ready";
        match self {
            Self::Leaving => {
                Refused::new(503, "draining", title, "the server was told to end", "ask again once it runs again")
            }
            Self::LeaseLost => Refused::new(
                503,
                "lease_lost",
                title,
                "the lease is not held here, so that nothing is acted on",
                "look whether another server uses this state; the log says more",
            ),
            // The path and the detail are for those with a token: this answer is public.
            Self::StateFailing { code } => Refused::new(
                503,
                "state_failing",
                title,
                format!("the state could not be written or read the last time ({code})"),
                &format!("see docs/errors/{code}.md, and the log"),
            ),
            Self::Stalled => Refused::new(
                503,
                "engine_stalled",
                title,
                "the engine has not come by for longer than it may",
                "the log says what it did last; start the server again",
            ),
        }
    }
}

impl App {
    pub(crate) fn unready(&self) -> Option<Unready> {
        Unready::of(&self.engine.standing(), *self.leaving.borrow())
    }
}

pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Ready>, Refused> {
    match app.unready() {
        None => Ok(Json(Ready { status: "ready".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })),
        Some(unready) => Err(unready.refused()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handover_core::{Epoch, Fault, FaultKind};
    use handover_engine::StateTrouble;

    use super::*;

    #[test]
    fn each_reason_is_found() {
        let well = Standing {
            epoch: Epoch(1),
            lease_held: true,
            state: None,
            since_beat: Some(Duration::from_secs(1)),
            beat_max: Duration::from_secs(70),
            queued: 0,
            running: 0,
        };
        assert_eq!(Unready::of(&well, false), None);
        assert_eq!(Unready::of(&well, true), Some(Unready::Leaving));
        let lost = Standing { lease_held: false, ..well.clone() };
        assert_eq!(Unready::of(&lost, false), Some(Unready::LeaseLost));
        let fault = Fault::untouched(FaultKind::Storage, "/var/lib/handover/state.db is full");
        let full = Standing { state: Some(StateTrouble { call: "commit", fault }), ..well.clone() };
        let unready = Unready::of(&full, false).unwrap();
        assert_eq!(unready, Unready::StateFailing { code: FaultKind::Storage.code() });
        assert!(!format!("{:?}", unready.refused()).contains("/var"), "a public answer names no path");
        let late = Standing { since_beat: Some(Duration::from_secs(71)), ..well.clone() };
        assert_eq!(Unready::of(&late, false), Some(Unready::Stalled));
        assert_eq!(Unready::of(&Standing { since_beat: None, ..well }, false), Some(Unready::Stalled));
    }
}
