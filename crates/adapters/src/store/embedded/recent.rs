//! Current values that were read lately, as sealed as they rest in the file.
//!
//! They are good for as long as nobody has committed anything to the file, this process and others alike: SQLite says
//! whether somebody did, by a number in shared memory. So a value that was replaced or discarded is not handed out again,
//! and nothing has to be told to this place by whoever writes.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_core::{Fault, GroupId};
use rusqlite::Connection;

use super::rows::Sealed;
use super::schema::open_reader;

/// How many are kept. When there are more, all are forgotten, and read again.
const RECENT_MAX: usize = 4_096;

/// How many bytes are kept.
const RECENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What was read lately.
#[derive(Clone)]
pub(super) struct Recent(Arc<Mutex<Inner>>);

struct Inner {
    /// Reads nothing but whether the file changed.
    connection: Connection,
    /// What the file was at when the values were read.
    version: Option<Version>,
    values: HashMap<GroupId, Arc<Sealed>>,
    bytes: usize,
}

/// Which of its commits a file is at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Version(i64);

impl Recent {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let connection = open_reader(path)?;
        Ok(Self(Arc::new(Mutex::new(Inner { connection, version: None, values: HashMap::new(), bytes: 0 }))))
    }

    /// What is known of a group's current value, and what the file is at; `None` for what is not known. It takes no page
    /// of the file, so that it blocks nobody.
    pub(super) fn find(&self, group: &GroupId) -> (Option<Arc<Sealed>>, Option<Version>) {
        let mut inner = self.lock();
        let now = inner.look();
        (inner.values.get(group).cloned(), now)
    }

    /// Keeps what was read after [`Recent::find`] said what the file was at.
    pub(super) fn keep(&self, group: GroupId, sealed: Arc<Sealed>, read_at: Option<Version>) {
        let mut inner = self.lock();
        // Something was committed meanwhile: it may have been this value.
        if read_at.is_none() || inner.look() != read_at {
            return;
        }
        if inner.values.len() >= RECENT_MAX || inner.bytes + sealed.bytes() > RECENT_BYTES_MAX {
            inner.clear();
        }
        inner.bytes += sealed.bytes();
        if let Some(old) = inner.values.insert(group, sealed) {
            inner.bytes -= old.bytes();
        }
    }

    /// Forgets at once what is not good any more, and does not leave that to the next reader.
    pub(super) fn settle(&self) {
        self.lock().look();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What the file is at; forgets what is of earlier. Where that cannot be said, nothing is known.
    fn look(&mut self) -> Option<Version> {
        let sql = "PRAGMA data_version";
        let version = self.connection.prepare_cached(sql).and_then(|mut look| look.query_row([], |row| row.get(0)));
        let version = version.ok().map(Version);
        if version != self.version || version.is_none() {
            self.clear();
            self.version = version;
        }
        version
    }

    fn clear(&mut self) {
        self.values.clear();
        self.bytes = 0;
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}
