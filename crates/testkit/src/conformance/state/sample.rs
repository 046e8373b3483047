//! Rows and plans in which every variant of the model occurs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handover_core::schedule::Cadence;
use handover_core::{
    ApprovalRule, Candidate, Cause, ConsumerId, Deadline, Doubt, FaultKind, Gate, Generation, Given, Hold, Minter,
    Moments, Occupant, OnDeadline, Opened, Outcome, Phase, Picked, Plan, Pointer, Pointers, Publication, Reach, Roll,
    Rotation, Row, RowVersion, Slot, Slots, StoreId, StoreVersion, Strategy, Stretch, Taint, Tally, Timestamp, Undo,
    Urgency, Waited, Wave,
};

use super::group;

/// One row for each phase, with holds, causes and faults dealt out among them; and one without a rotation. State that an
/// earlier version wrote holds these: what came later is in [`doubted_rows`] alone.
pub fn rows() -> Vec<Row> {
    rows_in(phases())
}

fn rows_in(phases: Vec<Phase>) -> Vec<Row> {
    let faults = FaultKind::ALL;
    let mut rows = vec![Row::new(group("fresh"))];
    for (number, phase) in phases.into_iter().enumerate() {
        let holds = holds();
        let hold = holds[number % holds.len()].clone();
        let causes = [None, Some(Cause::Ordered), Some(Cause::Unfit), Some(Cause::Deadline), Some(Cause::Abandoned)];
        let number = number as u64;
        rows.push(Row {
            doubt: None,
            cadence: Cadence::default(),
            taint: None,
            group: group(&format!("group-{number}.a_b")),
            version: RowVersion(number + 1),
            current: number.is_multiple_of(2).then(|| occupant(number)),
            last_generation: Generation(i64::MAX.unsigned_abs()),
            publication: Publication(number),
            heads: BTreeMap::from([(store("vault"), version("v\"1\n")), (store("empty"), version(""))]),
            rotation: Some(Rotation {
                from: number.is_multiple_of(3).then(|| occupant(number + 1)),
                to: occupant(number + 2),
                owed: (0..number % 3).map(occupant).collect(),
                phase,
                elapsed: waited(number),
                entered_at: Timestamp(-1),
                hold,
                trouble: (!number.is_multiple_of(4))
                    .then(|| faults[usize::try_from(number).unwrap_or(0) % faults.len()]),
                cause: causes[usize::try_from(number).unwrap_or(0) % causes.len()],
                asked_by: None,
                approvals: BTreeMap::new(),
            }),
        });
    }
    rows
}

/// The same rows and those of later phases, doubted for each reason in turn.
pub fn doubted_rows() -> Vec<Row> {
    let doubts = [
        Doubt::Restored,
        Doubt::TargetAhead,
        Doubt::StoreAhead(store("vault")),
        Doubt::TargetBehind,
        Doubt::StoreBehind(store("vault")),
        Doubt::TargetChanged,
    ];
    let cadence = Cadence { since: Some(Timestamp(1)), paused: true, retries: 2 };
    let taint = |refused_at| Taint { to: Generation(1), at: Timestamp(3), refused_at };
    let doubted = |(row, doubt): (Row, &Doubt)| {
        let taint = Some(taint(row.current.map(|_| Timestamp(4))));
        Row { doubt: Some(doubt.clone()), cadence, taint, ..row }
    };
    asked_rows().into_iter().zip(doubts.iter().cycle()).map(doubted).collect()
}

/// The same rows and those of later phases, each asked for by somebody and approved by others.
fn asked_rows() -> Vec<Row> {
    let asked = |(mut row, number): (Row, i64)| {
        if let Some(rotation) = &mut row.rotation {
            rotation.asked_by = (number % 2 == 0).then(|| person("anna"));
            let gates = [Gate::Start, Gate::Disable, Gate::Destroy];
            rotation.approvals = gates.into_iter().map(|gate| ((gate, person("ben")), given(number))).collect();
        }
        row
    };
    rows_in([phases(), later_phases()].concat()).into_iter().zip(0..).map(asked).collect()
}

/// The plans of [`plans`], with what came later: they ask people before each gate, go by waves, and know emergencies.
pub fn asking_plans() -> Vec<Plan> {
    let gates = || [Gate::Start, Gate::Disable, Gate::Destroy].into_iter();
    let approvals = |number| gates().skip(number as usize).map(|gate| (gate, rule(number))).collect();
    let urgency = |accept_breakage| Some(Urgency { accept_breakage, end_sessions: !accept_breakage });
    let urgencies = [None, urgency(true), urgency(false), None];
    let force = Deadline { after: Duration::from_secs(1), then: OnDeadline::Force };
    let asking = |(plan, number): (Plan, u32)| Plan {
        approvals: approvals(number),
        waves: waves(number),
        urgency: urgencies[number as usize % urgencies.len()],
        deadlines: plan.deadlines.clone().into_iter().chain([(Stretch::Drain, force)]).collect(),
        ..plan
    };
    plans().into_iter().zip(0..).map(asking).collect()
}

