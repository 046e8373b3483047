//! When the record and the world are not of one time: after a restore of either, what is in force, and what to do.
//!
//! The truth is at the target; the record is a hint plus the values. Where the record is behind, it follows the world:
//! recovery makes the row of a rotation that stands where the world stands, and the engine goes on from there by its
//! usual rules. Where the world is behind, it is made what the record says, in place and under a new mark. What nobody
//! can tell is refused with the reason, never guessed.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Candidate, Generation, Publication, RowVersion, Slot, StoreId};
use crate::model::{Doubt, Occupant, Phase, Pointer, Pointers, Rotation, Row, Undo};
use crate::plan::{Plan, Strategy};
use crate::port::{Head, Standing, State};
use crate::time::{Timestamp, Waited};

/// How far publications leap where consumers may have seen more of them than record and stores tell, or may see one yet
/// that is on its way: they refuse a lower one. Two for each generation in between would do, but for recoveries that were
/// set back as well.
const LEAP: u64 = 1_000;

/// What a look at the world showed.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What stands in the target's slots; `None` for a target that has no labels.
    pub standings: Option<Vec<Standing>>,
    /// What the group's stores hold.
    pub heads: BTreeMap<StoreId, Option<Head>>,
    /// Whose values we have: from the state, from a store, or from a person.
    pub known: BTreeSet<Occupant>,
    /// Which of these the target let in, by a login of now.
    pub let_in: BTreeSet<Occupant>,
}

/// What recovery comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// In one word, for people.
    pub course: Course,
    /// Make the target accept these first, in place.
    pub accept: Vec<Occupant>,
    /// These had been forgotten before, and came back: they go out of use as in any rotation, on proof.
    pub retire: Vec<Occupant>,
    /// The row to commit when that is done.
    pub row: Row,
}

/// What kind of recovery it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// Record and world agree: there is nothing to do.
    Agrees,
    /// The world is behind: it is made what the record says.
    Reasserts,
    /// The record is behind, and one known value is in force: that becomes the current one.
    Follows,
    /// The record is behind, and the world stands amid a rotation: it goes on from there.
    Resumes,
    /// What is in force is unknown: a rotation leads away from it while it stays accepted.
    Replaces,
    /// Nothing is in force at the target: the next rotation is as a group's first.
    Nothing,
}

/// Why recovery is refused: what a person must find out first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unrecoverable {
    /// The target has no labels to read.
    NoLabels,
    /// These are accepted, and nothing says which one is published: name the one to keep.
    WhichOne(Vec<Generation>),
    /// This generation is not accepted: the one to keep, or the latest of those that are disabled where none is accepted.
    NotAccepted(Generation),
    /// We have a value of this generation, and it was not let in, or nobody could tell: give the right one.
    NotLetIn(Generation),
    /// This generation must be accepted, and nobody has its value: give it.
    ValueMissing(Generation),
    /// No slot is free to lead away from a value that is unknown.
    NoFreeSlot,
}

/// Whether the record is what the world is at, as far as labels and heads tell; `None` if nothing speaks against it.
pub fn compare(row: &Row, standings: Option<&[Standing]>, heads: &BTreeMap<StoreId, Option<Head>>) -> Option<Doubt> {
    // Saying that a row was restored took a version of its own, which nothing was done under.
    let version = RowVersion(row.version.0.saturating_sub(u64::from(row.doubt == Some(Doubt::Restored))));
    let of_future = |standing: &Standing| {
        standing.mark.is_some_and(|mark| mark.generation > row.last_generation || mark.version > version)
    };
    if standings.is_some_and(|standings| standings.iter().any(of_future)) {
        return Some(Doubt::TargetAhead);
    }
    let publications = || heads.iter().map(|(store, head)| (store, head.as_ref().map(|head| head.publication)));
    if let Some((store, _)) = publications().find(|(_, ours)| ours.flatten() > Some(row.publication)) {
        return Some(Doubt::StoreAhead(store.clone()));
    }
    let current = row.current.filter(|_| row.live().is_none() && !row.heads.is_empty())?;
    let revived =
        |standing: &Standing| standing.slot != current.slot && standing.generation.is_some() && keeps(standing);
    if standings.is_some_and(|standings| !accepts(standings, current) || standings.iter().any(revived)) {
        return Some(Doubt::TargetBehind);
    }
    publications()
        .find(|(store, ours)| row.heads.contains_key(*store) && is_behind(*ours, row.publication))
        .map(|(store, _)| Doubt::StoreBehind(store.clone()))
}

