//! The word of a person before each gate: given at any time, or never, and run out at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_core::{ApprovalRule, ConsumerId, Gate, Phase, approve};

use super::step::Rules;
use super::world::{World, name};

/// All gates.
const GATES: [Gate; 3] = [Gate::Start, Gate::Disable, Gate::Destroy];

/// What a person said.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Said {
    /// Before which gates their word stands, for the rotation that is live.
    pub(super) words: BTreeSet<Gate>,
    /// A gate was passed without.
    pub(super) unapproved: bool,
}

/// What the plan asks for.
pub(super) fn rules() -> BTreeMap<Gate, ApprovalRule> {
    let rule = ApprovalRule { quorum: 1, expires: Duration::from_secs(3_600), approvers: BTreeSet::new() };
    GATES.map(|gate| (gate, rule.clone())).into()
}

fn person() -> ConsumerId {
    name("ben", ConsumerId::parse)
}

/// The gate that lies between two phases. A second candidate is no second start.
pub(super) const fn passed(was: &Phase, is: &Phase) -> Option<Gate> {
    match (was, is) {
        (Phase::Stage, Phase::Apply { .. }) => Some(Gate::Start),
        (Phase::Drain { .. }, Phase::Disable { .. }) => Some(Gate::Disable),
        (Phase::Disable { .. }, Phase::Destroy { .. }) => Some(Gate::Destroy),
        _ => None,
    }
}

impl World {
    /// What was said before a gate that is passed is never asked for again.
    pub(super) fn forget_words(&mut self) {
        let Self { row, said, .. } = self;
        let Some(rotation) = &mut row.rotation else { return };
        let phase = &rotation.phase;
        let matters = |gate: &Gate| match gate {
            Gate::Start => *phase == Phase::Stage,
            Gate::Disable => matches!(phase, Phase::Drain { .. }),
            Gate::Destroy => matches!(phase, Phase::Disable { .. }),
        };
        said.words.retain(matters);
        rotation.approvals.retain(|(gate, _), _| matters(gate));
    }
}

impl Rules<'_> {
    /// A person gives their word, and it runs out.
    pub(super) fn words(&self, world: &World, emit: &mut dyn FnMut(World, &dyn Fn() -> String)) {
        for gate in GATES {
            let mut next = world.clone();
            if next.said.words.remove(&gate) {
                if let Some(rotation) = &mut next.row.rotation {
                    rotation.approvals.remove(&(gate, person()));
                }
                emit(next, &|| format!("the word before {gate:?} runs out"));
            } else if let Ok(row) = approve(&world.row, self.plan, gate, &person(), world.now) {
                next.said.words.insert(gate);
                self.store(&mut next, &world.row, row);
                emit(next, &|| format!("a person approves before {gate:?}"));
            }
        }
    }
}
