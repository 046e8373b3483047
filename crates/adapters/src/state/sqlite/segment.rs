//! How records lie in the file: up to 32 KiB of those of one transaction in one piece, as the chain hashes them.
//!
//! A segment is the hash before its first record, and then for each record
//!
//! 1. what the chain hashes of it after the previous hash ([`chain::link`]),
//! 2. the position of the record before it of the same group, eight bytes, big-endian; 0 if it is the group's first,
//! 3. its hash.
//!
//! So the hash of a record is that of one run of bytes: the hash before it, and its own part. It is appended and verified
//! without being put together, and without a lookup.

use std::ops::Range;

use handover_core::port::{Entry, Record};
use handover_core::{Epoch, Fault, GroupId, RowVersion, Timestamp};
use rusqlite::{Connection, OptionalExtension};

use super::trouble::{Stop, corrupt};
use crate::state::chain::{self, Hash};

/// A segment beyond this size is ended, so that reading one record reads little else.
const BYTES_MAX: usize = 32 * 1024;
const HASH_BYTES: usize = 32;
const NUMBER_BYTES: usize = 8;

/// The segment at or after a position.
const AT: &str = "SELECT body FROM history WHERE last >= ?1 ORDER BY last LIMIT 1";

/// A segment that is written.
#[derive(Default)]
pub(super) struct Segment {
    bytes: Vec<u8>,
}

impl Segment {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES_MAX
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins another one; the memory is kept.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends the record that follows `previous`, and gives back its hash. `before` is the record before it of the
    /// same group.
    pub(super) fn push(&mut self, previous: &Hash, line: &Line<'_>) -> Hash {
        let bytes = &mut self.bytes;
        if bytes.is_empty() {
            bytes.extend_from_slice(previous);
        }
        let start = bytes.len() - HASH_BYTES;
        chain::write_before_body(bytes, line.position, line.group.as_str(), line.entry.at);
        let length_at = bytes.len();
        bytes.extend_from_slice(&[0; NUMBER_BYTES]);
        chain::write_body(bytes, line.entry, line.epoch, line.row);
        let length = (bytes.len() - length_at - NUMBER_BYTES) as u64;
        bytes[length_at..length_at + NUMBER_BYTES].copy_from_slice(&length.to_be_bytes());
        let hash = chain::hash(&bytes[start..]);
        bytes.extend_from_slice(&line.before.to_be_bytes());
        bytes.extend_from_slice(&hash);
        hash
    }
}

/// A record that is appended.
pub(super) struct Line<'a> {
    pub(super) position: u64,
    pub(super) group: &'a GroupId,
    pub(super) entry: &'a Entry,
    pub(super) epoch: Epoch,
    pub(super) row: Option<RowVersion>,
    /// The record before it of the same group; 0 if there is none.
    pub(super) before: i64,
}

/// A record in a segment. Nothing of it was checked.
pub(super) struct Kept<'a> {
    run: &'a [u8],
    pub(super) position: u64,
    pub(super) group: &'a [u8],
    at: Timestamp,
    body: &'a [u8],
    /// The record before it of the same group; 0 if there is none.
    pub(super) before: u64,
    pub(super) hash: &'a [u8],
}

impl Kept<'_> {
    /// Whether it is the record that follows `previous`.
    pub(super) fn follows(&self, previous: &Hash) -> bool {
        self.run.starts_with(previous) && self.holds()
    }

    /// The same, of what stands before it in its own segment.
    pub(super) fn holds(&self) -> bool {
        chain::hash(self.run) == self.hash
    }

    /// Whether it is the first of its segment.
    pub(super) fn is_first_of(&self, segment: &[u8]) -> bool {
        std::ptr::eq(self.run.as_ptr(), segment.as_ptr())
    }

    /// The record before it of its group, which must be this one; 0 if there is none.
    pub(super) fn before_of(&self, group: &GroupId) -> Result<u64, Fault> {
        // Otherwise somebody could have a walk go in circles.
        if self.is_of(group) && self.before < self.position { Ok(self.before) } else { Err(breaks(self.position)) }
    }

    pub(super) fn is_of(&self, group: &GroupId) -> bool {
        self.group == group.as_str().as_bytes()
    }

    pub(super) fn hash(&self) -> Result<Hash, Fault> {
        self.hash.try_into().map_err(|_| breaks(self.position))
    }

    pub(super) fn body(&self) -> Result<&str, Fault> {
        std::str::from_utf8(self.body).map_err(|_| breaks(self.position))
    }

    pub(super) fn record(&self) -> Result<Record, Fault> {
        let group = std::str::from_utf8(self.group).ok().and_then(|name| GroupId::parse(name).ok());
        Ok(Record {
            position: self.position,
            group: group.ok_or_else(|| corrupt("a stored group has no valid name".to_owned()))?,
            at: self.at,
            body: self.body()?.to_owned(),
            hash: hex::encode(self.hash),
        })
    }
}

