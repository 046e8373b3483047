//! The suite of [`SecretStore`]: what every store must do, whatever it is made of.
//!
//! A store supplies a [`Harness`]; [`run`] puts it through every case that its capability calls for, each on a group of
//! its own, and reports all that failed, not the first.
#![expect(clippy::expect_used, reason = "a suite asserts")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use handover_core::port::{Answer, Head, SecretStore, Value};
use handover_core::{
    Candidate, Effect, EffectId, Fault, FaultKind, Generation, GroupId, Occupant, Publication, Slot, StoreId,
    StoreVersion, Touched,
};
use handover_secret::Secret;

/// What the suite needs of a store besides the port.
pub trait Harness: Send + Sync {
    /// One more client of the same store, as another process would have it.
    fn client(&self) -> Arc<dyn SecretStore>;

    /// What a consumer of the group gets; `None` if it gets nothing.
    fn consumer_sees<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Seen>>;

    /// How many versions of a generation can still be read by somebody who may read everything.
    fn readable<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, usize>;

    /// Writes to the group's head past the connector, as an operator with a tool of his own would.
    fn intrude<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Intrusion>;

    /// Everything that the store keeps at rest or logs. No value may be found in it in clear.
    fn at_rest(&self) -> Vec<u8>;
}

/// What a consumer gets.
#[derive(Debug)]
pub struct Seen {
    /// The fields beside the value.
    pub fields: Vec<(String, String)>,
    /// The value.
    pub secret: Secret,
}

/// How a write of somebody else shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intrusion {
    /// As a head without our label, at another version.
    Foreign,
    /// As `Corrupt`: nobody else can make a head that checks out.
    Corrupt,
}

/// Runs every case that applies. Panics with the list of those that failed.
pub async fn run(harness: Arc<dyn Harness>) {
    let failed = failures(harness).await;
    assert!(failed.is_empty(), "cases that failed, each explained above: {failed:?}");
}

/// Runs every case that applies, and names those that failed.
pub async fn failures(harness: Arc<dyn Harness>) -> Vec<&'static str> {
    let capability = harness.client().capability();
    let mut failed = Vec::new();
    for (name, needs, case) in CASES {
        let applies = match needs {
            Needs::Nothing => true,
            Needs::Stages => capability.stages,
            Needs::Fences => capability.fences,
        };
        // A task of its own, so that a case that panics does not take the others with it.
        if applies && tokio::spawn(case(World::new(Arc::clone(&harness)))).await.is_err() {
            failed.push(*name);
        }
    }
    failed
}

/// What a case asks of the capability.
enum Needs {
    Nothing,
    Stages,
    Fences,
}

type Case = fn(World) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($needs:ident $case:ident),* $(,)?) => {
        const CASES: &[(&str, Needs, Case)] = &[$((stringify!($case), Needs::$needs, |world| Box::pin($case(world)))),*];
    };
}

cases! {
    Nothing empty_until_first_pointed,
    Nothing fields_and_value_arrive_as_they_were_given,
    Nothing confirming_moves_the_version,
    Nothing lower_generation_under_higher_publication,
    Nothing versions_never_recur,
    Nothing groups_are_apart,
    Nothing head_says_nothing_of_the_value,
    Nothing another_client_sees_it_at_once,
    Nothing recall_gives_back_what_is_kept_or_nothing,
    Nothing discarding_makes_reading_fail,
    Nothing discarding_twice_or_nothing_is_done,
    Nothing discarding_the_current_one_is_refused,
    Nothing write_of_somebody_else_shows,
    Stages what_is_staged_is_not_seen,
    Stages staged_twice_it_is_there_once,
    Stages of_candidates_the_last_one_is_staged,
    Stages what_is_staged_is_read_back_as_it_was_given,
    Stages what_a_dead_rotation_staged_is_in_nobodys_way,
    Stages unstaging_takes_the_copy_and_nothing_else,
    Fences stale_expectation_is_refused,
    Fences late_write_is_refused_after_a_confirmation,
    Fences lost_reply_is_told_by_the_publication,
    Fences cut_off_at_any_await_is_settled_by_reading_back,
    Fences of_writers_at_once_exactly_one_wins,
}

