//! The explorer's worlds: clean with all rules, harmed without any one of them.
use handover_core::Slots;
use handover_testkit::explorer::{Mutation, Size, explore};

fn worlds() -> Vec<Size> {
    let small = Size::small;
    vec![
        Size { rotations: 3, rollbacks: 3, late_loads: true, ..small("three in a row") },
        Size { stores: 2, consumers: 2, rotations: 2, rollbacks: 2, ..small("two of each") },
        Size { stores: 2, consumers: 2, rotations: 2, rollbacks: 1, late_loads: true, ..small("late loads") },
        Size { executors: 3, rotations: 2, rollbacks: 2, ..small("three executors") },
        Size { slots: Slots::Fresh, rotations: 3, rollbacks: 2, ..small("fresh") },
        Size {
            slots: Slots::Fixed(3),
            consumers: 2,
            rotations: 2,
            supersedes: 1,
            rollbacks: 2,
            deaths: true,
            ..small("supersede")
        },
        Size {
            slots: Slots::Fresh,
            consumers: 2,
            rotations: 3,
            supersedes: 2,
            rollbacks: 3,
            deaths: true,
            ..small("supersede fresh")
        },
        Size { consumers: 2, rotations: 2, rollbacks: 2, rejections: 3, ..small("rejects") },
        Size { consumers: 2, rotations: 2, rollbacks: 1, holds: 2, ..small("holds") },
        Size {
            consumers: 2,
            rotations: 2,
            rollbacks: 1,
            liar: true,
            old_sessions: true,
            deaths: true,
            ..small("liar")
        },
        Size { consumers: 1, rotations: 2, rollbacks: 1, old_sessions: true, clock: true, ..small("clock") },
        Size { consumers: 2, rotations: 2, rollbacks: 1, deaths: true, excused: false, forces: true, ..small("forces") },
    ]
}

#[test]
fn small() {
    for size in worlds() {
        let report = explore(&size, None, 6_000_000);
        println!(
            "{} states {} steps {} {:?} cut {}",
            report.world, report.states, report.steps, report.took, report.cut_short
        );
        if let Some((harm, trace)) = report.found {
            println!("{harm:?}\n{}", trace[..trace.len()-1].join("\n"));
        }
    }
}
#[test]
fn mutations() {
    for mutation in Mutation::ALL {
        print!("{mutation:?}: ");
        let mut any = false;
        for size in worlds() {
            let report = explore(&size, Some(mutation), 1_500_000);
            if let Some((harm, trace)) = report.found {
                any = true;
                println!(" {} {harm:?} states {} steps to it {}", report.world, report.states, trace.len());
                break;
            }
        }
        if !any {
            println!("NOT FOUND");
        }
    }
}
