//! Adoption: a credential that is in use already becomes a group's first generation, without being changed.

use std::collections::BTreeMap;

use crate::id::{Candidate, Slot, StoreId, StoreVersion};
use crate::model::{Occupant, Row};
use crate::schedule::Cadence;
use crate::time::Timestamp;

/// How far an adoption is. There is no flag for it: a generation that is current and that no store was ever seen to
/// publish can only come from an adoption that is not finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adoption {
    /// Nothing is in force yet.
    Fresh,
    /// This generation is in force; its label, or its publication, may be missing.
    Unfinished(Occupant),
}

/// Why nothing can be adopted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AdoptionRefusal {
    /// A rotation of the group is live.
    Live,
    /// The record may not be what the world is at: recover first.
    Doubted,
    /// The group has a credential already, in force and published.
    InForce(Occupant),
    /// An adoption of another slot has begun.
    OtherSlot(Occupant),
}

/// How far the adoption of what is in `slot` is, or why there can be none.
pub fn adoption(row: &Row, slot: Slot) -> Result<Adoption, AdoptionRefusal> {
    match row.current {
        _ if row.doubt.is_some() => Err(AdoptionRefusal::Doubted),
        _ if row.live().is_some() => Err(AdoptionRefusal::Live),
        None => Ok(Adoption::Fresh),
        Some(current) if !row.heads.is_empty() => Err(AdoptionRefusal::InForce(current)),
        Some(current) if current.slot != slot => Err(AdoptionRefusal::OtherSlot(current)),
        Some(current) => Ok(Adoption::Unfinished(current)),
    }
}

/// The row that names what is adopted, before anything is written to the target or the stores. The commit of this row
/// holds the sealed value.
///
/// An unfinished adoption whose value was replaced meanwhile goes on with the next candidate, under the next
/// publication: what an earlier try may have published is then known from what this one publishes.
pub fn adopt(row: &Row, slot: Slot) -> Result<Row, AdoptionRefusal> {
    let current = match adoption(row, slot)? {
        Adoption::Fresh => Occupant { generation: row.last_generation.next(), slot, candidate: Candidate(1) },
        Adoption::Unfinished(current) => Occupant { candidate: current.candidate.next(), ..current },
    };
    Ok(Row {
        version: row.version.next(),
        current: Some(current),
        last_generation: current.generation,
        publication: row.publication.next(),
        ..row.clone()
    })
}

/// The row of a finished adoption: the stores were seen to publish the current generation, at these versions. A schedule
/// counts from here.
pub fn adopted(row: &Row, heads: BTreeMap<StoreId, StoreVersion>, now: Timestamp) -> Row {
    let cadence = Cadence { since: Some(now), ..row.cadence };
    Row { version: row.version.next(), heads, cadence, ..row.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Generation, GroupId, Publication, RowVersion};

    fn fresh() -> Row {
        Row::new(GroupId::parse("app").unwrap())
    }

    fn heads() -> BTreeMap<StoreId, StoreVersion> {
        BTreeMap::from([(StoreId::parse("main").unwrap(), StoreVersion("v1".into()))])
    }

    #[test]
    fn what_is_adopted_becomes_generation_1_in_its_own_slot() {
        for slot in [Slot(0), Slot(1)] {
            let begun = adopt(&fresh(), slot).unwrap();
            let occupant = Occupant { generation: Generation(1), slot, candidate: Candidate(1) };
            assert_eq!((begun.current, begun.last_generation), (Some(occupant), Generation(1)));
            assert_eq!((begun.publication, begun.version), (Publication(1), RowVersion(1)));
            assert_eq!(adoption(&begun, slot), Ok(Adoption::Unfinished(occupant)));
            let done = adopted(&begun, heads(), Timestamp(7));
            assert_eq!((done.version, done.heads.clone()), (RowVersion(2), heads()));
            assert_eq!(adoption(&done, slot), Err(AdoptionRefusal::InForce(occupant)));
            assert_eq!(adopt(&done, slot), Err(AdoptionRefusal::InForce(occupant)), "once is enough");
        }
    }

    #[test]
    fn a_replaced_value_is_another_candidate_under_another_publication() {
        let begun = adopt(&fresh(), Slot(0)).unwrap();
        let again = adopt(&begun, Slot(0)).unwrap();
        assert_eq!(again.current.map(|current| current.candidate), Some(Candidate(2)));
        assert_eq!((again.last_generation, again.publication), (Generation(1), Publication(2)));
        assert_eq!(adopt(&again, Slot(1)), Err(AdoptionRefusal::OtherSlot(again.current.unwrap())));
    }

    #[test]
    fn numbers_that_were_used_are_not_used_again() {
        let mut row = fresh();
        (row.last_generation, row.publication) = (Generation(3), Publication(5));
        let begun = adopt(&row, Slot(0)).unwrap();
        assert_eq!((begun.last_generation, begun.publication), (Generation(4), Publication(6)));
    }
}
