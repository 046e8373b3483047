//! An emergency: ordered at any time, over the rotation that is on its way.

use handover_core::{Fact, Order, Plan, Seen, Terms, Wish, advance, preempt};

use super::mutation::Mutation;
use super::step::Rules;
use super::world::World;

/// The plan of a world's rotations once a person said that what retires is compromised.
pub(super) fn urgent(plan: &Plan) -> Plan {
    plan.clone().in_emergency(&Terms::default(), Wish { accept_breakage: false, end_sessions: true })
}

impl World {
    /// How an ended rotation waited is never asked again.
    pub(super) fn forget_urgency(&mut self) {
        self.urgent &= self.row.live().is_some();
    }
}

impl Rules<'_> {
    /// The plan that the live rotation goes by.
    pub(super) const fn plan_of(&self, world: &World) -> &Plan {
        if world.urgent { self.urgent } else { self.plan }
    }

    /// A person says that what is in force is compromised.
    pub(super) fn emergency(&self, world: &World, emit: &mut dyn FnMut(World, &dyn Fn() -> String)) {
        if world.left.emergencies == 0 || world.uncompared {
            return;
        }
        let Ok(mut row) = preempt(&world.row, world.now) else { return };
        if self.without(Mutation::BreakUnasked) {
            // Nobody is waited for, neither in Propagate nor in Drain, and nobody accepted that.
            let force = Seen { now: world.now, fact: Fact::Order(Order::Force) };
            for _ in 0..2 {
                row = advance(&row, self.urgent, &force).unwrap_or(row);
            }
        }
        let mut next = world.clone();
        next.left.emergencies -= 1;
        next.urgent = true;
        self.store(&mut next, &world.row, row);
        emit(next, &|| "an emergency".to_owned());
    }
}
