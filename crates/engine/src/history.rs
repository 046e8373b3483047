//! History: which lines a step leaves. One constant word for each event, details in fields, nothing secret.

use std::time::Duration;

use handover_core::campaign::{End, LegState, Motion, OnFailure, Pause, Setback, Until};
use handover_core::port::{Delivery, Entry};
use handover_core::{
    Cause, Course, Doubt, Fact, Fault, Gate, GroupId, Hold, Label, Occupant, Opened, Order, Outcome, Phase, Plan,
    Recovery, Refusal, Roll, Rotation, Row, StoreId, Strategy, Tally, Timestamp, Touched, Undo, Violation, approvals,
};

use crate::handle::StartRefused;
use crate::memory::same_phase;

/// Event: a rotation started.
pub const STARTED: &str = "started";
/// Event: a rotation entered another phase.
pub const ADVANCED: &str = "advanced";
/// Event: something was learnt within a phase.
pub const LEARNT: &str = "learnt";
/// Event: a rotation ended.
pub const ENDED: &str = "ended";
/// Event: a rotation is held by the core's own decision.
pub const HELD: &str = "held";
/// Event: an effect failed, for another reason than the last time.
pub const FAULTED: &str = "faulted";
/// Event: a person gave an order, and it was taken.
pub const ORDERED: &str = "ordered";
/// Event: a person gave an order, and it was refused.
pub const DENIED: &str = "denied";
/// Event: a rollback that waits is given over to a new rotation, which retires what it would have revoked.
pub const SUPERSEDED: &str = "superseded";
/// Event: a person had a group that is not configured any more forgotten; its values go now.
pub const REMOVING: &str = "removing";
/// Event: a group is forgotten. Its history stays.
pub const REMOVED: &str = "removed";
/// Event: a store of others holds another version than ours, or nothing, while nothing rotates.
pub const DRIFTED: &str = "drifted";
/// Event: it holds ours again.
pub const DRIFT_OVER: &str = "drift_over";
/// Event: something retired could not be cleaned away; nothing depends on it.
pub const LITTER: &str = "litter";
/// Event: what could not be cleaned away in a store is gone now.
pub const LITTER_OVER: &str = "litter_over";
/// Event: what retires is in use from somewhere that was not told yet in this rotation.
pub const IN_USE: &str = "in_use";
/// Event: a check was made, and what it came to.
pub const CHECKED: &str = "checked";
/// A credential that a provider minted for us, and that serves nobody, was deleted there.
pub const UNMINTED: &str = "unminted";
/// Event: more presenters may read the candidate.
pub const WAVE_OPENED: &str = "wave_opened";
/// Event: the row breaks an invariant; nothing is done on it.
pub const VIOLATED: &str = "violated";

/// Event: a person began to adopt a credential that is in use; roles may be changed from here on.
pub const ADOPTING: &str = "adopting";
/// Event: what is adopted is durable, and sealed.
pub const ADOPTION_SEALED: &str = "adoption_sealed";
/// Event: an adoption is finished: labelled and published.
pub const ADOPTED: &str = "adopted";

/// Event: the record may not be what the world is at; nothing is started or written until it is recovered.
pub const DOUBTED: &str = "doubted";
/// Event: a person began to make record and world be of one time again.
pub const RECOVERING: &str = "recovering";
/// Event: record and world are of one time again.
pub const RECOVERED: &str = "recovered";

/// Event: a person said that what is in force is compromised; a rotation away from it starts, or is taken over.
pub const EMERGENCY: &str = "emergency";
/// Event: what is compromised is proved to be refused, or is forgotten.
pub const CONTAINED: &str = "contained";
/// Event: open sessions of what retires were ended.
pub const SESSIONS_ENDED: &str = "sessions_ended";

/// Event: a rotation that was due by schedule was not started, and why. It is tried again.
pub const NOT_STARTED: &str = "not_started";
/// Event: a person paused the group's schedule.
pub const PAUSED: &str = "paused";
/// Event: a person resumed the group's schedule.
pub const UNPAUSED: &str = "unpaused";
/// Event: a rotation waits for a window, where both generations are valid.
pub const PARKED: &str = "parked";

