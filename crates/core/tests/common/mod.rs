//! A group at rest, a plan, and a way to walk through phases.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "it is only used by tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_core::{
    Candidate, ConsumerId, Fact, Generation, GroupId, Member, Minter, Moments, Occupant, Plan, Policy, Publication,
    Reach, Refusal, Role, RollCall, Row, RowVersion, Seen, Slot, Slots, StoreId, StoreVersion, Strategy, Tally,
    Timestamp, advance, start,
};

pub const POLL: Duration = Duration::from_secs(5);

pub fn store() -> StoreId {
    StoreId::parse("main").unwrap()
}

pub fn version(text: &str) -> StoreVersion {
    StoreVersion(text.into())
}

pub fn plan() -> Plan {
    Plan {
        strategy: Strategy::DualWrite,
        slots: Slots::Fixed(2),
        minter: Minter::Us,
        stores: BTreeSet::from([store()]),
        passes_min: 1,
        quiet_min: Duration::from_secs(10),
        overlap_min: Duration::ZERO,
        brake_for: Duration::from_secs(10),
        poll: POLL,
        reach_min: Reach::Loaded,
        auto_rollback: true,
        candidates_max: 2,
        deadlines: BTreeMap::new(),
        approvals: BTreeMap::new(),
        verifiers: false,
        presenters: true,
        checks: Moments::default(),
        urgency: None,
        waves: Vec::new(),
        policy_digest: "digest".to_owned(),
    }
}

pub fn policy() -> Policy {
    Policy {
        strategy: None,
        accept_outage: false,
        passes_min: 1,
        quiet_min: Duration::from_secs(10),
        overlap_min: Duration::ZERO,
        brake_for: Duration::ZERO,
        poll: Duration::from_secs(5),
        reach_min: Reach::Loaded,
        auto_rollback: true,
        candidates_max: 3,
        deadlines: BTreeMap::new(),
        approvals: BTreeMap::new(),
        verifiers: false,
        presenters: true,
        fetch_to_load_max: Duration::from_secs(60),
        max_retries: 0,
        retry_after: Duration::from_secs(60),
        checks: Moments::default(),
        emergency: handover_core::Terms::default(),
        waves: Vec::new(),
    }
}

/// Generation 1 in slot 0, published as publication 1 at version `v1`.
pub fn at_rest() -> Row {
    let mut row = Row::new(GroupId::parse("app").unwrap());
    row.version = RowVersion(9);
    row.current = Some(Occupant { generation: Generation(1), slot: Slot(0), candidate: Candidate(1) });
    row.last_generation = Generation(1);
    row.publication = Publication(1);
    row.heads = BTreeMap::from([(store(), version("v1"))]);
    row
}

pub fn started(plan: &Plan) -> Row {
    start(&at_rest(), plan, Timestamp(0)).unwrap()
}

pub fn learn_at(row: &Row, plan: &Plan, now_s: i64, fact: Fact) -> Result<Row, Refusal> {
    advance(row, plan, &Seen { now: Timestamp(now_s * 1_000), fact })
}

pub fn learn(row: &Row, plan: &Plan, fact: Fact) -> Row {
    learn_at(row, plan, 0, fact).unwrap()
}

pub fn adopted(publication: u64, complete: bool) -> Fact {
    let consumer = ConsumerId::parse("web").unwrap();
    let acked = Some((Publication(publication), Reach::Loaded));
    let call = RollCall { members: vec![Member { consumer, acked }], complete };
    Fact::Adoption { role: Role::Presenter, call }
}

/// What brings a started rotation to its end, in order.
pub fn to_the_end() -> Vec<(i64, Fact)> {
    let old = Generation(1);
    vec![
        (0, Fact::Sealed),
        (0, Fact::Accepted(Generation(2))),
        (0, Fact::LoggedIn(Generation(2))),
        (0, Fact::Pointed { store: store(), version: version("v2") }),
        (0, adopted(2, true)),
        (0, Fact::Use(Tally::None)),
        (5, Fact::Use(Tally::None)),
        (10, Fact::Use(Tally::None)),
        (10, Fact::Refused(old)),
        (15, Fact::Use(Tally::None)),
        (20, Fact::Use(Tally::None)),
        (25, Fact::Use(Tally::None)),
        (25, Fact::Destroyed(old)),
    ]
}

/// The rows after each of the first `steps` facts, the started one first.
pub fn rows(plan: &Plan, steps: usize) -> Vec<Row> {
    let mut rows = vec![started(plan)];
    for (now_s, fact) in to_the_end().into_iter().take(steps) {
        let next = learn_at(rows.last().unwrap(), plan, now_s, fact).unwrap();
        rows.push(next);
    }
    rows
}
