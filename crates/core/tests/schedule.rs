//! When groups are due, with a calendar made of arithmetic.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use handover_core::schedule::{
    Agenda, Cadence, Due, LATE_MAX, Missed, Occurrences, Opening, Openings, Repeats, Schedule, closed_window,
    needs_opening,
};
use handover_core::{Blocker, GroupId, Phase, Row, Timestamp};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// At this hour of each day.
#[derive(Debug)]
struct Daily(i64);

impl Occurrences for Daily {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let at = self.0 * HOUR;
        Some(Timestamp((after.0 - at).div_euclid(DAY) * DAY + DAY + at))
    }
}

/// From one hour of each day to another.
#[derive(Debug)]
struct Hours(i64, i64);

impl Openings for Hours {
    fn at(&self, now: Timestamp) -> Opening {
        let (day, hour) = (now.0.div_euclid(DAY), now.0.rem_euclid(DAY));
        let at = |day: i64, hour: i64| Some(Timestamp(day * DAY + hour * HOUR));
        if hour < self.0 * HOUR {
            Opening::Closed { until: at(day, self.0) }
        } else if hour < self.1 * HOUR {
            Opening::Open { until: at(day, self.1) }
        } else {
            Opening::Closed { until: at(day + 1, self.0) }
        }
    }
}

fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

fn repeating(repeats: Repeats) -> Schedule {
    Schedule { repeats, openings: None, spread: Duration::ZERO, jitter: Duration::ZERO, missed: Missed::RunOnce }
}

fn every(hours: u64) -> Schedule {
    repeating(Repeats::Every(Duration::from_secs(hours * 3_600)))
}

fn daily(hour: i64) -> Schedule {
    repeating(Repeats::At(Arc::new(Daily(hour))))
}

/// `(planned, start)` in hours.
fn due(schedule: &Schedule, since: i64, now: i64) -> Option<(i64, i64)> {
    let due = schedule.due(&group("app"), Timestamp(since * HOUR), Timestamp(now * HOUR))?;
    Some((due.planned_at.0 / HOUR, due.start_at.0 / HOUR))
}

#[test]
fn an_interval_counts_from_the_last_start_and_times_from_after_it() {
    assert_eq!(due(&every(10), 5, 6), Some((15, 15)));
    assert_eq!(due(&every(10), 5, 99), Some((15, 15)), "however late: it was planned for then");
    assert_eq!(due(&daily(2), 5, 6), Some((26, 26)));
    assert_eq!(due(&daily(2), 26, 26), Some((50, 50)), "one that started on time is not due again");
    assert_eq!(due(&repeating(Repeats::Never), 5, 6), None);
}

#[test]
fn what_was_missed_runs_once_or_is_left_out() {
    let skip = Schedule { missed: Missed::Skip, ..daily(2) };
    // Off for a month.
    assert_eq!(due(&daily(2), 2, 24 * 30 + 12), Some((26, 26)), "the most late is known by its first planned time");
    assert_eq!(due(&skip, 2, 24 * 30 + 12), Some((24 * 31 + 2, 24 * 31 + 2)));
    assert_eq!(due(&skip, 2, 24 * 30 + 3), Some((24 * 30 + 2, 24 * 30 + 2)), "not yet an hour late");
    let skip = Schedule { missed: Missed::Skip, ..every(10) };
    assert_eq!(due(&skip, 0, 35), Some((40, 40)), "it keeps its beat");
    assert_eq!(due(&skip, 0, 40), Some((40, 40)));
    assert_eq!(LATE_MAX, Duration::from_secs(3_600));
}

#[test]
fn a_start_waits_for_a_window_and_counts_as_late_from_its_planned_time() {
    let windowed = |schedule: Schedule| Schedule { openings: Some(Arc::new(Hours(3, 5))), ..schedule };
    assert_eq!(due(&windowed(daily(2)), 1, 1), Some((2, 3)));
    assert_eq!(due(&windowed(daily(4)), 1, 1), Some((4, 4)));
    assert_eq!(due(&windowed(daily(4)), 1, 6), Some((4, 27)), "missed today's: tomorrow's");
    assert_eq!(due(&windowed(daily(4)), 1, 28), Some((4, 4)), "in the window it may start at once");
    let skip = Schedule { missed: Missed::Skip, ..windowed(daily(6)) };
    assert_eq!(due(&skip, 1, 20), Some((6, 27)), "waiting for a window is not being late");
}

/// F62: a clock that was ahead delays by one interval at the most, however far it was ahead.
#[test]
fn a_schedule_is_not_lost_with_a_clock_that_was_ahead() {
    assert_eq!(due(&every(10), 12, 5), Some((22, 22)), "an hour or so ahead: that much later");
    assert_eq!(due(&every(10), 100_000, 5), Some((5, 5)), "years ahead: now");
    assert_eq!(due(&daily(2), 100_000, 5), Some((26, 26)));
    for ahead in 0..200 {
        let (planned, _) = due(&every(10), 5 + ahead, 5).unwrap();
        assert!(planned <= 5 + 2 * 10, "{ahead} hours ahead: {planned}");
    }
}

