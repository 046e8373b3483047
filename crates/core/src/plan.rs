//! What is fixed when a rotation starts, and why a start is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::approval::{ApprovalRule, Gate};
use crate::effect::Reach;
use crate::emergency::{Terms, Urgency};
use crate::fault::Fault;
use crate::id::{Slot, StoreId};
use crate::mint::Minter;
use crate::model::{Doubt, Occupant, Phase, Row, Undo};
use crate::retry::RETRIES_MAX;
use crate::waves::{self, Wave};

/// How a credential is handed over. A strategy is a plan over the same phases, not another engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Strategy {
    /// One slot, replaced in place.
    Immediate,
    /// Written under a staging label, verified, promoted by one pointer move.
    Staged,
    /// Both generations are accepted for as long as the move takes.
    DualWrite,
    /// Two complete sets, switched by one pointer.
    BlueGreen,
}

/// How many generations the target can keep at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Slots {
    /// This many places, used again and again.
    Fixed(u32),
    /// A fresh principal for each generation.
    Fresh,
    /// There is no target: whoever accepts the value is a consumer, and keeps as many as it was given.
    Nowhere,
}

/// What a target can do. Data: the planner reads it and the conformance suite tests it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetCapability {
    /// How many generations it keeps at once.
    pub slots: Slots,
    /// How it shows who uses what.
    pub sees_use: SeesUse,
    /// Whether it compares marks in the same transaction as the change (R6).
    pub fences: bool,
    /// Whether it compares the rights of the candidate with those of the current generation.
    pub verifies_rights: bool,
    /// Who makes the value.
    pub minter: Minter,
}

/// How a target shows use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeesUse {
    /// Not at all.
    No,
    /// What is open at the moment of looking.
    Sampled,
    /// Everything since the last look.
    Counted,
}

/// What a store can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreCapability {
    /// Whether a value can be kept under a staging label, apart from what is current, and read back.
    pub stages: bool,
    /// Whether a pointer move is refused at another version than expected (R4).
    pub fences: bool,
    /// How many versions it keeps per group, if there is a limit.
    pub versions_max: Option<u32>,
    /// Whether others may write there: then it is looked at while nothing rotates, too.
    pub shared: bool,
}

/// What happens when a phase's deadline passes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnDeadline {
    /// Stay, loudly.
    Hold,
    /// Go back.
    Rollback,
    /// End the sessions of the old generation (in Drain; elsewhere: stay, loudly).
    TerminateSessions,
    /// Stay, and ask a person to force it.
    RequestForce,
    /// Go on as if a person forced it, as soon as that is possible. Only in an emergency, where a person accepted it.
    Force,
}

/// A phase's deadline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Deadline {
    /// Observed time in the phase.
    pub after: Duration,
    /// What happens then.
    pub then: OnDeadline,
}

/// Phases for which a deadline can be set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stretch {
    /// Stage and Apply.
    Apply,
    /// Verify.
    Verify,
    /// Publish.
    Publish,
    /// Propagate.
    Propagate,
    /// Drain.
    Drain,
    /// Disable and Destroy.
    Disable,
    /// The whole way back.
    Rollback,
}

impl Stretch {
    /// The stretch that a phase belongs to; `None` once it is done.
    pub const fn of(phase: &Phase) -> Option<Self> {
        match phase {
            Phase::Stage | Phase::Apply { .. } => Some(Self::Apply),
            Phase::Verify { .. } => Some(Self::Verify),
            Phase::Publish { .. } => Some(Self::Publish),
            Phase::Propagate { .. } => Some(Self::Propagate),
            Phase::Drain { .. } => Some(Self::Drain),
            Phase::Disable { .. } | Phase::Destroy { .. } => Some(Self::Disable),
            Phase::Rollback(
                Undo::Release
                | Undo::PutBack { .. }
                | Undo::Unpublish { .. }
                | Undo::Return { .. }
                | Undo::Quiet { .. }
                | Undo::Revoke { .. },
            ) => Some(Self::Rollback),
            Phase::Done(_) => None,
        }
    }
}

/// At which moments checks are made, beside the target's own verification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Moments {
    /// In Verify, with each round of logins.
    pub before_publish: bool,
    /// In Propagate, where both generations are valid and the way back is open.
    pub after_publish: bool,
}

