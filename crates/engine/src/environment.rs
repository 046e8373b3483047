//! Environment variables that the engine reads: only with the feature `fault-points`, which no shipped binary has.

/// `NAME#N=kill`, `NAME#N=pause` or `NAME#N=stop`: what to do when the fault point `NAME` is reached for the `N`th time
/// (from 1; `#N` may be left out and means the first).
///
/// `kill` sends SIGKILL to the process itself. `pause` writes `fault point reached: NAME` to standard error and blocks
/// the thread for good, so that a test can send the signal while it knows where the process stands. `stop` writes the same
/// and sends SIGSTOP to the process itself; after SIGCONT it goes on from there, as an executor does that was overtaken.
pub const FAULT_POINT: &str = "HANDOVER_FAULT_POINT";

/// A file to which the name of each fault point is appended as it is reached, one a line. Crash tests enumerate the
/// points of a run with it.
pub const FAULT_TRACE: &str = "HANDOVER_FAULT_TRACE";