/// Event: a rotation waits for the word of people before it goes on.
pub const APPROVAL_WANTED: &str = "approval_wanted";
/// Event: a person approved.
pub const APPROVED: &str = "approved";
/// Event: a rotation that waits to start goes by another plan, because the policy changed. What was approved was the old one.
pub const REPLANNED: &str = "replanned";

/// Event: a person began a campaign. Of no group: under the name [`CAMPAIGNS`], like the next ones.
pub const CAMPAIGN_BEGUN: &str = "campaign_begun";
/// Event: a group's part in a campaign came to another state.
pub const CAMPAIGN_ADVANCED: &str = "campaign_advanced";
/// Event: a campaign does something else as a whole: it is held, undone, cancelled, or goes on.
pub const CAMPAIGN_MOVED: &str = "campaign_moved";
/// Event: a person asked something of a campaign, and it was taken.
pub const CAMPAIGN_ORDERED: &str = "campaign_ordered";
/// Event: an order that a campaign gave was refused.
pub const CAMPAIGN_REFUSED: &str = "campaign_refused";
/// Event: a campaign has ended.
pub const CAMPAIGN_ENDED: &str = "campaign_ended";

/// Event: the wall clock jumped. Of no group: under the name [`NO_GROUP`], like checkpoints.
pub const CLOCK_JUMPED: &str = "clock_jumped";

/// Event: an entry came into the token file. Of no group: under the name [`ACCESS`], like the next ones.
pub const TOKEN_ADDED: &str = "token_added";
/// Event: an entry of the token file says something else than before.
pub const TOKEN_CHANGED: &str = "token_changed";
/// Event: an entry is not in the token file any more.
pub const TOKEN_REMOVED: &str = "token_removed";
/// Event: the one-time code was exchanged for the first operator's token.
pub const BOOTSTRAPPED: &str = "bootstrapped";
/// Event: another configuration was taken.
pub const RELOADED: &str = "reloaded";
/// Event: the configuration was read again, and not taken.
pub const RELOAD_REFUSED: &str = "reload_refused";

/// Event: a condition began that somebody may have to act on.
pub const ALERTED: &str = "alerted";
/// Event: such a condition is over.
pub const ALERT_OVER: &str = "alert_over";

/// Event: a person had the counters of the statistics begin anew. Of no group: under the name [`STATISTICS`].
pub const RESET: &str = "reset";

/// Event: a value was handed to a consumer.
pub const READ: &str = "read";

/// Who causes what nobody ordered.
pub const ENGINE: &str = "engine";

/// Who starts what is due by schedule.
pub const SCHEDULE: &str = "schedule";

/// The name that stands where other records name their group.
pub const NO_GROUP: &str = "handover";

/// The same for what concerns who may ask for what. A name of its own, so that these few are found among the checkpoints.
pub const ACCESS: &str = "handover.access";

/// The same for what concerns the statistics: the last reset is found without a look at anything else.
pub const STATISTICS: &str = "handover.statistics";

/// The same for campaigns. What they have groups do stands under the groups' names as well.
pub const CAMPAIGNS: &str = "handover.campaigns";

/// Whether a name is kept for what is of no group.
pub fn is_reserved(name: &GroupId) -> bool {
    name.as_str() == NO_GROUP || name.as_str().starts_with("handover.")
}

/// [`ACCESS`] as history takes it.
#[expect(clippy::expect_used, reason = "a constant that fits the rule of names")]
pub fn access() -> GroupId {
    GroupId::parse(ACCESS).expect("the constant is a name")
}

/// [`STATISTICS`] as history takes it.
#[expect(clippy::expect_used, reason = "a constant that fits the rule of names")]
pub fn statistics() -> GroupId {
    GroupId::parse(STATISTICS).expect("the constant is a name")
}

/// [`CAMPAIGNS`] as history takes it.
#[expect(clippy::expect_used, reason = "a constant that fits the rule of names")]
pub fn campaigns() -> GroupId {
    GroupId::parse(CAMPAIGNS).expect("the constant is a name")
}

