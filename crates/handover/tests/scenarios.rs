//! Every scenario of the repository, run by the real binary, against its golden output.

#![expect(clippy::unwrap_used, reason = "what surrounds a test fails loudly, as the test itself would")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the environment to write the outputs instead of comparing them.
const UPDATE: &str = "UPDATE_GOLDEN";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios")
}

fn files(ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .collect();
    files.sort();
    files
}

struct Ran {
    exit: i32,
    output: String,
    errors: String,
}

fn sim(file: &Path) -> Ran {
    let ran = Command::new(env!("CARGO_BIN_EXE_handover")).arg("sim").arg(file).output().unwrap();
    Ran {
        exit: ran.status.code().unwrap(),
        output: String::from_utf8(ran.stdout).unwrap(),
        errors: String::from_utf8(ran.stderr).unwrap(),
    }
}

/// The first line that differs, with its number.
fn difference(golden: &str, seen: &str) -> String {
    let differs = golden.lines().zip(seen.lines()).position(|(golden, seen)| golden != seen);
    let at = differs.unwrap_or_else(|| golden.lines().count().min(seen.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
    format!("line {}:\n  golden: {}\n  seen:   {}", at + 1, line(golden), line(seen))
}

#[test]
fn scenarios_end_as_their_golden_outputs_say() {
    let scenarios = files("txt");
    assert!(scenarios.len() >= 15, "only {} scenarios in {}", scenarios.len(), folder().display());
    let mut wrong = Vec::new();
    for scenario in &scenarios {
        let name = scenario.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(scenario).unwrap();
        let wanted = text.lines().next().and_then(|line| line.strip_prefix("# exit "));
        let wanted: i32 = wanted.map_or(0, |exit| exit.parse().unwrap());
        let ran = sim(scenario);
        if ran.exit != wanted {
            wrong.push(format!("{name}: exit code {}, not {wanted}\n{}", ran.exit, ran.errors));
        }
        let golden_file = scenario.with_extension("out");
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&golden_file, &ran.output).unwrap();
            continue;
        }
        match std::fs::read_to_string(&golden_file) {
            Err(_) => wrong.push(format!("{name}: no golden output; {UPDATE}=1 writes it")),
            Ok(golden) if golden != ran.output => wrong.push(format!("{name}: {}", difference(&golden, &ran.output))),
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}\n{UPDATE}=1 accepts new outputs", wrong.join("\n"));
}

#[test]
fn every_golden_output_has_its_scenario() {
    let scenarios: BTreeSet<PathBuf> = files("txt").into_iter().collect();
    let orphans: Vec<_> =
        files("out").into_iter().filter(|golden| !scenarios.contains(&golden.with_extension("txt"))).collect();
    assert!(orphans.is_empty(), "{orphans:?}");
}

#[test]
fn a_wrong_file_says_where_and_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.txt");
    std::fs::write(&file, "group g\nrotate\nrun untl drain\n").unwrap();
    let ran = sim(&file);
    assert_eq!((ran.exit, ran.output.as_str()), (2, ""), "{}", ran.errors);
    assert!(ran.errors.contains("error: line 3: `run untl drain` is not understood"), "{}", ran.errors);
    assert!(ran.errors.contains("hint: did you mean `run until PHASE`?"), "{}", ran.errors);

    let ran = sim(&folder.path().join("absent.txt"));
    assert_eq!(ran.exit, 2, "{}", ran.errors);
}

#[test]
fn machines_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.txt");
    std::fs::write(&file, "group g\nexpect accepted 1\nexpect no harm\n").unwrap();
    let ran =
        Command::new(env!("CARGO_BIN_EXE_handover")).args(["sim", "--output", "json"]).arg(&file).output().unwrap();
    assert_eq!(ran.status.code(), Some(0));
    let read: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&read["held"], &read["expectations"]), (&true.into(), &2.into()));
    assert_eq!(read["lines"][0], "> group g");
}
