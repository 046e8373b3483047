//! History as a file of JSON lines: one record, one line, flushed to the disk before delivery is confirmed.
//!
//! A line is that of [`super::line`]:
//!
//! ```json
//! {"position":7,"group":"orders","at_ms":1700000000000,"hash":"9f…","body":"{\"event\":\"advanced\"}"}
//! ```
//!
//! Delivery is at least once; the file makes it exactly once, because positions rise and the last line tells how far
//! the file got. A line that was torn by a crash was never confirmed: it is cut off and arrives again. A last line that
//! is not ours is never touched. The file may be renamed or cut by a log rotator at any time: the next delivery notices.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use handover_core::port::{Answer, Record, Sink};
use handover_core::{Fault, FaultKind, Touched};
use rustix::fs::FlockOperation;
use serde::Deserialize;

use super::line::{self, Line};

/// Options of a file sink.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The sink's name: the key of its cursor.
    pub name: String,
    /// The file; made with mode 0600 if it is not there.
    pub path: PathBuf,
}

/// A sink that appends to one file, and holds a lock on it so that two controllers cannot interleave their lines.
#[derive(Debug)]
pub struct FileSink {
    name: String,
    appender: Arc<Mutex<Appender>>,
}

impl FileSink {
    /// Opens the file, or makes it with mode 0600, and finds out how far it got. Blocks: call it while starting.
    ///
    /// # Errors
    /// `Busy` if another process holds the file, `Foreign` if its last line is not a record, `NotPermitted`, `Storage`.
    pub fn open(name: impl Into<String>, path: impl Into<PathBuf>) -> Result<Self, Fault> {
        let appender = Appender::open(path.into(), 0)?;
        Ok(Self { name: name.into(), appender: Arc::new(Mutex::new(appender)) })
    }

    /// The position of the last record that is known to be in the file; 0 if it is empty.
    pub fn last_position(&self) -> u64 {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner).last
    }
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(async move {
            let lines = records.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            let appender = Arc::clone(&self.appender);
            let appended = tokio::task::spawn_blocking(move || {
                appender.lock().unwrap_or_else(PoisonError::into_inner).append(&lines)
            });
            appended.await.unwrap_or_else(|_| {
                Err(Fault::unknown(FaultKind::Bug, "appending to the history file ended without an answer"))
            })
        })
    }
}

#[derive(Debug)]
struct Appender {
    path: PathBuf,
    file: File,
    /// Length up to which every line is whole and flushed.
    len: u64,
    /// The highest position in the file.
    last: u64,
    /// What stands up to `last` is of the history that is delivered now.
    same_history: bool,
    /// A write began and was not confirmed: what stands beyond `len` is void.
    doubtful: bool,
}

impl Appender {
    fn open(path: PathBuf, last: u64) -> Result<Self, Fault> {
        let existed = path.exists();
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| trouble(&path, Act::Open, &error))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let words = format!(
                "the history file {} is held by another process: stop the other controller or give each its own file",
                path.display()
            );
            return Err(Fault::untouched(FaultKind::Busy, words));
        }
        if !existed {
            // The directory entry must last as long as the lines that are confirmed to be in the file.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| trouble(&path, Act::Open, &error))?;
        }
        let mut appender = Self { path, file, len: 0, last, same_history: true, doubtful: false };
        appender.recover()?;
        Ok(appender)
    }

    /// Finds the last whole line, and cuts off what a crash left behind it.
    fn recover(&mut self) -> Result<(), Fault> {
        let end = self.file.metadata().map_err(|error| trouble(&self.path, Act::Read, &error))?.len();
        let tail = self.read_tail(end)?;
        let start = end - tail.len() as u64;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if let Some(body) = tail[..whole].strip_suffix(b"\n") {
            let last_line = body.iter().rposition(|byte| *byte == b'\n').map_or(body, |at| &body[at + 1..]);
            match serde_json::from_slice::<Line>(last_line) {
                Ok(line) if line.position > self.last => {
                    self.last = line.position;
                    self.same_history = false;
                }
                Ok(_) => {}
                Err(_) => return Err(self.foreign()),
            }
        } else if start > 0 {
            return Err(self.foreign());
        }
        let torn = &tail[whole..];
        if !torn.is_empty() {
            if !torn_line_of_ours(torn) {
                return Err(self.foreign());
            }
            self.cut(start + whole as u64)?;
        }
        self.len = start + whole as u64;
        Ok(())
    }

    /// The last line and whatever follows it, with all that the same blocks hold before it.
    fn read_tail(&mut self, end: u64) -> Result<Vec<u8>, Fault> {
        let mut wanted = BLOCK_BYTES;
        loop {
            let start = end.saturating_sub(wanted);
            let mut tail = Vec::new();
            self.file
                .seek(SeekFrom::Start(start))
                .and_then(|_| (&self.file).take(end - start).read_to_end(&mut tail))
                .map_err(|error| trouble(&self.path, Act::Read, &error))?;
            let newlines = tail.iter().filter(|byte| **byte == b'\n').count();
            // Two newlines bound one whole line; fewer will do only if this is the start of the file.
            if start == 0 || newlines >= 2 {
                return Ok(tail);
            }
            if wanted > line::BYTES_MAX {
                return Err(self.foreign());
            }
            wanted *= 4;
        }
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        self.settle()?;
        self.compare(entries)?;
        let mut text = String::new();
        let mut last = self.last;
        for entry in entries {
            if entry.position > last {
                text.push_str(&entry.text);
                last = entry.position;
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        self.doubtful = true;
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|error| trouble(&self.path, Act::Append, &error))?;
        self.len += text.len() as u64;
        self.last = last;
        self.doubtful = false;
        Ok(())
    }

    /// Makes sure that what is skipped because it stands in the file already does stand there.
    fn compare(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        if self.same_history {
            return Ok(());
        }
        if let Some(again) = entries.iter().rfind(|entry| entry.position <= self.last) {
            let found = self.find(again.position).map_err(|error| trouble(&self.path, Act::Read, &error))?;
            if found.is_none_or(|line| line.hash != again.hash) {
                let words = format!(
                    "{} holds another history, up to position {}: if the state was restored from a backup, keep this \
                     file, it knows what was lost; then name another",
                    self.path.display(),
                    self.last
                );
                return Err(Fault::untouched(FaultKind::Foreign, words));
            }
        }
        self.same_history = true;
        Ok(())
    }

    /// The line at this position. It reads from the beginning: it is asked once, after a start.
    fn find(&mut self, position: u64) -> io::Result<Option<Line>> {
        self.file.seek(SeekFrom::Start(0))?;
        let wanted = format!("{}{position},", line::START);
        for line in BufReader::new(&self.file).split(b'\n') {
            let line = line?;
            if line.starts_with(wanted.as_bytes()) {
                return Ok(serde_json::from_slice(&line).ok());
            }
        }
        Ok(None)
    }

    /// Makes the file end where the last confirmed delivery ended, whatever happened since.
    fn settle(&mut self) -> Result<(), Fault> {
        let ours = self.file.metadata().map_err(|error| trouble(&self.path, Act::Read, &error))?;
        let there = std::fs::metadata(&self.path).ok();
        if there.is_none_or(|there| (there.dev(), there.ino()) != (ours.dev(), ours.ino())) {
            if self.doubtful {
                self.cut(self.len)?;
            }
            // The same history goes on in another file, unless that file knows more of one.
            let same_history = self.same_history;
            *self = Self::open(self.path.clone(), self.last)?;
            self.same_history &= same_history;
            return Ok(());
        }
        if self.doubtful && ours.len() >= self.len {
            self.cut(self.len)?;
        } else if ours.len() != self.len {
            self.recover()?;
        }
        self.doubtful = false;
        Ok(())
    }

    fn cut(&self, len: u64) -> Result<(), Fault> {
        self.file
            .set_len(len)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| trouble(&self.path, Act::Repair, &error))
    }

    fn foreign(&self) -> Fault {
        let words = format!(
            "the last line of {} is not a record of ours, so nothing was changed: move the file away or name another",
            self.path.display()
        );
        Fault::untouched(FaultKind::Foreign, words)
    }
}

