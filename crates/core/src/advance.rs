//! The next row from a fact.

use crate::effect::Fact;
use crate::model::Row;
use crate::plan::Plan;
use crate::time::Timestamp;

/// A fact, and when it was learnt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Our clock when it was learnt.
    pub now: Timestamp,
    /// What was learnt.
    pub fact: Fact,
}

/// Why a fact or an order does not apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no live rotation.
    NotLive,
}

/// First row of a rotation.
pub fn start(row: &Row, _plan: &Plan, _now: Timestamp) -> Result<Row, Refusal> {
    Ok(row.clone())
}

/// Next row.
pub fn advance(row: &Row, _plan: &Plan, _seen: &Seen) -> Result<Row, Refusal> {
    Ok(row.clone())
}
