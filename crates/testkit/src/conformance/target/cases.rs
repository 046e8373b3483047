//! What a target does when nothing goes wrong, and what it refuses.

use handover_core::port::{Probe, State, Verdict};
use handover_core::{Candidate, FaultKind, Generation, Occupant, SeesUse, Slots, Tally, Touched};

use super::{Bench, CANARY, FIRST, Harness, SECOND, Verb, eventually, mark, standing, value};

/// A value that was created is let in everywhere, with the right rights.
pub async fn create_then_verify(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = (value(), value());
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
    assert_eq!(bench.target().verify(FIRST, &first, None).await, Ok(Verdict::Passed), "without a control");
    Verb::Create.must(&*bench, SECOND, mark(2, 8), &second).await;
    let verdict = bench.target().verify(SECOND, &second, Some((FIRST, &first))).await;
    assert_eq!(verdict, Ok(Verdict::Passed), "with a control");
    let wrong = bench.target().verify(SECOND, &value(), Some((FIRST, &first))).await;
    assert!(matches!(wrong, Ok(Verdict::Refused { .. })), "another value must be refused: {wrong:?}");
    assert!(bench.session(SECOND.slot, &second).await.is_some(), "a consumer is let in");
}

/// The same intent twice leaves one credential, which works.
pub async fn create_twice_is_one(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let first = value();
    for _ in 0..2 {
        Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
        let found = standing(&*bench, FIRST.slot).await;
        assert_eq!((found.generation, found.mark), (Some(Generation(1)), Some(mark(1, 2))));
        assert!(bench.session(FIRST.slot, &first).await.is_some());
    }
    assert_eq!(standing(&*bench, SECOND.slot).await.generation, None, "no second credential");
}

/// With more than one slot, a new generation leaves the old one alone.
pub async fn old_stays_valid_after_create(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = (value(), value());
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
    let session = bench.session(FIRST.slot, &first).await.expect("a session");
    Verb::Create.must(&*bench, SECOND, mark(2, 8), &second).await;
    assert!(matches!(bench.target().capability().slots, Slots::Fixed(2..) | Slots::Fresh));
    assert!(bench.session(FIRST.slot, &first).await.is_some(), "new sessions of the old generation");
    assert!(bench.is_open(&*session).await, "open sessions of the old generation");
}

/// A refusal is an answer, not an error.
pub async fn refused_before_create_is_an_answer(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let first = value();
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
    let never = value();
    assert_eq!(bench.target().probe(SECOND, &never, Some((FIRST, &first))).await, Ok(Probe::Refused));
    let verdict = bench.target().verify(SECOND, &never, Some((FIRST, &first))).await;
    assert!(matches!(verdict, Ok(Verdict::Refused { .. })), "{verdict:?}");
    assert_eq!(bench.target().probe(FIRST, &first, None).await, Ok(Probe::Accepted));
}

/// Without a control that is let in, nobody knows why a login failed.
pub async fn a_probe_without_control_never_says_refused(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let first = value();
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
    assert_eq!(bench.target().probe(SECOND, &value(), None).await, Ok(Probe::Unknown), "no control");
    let failing = value();
    let probe = bench.target().probe(SECOND, &value(), Some((FIRST, &failing))).await;
    assert_eq!(probe, Ok(Probe::Unknown), "a control that is refused too");
}

/// What is disabled is refused, which is proved against the other generation; its open sessions stay.
pub async fn disabled_is_refused(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    let session = bench.session(FIRST.slot, &first).await.expect("a session");
    Verb::Disable.must(&*bench, FIRST, mark(2, 9), &first).await;
    assert_eq!(bench.target().probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Refused));
    assert!(bench.session(FIRST.slot, &first).await.is_none(), "a consumer is refused");
    assert!(bench.is_open(&*session).await, "an open session stays");
    assert_eq!(standing(&*bench, FIRST.slot).await.state, State::Disabled);
    Verb::Disable.must(&*bench, FIRST, mark(2, 9), &first).await;
}

/// Disabling keeps the value, so that enabling brings it back; enabling always leaves its mark.
pub async fn enabled_is_accepted_again(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, _) = two_generations(&*bench).await;
    Verb::Disable.must(&*bench, FIRST, mark(2, 9), &first).await;
    Verb::Enable.must(&*bench, FIRST, mark(2, 10), &first).await;
    assert!(bench.session(FIRST.slot, &first).await.is_some(), "with the same value");
    Verb::Enable.must(&*bench, FIRST, mark(2, 11), &first).await;
    let found = standing(&*bench, FIRST.slot).await;
    assert_eq!(
        (found.state, found.mark),
        (State::Accepting, Some(mark(2, 11))),
        "the mark moves though nothing else does"
    );
}

