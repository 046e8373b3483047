//! `cargo xtask test`: the steps, and the program that runs them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Trouble, Verdict, deps, documents, faults, setup, tidy};

/// How much of what a failed step said is said again at the end, of each of its two streams.
const LAST_LINES: usize = 20;

/// Says which steps there are.
pub(crate) fn list() {
    for step in steps() {
        println!("{:<11} {:<58} {}", step.name, step.what, step.command());
    }
}

/// Runs all steps, or those named, and says how each went.
pub(crate) fn run(root: &Path, only: &[String]) -> Result<Verdict, Trouble> {
    let steps = steps();
    if let Some(unknown) = only.iter().find(|name| steps.iter().all(|step| step.name != name.as_str())) {
        return Err(format!("there is no step {unknown}; see: cargo xtask test --list"));
    }
    let wanted: Vec<&Step> =
        steps.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect();
    if wanted.iter().any(|step| step.needs_servers)
        && let Some(need) = setup::ALL.iter().find(|need| !need.is_there())
    {
        eprintln!("error: {} is missing, and tests run against the real thing", need.name);
        eprintln!("hint: run: cargo xtask setup");
        return Ok(Verdict::Bad);
    }
    let mut results = Vec::new();
    for (number, step) in (1..).zip(&wanted) {
        eprintln!("==> {number}/{} {}: {}", wanted.len(), step.name, step.what);
        let start = Instant::now();
        let outcome = step.run(root)?;
        results.push((step.name, outcome, start.elapsed()));
    }
    Ok(conclude(&results))
}

fn conclude(results: &[(&str, Outcome, Duration)]) -> Verdict {
    eprintln!("==> summary");
    for (name, outcome, took) in results {
        let word = match outcome {
            Outcome::Passed { .. } => "passed",
            Outcome::Failed { .. } => "FAILED",
        };
        eprintln!("{name:<11} {:>7.1} s  {word}", took.as_secs_f64());
    }
    // What a failed step said last: the lines above may be many, and are sometimes all that is not kept.
    for (name, outcome, _) in results {
        if let Outcome::Failed { last, .. } = outcome {
            eprintln!("==> {name} ended with:");
            last.iter().for_each(|line| eprintln!("{line}"));
        }
    }
    // Last, what the tests said of themselves: the lines that people and machines look for.
    for (name, outcome, _) in results {
        let (Outcome::Passed { said } | Outcome::Failed { said, .. }) = outcome;
        for line in said {
            eprintln!("{name}: {line}");
        }
    }
    let good = results.iter().all(|(_, outcome, _)| !matches!(outcome, Outcome::Failed { .. }));
    if good { Verdict::Good } else { Verdict::Bad }
}

struct Step {
    name: &'static str,
    what: &'static str,
    work: Work,
    needs_servers: bool,
}

