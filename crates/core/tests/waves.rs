//! Waves: some presenters may read the candidate before others.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{POLL, at_rest, learn, learn_at, plan, started, store, version};
use handover_core::{
    Blocker, Cause, ConsumerId, Deadline, Effect, Fact, Fault, FaultKind, Generation, Hold, Member, Moments,
    OnDeadline, Opened, Order, Phase, Picked, Plan, Publication, Reach, Refusal, Role, Roll, RollCall, Row, Stretch,
    Undo, Violation, Wave, Withheld, check, wants,
};

const TO: Generation = Generation(2);
const SOAK: Duration = Duration::from_secs(10);

fn name(text: &str) -> ConsumerId {
    ConsumerId::parse(text).unwrap()
}

/// `canary` first, watched for two polls; then `web`; then all others.
fn in_waves() -> Plan {
    let wave = |who, soak| Wave { members: Picked::Named([name(who)].into()), soak };
    Plan { waves: vec![wave("canary", SOAK), wave("web", Duration::ZERO)], ..plan() }
}

/// The roll of `canary`, `web` and `job`, each with the publication that it acknowledged.
fn roll(acked: [u64; 3]) -> Fact {
    let members = ["canary", "web", "job"].into_iter().zip(acked);
    let members = members.map(|(who, publication)| Member {
        consumer: name(who),
        acked: Some((Publication(publication), Reach::Loaded)),
    });
    Fact::Adoption { role: Role::Presenter, call: RollCall { members: members.collect(), complete: true } }
}

fn publishing(plan: &Plan) -> Row {
    let facts = [Fact::Sealed, Fact::Accepted(TO), Fact::LoggedIn(TO)];
    let row = facts.into_iter().fold(started(plan), |row, fact| learn(&row, plan, fact));
    assert!(matches!(phase(&row), Phase::Publish { .. }), "{:?}", phase(&row));
    row
}

/// Published as publication 2 over publication 1.
fn published(plan: &Plan) -> Row {
    learn(&publishing(plan), plan, Fact::Pointed { store: store(), version: version("v2") })
}

fn phase(row: &Row) -> &Phase {
    &row.rotation.as_ref().unwrap().phase
}

fn open(row: &Row) -> Option<u32> {
    let Phase::Propagate { opened, .. } = phase(row) else { return None };
    match opened {
        Opened::Wave { number, .. } => Some(*number),
        Opened::Nobody => Some(0),
        Opened::All => None,
    }
}

/// Who may read the candidate where the store publishes it.
fn readers(row: &Row, plan: &Plan) -> Vec<&'static str> {
    let withheld = Withheld::of(row, plan);
    let reads = |who: &&str| withheld.as_ref().is_none_or(|all| !all.keeps(TO, Some(&name(who))));
    ["canary", "web", "job", "late"].into_iter().filter(reads).collect()
}

fn blockers(row: &Row, plan: &Plan) -> Vec<Blocker> {
    wants(row, plan, handover_core::Timestamp(0)).waiting_for
}

fn waits_for(row: &Row, plan: &Plan, who: &str) -> bool {
    blockers(row, plan).contains(&Blocker::Consumer { consumer: name(who), role: Role::Presenter })
}

#[test]
fn each_wave_reads_it_once_the_one_before_has_shown_that_it_does() {
    let plan = in_waves();
    assert_eq!(readers(&started(&plan), &plan).len(), 4, "the old one is everybody's");
    assert!(readers(&publishing(&plan), &plan).is_empty(), "a store may point there already");
    let row = published(&plan);
    assert_eq!((open(&row), readers(&row, &plan).len()), (Some(0), 0));
    let row = learn(&row, &plan, roll([1, 1, 1]));
    assert_eq!((open(&row), readers(&row, &plan)), (Some(1), vec!["canary"]));
    assert!(waits_for(&row, &plan, "canary") && !waits_for(&row, &plan, "web") && !waits_for(&row, &plan, "job"));

    // The first look at which all is well begins the soak; nobody else counts, whatever they acknowledged.
    let row = learn_at(&row, &plan, 10, roll([2, 1, 1])).unwrap();
    assert!(blockers(&row, &plan).contains(&Blocker::Soak { number: 1, remaining: SOAK }));
    let row = learn_at(&row, &plan, 15, roll([2, 1, 1])).unwrap();
    assert_eq!(open(&row), Some(1));
    let row = learn_at(&row, &plan, 20, roll([2, 1, 1])).unwrap();
    assert_eq!((open(&row), readers(&row, &plan)), (Some(2), vec!["canary", "web"]));

    // Without a soak the next one opens with the acknowledgement.
    let row = learn_at(&row, &plan, 25, roll([2, 1, 1])).unwrap();
    assert!(waits_for(&row, &plan, "web") && !waits_for(&row, &plan, "job"));
    let row = learn_at(&row, &plan, 30, roll([2, 2, 1])).unwrap();
    assert!(matches!(phase(&row), Phase::Propagate { opened: Opened::All, .. }), "{:?}", phase(&row));
    assert_eq!(readers(&row, &plan).len(), 4);
    let row = learn_at(&row, &plan, 35, roll([2, 2, 1])).unwrap();
    assert!(waits_for(&row, &plan, "job"), "the old number is not done");
    let row = learn_at(&row, &plan, 40, roll([2, 2, 2])).unwrap();
    assert!(matches!(phase(&row), Phase::Drain { .. }), "{:?}", phase(&row));
}