async fn empty_until_first_pointed(world: World) {
    assert_eq!(world.head().await, None);
    assert!(world.seen().await.is_none());
    let version = world.pointed(1, 1, None).await;
    let head = world.head().await.expect("something was published");
    assert_eq!(head, Head { version, publication: Some(Publication(1)), generation: Some(Generation(1)) });
    assert!(world.sees(1).await);
}

async fn fields_and_value_arrive_as_they_were_given(world: World) {
    let long = "x".repeat(16 * 1024);
    let fields = [
        ("username".to_owned(), "o'brien\"\\ \n\t{}$(id)`%s é\u{2028}".to_owned()),
        ("empty".to_owned(), String::new()),
        ("long".to_owned(), long),
    ];
    let (mut expect, store) = (None, world.harness.client());
    let values = [vec![0, 1, 255, 10, 13, 0], vec![b'\'', b'"', b'\\', 0xc3, 0x28], vec![7; 32 * 1024]];
    for (number, bytes) in (1_u64..).zip(values) {
        let (who, secret) = (occupant(number, 1), Secret::from_bytes(bytes));
        let id = world.id(who, Publication(number));
        let value = Value { id: &id, who, fields: &fields, secret: &secret };
        store.put(&world.group, &value).await.expect("put");
        let version = store.point(&world.group, &value, Publication(number), expect.as_ref()).await.expect("point");
        let seen = world.seen().await.expect("published");
        assert!(seen.secret.matches(&secret), "value {number} came out changed");
        // In whatever order: consumers look for them by name.
        let sorted = |fields: &[(String, String)]| fields.iter().cloned().collect::<BTreeMap<_, _>>();
        assert_eq!(sorted(&seen.fields), sorted(&fields));
        expect = Some(version);
    }
}

async fn confirming_moves_the_version(world: World) {
    let first = world.pointed(1, 1, None).await;
    let again = world.pointed(1, 1, Some(&first)).await;
    assert_ne!(first, again, "the same publication once more is a write all the same");
    let confirmed = world.pointed(1, 2, Some(&again)).await;
    assert!(confirmed != again && confirmed != first);
    let head = world.head().await.expect("published");
    assert_eq!((head.version, head.publication), (confirmed, Some(Publication(2))));
    assert!(world.sees(1).await);
}

async fn lower_generation_under_higher_publication(world: World) {
    let one = world.pointed(1, 1, None).await;
    let two = world.pointed(2, 2, Some(&one)).await;
    assert!(world.sees(2).await);
    let back = world.pointed(1, 3, Some(&two)).await;
    let head = world.head().await.expect("published");
    assert_eq!(
        head,
        Head { version: back, publication: Some(Publication(3)), generation: Some(Generation(1)) },
        "a rollback is a move forward"
    );
    assert!(world.sees(1).await);
}

async fn versions_never_recur(world: World) {
    let (mut versions, mut expect) = (Vec::new(), None);
    for (publication, generation) in (1..).zip([1, 2, 1, 1, 2, 3, 1, 2, 3, 3]) {
        if generation == 3 {
            world.harness.client().discard(&world.group, Generation(9)).await.expect("absent is done");
        }
        let version = world.pointed(generation, publication, expect.as_ref()).await;
        assert!(!versions.contains(&version), "{version} was there before: {versions:?}");
        versions.push(version.clone());
        expect = Some(version);
    }
}

async fn groups_are_apart(world: World) {
    let other = World::new(Arc::clone(&world.harness));
    let ours = world.pointed(1, 1, None).await;
    assert_eq!(other.head().await, None);
    let theirs = other.pointed(1, 1, None).await;
    assert_ne!(ours, theirs, "a version of one group must not serve as expectation for another");
    other.pointed(2, 2, Some(&theirs)).await;
    other.harness.client().discard(&other.group, Generation(1)).await.expect("retired");
    assert_eq!(world.head().await.expect("published").version, ours);
    assert!(world.sees(1).await);
}