/// A record on its way into the file.
struct Entry {
    position: u64,
    hash: String,
    text: String,
}

fn entry(record: &Record) -> Result<Entry, Fault> {
    let mut text = line::write(record)?;
    text.push('\n');
    Ok(Entry { position: record.position, hash: record.hash.clone(), text })
}

/// Whether what follows the last newline can be the beginning of a line of ours. After a power loss some file systems
/// show the rest as zeros.
fn torn_line_of_ours(torn: &[u8]) -> bool {
    let written = torn.iter().position(|byte| *byte == 0).map_or(torn, |at| &torn[..at]);
    let rest = &torn[written.len()..];
    let common = written.len().min(line::START.len());
    written[..common] == line::START.as_bytes()[..common] && rest.iter().all(|byte| *byte == 0)
}

#[derive(Clone, Copy)]
enum Act {
    Open,
    Read,
    Append,
    Repair,
}

fn trouble(path: &Path, act: Act, error: &io::Error) -> Fault {
    let path = path.display();
    let (doing, touched) = match act {
        Act::Open => ("open", Touched::Nothing),
        Act::Read => ("read", Touched::Nothing),
        Act::Append => ("append to", Touched::Unknown),
        Act::Repair => ("repair the last line of", Touched::Unknown),
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel's errors: all others are alike to us")]
    let (kind, why) = match error.kind() {
        io::ErrorKind::PermissionDenied => (FaultKind::NotPermitted, "the user that runs this may not: fix its owner"),
        io::ErrorKind::NotFound => (FaultKind::Missing, "its directory is not there: create it"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (FaultKind::Storage, "there is no space left: make some; delivery goes on where it stopped")
        }
        _ => (FaultKind::Storage, "the file system failed: look at the kernel's log"),
    };
    Fault { kind, touched, detail: format!("cannot {doing} the history file {path}: {why}") }
}

/// How much is read from the end at first: several lines of usual length.
const BLOCK_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_unconfirmed_write_left_is_void() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let text =
            |position| format!("{{\"position\":{position},\"group\":\"g\",\"at_ms\":0,\"hash\":\"\",\"body\":\"\"}}\n");
        let entry = |position| Entry { position, hash: String::new(), text: text(position) };
        let mut appender = Appender::open(path.clone(), 0).unwrap();
        appender.append(&[entry(1)]).unwrap();
        // A write or flush that failed leaves the flag, and any number of bytes, whole lines included.
        appender.doubtful = true;
        appender.file.write_all(format!("{}{}", text(2), &text(3)[..20]).as_bytes()).unwrap();
        appender.append(&[entry(2), entry(3)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text(1) + &text(2) + &text(3));
        assert_eq!(appender.last, 3);
    }
}
