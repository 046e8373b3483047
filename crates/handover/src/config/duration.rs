//! Durations as text: `500ms`, `10s`, `5m`, `2h`, `1d`, and sums such as `1h30m`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration as it stands in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

/// Units with their length in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest duration: ten years. Anything longer is a slip of the keyboard.
const MS_MAX: u64 = 3_650 * 86_400_000;

impl Span {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Parses a duration; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self(Duration::ZERO));
        }
        let (mut rest, mut sum_ms) = (text.trim(), 0_u64);
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest.get(..digits)?.parse().ok()?;
            rest = rest.get(digits..)?;
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let unit = rest.get(..letters)?;
            let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
            sum_ms = sum_ms.checked_add(number.checked_mul(*unit_ms)?)?;
            rest = rest.get(letters..)?;
        }
        (sum_ms <= MS_MAX).then(|| Self(Duration::from_millis(sum_ms)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest_ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest_ms == 0 {
            return f.write_str("0s");
        }
        for (unit, unit_ms) in UNITS {
            if rest_ms >= unit_ms {
                write!(f, "{}{unit}", rest_ms / unit_ms)?;
                rest_ms %= unit_ms;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a duration is a whole number with a unit: 500ms, 10s, 5m, 2h, 1d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in
            [("0", 0), ("0s", 0), ("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("2d", 172_800_000)]
        {
            assert_eq!(Span::parse(text).unwrap().0, Duration::from_millis(ms), "{text}");
        }
        for text in ["500ms", "10s", "1h30m", "2d", "1d1ms"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in
            ["", "10", "s", "1.5s", "-1s", "1 s", "10 fortnights", "10S", "99999999999999999999s", "4000d", "1sé"]
        {
            assert_eq!(Span::parse(bad), None, "{bad:?}");
        }
    }
}
