//! Waves as a scenario writes them: `wave=10%:1m`, `wave=2:1m`, `wave=web+api:1m`; the time may be left out.

use std::time::Duration;

use handover_core::{Picked, Wave};

use super::script::{Wrong, consumer, duration, number};

pub(super) fn wave(value: &str) -> Result<Wave, Wrong> {
    let (members, soak) = match value.split_once(':') {
        Some((members, soak)) => (members, duration(soak)?),
        None => (value, Duration::ZERO),
    };
    let members = match members.strip_suffix('%') {
        Some(percent) => Picked::Percent(number(percent, 0..=100)?),
        None if members.starts_with(|c: char| c.is_ascii_digit()) => Picked::Count(number(members, 0..=1_000)?),
        None => Picked::Named(members.split('+').map(consumer).collect::<Result<_, _>>()?),
    };
    Ok(Wave { members, soak })
}