async fn head_says_nothing_of_the_value(world: World) {
    let version = world.pointed(1, 1, None).await;
    let shown = format!("{:?}", world.head().await);
    let first = canary(&world.group, occupant(1, 1));
    assert!(!shown.contains(&first), "the head shows the value");
    let fault = world.point(1, 2, None).await.expect_err("stale");
    assert!(!format!("{fault:?} {fault}").contains(&first), "a fault shows the value");
    world.pointed(2, 2, Some(&version)).await;
    let at_rest = world.harness.at_rest();
    assert!(!at_rest.is_empty(), "the harness must show what is at rest");
    for generation in [1, 2] {
        let canary = canary(&world.group, occupant(generation, 1));
        assert!(!contains(&at_rest, canary.as_bytes()), "generation {generation} is at rest in clear");
    }
}

async fn another_client_sees_it_at_once(world: World) {
    let mut expect = None;
    for number in 1..=20 {
        let version = world.pointed(number, number, expect.as_ref()).await;
        let elsewhere = world.harness.client().head(&world.group).await.expect("head").expect("published");
        assert_eq!((&elsewhere.version, elsewhere.publication), (&version, Some(Publication(number))));
        expect = Some(version);
    }
}

async fn recall_gives_back_what_is_kept_or_nothing(world: World) {
    let store = world.harness.client();
    let recall = |generation| store.recall(&world.group, Generation(generation));
    assert!(recall(1).await.expect("an answer").is_none(), "of a group that the store never saw");
    let one = world.pointed(1, 1, None).await;
    world.pointed(2, 2, Some(&one)).await;
    for generation in [1, 2] {
        // A store may give nothing back; what it gives back is the value itself.
        if let Some((candidate, value)) = recall(generation).await.expect("an answer") {
            let who = Occupant { candidate, ..occupant(generation, candidate.0) };
            assert!(value.matches(&world.secret(who)), "another value than the one of generation {generation}");
        }
    }
    store.discard(&world.group, Generation(1)).await.expect("retired");
    assert!(recall(1).await.expect("an answer").is_none(), "a discarded value is given back");
    assert!(recall(7).await.expect("an answer").is_none(), "what never was is given back");
}

async fn discarding_makes_reading_fail(world: World) {
    let one = world.pointed(1, 1, None).await;
    assert!(world.readable(1).await > 0);
    let two = world.pointed(2, 2, Some(&one)).await;
    world.harness.client().discard(&world.group, Generation(1)).await.expect("retired");
    assert_eq!(world.readable(1).await, 0, "a discarded value can still be read");
    assert_eq!(world.head().await.expect("published").version, two, "discarding is no move");
    assert!(world.sees(2).await);
}

async fn discarding_twice_or_nothing_is_done(world: World) {
    let store = world.harness.client();
    store.discard(&world.group, Generation(1)).await.expect("a group that the store never saw");
    let one = world.pointed(1, 1, None).await;
    world.pointed(2, 2, Some(&one)).await;
    for _ in 0..2 {
        store.discard(&world.group, Generation(1)).await.expect("absent is done");
    }
    store.discard(&world.group, Generation(7)).await.expect("what never was is absent");
    assert!(world.sees(2).await);
}

async fn discarding_the_current_one_is_refused(world: World) {
    let version = world.pointed(1, 1, None).await;
    let fault = world.harness.client().discard(&world.group, Generation(1)).await.expect_err("it is current");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Conflict, Touched::Nothing));
    assert_eq!(world.head().await.expect("published").version, version);
    assert!(world.sees(1).await);
}

async fn write_of_somebody_else_shows(world: World) {
    let version = world.pointed(1, 1, None).await;
    match world.harness.intrude(&world.group).await.expect("the harness can write past the connector") {
        Intrusion::Foreign => {
            let head = world.head().await.expect("something is there");
            assert_ne!(head.version, version);
            assert_eq!((head.publication, head.generation), (None, None), "it does not bear our label");
            let fault = world.point(2, 2, Some(&version)).await.expect_err("the expectation is stale");
            assert_eq!((fault.kind, fault.touched), (FaultKind::Conflict, Touched::Nothing));
            world.pointed(2, 3, Some(&head.version)).await;
        }
        Intrusion::Corrupt => {
            let store = world.harness.client();
            let fault = store.head(&world.group).await.expect_err("an edited head must not be believed");
            assert_eq!(fault.kind, FaultKind::Corrupt);
            let fault = world.point(2, 2, Some(&version)).await.expect_err("nor be written over");
            assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing));
            assert!(world.harness.consumer_sees(&world.group).await.is_err(), "nor be served");
        }
    }
}

