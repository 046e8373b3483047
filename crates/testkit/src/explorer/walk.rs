//! Long random runs through worlds too large to see whole.
//!
//! A run is a list of numbers: at each state, which of its successors comes next. It is judged after every step; at
//! its end everything that can be restarted is, and rest must be reached by going on.

use super::mutation::Mutation;
use super::step::{Rules, Step, phase_name};
use super::world::{Executor, Harm, Life, Size, World};
use super::{Graph, judge};

/// A run that hurt somebody, or could not be brought to an end.
#[derive(Debug)]
pub struct Failure {
    /// What was found.
    pub harm: Harm,
    /// What happened, step by step.
    pub events: Vec<String>,
}

/// Walks through a world by `choices`, then lets it settle.
pub fn walk(size: &Size, mutation: Option<Mutation>, choices: &[u16]) -> Result<usize, Failure> {
    let plan = super::plan(size, mutation);
    let urgent = super::urgent::urgent(&plan);
    let rules = Rules { size, plan: &plan, urgent: &urgent, mutation };
    let mut world = World::at_rest(size).canonical(size, mutation);
    let mut events = vec!["at rest".to_owned()];
    for choice in choices {
        let (mut next, mut names) = (Vec::new(), Vec::new());
        rules.successors(&world, &mut next, Some(&mut names));
        if next.is_empty() {
            break;
        }
        let index = usize::from(*choice) % next.len();
        let Step(name) = names.swap_remove(index);
        world = next.swap_remove(index).canonical(size, mutation);
        events.push(format!("{name}  →  {}", phase_name(&world.row)));
        if let Some(harm) = judge(&world, &rules) {
            return Err(Failure { harm, events });
        }
    }
    let steps = events.len() - 1;
    if settles(&rules, world) { Ok(steps) } else { Err(Failure { harm: Harm::DeadEnd, events }) }
}

/// Whether rest is reached by searching on from here, with nothing more ordered and every executor restarted.
fn settles(rules: &Rules<'_>, mut world: World) -> bool {
    world.left = super::world::Left {
        rotations: 0,
        supersedes: 0,
        rollbacks: 0,
        rejections: 0,
        garbles: 0,
        failures: 0,
        holds: 0,
        restores: 0,
        emergencies: 0,
    };
    world.executors.fill(Executor::Idle);
    world.executors.truncate(1);
    for consumer in world.consumers.iter_mut().filter(|consumer| consumer.life == Life::Dead) {
        consumer.life = Life::Excused;
    }
    let mut graph = Graph::new(world);
    while let Some((index, world)) = graph.frontier.pop_front() {
        if world.is_at_rest() {
            return true;
        }
        let mut next = Vec::new();
        rules.successors(&world, &mut next, None);
        graph.open(index);
        for next in next {
            graph.reach(index, next.canonical(rules.size, rules.mutation));
        }
    }
    false
}
