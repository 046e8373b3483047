//! From the engine's types to those of the wire.

use handover_api as api;
use handover_core::{
    Blocker, Cause, ConsumerId, Member, Obstacle, Occupant, Outcome, Phase, Plan, Reach, Role, RollCall, Rotation, Row,
    Strategy, Timestamp, Wants,
};
use handover_engine::history::{hold_words, phase_word};

/// A group as it stands.
pub(crate) fn group(row: &Row, wants: &Wants, target: &str, calls: &[(Role, RollCall)]) -> api::GroupStatus {
    api::GroupStatus {
        group: row.group.to_string(),
        target: target.to_owned(),
        current: row.current.map(occupant),
        publication: row.publication.0,
        rotation: row.rotation.as_ref().map(|live| rotation(live, wants)),
        consumers: calls
            .iter()
            .flat_map(|(role, call)| call.members.iter().map(|member| consumer(*role, member)))
            .collect(),
    }
}

/// A group in one line.
pub(crate) fn summary(row: &Row) -> api::GroupSummary {
    let rotation = row.rotation.as_ref();
    api::GroupSummary {
        group: row.group.to_string(),
        generation: row.current.map(|current| current.generation.0),
        publication: row.publication.0,
        status: rotation.map(|rotation| status(&rotation.phase)),
        phase: rotation.map(|rotation| phase_word(&rotation.phase).to_owned()),
    }
}

/// The published table from phases to statuses.
pub(crate) const fn status(phase: &Phase) -> api::Status {
    match phase {
        Phase::Stage => api::Status::Pending,
        Phase::Verify { .. } => api::Status::Verifying,
        Phase::Apply
        | Phase::Publish { .. }
        | Phase::Propagate { .. }
        | Phase::Drain { .. }
        | Phase::Disable { .. }
        | Phase::Destroy { .. }
        | Phase::Rollback(_) => api::Status::InProgress,
        Phase::Done(Outcome::Success) => api::Status::Success,
        Phase::Done(Outcome::RolledBack) => api::Status::RolledBack,
        Phase::Done(Outcome::Abandoned) => api::Status::Failed,
    }
}

fn rotation(rotation: &Rotation, wants: &Wants) -> api::RotationView {
    api::RotationView {
        from: rotation.from.map(occupant),
        to: occupant(rotation.to),
        owed: rotation.owed.iter().copied().map(occupant).collect(),
        phase: phase_word(&rotation.phase).to_owned(),
        status: status(&rotation.phase),
        hold: rotation.hold.as_ref().map(hold_words),
        trouble: rotation.trouble.map(|kind| kind.code().to_owned()),
        cause: rotation.cause.map(|cause| cause_word(cause).to_owned()),
        waiting_for: wants.waiting_for.iter().map(blocker).collect(),
        entered_at: time(rotation.entered_at),
        elapsed_ms: milliseconds(rotation.elapsed.total),
    }
}

const fn occupant(occupant: Occupant) -> api::OccupantView {
    api::OccupantView { generation: occupant.generation.0, slot: occupant.slot.0, candidate: occupant.candidate.0 }
}

fn consumer(called: Role, member: &Member) -> api::MemberView {
    api::MemberView {
        consumer: member.consumer.to_string(),
        role: role(called),
        publication: member.acked.map(|(publication, _)| publication.0),
        reach: member.acked.map_or(api::Reach::Expected, |(_, got)| reach(got)),
    }
}

/// A role on the wire.
pub(crate) const fn role(role: Role) -> api::Role {
    match role {
        Role::Verifier => api::Role::Verifier,
        Role::Presenter => api::Role::Presenter,
    }
}

/// A role from the wire.
pub(crate) const fn core_role(role: api::Role) -> Role {
    match role {
        api::Role::Verifier => Role::Verifier,
        api::Role::Presenter => Role::Presenter,
    }
}

const fn reach(reach: Reach) -> api::Reach {
    match reach {
        Reach::Expected => api::Reach::Expected,
        Reach::Delivered => api::Reach::Delivered,
        Reach::Loaded => api::Reach::Loaded,
        Reach::Used => api::Reach::Used,
    }
}

/// A reach from the wire; `None` for the one that nobody can acknowledge.
pub(crate) const fn core_reach(reach: api::Reach) -> Option<Reach> {
    match reach {
        api::Reach::Expected => None,
        api::Reach::Delivered => Some(Reach::Delivered),
        api::Reach::Loaded => Some(Reach::Loaded),
        api::Reach::Used => Some(Reach::Used),
    }
}

const fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Ordered => "ordered",
        Cause::Unfit => "unfit",
        Cause::Deadline => "deadline",
        Cause::Abandoned => "abandoned",
    }
}

fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| format!("{} ms", at.0), |at| at.to_string())
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn blocker(blocker: &Blocker) -> api::WaitingFor {
    let waiting =
        |kind: &str, text: String| api::WaitingFor { kind: kind.to_owned(), text, subject: None, remaining_ms: None };
    let longer = |kind: &str, text: &str, remaining: std::time::Duration| api::WaitingFor {
        remaining_ms: Some(milliseconds(remaining)),
        ..waiting(kind, format!("{text} for another {:.1} s", remaining.as_secs_f64()))
    };
    match blocker {
        Blocker::Held(hold) => waiting("held", format!("it is held: {}", hold_words(hold))),
        Blocker::Trouble(kind) => waiting("trouble", format!("the last try failed [{}]", kind.code())),
        Blocker::Verification { passes, needed } => {
            waiting("verification", format!("{passes} of {needed} rounds of verification passed in a row"))
        }
        Blocker::Consumer { consumer, role } => waiting_consumer(consumer, *role),
        Blocker::RollIncomplete(called) => {
            waiting("roll_incomplete", format!("nobody knows yet every {} who should be there", role(*called).word()))
        }
        Blocker::Store(store) => api::WaitingFor {
            subject: Some(store.to_string()),
            ..waiting("store", format!("store {store} does not point to it yet"))
        },
        Blocker::InUse { uses } => waiting("in_use", format!("{uses} uses of what retires were seen")),
        Blocker::UseUnknown => waiting("use_unknown", "nobody could look whether what retires is in use".to_owned()),
        Blocker::Quiet { remaining } => longer("quiet", "what retires must be seen unused", *remaining),
        Blocker::Overlap { remaining } => longer("overlap", "both generations stay valid", *remaining),
        Blocker::Target(what) => waiting("target", format!("the target has to {what}")),
        Blocker::Brake { remaining } => longer("brake", "the brake is held", *remaining),
    }
}

fn waiting_consumer(consumer: &ConsumerId, called: Role) -> api::WaitingFor {
    api::WaitingFor {
        kind: "consumer".to_owned(),
        text: format!("{} {consumer} has not acknowledged", role(called).word()),
        subject: Some(consumer.to_string()),
        remaining_ms: None,
    }
}

/// What a rotation would do.
pub(crate) fn plan(group: &str, plan: &Plan) -> api::PlanView {
    let seconds = |duration: std::time::Duration| format!("{} s", duration.as_secs_f64());
    let stores: Vec<&str> = plan.stores.iter().map(handover_core::StoreId::as_str).collect();
    let verifiers = if plan.verifiers { ", and every verifier must acknowledge" } else { "" };
    let propagate = if plan.presenters {
        format!("wait until every presenter has acknowledged it as {}", reach(plan.reach_min).word())
    } else {
        "nobody is called: no presenter is declared".to_owned()
    };
    let steps = [
        ("stage", "mint a value and seal it; nothing outside is touched".to_owned()),
        ("apply", "make the target accept it, in the slot that the old one does not occupy".to_owned()),
        ("verify", format!("log in at every endpoint, {} times in a row{verifiers}", plan.passes_min)),
        ("publish", format!("point {} to it", stores.join(", "))),
        ("propagate", propagate),
        (
            "drain",
            format!(
                "wait until the old one was seen unused for {} and both were valid for {}",
                seconds(plan.quiet_min),
                seconds(plan.overlap_min)
            ),
        ),
        (
            "disable",
            format!("make the target refuse the old one, reversibly, and watch for {}", seconds(plan.brake_for)),
        ),
        ("destroy", "make the target forget the old one: from here there is no way back".to_owned()),
    ];
    api::PlanView {
        group: group.to_owned(),
        strategy: strategy_word(plan.strategy).to_owned(),
        steps: steps.into_iter().map(|(phase, text)| api::PlanStep { phase: phase.to_owned(), text }).collect(),
        policy_digest: plan.policy_digest.clone(),
        obstacles: Vec::new(),
    }
}

/// What stands in the way of a rotation.
pub(crate) fn obstacles(group: &str, policy_digest: &str, obstacles: &[Obstacle]) -> api::PlanView {
    api::PlanView {
        group: group.to_owned(),
        strategy: String::new(),
        steps: Vec::new(),
        policy_digest: policy_digest.to_owned(),
        obstacles: obstacles.iter().map(obstacle).collect(),
    }
}

/// An obstacle in words.
pub(crate) fn obstacle(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Live => "a rotation of this group is live and cannot be superseded".to_owned(),
        Obstacle::NotBuilt(strategy) => format!("the strategy {} cannot be executed yet", strategy_word(*strategy)),
        Obstacle::Slots { needed, there } => format!("{needed} slots are needed and the target has {there}"),
        Obstacle::TargetDoesNotFence => "the target cannot fence: a late write could kill a live credential".to_owned(),
        Obstacle::StoreDoesNotFence(store) => {
            format!("store {store} cannot fence: a late write could bring a revoked credential back")
        }
        Obstacle::NoStore => "the group has no store: nobody could fetch the new value".to_owned(),
        Obstacle::NoEvidence => "the target does not show use: nothing can prove that the old one is unused".to_owned(),
        Obstacle::QuietTooShort => {
            "no presenter is declared, so quiet_min must be longer than fetch_to_load_max".to_owned()
        }
        Obstacle::Policy(words) => format!("policy: {words}"),
        Obstacle::Found(fault) => fault.to_string(),
    }
}

const fn strategy_word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Immediate => "immediate",
        Strategy::Staged => "staged",
        Strategy::DualWrite => "dual_write",
        Strategy::BlueGreen => "blue_green",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(Timestamp(1_700_000_000_000)), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn what_is_waited_for_names_it() {
        let worker = ConsumerId::parse("worker").unwrap();
        let waiting = blocker(&Blocker::Consumer { consumer: worker, role: Role::Presenter });
        assert_eq!(waiting.text, "presenter worker has not acknowledged");
        assert_eq!(waiting.subject.as_deref(), Some("worker"));
        let waiting = blocker(&Blocker::Quiet { remaining: Duration::from_millis(1_500) });
        assert_eq!((waiting.remaining_ms, waiting.kind.as_str()), (Some(1_500), "quiet"));
    }
}