async fn what_is_staged_is_not_seen(world: World) {
    world.stage(1, 1).await;
    assert_eq!(world.head().await, None);
    assert!(world.seen().await.is_none());
    let version = world.pointed(1, 1, None).await;
    world.stage(2, 1).await;
    assert_eq!(world.head().await.expect("published").version, version);
    assert!(world.sees(1).await);
}

async fn staged_twice_it_is_there_once(world: World) {
    for _ in 0..3 {
        world.stage(1, 1).await;
    }
    assert_eq!(world.readable(1).await, 1);
    world.pointed(1, 1, None).await;
    world.harness.client().unstage(&world.group, Generation(1)).await.expect("unstage");
    assert_eq!(world.readable(1).await, 1, "what is current is left");
    assert!(world.sees(1).await);
}

async fn of_candidates_the_last_one_is_staged(world: World) {
    world.stage(1, 1).await;
    world.stage(1, 2).await;
    assert!(world.is_staged(1, 2).await);
    let who = occupant(1, 2);
    let (id, secret) = (world.id(who, Publication(1)), world.secret(who));
    let store = world.harness.client();
    store.point(&world.group, &world.value(&id, who, &secret), Publication(1), None).await.expect("point");
    assert!(world.seen().await.expect("published").secret.matches(&secret), "the first candidate was published");
    store.unstage(&world.group, Generation(1)).await.expect("unstage");
    assert_eq!(world.readable(1).await, 1, "the candidate that was void can still be read");
    assert!(world.seen().await.expect("published").secret.matches(&secret));
}

async fn what_is_staged_is_read_back_as_it_was_given(world: World) {
    let store = world.harness.client();
    assert!(!world.is_staged(1, 1).await, "nothing is staged yet");
    let who = occupant(1, 1);
    let (id, secret) = (world.id(who, Publication(1)), Secret::from_bytes(vec![0, 255, b'"', b'\\', 10]));
    let fields = [("username".to_owned(), "o'brien\"\\ é".to_owned()), ("empty".to_owned(), String::new())];
    let value = Value { id: &id, who, fields: &fields, secret: &secret };
    store.stage(&world.group, &value).await.expect("stage");
    assert!(store.is_staged(&world.group, &value).await.expect("is_staged"));
    let other = Secret::from_text("another value".to_owned());
    assert!(!store.is_staged(&world.group, &Value { secret: &other, ..value }).await.expect("is_staged"));
    let fewer = Value { id: &id, who, fields: &fields[..1], secret: &secret };
    assert!(!store.is_staged(&world.group, &fewer).await.expect("is_staged"), "a field is missing");
    let elsewhere = Value { id: &id, who: occupant(2, 1), fields: &fields, secret: &secret };
    assert!(!store.is_staged(&world.group, &elsewhere).await.expect("is_staged"), "of another generation");
}

async fn what_a_dead_rotation_staged_is_in_nobodys_way(world: World) {
    let version = world.pointed(1, 1, None).await;
    world.stage(2, 1).await;
    // The rotation died, and so did the record of it. The next one has the next generation.
    world.stage(3, 1).await;
    assert!(world.is_staged(3, 1).await);
    world.pointed(3, 2, Some(&version)).await;
    let store = world.harness.client();
    let retained = store.retained(&world.group).await.expect("retained");
    assert!(retained.contains(&Generation(1)) && retained.contains(&Generation(2)), "{retained:?}");
    store.unstage(&world.group, Generation(3)).await.expect("unstage");
    for old in store.retained(&world.group).await.expect("retained") {
        store.discard(&world.group, old).await.expect("discard");
    }
    for old in [1, 2] {
        assert_eq!(world.readable(old).await, 0, "generation {old} can still be read");
    }
    assert_eq!(store.retained(&world.group).await.expect("retained"), BTreeSet::new());
    assert!(world.sees(3).await);
}

