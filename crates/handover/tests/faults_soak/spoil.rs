//! The judges judged: harm is done, and must be found. What is done is what a write from an earlier step would do if the
//! target let it through, which the marks of the slots prevent.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use handover_testkit::servers::random_hex;

use crate::crew::Crew;
use crate::fleet::{Fleet, GROUPS};

const PATIENCE: Duration = Duration::from_secs(60);

/// Each kind of harm in a group of its own; whether each was found there, by the judge and by a consumer.
pub(crate) fn found_each(fleet: &Fleet, crew: &Crew, handle: &tokio::runtime::Handle) -> ExitCode {
    let before = crew.findings.all_harm();
    if !before.is_empty() {
        println!("before any harm was done, this was found: {before:?}");
        return ExitCode::from(1);
    }
    let kinds = [
        ("a late disable", "NOLOGIN".to_owned()),
        ("a late value", format!("PASSWORD '{}'", random_hex(32).unwrap())),
        ("a late destroy", "NOLOGIN PASSWORD NULL".to_owned()),
    ];
    let mut all = true;
    for (index, (what, change)) in kinds.into_iter().enumerate() {
        let slot = fleet.status(GROUPS[index]).unwrap()["current"]["slot"].as_u64().unwrap();
        let role = &fleet.roles[index].twins[usize::try_from(slot).unwrap()];
        fleet.rig.postgres.execute("postgres", &format!("ALTER ROLE {role} {change}")).unwrap();
        let found = is_found(fleet, crew, handle, index);
        println!("{what} in group {}: {}", GROUPS[index], if found { "found" } else { "NOT FOUND" });
        all &= found;
    }
    if all { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn is_found(fleet: &Fleet, crew: &Crew, handle: &tokio::runtime::Handle, index: usize) -> bool {
    let group = GROUPS[index];
    let limit = Instant::now() + PATIENCE;
    while Instant::now() < limit {
        handle.block_on(crew.sample(fleet, index));
        let harm = crew.findings.all_harm();
        let by = |words: &str| harm.iter().any(|found| found.contains(words));
        if by(&format!("publishes for {group} ")) && by(&format!("a login of job of {group} ")) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