/// Where a leg of a campaign stands, as one word.
pub const fn leg_word(state: LegState) -> &'static str {
    match state {
        LegState::Waiting => "waiting",
        LegState::Starting { .. } => "starting",
        LegState::Started { .. } => "started",
        LegState::Through { .. } => "through",
        LegState::Succeeded { .. } => "succeeded",
        LegState::Returning { .. } => "returning",
        LegState::Failed { .. } => "failed",
        LegState::Skipped => "skipped",
        LegState::Undoing { .. } => "undoing",
        LegState::GoingBack { .. } => "going_back",
        LegState::Undone { .. } => "undone",
        LegState::Kept { .. } => "kept",
    }
}

/// Why a leg failed, as one word.
pub const fn setback_word(setback: Setback) -> &'static str {
    match setback {
        Setback::RolledBack => "rolled_back",
        Setback::Abandoned => "abandoned",
        Setback::Superseded => "superseded",
        Setback::Refused => "refused",
        Setback::Gone => "gone",
    }
}

/// What a campaign does as a whole, in words.
pub fn motion_words(motion: Motion) -> String {
    match motion {
        Motion::Running => "running".to_owned(),
        Motion::Held(pause) => format!("held: {}", pause_word(pause)),
        Motion::Undoing => "undoing".to_owned(),
        Motion::Cancelling => "cancelling".to_owned(),
        Motion::Ended(end) => format!("ended: {}", end_word(end)),
    }
}

/// Why a campaign is held, as one word.
pub const fn pause_word(pause: Pause) -> &'static str {
    match pause {
        Pause::Ordered => "ordered",
        Pause::Failed => "failed",
        Pause::Restored => "restored",
    }
}

/// How a campaign ended, as one word.
pub const fn end_word(end: End) -> &'static str {
    match end {
        End::Success => "success",
        End::Partly => "partly",
        End::Undone => "undone",
        End::Cancelled => "cancelled",
    }
}

/// From when on a group of a campaign counts as through, as one word.
pub const fn until_word(until: Until) -> &'static str {
    match until {
        Until::Adopted => "adopted",
        Until::Ended => "ended",
    }
}

/// What a failure in a campaign leads to, as one word.
pub const fn on_failure_word(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Hold => "hold",
        OnFailure::Undo => "undo",
        OnFailure::GoOn => "go_on",
    }
}

/// A strategy as one word, as in the configuration.
pub const fn strategy_word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Immediate => "immediate",
        Strategy::Staged => "staged",
        Strategy::DualWrite => "dual_write",
        Strategy::BlueGreen => "blue_green",
    }
}

/// A phase as one word, for history, logs and fault points.
pub const fn phase_word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Stage => "stage",
        Phase::Apply { .. } => "apply",
        Phase::Verify { .. } => "verify",
        Phase::Publish { .. } => "publish",
        Phase::Propagate { .. } => "propagate",
        Phase::Drain { .. } => "drain",
        Phase::Disable { .. } => "disable",
        Phase::Destroy { .. } => "destroy",
        Phase::Rollback(Undo::Release) => "release",
        Phase::Rollback(Undo::PutBack { .. }) => "put_back",
        Phase::Rollback(Undo::Unpublish { .. }) => "unpublish",
        Phase::Rollback(Undo::Return { .. }) => "return",
        Phase::Rollback(Undo::Quiet { .. }) => "quiet",
        Phase::Rollback(Undo::Revoke { .. }) => "revoke",
        Phase::Done(_) => "done",
    }
}

/// An outcome as one word.
pub const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::RolledBack => "rolled_back",
        Outcome::Abandoned => "abandoned",
    }
}

/// A gate as one word, as in the configuration.
pub const fn gate_word(gate: Gate) -> &'static str {
    match gate {
        Gate::Start => "start",
        Gate::Disable => "disable",
        Gate::Destroy => "destroy",
    }
}

/// An order as one word.
pub const fn order_word(order: Order) -> &'static str {
    match order {
        Order::Hold => "hold",
        Order::Resume => "resume",
        Order::Rollback => "rollback",
        Order::Abandon => "abandon",
        Order::Force => "force",
    }
}

