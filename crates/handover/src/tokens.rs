//! Who may ask for what. Tokens are kept as hashes in one file, with the names in client certificates that stand for
//! an identity; the file is replaced as a whole.

mod san;
mod stored;
mod verb;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handover_core::{ConsumerId, GroupId};
use handover_secret::Secret;
use jiff::Timestamp;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::file::{Stamp, stamp};
pub(crate) use san::{Certificate, San};
pub(crate) use verb::{Grant, Verb};

/// How every token begins, so that scanners for leaked secrets can know it.
const PREFIX: &str = "hnd_";

/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;

/// Random bytes in an entry's identifier.
const ID_BYTES: usize = 6;

/// The most entries in a file: each request is compared with all of them.
const TOKENS_MAX: usize = 10_000;

/// How often a running server looks whether the file was replaced or an entry expired, where no request makes it look.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// In a viewer's or operator's list of groups: all of them, also those that come later.
pub(crate) const EVERY_GROUP: &str = "*";

/// What an entry grants, and to whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    /// To whom.
    pub(crate) identity: ConsumerId,
    /// In which role.
    pub(crate) grant: Grant,
    /// For operators: these verbs only, and [`Verb::Look`]. Absent: all of the role.
    pub(crate) verbs: Option<BTreeSet<Verb>>,
    /// For which groups.
    pub(crate) groups: BTreeSet<String>,
    /// Until when. Absent: until it is revoked.
    pub(crate) expires_at: Option<Timestamp>,
}

/// One entry of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// What it is called in lists and revocations. Says nothing about the token.
    pub(crate) id: String,
    /// To whom it grants.
    pub(crate) identity: ConsumerId,
    /// In which role.
    pub(crate) grant: Grant,
    /// For operators: these verbs only.
    pub(crate) verbs: Option<BTreeSet<Verb>>,
    /// For which groups.
    pub(crate) groups: BTreeSet<String>,
    /// How its holder is known.
    pub(crate) proof: Proof,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Until when it counts.
    pub(crate) expires_at: Option<Timestamp>,
}

/// How the holder of an entry is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// By a token with this SHA-256.
    Token([u8; 32]),
    /// By a client certificate with this name in it.
    Certificate(San),
}

impl Entry {
    /// Whether it has expired.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// The holder of a valid entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) identity: ConsumerId,
    /// In which role.
    pub(crate) grant: Grant,
    entry: Arc<Entry>,
    /// When the certificate ends that named the caller.
    certificate_ends_at: Option<Timestamp>,
}

impl Caller {
    /// Whether the entry covers the group.
    pub(crate) fn covers(&self, group: &GroupId) -> bool {
        self.covers_every() || self.entry.groups.contains(group.as_str())
    }

    /// Whether the entry covers every group, also those that come later.
    pub(crate) fn covers_every(&self) -> bool {
        match self.grant {
            Grant::Viewer | Grant::Operator | Grant::Approver => self.entry.groups.contains(EVERY_GROUP),
            Grant::Consumer => false,
        }
    }

    /// Whether the entry allows the verb. Whoever may do something may also look at what it did.
    pub(crate) fn may(&self, verb: Verb) -> bool {
        let narrowed = self.entry.verbs.as_ref().is_some_and(|verbs| verb != Verb::Look && !verbs.contains(&verb));
        self.grant.includes(verb) && !narrowed
    }

    fn of(entry: &Arc<Entry>) -> Self {
        Self { identity: entry.identity.clone(), grant: entry.grant, entry: entry.clone(), certificate_ends_at: None }
    }
}

/// Makes a token and adds its hash to the file. The token itself is returned and kept nowhere.
pub(crate) fn create(file: &Path, terms: &Terms) -> Result<Secret, Failure> {
    let _lock = stored::lock(file)?;
    let mut entries = stored::read(file)?;
    let token = mint(PREFIX)?;
    add(&mut entries, terms, Proof::Token(digest(&token)))?;
    stored::replace(file, &entries)?;
    Ok(token)
}