/// Forgetting twice is forgetting once, and what is forgotten is refused and stays so.
pub async fn revoke_twice(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    Verb::Disable.must(&*bench, FIRST, mark(2, 9), &first).await;
    for version in [10, 10, 11] {
        Verb::Destroy.must(&*bench, FIRST, mark(2, version), &first).await;
        assert_eq!(bench.target().probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Refused));
        let found = standing(&*bench, FIRST.slot).await;
        assert_eq!((found.state, found.mark), (State::Forgotten, Some(mark(2, version))));
    }
    let intent = Verb::Enable.intent(&*bench, FIRST, mark(2, 12));
    let fault = bench.target().enable(&intent).await.expect_err("what is forgotten cannot be enabled");
    assert_eq!(fault.touched, Touched::Nothing, "{fault}");
    assert!(bench.session(FIRST.slot, &first).await.is_none());
}

/// Revoking a candidate that never arrived leaves the mark, so that it cannot arrive late.
pub async fn revoke_of_what_never_was(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let first = value();
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
    Verb::Destroy.must(&*bench, SECOND, mark(2, 9), &first).await;
    let found = standing(&*bench, SECOND.slot).await;
    assert_eq!((found.state, found.mark), (State::Forgotten, Some(mark(2, 9))));
    let late = value();
    let intent = Verb::Create.intent(&*bench, SECOND, mark(2, 8));
    let fault = bench.target().create(&intent, &late).await.expect_err("it comes too late");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "{fault}");
    assert_eq!(bench.target().probe(SECOND, &late, Some((FIRST, &first))).await, Ok(Probe::Refused));
}

/// A session is seen while it is open, and not after.
pub async fn use_is_seen(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    if bench.target().capability().sees_use == SeesUse::No {
        assert_eq!(bench.target().observe(&[FIRST]).await, Ok(Tally::Unknown), "who cannot see says so");
        return;
    }
    let (first, second) = two_generations(&*bench).await;
    let look = || bench.target().observe(&[FIRST]);
    unused(&*bench).await;
    let session = bench.session(FIRST.slot, &first).await.expect("a session");
    assert!(matches!(look().await, Ok(Tally::Some(1..))), "an open session must be seen at the first look");
    let other = bench.session(SECOND.slot, &second).await.expect("a session");
    drop(session);
    unused(&*bench).await;
    let both = bench.target().observe(&[FIRST, SECOND]).await;
    assert!(matches!(both, Ok(Tally::Some(1..))), "one of two generations is in use: {both:?}");
    drop(other);
}

/// Who may not see says *unknown*, never *none*.
pub async fn use_is_unknown_without_the_right_to_see(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    two_generations(&*bench).await;
    let look = || bench.target().observe(&[FIRST]);
    unused(&*bench).await;
    bench.blind().await;
    let tally = look().await;
    assert!(matches!(tally, Ok(Tally::Unknown) | Err(_)), "{tally:?}");
    let findings = bench.target().preflight().await.expect("a preflight");
    assert!(findings.iter().any(|finding| finding.kind == FaultKind::NotPermitted), "{findings:?}");
}

/// Sessions of a generation end; those of others, and of a later generation in its slot, do not.
pub async fn sessions_are_ended_and_no_others(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    let old = bench.session(FIRST.slot, &first).await.expect("a session");
    let new = bench.session(SECOND.slot, &second).await.expect("a session");
    let later = Occupant { generation: Generation(3), ..FIRST };
    bench.target().end_sessions(&[later]).await.expect("nothing to end");
    assert!(bench.is_open(&*old).await, "the slot serves another generation than the one that was named");
    bench.target().end_sessions(&[FIRST]).await.expect("sessions are ended");
    eventually("the session to end", || bench.is_open(&*old), |open| !open).await;
    assert!(bench.is_open(&*new).await, "the other generation's session stays");
    bench.target().end_sessions(&[FIRST]).await.expect("none is left");
}

/// A change with a lower mark than the slot's is refused, and nothing happens.
pub async fn stale_marks_are_refused(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    assert!(bench.target().capability().fences, "a target that does not fence is not planned with");
    let first = value();
    Verb::Create.must(&*bench, FIRST, mark(4, 20), &first).await;
    let before = bench.describe(FIRST.slot).await;
    for verb in Verb::ALL {
        for stale in [mark(4, 19), mark(3, 50), mark(0, 0)] {
            let fault = verb.ask(bench.target(), &verb.intent(&*bench, FIRST, stale), &value()).await;
            let fault = fault.expect_err("a stale mark must be refused");
            assert_eq!(
                (fault.kind, fault.touched),
                (FaultKind::Fenced, Touched::Nothing),
                "{verb:?} {stale:?}: {fault}"
            );
            assert_eq!(bench.describe(FIRST.slot).await, before, "{verb:?} with {stale:?} changed something");
        }
    }
    assert!(bench.session(FIRST.slot, &first).await.is_some());
    Verb::Disable.must(&*bench, FIRST, mark(4, 20), &first).await;
}