/// All moments that occur among some.
impl FromIterator<Moments> for Moments {
    fn from_iter<T: IntoIterator<Item = Self>>(moments: T) -> Self {
        moments.into_iter().fold(Self::default(), |all, one| Self {
            before_publish: all.before_publish || one.before_publish,
            after_publish: all.after_publish || one.after_publish,
        })
    }
}

/// What the user wants. Durations are observed time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The strategy; `None`: what the target's slots allow.
    pub strategy: Option<Strategy>,
    /// Whether a time may pass in which consumers hold a value that the target refuses.
    pub accept_outage: bool,
    /// Rounds of verification that must pass in a row. At least 1; 0, which is no verification, only where an outage is
    /// accepted.
    pub passes_min: u32,
    /// How long the old generation must be seen unused.
    pub quiet_min: Duration,
    /// How long both generations stay valid after all presenters moved.
    pub overlap_min: Duration,
    /// How long the brake is held before the old generation is forgotten.
    pub brake_for: Duration,
    /// How often is looked while waiting. Longer than zero.
    pub poll: Duration,
    /// How far presenters and verifiers must get.
    pub reach_min: Reach,
    /// Whether a failed verification is rolled back without asking.
    pub auto_rollback: bool,
    /// How many candidates the target may reject. At least 1.
    pub candidates_max: u32,
    /// Deadlines, for those stretches that have one.
    pub deadlines: BTreeMap<Stretch, Deadline>,
    /// Who has to approve, before those gates that ask.
    pub approvals: BTreeMap<Gate, ApprovalRule>,
    /// Whether verifiers are called before anything is published.
    pub verifiers: bool,
    /// Whether presenters are called after it. Without them, only the target's evidence gates Disable.
    pub presenters: bool,
    /// The longest way from fetch to load of consumers that are known by the target's evidence alone.
    pub fetch_to_load_max: Duration,
    /// How often a rotation that is known to have failed is tried once more. At most 10.
    pub max_retries: u32,
    /// How long after its end, the first time; each wait is twice the one before.
    pub retry_after: Duration,
    /// At which moments a check is configured.
    pub checks: Moments,
    /// Who may read the candidate before others; empty: everybody at once.
    pub waves: Vec<Wave>,
    /// What is different in an emergency.
    pub emergency: Terms,
}

/// What was fixed when the rotation started. Stored with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// The strategy.
    pub strategy: Strategy,
    /// The target's slots.
    pub slots: Slots,
    /// Who makes the value.
    pub minter: Minter,
    /// The stores that publish the group.
    pub stores: BTreeSet<StoreId>,
    /// See [`Policy::passes_min`].
    pub passes_min: u32,
    /// See [`Policy::quiet_min`].
    pub quiet_min: Duration,
    /// See [`Policy::overlap_min`].
    pub overlap_min: Duration,
    /// See [`Policy::brake_for`].
    pub brake_for: Duration,
    /// See [`Policy::poll`].
    pub poll: Duration,
    /// See [`Policy::reach_min`].
    pub reach_min: Reach,
    /// See [`Policy::auto_rollback`].
    pub auto_rollback: bool,
    /// See [`Policy::candidates_max`].
    pub candidates_max: u32,
    /// See [`Policy::deadlines`].
    pub deadlines: BTreeMap<Stretch, Deadline>,
    /// See [`Policy::approvals`].
    pub approvals: BTreeMap<Gate, ApprovalRule>,
    /// See [`Policy::verifiers`].
    pub verifiers: bool,
    /// See [`Policy::presenters`].
    pub presenters: bool,
    /// See [`Policy::checks`].
    pub checks: Moments,
    /// See [`Policy::waves`].
    pub waves: Vec<Wave>,
    /// What is different because what retires is compromised; `None`: it is not.
    pub urgency: Option<Urgency>,
    /// Digest of the policy that this came from, as text; made by who read the policy.
    pub policy_digest: String,
}

/// What the planner sees of the world.
#[derive(Debug)]
pub struct Census<'a> {
    /// The group's row.
    pub row: &'a Row,
    /// What the target can do.
    pub target: TargetCapability,
    /// How many of the target's places are taken by credentials that bear no label of this group; 0 where we mint.
    pub foreign: u32,
    /// What preflight found wrong at the target and the stores.
    pub findings: Vec<Fault>,
    /// The group's stores and what they can do.
    pub stores: BTreeMap<StoreId, StoreCapability>,
    /// Digest of the policy.
    pub policy_digest: String,
}