/// A hold in words.
pub fn hold_words(hold: &Hold) -> String {
    match hold {
        Hold::Ordered => "ordered".to_owned(),
        Hold::Drift(store) => format!("drift at {store}"),
        Hold::CandidatesSpent => "candidates spent".to_owned(),
        Hold::Unfit => "unfit".to_owned(),
        Hold::Deadline => "deadline".to_owned(),
        Hold::ForceWanted => "force wanted".to_owned(),
    }
}

/// The phase of a row as one word; `rest` where there is no rotation.
pub fn row_word(row: &Row) -> &'static str {
    row.rotation.as_ref().map_or("rest", |rotation| phase_word(&rotation.phase))
}

/// What a step leaves: nothing where it only accumulated waiting.
pub(crate) fn step(before: &Row, after: &Row, fact: &Fact, now: Timestamp) -> Vec<Entry> {
    let (Some(old), Some(new)) = (&before.rotation, &after.rotation) else { return Vec::new() };
    let mut entries = Vec::new();
    entries
        .extend(after.doubt.iter().filter(|_| before.doubt.is_none()).map(|doubt| doubted(doubt, ENGINE, None, now)));
    if let Fact::Fault { effect, fault } = fact
        && (old.trouble != Some(fault.kind) || !same_phase(before, after))
    {
        entries.push(faulted(new, effect, fault, now));
    }
    if let Phase::Done(outcome) = new.phase {
        entries.push(entry(new, ENDED, now, vec![("outcome", outcome_word(outcome).to_owned()), evidence(fact)]));
    } else if !same_phase(before, after) {
        let mut fields = vec![
            ("from", phase_word(&old.phase).to_owned()),
            ("phase", phase_word(&new.phase).to_owned()),
            ("publication", after.publication.to_string()),
            evidence(fact),
        ];
        if let (Phase::Disable { .. }, Some((Roll::Behind { who, complete }, _))) = (&new.phase, new.phase.called()) {
            let names = who.iter().map(ToString::to_string).chain((!complete).then(|| "unknown".to_owned()));
            fields.push(("behind", names.collect::<Vec<_>>().join(" ")));
        }
        fields.extend(new.cause.filter(|_| old.cause.is_none()).map(|cause| ("cause", cause_word(cause).to_owned())));
        entries.push(entry(new, ADVANCED, now, fields));
    } else if before != after && is_evidence(fact) && !old.phase.soaks() {
        entries.push(entry(new, LEARNT, now, vec![("phase", phase_word(&new.phase).to_owned()), evidence(fact)]));
    }
    if let (Some(taint), false) = (after.taint, before.taint.is_some_and(|taint| taint.refused_at.is_some()))
        && let Some(at) = taint.refused_at
    {
        let after_ms = at.since(taint.at).as_millis().to_string();
        let fields = vec![("compromised", taint.to.to_string()), ("after_ms", after_ms)];
        entries.push(entry(new, CONTAINED, now, fields));
    }
    entries.extend(wave_opened(old, new, fact, now));
    if let Some(hold) = &new.hold
        && old.hold.is_none()
        && !matches!(fact, Fact::Order(_))
    {
        entries.push(entry(new, HELD, now, vec![("hold", hold_words(hold))]));
    }
    entries
}

/// More presenters may read the candidate than before.
pub(crate) fn wave_opened(old: &Rotation, new: &Rotation, fact: &Fact, now: Timestamp) -> Option<Entry> {
    let (Phase::Propagate { opened: before, .. }, Phase::Propagate { opened: after, .. }) = (&old.phase, &new.phase)
    else {
        return None;
    };
    let number = |opened: &Opened| match opened {
        Opened::Nobody => Some("none".to_owned()),
        Opened::Wave { number, .. } => Some(number.to_string()),
        Opened::All => None,
    };
    let (was, is) = (number(before)?, number(after));
    if is.as_ref() == Some(&was) {
        return None;
    }
    let fields = vec![("from", was), ("wave", is.unwrap_or_else(|| "last".to_owned())), evidence(fact)];
    Some(entry(new, WAVE_OPENED, now, fields))
}

