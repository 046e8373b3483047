//! The token file: read whole, replaced whole, by one process at a time.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use handover_core::ConsumerId;
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::san::San;
use super::verb::{Grant, Verb};
use super::{Entry, Proof};
use crate::failure::Failure;

/// The version that is written. Version 1, which had no identifiers, expiry, verbs or certificates, is still read.
/// A program that knows version 1 only refuses this one as a whole: it would not know that an entry has expired.
const VERSION: u32 = 2;

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The first characters of a hash name an entry that has no identifier of its own.
const ID_CHARS: usize = 12;

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    tokens: Vec<StoredEntry>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEntry {
    #[serde(default)]
    id: String,
    identity: String,
    grant: Grant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verbs: Option<BTreeSet<Verb>>,
    groups: BTreeSet<String>,
    /// SHA-256 of the whole token. A token is 256 random bits, so a slow hash would add nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_san: Option<String>,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

impl StoredEntry {
    fn parse(self) -> Option<Entry> {
        let proof = match (self.sha256, self.certificate_san) {
            (Some(sha256), None) => {
                let mut digest = [0; 32];
                hex::decode_to_slice(&sha256, &mut digest).ok()?;
                Proof::Token(digest)
            }
            (None, Some(san)) => Proof::Certificate(San::parse(&san).ok()?),
            (None, None) | (Some(_), Some(_)) => return None,
        };
        let id = match &proof {
            Proof::Token(digest) if self.id.is_empty() => {
                hex::encode(digest).get(..ID_CHARS).unwrap_or_default().to_owned()
            }
            Proof::Token(_) | Proof::Certificate(_) => self.id,
        };
        Some(Entry {
            id,
            identity: ConsumerId::parse(&self.identity).ok()?,
            grant: self.grant,
            verbs: self.verbs,
            groups: self.groups,
            proof,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }

    fn of(entry: &Entry) -> Self {
        let (sha256, certificate_san) = match &entry.proof {
            Proof::Token(digest) => (Some(hex::encode(digest)), None),
            Proof::Certificate(san) => (None, Some(san.to_string())),
        };
        Self {
            id: entry.id.clone(),
            identity: entry.identity.to_string(),
            grant: entry.grant,
            verbs: entry.verbs.clone(),
            groups: entry.groups.clone(),
            sha256,
            certificate_san,
            created_at: entry.created_at,
            expires_at: entry.expires_at,
        }
    }
}

/// All entries. A file that is not there holds none.
pub(super) fn read(file: &Path) -> Result<Vec<Entry>, Failure> {
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(file, &error.kind().to_string())),
    };
    if metadata.mode() & 0o077 != 0 {
        return Err(
            unusable(file, "others than its owner may read or write it").hint(format!("chmod 600 {}", file.display()))
        );
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(unusable(file, "it is too long"));
    }
    let text = std::fs::read(file).map_err(|error| unusable(file, &error.kind().to_string()))?;
    let stored: Stored = serde_json::from_slice(&text).map_err(|_| unusable(file, "it is torn or not ours"))?;
    if !(1..=VERSION).contains(&stored.version) {
        return Err(unusable(file, "it was written by another version"));
    }
    let entries: Option<Vec<Entry>> = stored.tokens.into_iter().map(StoredEntry::parse).collect();
    entries.ok_or_else(|| Failure::error("the token file holds an entry that is not one of ours"))
}

/// Two changes at a time: the second waits, so that neither loses the other's entry. The lock has a file of its own,
/// because the file itself is replaced.
pub(super) fn lock(file: &Path) -> Result<File, Failure> {
    let path = beside(file, "lock");
    let failed = |error: std::io::Error| unusable(&path, &error.kind().to_string());
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(lock)
}

/// Writes another file, flushes it, and renames it over the old one: a reader sees the old entries or the new ones.
pub(super) fn replace(file: &Path, entries: &[Entry]) -> Result<(), Failure> {
    let stored = Stored { version: VERSION, tokens: entries.iter().map(StoredEntry::of).collect() };
    let fresh = beside(file, "new");
    let write = || -> std::io::Result<()> {
        // What a process that died on the way left behind: the lock says that nobody is writing it now.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        out.write_all(&serde_json::to_vec_pretty(&stored)?)?;
        out.sync_all()?;
        std::fs::rename(&fresh, file)?;
        File::open(directory(file))?.sync_all()
    };
    write().map_err(|error| unusable(file, &format!("it cannot be replaced: {}", error.kind())))
}

pub(super) fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(file: &Path, why: &str) -> Failure {
    Failure::error(format!("the token file {} is not usable: {why}", file.display()))
        .hint("restore it from its backup; or move it away, and make each token anew with `handover token create`")
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_of_version_1_is_read_and_its_entries_have_names() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.json");
        let digest = "ab".repeat(32);
        let text = format!(
            r#"{{"version":1,"tokens":[{{"identity":"me","grant":"operator","groups":["*"],
                "sha256":"{digest}","created_at":"2026-01-31T08:00:00Z"}}]}}"#
        );
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let entries = read(&file).unwrap();
        assert_eq!((entries[0].id.as_str(), entries[0].expires_at, entries.len()), ("abababababab", None, 1));
        replace(&file, &entries).unwrap();
        assert!(read(&file).unwrap() == entries, "and it stays the same when it is written in today's version");
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.json");
        let entry = |more: &str| {
            format!(
                r#"{{"version":2,"tokens":[{{"id":"a","identity":"me","grant":"operator","groups":["*"],
                    "created_at":"2026-01-31T08:00:00Z"{more}}}]}}"#
            )
        };
        let digest = "ab".repeat(32);
        for (text, usable) in [
            (entry(&format!(r#","sha256":"{digest}""#)), true),
            (entry(r#","certificate_san":"dns:a.internal""#), true),
            (entry(""), false),
            (entry(&format!(r#","sha256":"{digest}","certificate_san":"dns:a""#)), false),
            (entry(r#","certificate_san":"dns:*.internal""#), false),
            (entry(r#","sha256":"ab""#), false),
            (entry(&format!(r#","sha256":"{digest}","verbs":["everything"]"#)), false),
            (r#"{"version":3,"tokens":[]}"#.to_owned(), false),
        ] {
            std::fs::write(&file, &text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read(&file).is_ok(), usable, "{text}");
        }
    }

    /// S44: whatever stands in the token file, reading it ends in entries that are written as they were read, or in words.
    #[test]
    fn hostile_token_files_are_read_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.json");
        let example = format!(
            r#"{{"version":2,"tokens":[{{"id":"a","identity":"me","grant":"operator","groups":["*"],"verbs":["hold"],
                "sha256":"{}","created_at":"2026-01-31T08:00:00Z","expires_at":"2027-01-31T08:00:00Z"}}]}}"#,
            "ab".repeat(32)
        );
        std::fs::write(&file, &example).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        handover_testkit::mutate::variations(29, 3_000, &[example], |bytes| {
            std::fs::write(&file, bytes).unwrap();
            if let Ok(entries) = read(&file) {
                let stored = Stored { version: VERSION, tokens: entries.iter().map(StoredEntry::of).collect() };
                let text = serde_json::to_vec(&stored).unwrap();
                let again: Stored = serde_json::from_slice(&text).unwrap();
                assert_eq!(again.tokens.len(), entries.len());
            }
        });
    }
}
