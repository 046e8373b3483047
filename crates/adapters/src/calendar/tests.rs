use handover_core::schedule::{Occurrences, Opening, Openings};
use proptest::prelude::*;

use super::*;

fn berlin() -> Zone {
    Zone::parse("Europe/Berlin").unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn told(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap().to_string()
}

fn cron(text: &str, from: &str, count: usize) -> Vec<String> {
    let times = CronTimes::parse(text, berlin()).unwrap();
    let mut found = Vec::new();
    let mut after = at(from);
    while found.len() < count {
        after = times.next(after).unwrap();
        found.push(told(after));
    }
    found
}

fn windows(windows: &[&str], blackouts: &[&str]) -> Windows {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Windows::parse(&owned(windows), &owned(blackouts), berlin()).unwrap()
}

/// Clocks in Berlin go from 02:00 to 03:00 on 2027-03-28, at 01:00 UTC.
#[test]
fn a_time_that_clocks_leave_out_means_the_moment_of_the_change() {
    assert_eq!(
        cron("30 2 * * *", "2027-03-26T12:00:00Z", 4),
        ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z", "2027-03-30T00:30:00Z"]
    );
    assert_eq!(cron("*/20 2 * * *", "2027-03-27T12:00:00Z", 2), ["2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"]);
}

/// They go back from 03:00 to 02:00 on 2027-10-31, at 01:00 UTC.
#[test]
fn a_time_that_comes_twice_means_the_first() {
    assert_eq!(cron("30 2 * * *", "2027-10-30T12:00:00Z", 2), ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]);
    // Also for who looks from between the two.
    assert_eq!(cron("30 2 * * *", "2027-10-31T01:10:00Z", 1), ["2027-11-01T01:30:00Z"]);
    assert_eq!(cron("15 3 * * *", "2027-10-31T01:10:00Z", 1), ["2027-10-31T02:15:00Z"]);
}

#[test]
fn days_of_months_and_weeks_are_read() {
    assert_eq!(cron("0 9 L * *", "2026-12-30T12:00:00Z", 2), ["2026-12-31T08:00:00Z", "2027-01-31T08:00:00Z"]);
    assert_eq!(cron("0 9 * * mon#1", "2026-12-30T12:00:00Z", 1), ["2027-01-04T08:00:00Z"]);
    assert_eq!(cron("0 9 29 2 *", "2026-12-30T12:00:00Z", 1), ["2028-02-29T08:00:00Z"]);
}

#[test]
fn a_window_opens_and_closes_by_clocks_there() {
    let sunday = windows(&["sun 02:00-05:00"], &[]);
    assert_eq!(sunday.at(at("2027-01-02T12:00:00Z")), Opening::Closed { until: Some(at("2027-01-03T01:00:00Z")) });
    assert_eq!(sunday.at(at("2027-01-03T01:00:00Z")), Opening::Open { until: Some(at("2027-01-03T04:00:00Z")) });
    assert_eq!(sunday.at(at("2027-01-03T04:00:00Z")), Opening::Closed { until: Some(at("2027-01-10T01:00:00Z")) });
    // In spring it is an hour shorter, in autumn an hour longer.
    assert_eq!(sunday.at(at("2027-03-28T00:59:59Z")), Opening::Closed { until: Some(at("2027-03-28T01:00:00Z")) });
    assert_eq!(sunday.at(at("2027-03-28T01:00:00Z")), Opening::Open { until: Some(at("2027-03-28T03:00:00Z")) });
    assert_eq!(sunday.at(at("2027-10-31T00:30:00Z")), Opening::Open { until: Some(at("2027-10-31T04:00:00Z")) });
}

#[test]
fn a_window_may_go_over_midnight_and_touch_the_next() {
    let night = windows(&["fri 22:00-03:00"], &[]);
    assert_eq!(night.at(at("2027-01-01T23:30:00Z")), Opening::Open { until: Some(at("2027-01-02T02:00:00Z")) });
    let whole = windows(&["sat,sun", "mon 00:00-02:00"], &[]);
    assert_eq!(whole.at(at("2027-01-02T12:00:00Z")), Opening::Open { until: Some(at("2027-01-04T01:00:00Z")) });
    let always = windows(&["00:00-12:00", "12:00-24:00"], &[]);
    assert_eq!(always.at(at("2027-01-02T12:00:00Z")), Opening::Open { until: None });
}

#[test]
fn blackout_dates_close_what_is_open() {
    let frozen = windows(&["02:00-05:00"], &["2026-12-20..2027-01-05", "2027-01-07"]);
    assert_eq!(frozen.at(at("2026-12-25T02:00:00Z")), Opening::Closed { until: Some(at("2027-01-06T01:00:00Z")) });
    assert_eq!(frozen.at(at("2027-01-06T05:00:00Z")), Opening::Closed { until: Some(at("2027-01-08T01:00:00Z")) });
    let only = windows(&[], &["2026-12-20..2027-01-05"]);
    assert_eq!(only.at(at("2026-12-01T00:00:00Z")), Opening::Open { until: Some(at("2026-12-19T23:00:00Z")) });
    assert_eq!(only.at(at("2026-12-24T00:00:00Z")), Opening::Closed { until: Some(at("2027-01-05T23:00:00Z")) });
    assert_eq!(only.at(at("2027-02-01T00:00:00Z")), Opening::Open { until: None });
}

