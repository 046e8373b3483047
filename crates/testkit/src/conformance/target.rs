//! What every target must do, whatever it is.
//!
//! A connector's test file names [`target_conformance!`](crate::target_conformance) and a function that runs one case on
//! each kind of target; the macro makes a test of each case. Cases ask the capability whether they apply, and where
//! less is declared, check that less is claimed.

#![expect(clippy::expect_used, reason = "a case fails by panicking with what it expected")]

mod cases;
mod faults;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use handover_core::port::{Intent, Standing, State, Target};
use handover_core::{Candidate, Effect, Generation, GroupId, Mark, Occupant, RowVersion, Slot, Slots};
use handover_secret::Secret;

pub use cases::*;
pub use faults::*;

use crate::servers::random_hex;

/// A future of the suite.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One case of the suite.
pub type Case = for<'a> fn(&'a dyn Harness) -> Wait<'a, ()>;

/// All values that the suite uses begin with this. What a server logs must never hold it.
pub const CANARY: &str = "canary-";

/// A kind of target with a real server behind it.
pub trait Harness: Send + Sync {
    /// A group that nothing was ever done to, prepared with the least privilege that the connector's page shows.
    fn fresh(&self) -> Wait<'_, Box<dyn Bench>>;
}

/// One group at a real target, and what only a test may do to it.
pub trait Bench: Send + Sync {
    /// The target under test.
    fn target(&self) -> &dyn Target;

    /// Its group.
    fn group(&self) -> &GroupId;

    /// The port on loopback that the target reaches its server by.
    fn port(&self) -> u16;

    /// The same target, reaching its server by way of another port on loopback.
    fn detour(&self, port: u16) -> Box<dyn Target>;

    /// Opens a session as a consumer would, with no code of the connector; `None` if it is refused. It ends when what
    /// is returned is dropped.
    fn session<'a>(&'a self, slot: Slot, value: &'a Secret) -> Wait<'a, Option<Box<dyn Any + Send + Sync>>>;

    /// Whether a session is still good.
    fn is_open<'a>(&'a self, session: &'a (dyn Any + Send + Sync)) -> Wait<'a, bool>;

    /// Takes away our right to see use.
    fn blind(&self) -> Wait<'_, ()>;

    /// Labels the slot as another group's.
    fn give_away(&self, slot: Slot) -> Wait<'_, ()>;

    /// All that the target holds about a slot, to be compared with what it holds later.
    fn describe(&self, slot: Slot) -> Wait<'_, String>;

    /// Waits until nothing that we asked for is still being done.
    fn settled(&self) -> Wait<'_, ()>;

    /// Everything that the server logged.
    fn log(&self) -> String;

    /// A value that the target's policy rejects, if it has one.
    fn unacceptable(&self) -> Option<Secret>;
}

/// Makes one test of each case. `$run` takes the case and runs it on every kind of target.
#[macro_export]
macro_rules! target_conformance {
    ($run:path) => {
        $crate::target_conformance!(@ $run:
            create_then_verify, create_twice_is_one, old_stays_valid_after_create,
            refused_before_create_is_an_answer, a_probe_without_control_never_says_refused, disabled_is_refused,
            enabled_is_accepted_again, revoke_twice, revoke_of_what_never_was, use_is_seen,
            use_is_unknown_without_the_right_to_see, sessions_are_ended_and_no_others, stale_marks_are_refused,
            a_late_disable_is_refused_after_enable, a_late_act_for_an_earlier_generation_is_refused,
            an_earlier_value_is_put_back,
            the_mark_outlives_the_value, other_slots_stay_as_they_are, foreign_objects_are_never_touched,
            a_rejected_value_touches_nothing, the_census_finds_what_was_left, preflight_finds_nothing_on_a_good_group,
            cut_off_at_each_await, a_reply_is_lost_at_each_step, two_executors_at_once, a_black_hole_is_unreachable,
            no_value_reaches_the_log
        );
    };
    (@ $run:path: $($case:ident),+) => {
        $(
            #[test]
            fn $case() {
                $run(|harness| Box::pin($crate::conformance::target::$case(harness)));
            }
        )+
    };
}

/// The first generation, in slot 0.
pub(crate) const FIRST: Occupant = Occupant { generation: Generation(1), slot: Slot(0), candidate: Candidate(1) };

/// The second generation, in slot 1.
pub(crate) const SECOND: Occupant = Occupant { generation: Generation(2), slot: Slot(1), candidate: Candidate(1) };

/// How long a case waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn value() -> Secret {
    Secret::from_text(format!("{CANARY}{}", random_hex(24).expect("random bytes")))
}

pub(crate) fn mark(generation: u64, version: u64) -> Mark {
    Mark { generation: Generation(generation), version: RowVersion(version) }
}

/// What a target can be asked to do to a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Create,
    Disable,
    Enable,
    Destroy,
}

impl Verb {
    pub(crate) const ALL: [Self; 4] = [Self::Create, Self::Disable, Self::Enable, Self::Destroy];

    pub(crate) fn intent(self, bench: &dyn Bench, who: Occupant, mark: Mark) -> Intent {
        let effect = match self {
            Self::Create => Effect::EnsureAccepted { who, mark },
            Self::Disable => Effect::EnsureRefused { who, mark },
            Self::Enable => Effect::Release { who, mark },
            Self::Destroy => Effect::Destroy { who, mark },
        };
        Intent { id: effect.id(bench.group(), who), who, mark }
    }

    pub(crate) async fn ask(
        self,
        target: &dyn Target,
        intent: &Intent,
        value: &Secret,
    ) -> Result<(), handover_core::Fault> {
        match self {
            Self::Create => target.create(intent, value).await,
            Self::Disable => target.disable(intent).await,
            Self::Enable => target.enable(intent).await,
            Self::Destroy => target.destroy(intent).await,
        }
    }

    pub(crate) async fn must(self, bench: &dyn Bench, who: Occupant, mark: Mark, value: &Secret) {
        let intent = self.intent(bench, who, mark);
        let outcome = self.ask(bench.target(), &intent, value).await;
        outcome.unwrap_or_else(|fault| panic!("{self:?} of generation {} must succeed: {fault}", who.generation));
    }

    pub(crate) const fn leads_to(self) -> State {
        match self {
            Self::Create | Self::Enable => State::Accepting,
            Self::Disable => State::Disabled,
            Self::Destroy => State::Forgotten,
        }
    }
}

pub(crate) async fn standing(bench: &dyn Bench, slot: Slot) -> Standing {
    let census = bench.target().census().await.expect("a census");
    let found = census.iter().find(|standing| standing.slot == slot).copied();
    let untouched = Standing { slot, generation: None, mark: None, state: State::Absent };
    match bench.target().capability().slots {
        Slots::Fixed(_) => found.expect("every slot is in the census"),
        // Nobody can name them all.
        Slots::Fresh | Slots::Nowhere => found.unwrap_or(untouched),
    }
}

/// Waits until `look` gives what is wanted, and says what it saw last.
pub(crate) async fn eventually<T, F>(wanted: &str, mut look: impl FnMut() -> F, good: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
    F: Future<Output = T>,
{
    let limit = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if good(&seen) {
            return seen;
        }
        assert!(Instant::now() < limit, "waited for {wanted}; last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
