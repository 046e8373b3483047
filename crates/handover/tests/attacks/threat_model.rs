//! The threat model says which test stands for each claim: those tests must be there.

use std::collections::BTreeSet;

use crate::sources::{root, rust_files};

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let sources: Vec<String> =
        rust_files(&root().join("crates")).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut named = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let Some(tests) = line.trim_end_matches('|').rsplit('|').next() else { continue };
        named.extend(tests.split('`').skip(1).step_by(2));
    }
    assert!(named.len() > 30, "the last column of the tables names tests in backquotes: {named:?}");
    let is_test = |name: &str| {
        let (plain, async_) = (format!("\nfn {name}("), format!("async fn {name}("));
        let inner = format!("    fn {name}(");
        sources.iter().any(|source| source.contains(&plain) || source.contains(&async_) || source.contains(&inner))
    };
    let missing: Vec<_> = named.iter().filter(|name| !is_test(name)).collect();
    assert!(missing.is_empty(), "docs/threat-model.md names tests that are not there: {missing:?}");
}

#[test]
fn every_claim_of_the_threat_model_names_a_test() {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let mut in_claims = false;
    for line in text.lines() {
        if line.starts_with("| claim |") {
            in_claims = true;
        } else if !line.starts_with('|') {
            in_claims = false;
        } else if in_claims && !line.starts_with("|--") {
            assert!(line.trim_end_matches('|').rsplit('|').next().unwrap().contains('`'), "without a test: {line}");
        }
    }
}