/// Whether a head that we wrote is gone, or shows an earlier publication of ours. What others wrote is drift.
fn is_behind(head: Option<Option<Publication>>, publication: Publication) -> bool {
    head.is_none_or(|ours| ours.is_some_and(|ours| ours < publication))
}

/// Whether a value is kept there, refused for now or not.
const fn keeps(standing: &Standing) -> bool {
    matches!(standing.state, State::Accepting | State::Disabled)
}

fn accepts(standings: &[Standing], who: Occupant) -> bool {
    standings.iter().any(|standing| {
        standing.slot == who.slot && standing.generation == Some(who.generation) && standing.state == State::Accepting
    })
}

/// Generations whose values a recovery needs, and where they stand or should: what the target accepts, what the record
/// counts on, and, where one is written over another, what the stores publish.
pub fn sought(
    row: &Row,
    plan: &Plan,
    standings: &[Standing],
    heads: &BTreeMap<StoreId, Option<Head>>,
) -> BTreeSet<(Generation, Slot)> {
    let accepted = || standings.iter().filter(|standing| standing.state == State::Accepting);
    let published = heads.values().flatten().filter_map(|head| head.generation).filter(|_| in_place(row, plan));
    let replaced = published.flat_map(|generation| accepted().map(move |standing| (generation, standing.slot)));
    let live = row.live().into_iter().flat_map(|live| live.from.into_iter().chain([live.to]));
    let counted_on = row.current.into_iter().chain(live).map(|who| (who.generation, who.slot));
    let labelled = accepted().filter_map(|standing| Some((standing.generation?, standing.slot)));
    labelled.chain(counted_on).chain(replaced).collect()
}

/// The plan that a recovered row goes by. Where it stands amid one value written over another, it goes on like that,
/// whatever is configured now.
pub fn plan_of(row: &Row, plan: &Plan) -> Plan {
    let over = |live: &Rotation| live.retiring().iter().any(|who| who.slot == live.to.slot);
    let strategy = if row.live().is_some_and(over) { Strategy::Immediate } else { plan.strategy };
    Plan { strategy, ..plan.clone() }
}

/// Whether values are written over each other: then the target tells of the last one only.
fn in_place(row: &Row, plan: &Plan) -> bool {
    plan.replaces_in_place() || row.live().is_some_and(Rotation::replaces_in_place)
}

/// What to do so that record and world are of one time again. `plan` is what a rotation would go by now; `keep` names
/// the generation to keep where the world does not tell.
pub fn recover(
    row: &Row,
    plan: &Plan,
    survey: &Survey,
    keep: Option<Generation>,
    now: Timestamp,
) -> Result<Recovery, Unrecoverable> {
    let nowhere = (!plan.has_target()).then_some(&[][..]);
    let standings = survey.standings.as_deref().or(nowhere).ok_or(Unrecoverable::NoLabels)?;
    let found = Found { row, plan, survey, standings, now };
    // What was seen to be behind once stays so: orders and recoveries that were cut off have moved the version on.
    let ahead = row.doubt.clone().filter(|doubt| matches!(doubt, Doubt::TargetAhead | Doubt::StoreAhead(_)));
    match ahead.or_else(|| compare(row, survey.standings.as_deref(), &survey.heads)) {
        Some(Doubt::TargetAhead | Doubt::StoreAhead(_)) => found.follow(keep),
        Some(Doubt::Restored | Doubt::TargetBehind | Doubt::StoreBehind(_) | Doubt::TargetChanged) | None => {
            found.assert()
        }
    }
}

struct Found<'a> {
    row: &'a Row,
    plan: &'a Plan,
    survey: &'a Survey,
    standings: &'a [Standing],
    now: Timestamp,
}

