//! A record as one line of text: what every sink delivers, and what `handover audit verify --against` reads.
//!
//! A line holds the record's body as a JSON *string*, so that the bytes that the hash covers survive any tool that
//! parses and writes the line again. It is plain ASCII: control characters, line separators and everything beyond are
//! escaped, so that no name can begin a line of its own, or move the cursor of a terminal.

use handover_core::port::Record;
use handover_core::{Fault, FaultKind, GroupId, Timestamp};
use serde::{Deserialize, Serialize};

/// What every line begins with.
pub const START: &str = "{\"position\":";

/// The longest line. It bounds what must be read to find out how far a file got.
pub const BYTES_MAX: u64 = 1024 * 1024;

/// A line as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Position in the chain.
    pub position: u64,
    /// The group it is about.
    pub group: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The record's hash, in hexadecimal.
    pub hash: String,
    /// The record's body: JSON in a string.
    pub body: String,
}

impl Line {
    /// The line of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            position: record.position,
            group: record.group.to_string(),
            at_ms: record.at.0,
            hash: record.hash.clone(),
            body: record.body.clone(),
        }
    }

    /// The record of a line; `None` if its group has no valid name.
    pub fn record(self) -> Option<Record> {
        let group = GroupId::parse(&self.group).ok()?;
        Some(Record { position: self.position, group, at: Timestamp(self.at_ms), body: self.body, hash: self.hash })
    }
}

/// Writes a record as a line, without an end of line.
///
/// # Errors
/// `Bug` if it is longer than [`BYTES_MAX`].
pub fn write(record: &Record) -> Result<String, Fault> {
    let text = ascii_json(&Line::of(record))?;
    if text.len() as u64 >= BYTES_MAX {
        let words = format!("the record of history at position {} is longer than 1 MiB", record.position);
        return Err(Fault::untouched(FaultKind::Bug, words));
    }
    Ok(text)
}

/// Reads a line. Whatever stands before the record, such as the header of a syslog line, is left aside; `None` if there
/// is no record in it.
pub fn read(text: &str) -> Option<Record> {
    let record = text.get(text.find(START)?..)?;
    serde_json::from_str::<Line>(record.trim_end()).ok()?.record()
}

/// JSON in plain ASCII, on one line. Outside of strings JSON has no other characters, so each can be escaped.
pub(crate) fn ascii_json(value: &impl Serialize) -> Result<String, Fault> {
    let json = serde_json::to_string(value)
        .map_err(|_| Fault::untouched(FaultKind::Bug, "a record of history cannot be written as JSON"))?;
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_is_one_line_of_plain_text_and_comes_back() {
        let record = Record {
            position: 7,
            group: GroupId::parse("orders").unwrap(),
            at: Timestamp(1_700_000_000_000),
            body: "{\"reason\":\"a\\nb\u{1b}[2J\u{7f}\u{9b}\u{2028}é😀\\\",\\\"event\\\":\\\"forged\"}".to_owned(),
            hash: "9f".to_owned(),
        };
        let text = write(&record).unwrap();
        assert!(text.starts_with(START) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        assert_eq!(read(&text), Some(record.clone()));
        assert_eq!(read(&format!("<109>1 - - handover - - - {text}\n")), Some(record));
        assert_eq!(read("something else"), None);
        assert_eq!(read("{\"position\":1}"), None);
    }

    /// S44: whatever stands in a line, reading it ends; what is taken for a record is one that can be written.
    #[test]
    fn hostile_lines_are_read_or_refused() {
        let record = Record {
            position: 8,
            group: GroupId::parse("handover").unwrap(),
            at: Timestamp(1_000),
            body: r#"{"v":1,"event":"checkpoint","actor":"engine","epoch":1,"fields":{"position":"7"}}"#.to_owned(),
            hash: "9f".repeat(32),
        };
        let line = write(&record).unwrap();
        let examples = [line.clone(), format!("<109>1 - - handover - - - {line}\n")];
        handover_testkit::mutate::texts(17, 20_000, &examples, |text| {
            if let Some(record) = read(text) {
                assert_eq!(read(&write(&record).unwrap()), Some(record), "{text:?}");
            }
        });
    }
}
