//! `[[hook]]`: who may order an emergency by a signed message, of which groups, and with which keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use handover_adapters::notify::Verifier;
use handover_core::Timestamp;
use serde::{Deserialize, Deserializer};

use super::duration::Span;
use crate::failure::Failure;
use crate::file;

/// How far the clocks of both ends may be apart, and a message under way, where nothing is said.
const TOLERANCE_S: u64 = 300;

/// The longest tolerance: a replay is known for a day at least.
const TOLERANCE_S_MAX: u64 = 3_600;

/// How many keys there may be: the present one, and the one before it.
const KEYS_MAX: usize = 2;

/// A sender of signed messages.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookConfig {
    /// Its name, which it sends with each message: 1 to 40 of `a-z 0-9 - _ .`.
    pub(crate) name: String,
    /// The keys that it signs with: the one with the highest version, and for a while the one before it.
    pub(crate) key: Vec<HookKey>,
    /// Which groups it may name: names, or their beginnings with `*`.
    pub(crate) groups: Vec<String>,
    /// Only groups that have all of these labels, `key=value`.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// How many groups one message may take.
    #[serde(default = "ceiling")]
    pub(crate) ceiling: usize,
    /// How old a message may be, and how far ahead its clock.
    #[serde(default = "tolerance")]
    pub(crate) tolerance: Span,
    /// Whether presenters that do not load the new value within the policy's ceiling may break.
    #[serde(default)]
    pub(crate) accept_breakage: bool,
    /// Whether open sessions of what is compromised are ended.
    #[serde(default)]
    pub(crate) end_sessions: bool,
}

/// A key that signs.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookKey {
    /// Which one: a higher number is later.
    pub(crate) version: u32,
    /// A file with the key, readable by its owner only.
    pub(crate) file: PathBuf,
    /// Until when it counts. Needed for all but the one with the highest version.
    #[serde(default, deserialize_with = "time_if_any")]
    pub(crate) until: Option<Timestamp>,
}

fn ceiling() -> usize {
    10
}

fn tolerance() -> Span {
    Span::seconds(TOLERANCE_S)
}

fn time_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let at: jiff::Timestamp =
        text.parse().map_err(|_| serde::de::Error::custom("a time is written as in 2026-01-31T08:00:00Z"))?;
    Ok(Some(Timestamp(at.as_millisecond())))
}

impl HookConfig {
    pub(super) fn resolve(&mut self, directory: &Path) {
        for key in &mut self.key {
            key.file = directory.join(&key.file);
        }
    }

    /// The key that a message of now may be signed with. `version`: the one that it names; without it, the latest.
    pub(crate) fn key(&self, version: Option<u32>, now: Timestamp) -> Option<&HookKey> {
        let latest = self.key.iter().max_by_key(|key| key.version)?;
        let named = match version {
            None => latest,
            Some(version) => self.key.iter().find(|key| key.version == version)?,
        };
        named.until.is_none_or(|until| now < until).then_some(named)
    }

    /// Whether it may name this group.
    pub(crate) fn covers(&self, group: &str, labels: &[String]) -> bool {
        let named = self.groups.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => group.starts_with(beginning),
            None => group == pattern,
        });
        named && self.labels.iter().all(|label| labels.contains(label))
    }

    /// What verifies messages that are signed with this key. Read each time: a key that is replaced in its file counts at once.
    pub(crate) fn verifier(&self, key: &HookKey) -> Result<Verifier, Failure> {
        Ok(Verifier::new(&self.name, &file::secret(&key.file, "the key of a hook")?)?)
    }

    /// What nobody can mean.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let name = &self.name;
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if !(1..=40).contains(&name.len()) || !name.bytes().all(good) {
            wrong.push("the name of a hook is 1 to 40 of a-z 0-9 - _ .".to_owned());
        }
        let versions: BTreeSet<u32> = self.key.iter().map(|key| key.version).collect();
        if self.key.is_empty() || self.key.len() > KEYS_MAX || versions.len() != self.key.len() {
            wrong.push(format!(
                "hook {name}: it has one key, or two with different versions while one replaces the other"
            ));
        }
        let latest = versions.last().copied();
        for key in &self.key {
            if Some(key.version) != latest && key.until.is_none() {
                let version = key.version;
                wrong.push(format!(
                    "hook {name}: key {version} is not the latest and has no end: say until when it counts, as in until = \
                     \"2026-01-31T08:00:00Z\""
                ));
            }
        }
        if self.groups.is_empty() {
            wrong.push(format!("hook {name}: say in `groups` which groups it may name; \"*\" is all of them"));
        }
        if self.ceiling == 0 {
            wrong.push(format!("hook {name}: ceiling is at least 1"));
        }
        if self.tolerance < Span::seconds(1) || self.tolerance > Span::seconds(TOLERANCE_S_MAX) {
            wrong.push(format!("hook {name}: tolerance is from 1s to 1h"));
        }
        wrong
    }
}

/// What nobody can mean of all of them together.
pub(super) fn wrong(hooks: &[HookConfig]) -> Vec<String> {
    let mut wrong: Vec<String> = hooks.iter().flat_map(HookConfig::wrong).collect();
    let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
    for hook in hooks {
        if !names.insert(&hook.name) {
            wrong.push(format!("hook {} is there twice", hook.name));
        }
        // A message to one of two that share a key would be a message to the other as well.
        if hook.key.iter().any(|key| !files.insert(&key.file)) {
            wrong.push(format!("hook {}: each key has a file of its own", hook.name));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(text: &str) -> HookConfig {
        toml::from_str(&format!("name = \"siem\"\ngroups = [\"pay-*\", \"orders\"]\n{text}")).unwrap()
    }

    /// S26: an old key counts by its version and until its end, never else.
    #[test]
    fn an_old_key_counts_by_version_and_until_its_end() {
        let hook = hook(
            "[[key]]\nversion = 2\nfile = \"new\"\n[[key]]\nversion = 1\nfile = \"old\"\nuntil = \"1970-01-01T00:00:10Z\"",
        );
        assert!(hook.wrong().is_empty());
        let key = |version, now| hook.key(version, Timestamp(now)).map(|key| key.version);
        assert_eq!(key(None, 0), Some(2), "who names none means the latest");
        assert_eq!((key(Some(2), 0), key(Some(1), 9_999)), (Some(2), Some(1)));
        assert_eq!((key(Some(1), 10_000), key(Some(3), 0)), (None, None));
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        for (text, words) in [
            ("key = []", "it has one key"),
            ("[[key]]\nversion = 1\nfile = \"a\"\n[[key]]\nversion = 1\nfile = \"b\"", "different versions"),
            ("[[key]]\nversion = 1\nfile = \"a\"\n[[key]]\nversion = 2\nfile = \"b\"", "key 1 is not the latest"),
            ("ceiling = 0\n[[key]]\nversion = 1\nfile = \"a\"", "ceiling is at least 1"),
            ("tolerance = \"2h\"\n[[key]]\nversion = 1\nfile = \"a\"", "from 1s to 1h"),
        ] {
            let wrong = hook(text).wrong();
            assert!(wrong.iter().any(|wrong| wrong.contains(words)), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn it_names_what_it_was_given() {
        let hook = hook("labels = [\"env=prod\"]\n[[key]]\nversion = 1\nfile = \"a\"");
        let prod = ["env=prod".to_owned()];
        assert!(hook.covers("pay-in", &prod) && hook.covers("orders", &prod));
        assert!(!hook.covers("orders-old", &prod) && !hook.covers("orders", &[]));
    }
}