impl Found<'_> {
    /// The record is behind: the row that stands where the world stands.
    fn follow(&self, keep: Option<Generation>) -> Result<Recovery, Unrecoverable> {
        let accepted = self.labelled(|standing| standing.state == State::Accepting);
        let base = self.base();
        let one = match (keep.or_else(|| self.published()), accepted.as_slice()) {
            (_, []) => return self.nothing(base),
            (None, [one]) => *one,
            (Some(wanted), all) => match all.iter().find(|one| one.generation == wanted) {
                Some(one) => *one,
                // One is in force, whatever a store says: it is published anew.
                None if keep.is_none() && all.len() == 1 => all[0],
                None if keep.is_none() => return Err(which_one(all)),
                None => return Err(Unrecoverable::NotAccepted(wanted)),
            },
            (None, all) => return Err(which_one(all)),
        };
        let others: Vec<Occupant> = accepted.into_iter().filter(|other| *other != one).collect();
        if !self.survey.known.contains(&one) && others.is_empty() {
            return self.replace(base, one);
        }
        self.let_in(one)?;
        let disabled = self.labelled(|standing| standing.state == State::Disabled);
        let (later, earlier): (Vec<&Occupant>, Vec<&Occupant>) =
            others.iter().chain(&disabled).partition(|other| other.generation > one.generation);
        match (later.as_slice(), earlier.as_slice()) {
            // Where one is written over another, nothing at the target tells whether presenters have moved since.
            ([], []) if !self.in_place() && self.publish_everywhere(one, base.publication) => {
                Ok(done(Course::Follows, Row { current: Some(one), ..base }))
            }
            ([], []) => {
                // Written again, under a mark past any that a process of before may bear.
                let accept = if self.in_place() { vec![one] } else { Vec::new() };
                let row = self.publishing(self.leap(base), None, one, Vec::new());
                Ok(Recovery { accept, ..done(Course::Follows, row) })
            }
            ([], _) => {
                // Owed, all of them: what is disabled, or may be yet by a process of before, is no way back.
                let owed = earlier.into_iter().copied().collect();
                Ok(done(Course::Resumes, self.publishing(self.leap(base), None, one, owed)))
            }
            ([later], []) => Ok(done(Course::Resumes, self.returning(self.leap(base), one, **later, Vec::new()))),
            _ => Err(which_one(&[&[one], others.as_slice()].concat())),
        }
    }

    fn in_place(&self) -> bool {
        in_place(self.row, self.plan)
    }

    /// The target accepts nothing of ours. Only where it keeps nothing either is that an end: what is disabled may be so by
    /// a person's hand, in a hurry.
    fn nothing(&self, base: Row) -> Result<Recovery, Unrecoverable> {
        match self.labelled(keeps).iter().map(|one| one.generation).max() {
            Some(disabled) => Err(Unrecoverable::NotAccepted(disabled)),
            None => Ok(done(Course::Nothing, base)),
        }
    }

    /// What is in force is unknown to us: a rotation from nothing that owes it. It stays accepted until it is out of use.
    fn replace(&self, base: Row, one: Occupant) -> Result<Recovery, Unrecoverable> {
        let base = self.leap(base);
        // Nobody has what is in force, so nobody uses it: what is published is put back in its place, if we have it.
        let published = |who: &&Occupant| who.slot == one.slot && Some(who.generation) == self.published();
        if self.in_place()
            // Of several values of a generation, the last one is what was not rejected.
            && let Some(from) = self.survey.known.iter().rev().find(published)
        {
            return Ok(done(Course::Resumes, self.returning(base, *from, one, Vec::new())));
        }
        let generation = base.last_generation.next();
        let free = if self.in_place() { Some(one.slot) } else { self.plan.free_slot(&[one], generation.0) };
        let to = Occupant { generation, slot: free.ok_or(Unrecoverable::NoFreeSlot)?, candidate: Candidate(1) };
        let rotation = self.rotation(None, to, vec![one], Phase::Stage);
        Ok(done(Course::Replaces, Row { last_generation: generation, rotation: Some(rotation), ..base }))
    }

    /// The world is behind, or agrees: what must be accepted and is not, and what came back and must not be.
    fn assert(&self) -> Result<Recovery, Unrecoverable> {
        let at_rest = self.row.live().is_none();
        let adopting = at_rest && self.row.heads.is_empty();
        if let Some(current) = self.row.current
            && at_rest
            && !adopting
            && !self.survey.known.contains(&current)
            && accepts(self.standings, current)
        {
            return self.replace(Row { current: None, ..self.base() }, current);
        }
        if let Some(other) = self.in_force_instead()? {
            // What is in force was changed by hand, and a person says so: it is published, not written over.
            return Ok(done(Course::Follows, self.publishing(self.leap(self.base()), None, other, Vec::new())));
        }
        let expected = if adopting { Vec::new() } else { expected(self.row) };
        let restored = self.row.doubt == Some(Doubt::Restored);
        let stands = |who: &Occupant| accepts(self.standings, *who) && self.survey.let_in.contains(who);
        let accept: Vec<Occupant> =
            expected.iter().filter(|who| (restored && self.in_place()) || !stands(who)).copied().collect();
        if let Some(missing) = accept.iter().find(|who| !self.survey.known.contains(who)) {
            return Err(Unrecoverable::ValueMissing(missing.generation));
        }
        let retire = if at_rest && !adopting { self.revived(&expected) } else { Vec::new() };
        let base = Row { doubt: None, version: self.version(), ..self.row.clone() };
        let row = match self.row.current {
            _ if adopting => base,
            Some(current) if !retire.is_empty() => {
                self.led_out(if restored { self.leap(base) } else { base }, current, &retire)?
            }
            Some(_) | None => self.republished(base, restored),
        };
        let untouched = accept.is_empty() && row.publication == self.row.publication;
        let course = if untouched { Course::Agrees } else { Course::Reasserts };
        Ok(Recovery { course, accept, retire, row })
    }

    /// Another value of a generation that the record counts on, let in where the record's own is not. Amid a rotation
    /// nothing says for how long it was in force, nor who has it.
    fn in_force_instead(&self) -> Result<Option<Occupant>, Unrecoverable> {
        let let_in = &self.survey.let_in;
        let instead = expected(self.row).into_iter().filter(|who| !let_in.contains(who)).find_map(|who| {
            let_in.iter().find(|other| (other.generation, other.slot) == (who.generation, who.slot)).copied()
        });
        match instead {
            Some(other) if self.row.live().is_some() => Err(Unrecoverable::NotLetIn(other.generation)),
            instead => Ok(instead),
        }
    }

    /// What came back goes out of use behind a publication of what is current: first the stores are written, so that a
    /// pointer move that is still on its way is refused, then it is looked at, and forgotten last. A rotation writes its
    /// own generation into its marks, so a later one is led out by the way back.
    fn led_out(&self, base: Row, current: Occupant, revived: &[Occupant]) -> Result<Row, Unrecoverable> {
        match revived {
            all if all.iter().all(|one| one.generation < current.generation) => {
                Ok(self.publishing(Row { current: None, ..base }, None, current, all.to_vec()))
            }
            [one] => Ok(self.returning(base, current, *one, Vec::new())),
            all => Err(which_one(&[&[current], all].concat())),
        }
    }

    /// The row where all stores publish what it counts on; where one does not, the row that publishes it anew. What was
    /// disabled or forgotten is then owed, no longer returned to: a way back would lead to something that is refused.
    ///
    /// After a restore of the state, stores and target may be of that earlier time as well: then nothing tells what
    /// consumers have seen since, and all of it is published anew.
    fn republished(&self, row: Row, restored: bool) -> Row {
        let publication = row.publication;
        let stands = |who: Option<Occupant>| who.is_none_or(|who| self.publish_everywhere(who, publication));
        let anew = |row: Row| if restored { self.leap(row) } else { row };
        let Some(live) = row.live().cloned() else {
            return match row.current {
                Some(current) if restored || !stands(Some(current)) => {
                    self.publishing(anew(Row { current: None, ..row }), None, current, Vec::new())
                }
                Some(_) | None => row,
            };
        };
        let retiring = live.retiring();
        match &live.phase {
            Phase::Stage | Phase::Apply { .. } | Phase::Verify { .. } if stands(live.from) && !restored => row,
            Phase::Propagate { .. } | Phase::Drain { .. } | Phase::Disable { .. } | Phase::Destroy { .. }
                if stands(Some(live.to)) && !restored =>
            {
                row
            }
            Phase::Rollback(Undo::PutBack { pointers: None })
            | Phase::Rollback(Undo::Release | Undo::Return { .. } | Undo::Quiet { .. } | Undo::Revoke { .. })
                if stands(live.from) && !restored =>
            {
                row
            }
            Phase::Publish { pointers } | Phase::Rollback(Undo::Unpublish { pointers })
                if self.landed(pointers) && !restored =>
            {
                row
            }
            // After a restore the old one may be disabled yet, by a process of before: it is owed too.
            Phase::Publish { .. } | Phase::Propagate { .. } | Phase::Drain { .. } if !restored => {
                self.publishing(anew(row), live.from, live.to, live.owed)
            }
            Phase::Publish { .. }
            | Phase::Propagate { .. }
            | Phase::Drain { .. }
            | Phase::Disable { .. }
            | Phase::Destroy { .. } => self.publishing(anew(row), None, live.to, retiring),
            // These stand before the stores point back in any case.
            Phase::Rollback(Undo::PutBack { pointers: Some(_) }) if !restored => row,
            Phase::Rollback(Undo::Release) | Phase::Done(_) => row,
            Phase::Stage | Phase::Apply { .. } | Phase::Verify { .. } | Phase::Rollback(_) => match live.from {
                Some(from) => self.returning(anew(row), from, live.to, live.owed),
                None => row,
            },
        }
    }

    /// Whether every pointer that was seen to stand still does. One that does not stand yet is compared as it moves.
    fn landed(&self, pointers: &Pointers) -> bool {
        let Pointers(pointers) = pointers;
        pointers.iter().all(|(store, pointer)| match pointer {
            Pointer::Landed(version) => {
                let head = self.survey.heads.get(store).and_then(Option::as_ref);
                head.is_some_and(|head| head.version == *version)
            }
            Pointer::Unread | Pointer::Reassert | Pointer::Expect(_) => true,
        })
    }

    /// Generations of ours that are kept, and that the record has no place for.
    fn revived(&self, expected: &[Occupant]) -> Vec<Occupant> {
        self.labelled(|standing| keeps(standing) && expected.iter().all(|who| who.slot != standing.slot))
    }

    /// Those of ours that stand like this.
    fn labelled(&self, stands: impl Fn(&Standing) -> bool) -> Vec<Occupant> {
        let standings = self.standings.iter().filter(|standing| stands(standing));
        let occupant = |standing: &Standing| standing.generation.map(|generation| self.occupant(standing, generation));
        standings.filter_map(occupant).collect()
    }

    fn let_in(&self, who: Occupant) -> Result<(), Unrecoverable> {
        if self.survey.let_in.contains(&who) {
            Ok(())
        } else if self.survey.known.contains(&who) {
            Err(Unrecoverable::NotLetIn(who.generation))
        } else {
            Err(Unrecoverable::ValueMissing(who.generation))
        }
    }

    /// A label tells no candidate: the one whose value we have, if we have one.
    fn occupant(&self, standing: &Standing, generation: Generation) -> Occupant {
        let fits = |who: &&Occupant| who.generation == generation && who.slot == standing.slot;
        let known = self.survey.let_in.iter().chain(self.survey.known.iter().rev()).find(fits).copied();
        known.unwrap_or(Occupant { generation, slot: standing.slot, candidate: Candidate(1) })
    }

    /// The generation under the highest publication of ours that any store bears.
    fn published(&self) -> Option<Generation> {
        let heads = self.survey.heads.values().flatten();
        heads.filter(|head| head.publication.is_some()).max_by_key(|head| head.publication)?.generation
    }

    fn publish_everywhere(&self, who: Occupant, publication: Publication) -> bool {
        let publishes = |head: &Head| head.publication == Some(publication) && head.generation == Some(who.generation);
        self.plan
            .stores
            .iter()
            .all(|store| self.survey.heads.get(store).and_then(Option::as_ref).is_some_and(publishes))
    }

    /// All numbers above any that the world has seen, nothing in force, no doubt.
    fn base(&self) -> Row {
        let marks = self.standings.iter().filter_map(|standing| standing.mark);
        let labels = self.standings.iter().filter_map(|standing| standing.generation);
        let heads = || self.survey.heads.iter().filter_map(|(store, head)| head.as_ref().map(|head| (store, head)));
        let last_generation = marks
            .map(|mark| mark.generation)
            .chain(labels)
            .chain(heads().filter_map(|(_, head)| head.generation))
            .fold(self.row.last_generation, Generation::max);
        Row {
            version: self.version(),
            last_generation,
            publication: heads().filter_map(|(_, head)| head.publication).fold(self.row.publication, Publication::max),
            heads: heads()
                .filter(|(_, head)| head.publication.is_some())
                .map(|(store, head)| (store.clone(), head.version.clone()))
                .collect(),
            ..Row::new(self.row.group.clone())
        }
    }

    fn version(&self) -> RowVersion {
        let marks = self.standings.iter().filter_map(|standing| standing.mark);
        marks.map(|mark| mark.version).fold(self.row.version, RowVersion::max).next()
    }

    /// Numbers past those that consumers may have seen, and, where one value is written over another, past the marks that
    /// a process of before may still bear: its write would land on what is in force.
    fn leap(&self, row: Row) -> Row {
        let generations = if self.in_place() { LEAP } else { 0 };
        Row {
            publication: Publication(row.publication.0.saturating_add(LEAP)),
            last_generation: Generation(row.last_generation.0.saturating_add(generations)),
            ..row
        }
    }

    /// A rotation that publishes `to` anew, everywhere, whatever the stores hold. Without `from` it has no way back, so
    /// that nothing can revoke what is in force.
    fn publishing(&self, base: Row, from: Option<Occupant>, to: Occupant, owed: Vec<Occupant>) -> Row {
        // What `to` was written over has nothing left at the target that could be owed.
        let owed = owed.into_iter().filter(|one| one.slot != to.slot).collect();
        let rotation = self.rotation(from, to, owed, Phase::Publish { pointers: self.reassert() });
        Row { current: from, publication: base.publication.next(), rotation: Some(rotation), ..base }
    }

    /// A rotation on its way back from `to`, which was never published, or is not any more. Where it may have been written
    /// over `from`, that is put back first, by a generation of its own: its mark is past all that were written.
    fn returning(&self, base: Row, from: Occupant, to: Occupant, mut owed: Vec<Occupant>) -> Row {
        if from.slot != to.slot {
            let unpublish = Phase::Rollback(Undo::Unpublish { pointers: self.reassert() });
            let rotation = self.rotation(Some(from), to, owed, unpublish);
            let publication = base.publication.next();
            return Row { current: Some(from), publication, rotation: Some(rotation), ..base };
        }
        let generation = base.last_generation.next();
        owed.push(to);
        let over = Occupant { generation, slot: from.slot, candidate: Candidate(1) };
        let put_back = Phase::Rollback(Undo::PutBack { pointers: Some(self.reassert()) });
        let rotation = self.rotation(Some(from), over, owed, put_back);
        Row { current: Some(from), last_generation: generation, rotation: Some(rotation), ..base }
    }

    fn reassert(&self) -> Pointers {
        Pointers(self.plan.stores.iter().map(|store| (store.clone(), Pointer::Reassert)).collect())
    }

    fn rotation(&self, from: Option<Occupant>, to: Occupant, owed: Vec<Occupant>, phase: Phase) -> Rotation {
        let elapsed = Waited::default();
        Rotation {
            from,
            to,
            owed,
            phase,
            elapsed,
            entered_at: self.now,
            hold: None,
            trouble: None,
            cause: None,
            asked_by: None,
            approvals: BTreeMap::new(),
        }
    }
}

