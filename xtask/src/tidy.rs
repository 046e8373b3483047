//! Small rules that no tool of others checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Trouble;

/// The most lines of a file of source: what a reader can hold in view with one search.
const LINES_MAX: usize = 800;

/// Checks all files. Returns what is wrong.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Trouble> {
    let mut found = Vec::new();
    for path in tracked(root, "rs")? {
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        let lines = text.lines().count();
        if lines > LINES_MAX {
            found.push(format!("{} has {lines} lines, more than {LINES_MAX}: split it", path.display()));
        }
        if text.contains(concat!("#[", "ignore")) {
            found.push(format!("{} has a test that does not run: make it run or take it out", path.display()));
        }
    }
    Ok(found)
}

/// The files that git knows of with this extension.
pub(crate) fn tracked(root: &Path, extension: &str) -> Result<Vec<PathBuf>, Trouble> {
    let answer = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", &format!("*.{extension}")])
        .output()
        .map_err(|error| format!("git cannot be started: {error}"))?;
    if !answer.status.success() {
        return Err("git cannot list the files of this folder: is it a checkout?".to_owned());
    }
    let text = String::from_utf8(answer.stdout).map_err(|_| "a file's name is no text".to_owned())?;
    let mut files: Vec<PathBuf> = text.split_terminator('\0').map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    // What is deleted and not committed yet is still listed.
    files.retain(|file| root.join(file).exists());
    Ok(files)
}
