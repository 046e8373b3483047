//! The connector's page says what the code does.
#![cfg(feature = "target-postgres")]

use handover_adapters::target::{TargetConfig, TargetKind};
use handover_testkit::servers::pgbouncer::LOOK_UP;
use handover_testkit::servers::postgres::{LEAST_PRIVILEGE, LEAST_PRIVILEGE_VERSIONED};

const PAGE: &str = include_str!("../../../docs/connectors/postgresql.md");

#[test]
fn the_grants_on_the_page_are_those_that_the_suite_runs() {
    assert!(PAGE.contains(LEAST_PRIVILEGE.trim_end()), "docs/connectors/postgresql.md must hold postgresql.sql");
    let versioned = LEAST_PRIVILEGE_VERSIONED.trim_end();
    assert!(PAGE.contains(versioned), "docs/connectors/postgresql.md must hold postgresql-versioned.sql");
}

#[test]
fn the_statements_on_the_page_of_pgbouncer_are_those_that_the_suite_runs() {
    let page = include_str!("../../../docs/connectors/pgbouncer.md");
    assert!(page.contains(LOOK_UP.trim_end()), "docs/connectors/pgbouncer.md must hold pgbouncer.sql");
}

#[test]
fn the_example_parses_and_has_no_unknown_options() {
    let (_, rest) = PAGE.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config: TargetConfig = serde_json::from_str(example).unwrap();
    assert_eq!(config.kind(), TargetKind::Postgres);
    let misspelt = example.replace("\"owner\"", "\"ownr\"");
    assert!(serde_json::from_str::<TargetConfig>(&misspelt).is_err());
}

#[test]
fn every_option_is_on_the_page() {
    let source = include_str!("../src/target/postgres/config.rs");
    let (options, _) = source.split_once("/// The longest identifier").unwrap();
    let fields: Vec<_> = options
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(fields.len(), 17, "{fields:?}");
    for field in fields {
        let names = [format!("| `{field}` |"), format!("| `{field}."), format!(".{field}` |")];
        let row = PAGE.lines().any(|line| line.starts_with("| `") && names.iter().any(|name| line.contains(name)));
        assert!(row, "the option {field} is not in the page's table");
    }
}
