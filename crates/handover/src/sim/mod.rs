//! Scenarios: the shipped core in a simulated world, told as text.
//!
//! The decisions are those of `handover_core`: nothing of them is written again here. The world is simulated: a target
//! and stores that fence, consumers with habits, one executor that can die between any two actions, and one clock.
//! The language is on the page `docs/scenarios.md`.

mod expect;
mod group;
mod perform;
mod script;
mod wave;
mod world;

use std::fmt::Write as _;

use group::Group;
use script::Command;
pub(crate) use script::Mistake;

/// How a scenario went.
#[derive(Debug)]
pub(crate) struct Report {
    /// What happened, line by line.
    pub(crate) output: String,
    /// How it ended.
    pub(crate) end: End,
}

/// How a scenario ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Every expectation held.
    Held {
        /// How many there were.
        expectations: usize,
    },
    /// Something was not as expected.
    Failed(Failed),
    /// A line cannot be carried out.
    Mistaken(Mistake),
}

/// Something that was not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failed {
    /// The line at which it showed, from 1.
    pub(crate) line: usize,
    /// What was expected, and what was seen.
    pub(crate) text: String,
}

/// Why a scenario does not go on.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stop {
    Failed(Failed),
    Mistaken(Mistake),
}

/// Runs a scenario.
pub(crate) fn run(text: &str) -> Report {
    let mut output = String::new();
    let end = match script::parse(text) {
        Err(mistake) => End::Mistaken(mistake),
        Ok(lines) => match carry_out(&lines, &mut output) {
            Ok(()) => {
                let expectations = lines.iter().filter(|line| matches!(line.command, Command::Expect(_))).count();
                End::Held { expectations }
            }
            Err(Stop::Failed(failed)) => {
                // Writing to a string cannot fail.
                let _ = writeln!(output, "FAILED line {}: {}", failed.line, failed.text);
                End::Failed(failed)
            }
            Err(Stop::Mistaken(mistake)) => End::Mistaken(mistake),
        },
    };
    Report { output, end }
}

fn carry_out(lines: &[script::Line], output: &mut String) -> Result<(), Stop> {
    let mut trace = false;
    let mut live: Option<Group> = None;
    for line in lines {
        if let Command::Group(setting) = &line.command {
            finish(live.take(), line.number - 1, output)?;
            // Writing to a string cannot fail.
            let _ = writeln!(output, "> {}", line.text);
            live = Some(Group::new(setting, trace));
            continue;
        }
        let _ = writeln!(output, "> {}", line.text);
        match (&line.command, &mut live) {
            (Command::Trace(on), group) => {
                trace = *on;
                if let Some(group) = group {
                    group.trace = trace;
                }
            }
            (_, Some(group)) => {
                let done = group.carry_out(line);
                output.push_str(&group.take_output());
                done?;
            }
            // The parser lets no other command come before a group.
            (_, None) => {}
        }
    }
    finish(live, lines.last().map_or(0, |line| line.number), output)
}

fn finish(group: Option<Group>, line: usize, output: &mut String) -> Result<(), Stop> {
    let Some(mut group) = group else { return Ok(()) };
    let done = group.finish(line);
    output.push_str(&group.take_output());
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> End {
        let report = run(text);
        // Shown by a test that fails.
        println!("{}", report.output);
        report.end
    }

    fn failure(text: &str) -> String {
        let end = end(text);
        let End::Failed(failed) = end else { panic!("it should have failed: {end:?}") };
        format!("{}: {}", failed.line, failed.text)
    }

    #[test]
    fn an_expectation_that_does_not_hold_says_what_was_seen() {
        let text = failure("group g\nrotate\nrun\nexpect phase drain\n");
        assert_eq!(text, "4: expected phase drain, saw propagate");
        let text =
            failure("group g consumers=web,worker\nrotate\nrun\nconsumer worker loads\nrun\nexpect waiting worker\n");
        assert_eq!(text, "6: expected waiting worker, saw consumer web");
        let text = failure("group g\nexpect refused 1\n");
        assert_eq!(text, "2: expected refused 1, saw that the target accepts it");
    }

    #[test]
    fn harm_that_no_line_expects_fails_the_scenario() {
        let hurt = "group g autoload=off\nrotate\nrun\nforce\nforce\nrun\n";
        let text = failure(hurt);
        assert!(text.contains("web"), "{text}");
        assert_eq!(end(&format!("{hurt}expect harm web\n")), End::Held { expectations: 1 });
        let text = failure("group g\nrotate\nexpect harm web\n");
        assert!(text.starts_with("3: "), "{text}");
    }

    #[test]
    fn a_crash_that_never_comes_fails_the_scenario() {
        let text = failure("group g\ncrash after release\nrotate\nrun until done\n");
        assert!(text.contains("crash after release"), "{text}");
    }

    #[test]
    fn what_the_file_names_must_be_there() {
        for text in [
            "group g\nconsumer ghost loads\n",
            "group g\nstore b down\n",
            "group g\narrive\n",
            "group g\nwait 3650d\n",
            "group g\nexpect not waiting ghost\n",
            "group g\nexpect refused 2\n",
            "group g\nexpect harm ghost\n",
            "group g\nexpect store b nothing\n",
        ] {
            assert!(matches!(end(text), End::Mistaken(Mistake { line: 2, .. })), "{text}");
        }
    }

    #[test]
    fn two_runs_of_one_scenario_are_alike() {
        let text = "group g stores=a,b consumers=web,job\nrotate\nrun until done\nstatus\n";
        assert_eq!(run(text).output, run(text).output);
    }
}