/// The brake was released; its late application would lock everybody out.
pub async fn a_late_disable_is_refused_after_enable(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, _) = two_generations(&*bench).await;
    Verb::Disable.must(&*bench, FIRST, mark(2, 9), &first).await;
    Verb::Enable.must(&*bench, FIRST, mark(2, 10), &first).await;
    let fault = bench.target().disable(&Verb::Disable.intent(&*bench, FIRST, mark(2, 9))).await;
    assert_eq!(fault.map_err(|fault| fault.kind), Err(FaultKind::Fenced));
    assert!(bench.session(FIRST.slot, &first).await.is_some(), "it is still let in");
}

/// A slot that serves a later generation is not changed for an earlier one.
pub async fn a_late_act_for_an_earlier_generation_is_refused(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, _) = two_generations(&*bench).await;
    Verb::Destroy.must(&*bench, FIRST, mark(2, 10), &first).await;
    let third = Occupant { generation: Generation(3), slot: FIRST.slot, candidate: Candidate(1) };
    let newest = value();
    Verb::Create.must(&*bench, third, mark(3, 14), &newest).await;
    for verb in Verb::ALL {
        for late in [mark(2, 9), mark(2, 10), mark(3, 14)] {
            let outcome = verb.ask(bench.target(), &verb.intent(&*bench, FIRST, late), &first).await;
            assert_eq!(outcome.map_err(|fault| fault.kind), Err(FaultKind::Fenced), "{verb:?} {late:?}");
        }
    }
    assert!(bench.session(FIRST.slot, &newest).await.is_some(), "the live successor is let in");
}

/// A value is put back over a later one, and what comes late for the later one is refused.
pub async fn an_earlier_value_is_put_back(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    let third = Occupant { generation: Generation(3), slot: FIRST.slot, candidate: Candidate(1) };
    let newest = value();
    Verb::Create.must(&*bench, third, mark(3, 14), &newest).await;
    assert_eq!(bench.target().probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Refused));
    Verb::Create.must(&*bench, FIRST, mark(3, 17), &first).await;
    assert!(bench.session(FIRST.slot, &first).await.is_some(), "it is let in again");
    let late = bench.target().create(&Verb::Create.intent(&*bench, third, mark(3, 14)), &newest).await;
    assert_eq!(late.map_err(|fault| fault.kind), Err(FaultKind::Fenced));
    assert_eq!(bench.target().probe(third, &newest, Some((SECOND, &second))).await, Ok(Probe::Refused));
}

/// After the value is gone, the mark still refuses what comes late.
pub async fn the_mark_outlives_the_value(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    Verb::Destroy.must(&*bench, FIRST, mark(2, 10), &first).await;
    for verb in [Verb::Create, Verb::Enable] {
        let outcome = verb.ask(bench.target(), &verb.intent(&*bench, FIRST, mark(2, 9)), &first).await;
        assert_eq!(outcome.map_err(|fault| fault.kind), Err(FaultKind::Fenced), "{verb:?}");
    }
    assert_eq!(bench.target().probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Refused));
}

/// A change of one slot leaves the others as they are.
pub async fn other_slots_stay_as_they_are(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    let before = bench.describe(SECOND.slot).await;
    for (verb, version) in [(Verb::Disable, 9), (Verb::Enable, 10), (Verb::Create, 11), (Verb::Destroy, 12)] {
        verb.must(&*bench, FIRST, mark(2, version), &first).await;
        assert_eq!(bench.describe(SECOND.slot).await, before, "after {verb:?} of the other slot");
    }
    assert!(bench.session(SECOND.slot, &second).await.is_some());
}

/// What bears another group's label is reported and left alone.
pub async fn foreign_objects_are_never_touched(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    bench.give_away(SECOND.slot).await;
    let before = bench.describe(SECOND.slot).await;
    for verb in Verb::ALL {
        let fault = verb.ask(bench.target(), &verb.intent(&*bench, SECOND, mark(9, 99)), &value()).await;
        let fault = fault.expect_err("it is not ours");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing), "{verb:?}: {fault}");
        assert_eq!(bench.describe(SECOND.slot).await, before, "{verb:?} changed what is not ours");
    }
    let session = bench.session(SECOND.slot, &second).await.expect("its owner still uses it");
    let ended = bench.target().end_sessions(&[SECOND]).await;
    assert_eq!(ended.map_err(|fault| fault.kind), Err(FaultKind::Foreign));
    assert!(bench.is_open(&*session).await);
    assert_eq!(bench.target().census().await.map_err(|fault| fault.kind), Err(FaultKind::Foreign));
    let findings = bench.target().preflight().await.expect("a preflight");
    assert!(findings.iter().any(|finding| finding.kind == FaultKind::Foreign), "{findings:?}");
    Verb::Disable.must(&*bench, FIRST, mark(2, 9), &first).await;
}