/// The records of a segment in order. What cannot be read ends it: one that is missing is then found by its position.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    /// Where the hash before the next record stands.
    at: usize,
}

impl<'a> Records<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(bytes)?)?;
        self.at += bytes;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(NUMBER_BYTES)?.try_into().ok()?))
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn number_part(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.part()?.try_into().ok()?))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Kept<'a>;

    fn next(&mut self) -> Option<Kept<'a>> {
        let start = self.at;
        self.take(HASH_BYTES)?;
        let position = self.number_part()?;
        let group = self.part()?;
        let at = Timestamp(self.number_part()?.cast_signed());
        let body = self.part()?;
        let run = self.bytes.get(Range { start, end: self.at })?;
        let before = self.number()?;
        let hash = self.take(HASH_BYTES)?;
        // Where the next one begins.
        self.at -= HASH_BYTES;
        Some(Kept { run, position, group, at, body, before, hash })
    }
}

/// The segment that holds a position; empty if there is none.
pub(super) fn holding(connection: &Connection, position: u64) -> Result<Vec<u8>, Stop> {
    let Ok(position) = i64::try_from(position) else { return Ok(Vec::new()) };
    let found = connection.prepare_cached(AT)?.query_row([position], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}

/// The record at a position, within the segment that should hold it.
pub(super) fn find(segment: &[u8], position: u64) -> Result<Kept<'_>, Fault> {
    Records::of(segment).find(|record| record.position == position).ok_or_else(|| breaks(position))
}

/// The hash of the record at a position; [`chain::START`] before the first.
pub(super) fn hash_at(connection: &Connection, position: u64) -> Result<Hash, Stop> {
    if position == 0 {
        return Ok(chain::START);
    }
    Ok(find(&holding(connection, position)?, position)?.hash()?)
}

pub(super) fn breaks(position: u64) -> Fault {
    corrupt(format!("the history breaks at position {position}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(records: u64) -> (Segment, Hash) {
        let (mut segment, mut hash) = (Segment::default(), chain::START);
        for position in 1..=records {
            let group = GroupId::parse(if position % 2 == 0 { "even" } else { "odd" }).unwrap();
            let fields = vec![("number", position.to_string())];
            let entry = Entry { at: Timestamp(7), event: "advanced", actor: "engine".to_owned(), fields };
            let before = (position.cast_signed() - 2).max(0);
            let (epoch, row) = (Epoch(1), None);
            hash = segment.push(&hash, &Line { position, group: &group, entry: &entry, epoch, row, before });
        }
        (segment, hash)
    }

    #[test]
    fn what_is_written_is_read_and_linked_as_the_chain_says() {
        let (segment, last) = segment(9);
        let mut hash = chain::START;
        for (number, kept) in (1..).zip(Records::of(segment.bytes())) {
            assert!(kept.follows(&hash) && kept.holds());
            assert!(!kept.follows(&[9; 32]));
            let record = kept.record().unwrap();
            hash = chain::follows(&hash, number, &record).expect("others can follow it too");
            assert_eq!((record.position, kept.before), (number, number.saturating_sub(2)));
        }
        assert_eq!(hash, last);
        assert_eq!(Records::of(segment.bytes()).count(), 9);
        assert_eq!(find(segment.bytes(), 9).unwrap().hash().unwrap(), last);
        assert!(find(segment.bytes(), 10).is_err());
    }

    #[test]
    fn no_bit_can_be_changed_unnoticed() {
        let (segment, last) = segment(3);
        let walk = |bytes: &[u8]| {
            let (mut hash, mut seen) = (chain::START, Vec::new());
            for record in Records::of(bytes) {
                if !record.follows(&hash) {
                    return None;
                }
                hash = record.hash().ok()?;
                seen.push((record.position, record.before));
            }
            (hash == last && seen == [(1, 0), (2, 0), (3, 1)]).then_some(())
        };
        assert!(walk(segment.bytes()).is_some());
        for place in 0..segment.bytes().len() * 8 {
            let mut bytes = segment.bytes().to_vec();
            bytes[place / 8] ^= 1 << (place % 8);
            assert!(walk(&bytes).is_none(), "bit {place}");
        }
        for length in 0..segment.bytes().len() {
            assert!(walk(&segment.bytes()[..length]).is_none(), "cut at {length}");
        }
    }
}
