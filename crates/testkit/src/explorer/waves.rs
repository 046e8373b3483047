//! Waves: the first consumer may read a candidate before the others.

use std::time::Duration;

use handover_core::{Opened, Phase, Picked, Publication, Rotation, Wave, Withheld};

use super::mutation::Mutation;
use super::step::Rules;
use super::world::{Harm, Life, Size, Value, World, consumer_id};

impl Size {
    /// The waves of its plan.
    pub(super) fn waves(&self) -> Vec<Wave> {
        let soak = if self.clock { Self::POLL } else { Duration::ZERO };
        let canary = Wave { members: Picked::Named([consumer_id(0)].into()), soak };
        if self.waves { vec![canary] } else { Vec::new() }
    }
}

impl World {
    /// Whoever comes later has a generation that the first consumer never had, under a number that it has not reached.
    pub(super) fn early(&self, size: &Size) -> Option<Harm> {
        let first = self.consumers.first().filter(|first| size.waves && first.life == Life::Alive && !self.forced)?;
        let (acked, had) = first.acked;
        let has = |index: usize| {
            let consumer = &self.consumers[index];
            let news = |(publication, value): &(Publication, Value)| {
                *publication > acked && value.who.generation > had.generation
            };
            news(&consumer.held) || consumer.hand.as_ref().is_some_and(news)
        };
        (1..self.consumers.len()).find(|index| has(*index)).map(|consumer| Harm::Early { consumer })
    }
}

impl Rules<'_> {
    /// What a consumer reads from its store, by way of who hands it out.
    pub(super) fn read(&self, world: &World, index: usize) -> (Publication, Value) {
        let shelf = &world.shelves[index % world.shelves.len()];
        let withheld = Withheld::of(&world.row, self.plan_of(world))
            .filter(|_| !self.without(Mutation::ReadEarly))
            .filter(|_| !(self.without(Mutation::ReadOnTheWayBack) && is_on_the_way_back(world)))
            .filter(|withheld| withheld.keeps(shelf.value.who.generation, Some(&consumer_id(index))));
        match withheld {
            Some(Withheld { instead, publication, .. }) => {
                let nonce = world.sealed.get(&(instead.generation, instead.candidate)).copied().unwrap_or_default();
                (publication, Value { who: instead, nonce })
            }
            None => (shelf.publication, shelf.value),
        }
    }
}

/// The next wave opens with the first one: nobody waits for its gate.
pub(super) fn ungated(was: &Phase, rotation: &mut Rotation) {
    if let (Phase::Propagate { opened: Opened::Nobody, .. }, Phase::Propagate { opened, .. }) =
        (was, &mut rotation.phase)
    {
        *opened = Opened::All;
    }
}

fn is_on_the_way_back(world: &World) -> bool {
    world.row.live().is_some_and(|live| matches!(live.phase, Phase::Rollback(_)))
}