/// A value that the target's policy rejects leaves the slot as it was.
pub async fn a_rejected_value_touches_nothing(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let Some(unacceptable) = bench.unacceptable() else {
        return;
    };
    let first = value();
    Verb::Create.must(&*bench, FIRST, mark(1, 2), &first).await;
    let before = bench.describe(FIRST.slot).await;
    let outcome = bench.target().create(&Verb::Create.intent(&*bench, FIRST, mark(1, 3)), &unacceptable).await;
    let fault = outcome.expect_err("it must be rejected");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Rejected, Touched::Nothing), "{fault}");
    assert_eq!(bench.describe(FIRST.slot).await, before);
}

/// The census names, for every slot, the generation, the mark and what it does.
pub async fn the_census_finds_what_was_left(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    for slot in [FIRST.slot, SECOND.slot] {
        let found = standing(&*bench, slot).await;
        assert_eq!((found.generation, found.mark), (None, None), "nothing was done yet");
        assert_ne!(found.state, State::Accepting);
    }
    for (version, verb) in (2..).zip(Verb::ALL) {
        verb.must(&*bench, SECOND, mark(2, version), &value()).await;
        let found = standing(&*bench, SECOND.slot).await;
        let expected = (Some(Generation(2)), Some(mark(2, version)), verb.leads_to());
        assert_eq!((found.generation, found.mark, found.state), expected, "after {verb:?}");
        assert_eq!(standing(&*bench, FIRST.slot).await.generation, None);
    }
}

/// A group that was prepared as the page says has nothing in its way, before and in a rotation.
pub async fn preflight_finds_nothing_on_a_good_group(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let before = (bench.describe(FIRST.slot).await, bench.describe(SECOND.slot).await);
    assert_eq!(bench.target().preflight().await, Ok(vec![]));
    let after = (bench.describe(FIRST.slot).await, bench.describe(SECOND.slot).await);
    assert_eq!(after, before, "a preflight changes nothing");
    let (first, second) = two_generations(&*bench).await;
    assert_eq!(bench.target().preflight().await, Ok(vec![]));
    assert!(bench.session(FIRST.slot, &first).await.is_some());
    assert!(bench.session(SECOND.slot, &second).await.is_some());
}

/// With every statement logged, no value is in the server's log.
pub async fn no_value_reaches_the_log(harness: &dyn Harness) {
    let bench = harness.fresh().await;
    let (first, second) = two_generations(&*bench).await;
    for (verb, version) in [(Verb::Disable, 9), (Verb::Enable, 10), (Verb::Create, 11), (Verb::Destroy, 12)] {
        verb.must(&*bench, FIRST, mark(2, version), &first).await;
    }
    let verdict = bench.target().verify(SECOND, &second, Some((FIRST, &first))).await;
    assert_eq!(verdict, Ok(Verdict::Passed));
    assert_eq!(bench.target().probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Refused));
    let stale = bench.target().create(&Verb::Create.intent(&*bench, FIRST, mark(1, 1)), &first).await;
    assert!(stale.is_err_and(|fault| !format!("{fault:?}").contains(CANARY)));
    let log = bench.log();
    assert!(log.contains(bench.group().as_str()), "the log must hold our statements, or the search proves nothing");
    let line = log.lines().find(|line| line.contains(CANARY));
    assert_eq!(line, None, "a value is in the log");
}

/// Generation 1 in slot 0 and generation 2 in slot 1, both accepted.
async fn two_generations(bench: &dyn Bench) -> (handover_secret::Secret, handover_secret::Secret) {
    let (first, second) = (value(), value());
    Verb::Create.must(bench, FIRST, mark(1, 2), &first).await;
    Verb::Create.must(bench, SECOND, mark(2, 8), &second).await;
    (first, second)
}

/// Waits until no session of the first generation is seen: those that the suite just closed may linger at the server.
async fn unused(bench: &dyn Bench) {
    let seen = eventually(
        "the first generation to be out of use",
        || bench.target().observe(&[FIRST]),
        |tally| *tally == Ok(Tally::None),
    );
    assert_eq!(seen.await, Ok(Tally::None));
}