async fn unstaging_takes_the_copy_and_nothing_else(world: World) {
    let store = world.harness.client();
    store.unstage(&world.group, Generation(1)).await.expect("a group that the store never saw");
    assert_eq!(store.retained(&world.group).await.expect("retained"), BTreeSet::new());
    let version = world.pointed(1, 1, None).await;
    world.stage(2, 1).await;
    store.unstage(&world.group, Generation(1)).await.expect("unstage");
    assert!(world.is_staged(2, 1).await, "what is staged of a later generation is left");
    for _ in 0..2 {
        store.unstage(&world.group, Generation(2)).await.expect("absent is done");
    }
    assert!(!world.is_staged(2, 1).await);
    assert_eq!(world.readable(2).await, 0);
    assert_eq!(world.head().await.expect("published").version, version, "unstaging is no move");
    assert!(world.sees(1).await);
}

async fn stale_expectation_is_refused(world: World) {
    let one = world.pointed(1, 1, None).await;
    let two = world.pointed(2, 2, Some(&one)).await;
    let invented = StoreVersion(Arc::from("there never was such a version"));
    for expect in [None, Some(&one), Some(&invented)] {
        let fault = world.point(3, 3, expect).await.expect_err("the expectation is stale");
        assert_eq!((fault.kind, fault.touched), (FaultKind::Conflict, Touched::Nothing), "expecting {expect:?}");
        let head = world.head().await.expect("published");
        assert_eq!((&head.version, head.publication), (&two, Some(Publication(2))), "expecting {expect:?}");
        assert!(world.sees(2).await);
    }
    let empty = World::new(Arc::clone(&world.harness));
    let fault = empty.point(1, 1, Some(&two)).await.expect_err("nothing is there, a version was expected");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Conflict, Touched::Nothing));
    assert_eq!(empty.head().await, None);
}

async fn late_write_is_refused_after_a_confirmation(world: World) {
    let one = world.pointed(1, 1, None).await;
    // An executor is paused with the intent to publish generation 2 at version one. Another takes over, finds that the
    // way back is ordered and that generation 1 is current already, and confirms it.
    let confirmed = world.pointed(1, 3, Some(&one)).await;
    let fault = world.point(2, 2, Some(&one)).await.expect_err("the paused one is late");
    assert_eq!((fault.kind, fault.touched), (FaultKind::Conflict, Touched::Nothing));
    assert_eq!(world.head().await.expect("published").version, confirmed);
    assert!(world.sees(1).await);
}

async fn lost_reply_is_told_by_the_publication(world: World) {
    let one = world.pointed(1, 1, None).await;
    drop(world.point(2, 2, Some(&one)).await);
    let fault = world.point(2, 2, Some(&one)).await.expect_err("it moved already");
    assert_eq!(fault.kind, FaultKind::Conflict);
    let head = world.head().await.expect("published");
    assert_eq!(head.publication, Some(Publication(2)), "ours: the reply was lost, not the write");
    world.pointed(2, 3, Some(&head.version)).await;
}

async fn cut_off_at_any_await_is_settled_by_reading_back(world: World) {
    let mut current = world.pointed(1, 1, None).await;
    for (number, step) in (2..).zip(0..40) {
        // From before the first await to after the last: a connector that is slower is cut earlier, which is as good.
        let patience = Duration::from_micros(step * 100);
        let cut = tokio::time::timeout(patience, world.point(number, number, Some(&current))).await.is_err();
        // Whatever became of it: the same intent again is either done now, or refused because it was done before.
        match world.point(number, number, Some(&current)).await {
            Ok(version) => {
                assert!(cut, "it had answered, and was done again");
                current = version;
            }
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Conflict, "cut off after {patience:?}");
                let head = world.head().await.expect("published");
                assert_eq!(head.publication, Some(Publication(number)), "cut off after {patience:?}");
                current = head.version;
            }
        }
        assert!(world.sees(number).await, "cut off after {patience:?}");
    }
}

