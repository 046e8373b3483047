//! From what was seen of the groups to the next row, and from a row to the orders that it wants given.

use std::collections::{BTreeMap, BTreeSet};

use super::{Campaign, End, LegState, Motion, OnFailure, Pause, REFUSED_MAX, Setback, Until};
use crate::id::{Generation, GroupId};
use crate::model::{Outcome, Phase, Row};

/// An order that a campaign wants given. Giving it again changes nothing: it names the generation that it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Start the group's rotation to this generation.
    Start {
        /// Which group.
        group: GroupId,
        /// Which generation.
        generation: Generation,
    },
    /// Take the group's rotation to this generation back.
    Rollback {
        /// Which group.
        group: GroupId,
        /// Which generation.
        generation: Generation,
    },
}

impl Wanted {
    /// Which group it is about.
    pub const fn group(&self) -> &GroupId {
        match self {
            Self::Start { group, .. } | Self::Rollback { group, .. } => group,
        }
    }
}

/// How many groups are looked at beyond those that may begin: some may be rotating for somebody else.
const SPARE: usize = 64;

/// Whose rows the next step needs.
pub fn looks(campaign: &Campaign) -> Vec<&GroupId> {
    let room = match campaign.motion {
        Motion::Running => campaign.room(),
        Motion::Held(_) | Motion::Undoing | Motion::Cancelling => 0,
        Motion::Ended(_) => return Vec::new(),
    };
    let moving = campaign.legs.iter().filter(|(_, leg)| !leg.state.is_settled() && leg.state != LegState::Waiting);
    let next = campaign.legs.iter().filter(|(_, leg)| leg.state == LegState::Waiting && campaign.may_begin(leg));
    // A look costs a read: many groups that wait for their turn are not read each time.
    let candidates = if room == 0 { 0 } else { room.saturating_add(SPARE) };
    moving.chain(next.take(candidates)).map(|(group, _)| group).collect()
}

/// The next row, from rows that were loaded after this one was committed; `None`: nothing follows. A group without a row in
/// `seen` was not seen, and nothing is concluded of it; nor of a row that is doubted.
pub fn step(campaign: &Campaign, seen: &BTreeMap<GroupId, Row>) -> Option<Campaign> {
    if !campaign.is_live() {
        return None;
    }
    let seen: BTreeMap<&GroupId, &Row> = seen.iter().filter(|(_, row)| row.doubt.is_none()).collect();
    let mut next = campaign.clone();
    next.learn(&seen);
    next.react();
    match next.motion {
        Motion::Running => next.begin(&seen),
        Motion::Undoing => {
            next.leave_out();
            next.go_back();
        }
        Motion::Cancelling => next.leave_out(),
        Motion::Held(_) | Motion::Ended(_) => {}
    }
    next.end();
    if next == *campaign {
        return None;
    }
    next.version = campaign.version.next();
    Some(next)
}

/// The orders that a committed row wants given.
pub fn wanted(campaign: &Campaign) -> Vec<Wanted> {
    let order = |group: &GroupId, state: LegState| match (campaign.motion, state) {
        (Motion::Running, LegState::Starting { generation, .. }) => {
            // What it comes after may have turned back since.
            let begins = campaign.legs.get(group).is_some_and(|leg| campaign.may_begin(leg));
            begins.then(|| Wanted::Start { group: group.clone(), generation })
        }
        (Motion::Undoing, LegState::Undoing { generation, .. }) => {
            Some(Wanted::Rollback { group: group.clone(), generation })
        }
        (Motion::Running | Motion::Held(_) | Motion::Undoing | Motion::Cancelling | Motion::Ended(_), _) => None,
    };
    campaign.legs.iter().filter_map(|(group, leg)| order(group, leg.state)).collect()
}

/// The row after an order was refused for certain: nothing was done by it, and nothing will be. After
/// [`REFUSED_MAX`] refusals a start has failed, and what cannot be taken back stays. `None`: it is not wanted any more.
pub fn refused(campaign: &Campaign, order: &Wanted) -> Option<Campaign> {
    let mut next = campaign.clone();
    let leg = next.legs.get_mut(order.group())?;
    leg.state = match (order, leg.state) {
        (Wanted::Start { generation: of, .. }, LegState::Starting { generation, refused }) if *of == generation => {
            match refused + 1 {
                REFUSED_MAX.. => LegState::Failed { setback: Setback::Refused },
                refused => LegState::Starting { generation, refused },
            }
        }
        (Wanted::Rollback { generation: of, .. }, LegState::Undoing { generation, refused }) if *of == generation => {
            match refused + 1 {
                REFUSED_MAX.. => LegState::Kept { generation },
                refused => LegState::Undoing { generation, refused },
            }
        }
        (Wanted::Start { .. } | Wanted::Rollback { .. }, _) => return None,
    };
    next.version = campaign.version.next();
    Some(next)
}

