//! The worlds that are explored on every run. Each is small in most ways and rich in one.

use handover_core::{Minter, Slots, Strategy};

use super::world::Size;

/// Worlds that together meet every rule, from the quickest to the slowest.
pub fn worlds() -> Vec<Size> {
    let small = Size::small;
    let beside = vec![
        Size { rotations: 4, rollbacks: 3, late_loads: true, ..small("four in a row over two slots") },
        Size { rotations: 2, restores: 1, by_hand: true, ..small("a state set back by hand") },
        Size { rotations: 2, restores: 1, ..small("a state restored") },
        Size { minter: Minter::Provider, rotations: 2, ..small("a provider that mints") },
        Size {
            minter: Minter::Provider,
            slots: Slots::Fixed(3),
            foreign: true,
            ..small("minted beside a foreign one")
        },
        Size { executors: 3, rotations: 2, rollbacks: 2, ..small("three executors") },
        Size { slots: Slots::Fresh, rotations: 3, rollbacks: 2, ..small("fresh principals") },
        Size { rotations: 2, old_sessions: true, clock: true, ..small("a clock that jumps") },
        Size { consumers: 2, rotations: 2, holds: 2, ..small("holds") },
        Size { stores: 2, consumers: 2, rotations: 2, rollbacks: 2, ..small("two stores") },
        Size { stores: 2, consumers: 2, rotations: 2, late_loads: true, ..small("late loads") },
        Size {
            consumers: 2,
            rotations: 2,
            liar: true,
            old_sessions: true,
            deaths: true,
            ..small("a liar and a death")
        },
        Size {
            slots: Slots::Fixed(3),
            consumers: 2,
            rotations: 2,
            supersedes: 1,
            rollbacks: 2,
            deaths: true,
            ..small("supersede with a third slot")
        },
        Size { consumers: 2, rotations: 2, rollbacks: 2, rejections: 3, ..small("rejected candidates") },
        Size {
            consumers: 2,
            rotations: 2,
            deaths: true,
            excused: false,
            forces: true,
            ..small("a consumer that never answers")
        },
        Size {
            slots: Slots::Fresh,
            consumers: 2,
            rotations: 3,
            supersedes: 2,
            rollbacks: 3,
            deaths: true,
            ..small("supersede with fresh principals")
        },
    ];
    beside.into_iter().chain(in_place()).chain(asking()).chain(nowhere()).chain(staged()).collect()
}

/// Worlds in which somebody, or something, is asked on the way.
fn asking() -> [Size; 4] {
    let small = Size::small;
    [
        Size { rotations: 2, forces: true, asks: true, ..small("asked") },
        Size { consumers: 2, rotations: 2, rollbacks: 1, holds: 1, emergencies: 1, ..small("an emergency") },
        Size {
            consumers: 2,
            rotations: 2,
            rollbacks: 2,
            holds: 1,
            checks: Some(2),
            ..small("checked after publishing")
        },
        Size {
            consumers: 2,
            rotations: 2,
            rollbacks: 2,
            holds: 1,
            checks: Some(1),
            late_loads: true,
            waves: true,
            ..small("two waves")
        },
    ]
}

/// Worlds without a target. Last, since the rules that hold at a target are not seen to be missed here.
fn nowhere() -> [Size; 3] {
    let small = Size::small;
    [
        Size { slots: Slots::Nowhere, rotations: 3, rollbacks: 2, late_loads: true, ..small("no target") },
        Size { slots: Slots::Nowhere, rotations: 2, clock: true, ..small("no target, and a clock that jumps") },
        Size {
            slots: Slots::Nowhere,
            stores: 2,
            consumers: 2,
            rotations: 2,
            supersedes: 1,
            rollbacks: 2,
            deaths: true,
            ..small("no target: superseded, and a death")
        },
    ]
}

/// Worlds in which a candidate is in the stores before anybody accepts it.
fn staged() -> [Size; 3] {
    let small = |name| Size { strategy: Strategy::Staged, garbles: 1, ..Size::small(name) };
    [
        Size { slots: Slots::Nowhere, stores: 2, rotations: 2, ..small("staged, without a target") },
        Size { rejections: 1, ..small("staged, and accepted beside the old one") },
        Size { slots: Slots::Fixed(1), ..small("staged, and replaced in place") },
    ]
}

/// Worlds in which one value is written over another.
fn in_place() -> [Size; 4] {
    let small = Size { strategy: Strategy::Immediate, slots: Slots::Fixed(1), ..Size::small("replaced in place") };
    [
        Size { rotations: 3, rollbacks: 3, rejections: 1, ..small.clone() },
        Size {
            stores: 2,
            consumers: 2,
            rotations: 2,
            supersedes: 1,
            rollbacks: 2,
            deaths: true,
            name: "superseded in place",
            ..small.clone()
        },
        Size { rotations: 2, restores: 1, by_hand: true, name: "replaced in place, and set back", ..small.clone() },
        Size { rotations: 2, restores: 1, name: "replaced in place, and restored", ..small.clone() },
    ]
}

/// Larger worlds, for a long run: much at once.
pub fn large_worlds() -> Vec<Size> {
    let small = Size::small;
    vec![
        Size {
            stores: 2,
            consumers: 2,
            rotations: 3,
            rollbacks: 3,
            rejections: 1,
            late_loads: true,
            deaths: true,
            ..small("large: two of each, three in a row")
        },
        Size {
            stores: 2,
            consumers: 2,
            rotations: 4,
            rollbacks: 3,
            rejections: 2,
            late_loads: true,
            deaths: true,
            ..small("large: two of each, four in a row")
        },
        Size {
            strategy: Strategy::Immediate,
            slots: Slots::Fixed(1),
            stores: 2,
            consumers: 2,
            rotations: 3,
            supersedes: 2,
            rollbacks: 3,
            rejections: 1,
            deaths: true,
            ..small("large: superseded in place")
        },
        Size {
            executors: 3,
            consumers: 2,
            rotations: 3,
            rollbacks: 2,
            late_loads: true,
            ..small("large: three executors")
        },
        Size {
            consumers: 2,
            rotations: 3,
            rollbacks: 2,
            holds: 1,
            old_sessions: true,
            liar: true,
            clock: true,
            ..small("large: clock, liar, old sessions")
        },
    ]
}