/// A store of others holds another version than ours, or nothing, while nothing rotates.
pub(crate) fn drifted(store: &StoreId, holds_something: bool, now: Timestamp) -> Entry {
    let holds = if holds_something { "something else" } else { "nothing" };
    let fields = vec![("store", store.to_string()), ("holds", holds.to_owned())];
    Entry { at: now, event: DRIFTED, actor: ENGINE.to_owned(), fields }
}

/// It holds ours again.
pub(crate) fn drift_over(store: &StoreId, now: Timestamp) -> Entry {
    Entry { at: now, event: DRIFT_OVER, actor: ENGINE.to_owned(), fields: vec![("store", store.to_string())] }
}

/// The wall clock is apart by so much from where it would be had it only run; `now` is what it shows after that.
pub(crate) fn clock_jumped(by_ms: i64, now: Timestamp) -> Entry {
    Entry { at: now, event: CLOCK_JUMPED, actor: ENGINE.to_owned(), fields: vec![("by_ms", by_ms.to_string())] }
}

/// A line of an adoption.
pub(crate) fn adoption(event: &'static str, actor: &str, fields: Vec<(&'static str, String)>, now: Timestamp) -> Entry {
    Entry { at: now, event, actor: actor.to_owned(), fields }
}

/// The line that a superseded rotation ends with.
pub(crate) fn superseded(over: &Rotation, actor: &str, reason: &str, now: Timestamp) -> Entry {
    let fields = vec![("phase", phase_word(&over.phase).to_owned()), ("reason", reason.to_owned())];
    Entry { actor: actor.to_owned(), ..entry(over, SUPERSEDED, now, fields) }
}

