//! Effects at a provider that mints: it shows a value once, and what is minted and lost is found by its label (R7).

use std::collections::BTreeSet;

use handover_core::port::{Entry, Intent};
use handover_core::{
    Effect, Fact, Fault, FaultKind, Label, Minted, Occupant, Phase, Slots, Swept, Touched, Undo, sweep,
};

use super::{Executor, Learnt};
use crate::history;

impl Executor<'_> {
    /// Has the provider mint the candidate. In doubt it does not: somebody may have tried the label before, and another
    /// credential under it could not be told from the first.
    pub(super) async fn mint(&self, effect: &Effect, intent: &Intent, in_doubt: bool) -> Learnt {
        if in_doubt {
            return Learnt::fact(Fact::Lost);
        }
        let target = &self.current.binding.target;
        let who = intent.who;
        match self.shared.calls.make(self.target_act(effect.kind()), || target.mint(intent)).await {
            Ok(value) => Learnt {
                sealed: Some((who.generation, who.candidate, value)),
                ..Learnt::fact(Fact::Minted(who.generation))
            },
            Err(fault) => {
                let mut learnt = Learnt::fault(effect, fault);
                let full = |fault: &Fault| fault.kind == FaultKind::Foreign && fault.touched == Touched::Nothing;
                if learnt.fault.as_ref().is_some_and(full) {
                    // What came late may have taken the place. The label was not used: the next try has it free.
                    let keep: Vec<Label> = self.retiring().into_iter().map(Label::of).collect();
                    if let Err(fault) = self.swept(Label::of(who), &keep, &mut learnt.entries).await {
                        self.shared.note(&self.current.row.group, "sweep", &fault);
                    }
                }
                learnt
            }
        }
    }

    /// Deletes what bears lower labels than `to` and is not kept, and looks whether it is gone.
    pub(super) async fn sweep(&self, effect: &Effect, to: Label, keep: &[Label]) -> Learnt {
        let mut entries = Vec::new();
        let left = match self.swept(to, keep, &mut entries).await {
            Ok(left) => left,
            Err(fault) => return Learnt { entries, ..Learnt::fault(effect, fault) },
        };
        let mut learnt = match (self.current.row.live().map(|live| &live.phase), self.current.plan.slots) {
            (Some(Phase::Stage), Slots::Fixed(there)) if left >= there => Learnt::fault(effect, full(there)),
            _ => Learnt::fact(Fact::Swept),
        };
        learnt.entries = entries;
        if learnt.fault.is_none() {
            for who in self.over() {
                let of_stores = self.forgotten(Fact::Swept, who).await;
                learnt.entries.extend(of_stores.entries);
            }
        }
        learnt
    }

    /// How many are left there. What was deleted is told, whatever came of the rest.
    async fn swept(&self, to: Label, keep: &[Label], entries: &mut Vec<Entry>) -> Result<u32, Fault> {
        let (labels, left) = self.orphans(to, keep).await?;
        let target = &self.current.binding.target;
        for label in &labels {
            self.shared.calls.make(self.target_act("unmint"), || target.unmint(*label)).await?;
            if let Some(rotation) = self.current.row.live() {
                entries.push(history::unminted(rotation, *label, self.shared.now()));
            }
        }
        // An answer may come from a copy that lags, or be *not found* for the same reason: what is shown counts.
        let shown: BTreeSet<Label> =
            if labels.is_empty() { BTreeSet::new() } else { self.orphans(to, keep).await?.0.into_iter().collect() };
        match labels.iter().find(|label| shown.contains(label)) {
            Some(label) => Err(Fault::untouched(
                FaultKind::Busy,
                format!("the provider still shows {} after it was deleted: it is looked at again", self.text(*label)),
            )),
            None => Ok(left),
        }
    }

    async fn orphans(&self, to: Label, keep: &[Label]) -> Result<(Vec<Label>, u32), Fault> {
        let target = &self.current.binding.target;
        let standing: Vec<Minted> = self.shared.calls.make(self.target_look("minted"), || target.minted()).await?;
        match sweep(&standing, to, keep) {
            Swept::Orphans { labels, left } => Ok((labels, left)),
            Swept::Ahead(label) => Err(Fault::untouched(
                FaultKind::Fenced,
                format!("the provider holds {}, which this record never asked for", self.text(label)),
            )),
        }
    }

    fn text(&self, label: Label) -> String {
        label.text(&self.current.row.group)
    }

    fn retiring(&self) -> Vec<Occupant> {
        self.current.row.live().map(handover_core::Rotation::retiring).unwrap_or_default()
    }

    /// What goes out of the world with this sweep, at the end of a rotation.
    fn over(&self) -> Vec<Occupant> {
        let Some(live) = self.current.row.live() else { return Vec::new() };
        match &live.phase {
            Phase::Destroy { .. } => live.retiring(),
            Phase::Rollback(Undo::Revoke { .. }) => live.revoking(),
            Phase::Stage
            | Phase::Apply { .. }
            | Phase::Verify { .. }
            | Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Drain { .. }
            | Phase::Disable { .. }
            | Phase::Rollback(
                Undo::Release
                | Undo::PutBack { .. }
                | Undo::Unpublish { .. }
                | Undo::Return { .. }
                | Undo::Quiet { .. },
            )
            | Phase::Done(_) => Vec::new(),
        }
    }
}

fn full(there: u32) -> Fault {
    Fault::untouched(
        FaultKind::Foreign,
        format!(
            "all {there} places of the provider are taken, by credentials that do not bear this group's label as well: \
             delete there what nobody needs; it is not ours to delete"
        ),
    )
}
