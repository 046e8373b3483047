//! The explorer: every state of a small world, run by the shipped core.
//!
//! Breadth first from rest, over everything that may happen: executors that all believe they are in charge, killed or
//! paused between any two actions, with effects that land as late as they like; replies that are lost; orders at any
//! time; consumers that load, die or lie at any time. In each state the world is asked whether anybody outside is
//! hurt, and the row whether it breaks an invariant; at the end, whether rest can be reached from every state.
//!
//! States are told apart by a 64-bit hash of their canonical form. With 10⁷ states the chance that two different ones
//! share a hash, and one is missed, is about 3 in 10⁶.

mod asking;
mod learnt;
mod minting;
mod mutation;
mod set_back;
mod staging;
mod step;
mod urgent;
mod walk;
mod waves;
mod world;
mod worlds;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use handover_core::Plan;
pub use mutation::Mutation;
use rustc_hash::FxBuildHasher;
use step::{Rules, Step};
pub use walk::{Failure, walk};
use world::World;
pub use world::{Harm, Size};
pub use worlds::{large_worlds, worlds};

/// What exploring a world showed.
#[derive(Debug)]
pub struct Report {
    /// The world's name.
    pub world: &'static str,
    /// The rule that was left out, if one was.
    pub mutation: Option<Mutation>,
    /// Different states seen.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The most steps that any of them is away from rest, by the shortest way.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The first harm found, and how it came about, step by step.
    pub found: Option<(Harm, Vec<String>)>,
    /// Whether the limit of states was reached before the end: then nothing was proved.
    pub cut_short: bool,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rule = self.mutation.map_or_else(|| "all rules".to_owned(), |mutation| format!("without {mutation:?}"));
        let found = match &self.found {
            Some((harm, trace)) => format!("{harm:?} after {} steps", trace.len().saturating_sub(2)),
            None if self.cut_short => "cut short: nothing proved".to_owned(),
            None => "no harm, rest is reachable from every state".to_owned(),
        };
        let (states, steps, depth, took) = (self.states, self.steps, self.depth, self.took.as_secs_f64());
        write!(
            f,
            "{:<38} {rule:<30} {states:>9} states {steps:>10} steps {depth:>4} deep {took:>7.2} s  {found}",
            self.world
        )
    }
}

/// Explores a world, with a rule left out if so asked, until harm is found or all was seen.
pub fn explore(size: &Size, mutation: Option<Mutation>, states_max: usize) -> Report {
    let began = Instant::now();
    let plan = plan(size, mutation);
    let urgent = urgent::urgent(&plan);
    let rules = Rules { size, plan: &plan, urgent: &urgent, mutation };
    let mut graph = Graph::new(World::at_rest(size).canonical(size, mutation));
    let mut successors = Vec::new();
    let mut found = None;
    // Breadth first: what is numbered when a layer's last state is opened ends the next layer.
    let (mut depth, mut layer_ends) = (0, 1);
    while let Some((index, world)) = graph.frontier.pop_front() {
        if index as usize == layer_ends {
            depth += 1;
            layer_ends = graph.parents.len();
        }
        successors.clear();
        rules.successors(&world, &mut successors, None);
        graph.open(index);
        for next in successors.drain(..) {
            let next = next.canonical(size, mutation);
            let harm = judge(&next, &rules);
            let at = graph.reach(index, next);
            if let Some(harm) = harm {
                found = Some((harm, at));
                break;
            }
        }
        if found.is_some() || graph.parents.len() > states_max {
            break;
        }
    }
    let cut_short = found.is_none() && !graph.frontier.is_empty();
    if found.is_none() && !cut_short {
        found = graph.dead_end().map(|at| (Harm::DeadEnd, at));
    }
    Report {
        world: size.name,
        mutation,
        states: graph.parents.len(),
        steps: graph.edges.len(),
        depth,
        took: began.elapsed(),
        found: found.map(|(harm, at)| (harm, graph.trace(&rules, at))),
        cut_short,
    }
}

/// The plan that a world's rotations go by.
fn plan(size: &Size, mutation: Option<Mutation>) -> Plan {
    let mut plan = size.plan();
    if mutation == Some(Mutation::NoApproval) {
        plan.approvals.clear();
    }
    plan
}

