//! The explorer: clean with all rules, harm without any one of them; then long random runs.
//!
//! `HANDOVER_EXPLORE=long` adds the large worlds. A random run that fails is written to
//! `target/explorer/` as a list of events.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "reports states and time; helpers of tests")]

use std::path::Path;

use handover_core::Slots;
use handover_testkit::explorer::{Harm, Mutation, Size, explore, large_worlds, walk, worlds};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Every world that runs in CI has fewer; the limit only keeps a mistake from filling the memory.
const STATES_MAX: usize = 4_000_000;

fn assert_clean(size: &Size, states_max: usize) {
    let report = explore(size, None, states_max);
    println!("{report}");
    if let Some((harm, trace)) = &report.found {
        panic!("{harm:?} in {:?}:\n{}", report.world, trace.join("\n"));
    }
    assert!(!report.cut_short, "{:?} has more than {states_max} states: nothing was proved", report.world);
}

#[test]
fn all_worlds_are_clean_and_have_no_dead_end() {
    for size in worlds() {
        assert_clean(&size, STATES_MAX);
    }
    if std::env::var_os("HANDOVER_EXPLORE").is_some_and(|value| value == "long") {
        for size in large_worlds() {
            assert_clean(&size, 60_000_000);
        }
    }
}

#[test]
fn every_rule_left_out_finds_harm() {
    let worlds = worlds();
    let silent: Vec<Mutation> = Mutation::ALL
        .into_iter()
        .filter(|mutation| {
            let found = worlds
                .iter()
                .filter(|size| mutation.is_about(size))
                .map(|size| explore(size, Some(*mutation), STATES_MAX))
                .find(|report| report.found.as_ref().is_some_and(|(harm, _)| *harm != Harm::Violation));
            if let Some(report) = &found {
                println!("{report}");
            }
            found.is_none()
        })
        .collect();
    assert!(silent.is_empty(), "these rules were left out and nobody was hurt: {silent:?}");
}

/// Where there is no target, the roll call is all there is.
#[test]
fn without_a_target_rules_left_out_find_harm() {
    let worlds: Vec<Size> = worlds().into_iter().filter(|size| size.slots == Slots::Nowhere).collect();
    for mutation in [
        Mutation::StoreDoesNotFence,
        Mutation::ConfirmWithoutWrite,
        Mutation::UndoKnownOnly,
        Mutation::RefuseLowerGeneration,
        Mutation::AdoptionByGeneration,
        Mutation::NoDebt,
    ] {
        let reports = worlds.iter().map(|size| explore(size, Some(mutation), STATES_MAX));
        let found = reports.filter_map(|report| report.found).find(|(harm, _)| *harm != Harm::Violation);
        assert!(found.is_some(), "{mutation:?} was left out and nobody was hurt");
    }
}

/// What a store keeps under the staging label may be something else than what it was given: who reads it back finds out.
#[test]
fn what_is_staged_hurts_only_who_does_not_read_it_back() {
    let mut found = Vec::new();
    for size in worlds().iter().filter(|size| size.garbles > 0) {
        found.extend(explore(size, Some(Mutation::NoReadBack), STATES_MAX).found.map(|(harm, _)| harm));
    }
    assert!(found.contains(&Harm::StorePublishesRefused { store: 0 }), "{found:?}");
}

/// F65: a gate is passed where nobody waits for the word of a person, and nowhere else.
#[test]
fn a_gate_is_passed_only_with_the_word_of_a_person() {
    for size in worlds().iter().filter(|size| size.asks) {
        assert_clean(size, STATES_MAX);
        let report = explore(size, Some(Mutation::NoApproval), STATES_MAX);
        assert_eq!(report.found.map(|(harm, _)| harm), Some(Harm::Unapproved), "{:?}", size.name);
    }
}

/// A later wave gets a candidate only after the first one has shown that it does; also in the middle of a way back.
#[test]
fn a_candidate_is_read_wave_by_wave() {
    for size in worlds().iter().filter(|size| size.waves) {
        for mutation in Mutation::ALL.into_iter().filter(|mutation| mutation.is_about_waves()) {
            let report = explore(size, Some(mutation), STATES_MAX);
            let harm = report.found.map(|(harm, _)| harm);
            assert_eq!(harm, Some(Harm::Early { consumer: 1 }), "{mutation:?} in {:?}", size.name);
        }
    }
}

/// An emergency at any time hurts nobody where nobody accepted that, and would if presenters were not waited for.
#[test]
fn an_emergency_leaves_nobody_behind() {
    for size in worlds().iter().filter(|size| size.emergencies > 0) {
        assert_clean(size, STATES_MAX);
        let report = explore(size, Some(Mutation::BreakUnasked), STATES_MAX);
        assert!(matches!(report.found, Some((Harm::ConsumerRefused { .. }, _))), "{report}");
    }
}

#[test]
fn long_random_runs_hurt_nobody_and_come_to_an_end() {
    let sizes: Vec<Size> = large_worlds().into_iter().chain(worlds()).collect();
    let choices = proptest::collection::vec(proptest::prelude::any::<u16>(), 50..600);
    let strategy = (0..sizes.len(), choices);
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&strategy, |(index, choices)| {
        walk(&sizes[index], None, &choices).map(drop).map_err(|failure| {
            let events = failure.events.join("\n");
            keep(sizes[index].name, &events);
            TestCaseError::fail(format!("{:?} in {:?}:\n{events}", failure.harm, sizes[index].name))
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Random runs can fail: without the slot's fence one of them soon does. The numbers are the same each time.
#[test]
fn random_runs_find_harm_without_the_slots_fence() {
    let size = &worlds()[0];
    let choices = proptest::collection::vec(proptest::prelude::any::<u16>(), 50..400);
    let config = Config { cases: 2_000, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&choices, |choices| {
        walk(size, Some(Mutation::SlotDoesNotFence), &choices)
            .map(drop)
            .map_err(|failure| TestCaseError::fail(format!("{:?}", failure.harm)))
    });
    assert!(outcome.is_err(), "random runs must find what exhaustive search finds");
}

fn keep(world: &str, events: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/explorer");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{}.events", world.replace([' ', ':', ','], "-"))), events).unwrap();
}
