//! A group's schedule as it is configured.

use std::sync::Arc;

use handover_adapters::calendar::{BadCalendar, CronTimes, Windows, Zone};
use handover_core::schedule::{Missed, Openings, Repeats, Schedule};
use serde::Deserialize;

use super::duration::Span;
use crate::near;

/// When a group is rotated without anybody asking, and when that may be.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScheduleConfig {
    /// So long after the last rotation started. `"0"`: people start.
    pub(crate) every: Option<Span>,
    /// At these times: minute, hour, day of the month, month, day of the week.
    pub(crate) cron: Option<String>,
    /// The time zone of `cron`, `windows` and `blackout`, by its name in the IANA database.
    pub(crate) zone: String,
    /// When rotations may start, and old generations may be refused. Absent: at any time.
    pub(crate) windows: Vec<String>,
    /// Dates on which they may not.
    pub(crate) blackout: Vec<String>,
    /// How much later each start is at the most, by chance.
    pub(crate) jitter: Span,
    /// Over how long groups of one time are spread.
    pub(crate) spread: Span,
    /// What becomes of what was missed.
    pub(crate) missed: MissedName,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            every: None,
            cron: None,
            zone: "UTC".to_owned(),
            windows: Vec::new(),
            blackout: Vec::new(),
            jitter: Span::seconds(0),
            spread: Span::seconds(0),
            missed: MissedName::RunOnce,
        }
    }
}

/// [`Missed`] by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissedName {
    /// See [`Missed::RunOnce`].
    RunOnce,
    /// See [`Missed::Skip`].
    Skip,
}

impl ScheduleConfig {
    /// The schedule as the core knows it, or what is wrong with it.
    pub(crate) fn schedule(&self) -> Result<Schedule, String> {
        let zone = Zone::parse(&self.zone).map_err(|bad| self.wrong("zone", &bad))?;
        let repeats = match (&self.every, &self.cron) {
            (Some(_), Some(_)) => return Err("schedule: every and cron exclude each other: leave one out".to_owned()),
            (Some(Span(every)), None) if every.is_zero() => Repeats::Never,
            (Some(Span(every)), None) => Repeats::Every(*every),
            (None, Some(cron)) => {
                let times = CronTimes::parse(cron, zone.clone()).map_err(|bad| self.wrong("cron", &bad))?;
                Repeats::At(Arc::new(times))
            }
            (None, None) => Repeats::Never,
        };
        Ok(Schedule {
            repeats,
            openings: self.openings(zone)?,
            spread: self.spread.0,
            jitter: self.jitter.0,
            missed: match self.missed {
                MissedName::RunOnce => Missed::RunOnce,
                MissedName::Skip => Missed::Skip,
            },
        })
    }

    fn openings(&self, zone: Zone) -> Result<Option<Arc<dyn Openings>>, String> {
        if self.windows.is_empty() && self.blackout.is_empty() {
            return Ok(None);
        }
        let windows = Windows::parse(&self.windows, &self.blackout, zone).map_err(|bad| {
            let key = if matches!(bad, BadCalendar::Blackout(_)) { "blackout" } else { "windows" };
            self.wrong(key, &bad)
        })?;
        Ok(Some(Arc::new(windows)))
    }

    fn wrong(&self, key: &str, bad: &BadCalendar) -> String {
        let near = match bad {
            BadCalendar::Zone => near::close(&self.zone, Zone::names().into_iter()),
            BadCalendar::Cron(_) | BadCalendar::Never | BadCalendar::Window(_) | BadCalendar::Blackout(_) => None,
        };
        let hint = near.map_or_else(String::new, |near| format!(": did you mean \"{near}\"?"));
        format!("schedule.{key}: {bad}{hint}")
    }

    /// How it repeats, as it is configured.
    pub(crate) fn repeats(&self) -> String {
        match (&self.every, &self.cron) {
            (Some(every), _) if !every.0.is_zero() => format!("every {every}"),
            (None, Some(cron)) => format!("{cron} {}", self.zone),
            (Some(_) | None, _) => "by hand".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Schedule, String> {
        toml::from_str::<ScheduleConfig>(text).unwrap().schedule()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_nearest_that_can() {
        for (text, words) in [
            ("zone = \"Europe/Berln\"", "did you mean \"Europe/Berlin\"?"),
            ("zone = \"\"", "schedule.zone"),
            ("cron = \"30 2 * *\"", "five fields"),
            ("cron = \"30 25 * * sun\"", "the hour of this cron expression"),
            ("cron = \"61 2 * * never\"", "the minute and the day of the week"),
            ("cron = \"0 0 30 2 *\"", "no time that ever comes"),
            ("cron = \"0 0 * * *\"\nevery = \"1d\"", "exclude each other"),
            ("windows = [\"mon-fri 02:00-04:00\", \"sat 2-4\"]", "schedule.windows: number 2"),
            ("blackout = [\"2027-01-05..2026-12-20\"]", "schedule.blackout: number 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_and_zero_mean_that_people_start() {
        for text in ["", "every = \"0\"", "windows = [\"02:00-04:00\"]"] {
            assert!(matches!(parse(text).unwrap().repeats, Repeats::Never), "{text}");
        }
        assert!(matches!(parse("every = \"90d\"").unwrap().repeats, Repeats::Every(_)));
        let full = parse(
            "cron = \"30 2 * * sun\"\nzone = \"Europe/Berlin\"\nwindows = [\"sun 02:00-05:00\"]\nblackout = [\"2026-12-24\"]\n\
             jitter = \"5m\"\nspread = \"1h\"\nmissed = \"skip\"",
        );
        let full = full.unwrap();
        assert!(matches!(full.repeats, Repeats::At(_)) && full.openings.is_some() && full.missed == Missed::Skip);
    }
}
