//! Who may ask for what. Tokens are kept as hashes in one file, replaced as a whole.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handover_core::{ConsumerId, GroupId};
use handover_secret::Secret;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// How every token begins, so that scanners for leaked secrets can know it.
const PREFIX: &str = "hnd_";

/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;

/// The most tokens in a file: each request is compared with all of them.
const TOKENS_MAX: usize = 10_000;

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the holder of a token may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grant {
    /// Fetch and acknowledge the values of its groups.
    Consumer,
    /// See its groups and give orders to them. Never sees a value.
    Operator,
}

/// The holder of a valid token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) identity: ConsumerId,
    /// What it may do.
    pub(crate) grant: Grant,
    groups: BTreeSet<String>,
    digest: [u8; 32],
}

impl Caller {
    /// Whether the token covers the group.
    pub(crate) fn covers(&self, group: &GroupId) -> bool {
        self.groups.contains(group.as_str()) || (self.grant == Grant::Operator && self.groups.contains(EVERY_GROUP))
    }
}

/// In an operator's list of groups: all of them, also those that come later.
pub(crate) const EVERY_GROUP: &str = "*";

/// The file, version 1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    tokens: Vec<StoredToken>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredToken {
    identity: String,
    grant: Grant,
    groups: BTreeSet<String>,
    /// SHA-256 of the whole token. A token is 256 random bits, so a slow hash would add nothing.
    sha256: String,
    created_at: String,
}

/// Makes a token and adds its hash to the file. The token itself is returned and kept nowhere.
pub(crate) fn create(
    file: &Path,
    identity: &ConsumerId,
    grant: Grant,
    groups: BTreeSet<String>,
) -> Result<Secret, Failure> {
    let _lock = lock(file)?;
    let mut stored = read(file)?;
    if stored.tokens.len() >= TOKENS_MAX {
        return Err(Failure::refused(format!("there are {TOKENS_MAX} tokens already")).hint("remove some of them"));
    }
    let token = mint()?;
    stored.tokens.push(StoredToken {
        identity: identity.to_string(),
        grant,
        groups,
        sha256: hex::encode(digest(&token)),
        created_at: jiff::Timestamp::now().to_string(),
    });
    replace(file, &stored)?;
    Ok(token)
}

/// The tokens of a running server. The file is read again when it was replaced, so that a new token works at once and a
/// removed one stops.
#[derive(Debug)]
pub(crate) struct Tokens {
    file: PathBuf,
    known: RwLock<Arc<Known>>,
}

#[derive(Debug)]
struct Known {
    stamp: Option<Stamp>,
    callers: Vec<Caller>,
}

/// What changes when the file is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    length: u64,
    modified_ns: (i64, i64),
}

impl Tokens {
    /// Reads the file. A file that is not there holds no tokens.
    pub(crate) fn open(file: &Path) -> Result<Self, Failure> {
        let known = Known { stamp: stamp(file), callers: callers(read(file)?)? };
        Ok(Self { file: file.to_owned(), known: RwLock::new(Arc::new(known)) })
    }

    /// Who presents this token, if it is one. Takes the same time whichever token it is, or none.
    pub(crate) fn caller(&self, presented: &Secret) -> Option<Caller> {
        let presented = digest(presented);
        let known = self.known();
        let mut found = None;
        for caller in &known.callers {
            if bool::from(caller.digest.ct_eq(&presented)) {
                found = Some(caller);
            }
        }
        found.cloned()
    }

    /// Whether the caller's token is still in the file.
    pub(crate) fn is_valid(&self, caller: &Caller) -> bool {
        self.known().callers.iter().any(|known| known == caller)
    }

    fn known(&self) -> Arc<Known> {
        let now = stamp(&self.file);
        let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if known.stamp == now {
            return known;
        }
        // A file that cannot be read is no reason to go on with tokens that may have been removed from it.
        let callers = read(&self.file).and_then(callers).unwrap_or_else(|failure| {
            tracing::error!(failure = failure.message(), "the tokens cannot be read; all are refused");
            Vec::new()
        });
        let fresh = Arc::new(Known { stamp: now, callers });
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh.clone();
        fresh
    }
}

fn mint() -> Result<Secret, Failure> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    OsRng
        .try_fill_bytes(bytes.as_mut())
        .map_err(|_| Failure::error("the operating system gave no randomness; no token was made"))?;
    Ok(Secret::from_text(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_ref()))))
}

