//! Waves: some presenters may read the candidate before the others do.
//!
//! Who is in which wave follows from the plan, from the roll as it was when the first wave opened, and from a hash of
//! group, generation and consumer. What was cut then is in the row: a restart, another server and somebody who joins
//! late come to the same answer.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::effect::{Member, RollCall};
use crate::id::{ConsumerId, Generation, GroupId, Publication};
use crate::model::{Occupant, Phase, Row, Undo};
use crate::plan::Plan;
use crate::time::Waited;

/// A wave: presenters who may read the candidate together, before those of later waves. Everybody who is in none comes last.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wave {
    /// Who is in it.
    pub members: Picked,
    /// How long all is well with them before the next wave opens. Observed time.
    pub soak: Duration,
}

/// How the members of a wave are picked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Picked {
    /// By hash: this share of all on the roll, in hundredths, rounded up.
    Percent(u32),
    /// By hash: this many of those on the roll.
    Count(u32),
    /// These, whether or not they are on the roll yet.
    Named(BTreeSet<ConsumerId>),
}

/// Which presenters may read the candidate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Opened {
    /// All of them.
    All,
    /// None: the waves are cut when the roll is called for the first time.
    Nobody,
    /// Those of the waves up to one.
    Wave {
        /// Its number, from 1.
        number: u32,
        /// The hash up to which consumers are in each wave; `None` where nobody is by hash.
        cuts: Vec<Option<u64>>,
        /// How long all was well with everybody in the open waves.
        soaked: Waited,
    },
}

/// The most waves of a plan.
pub const WAVES_MAX: usize = 10;

impl Opened {
    /// Before the first roll call of a rotation: nobody where there are waves and something older to read meanwhile.
    pub(crate) const fn at_first(plan: &Plan, is_first_generation: bool) -> Self {
        if plan.waves.is_empty() || is_first_generation { Self::All } else { Self::Nobody }
    }

    /// The first wave that can have a member, cut from the roll; all, if none can.
    pub(crate) fn cut(plan: &Plan, group: &GroupId, generation: Generation, call: &RollCall) -> Self {
        Self::first_of(plan, 1, cuts(&plan.waves, group, generation, call))
    }

    /// The next wave that can have a member; all, after the last one.
    pub(crate) fn next(&self, plan: &Plan) -> Self {
        match self {
            Self::Wave { number, cuts, .. } => Self::first_of(plan, number.saturating_add(1), cuts.clone()),
            Self::All | Self::Nobody => Self::All,
        }
    }

    fn first_of(plan: &Plan, from: u32, cuts: Vec<Option<u64>>) -> Self {
        let open = plan.waves.iter().zip(&cuts).zip(1..).find(|((wave, cut), number)| {
            *number >= from && (matches!(wave.members, Picked::Named(_)) || cut.is_some())
        });
        match open {
            Some((_, number)) => Self::Wave { number, cuts, soaked: Waited::default() },
            None => Self::All,
        }
    }

    /// How long all has to be well before the next wave opens; nothing where none waits.
    pub fn soak(&self, plan: &Plan) -> Duration {
        match self {
            Self::Wave { number, .. } => {
                let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
                plan.waves.get(index).map_or(Duration::ZERO, |wave| wave.soak)
            }
            Self::All | Self::Nobody => Duration::ZERO,
        }
    }

    /// Whether this presenter may read the candidate.
    pub fn lets(&self, plan: &Plan, group: &GroupId, generation: Generation, consumer: &ConsumerId) -> bool {
        match self {
            Self::All => true,
            Self::Nobody => false,
            Self::Wave { number, cuts, .. } => {
                wave_of(&plan.waves, cuts, group, generation, consumer).is_some_and(|own| own <= *number)
            }
        }
    }

    /// Of the roll, those who may read the candidate. Named ones are called whether or not they are on the roll.
    pub fn called(&self, plan: &Plan, group: &GroupId, generation: Generation, call: &RollCall) -> RollCall {
        let mut called = call.clone();
        let Self::Wave { number, .. } = self else { return called };
        called.members.retain(|member| self.lets(plan, group, generation, &member.consumer));
        for (wave, own) in plan.waves.iter().zip(1..) {
            let Picked::Named(names) = &wave.members else { continue };
            for name in names.iter().filter(|_| own <= *number) {
                if called.members.iter().all(|member| member.consumer != *name) {
                    called.members.push(Member { consumer: name.clone(), acked: None });
                }
            }
        }
        called
    }

    /// Whether somebody is there of the wave that opened last: else it would show nothing.
    pub(crate) fn is_shown(&self, plan: &Plan, group: &GroupId, generation: Generation, call: &RollCall) -> bool {
        let Self::Wave { number, cuts, .. } = self else { return true };
        let own = |member: &Member| wave_of(&plan.waves, cuts, group, generation, &member.consumer);
        call.members.iter().any(|member| own(member) == Some(*number))
    }
}

