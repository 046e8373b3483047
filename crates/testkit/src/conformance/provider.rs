//! The suite of a [`Target`] whose provider mints: what it must do with labels. It takes the place of
//! [`target`](super::target), whose cases are about values of ours, slots and marks.
#![expect(clippy::expect_used, reason = "a suite asserts")]

use handover_core::port::{Intent, Target, Verdict};
use handover_core::{
    Candidate, Effect, FaultKind, Generation, GroupId, Label, Mark, Minted, Minter, Occupant, RowVersion, Slot, Slots,
    Touched,
};
use handover_secret::Secret;

use super::target::Wait;

/// What the suite needs of a provider besides the port. Each bench is one account of its own, empty.
pub trait Bench: Send + Sync {
    /// The connector.
    fn target(&self) -> &dyn Target;

    /// The group that it is configured for.
    fn group(&self) -> &GroupId;

    /// Somebody else makes a credential, labelled like this.
    fn add_foreign(&self, label: &str) -> Wait<'_, ()>;

    /// What labels stand there, as the provider itself shows them, sorted.
    fn labels(&self) -> Wait<'_, Vec<String>>;
}

/// Runs every case, each on a bench of its own.
pub async fn run(fresh: impl Fn() -> Box<dyn Bench>) {
    a_minted_value_is_let_in(&*fresh()).await;
    labels_are_read_back(&*fresh()).await;
    unminting_takes_exactly_its_label(&*fresh()).await;
    what_others_made_is_shown_and_stays(&*fresh()).await;
    a_full_provider_says_so_and_mints_nothing(&*fresh()).await;
    two_tries_are_two_credentials(&*fresh()).await;
}

async fn a_minted_value_is_let_in(bench: &dyn Bench) {
    assert_eq!(bench.target().capability().minter, Minter::Provider);
    let (first, second) = (mint(bench, 1, 1).await, mint(bench, 2, 1).await);
    for (generation, value) in [(1, &first), (2, &second)] {
        let verdict = bench.target().verify(who(generation, 1), value, None).await;
        assert_eq!(verdict, Ok(Verdict::Passed), "generation {generation}");
    }
    bench.target().unmint(label(1, 1)).await.expect("it is deleted");
    let verdict = bench.target().verify(who(1, 1), &first, Some((who(2, 1), &second))).await;
    assert!(matches!(verdict, Ok(Verdict::Refused { .. })), "what is deleted is refused: {verdict:?}");
}

async fn labels_are_read_back(bench: &dyn Bench) {
    assert_eq!(shown(bench).await, []);
    for (generation, candidate) in [(1, 1), (2, 13)] {
        mint(bench, generation, candidate).await;
    }
    assert_eq!(shown(bench).await, [Some(label(1, 1)), Some(label(2, 13))]);
    let texts = [label(1, 1), label(2, 13)].map(|label| label.text(bench.group()));
    assert_eq!(bench.labels().await, texts, "the label stands there as it is");
}

async fn unminting_takes_exactly_its_label(bench: &dyn Bench) {
    for (generation, candidate) in [(1, 1), (1, 11)] {
        mint(bench, generation, candidate).await;
    }
    for absent in [label(11, 1), label(1, 2)] {
        bench.target().unmint(absent).await.expect("absent is done");
    }
    assert_eq!(shown(bench).await, [Some(label(1, 1)), Some(label(1, 11))]);
    for _ in 0..2 {
        bench.target().unmint(label(1, 1)).await.expect("it is deleted, or was");
        assert_eq!(shown(bench).await, [Some(label(1, 11))]);
    }
}

async fn what_others_made_is_shown_and_stays(bench: &dyn Bench) {
    let theirs = format!("{}x/1.1", bench.group());
    bench.add_foreign(&theirs).await;
    assert_eq!(shown(bench).await, [None]);
    mint(bench, 1, 1).await;
    bench.target().unmint(label(1, 1)).await.expect("it is deleted");
    assert_eq!((shown(bench).await, bench.labels().await), (vec![None], vec![theirs]));
}

async fn a_full_provider_says_so_and_mints_nothing(bench: &dyn Bench) {
    let Slots::Fixed(places) = bench.target().capability().slots else { return };
    for generation in 1..=u64::from(places) {
        mint(bench, generation, 1).await;
    }
    let before = shown(bench).await;
    let fault = bench.target().mint(&intent(bench, u64::from(places) + 1, 1)).await.expect_err("no place is free");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing));
    assert_eq!(shown(bench).await, before);
}

async fn two_tries_are_two_credentials(bench: &dyn Bench) {
    let (one, other) = (mint(bench, 1, 1).await, mint(bench, 1, 1).await);
    assert!(!one.matches(&other), "a value is shown once");
    assert_eq!(shown(bench).await, [Some(label(1, 1)); 2]);
    bench.target().unmint(label(1, 1)).await.expect("both are deleted");
    assert_eq!(shown(bench).await, []);
}

async fn shown(bench: &dyn Bench) -> Vec<Option<Label>> {
    let minted: Vec<Minted> = bench.target().minted().await.expect("a list");
    let mut labels: Vec<_> = minted.into_iter().map(|minted| minted.label).collect();
    labels.sort_unstable();
    labels
}

async fn mint(bench: &dyn Bench, generation: u64, candidate: u32) -> Secret {
    bench.target().mint(&intent(bench, generation, candidate)).await.expect("a place is free")
}

fn intent(bench: &dyn Bench, generation: u64, candidate: u32) -> Intent {
    let who = who(generation, candidate);
    let mark = Mark { generation: who.generation, version: RowVersion(1) };
    Intent { id: Effect::Mint { who, mark }.id(bench.group(), who), who, mark }
}

fn who(generation: u64, candidate: u32) -> Occupant {
    Occupant { generation: Generation(generation), slot: Slot(0), candidate: Candidate(candidate) }
}

fn label(generation: u64, candidate: u32) -> Label {
    Label::of(who(generation, candidate))
}