#[test]
fn what_is_no_window_and_no_date_is_refused_by_its_place() {
    let parse = |window: &str, blackout: &str| {
        Windows::parse(&["sun".to_owned(), window.to_owned()], &[blackout.to_owned()], berlin()).unwrap_err()
    };
    for bad in [
        "",
        "sun 2-4",
        "sun 02:00",
        "someday 02:00-04:00",
        "02:00-02:00",
        "sun 02:00-25:00",
        "sun 02:00-04:00 x",
        "sun mon",
    ] {
        assert_eq!(parse(bad, "2026-12-24"), BadCalendar::Window(1), "{bad:?}");
    }
    for bad in ["", "2026-12", "24.12.2026", "2026-12-24..", "2027-01-05..2026-12-20", "2026-13-01", "2026-12-24T00:00"]
    {
        assert_eq!(parse("mon", bad), BadCalendar::Blackout(0), "{bad:?}");
    }
    assert_eq!(Zone::parse("Europe/Berln"), Err(BadCalendar::Zone));
    assert!(Zone::names().iter().any(|name| name == "Europe/Berlin"));
    assert_eq!(CronTimes::parse("0 0 30 2 *", berlin()).unwrap_err(), BadCalendar::Never);
}

fn zones() -> impl Strategy<Value = &'static str> {
    // Half an hour of summer time, a day that was left out, none at all, and both halves of the world.
    prop::sample::select(vec![
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kolkata",
        "America/Santiago",
        "UTC",
    ])
}

/// From 2010 to 2040.
fn moments() -> impl Strategy<Value = Timestamp> {
    (1_262_304_000_000_i64..2_208_988_800_000).prop_map(Timestamp)
}

/// Samoa left out the 30th of December 2011.
#[test]
fn a_time_of_a_date_that_was_left_out_comes_as_the_next_date_begins() {
    let zone = Zone::parse("Pacific/Apia").unwrap();
    let times = CronTimes::parse("30 2 * * *", zone.clone()).unwrap();
    let from = zone.instant(jiff::civil::date(2011, 12, 29).at(12, 0, 0, 0)).unwrap();
    let first = times.next(from).unwrap();
    let shown = |at| zone.local(at).unwrap().to_string();
    let second = times.next(first).unwrap();
    assert_eq!([shown(first), shown(second)], ["2011-12-31T00:00:00", "2011-12-31T02:30:00"]);
}

proptest! {
    #[test]
    fn a_daily_time_comes_once_on_each_date(zone in zones(), from in moments(), hour in 0..24_i8, minute in 0..60_i8) {
        let zone = Zone::parse(zone).unwrap();
        let times = CronTimes::parse(&format!("{minute} {hour} * * *"), zone.clone()).unwrap();
        let (mut after, mut skipped) = (from, false);
        for _ in 0..40 {
            let next = times.next(after).unwrap();
            prop_assert!(next > after);
            // Nothing lies between: whoever looks a moment before finds the same.
            prop_assert_eq!(times.next(Timestamp(next.0 - 1)), Some(next));
            let local = zone.local(next).unwrap();
            // The whole date was left out: its time comes as the next date begins, and then that one's own.
            let of_yesterday = local.date().yesterday().unwrap().at(hour, minute, 0, 0);
            let was_skipped = std::mem::replace(&mut skipped, zone.instant(of_yesterday) == Some(next));
            let hours = (next.0 - after.0) / 3_600_000;
            let regular = after != from && !was_skipped && !skipped;
            prop_assert!(!regular || (22..=50).contains(&hours), "{} hours", hours);
            let wanted = (hour, minute);
            let shown = (local.hour(), local.minute());
            let gap = zone.instant(local.date().at(hour, minute, 0, 0)) == Some(next);
            prop_assert!(shown == wanted || gap || skipped, "{} shows {:?}", local, shown);
            after = next;
        }
    }

    #[test]
    fn a_window_changes_when_it_says_and_not_before(zone in zones(), from in moments(), begin in 0..24, length in 1..24) {
        let end = (begin + length) % 24;
        let window = format!("mon,wed-fri {begin:02}:00-{end:02}:00");
        let windows = Windows::parse(&[window], &["2026-01-01..2026-03-01".to_owned()], Zone::parse(zone).unwrap()).unwrap();
        let is_open = |at| matches!(windows.at(at), Opening::Open { .. });
        let (open, until) = match windows.at(from) {
            Opening::Open { until } => (true, until.unwrap()),
            Opening::Closed { until } => (false, until.unwrap()),
        };
        prop_assert!(until > from);
        prop_assert_eq!(is_open(until), !open);
        prop_assert_eq!(is_open(Timestamp(until.0 - 1)), open);
        for part in 1..20 {
            let between = Timestamp(from.0 + (until.0 - from.0) / 20 * part);
            prop_assert_eq!(is_open(between), open, "at {:?}", between);
        }
    }
}