/// The candidate of a rotation, and from whom it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withheld {
    /// The generation that is withheld.
    pub candidate: Generation,
    /// What is read instead.
    pub instead: Occupant,
    /// Under which number that one is read: lower than that of the candidate, not lower than it was published under.
    pub publication: Publication,
    group: GroupId,
    plan: Plan,
    opened: Opened,
}

impl Withheld {
    /// What a row withholds; `None` where everybody reads what the stores publish.
    ///
    /// On the way back nobody reads the candidate from when it is ordered: the old generation is valid all the time.
    pub fn of(row: &Row, plan: &Plan) -> Option<Self> {
        let rotation = row.live().filter(|_| !plan.waves.is_empty())?;
        let (opened, behind) = match &rotation.phase {
            Phase::Publish { .. } => (Opened::Nobody, 1),
            Phase::Propagate { opened: Opened::All, .. } => return None,
            Phase::Propagate { opened, .. } => (opened.clone(), 1),
            // Its own publication comes after that of the candidate.
            Phase::Rollback(Undo::Unpublish { .. }) => (Opened::Nobody, 2),
            Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Drain { .. }
            | Phase::Disable { .. }
            | Phase::Destroy { .. }
            | Phase::Rollback(
                Undo::Release | Undo::PutBack { .. } | Undo::Return { .. } | Undo::Quiet { .. } | Undo::Revoke { .. },
            )
            | Phase::Done(_) => return None,
        };
        Some(Self {
            candidate: rotation.to.generation,
            instead: rotation.from?,
            publication: Publication(row.publication.0.saturating_sub(behind)),
            group: row.group.clone(),
            plan: plan.clone(),
            opened,
        })
    }

    /// Whether what a store publishes, which is this generation, is withheld from a consumer. One without a name is in no
    /// wave, and comes last.
    pub fn keeps(&self, published: Generation, consumer: Option<&ConsumerId>) -> bool {
        let lets = |consumer| self.opened.lets(&self.plan, &self.group, self.candidate, consumer);
        published == self.candidate && !consumer.is_some_and(lets)
    }

    /// Under which number a consumer reads, where a store publishes under this one.
    pub fn shown(&self, published: Publication, consumer: &ConsumerId) -> Publication {
        let is_candidate = published == self.publication.next();
        if is_candidate && self.keeps(self.candidate, Some(consumer)) { self.publication } else { published }
    }
}

/// In which wave a consumer is, from 1; `None`: in none, so that it comes last.
fn wave_of(
    waves: &[Wave],
    cuts: &[Option<u64>],
    group: &GroupId,
    generation: Generation,
    consumer: &ConsumerId,
) -> Option<u32> {
    if let Some(named) = named_in(waves, consumer) {
        return Some(named);
    }
    let own = hash(group, generation, consumer);
    cuts.iter().zip(1..).find(|(cut, _)| cut.is_some_and(|cut| own <= cut)).map(|(_, number)| number)
}

fn named_in(waves: &[Wave], consumer: &ConsumerId) -> Option<u32> {
    let named = |wave: &Wave| matches!(&wave.members, Picked::Named(names) if names.contains(consumer));
    waves.iter().zip(1..).find(|(wave, _)| named(wave)).map(|(_, number)| number)
}

/// Cuts the roll into waves. A wave that comes too late for a member of its own is cut nowhere, and nobody can join it.
fn cuts(waves: &[Wave], group: &GroupId, generation: Generation, call: &RollCall) -> Vec<Option<u64>> {
    let all = u32::try_from(call.members.len()).unwrap_or(u32::MAX);
    let unnamed = call.members.iter().map(|member| &member.consumer).filter(|name| named_in(waves, name).is_none());
    let mut hashes: Vec<u64> = unnamed.map(|name| hash(group, generation, name)).collect();
    hashes.sort_unstable();
    let mut left = hashes.into_iter();
    waves
        .iter()
        .map(|wave| {
            let wanted = match wave.members {
                Picked::Percent(percent) => u64::from(all).saturating_mul(u64::from(percent)).div_ceil(100),
                Picked::Count(count) => u64::from(count),
                Picked::Named(_) => 0,
            };
            left.by_ref().take(usize::try_from(wanted).unwrap_or(usize::MAX)).last()
        })
        .collect()
}