enum Work {
    Cargo { arguments: Vec<&'static str>, environment: &'static [(&'static str, &'static str)] },
    Check(fn(&Path) -> Result<Vec<String>, Trouble>),
    Missing(&'static setup::Need),
}

enum Outcome {
    Passed { said: Vec<String> },
    Failed { said: Vec<String>, last: Vec<String> },
}

/// In this order, because what fails soonest should be known soonest, and what tests say should come last.
fn steps() -> Vec<Step> {
    let licences = if has_cargo_command("deny") {
        cargo_work(&["deny", "--offline", "--all-features", "check", "licenses", "bans", "sources"])
    } else {
        Work::Missing(&setup::CARGO_DENY)
    };
    let rustdoc = Work::Cargo {
        arguments: vec!["doc", "--workspace", "--no-deps", "--all-features", "--quiet"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    };
    let mut steps = vec![
        step("format", "the source is formatted", cargo_work(&["fmt", "--all", "--check"])),
        step("deps", "no crate uses one that it must not use", Work::Check(deps::check)),
        step("documents", "documents agree with the code and with each other", Work::Check(documents::check)),
        step("tidy", "files are short, and every test runs", Work::Check(tidy::check)),
        step("licences", "licences and sources of dependencies are allowed", licences),
        step(
            "lints",
            "no warning in any target, with all features",
            cargo_work(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]),
        ),
        step(
            "soaks",
            "no warning in the soak, which is no target among others",
            cargo_work(&[
                "clippy",
                "--package",
                "handover",
                "--all-features",
                "--test",
                "faults_soak",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        step(
            "shipped",
            "no warning in the program as it is shipped, without fault points",
            cargo_work(&["clippy", "--package", "handover", "--", "-D", "warnings"]),
        ),
        step(
            "switches",
            "the program as it is shipped has no switch of the tests",
            Work::Check(faults::switches::check),
        ),
        step("rustdoc", "links in the documentation of the code lead somewhere", rustdoc),
        step(
            "doctests",
            "examples in the documentation of the code run",
            cargo_work(&["test", "--workspace", "--all-features", "--doc", "--no-fail-fast"]),
        ),
    ];
    steps.extend(steps_with_servers());
    steps
}

fn steps_with_servers() -> [Step; 7] {
    let tests: &[&str] = if has_cargo_command("nextest") {
        &["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--all-features", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]
    };
    let step = |name, what, arguments| Step { needs_servers: true, ..step(name, what, cargo_work(arguments)) };
    [
        step(
            "demo",
            "a real rotation, end to end, and nobody notices",
            &["xtask", "demo", "--fast", "--output", "json"][..],
        ),
        step("judges", "what judges the soak finds harm that is done", &["xtask", "faults", "--spoil"]),
        step("slot", "a slot without its fence comes to harm", &["xtask", "faults", "--without-fence", "slot"]),
        step("store", "a store without its fence comes to harm", &["xtask", "faults", "--without-fence", "store"]),
        step("soak", "a fleet under random faults comes to no harm", &["xtask", "faults", "--minutes", "3"]),
        step("bench", "the benchmarks run; nothing is measured", &["xtask", "bench", "--smoke"]),
        step("tests", "all tests, against real servers", tests),
    ]
}

const fn step(name: &'static str, what: &'static str, work: Work) -> Step {
    Step { name, what, work, needs_servers: false }
}

fn cargo_work(arguments: &[&'static str]) -> Work {
    Work::Cargo { arguments: arguments.to_vec(), environment: &[] }
}

impl Step {
    fn command(&self) -> String {
        match &self.work {
            Work::Cargo { arguments, environment } => {
                let environment: String =
                    environment.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
                format!("{environment}cargo {}", arguments.join(" "))
            }
            Work::Check(_) => format!("cargo xtask test {}", self.name),
            Work::Missing(need) => format!("{} is missing; run: cargo xtask setup", need.name),
        }
    }

    fn run(&self, root: &Path) -> Result<Outcome, Trouble> {
        match &self.work {
            Work::Cargo { arguments, environment } => run_cargo(root, arguments, environment),
            Work::Check(check) => {
                let found = check(root)?;
                for line in &found {
                    eprintln!("error: {line}");
                }
                Ok(if found.is_empty() {
                    Outcome::Passed { said: vec![] }
                } else {
                    Outcome::Failed { said: vec![], last: found }
                })
            }
            Work::Missing(need) => {
                eprintln!("error: {} is missing, so this was not checked", need.name);
                eprintln!("hint: run: cargo xtask setup, or: {}", need.install());
                Ok(Outcome::Failed { said: vec![], last: vec![] })
            }
        }
    }
}

fn run_cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Outcome, Trouble> {
    let mut child = Command::new(cargo())
        .current_dir(root)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (said, last): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let out = scope.spawn(|| out.map(pass_on));
        let err = scope.spawn(|| err.map(pass_on));
        [out.join(), err.join()].into_iter().filter_map(Result::ok).flatten().unzip()
    });
    let status = child.wait().map_err(|error| format!("cargo was started and got lost: {error}"))?;
    let said = in_sum(said.concat());
    Ok(if status.success() {
        Outcome::Passed { said }
    } else {
        Outcome::Failed { said, last: last.into_iter().flatten().collect() }
    })
}

/// Passes lines on as they come, and keeps those in which a test runner sums up, and the last ones.
fn pass_on(from: impl Read) -> (Vec<String>, VecDeque<String>) {
    let (mut kept, mut last) = (Vec::new(), VecDeque::with_capacity(LAST_LINES + 1));
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        let line = without_colour(&line);
        if line.trim_start().starts_with("Summary [") || line.starts_with("test result: ") {
            kept.push(line.trim().to_owned());
        }
        last.push_back(line);
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
    (kept, last)
}

/// The text of a line whose colours somebody asked for (`CARGO_TERM_COLOR=always`).
fn without_colour(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, after)| after))
}

/// One line for many of `cargo test`, which sums up once for each program; other runners' lines stay.
fn in_sum(said: Vec<String>) -> Vec<String> {
    let (each, mut rest): (Vec<String>, Vec<String>) =
        said.into_iter().partition(|line| line.starts_with("test result: "));
    let count = |word: &str| -> u64 {
        let before = |line: &String| line.split(word).next()?.split_whitespace().last()?.parse::<u64>().ok();
        each.iter().filter(|line| line.contains(word)).filter_map(before).sum()
    };
    if !each.is_empty() {
        rest.push(format!("{} passed, {} failed", count(" passed"), count(" failed")));
    }
    rest
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

fn has_cargo_command(name: &str) -> bool {
    let answer = Command::new(cargo()).args([name, "--version"]).stdin(Stdio::null()).output();
    answer.is_ok_and(|answer| answer.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runners_say_is_summed_up() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\
                      test result: FAILED. 40 passed; 3 failed; 0 ignored\n";
        assert_eq!(in_sum(pass_on(output.as_bytes()).0), ["42 passed, 3 failed"]);
        let output = "     Summary [   1.2s] 7 tests run: 7 passed, 0 skipped\n";
        assert_eq!(in_sum(pass_on(output.as_bytes()).0), ["Summary [   1.2s] 7 tests run: 7 passed, 0 skipped"]);
        let coloured = "\u{1b}[32;1m     Summary\u{1b}[0m [   1.2s] \u{1b}[1m7\u{1b}[0m tests run\n";
        assert_eq!(in_sum(pass_on(coloured.as_bytes()).0), ["Summary [   1.2s] 7 tests run"]);
        assert_eq!(in_sum(pass_on(&b"nothing to sum up"[..]).0), Vec::<String>::new());
    }

    #[test]
    fn the_last_lines_are_kept() {
        let output: String = (1..=50).map(|number| format!("line {number}\n")).collect();
        let (_, last) = pass_on(output.as_bytes());
        assert_eq!((last.len(), last[0].as_str(), last[19].as_str()), (20, "line 31", "line 50"));
    }

    #[test]
    fn a_failed_step_fails_the_run_and_one_not_run_does_not_pass_for_passed() {
        let passed = || Outcome::Passed { said: vec![] };
        assert_eq!(conclude(&[("a", passed(), Duration::ZERO)]), Verdict::Good);
        let failed = Outcome::Failed { said: vec![], last: vec![] };
        assert_eq!(conclude(&[("a", passed(), Duration::ZERO), ("b", failed, Duration::ZERO)]), Verdict::Bad);
    }
}
