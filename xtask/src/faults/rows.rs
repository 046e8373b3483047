//! The rows of docs/faults.md.

/// One fault, and what must follow from it.
pub(super) struct Row {
    /// What tests call it.
    pub(super) name: &'static str,
    /// In which phase, or in which part.
    pub(super) place: &'static str,
    /// What is done, and what must follow.
    pub(super) what: &'static str,
}

const fn row(name: &'static str, place: &'static str, what: &'static str) -> Row {
    Row { name, place, what }
}

/// In the order of their numbers, which are not used again.
pub(super) const ROWS: &[Row] = &[
    row(
        "F01",
        "Stage",
        "Killed after the candidate was minted, before it was sealed: no trace at the target, and a fresh one is minted.",
    ),
    row(
        "F02",
        "Apply",
        "Killed after the candidate was sealed, before the target was changed: the same candidate goes on.",
    ),
    row(
        "F03",
        "Apply",
        "Killed after the target was changed, before that was recorded: a probe shows that it accepts; no second value.",
    ),
    row(
        "F04",
        "Apply",
        "The reply to the change is lost: the outcome is unknown, and the target is asked before anything is done again.",
    ),
    row(
        "F06",
        "Apply",
        "The server takes connections and never answers: each call ends in time, other groups are not delayed, and it goes on when the server answers.",
    ),
    row(
        "F07",
        "Apply",
        "The target rejects candidates by its policy: a new one each time, as often as the plan allows; then it is held, with the old one in force.",
    ),
    row(
        "F08",
        "Apply, Disable",
        "Our user lost its right: the plan is refused; in the middle of a rotation it waits, tries ever less often and prints the grant.",
    ),
    row(
        "F09",
        "Verify",
        "The target lost the change (failover to a replica without it): the same candidate is applied again before anything is published.",
    ),
    row("F10", "Apply", "The endpoint is a read-only replica: found before a change is tried."),
    row("F11", "Apply", "Fifty groups change at once on one cluster: all of them get through."),
    row(
        "F12",
        "Verify",
        "The candidate is valid on some required endpoints only: nothing is published until all let it in, several times in a row.",
    ),
    row(
        "F13",
        "Verify",
        "The candidate never becomes valid on a required endpoint: at the deadline it is rolled back, and the old one stays.",
    ),
    row("F14", "Verify", "The login works and a right is missing: nothing is published, and the right is named."),
    row(
        "F15",
        "Verify",
        "A pooler rejects the candidate though the server lets it in: nothing is published, and the pooler is named.",
    ),
    row(
        "F16",
        "Publish",
        "The store fails several times and then works: it is tried ever more slowly, and exactly one version comes of it.",
    ),
    row(
        "F17",
        "Publish",
        "The store's reply is lost and the write landed: it is read back and found to be ours; no second version.",
    ),
    row(
        "F18",
        "Publish",
        "The store is sealed, a standby that takes nothing, or limits our rate: nothing was touched for certain, the candidate stays sealed, and it goes on when the store does.",
    ),
    row(
        "F19",
        "Publish",
        "Our login at the store ends in the middle: the next call logs in again and does what it was asked to; nothing is rolled back.",
    ),
    row(
        "F20",
        "Publish",
        "Somebody wrote a newer version, also one with a copy of our label: it holds with drift and writes nothing over it until a person orders that.",
    ),
    row(
        "F21",
        "Publish",
        "One of two stores is down: the group is not published, the old generation stays valid, and it goes on when the store is back.",
    ),
    row(
        "F22",
        "Apply",
        "A rotation died and left a staged value: the same rotation takes it over, another one writes over it, and it is cleared away.",
    ),
    row(
        "F24",
        "Propagate",
        "One consumer never acknowledges: it is named, the deadline holds, both generations stay valid.",
    ),
    row("F25", "Propagate", "A consumer dies: it is on the roll until a person excuses it."),
    row(
        "F26",
        "Propagate, Drain",
        "A consumer acknowledges and goes on with the old credential: the target shows it, and Disable is not reached.",
    ),
    row(
        "F27",
        "Propagate",
        "Acknowledgements arrive twice, out of order, or for an older publication: none of them takes anything back or counts for a newer one.",
    ),
    row("F28", "Drain", "A consumer joins late: it gets the newest publication and is on the roll at once."),
    row(
        "F43",
        "Drain",
        "The target is down: use is unknown, which is not none; the quiet time starts anew when it is back.",
    ),
    row(
        "F44",
        "Drain",
        "Our user may not read other sessions' details: their address is unknown, and use by user is still counted.",
    ),
    row(
        "F45",
        "Drain",
        "A session of the old user stays open: it is waited for, or ended where the policy says so; Disable is not reached while it lives.",
    ),
    row(
        "F46",
        "Drain",
        "A session with the old credential is opened anew: the quiet time starts anew, and its address is told.",
    ),
    row(
        "F47",
        "Destroy",
        "The old user cannot be dropped: the rotation ends well; the user has no password and may not log in; what depends on it is told.",
    ),
    row(
        "F48",
        "Destroy",
        "Killed after the old generation was forgotten, before that was recorded: forgetting it again does no harm.",
    ),
    row(
        "F49",
        "Destroy",
        "A provider goes on to show what it deleted: that is not done; it is looked at again until it is gone.",
    ),
    row(
        "F50",
        "Rollback",
        "Asked for after Publish, with consumers on both generations: the pointer goes back, the candidate stays valid until nobody uses it, then it is revoked.",
    ),
    row("F51", "Rollback", "Asked for once the old generation is gone: refused, with the way forward."),
    row(
        "F52",
        "Rollback",
        "Killed in the middle of a rollback: it goes on; what the store publishes logs in at every moment.",
    ),
    row(
        "F58",
        "State",
        "The controller's disk is full, or a flush fails: nothing new is begun, deliveries of a full disk go on, and with room again, or after a restart, it ends what it began.",
    ),
    row(
        "F56",
        "Idle",
        "Killed and started again 50 times with nothing to do: no rotation starts, and what is planned is not moved and runs.",
    ),
    row(
        "F59",
        "State",
        "Files of the state are torn or edited: that is noticed, and nothing is touched. The record that was being written when it died is there whole or not at all.",
    ),
    row(
        "F60",
        "State",
        "The state is restored from an earlier time: nothing is written before record and world were compared.",
    ),
    row("F61", "Target", "The database is restored from an earlier time: recovery makes it what the record says."),
    row(
        "F62",
        "Clock",
        "The clock jumps or stands still: nothing is retired early, nothing stops for good, no schedule is lost, and history tells it.",
    ),
    row(
        "F64",
        "Schedule",
        "A group is due while both its generations are valid: it is queued, and starts when the live rotation has ended.",
    ),
    row(
        "F65",
        "Schedule",
        "The window closes in the middle, or an approval never comes: it is parked where both generations are valid, says so, and goes on when it opens, or comes.",
    ),
    row(
        "F66",
        "Schedule",
        "Off for 30 days with many that are late: no more run at once than may, and those come first that are the most late.",
    ),
    row(
        "F84",
        "Stage",
        "Somebody else's credential takes a place at a provider that mints: the start is refused, or the rotation waits; it is never deleted.",
    ),
    row(
        "F85",
        "Apply",
        "A provider minted the value and the reply is lost: it is found by its label and deleted, and another one is minted under another label.",
    ),
    row(
        "F86",
        "At rest",
        "A tool writes the old value back to a store after a rotation ended: it is told within the interval of looking, and nobody writes over it.",
    ),
    row(
        "F87",
        "At rest",
        "An administrator changes the password by hand: it is told within the interval of looking, and nothing is rotated over it before it is recovered: set again, or taken on.",
    ),
    row(
        "F88",
        "Verify",
        "A node of Redis has other users than the others: it was left out, or loaded an older file (ACL LOAD). A node that is left out is found by preflight; one that is behind is found by Verify, and the change is made again at all of them.",
    ),
    row("F91", "Audit", "A receiver of the audit hangs or is away: nothing stalls, and no record is missed."),
    row(
        "F92",
        "Verify, Propagate, notification",
        "A receiver or a server that a check asks hangs, redirects, or answers and drops the message; a program hangs: given up in time, not followed. Messages are sent again under the same id, and rotations do not wait for them; a check passed nothing, and is made again.",
    ),
];
