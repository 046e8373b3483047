//! An executor that stands still before a write, is overtaken by a second controller, and then goes on: its write comes
//! late. With the fences nothing follows; with one of them switched off, harm does, and the judges must find it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use handover_testkit::servers::random_hex;

use crate::crew::Crew;
use crate::faults::Faults;
use crate::fleet::{Fleet, GROUPS};

/// How long the first controller may take to come to the point, or to make its write afterwards.
const POINT_PATIENCE: Duration = Duration::from_secs(10);
/// How long harm may take to show.
const HARM_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is tried to have a controller overtaken.
pub(crate) const TRIES_MAX: usize = 3;
/// How often the judge looks at a group to which nothing may have happened.
const LOOKS: usize = 20;

/// A write that comes late.
#[derive(Clone, Copy)]
pub(crate) struct Late {
    what: &'static str,
    /// The effect before which the first controller stands still.
    effect: &'static str,
    /// How many rotations the second one begins and ends until the slot, or the pointer, serves another generation.
    rotations: usize,
}

/// How the controller calls itself at PostgreSQL.
const OUR_NAME: &str = "handover ";

/// What the mark of a slot refuses.
const SLOT: [Late; 3] = [
    Late { what: "a late disable", effect: "refuse", rotations: 1 },
    Late { what: "a late value", effect: "accept", rotations: 2 },
    Late { what: "a late destroy", effect: "destroy", rotations: 1 },
];

/// What the version of a store refuses.
const STORE: [Late; 1] = [Late { what: "a late pointer", effect: "point", rotations: 1 }];

/// All that a random run may do.
pub(crate) const ALL: [Late; 4] = [SLOT[0], SLOT[1], SLOT[2], STORE[0]];

/// A late write that the fence refuses does no harm; without the fence each kind does, in a group of its own.
pub(crate) fn harm_without(
    fence: &str,
    fleet: &Fleet,
    crew: &Crew,
    faults: &Faults,
    handle: &tokio::runtime::Handle,
) -> ExitCode {
    let kinds: &[Late] = if fence == "slot" { &SLOT } else { &STORE };
    let off = [("HANDOVER_WITHOUT_FENCE", fence)];
    let mut good = true;
    // With the fence, one stands for all: the soak does the others.
    let rounds = [(&kinds[..1], &[][..], false), (kinds, &off[..], true)];
    for (kinds, environment, wanted) in rounds {
        for (index, late) in kinds.iter().enumerate() {
            let mut came = Ok(false);
            for _ in 0..TRIES_MAX {
                came = happens(late, fleet, faults, GROUPS[index], environment);
                if came != Ok(false) {
                    break;
                }
            }
            let harmed = match came {
                Ok(true) => is_harmed(fleet, crew, handle, index, wanted),
                Ok(false) => Err(format!("nobody was overtaken before {}", late.effect)),
                Err(error) => Err(error),
            };
            let with = if wanted { "without" } else { "with" };
            let found = match &harmed {
                Ok(true) => "harm",
                Ok(false) => "no harm",
                Err(error) => error,
            };
            println!("{} in group {}, {with} the fence of the {fence}: {found}", late.what, GROUPS[index]);
            good &= harmed == Ok(wanted);
        }
    }
    good &= crew.findings.all_harm().iter().all(|what| kinds.iter().zip(GROUPS).any(|(_, group)| what.contains(group)));
    if good { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// The first controller stands still before the write, is overtaken, and makes it late; then it is killed, and the second
/// one is in charge. Whether it came to the point, and there was a successor.
pub(crate) fn happens(
    late: &Late,
    fleet: &Fleet,
    faults: &Faults,
    group: &'static str,
    environment: &[(&str, &str)],
) -> Result<bool, String> {
    let trace = fleet.rig.path(&format!("trace-{}", random_hex(8).map_err(|error| error.to_string())?));
    let (point, traced) = (format!("before:{}#1=stop", late.effect), trace.display().to_string());
    let mut first = vec![("HANDOVER_FAULT_POINT", point.as_str()), ("HANDOVER_FAULT_TRACE", traced.as_str())];
    first.extend(environment);
    faults.start_anew(&first);
    faults.order_meanwhile("rotate", group);
    if !within(POINT_PATIENCE, || stands_still(fleet)) {
        return Ok(false);
    }
    if let Err(error) = fleet.be_succeeded(environment) {
        // One that stands still in the middle of a transaction of another group keeps the files locked.
        println!("not overtaken: {error}");
        return Ok(false);
    }
    for rotation in 0..=late.rotations {
        if rotation > 0 {
            faults.order("rotate", group);
        }
        if let Err(error) = fleet.group_comes_to_rest(group) {
            let sessions = fleet.sessions(group);
            // One that stands still in the middle of a login is a user of what retires, and is waited for.
            if sessions.iter().any(|session| session.starts_with(OUR_NAME)) {
                println!("not overtaken: who stands still is logged in: {sessions:?}");
                return Ok(false);
            }
            return Err(format!("{error}; sessions: {sessions:?}"));
        }
    }
    fleet.rig.stand_still(false);
    let written = format!("after:{}", late.effect);
    let came = within(POINT_PATIENCE, || {
        std::fs::read_to_string(&trace).is_ok_and(|names| names.lines().any(|name| name == written))
    });
    fleet.rig.kill();
    if came { Ok(true) } else { Err(format!("the overtaken controller never came to {written}")) }
}

/// Whether what the store publishes for a group is refused. Where harm is wanted it is waited for.
fn is_harmed(
    fleet: &Fleet,
    crew: &Crew,
    handle: &tokio::runtime::Handle,
    index: usize,
    wanted: bool,
) -> Result<bool, String> {
    let harmed = || {
        let words = format!("publishes for {} ", GROUPS[index]);
        crew.findings.all_harm().iter().any(|what| what.contains(&words))
    };
    let (limit, samples) = (Instant::now() + HARM_PATIENCE, || crew.findings.samples());
    let before = samples();
    while !harmed() && (wanted || samples() < before + LOOKS as u64) {
        handle.block_on(crew.sample(fleet, index));
        if Instant::now() > limit {
            return if wanted { Ok(false) } else { Err("the judge could not look".to_owned()) };
        }
    }
    Ok(harmed())
}

/// Whether the first controller's process is stopped.
fn stands_still(fleet: &Fleet) -> bool {
    let stat = fleet.rig.pid().and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stat.is_some_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
}

fn within(patience: Duration, holds: impl Fn() -> bool) -> bool {
    let limit = Instant::now() + patience;
    while !holds() {
        if Instant::now() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
