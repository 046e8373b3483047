//! A record as a syslog message (RFC 5424).

use handover_core::Fault;
use handover_core::port::Record;

use super::super::line;
use super::super::time::rfc3339;

/// The severity of all records: notice.
const SEVERITY: u8 = 5;

/// What stands in every header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) facility: u8,
    pub(super) host: String,
    pub(super) app: String,
}

impl Header {
    /// `<PRI>1 TIME HOST APP - MSGID - LINE`: the message is the record's line of JSON, and its id the event's word.
    /// Plain ASCII, so that no byte-order mark is needed and no character ends the message early.
    pub(super) fn message(&self, record: &Record) -> Result<String, Fault> {
        let priority = u32::from(self.facility) * 8 + u32::from(SEVERITY);
        let (host, app) = (word(&self.host, 255), word(&self.app, 48));
        let (time, id, text) = (rfc3339(record.at), word(&event(&record.body), 32), line::write(record)?);
        Ok(format!("<{priority}>1 {time} {host} {app} - {id} - {text}"))
    }
}

/// The record's event, which is a constant word of ours.
fn event(body: &str) -> String {
    let body: Option<serde_json::Value> = serde_json::from_str(body).ok();
    body.and_then(|body| Some(body.get("event")?.as_str()?.to_owned())).unwrap_or_default()
}

/// A word of a header: printable, without spaces, bounded; `-` for none.
fn word(text: &str, characters_max: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(characters_max).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use handover_core::{GroupId, Timestamp};

    use super::*;

    #[test]
    fn a_header_is_never_broken_by_what_is_in_it() {
        let header = Header { facility: 13, host: "a b\nc".to_owned(), app: String::new() };
        let record = Record {
            position: 1,
            group: GroupId::parse("orders").unwrap(),
            at: Timestamp(0),
            body: r#"{"event":"adv anced\n<0>1 forged"}"#.to_owned(),
            hash: "00".to_owned(),
        };
        let message = header.message(&record).unwrap();
        let start = "<109>1 1970-01-01T00:00:00.000Z abc - - advanced<0>1forged - {\"position\":1,";
        assert!(message.starts_with(start), "{message}");
        assert!(!message.contains('\n'));
    }
}
