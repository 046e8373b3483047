//! Invariants of a row: run on every load, and after every step of a test.

use std::collections::BTreeSet;

use crate::id::{Generation, StoreId};
use crate::model::{Occupant, Phase, Pointers, Rotation, Row, Undo};
use crate::plan::Plan;
use crate::waves::Opened;

/// A broken invariant: the row cannot have come from this core. Nothing is done on it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Violation {
    /// The new generation shares the slot of one that must stay valid beside it (R6).
    SlotShared(Generation, Generation),
    /// The new generation is not higher than the old one, or one that was never started is named.
    GenerationOrder,
    /// Pointers do not cover exactly the plan's stores (R3).
    Pointers(BTreeSet<StoreId>),
    /// A pointer stands, or moves, under publication 0.
    NoPublication,
    /// Something is ticked off that this rotation does not retire or revoke.
    NotOurs(Generation),
    /// The old generation is disabled or forgotten where there is none.
    NothingToRetire,
    /// A way back over stores, or a release, in a group's first rotation.
    NothingToReturnTo,
    /// The row says that another generation is current than the rotation says.
    Current,
    /// Who asked for it approved it.
    OwnApproval,
    /// More rounds passed than the plan asks for, more candidates than it allows by itself, or waves that it has not.
    Bounds,
}

/// Lists what a row breaks.
pub fn check(row: &Row, plan: &Plan) -> Vec<Violation> {
    let mut broken = Vec::new();
    if row.taint.is_some_and(|taint| taint.to > row.last_generation) {
        broken.push(Violation::GenerationOrder);
    }
    let Some(rotation) = &row.rotation else { return broken };
    let retiring = rotation.retiring();
    let in_place = plan.replaces_in_place();
    for other in retiring.iter().filter(|other| other.slot == rotation.to.slot && !in_place) {
        broken.push(Violation::SlotShared(other.generation, rotation.to.generation));
    }
    // Owed generations may have been written over by the old one, and by no other.
    let kept = rotation.from.map(|from| from.slot);
    for (index, one) in rotation.owed.iter().enumerate().filter(|(_, one)| Some(one.slot) != kept) {
        for other in rotation.owed.iter().skip(index + 1).filter(|other| other.slot == one.slot) {
            broken.push(Violation::SlotShared(one.generation, other.generation));
        }
    }
    let order = retiring.iter().all(|occupant| occupant.generation < rotation.to.generation);
    if !order || rotation.to.generation > row.last_generation {
        broken.push(Violation::GenerationOrder);
    }
    if row.current != rotation.from && row.live().is_some() {
        broken.push(Violation::Current);
    }
    let own = |by| rotation.asked_by.as_ref() == Some(by);
    if rotation.approvals.keys().any(|(_, by)| own(by)) {
        broken.push(Violation::OwnApproval);
    }
    broken.extend(check_phase(row, plan, &rotation.phase, &retiring, &rotation.revoking()));
    broken
}

fn check_phase(row: &Row, plan: &Plan, phase: &Phase, retiring: &[Occupant], revoking: &[Occupant]) -> Vec<Violation> {
    let from = row.rotation.as_ref().and_then(|rotation| rotation.from);
    let returning = |violations: Vec<Violation>| match from {
        Some(_) => violations,
        None => violations.into_iter().chain([Violation::NothingToReturnTo]).collect(),
    };
    let retiring_all = |done: &BTreeSet<Generation>| {
        let nothing = retiring.is_empty().then_some(Violation::NothingToRetire);
        nothing.into_iter().chain(strangers(done, retiring)).collect()
    };
    match phase {
        Phase::Verify { passes, .. } if *passes > plan.passes_min => vec![Violation::Bounds],
        Phase::Propagate { passes, opened, .. }
            if *passes > plan.passes_after_publish() || !is_of_plan(opened, plan) =>
        {
            vec![Violation::Bounds]
        }
        Phase::Publish { pointers } => check_pointers(row, plan, pointers),
        Phase::Disable { refused, .. } => retiring_all(refused),
        Phase::Destroy { gone } => retiring_all(gone),
        Phase::Rollback(Undo::Unpublish { pointers }) => returning(check_pointers(row, plan, pointers)),
        Phase::Rollback(Undo::Release) => returning(Vec::new()),
        Phase::Rollback(Undo::PutBack { pointers }) => {
            let in_place = row.rotation.as_ref().is_some_and(Rotation::replaces_in_place);
            let pointers = pointers.iter().flat_map(|pointers| check_pointers(row, plan, pointers));
            pointers.chain((!in_place).then_some(Violation::NothingToReturnTo)).collect()
        }
        Phase::Rollback(Undo::Revoke { gone }) => strangers(gone, revoking).collect(),
        Phase::Apply { staged } => {
            let strange: BTreeSet<StoreId> = staged.difference(&plan.stores).cloned().collect();
            (!strange.is_empty()).then_some(Violation::Pointers(strange)).into_iter().collect()
        }
        Phase::Stage
        | Phase::Verify { .. }
        | Phase::Propagate { .. }
        | Phase::Drain { .. }
        | Phase::Rollback(Undo::Return { .. } | Undo::Quiet { .. })
        | Phase::Done(_) => Vec::new(),
    }
}

/// Whether there are such waves as are open.
fn is_of_plan(opened: &Opened, plan: &Plan) -> bool {
    match opened {
        Opened::All => true,
        Opened::Nobody => !plan.waves.is_empty(),
        Opened::Wave { number, cuts, .. } => {
            let number = usize::try_from(*number).unwrap_or(usize::MAX);
            (1..=plan.waves.len()).contains(&number) && cuts.len() == plan.waves.len()
        }
    }
}

fn check_pointers(row: &Row, plan: &Plan, pointers: &Pointers) -> Vec<Violation> {
    let named: BTreeSet<StoreId> = pointers.0.keys().cloned().collect();
    let wrong: BTreeSet<StoreId> = named.symmetric_difference(&plan.stores).cloned().collect();
    let stores = (!wrong.is_empty()).then_some(Violation::Pointers(wrong));
    let number = (row.publication.0 == 0).then_some(Violation::NoPublication);
    stores.into_iter().chain(number).collect()
}

fn strangers<'a>(done: &'a BTreeSet<Generation>, all: &'a [Occupant]) -> impl Iterator<Item = Violation> + use<'a> {
    done.iter()
        .filter(|generation| all.iter().all(|occupant| occupant.generation != **generation))
        .map(|generation| Violation::NotOurs(*generation))
}
