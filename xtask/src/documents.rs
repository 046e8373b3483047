//! What can be checked of documents: that they agree with the code and with each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;
use handover_api::CODES;
use handover_core::FaultKind;

use crate::tidy::tracked;
use crate::{Trouble, faults};

/// Checks all documents. Returns what is wrong.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Trouble> {
    let mut found = error_pages(root)?;
    found.extend(decisions(root)?);
    found.extend(links(root)?);
    found.extend(code_map(root)?);
    found.extend(faults::check(root)?);
    Ok(found)
}

/// Every code has a page, every page a code, and the overview lists them all.
fn error_pages(root: &Path) -> Result<Vec<String>, Trouble> {
    let folder = root.join("docs/errors");
    let overview = read(&folder.join("README.md"))?;
    let mut found = Vec::new();
    let faults: BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.code()).collect();
    let codes: BTreeSet<String> =
        faults.iter().copied().chain(CODES.iter().map(|code| code.word)).map(str::to_owned).collect();
    let pages: BTreeSet<String> =
        names(&folder)?.iter().filter_map(|name| name.strip_suffix(".md")).map(str::to_owned).collect();
    for page in pages.difference(&codes).filter(|page| *page != "README") {
        found.push(format!("docs/errors/{page}.md is about no code: take it away, or add the code to FaultKind or to handover_api::CODES"));
    }
    for code in &codes {
        if !pages.contains(code) {
            found.push(format!("{code} has no page: write docs/errors/{code}.md"));
            continue;
        }
        let page = read(&folder.join(format!("{code}.md")))?;
        for part in ["## Meaning", "## Likely causes", "## What to do"] {
            if !page.lines().any(|line| line == part) {
                found.push(format!("docs/errors/{code}.md has no part “{part}”"));
            }
        }
        let title = page.lines().next().unwrap_or_default();
        if !title.starts_with(&format!("# {code}: ")) {
            found.push(format!("docs/errors/{code}.md must begin with “# {code}: ”"));
        }
        if !overview.contains(&format!("({code}.md)")) {
            found.push(format!("docs/errors/README.md does not list {code}"));
        }
        let kind = FaultKind::ALL.iter().find(|kind| kind.code() == code);
        let status = CODES.iter().find(|listed| listed.word == code).map(|listed| listed.status);
        if kind.is_some_and(|kind| !page.contains(&format!("`{kind:?}`"))) {
            found.push(format!("docs/errors/{code}.md does not name its kind"));
        }
        if status.is_some_and(|status| !page.contains(&format!("HTTP status: {status}."))) {
            found.push(format!("docs/errors/{code}.md does not name its status"));
        }
    }
    Ok(found)
}

/// Every decision record has the same parts and a number of its own.
fn decisions(root: &Path) -> Result<Vec<String>, Trouble> {
    let folder = root.join("docs/adr");
    let mut found = Vec::new();
    let mut numbers = BTreeSet::new();
    for name in names(&folder)?.iter().filter(|name| *name != "README.md") {
        let number = name.get(..4).filter(|number| number.chars().all(|c| c.is_ascii_digit()));
        let Some(number) = number else {
            found.push(format!("docs/adr/{name} does not begin with a number of four digits"));
            continue;
        };
        if !numbers.insert(number.to_owned()) {
            found.push(format!("docs/adr has two records numbered {number}"));
        }
        let record = read(&folder.join(name))?;
        for part in ["Context", "Decision", "Alternatives", "Consequences", "What would change our mind"] {
            let heading = format!("## {part}");
            if !record.lines().any(|line| line.trim_end() == heading) {
                found.push(format!("docs/adr/{name} has no part “{heading}”"));
            }
        }
    }
    Ok(found)
}

/// Every link from one file of the project to another leads somewhere.
fn links(root: &Path) -> Result<Vec<String>, Trouble> {
    let mut found = Vec::new();
    for page in tracked(root, "md")? {
        let text = read(&root.join(&page))?;
        for target in link_targets(&text) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:") || file.is_empty();
            let folder = page.parent().unwrap_or(Path::new(""));
            if !elsewhere && !root.join(folder).join(file).exists() {
                found.push(format!("{} links to {target}, which is not there", page.display()));
            }
        }
    }
    Ok(found)
}

/// The targets of `[text](target)`, outside of code.
fn link_targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part of a line that is split at backticks is code.
        for prose in line.split('`').step_by(2) {
            let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            targets.extend(links.map(|target| target.trim().to_owned()));
        }
        // A link whose text is code, `[`x`](target)`, is split there: its target begins the next part of prose.
    }
    targets
}

/// ARCHITECTURE.md names every crate of the workspace.
fn code_map(root: &Path) -> Result<Vec<String>, Trouble> {
    let text = read(&root.join("ARCHITECTURE.md"))?;
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .map_err(|error| format!("the workspace cannot be read: {error}"))?;
    let folders = metadata.packages.iter().filter_map(|package| {
        let folder = package.manifest_path.parent()?;
        Some(folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder).to_string())
    });
    Ok(folders
        .filter(|folder| !text.contains(&format!("`{folder}`")))
        .map(|folder| format!("ARCHITECTURE.md does not say what `{folder}` is"))
        .collect())
}

fn names(folder: &Path) -> Result<Vec<String>, Trouble> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn read(path: &PathBuf) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_only() {
        let text =
            "See [a](one.md) and [`b`](two.md#part).\n```\n[c](three.md)\n```\nNot `[d](four.md)`, but [e](five.md).";
        assert_eq!(link_targets(text), ["one.md", "two.md#part", "five.md"]);
    }

    #[test]
    fn code_list_and_error_pages_agree() {
        let found = error_pages(Path::new("..")).unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn a_missing_and_a_spare_page_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let errors = folder.path().join("docs/errors");
        fs::create_dir_all(&errors).unwrap();
        fs::write(errors.join("README.md"), "").unwrap();
        fs::write(errors.join("HO0000.md"), "").unwrap();
        fs::write(errors.join("HO0101.md"), "# HO0101: no connection\n").unwrap();
        let found = error_pages(folder.path()).unwrap().join("\n");
        for wanted in [
            "HO0000.md is about no code",
            "HO0102 has no page",
            "not_live has no page",
            "HO0101.md has no part",
            "not list",
        ] {
            assert!(found.contains(wanted), "{wanted}: {found}");
        }
    }
}
