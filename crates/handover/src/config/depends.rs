//! What groups depend on.

use std::collections::BTreeSet;

use handover_core::GroupId;
use handover_core::campaign::graph::{Graph, cycle};
use serde::{Deserialize, Deserializer};

use super::Config;
use super::findings::At;
use crate::near::close;

pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<GroupId>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| GroupId::parse(name)).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

impl Config {
    /// Dependencies that no order can serve: on what is not there, and in circles.
    pub(super) fn wrong_dependencies(&self, there: &BTreeSet<&GroupId>) -> Vec<(At, String)> {
        let mut wrong = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            for on in group.depends_on.iter().filter(|on| !there.contains(on)) {
                let near =
                    close(on.as_str(), there.iter().filter(|name| **name != &group.name).map(ToString::to_string));
                let hint = near.map_or_else(
                    || "add a [[group]] by that name, or leave it out".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                wrong.push((
                    At::Group(index),
                    format!("group {} depends on {on}, which is no group: {hint}", group.name),
                ));
            }
        }
        let depending = self.groups.iter().filter(|group| !group.depends_on.is_empty());
        let graph: Graph = depending.map(|group| (group.name.clone(), group.depends_on.clone())).collect();
        if let Some(circle) = cycle(&graph) {
            let first = circle.first().and_then(|first| self.groups.iter().position(|group| group.name == *first));
            wrong.extend(first.map(|index| (At::Group(index), in_a_circle(&circle))));
        }
        wrong
    }
}

fn in_a_circle(circle: &[GroupId]) -> String {
    if let [only] = circle {
        return format!("group {only} depends on itself: leave it out of its depends_on");
    }
    let mut shown: Vec<&str> = circle.iter().chain(circle.first()).map(GroupId::as_str).collect();
    let all = shown.len();
    shown.truncate(SHOWN_MAX);
    let way = shown.join(", which depends on ").replacen(", which depends on ", " depends on ", 1);
    let more = if all > SHOWN_MAX { format!(", and {} more", all - SHOWN_MAX) } else { String::new() };
    format!("group {way}{more}: no order serves a circle; leave one of these out of a depends_on")
}

/// More groups of a circle are not named.
const SHOWN_MAX: usize = 8;