#[test]
fn one_who_is_behind_stops_the_soak_and_time_that_nobody_saw_does_not_count() {
    let plan = in_waves();
    let row = learn_at(&published(&plan), &plan, 0, roll([2, 1, 1])).unwrap();
    let row = learn_at(&row, &plan, 5, roll([2, 1, 1])).unwrap();
    let row = learn_at(&row, &plan, 6, roll([1, 1, 1])).unwrap();
    assert!(waits_for(&row, &plan, "canary"));
    let row = learn_at(&row, &plan, 500, roll([2, 1, 1])).unwrap();
    assert!(blockers(&row, &plan).contains(&Blocker::Soak { number: 1, remaining: SOAK - POLL }));
    let row = learn_at(&row, &plan, 505, roll([2, 1, 1])).unwrap();
    assert_eq!(open(&row), Some(2));
}

#[test]
fn a_wave_from_which_everybody_is_gone_shows_nothing() {
    let plan = Plan { waves: vec![Wave { members: Picked::Count(1), soak: Duration::ZERO }], ..in_waves() };
    let row = learn(&published(&plan), &plan, roll([1, 1, 1]));
    let canary = readers(&row, &plan).into_iter().find(|who| *who != "late").unwrap();
    let Fact::Adoption { role, mut call } = roll([2, 2, 2]) else { panic!("a roll") };
    call.members.retain(|member| member.consumer != name(canary));
    let row = learn(&row, &plan, Fact::Adoption { role, call });
    assert_eq!(open(&row), Some(1));
    assert!(blockers(&row, &plan).contains(&Blocker::WaveEmpty { number: 1 }));
    let row = learn(&row, &plan, Fact::Order(Order::Force));
    assert_eq!(open(&row), None);
}

#[test]
fn a_breach_takes_the_wave_back_and_nobody_reads_it_any_more() {
    let plan = Plan { checks: Moments { before_publish: false, after_publish: true }, ..in_waves() };
    let row = learn(&published(&plan), &plan, roll([1, 1, 1]));
    let looks = |row: &Row| wants(row, &plan, handover_core::Timestamp(0)).effects;
    let checked = |row: &Row| looks(row).iter().any(|effect| matches!(effect, Effect::Check { .. }));
    let row = learn_at(&row, &plan, 0, Fact::Checked(TO)).unwrap();
    assert!(checked(&row), "it is checked for as long as the wave is watched");
    let row = learn_at(&row, &plan, 0, roll([2, 1, 1])).unwrap();
    let row = learn_at(&row, &plan, 5, Fact::Checked(TO)).unwrap();
    let row = learn_at(&row, &plan, 10, Fact::Checked(TO)).unwrap();
    assert_eq!(open(&row), Some(1), "five of ten seconds");
    let unfit = Fact::Fault { effect: "check", fault: Fault::untouched(FaultKind::Unfit, "errors") };
    let back = learn_at(&row, &plan, 11, unfit.clone()).unwrap();
    assert!(matches!(phase(&back), Phase::Rollback(Undo::Unpublish { .. })), "{:?}", phase(&back));
    assert_eq!(back.rotation.as_ref().unwrap().cause, Some(Cause::Unfit));
    assert!(readers(&back, &plan).is_empty(), "the store still points there");
    let withheld = Withheld::of(&back, &plan).unwrap();
    assert_eq!((back.publication, withheld.publication), (Publication(3), Publication(1)));
    assert_eq!(withheld.instead.generation, Generation(1));

    // Where people decide, what was seen before the breach is seen anew.
    let plan = Plan { auto_rollback: false, ..plan };
    let held = learn_at(&row, &plan, 11, unfit).unwrap();
    assert_eq!(held.rotation.as_ref().unwrap().hold, Some(Hold::Unfit));
    let row = learn_at(&held, &plan, 12, Fact::Order(Order::Resume)).unwrap();
    assert_eq!(open(&row), Some(1));
    assert!(blockers(&row, &plan).contains(&Blocker::Soak { number: 1, remaining: SOAK }));
}

