//! Signals by key, and sections of keys.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use crate::graph::Graph;
use crate::scope::Scope;
use crate::signal::Signal;
use crate::sync::Mutex;

/// One signal for each key. Keys are words with dots between: `db.prod.password`. Clones are handles to the same keys.
///
/// Setting a key runs those who read it, and those who read a section above it.
pub struct Keys<T> {
    graph: Graph,
    held: Arc<Mutex<Held<T>>>,
}

struct Held<T> {
    keys: BTreeMap<String, Signal<Option<Arc<T>>>>,
    /// How often keys came to a section that somebody reads.
    arrivals: BTreeMap<String, Signal<u64>>,
    /// At how many entries those that nobody needs are looked for.
    tidy_at: usize,
}

const TIDY_MIN: usize = 64;

impl<T: PartialEq + Send + Sync + 'static> Keys<T> {
    /// No keys yet.
    pub fn new(graph: &Graph) -> Self {
        let held = Held { keys: BTreeMap::new(), arrivals: BTreeMap::new(), tidy_at: TIDY_MIN };
        Self { graph: graph.clone(), held: Arc::new(Mutex::new(held)) }
    }

    /// What is at a key, of the moment that the scope sees. Whoever the scope is of runs again when it changes, comes
    /// or goes.
    pub fn get(&self, scope: &Scope, key: &str) -> Option<Arc<T>> {
        (*self.signal(key).get(scope)).clone()
    }

    /// As [`Keys::get`], and nobody runs again for it.
    pub fn peek(&self, scope: &Scope, key: &str) -> Option<Arc<T>> {
        (*self.signal(key).peek(scope)).clone()
    }

    /// What was published last at a key.
    pub fn latest(&self, key: &str) -> Option<Arc<T>> {
        let signal = self.with(|held| held.keys.get(key).cloned())?;
        (*signal.latest()).clone()
    }

    /// All that is below a section, by key: `db.prod` or `db.prod.*` are what begins with `db.prod.`, and `*` is all.
    /// Whoever the scope is of runs again when any of it changes, comes or goes.
    pub fn section(&self, scope: &Scope, section: &str) -> BTreeMap<String, Arc<T>> {
        let prefix = prefix(section);
        let arrivals = self.arrivals(&prefix);
        let _ = arrivals.get(scope);
        let below: Vec<_> = self.with(|held| {
            let from = held.keys.range(prefix.clone()..);
            from.take_while(|(key, _)| key.starts_with(&prefix))
                .map(|(key, signal)| (key.clone(), signal.clone()))
                .collect()
        });
        below.into_iter().filter_map(|(key, signal)| (*signal.get(scope)).clone().map(|value| (key, value))).collect()
    }

    /// Sets what is at a key.
    pub fn set(&self, key: &str, value: T) {
        self.put(key, Some(Arc::new(value)));
    }

    /// Takes away what is at a key.
    pub fn remove(&self, key: &str) {
        let known = self.with(|held| held.keys.contains_key(key));
        if known {
            self.put(key, None);
        }
    }

    fn put(&self, key: &str, value: Option<Arc<T>>) {
        let signal = self.signal(key);
        let arrives = value.is_some() && signal.latest().is_none();
        if !arrives {
            return signal.set(value);
        }
        let above: Vec<Signal<u64>> = self.with(|held| {
            let readers = held.arrivals.iter().filter(|(prefix, _)| key.starts_with(prefix.as_str()));
            readers.map(|(_, arrivals)| arrivals.clone()).collect()
        });
        let published = self.graph.batch(|| {
            for arrivals in &above {
                arrivals.update(|count| count + 1);
            }
            signal.set(value);
            Ok::<(), std::convert::Infallible>(())
        });
        match published {
            Ok(()) => {}
        }
    }

    /// The signal of a key; it is made if need be, so that its reader learns when something comes.
    fn signal(&self, key: &str) -> Signal<Option<Arc<T>>> {
        let known = self.with(|held| held.keys.get(key).cloned());
        known.unwrap_or_else(|| {
            self.tidy();
            let made = self.graph.signal(key.to_owned(), None);
            self.with(|held| held.keys.entry(key.to_owned()).or_insert(made).clone())
        })
    }

    fn arrivals(&self, prefix: &str) -> Signal<u64> {
        let known = self.with(|held| held.arrivals.get(prefix).cloned());
        known.unwrap_or_else(|| {
            self.tidy();
            let made = self.graph.signal(format!("{prefix}*"), 0);
            self.with(|held| held.arrivals.entry(prefix.to_owned()).or_insert(made).clone())
        })
    }

    /// Takes away what nobody reads and nothing is at: questions for keys that are not there leave nothing behind.
    fn tidy(&self) {
        let gone = self.with(|held| {
            if held.keys.len() + held.arrivals.len() < held.tidy_at {
                return None;
            }
            // Under this lock nobody comes by a handle, so that what has none stays without.
            let keys: Vec<_> = held.keys.extract_if(.., |_, key| key.is_idle() && key.latest().is_none()).collect();
            let arrivals: Vec<_> = held.arrivals.extract_if(.., |_, arrivals| arrivals.is_idle()).collect();
            held.tidy_at = TIDY_MIN.max(2 * (held.keys.len() + held.arrivals.len()));
            Some((keys, arrivals))
        });
        drop(gone);
    }

    fn with<R>(&self, f: impl FnOnce(&mut Held<T>) -> R) -> R {
        f(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Clone for Keys<T> {
    fn clone(&self) -> Self {
        Self { graph: self.graph.clone(), held: Arc::clone(&self.held) }
    }
}

impl<T> std::fmt::Debug for Keys<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("graph", &self.graph).finish_non_exhaustive()
    }
}

fn prefix(section: &str) -> String {
    match section.strip_suffix('*').unwrap_or(section) {
        "" => String::new(),
        section => format!("{}.", section.trim_end_matches('.')),
    }
}