/// Why a plan is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// A rotation of this group is live and cannot be superseded.
    Live,
    /// The record may not be what the world is at: recover first.
    Doubted(Doubt),
    /// This strategy cannot be executed yet.
    NotBuilt(Strategy),
    /// The strategy makes consumers fail for a while, and the policy does not accept that.
    Outage,
    /// The strategy needs more slots than the target has.
    Slots {
        /// How many are needed.
        needed: u32,
        /// How many there are.
        there: u32,
    },
    /// Credentials of others take up places that the strategy needs; they are never deleted.
    Taken {
        /// How many places of others.
        foreign: u32,
        /// How many places there are.
        there: u32,
    },
    /// The target cannot fence: a late write could kill a live credential (R6). Where the provider mints, labels that
    /// never recur do instead.
    TargetDoesNotFence,
    /// The provider mints, and the policy asks for a brake: without a mark, a late refusal would undo its release.
    NoBrake,
    /// This store cannot fence: a late write could bring a revoked credential back (R4).
    StoreDoesNotFence(StoreId),
    /// The policy has waves, and whoever reads this store reads what it publishes, in whatever wave they are.
    StoreReadByAll(StoreId),
    /// The strategy stages a value in the stores first, and this one cannot.
    StoreDoesNotStage(StoreId),
    /// The group has no store: nobody could fetch the new value.
    NoStore,
    /// The target does not show use, so nothing can prove that the old generation is out of use.
    NoEvidence,
    /// Consumers that only the target's evidence knows may fetch and load within the quiet time.
    QuietTooShort,
    /// A number in the policy is out of its bounds; the words say which.
    Policy(&'static str),
    /// Preflight found this.
    Found(Fault),
}

/// Makes a plan, or says everything that stands in its way.
pub fn plan(policy: &Policy, census: &Census<'_>) -> Result<Plan, Vec<Obstacle>> {
    let mut obstacles: Vec<_> = census.row.doubt.iter().cloned().map(Obstacle::Doubted).collect();
    let there = census.target.slots.there();
    let strategy = policy.strategy_on(census.target.slots, census.stores.values().all(|store| store.stages));
    let in_place = strategy.replaces_in_place(census.target.slots);
    obstacles.extend(by_strategy(policy, census, strategy));
    let superseded = match census.row.live() {
        Some(live) if live.can_be_superseded_by(strategy, census.target.slots) => live.owed.len() + 1,
        Some(_) => {
            obstacles.push(Obstacle::Live);
            0
        }
        None => 0,
    };
    let overlaps = !in_place;
    let needed = 2 + u32::try_from(superseded).unwrap_or(u32::MAX - 2);
    if overlaps && there < needed {
        obstacles.push(Obstacle::Slots { needed, there });
    }
    obstacles.extend(by_minter(policy, census.target, census.foreign, needed));
    obstacles.extend(by_stores(policy, census, strategy));
    // What is written over is refused at once: nothing has to be seen out of use before.
    // Where there is no target, nobody uses it but consumers, and the roll of them is complete.
    let known = census.target.slots == Slots::Nowhere && policy.presenters;
    if overlaps && census.target.sees_use == SeesUse::No && !known {
        obstacles.push(Obstacle::NoEvidence);
    }
    if overlaps && !policy.presenters && policy.quiet_min <= policy.fetch_to_load_max {
        obstacles.push(Obstacle::QuietTooShort);
    }
    obstacles.extend(policy.out_of_bounds(in_place).map(Obstacle::Policy));
    // There are no rounds where nobody is asked, so that none would be made.
    if census.target.slots == Slots::Nowhere && policy.checks != Moments::default() {
        obstacles.push(Obstacle::Policy("a check is configured, and the group has no target: no round would be made"));
    }
    obstacles.extend(census.findings.iter().cloned().map(Obstacle::Found));
    if obstacles.is_empty() { Ok(fixed(policy, census, strategy)) } else { Err(obstacles) }
}