#[test]
fn a_check_that_says_nothing_stops_the_soak() {
    let plan = Plan { checks: Moments { before_publish: false, after_publish: true }, ..in_waves() };
    let row = learn(&published(&plan), &plan, roll([2, 1, 1]));
    let row = learn_at(&row, &plan, 0, Fact::Checked(TO)).unwrap();
    let row = learn_at(&row, &plan, 5, Fact::Checked(TO)).unwrap();
    let fault = Fault::untouched(FaultKind::Unreachable, "no answer");
    let row = learn_at(&row, &plan, 6, Fact::Fault { effect: "check", fault }).unwrap();
    let row = learn_at(&row, &plan, 16, Fact::Checked(TO)).unwrap();
    assert!(blockers(&row, &plan).contains(&Blocker::Soak { number: 1, remaining: SOAK - POLL }));
}

#[test]
fn the_deadline_is_of_each_wave_and_a_soak_does_not_count() {
    let deadline = Deadline { after: Duration::from_secs(12), then: OnDeadline::Hold };
    let mut plan = Plan { deadlines: [(Stretch::Propagate, deadline)].into(), ..in_waves() };
    plan.waves[0].soak = Duration::from_secs(60);
    let mut row = learn(&published(&plan), &plan, roll([2, 1, 1]));
    for second in (5..60).step_by(5) {
        row = learn_at(&row, &plan, second, roll([2, 1, 1])).unwrap();
    }
    assert_eq!((open(&row), row.rotation.as_ref().unwrap().hold.clone()), (Some(1), None));
    row = learn_at(&row, &plan, 60, roll([2, 1, 1])).unwrap();
    assert_eq!(open(&row), Some(2));
    for second in (65..80).step_by(5) {
        row = learn_at(&row, &plan, second, roll([2, 1, 1])).unwrap();
    }
    assert_eq!(row.rotation.as_ref().unwrap().hold, Some(Hold::Deadline));
}

#[test]
fn it_is_held_and_forced_between_waves() {
    let plan = in_waves();
    let nobody = published(&plan);
    let forced = learn_at(&nobody, &plan, 0, Fact::Order(Order::Force));
    assert_eq!(forced, Err(Refusal::NotForceable), "nobody has read it yet");
    let row = learn(&nobody, &plan, roll([1, 1, 1]));
    let held = learn(&row, &plan, Fact::Order(Order::Hold));
    assert_eq!(learn_at(&held, &plan, 1, roll([2, 1, 1])), Err(Refusal::Held));
    assert_eq!(readers(&held, &plan), ["canary"], "a hold opens nothing, and takes nothing away");
    let row = learn(&held, &plan, Fact::Order(Order::Resume));
    let row = learn(&row, &plan, Fact::Order(Order::Force));
    assert_eq!(open(&row), Some(2));
    let row = learn(&row, &plan, Fact::Order(Order::Force));
    assert!(matches!(phase(&row), Phase::Propagate { presenters: Roll::Uncalled, opened: Opened::All, .. }));
}

#[test]
fn a_first_generation_and_a_roll_without_anybody_have_no_waves() {
    let plan = in_waves();
    let first = Row { current: None, publication: Publication(0), heads: Default::default(), ..at_rest() };
    let first = handover_core::start(&first, &plan, handover_core::Timestamp(0)).unwrap();
    let to = first.rotation.as_ref().unwrap().to.generation;
    let facts = [
        Fact::Sealed,
        Fact::Accepted(to),
        Fact::LoggedIn(to),
        Fact::Head { store: store(), version: None, ours: None },
        Fact::Pointed { store: store(), version: version("v1") },
    ];
    let row = facts.into_iter().fold(first, |row, fact| learn(&row, &plan, fact));
    assert!(matches!(phase(&row), Phase::Propagate { opened: Opened::All, .. }), "{:?}", phase(&row));
    assert_eq!(Withheld::of(&row, &plan), None, "there is nothing older to read");

    let counted = Plan { waves: vec![Wave { members: Picked::Count(1), soak: SOAK }], ..plan };
    let nobody = |complete| {
        let call = RollCall { members: Vec::new(), complete };
        learn(&published(&counted), &counted, Fact::Adoption { role: Role::Presenter, call })
    };
    assert_eq!(open(&nobody(false)), Some(0), "somebody may come");
    assert!(matches!(phase(&nobody(true)), Phase::Drain { .. }));
}

#[test]
fn waves_that_the_plan_has_not_are_found() {
    let plan = in_waves();
    let row = learn(&published(&plan), &plan, roll([1, 1, 1]));
    assert_eq!(check(&row, &plan), []);
    let fewer = Plan { waves: Vec::new(), ..plan };
    assert_eq!(check(&row, &fewer), [Violation::Bounds]);
}
