//! How values are made.

use std::sync::Arc;

use handover_adapters::generate::Process;
use handover_core::port::Generate;
use handover_engine::{ALPHABET_SAFE, Class, Hex, Passphrase, Random, RandomRule, Uuid};
use serde::Deserialize;

/// How many characters a random value has where nobody says it, and hexadecimal digits.
const LENGTH: usize = 40;
/// How many words a passphrase has where nobody says it.
const WORDS: usize = 8;

/// How values are made. Keys that the kind does not know are refused when it is built.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GenerateConfig {
    /// What is made.
    kind: Kind,
    /// Length in characters, or in hexadecimal digits.
    length: Option<usize>,
    /// Characters to draw from.
    alphabet: Option<String>,
    /// Classes of which at least one character must occur.
    required: Option<Vec<ClassName>>,
    /// Classes of which the first character must be one.
    first: Option<Vec<ClassName>>,
    /// How many words.
    words: Option<usize>,
    /// What stands between words.
    separator: Option<char>,
    /// The program by its whole path, and its arguments.
    command: Option<Vec<String>>,
}

/// What is made.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Characters drawn from an alphabet.
    #[default]
    Random,
    /// A UUID of version 4.
    Uuid,
    /// Hexadecimal digits.
    Hex,
    /// Words.
    Passphrase,
    /// What a program prints.
    Process,
}

/// [`Class`] by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClassName {
    Lower,
    Upper,
    Digit,
    Symbol,
}

impl GenerateConfig {
    /// What makes values like this, or why nothing can, in words for whoever wrote it.
    pub(crate) fn build(&self) -> Result<Arc<dyn Generate>, String> {
        if let Some(key) = self.keys().into_iter().find(|key| !self.kind.takes(key)) {
            return Err(format!("kind = \"{}\" has no {key}; it takes {}", self.kind.word(), self.kind.told()));
        }
        let length = self.length.unwrap_or(LENGTH);
        let bad = |rule: handover_engine::BadRule| rule.to_string();
        Ok(match self.kind {
            Kind::Random => {
                let classes = |names: &Option<Vec<ClassName>>| {
                    names.iter().flatten().copied().map(ClassName::class).collect::<Vec<Class>>()
                };
                let alphabet = self.alphabet.clone().unwrap_or_else(|| ALPHABET_SAFE.to_owned());
                let (required, first) = (classes(&self.required), classes(&self.first));
                Arc::new(Random::new(&RandomRule { length, alphabet, required, first }).map_err(bad)?)
            }
            Kind::Uuid => Arc::new(Uuid),
            Kind::Hex => Arc::new(Hex::new(length).map_err(bad)?),
            Kind::Passphrase => {
                let (words, separator) = (self.words.unwrap_or(WORDS), self.separator.unwrap_or('-'));
                Arc::new(Passphrase::new(words, separator).map_err(bad)?)
            }
            Kind::Process => {
                let command = self.command.clone().unwrap_or_default();
                Arc::new(Process::new(command).map_err(|fault| fault.detail.replace("generate: ", ""))?)
            }
        })
    }

    /// The keys that are written.
    fn keys(&self) -> Vec<&'static str> {
        let written = [
            ("length", self.length.is_some()),
            ("alphabet", self.alphabet.is_some()),
            ("required", self.required.is_some()),
            ("first", self.first.is_some()),
            ("words", self.words.is_some()),
            ("separator", self.separator.is_some()),
            ("command", self.command.is_some()),
        ];
        written.into_iter().filter(|(_, is_written)| *is_written).map(|(key, _)| key).collect()
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Uuid => "uuid",
            Self::Hex => "hex",
            Self::Passphrase => "passphrase",
            Self::Process => "process",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Random => &["length", "alphabet", "required", "first"],
            Self::Uuid => &[],
            Self::Hex => &["length"],
            Self::Passphrase => &["words", "separator"],
            Self::Process => &["command"],
        }
    }

    fn takes(self, key: &str) -> bool {
        self.keys().contains(&key)
    }

    fn told(self) -> String {
        match self.keys() {
            [] => "no other key".to_owned(),
            keys => keys.join(", "),
        }
    }
}

impl ClassName {
    const fn class(self) -> Class {
        match self {
            Self::Lower => Class::Lower,
            Self::Upper => Class::Upper,
            Self::Digit => Class::Digit,
            Self::Symbol => Class::Symbol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(text: &str) -> Result<Arc<dyn Generate>, String> {
        toml::from_str::<GenerateConfig>(text).map_err(|error| error.to_string())?.build()
    }

    #[test]
    fn each_kind_has_defaults_and_its_own_keys() {
        for good in [
            "",
            "length = 20\nrequired = [\"digit\"]\nfirst = [\"lower\", \"upper\"]",
            "kind = \"uuid\"",
            "kind = \"hex\"\nlength = 64",
            "kind = \"passphrase\"\nwords = 7\nseparator = \".\"",
            "kind = \"process\"\ncommand = [\"/usr/bin/pwgen\", \"-s\"]",
        ] {
            assert!(built(good).is_ok(), "{good}");
        }
        for (bad, part) in [
            ("kind = \"uuid\"\nlength = 8", "has no length; it takes no other key"),
            ("kind = \"hex\"\nalphabet = \"01\"", "has no alphabet; it takes length"),
            ("kind = \"hex\"\nlength = 33", "even"),
            ("kind = \"hex\"\nlength = 18", "20 to 128"),
            ("kind = \"passphrase\"\nwords = 3", "7 to 12"),
            ("words = 8", "kind = \"random\" has no words"),
            ("length = 8", "length must be"),
            ("alphabet = \"0123456789\"\nfirst = [\"upper\"]", "may be the first"),
            ("kind = \"process\"", "whole path"),
            ("kind = \"process\"\ncommand = [\"pwgen\"]", "whole path"),
            ("kind = \"dice\"", "unknown variant"),
        ] {
            let why = built(bad).err().unwrap_or_default();
            assert!(why.contains(part), "{bad}: {why}");
        }
    }
}