/// A person said that what is in force is compromised.
pub(crate) fn emergency(
    rotation: &Rotation,
    fields: Vec<(&'static str, String)>,
    actor: &str,
    now: Timestamp,
) -> Entry {
    Entry { actor: actor.to_owned(), ..entry(rotation, EMERGENCY, now, fields) }
}

/// The same, and it was refused.
pub(crate) fn emergency_denied(why: &str, actor: &str, now: Timestamp) -> Entry {
    let fields = vec![("order", EMERGENCY.to_owned()), ("refused", why.to_owned())];
    Entry { at: now, event: DENIED, actor: actor.to_owned(), fields }
}

/// Open sessions of what retires were ended.
pub(crate) fn sessions_ended(rotation: &Rotation, uses: u32, now: Timestamp) -> Entry {
    entry(rotation, SESSIONS_ENDED, now, vec![("uses", uses.to_string())])
}

/// A schedule that is paused or resumed.
pub(crate) fn paused(paused: bool, actor: &str, reason: Option<&str>, now: Timestamp) -> Entry {
    let fields = reason.map(|reason| ("reason", reason.to_owned())).into_iter().collect();
    Entry { at: now, event: if paused { PAUSED } else { UNPAUSED }, actor: actor.to_owned(), fields }
}

/// What was due and could not be started.
pub(crate) fn not_started(planned_at: Timestamp, why: &StartRefused, now: Timestamp) -> Entry {
    let fields = vec![("planned_at_ms", planned_at.0.to_string()), ("why", why.to_string())];
    Entry { at: now, event: NOT_STARTED, actor: SCHEDULE.to_owned(), fields }
}

/// A rotation waits for a window.
pub(crate) fn parked(rotation: &Rotation, opens_at: Option<Timestamp>, now: Timestamp) -> Entry {
    let mut fields = vec![("phase", phase_word(&rotation.phase).to_owned())];
    fields.extend(opens_at.map(|at| ("opens_at_ms", at.0.to_string())));
    entry(rotation, PARKED, now, fields)
}

/// The first line of a rotation.
pub(crate) fn started(row: &Row, plan: &Plan, superseded: bool, actor: &str, now: Timestamp) -> Vec<Entry> {
    row.rotation
        .iter()
        .map(|rotation| {
            let from = rotation.from.map_or_else(|| "none".to_owned(), |from| from.generation.to_string());
            let mut fields = vec![
                ("from", from),
                ("strategy", strategy_word(plan.strategy).to_owned()),
                ("superseding", superseded.to_string()),
            ];
            fields.extend((row.cadence.retries > 0).then(|| ("retry", row.cadence.retries.to_string())));
            Entry { actor: actor.to_owned(), ..entry(rotation, STARTED, now, fields) }
        })
        .collect()
}

/// A taken order.
pub(crate) fn ordered(rotation: &Rotation, order: Order, actor: &str, reason: Option<&str>, now: Timestamp) -> Entry {
    let mut fields = vec![("order", order_word(order).to_owned())];
    fields.extend(reason.map(|reason| ("reason", reason.to_owned())));
    Entry { actor: actor.to_owned(), ..entry(rotation, ORDERED, now, fields) }
}

/// The gates that a row has come to, and whose approval is missing. `before`: the row that it follows, where its rotation was
/// live already.
pub(crate) fn approvals_wanted(
    before: Option<&Row>,
    after: &Row,
    plan: &Plan,
    plan_digest: &str,
    now: Timestamp,
) -> Vec<Entry> {
    let Some(rotation) = after.live().filter(|_| before.is_none_or(|before| !same_phase(before, after))) else {
        return Vec::new();
    };
    let missing = approvals(rotation, plan, now).into_iter().filter(|approvals| approvals.missing() > 0);
    missing
        .map(|approvals| {
            let mut fields = vec![
                ("gate", gate_word(approvals.gate).to_owned()),
                ("needed", approvals.rule.quorum.to_string()),
                ("plan", plan_digest.to_owned()),
            ];
            fields.extend(rotation.asked_by.as_ref().map(|by| ("asked_by", by.to_string())));
            entry(rotation, APPROVAL_WANTED, now, fields)
        })
        .collect()
}

/// A rotation that waits to start goes by another plan.
pub(crate) fn replanned(row: &Row, plan_digest: &str, now: Timestamp) -> Entry {
    let fields = vec![("plan", plan_digest.to_owned())];
    match row.live() {
        Some(rotation) => entry(rotation, REPLANNED, now, fields),
        None => Entry { at: now, event: REPLANNED, actor: ENGINE.to_owned(), fields },
    }
}

/// An approval that was refused.
pub(crate) fn approval_denied(gate: Gate, refusal: &str, actor: &str, now: Timestamp) -> Entry {
    let fields =
        vec![("order", "approve".to_owned()), ("gate", gate_word(gate).to_owned()), ("refusal", refusal.to_owned())];
    Entry { at: now, event: DENIED, actor: actor.to_owned(), fields }
}

/// A refused order.
pub(crate) fn denied(order: Order, refusal: Refusal, actor: &str, now: Timestamp) -> Entry {
    let fields = vec![("order", order_word(order).to_owned()), ("refusal", format!("{refusal:?}"))];
    Entry { at: now, event: DENIED, actor: actor.to_owned(), fields }
}

/// A rotation that was asked for while another one was live.
pub(crate) fn start_denied(refusal: Refusal, actor: &str, now: Timestamp) -> Entry {
    let fields = vec![("order", "rotate".to_owned()), ("refusal", format!("{refusal:?}"))];
    Entry { at: now, event: DENIED, actor: actor.to_owned(), fields }
}

/// Why the record is doubted, as one word and the store that it is about.
pub fn doubt_words(doubt: &Doubt) -> String {
    match doubt {
        Doubt::Restored => "restored".to_owned(),
        Doubt::TargetAhead => "target ahead".to_owned(),
        Doubt::StoreAhead(store) => format!("store {store} ahead"),
        Doubt::TargetBehind => "target behind".to_owned(),
        Doubt::StoreBehind(store) => format!("store {store} behind"),
        Doubt::TargetChanged => "target changed".to_owned(),
    }
}

/// A course of recovery as one word.
pub const fn course_word(course: Course) -> &'static str {
    match course {
        Course::Agrees => "agrees",
        Course::Reasserts => "reasserts",
        Course::Follows => "follows",
        Course::Resumes => "resumes",
        Course::Replaces => "replaces",
        Course::Nothing => "nothing",
    }
}