/// What stands in the way of the strategy itself.
fn by_strategy(policy: &Policy, census: &Census<'_>, strategy: Strategy) -> Option<Obstacle> {
    let slots = census.target.slots;
    // What a provider mints has a place of its own there, and there is no value before it has that place.
    let minted = census.target.minter == Minter::Provider;
    match strategy {
        Strategy::BlueGreen => Some(Obstacle::NotBuilt(strategy)),
        Strategy::Immediate if minted || slots == Slots::Nowhere => Some(Obstacle::NotBuilt(strategy)),
        Strategy::Staged if minted => Some(Obstacle::NotBuilt(strategy)),
        Strategy::Immediate | Strategy::Staged if strategy.replaces_in_place(slots) && !policy.accept_outage => {
            Some(Obstacle::Outage)
        }
        Strategy::Immediate | Strategy::Staged | Strategy::DualWrite => None,
    }
}

/// What the stores cannot do.
fn by_stores(policy: &Policy, census: &Census<'_>, strategy: Strategy) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    if census.stores.is_empty() {
        obstacles.push(Obstacle::NoStore);
    }
    for (store, capability) in &census.stores {
        if !capability.fences {
            obstacles.push(Obstacle::StoreDoesNotFence(store.clone()));
        }
        if strategy == Strategy::Staged && !capability.stages {
            obstacles.push(Obstacle::StoreDoesNotStage(store.clone()));
        }
        // Who may write there past the server may read there past it.
        if capability.shared && !policy.waves.is_empty() {
            obstacles.push(Obstacle::StoreReadByAll(store.clone()));
        }
    }
    obstacles
}

/// The plan where nothing stands in its way.
fn fixed(policy: &Policy, census: &Census<'_>, strategy: Strategy) -> Plan {
    // Where there is no target, nobody can be asked to let it in, to refuse it, or who uses it.
    let asked = census.target.slots != Slots::Nowhere;
    let waited = |time: Duration| if asked { time } else { Duration::ZERO };
    Plan {
        strategy,
        slots: census.target.slots,
        minter: census.target.minter,
        stores: census.stores.keys().cloned().collect(),
        passes_min: if asked { policy.passes_min } else { 0 },
        quiet_min: waited(policy.quiet_min),
        overlap_min: policy.overlap_min,
        brake_for: waited(policy.brake_for),
        poll: policy.poll,
        reach_min: policy.reach_min,
        auto_rollback: policy.auto_rollback,
        candidates_max: policy.candidates_max,
        deadlines: policy.deadlines.clone(),
        approvals: policy.approvals.clone(),
        verifiers: policy.verifiers,
        presenters: policy.presenters,
        checks: policy.checks,
        waves: policy.waves.clone(),
        urgency: None,
        policy_digest: census.policy_digest.clone(),
    }
}

impl Slots {
    /// How many generations there is room for at once.
    const fn there(self) -> u32 {
        match self {
            Self::Fixed(slots) => slots,
            Self::Fresh | Self::Nowhere => u32::MAX,
        }
    }
}

/// What stands in the way of whoever makes the value.
fn by_minter(policy: &Policy, target: TargetCapability, foreign: u32, needed: u32) -> Vec<Obstacle> {
    match (target.minter, target.slots) {
        (Minter::Us, _) if target.fences => Vec::new(),
        (Minter::Us, _) => vec![Obstacle::TargetDoesNotFence],
        (Minter::Provider, slots) => {
            let brake = (!policy.brake_for.is_zero()).then_some(Obstacle::NoBrake);
            let taken = match slots {
                Slots::Fixed(there) if there >= needed && there.saturating_sub(foreign) < needed => {
                    Some(Obstacle::Taken { foreign, there })
                }
                Slots::Fixed(_) | Slots::Fresh | Slots::Nowhere => None,
            };
            brake.into_iter().chain(taken).collect()
        }
    }
}

impl Policy {
    /// The strategy on a target with these slots. `stages`: whether all stores of the group can stage.
    pub fn strategy_on(&self, slots: Slots, stages: bool) -> Strategy {
        self.strategy.unwrap_or(match slots {
            Slots::Nowhere if stages => Strategy::Staged,
            Slots::Fixed(0 | 1) if stages => Strategy::Staged,
            Slots::Fixed(0 | 1) => Strategy::Immediate,
            Slots::Fixed(_) | Slots::Fresh | Slots::Nowhere => Strategy::DualWrite,
        })
    }

