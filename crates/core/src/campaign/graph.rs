//! What depends on what.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::GroupId;

/// Each group with those that it depends on.
pub type Graph = BTreeMap<GroupId, BTreeSet<GroupId>>;

/// Which end of a dependency rotates first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// What others depend on, then those others: the administrator before what it administers.
    Dependencies,
    /// Those that depend on others, then the others.
    Dependants,
}

/// A way from a group back to itself, its first group once; `None`: there is none. What is depended on and has no entry
/// counts as depending on nothing.
pub fn cycle(graph: &Graph) -> Option<Vec<GroupId>> {
    let left = without_end(graph);
    let mut way: Vec<GroupId> = Vec::new();
    let mut seen = BTreeMap::new();
    // Whatever is left depends on something that is left, so the walk comes back to where it was.
    let mut at = left.iter().next()?.clone();
    loop {
        if let Some(begin) = seen.insert(at.clone(), way.len()) {
            return Some(way.split_off(begin));
        }
        way.push(at.clone());
        at = graph.get(&at)?.iter().find(|next| left.contains(*next))?.clone();
    }
}

/// Groups that no order can serve: those on a cycle, and those that depend on one.
fn without_end(graph: &Graph) -> BTreeSet<GroupId> {
    let served: BTreeSet<GroupId> = layers(graph).into_iter().flatten().collect();
    graph.keys().filter(|group| !served.contains(*group)).cloned().collect()
}

/// The groups by layers: each group stands in the first layer that comes after all that it depends on. Those that no order
/// can serve are in none.
pub fn layers(graph: &Graph) -> Vec<Vec<GroupId>> {
    let mut missing: BTreeMap<&GroupId, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<&GroupId, Vec<&GroupId>> = BTreeMap::new();
    for (group, on) in graph {
        let there: Vec<_> = on.iter().filter(|on| graph.contains_key(*on)).collect();
        missing.insert(group, there.len());
        for on in there {
            dependants.entry(on).or_default().push(group);
        }
    }
    let mut layers = Vec::new();
    let mut layer: Vec<&GroupId> = missing.iter().filter(|(_, count)| **count == 0).map(|(group, _)| *group).collect();
    while !layer.is_empty() {
        let mut next = BTreeSet::new();
        for group in &layer {
            for dependant in dependants.get(group).into_iter().flatten() {
                if let Some(count) = missing.get_mut(dependant) {
                    *count -= 1;
                    if *count == 0 {
                        next.insert(*dependant);
                    }
                }
            }
        }
        layers.push(layer.into_iter().cloned().collect());
        layer = next.into_iter().collect();
    }
    layers
}

/// These groups with all that depend on them, over however many others.
pub fn with_dependants(graph: &Graph, chosen: &BTreeSet<GroupId>) -> BTreeSet<GroupId> {
    let mut dependants: BTreeMap<&GroupId, Vec<&GroupId>> = BTreeMap::new();
    for (group, on) in graph {
        for on in on {
            dependants.entry(on).or_default().push(group);
        }
    }
    let mut all = chosen.clone();
    let mut open: Vec<GroupId> = chosen.iter().cloned().collect();
    while let Some(group) = open.pop() {
        for dependant in dependants.get(&group).into_iter().flatten() {
            if all.insert((*dependant).clone()) {
                open.push((*dependant).clone());
            }
        }
    }
    all
}

/// What comes after what among the chosen groups: also over groups that are not chosen.
pub fn order(graph: &Graph, chosen: &BTreeSet<GroupId>, first: First) -> Graph {
    let mut after: Graph = chosen.iter().map(|group| (group.clone(), BTreeSet::new())).collect();
    for group in chosen {
        for on in nearest(graph, group, chosen) {
            let (later, earlier) = match first {
                First::Dependencies => (group.clone(), on),
                First::Dependants => (on, group.clone()),
            };
            after.entry(later).or_default().insert(earlier);
        }
    }
    after
}

/// The chosen groups that a group depends on, where none other that is chosen lies between.
fn nearest(graph: &Graph, group: &GroupId, chosen: &BTreeSet<GroupId>) -> BTreeSet<GroupId> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<&GroupId> = graph.get(group).into_iter().flatten().collect();
    while let Some(on) = open.pop() {
        if !seen.insert(on) {
            continue;
        }
        if chosen.contains(on) {
            found.insert(on.clone());
        } else {
            open.extend(graph.get(on).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> GroupId {
        GroupId::parse(text).unwrap()
    }

    /// `b:a c:a,b` reads: b depends on a, c on a and b.
    fn graph(text: &str) -> Graph {
        let entry = |part: &str| {
            let (group, on) = part.split_once(':').unwrap();
            (name(group), on.split(',').filter(|on| !on.is_empty()).map(name).collect())
        };
        text.split_whitespace().map(entry).collect()
    }

    fn names(groups: &[GroupId]) -> String {
        groups.iter().map(GroupId::as_str).collect::<Vec<_>>().join(" ")
    }

    fn set(text: &str) -> BTreeSet<GroupId> {
        text.split_whitespace().map(name).collect()
    }

    #[test]
    fn layers_follow_what_depends_on_what() {
        let layers: Vec<String> =
            layers(&graph("a: b:a c:a,b d: e:d,unknown")).iter().map(|layer| names(layer)).collect();
        assert_eq!(layers, ["a d", "b e", "c"]);
    }

    #[test]
    fn a_cycle_is_named_by_the_groups_on_it_alone() {
        assert_eq!(cycle(&graph("a: b:a c:b")), None);
        assert_eq!(names(&cycle(&graph("a:a")).unwrap()), "a");
        // `before` leads to the cycle and is not on it; nor is `after`, to which it leads.
        assert_eq!(names(&cycle(&graph("after: b:c,after c:d d:b before:b")).unwrap()), "b c d");
        assert_eq!(names(&cycle(&graph("a:b b:c c:b")).unwrap()), "b c");
    }

    #[test]
    fn an_order_holds_also_over_groups_that_were_not_chosen() {
        let graph = graph("a: b:a c:b d:");
        let after = order(&graph, &set("a c d"), First::Dependencies);
        assert_eq!(after, self::graph("a: c:a d:"));
        assert_eq!(order(&graph, &set("a c d"), First::Dependants), self::graph("a:c c: d:"));
        assert_eq!(with_dependants(&graph, &set("a")), set("a b c"));
        assert_eq!(with_dependants(&graph, &set("c d")), set("c d"));
    }

    #[test]
    fn many_groups_cost_no_stack() {
        let all = 20_000;
        let name_of = |number: usize| name(&format!("g{number:05}"));
        let mut graph: Graph =
            (1..all).map(|number| (name_of(number), BTreeSet::from([name_of(number - 1)]))).collect();
        graph.insert(name_of(0), BTreeSet::new());
        assert_eq!(layers(&graph).len(), all);
        graph.insert(name_of(0), BTreeSet::from([name_of(all - 1)]));
        assert_eq!(cycle(&graph).unwrap().len(), all);
    }
}