/// Where the rotation to a generation stands, by its group's row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sight {
    /// It has not started.
    NotYet,
    /// Before Drain.
    OnItsWay,
    /// All presenters have it, and there is a way back.
    Adopted,
    /// There is none any more.
    PastReturn,
    Succeeded,
    Returning,
    Over(Setback),
}

fn sight(row: &Row, generation: Generation) -> Sight {
    if row.last_generation < generation {
        return Sight::NotYet;
    }
    let Some(rotation) = row.rotation.as_ref().filter(|rotation| rotation.to.generation == generation) else {
        // A later one took its place in the row. What is in force says how it ended.
        let superseded = row.rotation.iter().flat_map(|later| &later.owed).any(|owed| owed.generation == generation);
        return match row.current {
            _ if superseded => Sight::Over(Setback::Superseded),
            Some(current) if current.generation >= generation => Sight::Succeeded,
            Some(_) | None => Sight::Over(Setback::RolledBack),
        };
    };
    match rotation.phase {
        Phase::Stage | Phase::Apply { .. } | Phase::Verify { .. } | Phase::Publish { .. } | Phase::Propagate { .. } => {
            Sight::OnItsWay
        }
        Phase::Drain { .. } | Phase::Disable { .. } => Sight::Adopted,
        Phase::Destroy { .. } => Sight::PastReturn,
        Phase::Rollback(_) => Sight::Returning,
        Phase::Done(Outcome::Success) => Sight::Succeeded,
        Phase::Done(Outcome::RolledBack) => Sight::Over(Setback::RolledBack),
        Phase::Done(Outcome::Abandoned) => Sight::Over(Setback::Abandoned),
    }
}

/// Where a leg stands after its group's row was seen.
fn learnt(state: LegState, row: &Row) -> LegState {
    let Some(generation) = state.generation().filter(|_| !state.is_settled()) else { return state };
    let sight = sight(row, generation);
    match (state, sight) {
        (LegState::Starting { .. }, Sight::NotYet) => state,
        // It was there, and the record of it is gone.
        (_, Sight::NotYet) => LegState::Failed { setback: Setback::Gone },
        (LegState::Undoing { .. } | LegState::GoingBack { .. }, Sight::Over(_)) => LegState::Undone { generation },
        (LegState::Undoing { .. } | LegState::GoingBack { .. }, Sight::Succeeded)
        | (LegState::Undoing { .. }, Sight::PastReturn) => LegState::Kept { generation },
        (LegState::Undoing { .. }, Sight::Returning) => LegState::GoingBack { generation },
        (LegState::Undoing { .. } | LegState::GoingBack { .. }, _) => state,
        (_, Sight::Over(setback)) => LegState::Failed { setback },
        (_, Sight::Succeeded) => LegState::Succeeded { generation },
        (LegState::Returning { .. }, _) | (_, Sight::Returning) => LegState::Returning { generation },
        (_, Sight::Adopted | Sight::PastReturn) => LegState::Through { generation },
        (_, Sight::OnItsWay) => LegState::Started { generation },
    }
}

impl Campaign {
    fn learn(&mut self, seen: &BTreeMap<&GroupId, &Row>) {
        let asked: BTreeSet<GroupId> = wanted(self).iter().map(|order| order.group().clone()).collect();
        for (group, leg) in &mut self.legs {
            let Some(row) = seen.get(group) else { continue };
            leg.state = learnt(leg.state, row);
            // Since this row was committed nobody asked for the start, and what was asked for before would be there.
            if matches!(leg.state, LegState::Starting { .. }) && !asked.contains(group) {
                leg.state = LegState::Waiting;
            }
        }
    }

    /// What a failure leads to.
    fn react(&mut self) {
        let failed = |state| matches!(state, LegState::Failed { .. } | LegState::Returning { .. });
        if self.motion != Motion::Running || !self.legs.values().any(|leg| failed(leg.state)) {
            return;
        }
        match self.terms.on_failure {
            OnFailure::Hold => self.motion = Motion::Held(Pause::Failed),
            OnFailure::Undo => self.motion = Motion::Undoing,
            OnFailure::GoOn => self.skip_followers(),
        }
    }

