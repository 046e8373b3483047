use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use handover_core::Timestamp;
use handover_core::schedule::Occurrences;

use super::{BadCalendar, Zone};

/// A cron expression in a time zone: minute, hour, day of the month, month, day of the week.
pub struct CronTimes {
    cron: Cron,
    zone: Zone,
}

/// The names of the fields, in order.
const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];

impl CronTimes {
    /// Reads an expression.
    pub fn parse(text: &str, zone: Zone) -> Result<Self, BadCalendar> {
        let cron = parser().parse(text).map_err(|_| BadCalendar::Cron(why_not(text)))?;
        let times = Self { cron, zone };
        if times.next(Timestamp(0)).is_none() {
            return Err(BadCalendar::Never);
        }
        Ok(times)
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

/// Which field is wrong, if only one is.
fn why_not(text: &str) -> String {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return format!(
            "a cron expression has five fields (minute, hour, day of the month, month, day of the week), such as \
             \"30 2 * * sun\"; here are {}",
            fields.len()
        );
    }
    let wrong: Vec<&str> = (0..FIELDS.len())
        .filter(|index| {
            let mut alone = ["*"; FIELDS.len()];
            alone[*index] = fields[*index];
            parser().parse(&alone.join(" ")).is_err()
        })
        .map(|index| FIELDS[index])
        .collect();
    match wrong.as_slice() {
        [] => "the fields of this cron expression do not go together; such as \"30 2 * * sun\"".to_owned(),
        wrong => {
            format!("the {} of this cron expression cannot be read; such as \"30 2 * * sun\"", wrong.join(" and the "))
        }
    }
}

impl Occurrences for CronTimes {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut local = self.zone.local(after)?;
        // What clocks show twice was told at the first time; each step goes forward on the clock.
        loop {
            local = self.cron.find_next_occurrence(&local, false).ok()?;
            let at = self.zone.instant(local)?;
            if at > after {
                return Some(at);
            }
        }
    }
}

impl fmt::Debug for CronTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CronTimes").field("cron", &self.cron.as_str()).field("zone", &self.zone).finish()
    }
}
