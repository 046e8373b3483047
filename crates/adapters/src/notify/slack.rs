//! A Slack-compatible incoming webhook: a POST of one text. Its URL is the secret, so it is in a file.

use std::path::PathBuf;

use handover_core::Fault;
use handover_secret::Secret;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind};
use super::misconfigured;
use super::post::Poster;
use crate::sink::line::ascii_json;

/// Options of an incoming webhook.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The notifier's name: the key of its cursor.
    pub name: String,
    /// A file with the URL to POST to, readable by its owner only.
    pub url_file: PathBuf,
    /// CA certificates in PEM that the receiver's certificate must chain to. For `https://`.
    pub ca_file: Option<PathBuf>,
    /// Whether it may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// What is told; absent: what somebody may have to act on.
    pub events: Option<Vec<EventKind>>,
    /// Of which groups; empty: of all.
    #[serde(default)]
    pub groups: Vec<String>,
}

pub(super) struct Slack {
    poster: Poster,
}

#[derive(Serialize)]
struct Message {
    text: String,
    /// Stars and underscores in names are what they are.
    mrkdwn: bool,
}

impl Slack {
    pub(super) fn new(config: &Config, ca_pem: Option<&[u8]>, url: &Secret) -> Result<Self, Fault> {
        #[expect(clippy::disallowed_methods, reason = "the URL is where to POST to")]
        let text = url.expose_text().ok_or_else(|| misconfigured(&config.name, "its url_file holds no text"))?;
        Ok(Self { poster: Poster::new(&config.name, text.trim(), ca_pem, config.allow_private)? })
    }

    pub(super) async fn send(&self, event: &Event) -> Result<(), Fault> {
        let text = format!("{} ({})", escaped(&event.summary()), event.id());
        self.poster.send(HeaderMap::new(), ascii_json(&Message { text, mrkdwn: false })?).await
    }
}

/// These three are markup: links, and mentions that wake everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_mentions_nobody() {
        assert_eq!(escaped("<!channel> a&b <http://x|y>"), "&lt;!channel&gt; a&amp;b &lt;http://x|y&gt;");
    }
}
