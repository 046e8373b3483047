//! Invariants of a row.

use crate::model::Row;
use crate::plan::Plan;

/// A broken invariant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation {
    /// Placeholder.
    Slot,
}

/// Lists what a row breaks.
pub fn check(_row: &Row, _plan: &Plan) -> Vec<Violation> {
    Vec::new()
}
