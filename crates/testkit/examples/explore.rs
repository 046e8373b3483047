//! The explorer by hand: `cargo run --release -p handover-testkit --example explore -- [--long] [--states-max N] [WORD…]`.
//!
//! Without `--long`, the worlds of CI; with it, the large ones. With words, those worlds whose names contain one of
//! them. It prints a line for each world, ends with 1 at the first harm, which it prints step by step, and with 2 where
//! a world had more states than the limit, since then nothing was proved.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints what it finds")]

use std::process::ExitCode;

use handover_testkit::explorer::{explore, large_worlds, worlds};

/// More than any world has; a state takes about 100 bytes, and some kilobytes while it waits to be opened.
const STATES_MAX: usize = 60_000_000;

fn main() -> ExitCode {
    let (mut long, mut states_max, mut words) = (false, STATES_MAX, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => long = true,
            "--states-max" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number) => states_max = number,
                None => return refuse("--states-max wants a number"),
            },
            option if option.starts_with("--") => return refuse("the options are --long and --states-max N"),
            word => words.push(word.to_owned()),
        }
    }
    let all = if long { large_worlds() } else { worlds() };
    let named = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let mut explored = 0;
    for size in all.iter().filter(|size| named(size.name)) {
        let report = explore(size, None, states_max);
        println!("{report}");
        explored += 1;
        if let Some((_, trace)) = report.found {
            println!("{}", trace.join("\n"));
            return ExitCode::from(1);
        }
        if report.cut_short {
            return refuse("there are more states than --states-max: nothing was proved");
        }
    }
    if explored == 0 { refuse("no world has such a name") } else { ExitCode::SUCCESS }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}
