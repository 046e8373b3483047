//! What is known of providers. Each is a file of the same options as `[[group.check]]` has.

use handover_core::Fault;
use serde::Deserialize;

use super::http::MethodName;
use super::misconfigured;

/// The names of the packs that there are.
pub const PACKS: &[&str] = &["anthropic", "github", "openai", "slack", "stripe"];

const FILES: &[(&str, &str)] = &[
    ("anthropic", include_str!("packs/anthropic.toml")),
    ("github", include_str!("packs/github.toml")),
    ("openai", include_str!("packs/openai.toml")),
    ("slack", include_str!("packs/slack.toml")),
    ("stripe", include_str!("packs/stripe.toml")),
];

/// What a pack says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pack {
    pub(super) url: Option<String>,
    pub(super) method: Option<MethodName>,
    pub(super) headers: Option<Vec<String>>,
    pub(super) status: Option<Vec<u16>>,
    pub(super) failed_status: Option<Vec<u16>>,
    pub(super) pointer: Option<String>,
    pub(super) expected: Option<String>,
    pub(super) failed_pointer: Option<String>,
    pub(super) failed_values: Option<Vec<String>>,
}

pub(super) fn named(check: &str, name: &str) -> Result<Pack, Fault> {
    let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) else {
        return Err(misconfigured(check, &format!("there is no such pack; there are: {}", PACKS.join(", "))));
    };
    toml::from_str(text).map_err(|_| misconfigured(check, "its pack cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pack_is_read_and_named() {
        assert_eq!(FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), PACKS);
        for name in PACKS {
            assert!(named("api", name).unwrap().url.is_some_and(|url| url.starts_with("https://")), "{name}");
        }
        assert!(named("api", "nobody").is_err());
    }
}
