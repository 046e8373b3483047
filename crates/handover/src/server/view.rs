//! From the engine's types to those of the wire.

use handover_api as api;
use handover_core::{
    Blocker, Member, Obstacle, Occupant, Opened, Phase, Plan, Reach, Role, RollCall, Rotation, Row, Strategy, Stretch,
    Timestamp, Wants,
};
use handover_engine::history::phase_word;

use crate::config::duration::Span;
use crate::words;

/// A group as it stands.
pub(crate) fn group(
    row: &Row,
    current_since: Option<String>,
    wants: &Wants,
    target: &str,
    calls: &[(Role, RollCall)],
) -> api::GroupStatus {
    api::GroupStatus {
        group: row.group.to_string(),
        target: target.to_owned(),
        current: row.current.map(occupant),
        current_since,
        publication: row.publication.0,
        rotation: row.rotation.as_ref().map(|live| rotation(live, wants)),
        consumers: calls
            .iter()
            .flat_map(|(role, call)| call.members.iter().map(|member| consumer(*role, member)))
            .collect(),
        schedule: None,
        emergency: None,
    }
}

/// A group in one line.
pub(crate) fn summary(row: &Row, current_since: Option<String>) -> api::GroupSummary {
    let rotation = row.rotation.as_ref();
    api::GroupSummary {
        group: row.group.to_string(),
        generation: row.current.map(|current| current.generation.0),
        current_since,
        publication: row.publication.0,
        status: rotation.map(|rotation| words::status(&rotation.phase)),
        phase: rotation.map(|rotation| phase_word(&rotation.phase).to_owned()),
        hold: rotation.and_then(|rotation| rotation.hold.as_ref()).map(|hold| words::hold_kind(hold).to_owned()),
        doubt: row.doubt.as_ref().map(|doubt| words::doubt_kind(doubt).to_owned()),
        trouble: row.live().and_then(|rotation| rotation.trouble).map(|kind| kind.code().to_owned()),
        entered_at: rotation.map(|rotation| time(rotation.entered_at)),
    }
}

fn rotation(rotation: &Rotation, wants: &Wants) -> api::RotationView {
    api::RotationView {
        from: rotation.from.map(occupant),
        to: occupant(rotation.to),
        owed: rotation.owed.iter().copied().map(occupant).collect(),
        phase: phase_word(&rotation.phase).to_owned(),
        status: words::status(&rotation.phase),
        hold: rotation.hold.as_ref().map(|hold| words::hold_kind(hold).to_owned()),
        trouble: rotation.trouble.map(|kind| kind.code().to_owned()),
        cause: rotation.cause.map(|cause| words::cause_kind(cause).to_owned()),
        wave: wave(&rotation.phase),
        waiting_for: wants.waiting_for.iter().map(blocker).collect(),
        entered_at: time(rotation.entered_at),
        elapsed_ms: milliseconds(rotation.elapsed.total),
    }
}

fn wave(phase: &Phase) -> Option<api::WaveView> {
    let Phase::Propagate { opened, .. } = phase else { return None };
    match opened {
        Opened::All => None,
        Opened::Nobody => Some(api::WaveView { open: 0, of: None }),
        Opened::Wave { number, cuts, .. } => {
            let of = u32::try_from(cuts.len()).ok().and_then(|waves| waves.checked_add(1));
            Some(api::WaveView { open: *number, of })
        }
    }
}