/// A record that is doubted from here on.
pub(crate) fn doubted(doubt: &Doubt, actor: &str, reason: Option<&str>, now: Timestamp) -> Entry {
    let mut fields = vec![("doubt", doubt_words(doubt))];
    fields.extend(reason.map(|reason| ("reason", reason.to_owned())));
    Entry { at: now, event: DOUBTED, actor: actor.to_owned(), fields }
}

/// What a recovery is about to do.
pub(crate) fn recovering(recovery: &Recovery, actor: &str, reason: Option<&str>, now: Timestamp) -> Entry {
    let generations = |all: &[Occupant]| {
        let all: Vec<String> = all.iter().map(|who| who.generation.to_string()).collect();
        all.join(" ")
    };
    let mut fields = vec![
        ("course", course_word(recovery.course).to_owned()),
        ("accept", generations(&recovery.accept)),
        ("retire", generations(&recovery.retire)),
    ];
    fields.extend(reason.map(|reason| ("reason", reason.to_owned())));
    Entry { at: now, event: RECOVERING, actor: actor.to_owned(), fields }
}

/// What a recovery came to.
pub(crate) fn recovered(recovery: &Recovery, row: &Row, actor: &str, reason: Option<&str>, now: Timestamp) -> Entry {
    let none = || "none".to_owned();
    let mut fields = vec![
        ("course", course_word(recovery.course).to_owned()),
        ("current", row.current.map_or_else(none, |current| current.generation.to_string())),
        ("phase", row_word(row).to_owned()),
        ("publication", row.publication.to_string()),
    ];
    fields.extend(reason.map(|reason| ("reason", reason.to_owned())));
    Entry { at: now, event: RECOVERED, actor: actor.to_owned(), fields }
}

/// A value that is about to be handed out.
pub(crate) fn read(delivery: &Delivery, counts: bool, actor: &str, now: Timestamp) -> Entry {
    let mut fields =
        vec![("generation", delivery.generation.to_string()), ("publication", delivery.publication.to_string())];
    if !counts {
        // Nobody waits for this reader.
        fields.push(("peek", "true".to_owned()));
    }
    Entry { at: now, event: READ, actor: actor.to_owned(), fields }
}

/// What could not be cleaned away.
pub(crate) fn litter(rotation: &Rotation, place: &str, fault: &Fault, now: Timestamp) -> Entry {
    let fields =
        vec![("at", place.to_owned()), ("code", fault.kind.code().to_owned()), ("detail", fault.detail.clone())];
    entry(rotation, LITTER, now, fields)
}

/// What could not be cleaned away is gone.
pub(crate) fn litter_over(now: Timestamp) -> Entry {
    Entry { at: now, event: LITTER_OVER, actor: ENGINE.to_owned(), fields: Vec::new() }
}

/// Somebody uses what retires.
pub(crate) fn in_use(rotation: &Rotation, uses: u32, from: String, now: Timestamp) -> Entry {
    entry(rotation, IN_USE, now, vec![("uses", uses.to_string()), ("from", from)])
}

/// What a check came to. The reason is in our own words, and bounded.
pub(crate) fn checked(rotation: &Rotation, made: &Made<'_>, now: Timestamp) -> Entry {
    let mut fields = vec![
        ("check", made.name.to_owned()),
        ("kind", made.kind.to_owned()),
        ("phase", phase_word(&rotation.phase).to_owned()),
        ("result", made.result.to_owned()),
        ("duration_ms", made.took.as_millis().to_string()),
    ];
    fields.extend(made.reason.map(|reason| ("reason", reason.to_owned())));
    entry(rotation, CHECKED, now, fields)
}

/// A check that was made.
pub(crate) struct Made<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'static str,
    /// `passed`, `failed` or `unknown`.
    pub(crate) result: &'static str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) took: Duration,
}

/// What a provider minted for us and serves nobody is deleted there.
pub(crate) fn unminted(rotation: &Rotation, label: Label, now: Timestamp) -> Entry {
    entry(rotation, UNMINTED, now, vec![("label", label.to_string())])
}

