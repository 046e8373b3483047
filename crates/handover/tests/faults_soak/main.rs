//! The soak: a fleet of groups rotates on a real PostgreSQL under real consumers, while the real controller is killed,
//! stopped and cut off at random. `cargo xtask faults` runs it.
//!
//! It is judged from outside: what the store publishes logs in at every look, no consumer is refused and no query of
//! one fails, what was retired does not log in, nobody rotates unasked, history verifies, no value is in clear anywhere.
//! The seed decides every choice; what it meets also depends on how fast the machine is.
#![expect(clippy::print_stdout, reason = "a program whose account is its output")]
#![expect(clippy::unwrap_used, reason = "what cannot be prepared ends the run")]

mod chance;
mod crew;
mod faults;
mod fleet;
mod overtaken;
mod spoil;
mod verdict;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::crew::Crew;
use crate::faults::Faults;
use crate::fleet::{Fleet, GROUPS};

/// How often each group is looked at by the judge, at most.
const SAMPLE_EVERY: Duration = Duration::from_millis(150);

fn main() -> ExitCode {
    let Some(Arguments { seed, minutes, harm }) = arguments() else {
        println!("use: cargo xtask faults [--seed N] [--minutes M] | --spoil | --without-fence slot|store");
        return ExitCode::from(2);
    };
    if harm.is_none() {
        println!("seed {seed}, {minutes} minutes; again: cargo xtask faults --seed {seed} --minutes {minutes}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let fleet = Arc::new(Fleet::new());
    fleet.rig.start(&[]).unwrap();
    let faults = Faults::new(Arc::clone(&fleet));
    for group in GROUPS {
        faults.order("rotate", group);
    }
    let crew = Arc::new(runtime.block_on(Crew::start(&fleet)));
    fleet.come_to_rest().unwrap();
    match &harm {
        Some(Harm::Spoil) => return spoil::found_each(&fleet, &crew, runtime.handle()),
        Some(Harm::WithoutFence(fence)) => {
            return overtaken::harm_without(fence, &fleet, &crew, &faults, runtime.handle());
        }
        None => {}
    }
    let judge = std::thread::spawn({
        let (fleet, crew, handle) = (Arc::clone(&fleet), Arc::clone(&crew), runtime.handle().clone());
        let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
        move || {
            while Instant::now() < until {
                for index in 0..GROUPS.len() {
                    handle.block_on(crew.sample(&fleet, index));
                    std::thread::sleep(SAMPLE_EVERY);
                }
            }
        }
    });
    faults.rage(Chance::new(seed), Duration::from_secs_f64(minutes * 60.0));
    judge.join().unwrap();
    let rest = faults.calm_down();
    runtime.block_on(verdict::judge(&fleet, &crew, &faults, rest));
    crew.end();
    conclude(&crew, &faults)
}

struct Arguments {
    seed: u64,
    minutes: f64,
    /// Harm, which must be found, instead of faults, which must do none.
    harm: Option<Harm>,
}

enum Harm {
    /// Done to the target directly.
    Spoil,
    /// What follows from late writes while this fence is off.
    WithoutFence(String),
}

/// Nothing where they cannot be meant.
fn arguments() -> Option<Arguments> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut read = Arguments { seed: u64::from(now.subsec_nanos()), minutes: 3.0, harm: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => read.seed = words.next()?.parse().ok()?,
            "--minutes" => read.minutes = words.next()?.parse().ok().filter(|minutes| *minutes > 0.0)?,
            "--spoil" => read.harm = Some(Harm::Spoil),
            "--without-fence" => {
                let fence = words.next().filter(|fence| ["slot", "store"].contains(&fence.as_str()))?;
                read.harm = Some(Harm::WithoutFence(fence));
            }
            _ => return None,
        }
    }
    Some(read)
}

fn conclude(crew: &Crew, faults: &Faults) -> ExitCode {
    let findings = &crew.findings;
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    println!("{} queries, {} logins with what the store publishes", count(&findings.queries), count(&findings.samples));
    println!(
        "not counted: {} failures while PostgreSQL was being restarted, {} logins that a newer publication overtook",
        count(&findings.outages),
        count(&findings.overtaken)
    );
    for (kind, times) in faults.counted() {
        println!("{times:>6} × {kind}");
    }
    let harm = findings.all_harm();
    for what in &harm {
        println!("HARM: {what}");
    }
    println!("{}", if harm.is_empty() { "no harm" } else { "HARM was found" });
    if harm.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
