//! What to do now, whom it waits for, and when to look again.

use crate::effect::Effect;
use crate::model::Row;
use crate::plan::Plan;
use crate::time::Timestamp;

/// Whom or what a phase waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Blocker {
    /// Held.
    Held,
}

/// What a row wants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// To do now, in this order.
    pub effects: Vec<Effect>,
    /// Whom or what it waits for.
    pub waiting_for: Vec<Blocker>,
    /// When to look again at the latest, if nothing else happens.
    pub wake_at: Option<Timestamp>,
}

/// Derives what to do from a row.
pub fn wants(_row: &Row, _plan: &Plan, _now: Timestamp) -> Wants {
    Wants::default()
}