pub(crate) const fn occupant(occupant: Occupant) -> api::OccupantView {
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

pub(crate) const fn reach(reach: Reach) -> api::Reach {
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

/// A time on the wire: RFC 3339, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| format!("{} ms", at.0), |at| at.to_string())
}

pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn blocker(blocker: &Blocker) -> api::WaitingFor {
    let remaining = match blocker {
        Blocker::Quiet { remaining }
        | Blocker::Overlap { remaining }
        | Blocker::Brake { remaining }
        | Blocker::Soak { remaining, .. } => Some(*remaining),
        Blocker::Doubted(_)
        | Blocker::Held(_)
        | Blocker::Trouble(_)
        | Blocker::Verification { .. }
        | Blocker::Consumer { .. }
        | Blocker::RollIncomplete(_)
        | Blocker::Store(_)
        | Blocker::Staging(_)
        | Blocker::InUse { .. }
        | Blocker::UseUnknown
        | Blocker::Target(_)
        | Blocker::Approval { .. }
        | Blocker::Window { .. }
        | Blocker::WaveEmpty { .. } => None,
    };
    api::WaitingFor {
        kind: words::blocker_kind(blocker).to_owned(),
        text: words::blocker(blocker),
        subject: words::blocker_subject(blocker).map(str::to_owned),
        remaining_ms: remaining.map(milliseconds),
    }
}

/// What a rotation would do.
pub(crate) fn plan(group: &str, plan: &Plan) -> api::PlanView {
    let stores: Vec<&str> = plan.stores.iter().map(handover_core::StoreId::as_str).collect();
    let verifiers = if plan.verifiers { ", and every verifier must acknowledge" } else { "" };
    let propagate = if !plan.waves.is_empty() {
        words::waves::plan(plan)
    } else if plan.presenters {
        format!("wait until every presenter has acknowledged it as {}", reach(plan.reach_min).word())
    } else {
        "nobody is called: no presenter is declared".to_owned()
    };
    let in_place = plan.replaces_in_place();
    let apply = if !plan.has_target() {
        "there is no target that could accept it"
    } else if in_place {
        "write it over the old one at the target: consumers fail from here until they have loaded it"
    } else {
        "make the target accept it, in the slot that the old one does not occupy"
    };
    let apply = match plan.strategy {
        Strategy::Staged => {
            format!("stage it in {}, apart from what is current, and read it back; {apply}", stores.join(", "))
        }
        Strategy::Immediate | Strategy::DualWrite | Strategy::BlueGreen => apply.to_owned(),
    };
    let verify = match plan.passes_min {
        0 => format!("nothing is verified{verifiers}"),
        passes => format!("log in at every endpoint, {passes} times in a row{verifiers}"),
    };
    let mut steps = vec![
        ("stage", Stretch::Apply, "mint a value and seal it; nothing outside is touched".to_owned()),
        ("apply", Stretch::Apply, apply),
        ("verify", Stretch::Verify, verify),
        ("publish", Stretch::Publish, format!("point {} to it", stores.join(", "))),
        ("propagate", Stretch::Propagate, propagate),
    ];
    steps.extend(if in_place { replaced(plan) } else { retired(plan) });
    api::PlanView {
        group: group.to_owned(),
        strategy: words::strategy(plan.strategy).to_owned(),
        steps: steps.into_iter().map(|(phase, stretch, text)| step(plan, phase, stretch, text)).collect(),
        policy_digest: plan.policy_digest.clone(),
        obstacles: Vec::new(),
    }
}

/// How an old one goes that was written over.
fn replaced(plan: &Plan) -> Vec<(&'static str, Stretch, String)> {
    let prove = ("disable", Stretch::Disable, "prove that the target refuses the old one".to_owned());
    let forget =
        ("destroy", Stretch::Disable, "have the stores forget the old one: from here there is no way back".to_owned());
    (plan.passes_min > 0).then_some(prove).into_iter().chain([forget]).collect()
}

/// How an old one goes that was valid beside the new one.
fn retired(plan: &Plan) -> Vec<(&'static str, Stretch, String)> {
    vec![
        (
            "drain",
            Stretch::Drain,
            format!(
                "wait until the old one was seen unused for {} and both were valid for {}",
                Span(plan.quiet_min),
                Span(plan.overlap_min)
            ),
        ),
        (
            "disable",
            Stretch::Disable,
            format!("make the target refuse the old one, reversibly, and watch for {}", Span(plan.brake_for)),
        ),
        ("destroy", Stretch::Disable, "make the target forget the old one: from here there is no way back".to_owned()),
    ]
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

fn step(plan: &Plan, phase: &str, stretch: Stretch, text: String) -> api::PlanStep {
    let deadline = plan.deadlines.get(&stretch).map(|deadline| {
        let then = words::explain::on_deadline(stretch, deadline.then);
        // Two phases share one deadline: the time counts for both together.
        let both = match stretch {
            Stretch::Apply => ", with stage and apply together",
            Stretch::Disable => ", with disable and destroy together",
            Stretch::Verify | Stretch::Publish | Stretch::Propagate | Stretch::Drain | Stretch::Rollback => "",
        };
        format!("after {}{both}: {then}", Span(deadline.after))
    });
    api::PlanStep { phase: phase.to_owned(), text, deadline }
}

/// Something that stands in the way of a rotation.
pub(super) fn obstacle(obstacle: &Obstacle) -> api::ObstacleView {
    api::ObstacleView {
        kind: words::obstacle_kind(obstacle).to_owned(),
        text: words::obstacle(obstacle),
        hint: words::explain::obstacle_hint(obstacle),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handover_core::ConsumerId;

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
