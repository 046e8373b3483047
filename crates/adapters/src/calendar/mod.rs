//! Calendars: what cron expressions, windows and dates mean in a time zone.
//!
//! One rule for all local times: one that comes twice, when clocks go back, means the first; one that is left out, when
//! they go forward, means the moment of the change. So a run at 02:30 happens once in each night of the year.

mod cron;
mod windows;

use std::fmt;

use handover_core::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

pub use cron::CronTimes;
pub use windows::Windows;

/// Why a text is no part of a calendar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadCalendar {
    /// No time zone has this name.
    Zone,
    /// It is no cron expression; the words say which field.
    Cron(String),
    /// It is one, and says no moment that ever comes.
    Never,
    /// This is no window: its place in the list.
    Window(usize),
    /// These are no dates: their place in the list.
    Blackout(usize),
}

impl fmt::Display for BadCalendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zone => f.write_str("no time zone of the IANA database has this name, such as \"Europe/Berlin\""),
            Self::Cron(why) => f.write_str(why),
            Self::Never => f.write_str("the expression says no time that ever comes"),
            Self::Window(index) => write!(
                f,
                "number {} is no window: days and times, such as \"mon-fri 02:00-04:00\" or \"sat 22:00-03:00\", or \
                 times alone for every day",
                index + 1
            ),
            Self::Blackout(index) => write!(
                f,
                "number {} is no date and no dates: such as \"2026-12-24\" or \"2026-12-20..2027-01-05\", both included",
                index + 1
            ),
        }
    }
}

impl std::error::Error for BadCalendar {}

/// A time zone by its name in the IANA database: that of the system, or where it has none, the one that is built in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Finds it.
    pub fn parse(name: &str) -> Result<Self, BadCalendar> {
        TimeZone::get(name).map(Self).map_err(|_| BadCalendar::Zone)
    }

    /// All names, so that the nearest to a wrong one can be told.
    pub fn names() -> Vec<String> {
        jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect()
    }

    /// What clocks there show; `None` outside of years 1 to 9999.
    fn local(&self, at: Timestamp) -> Option<DateTime> {
        let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(self.0.to_datetime(at))
    }

    /// When clocks there first show this, or would have.
    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let found = self.0.to_ambiguous_timestamp(local);
        let at = match found.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => found.earlier().ok()?,
            AmbiguousOffset::Gap { .. } => {
                let before = found.earlier().ok()?;
                self.0.following(before).next()?.timestamp()
            }
        };
        Some(Timestamp(at.as_millisecond()))
    }
}

#[cfg(test)]
mod tests;
