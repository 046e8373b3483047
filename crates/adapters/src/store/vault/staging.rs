//! What is staged: a copy of the document at a path of its own, where no consumer reads.
//!
//! It bears a label like what is current, by another key, so that a copy of it does not pass for that. It is written at the
//! version that stood there (check-and-set), whoever left that: a rotation that died leaves nothing that is in the way.

use std::collections::BTreeSet;

use handover_core::port::Value;
use handover_core::{Fault, Generation, GroupId, Publication};

use super::Vault;
use super::document::is_same;
use super::label::Shelf;

/// What is staged bears no publication yet.
const UNPUBLISHED: Publication = Publication(0);

impl Vault {
    /// Keeps the value where candidates are staged, unless it is there.
    pub(super) async fn keep_apart(&self, group: &GroupId, value: &Value<'_>) -> Result<(), Fault> {
        if self.is_kept_apart(group, value).await? {
            return Ok(());
        }
        let found = self.found(Shelf::Staging, group, None).await?;
        let at = found.map_or(0, |found| found.version.version);
        self.write(Shelf::Staging, group, value, UNPUBLISHED, at).await.map(drop)
    }

    /// Whether what stands where candidates are staged is this value, with its fields, under our label.
    pub(super) async fn is_kept_apart(&self, group: &GroupId, value: &Value<'_>) -> Result<bool, Fault> {
        let Some(found) = self.found(Shelf::Staging, group, None).await? else { return Ok(false) };
        let texts = self.texts(value.fields, value.secret)?;
        let ours = found
            .label
            .is_some_and(|label| label.generation == value.who.generation && label.candidate == value.who.candidate);
        Ok(ours && is_same(&found.texts, &texts))
    }

    /// Takes away what is staged of a generation, and what earlier rotations left there.
    pub(super) async fn forget_apart(&self, group: &GroupId, generation: Generation) -> Result<(), Fault> {
        let Some((_, readable)) = self.listed(Shelf::Staging, group).await? else { return Ok(()) };
        let labelled = self.labelled(Shelf::Staging, group, readable).await?;
        let old = labelled.into_iter().filter(|(_, bears)| *bears <= generation).map(|(number, _)| number);
        let versions: Vec<u64> = old.collect();
        self.take_away(Shelf::Staging, group, &versions).await
    }

    /// Generations of which something can be read that is not current.
    pub(super) async fn not_current(&self, group: &GroupId) -> Result<BTreeSet<Generation>, Fault> {
        let mut all = BTreeSet::new();
        if let Some((newest, mut readable)) = self.listed(Shelf::Current, group).await? {
            readable.retain(|number| *number != newest);
            let current = self.found(Shelf::Current, group, None).await?.and_then(|found| found.label);
            let labelled = self.labelled(Shelf::Current, group, readable).await?;
            // Versions of the current generation are of its earlier publications, and go with it.
            let current = current.map(|label| label.generation);
            all.extend(labelled.into_iter().map(|(_, bears)| bears).filter(|bears| Some(*bears) != current));
        }
        if let Some((_, readable)) = self.listed(Shelf::Staging, group).await? {
            all.extend(self.labelled(Shelf::Staging, group, readable).await?.into_iter().map(|(_, bears)| bears));
        }
        Ok(all)
    }
}