/// With a rule left out, only what hurts those outside counts: that the row looks odd would prove nothing.
fn judge(world: &World, rules: &Rules<'_>) -> Option<Harm> {
    world.harm(rules.size).or_else(|| {
        (rules.mutation.is_none() && !handover_core::check(&world.row, rules.plan).is_empty())
            .then_some(Harm::Violation)
    })
}

struct Graph {
    hasher: BuildHasherDefault<DefaultHasher>,
    seen: HashMap<u64, u32, FxBuildHasher>,
    parents: Vec<u32>,
    resting: Vec<bool>,
    /// Where each opened state's edges begin; states are opened in the order of their numbers.
    begins: Vec<u32>,
    edges: Vec<u32>,
    frontier: VecDeque<(u32, World)>,
    first: World,
}

impl Graph {
    fn new(first: World) -> Self {
        let mut graph = Self {
            hasher: BuildHasherDefault::default(),
            seen: HashMap::default(),
            parents: Vec::new(),
            resting: Vec::new(),
            begins: Vec::new(),
            edges: Vec::new(),
            frontier: VecDeque::new(),
            first: first.clone(),
        };
        graph.number(0, first);
        graph
    }

    fn number(&mut self, parent: u32, world: World) -> u32 {
        let next = u32::try_from(self.parents.len()).unwrap_or(u32::MAX);
        let index = *self.seen.entry(self.hasher.hash_one(&world)).or_insert(next);
        if index == next {
            self.parents.push(parent);
            self.resting.push(world.is_at_rest());
            self.frontier.push_back((index, world));
        }
        index
    }

    fn open(&mut self, index: u32) {
        debug_assert_eq!(self.begins.len(), index as usize, "states are opened in order");
        self.begins.push(u32::try_from(self.edges.len()).unwrap_or(u32::MAX));
    }

    fn reach(&mut self, from: u32, world: World) -> u32 {
        let index = self.number(from, world);
        self.edges.push(index);
        index
    }

    /// A state from which rest cannot be reached, if there is one.
    fn dead_end(&self) -> Option<u32> {
        let states = self.parents.len();
        let edge = |from: usize| {
            let end = self.begins.get(from + 1).map_or(self.edges.len(), |begin| *begin as usize);
            &self.edges[self.begins[from] as usize..end]
        };
        let mut begins = vec![0u32; states + 1];
        for to in &self.edges {
            begins[*to as usize + 1] += 1;
        }
        for index in 0..states {
            begins[index + 1] += begins[index];
        }
        let mut fill = begins.clone();
        let mut back = vec![0u32; self.edges.len()];
        for from in 0..states {
            for to in edge(from) {
                back[fill[*to as usize] as usize] = u32::try_from(from).unwrap_or(u32::MAX);
                fill[*to as usize] += 1;
            }
        }
        let mut ends = self.resting.clone();
        let mut open: Vec<u32> = (0..states).filter(|index| ends[*index]).map(|index| index as u32).collect();
        while let Some(at) = open.pop() {
            for from in &back[begins[at as usize] as usize..begins[at as usize + 1] as usize] {
                if !std::mem::replace(&mut ends[*from as usize], true) {
                    open.push(*from);
                }
            }
        }
        ends.iter().position(|reached| !reached).and_then(|index| u32::try_from(index).ok())
    }

    /// How a state came about: the path of its parents, run again with names.
    fn trace(&self, rules: &Rules<'_>, at: u32) -> Vec<String> {
        let mut path = vec![at];
        let mut here = at;
        while here != 0 {
            here = self.parents[here as usize];
            path.push(here);
        }
        path.reverse();
        let mut lines = vec!["at rest".to_owned()];
        let mut world = self.first.clone();
        for wanted in path.into_iter().skip(1) {
            let (mut next, mut names) = (Vec::new(), Vec::new());
            rules.successors(&world, &mut next, Some(&mut names));
            let found = next.into_iter().zip(names).find_map(|(next, Step(name))| {
                let next = next.canonical(rules.size, rules.mutation);
                (self.seen.get(&self.hasher.hash_one(&next)) == Some(&wanted)).then_some((next, name))
            });
            let Some((next, name)) = found else {
                lines.push("(the path could not be run again)".to_owned());
                break;
            };
            lines.push(format!("{name}  →  {}", step::phase_name(&next.row)));
            world = next;
        }
        lines.push(format!("{world:#?}"));
        lines
    }
}
