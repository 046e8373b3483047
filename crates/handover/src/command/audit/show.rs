//! Records for people and for tables. Whatever stands in a record, it stays on its line.

use handover_core::port::Record;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The first line of a table.
pub(super) const CSV_HEADER: &str = "position,time,group,event,actor,epoch,row,fields,hash";

/// A record as a line for people.
pub(super) fn line(record: &Record) -> String {
    let Body { event, actor, fields, .. } = Body::of(record);
    let mut line = format!("{} {} {} {event} by {actor}", record.position, time(record.at.0), record.group);
    for (name, value) in &fields {
        line.push_str(&format!(" {}={}", printable(name), word(value)));
    }
    line
}

/// A record as a line of a table (RFC 4180).
pub(super) fn csv(record: &Record) -> String {
    let Body { event, actor, epoch, row, fields } = Body::of(record);
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let fields = printable(&Value::Object(fields).to_string());
    let group = record.group.to_string();
    let (position, time) = (record.position.to_string(), time(record.at.0));
    let cells = [&position, &time, &group, &event, &actor, &number(epoch), &number(row), &fields, &record.hash];
    cells.map(|cell| cell_text(cell)).join(",")
}

/// Text without control characters and without anything that is not ASCII: each is escaped as in JSON.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// A value as one word, in quotation marks if it has spaces or would be misread.
fn word(value: &Value) -> String {
    let plain =
        |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '='));
    match value.as_str().filter(plain) {
        Some(text) => text.to_owned(),
        None => printable(&value.to_string()),
    }
}

/// A spreadsheet takes a cell that begins like a formula for one: it gets an apostrophe.
fn cell_text(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', ' ', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |time| format!("{time:.3}"))
}

/// What is shown of a body. One that cannot be read is shown as it is.
#[derive(Deserialize)]
struct Body {
    event: String,
    actor: String,
    epoch: Option<u64>,
    row: Option<u64>,
    fields: Map<String, Value>,
}

impl Body {
    fn of(record: &Record) -> Self {
        let unreadable = || Self {
            event: "unreadable".to_owned(),
            actor: "-".to_owned(),
            epoch: None,
            row: None,
            fields: Map::from_iter([("body".to_owned(), Value::String(record.body.clone()))]),
        };
        let body = serde_json::from_str::<Self>(&record.body).unwrap_or_else(|_| unreadable());
        Self { event: printable(&body.event), actor: printable(&body.actor), ..body }
    }
}

#[cfg(test)]
mod tests {
    use handover_core::{GroupId, Timestamp};

    use super::*;

    fn record(body: &str) -> Record {
        Record {
            position: 7,
            group: GroupId::parse("orders").unwrap(),
            at: Timestamp(1_700_000_000_042),
            body: body.to_owned(),
            hash: "9f".to_owned(),
        }
    }

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let body = r#"{"v":1,"event":"ordered","actor":"an\nna","epoch":3,"row":9,"fields":{"order":"hold","reason":"a \"b\"\n\u001b[2J forged=1"}}"#;
        assert_eq!(
            line(&record(body)),
            r#"7 2023-11-14T22:13:20.042Z orders ordered by an\u000ana order=hold reason="a \"b\"\n\u001b[2J forged=1""#
        );
        assert_eq!(
            csv(&record(body)),
            r#"7,2023-11-14T22:13:20.042Z,orders,ordered,an\u000ana,3,9,"{""order"":""hold"",""reason"":""a \""b\""\n\u001b[2J forged=1""}",9f"#
        );
        assert_eq!(line(&record("\u{1b}")), r#"7 2023-11-14T22:13:20.042Z orders unreadable by - body="\u001b""#);
    }

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(cell_text("=1+1"), "\"'=1+1\"");
        assert_eq!(cell_text("plain"), "plain");
    }
}
