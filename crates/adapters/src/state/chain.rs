//! The chain that history is linked in, so that an edited, deleted, reordered or cut record shows.
//!
//! The hash of a record is SHA-256 over the previous record's hash (32 zero bytes before the first) and the record's
//! position (eight bytes, big-endian), group, time (eight bytes, big-endian, milliseconds since the Unix epoch) and
//! body, each with its length in eight bytes before it. The body is JSON on one line:
//!
//! ```json
//! {"v":1,"event":"advanced","actor":"engine","epoch":3,"row":7,"fields":{"phase":"apply"}}
//! ```
//!
//! `epoch` says which holder of the lease wrote it, `row` the version of the group's row that it was committed with; a
//! record that belongs to no change of a row has none.

use handover_core::port::{Entry, Record};
use handover_core::{Epoch, GroupId, RowVersion, Timestamp};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use sha2::{Digest, Sha256};

/// A hash in the chain.
pub type Hash = [u8; 32];

/// What stands before the first record.
pub const START: Hash = [0; 32];

/// The hash of the record that follows `previous`.
pub fn link(previous: &Hash, position: u64, group: &str, at: Timestamp, body: &str) -> Hash {
    let mut run = previous.to_vec();
    write_before_body(&mut run, position, group, at);
    write_part(&mut run, body.as_bytes());
    hash(&run)
}

/// The hash of a run of bytes: the previous hash, and what [`link`] adds to it.
pub(crate) fn hash(run: &[u8]) -> Hash {
    Sha256::digest(run).into()
}

/// Writes what is hashed of a record up to its body.
pub(crate) fn write_before_body(run: &mut Vec<u8>, position: u64, group: &str, at: Timestamp) {
    write_part(run, &position.to_be_bytes());
    write_part(run, group.as_bytes());
    write_part(run, &at.0.to_be_bytes());
}

fn write_part(run: &mut Vec<u8>, part: &[u8]) {
    run.extend_from_slice(&(part.len() as u64).to_be_bytes());
    run.extend_from_slice(part);
}

/// The record that follows `previous` at `position`.
pub fn record(previous: &Hash, position: u64, group: &GroupId, at: Timestamp, body: String) -> (Record, Hash) {
    let hash = link(previous, position, group.as_str(), at, &body);
    (Record { position, group: group.clone(), at, body, hash: hex::encode(hash) }, hash)
}

/// Whether `record` follows `previous`; its hash if so. For whoever checks history that was shipped elsewhere.
pub fn follows(previous: &Hash, position: u64, record: &Record) -> Option<Hash> {
    let hash = link(previous, position, record.group.as_str(), record.at, &record.body);
    (record.position == position && record.hash == hex::encode(hash)).then_some(hash)
}

/// The canonical body of a line of history. Control characters in it are escaped, so that it stays one line.
pub fn body(entry: &Entry, epoch: Epoch, row: Option<RowVersion>) -> String {
    let mut bytes = Vec::new();
    write_body(&mut bytes, entry, epoch, row);
    #[expect(clippy::expect_used, reason = "JSON is UTF-8")]
    let text = String::from_utf8(bytes).expect("a body is text");
    text
}

/// Writes the same, behind what is there.
pub(crate) fn write_body(bytes: &mut Vec<u8>, entry: &Entry, epoch: Epoch, row: Option<RowVersion>) {
    let body = Body {
        v: 1,
        event: entry.event,
        actor: &entry.actor,
        epoch: epoch.0,
        row: row.map(|version| version.0),
        fields: Fields(&entry.fields),
    };
    #[expect(clippy::expect_used, reason = "strings and numbers always serialise, and the writer is memory")]
    serde_json::to_writer(bytes, &body).expect("a body serialises");
}

#[derive(Serialize)]
struct Body<'a> {
    v: u32,
    event: &'a str,
    actor: &'a str,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    fields: Fields<'a>,
}

/// Keeps the order that the fields were given in.
struct Fields<'a>(&'a [(&'static str, String)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, text) in self.0 {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry {
            at: Timestamp(5),
            event: "advanced",
            actor: "engine".to_owned(),
            fields: vec![("b", text.to_owned()), ("a", "2".to_owned())],
        }
    }

    #[test]
    fn a_body_is_one_line_whatever_is_in_it() {
        let body = body(&entry("a\n\u{1b}[2J\",\"event\":\"forged"), Epoch(2), Some(RowVersion(7)));
        assert_eq!(
            body,
            r#"{"v":1,"event":"advanced","actor":"engine","epoch":2,"row":7,"fields":{"b":"a\n\u001b[2J\",\"event\":\"forged","a":"2"}}"#
        );
    }

    #[test]
    fn a_link_depends_on_every_part() {
        let group = GroupId::parse("orders").unwrap();
        let (first, hash) = record(&START, 1, &group, Timestamp(5), "{}".to_owned());
        assert_eq!(follows(&START, 1, &first), Some(hash));
        assert_eq!(follows(&hash, 1, &first), None);
        assert_eq!(follows(&START, 2, &first), None);
        let other = GroupId::parse("other").unwrap();
        for edited in [
            Record { position: 2, ..first.clone() },
            Record { group: other, ..first.clone() },
            Record { at: Timestamp(6), ..first.clone() },
            Record { body: "{ }".to_owned(), ..first.clone() },
            Record { hash: hex::encode(START), ..first.clone() },
        ] {
            assert_eq!(follows(&START, 1, &edited), None, "{edited:?}");
        }
    }
}