/// Adds an entry for whoever presents a client certificate with this name in it. Returns its identifier.
pub(crate) fn admit(file: &Path, terms: &Terms, san: San) -> Result<String, Failure> {
    let _lock = stored::lock(file)?;
    let mut entries = stored::read(file)?;
    let proof = Proof::Certificate(san);
    if let Some(other) = entries.iter().find(|entry| entry.proof == proof) {
        return Err(Failure::refused(format!("entry {} has this name already, for {}", other.id, other.identity))
            .hint(format!("take it out with `handover token revoke {}`", other.id)));
    }
    let id = add(&mut entries, terms, proof)?;
    stored::replace(file, &entries)?;
    Ok(id)
}

/// Makes the first operator's token. `None` where there is an operator's entry already: asked for twice, by two
/// requests or in two processes, it is made once, because the file's lock is held from the look to the change.
pub(crate) fn create_first(file: &Path, identity: &ConsumerId) -> Result<Option<Secret>, Failure> {
    let _lock = stored::lock(file)?;
    let mut entries = stored::read(file)?;
    if entries.iter().any(|entry| entry.grant == Grant::Operator) {
        return Ok(None);
    }
    let token = mint(PREFIX)?;
    let terms = Terms {
        identity: identity.clone(),
        grant: Grant::Operator,
        verbs: None,
        groups: BTreeSet::from([EVERY_GROUP.to_owned()]),
        expires_at: None,
    };
    add(&mut entries, &terms, Proof::Token(digest(&token)))?;
    stored::replace(file, &entries)?;
    Ok(Some(token))
}

/// All entries, the oldest first.
pub(crate) fn list(file: &Path) -> Result<Vec<Entry>, Failure> {
    stored::read(file)
}

/// Which entries are meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    /// The one with this identifier.
    Id(String),
    /// All of this identity.
    Identity(ConsumerId),
}

/// Takes entries out of the file, and returns them. An empty list: there was none, and nothing was changed.
pub(crate) fn revoke(file: &Path, which: &Which) -> Result<Vec<Entry>, Failure> {
    let _lock = stored::lock(file)?;
    let meant = |entry: &Entry| match which {
        Which::Id(id) => entry.id == *id,
        Which::Identity(identity) => entry.identity == *identity,
    };
    let (gone, kept): (Vec<Entry>, Vec<Entry>) = stored::read(file)?.into_iter().partition(meant);
    if !gone.is_empty() {
        stored::replace(file, &kept)?;
    }
    Ok(gone)
}

/// The entries of a running server. The file is read again when it was replaced, so that a new entry works at once and
/// a revoked one stops.
#[derive(Debug)]
pub(crate) struct Tokens {
    file: PathBuf,
    known: RwLock<Arc<Known>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Known {
    stamp: Option<Stamp>,
    readable: bool,
    entries: Vec<Arc<Entry>>,
}

impl Tokens {
    /// Reads the file. A file that is not there holds no entries.
    pub(crate) fn open(file: &Path) -> Result<Self, Failure> {
        // Before the reading: what is written meanwhile is then read again.
        let stamp = stamp(file);
        let known = Known { stamp, readable: true, entries: shared(stored::read(file)?) };
        Ok(Self { file: file.to_owned(), known: RwLock::new(Arc::new(known)), changes: watch::Sender::new(0) })
    }

    /// Who presents this token, if it is one. Takes the same time whichever token it is, or none.
    pub(crate) fn caller(&self, presented: &Secret) -> Option<Caller> {
        let presented = digest(presented);
        let known = self.known();
        let mut found = None;
        for entry in &known.entries {
            if let Proof::Token(digest) = &entry.proof
                && bool::from(digest.ct_eq(&presented))
            {
                found = Some(entry);
            }
        }
        found.filter(|entry| !entry.is_over(Timestamp::now())).map(Caller::of)
    }

    /// Whom a verified client certificate names. A certificate whose names stand for several entries names nobody:
    /// which of them is meant is not ours to guess.
    pub(crate) fn holder(&self, certificate: &Certificate) -> Option<Caller> {
        let now = Timestamp::now();
        let known = self.known();
        let named = |entry: &&Arc<Entry>| match &entry.proof {
            Proof::Certificate(san) => certificate.names.contains(san),
            Proof::Token(_) => false,
        };
        let mut found = known.entries.iter().filter(named);
        match (found.next(), found.next()) {
            (Some(entry), None) if !entry.is_over(now) && certificate.ends_at > now => {
                Some(Caller { certificate_ends_at: Some(certificate.ends_at), ..Caller::of(entry) })
            }
            (Some(_) | None, _) => None,
        }
    }