#[test]
fn a_fleet_is_spread_and_the_same_group_lies_at_the_same_place() {
    let spread = Schedule { spread: Duration::from_secs(6 * 3_600), ..daily(2) };
    let starts = |schedule: &Schedule, since: i64| -> Vec<i64> {
        let starts = (0..1_000).map(|number| {
            let (group, at) = (group(&format!("group-{number}")), Timestamp(since * HOUR));
            schedule.due(&group, at, at).unwrap().start_at.0 - schedule.due(&group, at, at).unwrap().planned_at.0
        });
        starts.collect()
    };
    let (one, other) = (starts(&spread, 2), starts(&spread, 26));
    assert_eq!(one, other, "each day at the same place");
    let mut in_each_hour: BTreeMap<i64, usize> = BTreeMap::new();
    for start in &one {
        *in_each_hour.entry(start / HOUR).or_default() += 1;
    }
    assert_eq!(in_each_hour.len(), 6);
    assert!(in_each_hour.values().all(|count| (100..=240).contains(count)), "{in_each_hour:?}");
    let jitter = Schedule { jitter: Duration::from_secs(3_600), ..daily(2) };
    let (one, other) = (starts(&jitter, 2), starts(&jitter, 26));
    assert_ne!(one, other, "each day at another place");
    assert!(one.iter().chain(&other).all(|start| (0..HOUR).contains(start)));
}

#[test]
fn what_is_coming_is_told_in_order() {
    let windowed = Schedule { openings: Some(Arc::new(Hours(3, 5))), ..every(30) };
    let coming = windowed.upcoming(&group("app"), Timestamp(0), Timestamp(HOUR), Timestamp(10 * DAY), 3);
    let hours: Vec<_> = coming.iter().map(|due| (due.planned_at.0 / HOUR, due.start_at.0 / HOUR)).collect();
    // Each counts from when the one before it may start.
    assert_eq!(hours, [(30, 51), (81, 99), (129, 147)]);
    let none = windowed.upcoming(&group("app"), Timestamp(0), Timestamp(HOUR), Timestamp(DAY), 3);
    assert_eq!(none, []);
}

#[test]
fn a_rotation_starts_the_count_and_nothing_else_does() {
    let row = at_rest();
    assert_eq!(row.counted_from(), None, "a row that never said it, and never rotated");
    let begun = started(&plan());
    assert_eq!(begun.cadence, Cadence { since: Some(Timestamp(0)), paused: false, retries: 0 });
    let paused = Row { cadence: Cadence { paused: true, ..row.cadence }, ..row };
    let begun = handover_core::start(&paused, &plan(), Timestamp(7)).unwrap();
    assert_eq!(begun.cadence, Cadence { since: Some(Timestamp(7)), paused: true, retries: 0 }, "it stays paused");
    let ended = rows(&plan(), usize::MAX).pop().unwrap();
    assert_eq!(ended.counted_from(), Some(Timestamp(0)), "from the start of the rotation, not from its end");
    let before = Row { cadence: Cadence::default(), ..ended };
    assert_eq!(before.counted_from(), Some(Timestamp(25_000)), "a row of before: when its rotation ended");
}

/// F65: both generations are valid up to Drain, and only the steps that take one away need a window.
#[test]
fn only_what_takes_a_generation_away_needs_a_window() {
    let rows = rows(&plan(), usize::MAX);
    let gated: Vec<&str> = rows
        .windows(2)
        .filter(|pair| needs_opening(&pair[0], &pair[1]))
        .map(|pair| {
            if matches!(pair[1].rotation.as_ref().unwrap().phase, Phase::Destroy { .. }) {
                "destroy"
            } else {
                "disable"
            }
        })
        .collect();
    assert_eq!(gated, ["disable", "destroy"]);
    let windowed = Schedule { openings: Some(Arc::new(Hours(3, 5))), ..every(30) };
    let told: Vec<_> = rows.iter().filter_map(|row| closed_window(row, &windowed, Timestamp(0))).collect();
    let window = Blocker::Window { opens_at: Some(Timestamp(3 * HOUR)) };
    assert!(!told.is_empty() && told.iter().all(|blocker| *blocker == window), "{told:?}");
    assert!(rows.iter().all(|row| closed_window(row, &windowed, Timestamp(4 * HOUR)).is_none()));
}

/// F66: of many that are late, those come first that were planned first.
#[test]
fn an_agenda_gives_what_is_due_in_order_and_forgets_nothing() {
    let mut agenda = Agenda::default();
    let mut expected: BTreeMap<GroupId, Due> = BTreeMap::new();
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((seed >> 33) % below).unwrap()
    };
    for step in 0..5_000 {
        let (name, now) = (group(&format!("g{}", random(60))), Timestamp(step));
        match random(5) {
            0 => {
                agenda.set(&name, None);
                expected.remove(&name);
            }
            1..4 => {
                let planned_at = Timestamp(step + random(50) - 25);
                let due = Due { planned_at, start_at: planned_at.max(Timestamp(step + random(20))) };
                agenda.set(&name, Some(due));
                expected.insert(name, due);
            }
            _ => {
                agenda.ripen(now);
                let ready = || expected.iter().filter(|(_, due)| due.start_at <= now);
                let first = ready().min_by_key(|(group, due)| (due.planned_at, (*group).clone()));
                let first = first.map(|(group, due)| (group.clone(), *due));
                assert_eq!(agenda.late(), (ready().count(), first.as_ref().map(|(_, due)| due.planned_at)));
                let waiting = expected.values().filter(|due| due.start_at > now).map(|due| due.start_at).min();
                assert_eq!(agenda.wake_at(), waiting);
                assert_eq!(agenda.take(), first);
                if let Some((group, _)) = first {
                    expected.remove(&group);
                }
            }
        }
        assert_eq!(agenda.len(), expected.len());
    }
}
