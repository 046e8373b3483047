//! Credentials that a provider mints: it shows the value once, so that a reply that is lost takes the value with it.
//!
//! What is fixed before the provider is asked is the label (R7). A label is tried by one process alone, the one that
//! committed it, and once only; in any doubt the candidate is void, and the next one has another label. Labels never
//! recur, so a deletion by label, however late, cannot hit what came after: that is the fence of a provider that
//! cannot compare marks.

use std::fmt;

use crate::id::{Candidate, Generation, GroupId};
use crate::model::Occupant;

/// Who makes the value of a credential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Minter {
    /// We do: the value is sealed before anything outside hears of it.
    #[default]
    Us,
    /// The provider does, and shows it once.
    Provider,
}

/// What a credential of ours is called at a provider that mints. Labels of a group only rise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Of which generation.
    pub generation: Generation,
    /// Which of its candidates.
    pub candidate: Candidate,
}

impl Label {
    /// The label of an occupant.
    pub const fn of(who: Occupant) -> Self {
        Self { generation: who.generation, candidate: who.candidate }
    }

    /// The label of the next candidate.
    #[must_use]
    pub fn next(self) -> Self {
        Self { candidate: self.candidate.next(), ..self }
    }

    /// As it is left at the provider: `group/generation.candidate`, which begins the ids of all effects on it.
    pub fn text(self, group: &GroupId) -> String {
        format!("{group}/{self}")
    }

    /// Reads a label of this group. Anything else is foreign.
    pub fn parse(group: &GroupId, text: &str) -> Option<Self> {
        let (generation, candidate) = text.strip_prefix(group.as_str())?.strip_prefix('/')?.split_once('.')?;
        let label =
            Self { generation: Generation(generation.parse().ok()?), candidate: Candidate(candidate.parse().ok()?) };
        // One label has one spelling: `+1`, or a zero in front, is not ours.
        (label.text(group) == text && label.generation > Generation(0) && label.candidate > Candidate(0))
            .then_some(label)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.candidate)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A credential that stands at a provider that mints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Minted {
    /// Our label; `None`: it is foreign, and never touched.
    pub label: Option<Label>,
}

/// What a sweep comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Swept {
    /// These bear our label and serve nobody: their values were never recorded, and nobody can learn them any more.
    /// What is left takes up this many places.
    Orphans {
        /// To be deleted.
        labels: Vec<Label>,
        /// How many credentials are left then, whoever they belong to.
        left: u32,
    },
    /// This label is one that the record never fixed: the record is behind.
    Ahead(Label),
}

/// Which of the credentials that stand at a provider are orphans, for a rotation that leads to `to`.
///
/// What a sweep names may be deleted at any later time: a label below `to` that is not kept can never come into force.
pub fn sweep(standing: &[Minted], to: Label, keep: &[Label]) -> Swept {
    let ours = || standing.iter().filter_map(|minted| minted.label).filter(|label| !keep.contains(label));
    if let Some(ahead) = ours().find(|label| *label >= to) {
        return Swept::Ahead(ahead);
    }
    let orphans = ours().count();
    let mut labels: Vec<Label> = ours().collect();
    labels.sort_unstable();
    labels.dedup();
    Swept::Orphans { labels, left: u32::try_from(standing.len() - orphans).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(generation: u64, candidate: u32) -> Label {
        Label { generation: Generation(generation), candidate: Candidate(candidate) }
    }

    fn standing(labels: &[Option<Label>]) -> Vec<Minted> {
        labels.iter().map(|label| Minted { label: *label }).collect()
    }

    #[test]
    fn a_label_is_read_back_and_nothing_else_is_ours() {
        let group = GroupId::parse("app").unwrap();
        assert_eq!(label(3, 2).text(&group), "app/3.2");
        assert_eq!(Label::parse(&group, "app/3.2"), Some(label(3, 2)));
        for foreign in
            ["", "app", "app/3", "app/3.", "app/3.2/accept", "app/03.2", "app/+3.2", "app/0.1", "app2/3.2", "ap/3.2"]
        {
            assert_eq!(Label::parse(&group, foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn labels_rise_with_generations_first() {
        assert!(label(2, 9) < label(3, 1) && label(3, 1) < label(3, 2));
    }

    #[test]
    fn orphans_are_ours_lower_and_not_kept() {
        let there = standing(&[Some(label(1, 1)), None, Some(label(2, 2)), Some(label(2, 1)), Some(label(2, 1))]);
        assert_eq!(
            sweep(&there, label(2, 3), &[label(1, 1)]),
            Swept::Orphans { labels: vec![label(2, 1), label(2, 2)], left: 2 }
        );
    }

    #[test]
    fn a_label_that_was_never_fixed_stops_the_sweep() {
        let there = standing(&[Some(label(1, 1)), Some(label(2, 1))]);
        assert_eq!(sweep(&there, label(2, 1), &[label(1, 1)]), Swept::Ahead(label(2, 1)));
        let kept = [label(1, 1), label(2, 1)];
        assert_eq!(sweep(&there, label(2, 1), &kept), Swept::Orphans { labels: Vec::new(), left: 2 });
        assert_eq!(sweep(&standing(&[Some(label(5, 1))]), label(2, 1), &kept), Swept::Ahead(label(5, 1)));
    }
}
