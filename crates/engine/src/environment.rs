//! Environment variables that the engine reads: only with the feature `fault-points`, which no shipped binary has.

/// `NAME#N=kill` or `NAME#N=pause`: what to do when the fault point `NAME` is reached for the `N`th time (from 1;
/// `#N` may be left out and means the first).
///
/// `kill` sends SIGKILL to the process itself. `pause` writes `fault point reached: NAME` to standard error and blocks
/// the thread for good, so that a test can send the signal while it knows where the process stands.
pub const FAULT_POINT: &str = "HANDOVER_FAULT_POINT";

/// A file to which the name of each fault point is appended as it is reached, one a line. Crash tests enumerate the
/// points of a run with it.
pub const FAULT_TRACE: &str = "HANDOVER_FAULT_TRACE";
