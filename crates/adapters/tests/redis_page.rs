//! The connector's page says what the code does.
#![cfg(all(feature = "target-postgres", feature = "target-redis"))]

use handover_adapters::target::{TargetConfig, TargetKind};
use handover_testkit::servers::redis::LEAST_PRIVILEGE;

const PAGE: &str = include_str!("../../../docs/connectors/redis.md");

#[test]
fn the_commands_on_the_page_are_those_that_the_suite_runs() {
    assert!(PAGE.contains(LEAST_PRIVILEGE.trim_end()), "docs/connectors/redis.md must hold redis.acl");
}

#[test]
fn the_example_parses_and_has_no_unknown_options() {
    let (_, rest) = PAGE.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config: TargetConfig = serde_json::from_str(example).unwrap();
    assert_eq!(config.kind(), TargetKind::Redis);
    config.check().unwrap();
    let misspelt = example.replace("\"twins\"", "\"twin\"");
    assert!(serde_json::from_str::<TargetConfig>(&misspelt).is_err());
}

#[test]
fn every_option_is_on_the_page() {
    let source = include_str!("../src/target/redis/config.rs");
    let (options, _) = source.split_once("/// The longest name").unwrap();
    let fields: Vec<_> = options
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(fields.len(), 11, "{fields:?}");
    for field in fields {
        let names = [format!("| `{field}` |"), format!("| `{field}."), format!(".{field}` |")];
        let row = PAGE.lines().any(|line| line.starts_with("| `") && names.iter().any(|name| line.contains(name)));
        assert!(row, "the option {field} is not in the page's table");
    }
}