/// FNV-1a, and then mixed: names that differ in their last letter must not be neighbours. It is the same in every version
/// and on every machine, which the hash of the standard library does not promise.
fn hash(group: &GroupId, generation: Generation, consumer: &ConsumerId) -> u64 {
    let number = generation.0.to_be_bytes();
    let parts = [group.as_str().as_bytes(), b"\0", &number, b"\0", consumer.as_str().as_bytes()];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.into_iter().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// What nobody can mean in the waves of a policy.
pub(crate) fn wrong(waves: &[Wave]) -> Option<&'static str> {
    let mut names = BTreeSet::new();
    let mut percent = 0_u32;
    let mut twice = false;
    let mut empty = false;
    for wave in waves {
        match &wave.members {
            Picked::Percent(share) => {
                empty |= *share == 0;
                percent = percent.saturating_add(*share);
            }
            Picked::Count(count) => empty |= *count == 0,
            Picked::Named(members) => {
                empty |= members.is_empty();
                twice |= members.iter().any(|member| !names.insert(member));
            }
        }
    }
    if waves.len() > WAVES_MAX {
        Some("there are at most 10 waves")
    } else if empty {
        Some("a wave has members: percent and count are at least 1, and consumers names somebody")
    } else if percent > 99 {
        Some("the waves' percent come to 99 at most: the rest comes last")
    } else if twice {
        Some("a consumer is named in one wave")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupId {
        GroupId::parse("app").unwrap()
    }

    fn consumer(name: &str) -> ConsumerId {
        ConsumerId::parse(name).unwrap()
    }

    fn roll(count: usize) -> RollCall {
        let members = (0..count).map(|index| Member { consumer: consumer(&format!("web-{index}")), acked: None });
        RollCall { members: members.collect(), complete: true }
    }

    fn wave(members: Picked) -> Wave {
        Wave { members, soak: Duration::ZERO }
    }

    /// How many of the roll are in each wave, and how many in none.
    fn sizes(waves: &[Wave], count: usize, generation: u64) -> Vec<usize> {
        let (call, generation) = (roll(count), Generation(generation));
        let cuts = cuts(waves, &group(), generation, &call);
        let mut sizes = vec![0; waves.len() + 1];
        for member in &call.members {
            let own = wave_of(waves, &cuts, &group(), generation, &member.consumer);
            sizes[own.map_or(waves.len(), |own| own as usize - 1)] += 1;
        }
        sizes
    }

    #[test]
    fn a_share_is_rounded_up_and_never_nobody() {
        let waves = [wave(Picked::Percent(5)), wave(Picked::Percent(25))];
        assert_eq!(sizes(&waves, 100, 2), [5, 25, 70]);
        assert_eq!(sizes(&waves, 3, 2), [1, 1, 1]);
        assert_eq!(sizes(&waves, 1, 2), [1, 0, 0]);
        assert_eq!(sizes(&waves, 0, 2), [0, 0, 0]);
        let counted = [wave(Picked::Count(2)), wave(Picked::Named([consumer("web-0")].into())), wave(Picked::Count(1))];
        assert_eq!(sizes(&counted, 10, 2), [2, 1, 1, 6]);
    }

    #[test]
    fn each_generation_has_another_canary() {
        let waves = [wave(Picked::Count(1))];
        let canary = |generation| {
            let (call, generation) = (roll(10), Generation(generation));
            let cuts = cuts(&waves, &group(), generation, &call);
            let own = |name: &ConsumerId| wave_of(&waves, &cuts, &group(), generation, name) == Some(1);
            call.members.into_iter().map(|member| member.consumer).find(own).unwrap()
        };
        let canaries: BTreeSet<ConsumerId> = (2..12).map(canary).collect();
        assert!(canaries.len() > 4, "{canaries:?}");
        assert_eq!(canary(7), canary(7), "and the same each time that it is asked");
    }

    /// The hash is part of what rows mean: another one would move consumers between waves in the middle of a rotation.
    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(hash(&group(), Generation(2), &consumer("web-1")), HASH_OF_WEB_1);
        assert_ne!(
            hash(&group(), Generation(2), &consumer("web-1")),
            hash(&group(), Generation(3), &consumer("web-1"))
        );
    }

    const HASH_OF_WEB_1: u64 = 16_918_116_792_216_779_470;

    #[test]
    fn who_joins_late_moves_nobody() {
        let waves = [wave(Picked::Count(1)), wave(Picked::Percent(50))];
        let (call, generation) = (roll(6), Generation(2));
        let cuts = cuts(&waves, &group(), generation, &call);
        let own = |name: &str| wave_of(&waves, &cuts, &group(), generation, &consumer(name));
        let before: Vec<_> = call.members.iter().map(|member| own(member.consumer.as_str())).collect();
        let joined: BTreeSet<_> = (6..60).map(|index| own(&format!("web-{index}"))).collect();
        let after: Vec<_> = call.members.iter().map(|member| own(member.consumer.as_str())).collect();
        assert_eq!(before, after);
        assert!(joined.len() > 1, "late ones fall into several waves: {joined:?}");
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        assert_eq!(wrong(&[wave(Picked::Percent(10)), wave(Picked::Count(3))]), None);
        for waves in [
            vec![wave(Picked::Percent(0))],
            vec![wave(Picked::Count(0))],
            vec![wave(Picked::Named(BTreeSet::new()))],
            vec![wave(Picked::Percent(60)), wave(Picked::Percent(40))],
            vec![wave(Picked::Named([consumer("a")].into())), wave(Picked::Named([consumer("a")].into()))],
            vec![wave(Picked::Count(1)); 11],
        ] {
            assert!(wrong(&waves).is_some(), "{waves:?}");
        }
    }
}