fn done(course: Course, row: Row) -> Recovery {
    Recovery { course, accept: Vec::new(), retire: Vec::new(), row }
}

fn which_one(all: &[Occupant]) -> Unrecoverable {
    Unrecoverable::WhichOne(all.iter().map(|one| one.generation).collect())
}

/// Whom the target must accept, by what the record says.
fn expected(row: &Row) -> Vec<Occupant> {
    let Some(live) = row.live() else { return row.current.into_iter().collect() };
    let in_place = live.replaces_in_place();
    let old = || live.from.into_iter().collect();
    let both = || live.from.iter().chain([&live.to]).copied().collect();
    match &live.phase {
        // One of the two, and nobody knows which: the write that this phase is about comes next.
        Phase::Apply { .. } if in_place => Vec::new(),
        Phase::Stage | Phase::Apply { .. } | Phase::Rollback(Undo::Revoke { .. } | Undo::PutBack { .. }) => old(),
        Phase::Verify { .. } | Phase::Publish { .. } | Phase::Propagate { .. } | Phase::Drain { .. } if in_place => {
            vec![live.to]
        }
        Phase::Rollback(Undo::Unpublish { .. } | Undo::Return { .. } | Undo::Quiet { .. }) if in_place => old(),
        Phase::Verify { .. } | Phase::Publish { .. } | Phase::Propagate { .. } | Phase::Drain { .. } => both(),
        Phase::Rollback(Undo::Unpublish { .. } | Undo::Return { .. } | Undo::Quiet { .. }) => both(),
        Phase::Disable { .. } | Phase::Destroy { .. } | Phase::Rollback(Undo::Release) => vec![live.to],
        Phase::Done(_) => Vec::new(),
    }
}
