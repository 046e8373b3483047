//! docs/faults.md: which test shows what happens at which fault. It is made from markers that stand beside the tests:
//! a doc comment `/// F24: …` over a test, or `(F24)` in a comment of a scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::rows::ROWS;
use crate::Trouble;
use crate::tidy::tracked;

const PAGE: &str = "docs/faults.md";
const SCENARIOS: &str = "tests/scenarios";
const SCENARIO_TEST: &str = "scenarios_end_as_their_golden_outputs_say";

/// Where each marker stands, by row.
type Found = BTreeMap<String, BTreeSet<String>>;

/// What is wrong with the page or with the markers.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Trouble> {
    let found = markers(root)?;
    let mut wrong: Vec<String> = ROWS
        .iter()
        .filter(|row| !found.contains_key(row.name))
        .map(|row| {
            format!(
                "{} ({}) has no test: mark one with `/// {}: …`, or take the row away",
                row.name, row.what, row.name
            )
        })
        .collect();
    for (name, places) in &found {
        if ROWS.iter().all(|row| row.name != name) {
            let place = places.iter().next().map(String::as_str).unwrap_or_default();
            wrong.push(format!("{name} at {place} is no row: add it to xtask/src/faults/rows.rs"));
        }
    }
    let there = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if there != page(&found) {
        wrong.push(format!("{PAGE} is not what the tests say; run: cargo xtask faults --write-table"));
    }
    Ok(wrong)
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<(), Trouble> {
    let page = page(&markers(root)?);
    fs::write(root.join(PAGE), page).map_err(|error| format!("{PAGE} cannot be written: {error}"))
}

fn page(found: &Found) -> String {
    let mut text = include_str!("head.md").to_owned();
    text.push_str("\n| fault | where | what is done, and what must follow | shown by |\n|---|---|---|---|\n");
    for row in ROWS {
        let tests: Vec<String> = found.get(row.name).into_iter().flatten().cloned().collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} | {} | {} | {} |", row.name, row.place, row.what, tests.join("<br>"));
    }
    text
}

fn markers(root: &Path) -> Result<Found, Trouble> {
    let mut found = Found::new();
    for path in tracked(root, "rs")? {
        // What looks for markers contains some that are none.
        if path.starts_with("xtask") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        for (row, test) in in_source(&text) {
            found.entry(row).or_default().insert(format!("`{}` `{test}`", path.display()));
        }
    }
    for path in tracked(root, "txt")?.iter().filter(|path| path.starts_with(SCENARIOS)) {
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        for row in in_scenario(&text) {
            found.entry(row).or_default().insert(format!("`{}` `{SCENARIO_TEST}`", path.display()));
        }
    }
    Ok(found)
}

/// Markers in doc comments, each with the function that follows.
fn in_source(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            pending.extend(leading_rows(comment));
        } else if let Some(name) = function(line) {
            found.extend(pending.drain(..).map(|row| (row, name.to_owned())));
        } else if !line.starts_with('#') && !line.starts_with("///") {
            pending.clear();
        }
    }
    found
}

/// `F24: …`, or `F24, F25: …`.
fn leading_rows(comment: &str) -> Vec<String> {
    let Some((names, _)) = comment.split_once(':') else { return vec![] };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if names.iter().all(|name| is_row(name)) { names.into_iter().map(str::to_owned).collect() } else { vec![] }
}

/// `(F24)` or `(F24, F25)` in comments.
fn in_scenario(text: &str) -> Vec<String> {
    let comments = text.lines().filter(|line| line.starts_with('#'));
    let bracketed = comments.flat_map(|line| line.split('(').skip(1).filter_map(|rest| rest.split(')').next()));
    bracketed
        .flat_map(|inside| inside.split(','))
        .map(str::trim)
        .filter(|name| is_row(name))
        .map(str::to_owned)
        .collect()
}

fn is_row(word: &str) -> bool {
    word.strip_prefix('F').is_some_and(|number| number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name of a function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim_start_matches("async ");
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_with_their_test() {
        let text = "/// F24: one never answers.\n/// More.\n#[test]\nfn it_is_named() {}\n\n/// About F25: no marker.\n\
                    #[test]\nfn other() {}\n/// F26, F27: two.\n#[tokio::test]\nasync fn both() {}\n/// F28: lost\nconst X: u8 = 1;\nfn none() {}\n";
        let found = in_source(text);
        let found: Vec<(&str, &str)> = found.iter().map(|(row, test)| (row.as_str(), test.as_str())).collect();
        assert_eq!(found, [("F24", "it_is_named"), ("F26", "both"), ("F27", "both")]);
        assert_eq!(
            in_scenario("# It dies (F25).\ngroup a (F26)\n# two (F27, F28), (not F29)\n"),
            ["F25", "F27", "F28"]
        );
    }

    #[test]
    fn the_page_is_what_the_tests_say_and_every_row_has_one() {
        let found = check(Path::new("..")).unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn a_row_without_a_test_and_a_test_without_a_row_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let git = std::process::Command::new("git").args(["init", "--quiet"]).current_dir(folder.path()).status();
        assert!(git.unwrap().success());
        fs::write(folder.path().join("a.rs"), "/// F98: what is no row.\nfn a() {}\n").unwrap();
        let wrong = check(folder.path()).unwrap().join("\n");
        for wanted in ["F24 (", "has no test", "F98 at `a.rs` `a` is no row", "is not what the tests say"] {
            assert!(wrong.contains(wanted), "{wanted}: {wrong}");
        }
    }
}
