//! What is stored and answered, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handover_core::{GroupId, StoreVersion};
use handover_secret::Secret;
use serde::Deserialize;
use serde_json::Value as Json;

use super::config::LABEL_FIELD;
use super::label::{Label, Shelf, Texts};
use crate::seal::Sealer;

/// What is appended to the name of the field of a value that is no text.
const BASE64: &str = "_base64";

/// A version of a path.
pub(super) struct Found {
    pub(super) version: Version,
    /// What it says of itself, if it is exactly what we wrote.
    pub(super) label: Option<Label>,
    pub(super) texts: Texts,
}

/// Which version.
#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) version: u64,
    created_time: String,
}

impl Version {
    /// A number alone recurs, once a path is deleted with its metadata.
    pub(super) fn store_version(&self) -> StoreVersion {
        StoreVersion(Arc::from(format!("{}@{}", self.version, self.created_time)))
    }
}

/// The answer to a read.
#[derive(Deserialize)]
pub(super) struct Read {
    data: Stored,
}

#[derive(Deserialize)]
struct Stored {
    /// `None`: deleted or destroyed.
    data: Option<BTreeMap<String, Json>>,
    metadata: Version,
}

impl Read {
    pub(super) fn found(self, sealer: &Sealer, group: &GroupId, on: Shelf) -> Found {
        let Stored { data, metadata: version } = self.data;
        let mut texts = Texts::new();
        let mut only_texts = data.is_some();
        for (name, json) in data.unwrap_or_default() {
            match json {
                Json::String(text) => drop(texts.insert(name, Secret::from_text(text))),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => only_texts = false,
            }
        }
        let label = Label::of(sealer, group, on, version.version, &mut texts).filter(|_| only_texts);
        Found { version, label, texts }
    }
}

/// The answer to a write.
#[derive(Deserialize)]
pub(super) struct Written {
    pub(super) data: Version,
}

/// The answer to a read of metadata.
#[derive(Deserialize)]
pub(super) struct Listed {
    data: Versions,
}

#[derive(Deserialize)]
struct Versions {
    current_version: u64,
    #[serde(default)]
    versions: BTreeMap<String, VersionState>,
}

#[derive(Deserialize)]
struct VersionState {
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

impl Listed {
    /// The newest version, and all that can be read, oldest first.
    pub(super) fn readable(self) -> (u64, Vec<u64>) {
        let Versions { current_version, versions } = self.data;
        let there = versions.iter().filter(|(_, state)| !state.destroyed && state.deletion_time.is_empty());
        let mut numbers: Vec<u64> = there.filter_map(|(number, _)| number.parse().ok()).collect();
        numbers.sort_unstable();
        (current_version, numbers)
    }
}

/// The texts of a version, without its label; `None` if two would have one name.
pub(super) fn texts(field: &str, fields: &[(String, String)], secret: &Secret) -> Option<Texts> {
    let mut texts = Texts::new();
    for (name, text) in fields {
        texts.insert(name.clone(), Secret::from_text(text.clone()));
    }
    #[expect(clippy::disallowed_methods, reason = "a value is stored as what it is, if it is text")]
    let (name, value) = match secret.expose_text() {
        Some(_) => (field.to_owned(), secret.duplicate()),
        None => (format!("{field}{BASE64}"), Secret::from_text(BASE64_STANDARD.encode(secret.expose()))),
    };
    let taken = texts.contains_key(LABEL_FIELD) || texts.contains_key(field) || texts.contains_key(&name);
    texts.insert(name, value);
    (!taken && texts.len() == fields.len() + 1).then_some(texts)
}

/// The value among the texts of a version.
pub(super) fn value(mut texts: Texts, field: &str) -> Option<Secret> {
    if let Some(value) = texts.remove(field) {
        return Some(value);
    }
    let encoded = texts.remove(&format!("{field}{BASE64}"))?;
    #[expect(clippy::disallowed_methods, reason = "it is decoded into a secret of its own")]
    let decoded = BASE64_STANDARD.decode(encoded.expose()).ok()?;
    Some(Secret::from_bytes(decoded))
}

/// Whether two versions say the same, but for their labels.
pub(super) fn is_same(one: &Texts, other: &Texts) -> bool {
    one.len() == other.len() && one.iter().all(|(name, text)| other.get(name).is_some_and(|there| there.matches(text)))
}

/// The body of a write on top of version `at`.
pub(super) fn body(texts: Texts, label: String, at: u64) -> Vec<u8> {
    let mut data = serde_json::Map::new();
    for (name, text) in &texts {
        #[expect(clippy::disallowed_methods, reason = "the value is what is stored")]
        let text = text.expose_text().unwrap_or_default();
        data.insert(name.clone(), Json::String(text.to_owned()));
    }
    data.insert(LABEL_FIELD.to_owned(), Json::String(label));
    serde_json::json!({ "options": { "cas": at }, "data": data }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), "x".to_owned())]
    }

    #[test]
    fn a_value_comes_out_as_it_went_in() {
        for bytes in [b"pw\"\\\n\0".to_vec(), vec![0xff, 0, 0xc3]] {
            let secret = Secret::from_bytes(bytes);
            let texts = texts("password", &field("user"), &secret).unwrap();
            assert!(value(texts, "password").unwrap().matches(&secret));
        }
    }

    #[test]
    fn two_texts_of_one_name_are_refused() {
        let secret = Secret::from_text("pw".to_owned());
        assert!(texts("user", &field("user"), &secret).is_none());
        assert!(texts("password", &field(LABEL_FIELD), &secret).is_none());
    }

    #[test]
    fn hostile_answers_are_read_or_refused() {
        let read = r#"{"data":{"data":{"user":"a","password":"b","handover":"group=o"},"metadata":{"version":3,"created_time":"t"}}}"#;
        let listed = r#"{"data":{"current_version":2,"versions":{"1":{"deletion_time":"","destroyed":true},"2":{}}}}"#;
        let sealer = Sealer::new(crate::seal::MasterKey::from_bytes(zeroize::Zeroizing::new([1; 32])));
        let group = GroupId::parse("o").unwrap();
        assert_eq!(serde_json::from_str::<Listed>(listed).unwrap().readable(), (2, vec![2]));
        handover_testkit::mutate::texts(11, 4_000, &[read, listed], |text| {
            if let Ok(read) = serde_json::from_str::<Read>(text) {
                assert_eq!(read.found(&sealer, &group, Shelf::Current).label, None, "{text}");
            }
            let _ = serde_json::from_str::<Listed>(text).map(Listed::readable);
            let _ = serde_json::from_str::<Written>(text).map(|written| written.data.store_version());
        });
    }
}