async fn of_writers_at_once_exactly_one_wins(world: World) {
    const WRITERS: u64 = 8;
    let world = Arc::new(world);
    let mut expect = None;
    for round in 0..10 {
        let start = Arc::new(Barrier::new(usize::try_from(WRITERS).expect("a small number")));
        let threads: Vec<_> = (1..=WRITERS)
            .map(|writer| {
                let (world, start, expect) = (Arc::clone(&world), Arc::clone(&start), expect.clone());
                std::thread::spawn(move || {
                    let number = round * WRITERS + writer;
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
                    start.wait();
                    (number, runtime.block_on(world.point(number, number, expect.as_ref())))
                })
            })
            .collect();
        let mut won = Vec::new();
        for thread in threads {
            match thread.join().expect("no panic") {
                (number, Ok(version)) => won.push((number, version)),
                (_, Err(fault)) => {
                    assert_eq!((fault.kind, fault.touched), (FaultKind::Conflict, Touched::Nothing));
                }
            }
        }
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        let (number, version) = won.remove(0);
        let head = world.head().await.expect("published");
        assert_eq!((&head.version, head.publication), (&version, Some(Publication(number))));
        assert!(world.sees(number).await);
        expect = Some(version);
    }
}

/// One case's group, and the words in which cases are written.
struct World {
    harness: Arc<dyn Harness>,
    group: GroupId,
    store: StoreId,
}

impl World {
    fn new(harness: Arc<dyn Harness>) -> Self {
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let group = GroupId::parse(&format!("conformance-{number}")).expect("a name that fits");
        let store = StoreId::parse("store").expect("a name that fits");
        Self { harness, group, store }
    }

    fn id(&self, who: Occupant, publication: Publication) -> EffectId {
        Effect::Point { store: self.store.clone(), value: who, publication, expect: None }.id(&self.group, who)
    }

    fn secret(&self, who: Occupant) -> Secret {
        Secret::from_text(canary(&self.group, who))
    }

    fn value<'a>(&self, id: &'a EffectId, who: Occupant, secret: &'a Secret) -> Value<'a> {
        Value { id, who, fields: &[], secret }
    }

    async fn head(&self) -> Option<Head> {
        self.harness.client().head(&self.group).await.expect("head")
    }

    async fn seen(&self) -> Option<Seen> {
        self.harness.consumer_sees(&self.group).await.expect("what a consumer sees")
    }

    /// Whether a consumer gets the first candidate of this generation.
    async fn sees(&self, generation: u64) -> bool {
        self.seen().await.is_some_and(|seen| seen.secret.matches(&self.secret(occupant(generation, 1))))
    }

    async fn readable(&self, generation: u64) -> usize {
        self.harness.readable(&self.group, Generation(generation)).await.expect("readable")
    }

    async fn stage(&self, generation: u64, candidate: u32) {
        let who = occupant(generation, candidate);
        let (id, secret) = (self.staging(who), self.secret(who));
        self.harness.client().stage(&self.group, &self.value(&id, who, &secret)).await.expect("stage");
    }

    async fn is_staged(&self, generation: u64, candidate: u32) -> bool {
        let who = occupant(generation, candidate);
        let (id, secret) = (self.staging(who), self.secret(who));
        self.harness.client().is_staged(&self.group, &self.value(&id, who, &secret)).await.expect("is_staged")
    }

    fn staging(&self, who: Occupant) -> EffectId {
        Effect::PutStaged { store: self.store.clone(), who }.id(&self.group, who)
    }

    /// Put and point, by a client of its own.
    async fn point(
        &self,
        generation: u64,
        publication: u64,
        expect: Option<&StoreVersion>,
    ) -> Result<StoreVersion, Fault> {
        let (who, publication) = (occupant(generation, 1), Publication(publication));
        let (id, secret) = (self.id(who, publication), self.secret(who));
        let (store, value) = (self.harness.client(), self.value(&id, who, &secret));
        store.put(&self.group, &value).await?;
        store.point(&self.group, &value, publication, expect).await
    }

    async fn pointed(&self, generation: u64, publication: u64, expect: Option<&StoreVersion>) -> StoreVersion {
        self.point(generation, publication, expect).await.expect("the store is at the expected version")
    }
}

fn occupant(generation: u64, candidate: u32) -> Occupant {
    Occupant { generation: Generation(generation), slot: Slot(0), candidate: Candidate(candidate) }
}

/// A value that no output may contain.
fn canary(group: &GroupId, who: Occupant) -> String {
    format!("canary-{group}-{}-{}-uncaged", who.generation, who.candidate)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