    /// Whether the caller's entry is still in the file, unchanged, and counts.
    pub(crate) fn is_valid(&self, caller: &Caller) -> bool {
        let now = Timestamp::now();
        let ended = caller.entry.is_over(now) || caller.certificate_ends_at.is_some_and(|end| end <= now);
        !ended && self.known().entries.contains(&caller.entry)
    }

    /// All entries, expired or not; `None` while the file cannot be read.
    pub(crate) fn entries(&self) -> Option<Vec<Arc<Entry>>> {
        let known = self.known();
        known.readable.then(|| known.entries.clone())
    }

    /// Whether there is an operator's entry, expired or not.
    pub(crate) fn has_operator(&self) -> bool {
        self.known().entries.iter().any(|entry| entry.grant == Grant::Operator)
    }

    /// Changes when entries may have come, gone or expired: whoever answers for long then looks again.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks at the file and the clock until `drain` turns true, for those who wait for [`Tokens::changes`].
    pub(crate) async fn follow(&self, mut drain: watch::Receiver<bool>) {
        let count = |known: &Known| {
            let now = Timestamp::now();
            known.entries.iter().filter(|entry| entry.is_over(now)).count()
        };
        let known = self.known();
        let mut seen = (known.stamp, count(&known));
        loop {
            tokio::select! {
                _ = drain.wait_for(|drain| *drain) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let known = self.known();
            let now = (known.stamp, count(&known));
            if now != seen {
                seen = now;
                self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
            }
        }
    }

    fn known(&self) -> Arc<Known> {
        let now = stamp(&self.file);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.stamp == now && known.readable {
            return known;
        }
        // A file that cannot be read is no reason to go on with entries that may have been removed from it. It is read
        // again at each look: what is wrong may be a lack of descriptors, which leaves the file as it is.
        let fresh = Arc::new(match stored::read(&self.file) {
            Ok(entries) => Known { stamp: now, readable: true, entries: shared(entries) },
            Err(failure) => {
                if known.readable {
                    tracing::error!(failure = failure.message(), "the tokens cannot be read; all are refused");
                }
                Known { stamp: now, readable: false, entries: Vec::new() }
            }
        });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        fresh
    }
}

/// A random text that begins with `prefix`.
pub(crate) fn mint(prefix: &str) -> Result<Secret, Failure> {
    let bytes = Zeroizing::new(random::<TOKEN_BYTES>()?);
    Ok(Secret::from_text(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes.as_ref()))))
}

/// The hash that stands for a token.
pub(crate) fn digest(token: &Secret) -> [u8; 32] {
    #[expect(clippy::disallowed_methods, reason = "a token is compared by its hash")]
    Sha256::digest(token.expose()).into()
}

fn add(entries: &mut Vec<Entry>, terms: &Terms, proof: Proof) -> Result<String, Failure> {
    if entries.len() >= TOKENS_MAX {
        return Err(Failure::refused(format!("there are {TOKENS_MAX} tokens already"))
            .hint("`handover token list` shows them; take out what nobody needs with `handover token revoke`"));
    }
    let mut id = hex::encode(random::<ID_BYTES>()?);
    while entries.iter().any(|entry| entry.id == id) {
        id = hex::encode(random::<ID_BYTES>()?);
    }
    let Terms { identity, grant, verbs, groups, expires_at } = terms.clone();
    entries.push(Entry {
        id: id.clone(),
        identity,
        grant,
        verbs,
        groups,
        proof,
        created_at: Timestamp::now(),
        expires_at,
    });
    Ok(id)
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Failure> {
    let mut bytes = [0; BYTES];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| Failure::error("the operating system gave no randomness; nothing was made"))?;
    Ok(bytes)
}

fn shared(entries: Vec<Entry>) -> Vec<Arc<Entry>> {
    entries.into_iter().map(Arc::new).collect()
}

#[cfg(test)]
mod tests;