/// Plans that differ in every part.
pub fn plans() -> Vec<Plan> {
    let strategies = [Strategy::Immediate, Strategy::Staged, Strategy::DualWrite, Strategy::BlueGreen];
    let reaches = [Reach::Expected, Reach::Delivered, Reach::Loaded, Reach::Used];
    let ends = [OnDeadline::Hold, OnDeadline::Rollback, OnDeadline::TerminateSessions, OnDeadline::RequestForce];
    let stretches = [
        Stretch::Apply,
        Stretch::Verify,
        Stretch::Publish,
        Stretch::Propagate,
        Stretch::Drain,
        Stretch::Disable,
        Stretch::Rollback,
    ];
    (0..4_u32)
        .map(|number| {
            let at = number as usize;
            let time = Duration::new(u64::from(number) * 60, 123_456_789);
            let deadline = |i: usize| Deadline { after: time, then: ends[i % ends.len()] };
            Plan {
                strategy: strategies[at],
                minter: if number % 2 == 0 { Minter::Us } else { Minter::Provider },
                slots: if number % 2 == 0 { Slots::Fixed(number + 2) } else { Slots::Fresh },
                stores: (0..=number).map(|i| store(&format!("store-{i}"))).collect(),
                passes_min: number + 1,
                quiet_min: time,
                overlap_min: time * 2,
                brake_for: Duration::MAX,
                poll: Duration::from_nanos(1),
                reach_min: reaches[at],
                auto_rollback: number % 2 == 0,
                candidates_max: number + 3,
                deadlines: stretches.iter().enumerate().skip(at).map(|(i, stretch)| (*stretch, deadline(i))).collect(),
                approvals: BTreeMap::new(),
                verifiers: number % 2 == 1,
                presenters: number < 2,
                checks: Moments::default(),
                waves: Vec::new(),
                urgency: None,
                policy_digest: format!("sha256:{number}"),
            }
        })
        .collect()
}

/// Waves of each kind.
fn waves(number: u32) -> Vec<Wave> {
    let named = ["web", "job-1"].map(person).into();
    let wave = |members| Wave { members, soak: Duration::from_secs(u64::from(number)) };
    let all = [Picked::Percent(5), Picked::Count(2), Picked::Named(named)].map(wave);
    all.into_iter().take(number as usize).collect()
}

fn phases() -> Vec<Phase> {
    let presenters = || behind(&["web", "job-1"], true);
    let gone = || BTreeSet::from([Generation(1), Generation(4)]);
    vec![
        Phase::Stage,
        Phase::Apply { staged: BTreeSet::new() },
        Phase::Verify { passes: 3, reapply: true, verifiers: behind(&[], false) },
        Phase::Publish { pointers: pointers() },
        Phase::Propagate { presenters: Roll::Uncalled, passes: 0, opened: Opened::All },
        Phase::Drain { quiet: waited(0), tally: Tally::Unknown, overlap: waited(1), presenters: Roll::All },
        Phase::Drain { quiet: waited(2), tally: Tally::None, overlap: waited(3), presenters: presenters() },
        Phase::Disable { refused: gone(), held: waited(4), presenters: presenters() },
        Phase::Destroy { gone: BTreeSet::new() },
        Phase::Rollback(Undo::Release),
        Phase::Rollback(Undo::PutBack { pointers: None }),
        Phase::Rollback(Undo::PutBack { pointers: Some(pointers()) }),
        Phase::Rollback(Undo::Unpublish { pointers: pointers() }),
        Phase::Rollback(Undo::Return { presenters: presenters() }),
        Phase::Rollback(Undo::Quiet { quiet: waited(1), tally: Tally::Some(7), presenters: Roll::All }),
        Phase::Rollback(Undo::Revoke { gone: gone() }),
        Phase::Done(Outcome::Success),
        Phase::Done(Outcome::RolledBack),
        Phase::Done(Outcome::Abandoned),
    ]
}

/// What phases can be since there are waves and staged copies.
fn later_phases() -> Vec<Phase> {
    vec![
        Phase::Propagate { presenters: Roll::Uncalled, passes: 0, opened: Opened::Nobody },
        Phase::Propagate {
            presenters: behind(&["web", "job-1"], true),
            passes: 1,
            opened: Opened::Wave { number: 2, cuts: vec![Some(u64::MAX - 1), None], soaked: waited(1) },
        },
        Phase::Apply { staged: pointers().0.into_keys().collect() },
    ]
}

fn holds() -> Vec<Option<Hold>> {
    vec![
        None,
        Some(Hold::Ordered),
        Some(Hold::Drift(store("vault"))),
        Some(Hold::CandidatesSpent),
        Some(Hold::Unfit),
        Some(Hold::Deadline),
        Some(Hold::ForceWanted),
    ]
}

fn occupant(number: u64) -> Occupant {
    Occupant {
        generation: Generation(number),
        slot: Slot(u32::try_from(number % 2).unwrap_or(0)),
        candidate: Candidate(u32::MAX),
    }
}

fn person(name: &str) -> ConsumerId {
    ConsumerId::parse(name).expect("a good name")
}

fn given(number: i64) -> Given {
    Given { at: Timestamp(number - 7), expires_at: Timestamp(i64::MAX) }
}

fn rule(number: u32) -> ApprovalRule {
    let approvers = (0..number).map(|i| person(&format!("person-{i}"))).collect();
    ApprovalRule { quorum: number + 1, expires: Duration::new(u64::from(number), 1), approvers }
}

fn waited(number: u64) -> Waited {
    Waited {
        total: Duration::new(number, 999_999_999),
        seen_at: number.is_multiple_of(2).then_some(Timestamp(number.cast_signed() - 2)),
    }
}

fn behind(who: &[&str], complete: bool) -> Roll {
    let who = who.iter().map(|name| ConsumerId::parse(name).expect("a good name")).collect();
    Roll::Behind { who, complete }
}

fn pointers() -> Pointers {
    Pointers(BTreeMap::from([
        (store("a"), Pointer::Unread),
        (store("b"), Pointer::Reassert),
        (store("c"), Pointer::Expect(None)),
        (store("d"), Pointer::Expect(Some(version("7")))),
        (store("e"), Pointer::Landed(version("8"))),
    ]))
}

fn store(name: &str) -> StoreId {
    StoreId::parse(name).expect("a good name")
}

fn version(text: &str) -> StoreVersion {
    StoreVersion(Arc::from(text))
}