fn digest(token: &Secret) -> [u8; 32] {
    #[expect(clippy::disallowed_methods, reason = "a token is compared by its hash")]
    Sha256::digest(token.expose()).into()
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

fn callers(stored: Stored) -> Result<Vec<Caller>, Failure> {
    let caller = |token: StoredToken| {
        let mut digest = [0; 32];
        hex::decode_to_slice(&token.sha256, &mut digest).ok()?;
        let identity = ConsumerId::parse(&token.identity).ok()?;
        Some(Caller { identity, grant: token.grant, groups: token.groups, digest })
    };
    let callers: Option<Vec<Caller>> = stored.tokens.into_iter().map(caller).collect();
    callers.ok_or_else(|| Failure::error("the token file holds an entry that is not one of ours"))
}

fn read(file: &Path) -> Result<Stored, Failure> {
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Stored { version: 1, tokens: Vec::new() });
        }
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
    if stored.version != 1 {
        return Err(unusable(file, "it was written by another version"));
    }
    Ok(stored)
}

fn unusable(file: &Path, why: &str) -> Failure {
    Failure::error(format!("the token file {} is not usable: {why}", file.display()))
}

/// Two `token create` at a time: the second waits, so that neither loses the other's entry. The lock has a file of its
/// own, because the file itself is replaced.
fn lock(file: &Path) -> Result<File, Failure> {
    let path = beside(file, "lock");
    let failed = |error: std::io::Error| unusable(&path, &error.kind().to_string());
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(lock)
}

/// Writes another file, flushes it, and renames it over the old one: a reader sees the old tokens or the new ones.
fn replace(file: &Path, stored: &Stored) -> Result<(), Failure> {
    let fresh = beside(file, "new");
    let write = || -> std::io::Result<()> {
        // What a process that died on the way left behind: the lock says that nobody is writing it now.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        out.write_all(&serde_json::to_vec_pretty(stored)?)?;
        out.sync_all()?;
        std::fs::rename(&fresh, file)?;
        File::open(directory(file))?.sync_all()
    };
    write().map_err(|error| unusable(file, &format!("it cannot be replaced: {}", error.kind())))
}

fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> ConsumerId {
        ConsumerId::parse(name).unwrap()
    }

    fn groups(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_created_token_is_known_and_kept_as_a_hash_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.json");
        let tokens = Tokens::open(&file).unwrap();
        let token = create(&file, &identity("worker"), Grant::Consumer, groups(&["orders"])).unwrap();
        let caller = tokens.caller(&token).expect("a running server knows a new token at once");
        assert_eq!((caller.identity.as_str(), caller.grant), ("worker", Grant::Consumer));
        assert!(caller.covers(&GroupId::parse("orders").unwrap()));
        assert!(!caller.covers(&GroupId::parse("others").unwrap()));
        assert!(tokens.caller(&Secret::from_text("hnd_wrong".to_owned())).is_none());
        #[expect(clippy::disallowed_methods, reason = "looks for the token in the file")]
        let text = token.expose_text().unwrap().to_owned();
        assert!(text.starts_with(PREFIX) && text.len() == PREFIX.len() + 43);
        assert!(!std::fs::read_to_string(&file).unwrap().contains(&text));
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_removed_token_stops() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.json");
        let first = create(&file, &identity("one"), Grant::Consumer, groups(&["orders"])).unwrap();
        let tokens = Tokens::open(&file).unwrap();
        let caller = tokens.caller(&first).unwrap();
        replace(&file, &Stored { version: 1, tokens: Vec::new() }).unwrap();
        assert!(tokens.caller(&first).is_none());
        assert!(!tokens.is_valid(&caller));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.json");
        let token = create(&file, &identity("one"), Grant::Consumer, groups(&["orders"])).unwrap();
        let tokens = Tokens::open(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Tokens::open(&file).is_err());
        std::fs::write(&file, "{").unwrap();
        assert!(tokens.caller(&token).is_none(), "and a running server refuses all");
    }

    #[test]
    fn two_at_a_time_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens.json");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    create(file, &identity(&format!("c{number}")), Grant::Consumer, groups(&["orders"])).unwrap();
                });
            }
        });
        assert_eq!(read(&file).unwrap().tokens.len(), 8);
    }

    #[test]
    fn only_an_operator_can_cover_every_group() {
        let caller = |grant| Caller { identity: identity("x"), grant, groups: groups(&["*"]), digest: [0; 32] };
        let group = GroupId::parse("orders").unwrap();
        assert!(caller(Grant::Operator).covers(&group));
        assert!(!caller(Grant::Consumer).covers(&group));
    }
}