    /// Leaves out what comes after something that failed, or was left out.
    fn skip_followers(&mut self) {
        loop {
            let lost = |before: &GroupId| {
                let state = self.legs.get(before).map(|leg| leg.state);
                matches!(state, Some(LegState::Failed { .. } | LegState::Skipped) | None)
            };
            let skipped: Vec<GroupId> = self
                .legs
                .iter()
                .filter(|(_, leg)| leg.state == LegState::Waiting && leg.after.iter().any(lost))
                .map(|(group, _)| group.clone())
                .collect();
            if skipped.is_empty() {
                return;
            }
            for group in skipped {
                self.put(&group, LegState::Skipped);
            }
        }
    }

    /// Writes down the starts for which there is room. A group that rotates already is waited for.
    fn begin(&mut self, seen: &BTreeMap<&GroupId, &Row>) {
        let room = self.room();
        let startable = self.legs.iter().filter_map(|(group, leg)| {
            let row = seen.get(group).filter(|row| row.live().is_none())?;
            let begins = leg.state == LegState::Waiting && self.may_begin(leg);
            begins.then(|| (group.clone(), row.last_generation.next()))
        });
        for (group, generation) in startable.take(room).collect::<Vec<_>>() {
            self.put(&group, LegState::Starting { generation, refused: 0 });
        }
    }

    /// How many more may be on their way.
    fn room(&self) -> usize {
        let busy = self.legs.values().filter(|leg| self.is_on_its_way(leg.state)).count();
        (self.terms.parallel_max.max(1) as usize).saturating_sub(busy)
    }

    /// Whether a leg takes one of the places of those that may be on their way at once.
    const fn is_on_its_way(&self, state: LegState) -> bool {
        match state {
            LegState::Starting { .. }
            | LegState::Started { .. }
            | LegState::Returning { .. }
            | LegState::Undoing { .. }
            | LegState::GoingBack { .. } => true,
            LegState::Through { .. } => matches!(self.terms.until, Until::Ended),
            LegState::Waiting
            | LegState::Succeeded { .. }
            | LegState::Failed { .. }
            | LegState::Skipped
            | LegState::Undone { .. }
            | LegState::Kept { .. } => false,
        }
    }

    /// Leaves out what has not begun.
    fn leave_out(&mut self) {
        for leg in self.legs.values_mut().filter(|leg| leg.state == LegState::Waiting) {
            leg.state = LegState::Skipped;
        }
    }

    /// Has those taken back after which nothing stands any more. What others stay on stays too.
    fn go_back(&mut self) {
        loop {
            let back: Vec<(GroupId, LegState)> = self
                .legs
                .iter()
                .filter_map(|(group, leg)| Some((group.clone(), self.back(group, leg.state)?)))
                .collect();
            if back.is_empty() {
                return;
            }
            for (group, state) in back {
                self.put(&group, state);
            }
        }
    }

    /// What a leg is next on the way back; `None`: nothing else yet.
    fn back(&self, group: &GroupId, state: LegState) -> Option<LegState> {
        let generation = match state {
            LegState::Succeeded { generation } => return Some(LegState::Kept { generation }),
            LegState::Started { generation } | LegState::Through { generation } => generation,
            LegState::Waiting
            | LegState::Starting { .. }
            | LegState::Returning { .. }
            | LegState::Failed { .. }
            | LegState::Skipped
            | LegState::Undoing { .. }
            | LegState::GoingBack { .. }
            | LegState::Undone { .. }
            | LegState::Kept { .. } => return None,
        };
        if self.followers(group).any(|leg| !leg.state.is_settled()) {
            return None;
        }
        let stays =
            self.followers(group).any(|leg| matches!(leg.state, LegState::Kept { .. } | LegState::Succeeded { .. }));
        Some(if stays { LegState::Kept { generation } } else { LegState::Undoing { generation, refused: 0 } })
    }

    fn end(&mut self) {
        if !self.legs.values().all(|leg| leg.state.is_settled()) {
            return;
        }
        let every = |is: fn(LegState) -> bool| self.legs.values().all(|leg| is(leg.state));
        let succeeded = every(|state| matches!(state, LegState::Succeeded { .. }));
        let undone =
            every(|state| matches!(state, LegState::Undone { .. } | LegState::Failed { .. } | LegState::Skipped));
        self.motion = match self.motion {
            Motion::Running | Motion::Held(_) | Motion::Cancelling if succeeded => Motion::Ended(End::Success),
            // What failed waits for a person.
            Motion::Held(_) | Motion::Ended(_) => return,
            Motion::Running => Motion::Ended(End::Partly),
            Motion::Undoing => Motion::Ended(if undone { End::Undone } else { End::Partly }),
            Motion::Cancelling => Motion::Ended(End::Cancelled),
        };
    }

    fn put(&mut self, group: &GroupId, state: LegState) {
        if let Some(leg) = self.legs.get_mut(group) {
            leg.state = state;
        }
    }
}