/// Broken invariants.
pub(crate) fn violated(broken: &[Violation], now: Timestamp) -> Entry {
    let fields = vec![("violations", format!("{broken:?}"))];
    Entry { at: now, event: VIOLATED, actor: ENGINE.to_owned(), fields }
}

fn faulted(rotation: &Rotation, effect: &'static str, fault: &Fault, now: Timestamp) -> Entry {
    let mut fields =
        vec![("effect", effect.to_owned()), ("code", fault.kind.code().to_owned()), ("detail", fault.detail.clone())];
    if fault.touched == Touched::Unknown {
        fields.push(("touched", "unknown".to_owned()));
    }
    entry(rotation, FAULTED, now, fields)
}

fn entry(rotation: &Rotation, event: &'static str, now: Timestamp, fields: Vec<(&'static str, String)>) -> Entry {
    let mut all = vec![("generation", rotation.to.generation.to_string())];
    all.extend(fields);
    Entry { at: now, event, actor: ENGINE.to_owned(), fields: all }
}

const fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Ordered => "ordered",
        Cause::Unfit => "unfit",
        Cause::Deadline => "deadline",
        Cause::Abandoned => "abandoned",
    }
}

/// Whether a fact that changed something within a phase is worth a line of its own. Looks that are repeated at every
/// poll are not: what they came to is in the line that ends the phase.
const fn is_evidence(fact: &Fact) -> bool {
    match fact {
        Fact::Sealed
        | Fact::Swept
        | Fact::Minted(_)
        | Fact::Staged { .. }
        | Fact::Lost
        | Fact::Accepted(_)
        | Fact::LoggedIn(_)
        | Fact::Checked(_)
        | Fact::Refused(_)
        | Fact::Head { .. }
        | Fact::Pointed { .. }
        | Fact::Released(_)
        | Fact::PutBack(_)
        | Fact::Discarded(_)
        | Fact::Destroyed(_)
        | Fact::Revoked(_)
        | Fact::SessionsEnded => true,
        Fact::Adoption { .. } | Fact::Use(_) | Fact::Fault { .. } | Fact::Tick | Fact::Order(_) => false,
    }
}

fn evidence(fact: &Fact) -> (&'static str, String) {
    let text = match fact {
        Fact::Sealed => "candidate sealed".to_owned(),
        Fact::Swept => "what served nobody is deleted at the provider".to_owned(),
        Fact::Staged { store, who } => format!("generation {} staged at {store}", who.generation),
        Fact::Minted(generation) => format!("provider minted generation {generation}, candidate sealed"),
        Fact::Lost => "candidate void: the provider may have minted it, and nobody holds its value".to_owned(),
        Fact::Accepted(generation) => format!("target accepts generation {generation}"),
        Fact::LoggedIn(generation) => format!("a round of logins passed with generation {generation}"),
        Fact::Checked(generation) => format!("a round of checks passed with generation {generation}"),
        Fact::Refused(generation) => format!("target refuses generation {generation}"),
        Fact::Head { store, version, .. } => match version {
            Some(version) => format!("{store} is at {version}"),
            None => format!("{store} holds nothing"),
        },
        Fact::Pointed { store, version } => format!("{store} points, at {version}"),
        Fact::Adoption { call, .. } => format!("roll of {} called, complete: {}", call.members.len(), call.complete),
        Fact::Use(Tally::None) => "no use seen".to_owned(),
        Fact::Use(Tally::Some(uses)) => format!("{uses} uses seen"),
        Fact::Use(Tally::Unknown) => "use unknown".to_owned(),
        Fact::Released(generation) => format!("generation {generation} released"),
        Fact::PutBack(generation) => format!("generation {generation} put back"),
        Fact::Discarded(generation) => format!("generation {generation} discarded: the target writes over it"),
        Fact::Destroyed(generation) => format!("generation {generation} destroyed"),
        Fact::Revoked(generation) => format!("generation {generation} revoked"),
        Fact::SessionsEnded => "sessions ended".to_owned(),
        Fact::Fault { effect, fault } => format!("{effect} failed with {}", fault.kind.code()),
        Fact::Tick => "time passed".to_owned(),
        Fact::Order(order) => format!("order to {}", order_word(*order)),
    };
    ("evidence", text)
}
