//! What a backup consists of: a folder with copies of the state, the store and the tokens, and a manifest of them.
//!
//! The store is copied before the state: whatever the state then says, the store is at most behind it, and recovery
//! publishes anew what the state holds. The master key is not in it: who has both has everything.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;

/// The manifest's name.
pub(crate) const MANIFEST: &str = "backup.json";
/// The state's name in a backup.
pub(crate) const STATE: &str = "state.db";
/// The store's name in a backup.
pub(crate) const STORE: &str = "store.db";
/// The name of the tokens in a backup.
pub(crate) const TOKENS: &str = "tokens.json";

/// The longest manifest that is read.
const MANIFEST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a backup holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The manifest's version.
    pub(crate) version: u32,
    /// When it was made: RFC 3339, UTC.
    pub(crate) at: String,
    /// The program's version.
    pub(crate) program: String,
    /// The last position of the history.
    pub(crate) position: u64,
    /// The files, with their digests.
    pub(crate) files: Vec<Item>,
    /// The groups, as the copy of the state has them.
    pub(crate) groups: Vec<GroupAt>,
}

/// One file of a backup.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// Its name.
    pub(crate) name: String,
    /// Its length in bytes.
    pub(crate) bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub(crate) sha256: String,
}

/// A group in a backup.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupAt {
    /// Its name.
    pub(crate) group: String,
    /// What is in force, if anything.
    pub(crate) generation: Option<u64>,
    /// The highest publication.
    pub(crate) publication: u64,
    /// Where its rotation stands, if one is live.
    pub(crate) phase: Option<String>,
}

impl Manifest {
    /// The groups whose rotation is live in it.
    pub(crate) fn live(&self) -> Vec<&GroupAt> {
        self.groups.iter().filter(|group| group.phase.is_some()).collect()
    }

    /// Reads the manifest of a backup, and compares every file with it.
    pub(crate) fn read(directory: &Path) -> Result<Self, Failure> {
        let file = directory.join(MANIFEST);
        let unusable = |why: &str| {
            Failure::error(format!("{} is no whole backup: {why}", directory.display()))
                .hint("name a folder that `handover backup` wrote")
        };
        let metadata = fs::metadata(&file).map_err(|_| unusable("its manifest is not there"))?;
        if metadata.len() > MANIFEST_BYTES_MAX {
            return Err(unusable("its manifest is too long"));
        }
        let text = fs::read(&file).map_err(|_| unusable("its manifest cannot be read"))?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|_| unusable("its manifest is torn or not ours"))?;
        if manifest.version != 1 {
            return Err(unusable("another version of this program wrote it"));
        }
        for wanted in [STATE, STORE] {
            if manifest.files.iter().all(|item| item.name != wanted) {
                return Err(unusable(&format!("{wanted} is not in its manifest")));
            }
        }
        for item in &manifest.files {
            if ![STATE, STORE, TOKENS].contains(&item.name.as_str()) {
                return Err(unusable("its manifest names a file that does not belong there"));
            }
            let found =
                Item::of(directory, &item.name).map_err(|_| unusable(&format!("{} cannot be read", item.name)))?;
            if found.sha256 != item.sha256 {
                return Err(unusable(&format!("{} is not what the manifest says", item.name)));
            }
        }
        Ok(manifest)
    }

    /// Writes the manifest, and flushes it.
    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(MANIFEST))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()
    }
}

impl Item {
    /// Measures a file.
    pub(crate) fn of(directory: &Path, name: &str) -> std::io::Result<Self> {
        let mut file = File::open(directory.join(name))?;
        let mut digest = Sha256::new();
        let bytes = std::io::copy(&mut file, &mut digest)?;
        Ok(Self { name: name.to_owned(), bytes, sha256: hex::encode(digest.finalize()) })
    }
}

/// Copies a file to a new one for us alone, and flushes it.
pub(crate) fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// A folder for us alone.
pub(crate) fn make_folder(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Flushes the names in a folder.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
}

/// `path` with `.suffix` added to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// A database and the companions that SQLite keeps beside it.
pub(crate) fn with_companions(path: &Path) -> Vec<PathBuf> {
    let companion = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    vec![path.to_owned(), companion("-wal"), companion("-shm"), companion("-journal")]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S44: whatever stands in a manifest, no file outside of the backup is named by one that is taken.
    #[test]
    fn hostile_manifests_are_read_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for name in [STATE, STORE] {
            fs::write(folder.join(name), "").unwrap();
        }
        let item = |name| Item { name: String::from(name), bytes: 0, sha256: empty.to_owned() };
        let group = GroupAt { group: "app".to_owned(), generation: Some(1), publication: 1, phase: None };
        let (at, program) = ("2026-01-31T08:00:00Z".to_owned(), "0.1.0".to_owned());
        let files = vec![item(STATE), item(STORE)];
        let manifest = Manifest { version: 1, at, program, position: 7, files, groups: vec![group] };
        let example = serde_json::to_vec(&manifest).unwrap();
        let mut taken = 0;
        handover_testkit::mutate::variations(41, 2_000, &[example], |bytes| {
            fs::write(folder.join(MANIFEST), bytes).unwrap();
            if let Ok(manifest) = Manifest::read(folder) {
                taken += 1;
                assert!(manifest.files.iter().all(|item| [STATE, STORE, TOKENS].contains(&item.name.as_str())));
            }
        });
        assert!(taken > 0, "the example is taken");
    }
}
