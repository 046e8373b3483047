use handover_core::Timestamp;
use handover_core::schedule::{Opening, Openings};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, Weekday};

use super::{BadCalendar, Zone};

/// Times of the week in which rotations may start, and dates on which they may not.
#[derive(Debug)]
pub struct Windows {
    zone: Zone,
    /// None: all the time.
    windows: Vec<Window>,
    blackouts: Vec<Blackout>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    /// From Monday on.
    days: [bool; 7],
    from: Time,
    /// Not after `from`: on the next day.
    to: Time,
}

/// Dates, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Blackout {
    first: Date,
    last: Date,
}

/// How far ahead an opening is looked for.
const DAYS_AHEAD: i32 = 1_000;

/// Names of days, from Monday on.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Windows {
    /// Reads windows and blackout dates. Without any window, it is open on all other dates.
    pub fn parse(windows: &[String], blackouts: &[String], zone: Zone) -> Result<Self, BadCalendar> {
        let windows = windows.iter().enumerate();
        let windows = windows.map(|(index, text)| window(text).ok_or(BadCalendar::Window(index)));
        let blackouts = blackouts.iter().enumerate();
        let blackouts = blackouts.map(|(index, text)| blackout(text).ok_or(BadCalendar::Blackout(index)));
        Ok(Self { zone, windows: windows.collect::<Result<_, _>>()?, blackouts: blackouts.collect::<Result<_, _>>()? })
    }

    fn is_open(&self, at: Timestamp) -> bool {
        let Some(today) = self.zone.local(at).map(DateTime::date) else { return false };
        let within = |(from, to): (Timestamp, Timestamp)| from <= at && at < to;
        // One of yesterday may go on until today.
        let open = self.windows.is_empty()
            || [today.yesterday(), Ok(today)].into_iter().flatten().any(|day| self.on(day).any(within));
        open && !self.blackouts.iter().filter_map(|blackout| self.closed(*blackout)).any(within)
    }

    /// The windows that begin on a date.
    fn on(&self, day: Date) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0);
        self.windows.iter().filter(move |window| window.days[weekday]).filter_map(move |window| {
            let end = if window.to > window.from { day } else { day.tomorrow().ok()? };
            let from = self.zone.instant(day.to_datetime(window.from))?;
            Some((from, self.zone.instant(end.to_datetime(window.to))?))
        })
    }

    fn closed(&self, Blackout { first, last }: Blackout) -> Option<(Timestamp, Timestamp)> {
        let midnight = |day: Date| self.zone.instant(day.to_datetime(Time::midnight()));
        Some((midnight(first)?, midnight(last.tomorrow().ok()?)?))
    }

    /// The first moment after `at` from which on it is otherwise than at `at`.
    fn changes(&self, at: Timestamp) -> Option<Timestamp> {
        let open = self.is_open(at);
        let differs = |moment: &Timestamp| *moment > at && self.is_open(*moment) != open;
        let edges = |(from, to): (Timestamp, Timestamp)| [from, to];
        let blackouts = self.blackouts.iter().filter_map(|blackout| self.closed(*blackout)).flat_map(edges);
        let mut nearest = blackouts.filter(differs).min();
        let today = self.zone.local(at)?.date();
        for ahead in -1..if self.windows.is_empty() { -1 } else { DAYS_AHEAD } {
            let day = today.checked_add(ahead.days()).ok()?;
            let begins = self.zone.instant(day.to_datetime(Time::midnight()))?;
            if nearest.is_some_and(|nearest| nearest < begins) {
                break;
            }
            let found = self.on(day).flat_map(edges).filter(differs).min();
            nearest = nearest.into_iter().chain(found).min();
        }
        nearest
    }
}

impl Openings for Windows {
    fn at(&self, now: Timestamp) -> Opening {
        let until = self.changes(now);
        if self.is_open(now) { Opening::Open { until } } else { Opening::Closed { until } }
    }
}

/// `mon-fri 02:00-04:00`, `sat,sun 22:00-03:00`, `02:00-04:00`, `sun`.
fn window(text: &str) -> Option<Window> {
    let text = text.trim().to_ascii_lowercase();
    let mut parts = text.split_whitespace();
    let (first, second) = (parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let has_times = |part: &str| part.contains(':');
    let (days, times) = match (first, second) {
        (times, None) if has_times(times) => ([true; 7], Some(times)),
        (days, times) => (weekdays(days)?, times),
    };
    let (from, to) = times.map_or(Some((Time::midnight(), Time::midnight())), |times| {
        let (from, to) = times.split_once('-')?;
        Some((time(from)?, time(to)?))
    })?;
    // From a time to the same one is a whole day only where no time is said.
    (times.is_none() || from != to).then_some(Window { days, from, to })
}

fn weekdays(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (weekday(first)?, weekday(last)?);
        loop {
            days[usize::try_from(day.to_monday_zero_offset()).ok()?] = true;
            if day == last {
                break;
            }
            day = day.next();
        }
    }
    Some(days)
}

fn weekday(text: &str) -> Option<Weekday> {
    let index = DAYS.iter().position(|day| *day == text)?;
    Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()
}

/// `02:00`; `24:00` is the end of the day.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i8>().ok()).flatten()
    };
    match (number(hour)?, number(minute)?) {
        (24, 0) => Some(Time::midnight()),
        (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
    }
}

/// `2026-12-24` or `2026-12-20..2027-01-05`.
fn blackout(text: &str) -> Option<Blackout> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let date = |text: &str| {
        let text = text.trim();
        (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten()
    };
    let (first, last) = (date(first)?, date(last)?);
    (first <= last).then_some(Blackout { first, last })
}
