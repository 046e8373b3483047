//! Names of spans, fields and messages, in one place. Messages are constant; what varies is in fields, and no field
//! ever holds a value of a credential or a driver's text.

/// Span around one call of a port.
pub const SPAN_CALL: &str = "call";
/// Span around one effect: the calls that perform it.
pub const SPAN_EFFECT: &str = "effect";
/// Span around the work on one group, from its load to its next wait.
pub const SPAN_DRIVE: &str = "drive";

/// Message: a row was committed.
pub const COMMITTED: &str = "row committed";
/// Message: an effect failed.
pub const EFFECT_FAILED: &str = "effect failed";
/// Message: state could not be read or written.
pub const STATE_FAILED: &str = "state failed";
/// Message: a row breaks an invariant; nothing is done on it.
pub const INVARIANT_BROKEN: &str = "invariant broken";
/// Message: somebody else changed the row; what was learnt is forgotten.
pub const FENCED: &str = "fenced";
/// Message: the lease is gone; nothing is done until it is held again.
pub const LEASE_LOST: &str = "lease lost";
/// Message: the lease is held.
pub const LEASE_TAKEN: &str = "lease taken";
/// Message: an unfinished rotation belongs to a group that the configuration does not name.
pub const UNBOUND: &str = "group not configured";
/// Message: a sink did not take records.
pub const SINK_FAILED: &str = "sink failed";
/// Message: a sink takes records again.
pub const SINK_RECOVERED: &str = "sink recovered";
/// Message: the wall clock jumped; waits are not shortened by it.
pub const CLOCK_JUMPED: &str = "clock jumped";
/// Message: a rotation that is due was not started; it is tried again.
pub const NOT_STARTED: &str = "scheduled rotation not started";
/// Message: a window is closed; a rotation waits for it where both generations are valid.
pub const PARKED: &str = "waits for a window";
/// Message: history got no checkpoint; it is tried again.
pub const CHECKPOINT_FAILED: &str = "checkpoint failed";
/// Message: the limit for draining passed with work unfinished; it resumes at the next start.
pub const DRAIN_CUT: &str = "drain cut short";
