//! The state's history against a file of records that was shipped elsewhere.
//!
//! The chain of the state holds; that was looked at before. What is left is whether it is the *same* chain, and whether
//! its end is there. Where both differ, a checkpoint in the file says which of them is to be believed: only a holder of
//! the master key can have signed it, and the links between the records carry its word backwards.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use handover_adapters::seal::Verifier;
use handover_adapters::sink::line;
use handover_adapters::state::chain::{self, Hash};
use handover_adapters::state::checkpoint::Checkpoint;
use handover_adapters::state::sqlite::Reading;
use handover_core::port::Record;
use serde::Serialize;

use super::{PAGE_RECORDS, unsigned};
use crate::failure::Failure;

/// What a file was found to hold, when all of it fits the state.
#[derive(Serialize)]
pub(super) struct Compared {
    /// Records, each once.
    records: u64,
    /// The position of the first one.
    first: Option<u64>,
    /// The position of the last one.
    last: Option<u64>,
    /// The position of the last checkpoint.
    checkpoint: Option<u64>,
    /// Lines that hold no record.
    others: u64,
}

impl Compared {
    pub(super) fn words(&self) -> String {
        let others = match self.others {
            0 => String::new(),
            others => format!("; {others} lines hold no record"),
        };
        match (self.first, self.last) {
            (Some(first), Some(last)) => {
                let checkpoint = self.checkpoint.map_or_else(
                    || "no checkpoint is among them".to_owned(),
                    |checkpoint| format!("the last checkpoint among them is at {checkpoint}"),
                );
                let records = self.records;
                format!("the state has all {records} records of the file, {first} to {last}; {checkpoint}{others}")
            }
            (None, _) | (_, None) => format!("the file holds no record{others}"),
        }
    }
}

/// Reads the file to its end, and compares.
pub(super) fn compare(file: &Path, reading: &Reading, keys: &[Verifier]) -> Result<Compared, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::error(format!("the file {} cannot be read: {}", file.display(), error.kind()));
    let lines = BufReader::new(File::open(file).map_err(unreadable)?).split(b'\n');
    let mut comparison = Comparison {
        local: Local { reading, page: Vec::new() },
        keys,
        compared: Compared { records: 0, first: None, last: None, checkpoint: None, others: 0 },
        previous: None,
        run_start: 0,
        missing: None,
        differs: None,
        vouched: None,
    };
    for text in lines {
        let text = text.map_err(unreadable)?;
        let text = String::from_utf8_lossy(&text);
        match line::read(&text) {
            Some(record) => comparison.take(&record)?,
            None if text.contains(line::START) => {
                return Err(Failure::refused(format!(
                    "a line of the file is damaged, behind position {}",
                    comparison.compared.last.unwrap_or(0)
                ))
                .hint("the last line of a copy may be torn: cut it off; any other was edited"));
            }
            None if text.trim().is_empty() => {}
            None => comparison.compared.others += 1,
        }
    }
    comparison.end()
}

struct Comparison<'a> {
    local: Local<'a>,
    keys: &'a [Verifier],
    compared: Compared,
    previous: Option<(u64, Hash)>,
    /// Where the records begin that follow each other without a gap.
    run_start: u64,
    /// The first position that the state does not reach.
    missing: Option<u64>,
    /// The first position at which the state has another record.
    differs: Option<u64>,
    /// A checkpoint that vouches for that position.
    vouched: Option<u64>,
}

impl Comparison<'_> {
    fn take(&mut self, record: &Record) -> Result<(), Failure> {
        let position = record.position;
        let again = self.compared.last.is_some_and(|last| position <= last);
        if !again {
            self.follow(record)?;
            self.compared.records += 1;
            self.compared.first.get_or_insert(position);
            self.compared.last = Some(position);
        }
        match self.local.at(position)? {
            Some(local) if local == *record => {}
            Some(_) => self.differs = Some(self.differs.map_or(position, |differs| differs.min(position))),
            None => self.missing = Some(self.missing.map_or(position, |missing| missing.min(position))),
        }
        if let Some(checkpoint) = Checkpoint::of(record) {
            if !self.keys.iter().any(|key| checkpoint.holds(key)) {
                return Err(unsigned(position, &checkpoint));
            }
            self.compared.checkpoint = Some(position);
            // It vouches for the record before it, and the links for those before that.
            let first = self.differs.into_iter().chain(self.missing).min();
            if !again && first.is_some_and(|first| self.run_start <= first && first < position) {
                self.vouched = Some(position);
            }
        }
        Ok(())
    }

    /// Follows the link to the record before, if the file has it.
    fn follow(&mut self, record: &Record) -> Result<(), Failure> {
        let position = record.position;
        let before = match self.previous {
            Some((previous, hash)) if previous + 1 == position => Some(hash),
            None if position == 1 => Some(chain::START),
            Some(_) | None => None,
        };
        let mut hash = chain::START;
        let linked = match before {
            Some(before) => chain::follows(&before, position, record).map(|linked| hash = linked).is_some(),
            None => {
                self.run_start = position;
                hex::decode_to_slice(&record.hash, &mut hash).is_ok()
            }
        };
        if !linked {
            return Err(Failure::refused(format!(
                "the record at position {position} of the file does not follow the one before: the file was edited"
            ))
            .hint("compare with another copy"));
        }
        self.previous = Some((position, hash));
        Ok(())
    }

    fn end(self) -> Result<Compared, Failure> {
        let vouched = match self.vouched {
            Some(checkpoint) => format!("the signed checkpoint at {checkpoint} vouches for the file"),
            None => "no checkpoint in the file vouches for it".to_owned(),
        };
        if let Some(position) = self.differs {
            return Err(Failure::refused(format!(
                "the state and the file hold different records at position {position}; {vouched}"
            ))
            .hint(
                "the state was rolled back or rewritten, or the file edited: stop the server, keep both, and find out \
                 from the checkpoints which one is to be believed",
            ));
        }
        if let Some(position) = self.missing {
            let last = self.local.reading.last_position()?;
            let there = self.compared.last.unwrap_or(position);
            return Err(Failure::refused(format!(
                "the state ends at position {last}, and the file has records up to {there}; {vouched}"
            ))
            .hint("the state was rolled back, or its end was cut off: stop the server, and look for a newer state"));
        }
        Ok(self.compared)
    }
}

/// The state's records, by page: a file is mostly in order.
struct Local<'a> {
    reading: &'a Reading,
    page: Vec<Record>,
}

impl Local<'_> {
    fn at(&mut self, position: u64) -> Result<Option<Record>, Failure> {
        let first = self.page.first().map(|record| record.position);
        let known = first.filter(|first| *first <= position).and_then(|first| usize::try_from(position - first).ok());
        if let Some(record) = known.and_then(|index| self.page.get(index)) {
            return Ok(Some(record.clone()));
        }
        if position == 0 || self.reading.last_position()? < position {
            return Ok(None);
        }
        self.page = self.reading.records(position - 1, PAGE_RECORDS)?;
        Ok(self.page.first().cloned())
    }
}