    fn out_of_bounds(&self, in_place: bool) -> impl Iterator<Item = &'static str> {
        let outage = in_place && self.accept_outage;
        let checked = self.checks.before_publish || self.checks.after_publish;
        [
            (self.passes_min == 0 && checked, "passes_min must be at least 1 where a check is configured"),
            (
                self.passes_min == 0 && !outage,
                "passes_min must be at least 1, save where one value is written over another with accept_outage = true: a \
                 rotation without verification is refused",
            ),
            (self.passes_min > 100, "passes_min must be at most 100"),
            (
                self.approvals.values().any(|rule| rule.quorum == 0 || rule.expires.is_zero()),
                "an approval needs a quorum of at least 1, and a time for which it counts",
            ),
            (
                in_place && self.approvals.contains_key(&Gate::Disable),
                "this strategy writes over the old value: ask for the approval at start, not before disable",
            ),
            (
                in_place && self.passes_min == 0 && self.approvals.contains_key(&Gate::Destroy),
                "this strategy without verification forgets the old value at once: ask for the approval at start, not \
                 before destroy",
            ),
            (
                in_place && !self.waves.is_empty(),
                "this strategy writes over the old value, which later waves would read: leave the waves out",
            ),
            (!self.presenters && !self.waves.is_empty(), "waves are of presenters, and none is declared"),
            (self.candidates_max == 0, "candidates_max must be at least 1"),
            (self.candidates_max > 10, "candidates_max must be at most 10"),
            (
                self.emergency.ceiling.is_zero(),
                "emergency.ceiling must be longer than zero: without a wait every presenter would be left behind",
            ),
            (self.max_retries > RETRIES_MAX, "max_retries must be at most 10"),
            (self.poll.is_zero(), "poll must be longer than zero"),
            (self.reach_min < Reach::Loaded, "reach_min must be loaded or used: a delivery proves nothing"),
        ]
        .into_iter()
        .filter_map(|(bad, words)| bad.then_some(words))
        .chain(waves::wrong(&self.waves))
    }
}

impl Strategy {
    /// Whether it writes one value over another at a target with these slots.
    pub const fn replaces_in_place(self, slots: Slots) -> bool {
        match self {
            Self::Immediate => true,
            Self::Staged => matches!(slots, Slots::Fixed(0 | 1)),
            Self::DualWrite | Self::BlueGreen => false,
        }
    }
}

impl Plan {
    /// Whether there is a target, which can be asked to refuse a generation, and who uses it.
    pub fn has_target(&self) -> bool {
        match self.slots {
            Slots::Fixed(_) | Slots::Fresh => true,
            Slots::Nowhere => false,
        }
    }

    /// How many rounds of the checks that are made after publishing must pass in a row.
    pub const fn passes_after_publish(&self) -> u32 {
        if self.checks.after_publish { self.passes_min } else { 0 }
    }

    /// The slot of the next candidate: that of the old generation where it is replaced in place, else a free one.
    pub fn slot(&self, from: Option<Occupant>, owed: &[Occupant], fresh: u64) -> Option<Slot> {
        match from {
            Some(from) if self.replaces_in_place() => Some(from.slot),
            Some(_) | None => {
                let taken: Vec<Occupant> = from.into_iter().chain(owed.iter().copied()).collect();
                self.free_slot(&taken, fresh)
            }
        }
    }

    /// Whether the new value is written over the old one at the target.
    pub const fn replaces_in_place(&self) -> bool {
        self.strategy.replaces_in_place(self.slots)
    }

    /// The stores that must hold the staged copy before the target learns of the candidate, and are not in `staged`.
    pub fn unstaged<'a>(&'a self, staged: &'a BTreeSet<StoreId>) -> impl Iterator<Item = &'a StoreId> {
        self.stores.difference(staged).filter(|_| self.strategy == Strategy::Staged)
    }

    /// The lowest slot that none of `taken` occupies; with fresh principals, one that was never used.
    pub fn free_slot(&self, taken: &[Occupant], fresh: u64) -> Option<Slot> {
        match self.slots {
            Slots::Fixed(slots) => {
                (0..slots).map(Slot).find(|slot| taken.iter().all(|occupant| occupant.slot != *slot))
            }
            Slots::Fresh | Slots::Nowhere => u32::try_from(fresh).ok().map(Slot),
        }
    }
}
