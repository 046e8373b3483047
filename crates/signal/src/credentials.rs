//! Credentials for those who present them: each sees what is permitted to it, and nothing is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use crate::keys::Keys;
use crate::scope::Scope;
use crate::sync::Mutex;

/// A value with the publication that brought it. Two are the same if their publications are: contents are not compared.
pub struct Published<T> {
    publication: u64,
    value: T,
}

/// Who may read which keys, for which targets.
///
/// Reads pass through to [`Keys`]: nothing is cached here, so that a value is never older than what is published.
pub struct Credentials<T> {
    keys: Keys<T>,
    permits: Mutex<BTreeMap<String, Permits>>,
}

/// What one client may read. Whoever holds it can read this and nothing else, and cannot come by more.
pub struct ScopedCredentials<T> {
    client: String,
    keys: Keys<T>,
    permits: Permits,
}

type Permits = BTreeMap<String, Permit>;

#[derive(Clone)]
struct Permit {
    key: String,
    targets: Vec<String>,
}

/// Why a credential is not handed out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialFault {
    /// The client has no permit of this name.
    #[error("{client} has no permit for {name}: permit it where the credentials are set up")]
    OutsideScope {
        /// Who asked.
        client: String,
        /// What for.
        name: String,
    },
    /// The client may present it to other targets only.
    #[error("{client} may not present {name} to {target}: permit that target, or present it elsewhere")]
    OtherTarget {
        /// Who asked.
        client: String,
        /// What for.
        name: String,
        /// Whom it would have been presented to.
        target: String,
    },
    /// It is permitted, and nothing is there.
    #[error("nothing is at {key}: publish it, or correct the key of {client}'s permit")]
    Missing {
        /// Who asked.
        client: String,
        /// The key that the permit names.
        key: String,
    },
}

impl<T: PartialEq + Send + Sync + 'static> Credentials<T> {
    /// Nobody may read anything yet.
    pub fn new(keys: &Keys<T>) -> Self {
        Self { keys: keys.clone(), permits: Mutex::default() }
    }

    /// Permits a client to read `key` by the name `name`, and to present it to `target`. Several targets are several
    /// permits; another key under the same name takes the place of the first. It holds for views made from here on.
    pub fn permit(&self, client: &str, name: &str, key: &str, target: &str) {
        let mut all = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = all.entry(client.to_owned()).or_default();
        let permit =
            permits.entry(name.to_owned()).or_insert_with(|| Permit { key: key.to_owned(), targets: Vec::new() });
        if permit.key != key {
            *permit = Permit { key: key.to_owned(), targets: Vec::new() };
        }
        permit.targets.push(target.to_owned());
    }

    /// What a client may read. One without permits may read nothing.
    pub fn scope(&self, client: &str) -> ScopedCredentials<T> {
        let all = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = all.get(client).cloned().unwrap_or_default();
        ScopedCredentials { client: client.to_owned(), keys: self.keys.clone(), permits }
    }
}

impl<T: PartialEq + Send + Sync + 'static> ScopedCredentials<T> {
    /// A credential, to be presented to a target. Whoever the scope is of runs again when it changes.
    ///
    /// # Errors
    /// If it is not permitted, or nothing is there; who asked runs again when something comes.
    pub fn get(&self, scope: &Scope, name: &str, target: &str) -> Result<Arc<T>, CredentialFault> {
        let client = || self.client.clone();
        let Some(permit) = self.permits.get(name) else {
            return Err(CredentialFault::OutsideScope { client: client(), name: name.to_owned() });
        };
        if !permit.targets.iter().any(|permitted| permitted == target) {
            let (name, target) = (name.to_owned(), target.to_owned());
            return Err(CredentialFault::OtherTarget { client: client(), name, target });
        }
        let found = self.keys.get(scope, &permit.key);
        found.ok_or_else(|| CredentialFault::Missing { client: client(), key: permit.key.clone() })
    }
}

impl<T> Published<T> {
    /// A value of a publication.
    pub fn new(publication: u64, value: T) -> Self {
        Self { publication, value }
    }

    /// Which publication brought it.
    pub fn publication(&self) -> u64 {
        self.publication
    }

    /// The value itself.
    pub fn value(&self) -> &T {
        &self.value
    }
}

impl<T: AsRef<str>> Published<T> {
    /// As much of the value as may be shown: see [`masked`].
    pub fn masked(&self) -> String {
        masked(self.value.as_ref())
    }
}

/// As much of a token as may be shown, to tell one from another: four characters at either end if it has 20 or more.
///
/// ```
/// assert_eq!(handover_signal::masked("sk-i3r8a7m2k9q4x1live"), "sk-i****live");
/// assert_eq!(handover_signal::masked("hunter2"), "[redacted]");
/// ```
pub fn masked(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() < 20 {
        return "[redacted]".to_owned();
    }
    let (first, last) = (&characters[..4], &characters[characters.len() - 4..]);
    format!("{}****{}", String::from_iter(first), String::from_iter(last))
}

impl<T> PartialEq for Published<T> {
    fn eq(&self, other: &Self) -> bool {
        self.publication == other.publication
    }
}

impl<T> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Debug for Credentials<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedCredentials<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.permits.keys().collect();
        f.debug_struct("ScopedCredentials").field("client", &self.client).field("names", &names).finish_non_exhaustive()
    }
}
