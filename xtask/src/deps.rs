//! Which crate may depend on which. The direction of dependencies is the architecture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::Trouble;

/// Checks the workspace's graph. Returns what is wrong.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Trouble> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .exec()
        .map_err(|error| format!("the workspace cannot be read: {error}"))?;
    Ok(violations(&Graph::of(&metadata)?))
}

/// What one of our crates may use.
struct Rule {
    name: &'static str,
    /// Crates of the workspace that it may use, of all those there are.
    ours: &'static [&'static str],
    /// Crates that it must not reach, however many steps away.
    never: &'static [&'static str],
}

/// No rule here speaks of dependencies that only tests have.
const RULES: &[Rule] = &[
    Rule { name: "handover-secret", ours: &[], never: WORLD },
    Rule { name: "handover-core", ours: &["handover-secret"], never: WORLD },
    Rule { name: "handover-engine", ours: &["handover-core", "handover-secret"], never: DRIVERS },
    Rule { name: "handover-adapters", ours: &["handover-core", "handover-scram", "handover-secret"], never: &["axum"] },
    Rule { name: "handover-api", ours: &["handover-secret"], never: DRIVERS },
    Rule { name: "handover-scram", ours: &[], never: &["axum", "reqwest", "rusqlite"] },
    Rule {
        name: "handover-sdk",
        ours: &["handover-api", "handover-scram", "handover-secret"],
        never: &["axum", "rusqlite"],
    },
    Rule {
        name: "handover",
        ours: &[
            "handover-adapters",
            "handover-api",
            "handover-core",
            "handover-engine",
            "handover-sdk",
            "handover-secret",
        ],
        never: &[],
    },
    Rule {
        name: "handover-manager",
        ours: &["handover-adapters", "handover-core", "handover-engine", "handover-secret"],
        never: &["axum"],
    },
    // Its executor is the caller's: tokio is a feature.
    Rule { name: "handover-signal", ours: &[], never: DRIVERS },
    Rule { name: "handover-testkit", ours: &["handover-core", "handover-secret"], never: &["axum", "rusqlite"] },
    Rule {
        name: "handover-bench",
        ours: &[
            "handover-adapters",
            "handover-core",
            "handover-engine",
            "handover-manager",
            "handover-sdk",
            "handover-secret",
            "handover-signal",
            "handover-testkit",
        ],
        never: &["axum"],
    },
    Rule { name: "handover-demo", ours: &["handover-sdk", "handover-secret", "handover-testkit"], never: &[] },
    // It is built before anything else is known to work.
    Rule { name: "xtask", ours: &["handover-api", "handover-core", "handover-secret"], never: DRIVERS },
];

/// What knows the world outside: the pure crates reach none of it.
const WORLD: &[&str] = &[
    "axum",
    "chrono",
    "getrandom",
    "hyper",
    "jiff",
    "rand",
    "reqwest",
    "rusqlite",
    "rustls",
    "serde",
    "serde_json",
    "time",
    "tokio",
    "tokio-postgres",
    "tracing",
];

/// What talks to a particular kind of database or server.
const DRIVERS: &[&str] = &["axum", "hyper", "libsqlite3-sys", "reqwest", "rusqlite", "rustls", "tokio-postgres"];

/// Who uses whom, outside of tests.
struct Graph {
    uses: BTreeMap<String, BTreeSet<String>>,
    ours: BTreeSet<String>,
}

impl Graph {
    fn of(metadata: &Metadata) -> Result<Self, Trouble> {
        let name = |id: &cargo_metadata::PackageId| metadata[id].name.to_string();
        let resolve = metadata.resolve.as_ref().ok_or("cargo told no dependencies")?;
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in &resolve.nodes {
            // Two versions of one crate count as one: a rule names crates, not versions.
            let used = uses.entry(name(&node.id)).or_default();
            for dependency in &node.deps {
                let only_tests = dependency.dep_kinds.iter().all(|kind| kind.kind == DependencyKind::Development);
                if !only_tests {
                    used.insert(name(&dependency.pkg));
                }
            }
        }
        Ok(Self { uses, ours: metadata.workspace_members.iter().map(name).collect() })
    }

    fn used_by(&self, name: &str) -> impl Iterator<Item = &String> {
        self.uses.get(name).into_iter().flatten()
    }

    /// The way from `from` to `to`, if there is one.
    fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut next = vec![from];
        while let Some(here) = next.pop() {
            for there in self.used_by(here) {
                if there != from && !came_from.contains_key(there.as_str()) {
                    came_from.insert(there, here);
                    next.push(there);
                }
            }
        }
        let mut way = vec![to.to_owned()];
        let mut here = to;
        while here != from {
            here = came_from.get(here)?;
            way.push(here.to_owned());
        }
        way.reverse();
        Some(way)
    }
}

fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for name in &graph.ours {
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            found.push(format!("{name} has no rule: say in xtask/src/deps.rs what it may use"));
            continue;
        };
        for used in graph.used_by(name).filter(|used| graph.ours.contains(*used)) {
            if !rule.ours.contains(&used.as_str()) {
                found.push(format!("{name} must not use {used}: see the rules in xtask/src/deps.rs"));
            }
        }
        for never in rule.never {
            if let Some(way) = graph.way(name, never) {
                found.push(format!("{name} must not reach {never}, and does: {}", way.join(" → ")));
            }
        }
    }
    for rule in RULES.iter().filter(|rule| !graph.ours.contains(rule.name)) {
        found.push(format!("there is no crate {}: take its rule out of xtask/src/deps.rs", rule.name));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace that keeps all rules, and these edges beside.
    fn with(edges: &[(&str, &str)]) -> Vec<String> {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let edges = [("handover-core", "handover-secret"), ("handover-secret", "zeroize")].iter().chain(edges);
        for (from, to) in edges {
            uses.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        violations(&Graph { uses, ours: RULES.iter().map(|rule| rule.name.to_owned()).collect() })
    }

    #[test]
    fn the_workspace_keeps_the_rules() {
        let found = check(Path::new("..")).unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn forbidden_edges_are_found_however_long() {
        assert_eq!(with(&[]), Vec::<String>::new());
        for (from, to) in [
            ("handover-core", "handover-engine"),
            ("handover-core", "serde"),
            ("handover-engine", "handover-adapters"),
            ("handover-engine", "rusqlite"),
            ("handover-sdk", "handover-core"),
            ("handover-adapters", "handover-engine"),
            ("handover-api", "handover-core"),
            ("handover", "handover-testkit"),
        ] {
            let found = with(&[(from, to)]);
            assert!(found.iter().any(|line| line.starts_with(from) && line.contains(to)), "{from} {to}: {found:?}");
        }
        let found = with(&[("zeroize", "helper"), ("helper", "tokio")]);
        let way =
            "handover-core must not reach tokio, and does: handover-core → handover-secret → zeroize → helper → tokio";
        assert!(found.iter().any(|line| line == way), "{found:?}");
    }

    #[test]
    fn rules_and_crates_match_one_to_one() {
        let mut ours: BTreeSet<String> = RULES.iter().map(|rule| rule.name.to_owned()).collect();
        ours.insert("newcomer".to_owned());
        ours.remove("handover-api");
        let found = violations(&Graph { uses: BTreeMap::new(), ours });
        assert_eq!(found.len(), 2);
        assert!(
            found[0].starts_with("newcomer has no rule") && found[1].contains("no crate handover-api"),
            "{found:?}"
        );
    }
}
