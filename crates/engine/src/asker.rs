//! Who asks for something, and by which request.

use handover_core::port::{Commit, Request};
use handover_core::{Fault, Generation};

use crate::call::{Call, Whom};
use crate::shared::Shared;

/// The longest key of a request, in characters.
pub const REQUEST_KEY_CHARS_MAX: usize = 128;

/// Who asks, and by which request.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The identity that the history names.
    pub actor: &'a str,
    /// Without it, a repeat is another request.
    pub key: Option<&'a RequestKey>,
}

impl<'a> From<&'a str> for Asker<'a> {
    fn from(actor: &'a str) -> Self {
        Self { actor, key: None }
    }
}

/// How a caller names a request, so that a repeat of it is not carried out again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestKey {
    key: String,
    digest: [u8; 32],
}

impl RequestKey {
    /// A key of 1 to [`REQUEST_KEY_CHARS_MAX`] visible ASCII characters; `digest` is that of all that is asked.
    pub fn parse(key: &str, digest: [u8; 32]) -> Option<Self> {
        let good = (1..=REQUEST_KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| Self { key: key.to_owned(), digest })
    }
}

/// Why a request is not looked at any further.
pub(crate) enum Repeat {
    /// Another request of the caller has its key.
    OtherRequest,
    /// The state store could not say.
    Fault(Fault),
}

impl Asker<'_> {
    /// To which generation this led, if it was carried out already.
    pub(crate) async fn done(&self, shared: &Shared) -> Result<Option<Generation>, Repeat> {
        let Some(RequestKey { key, digest }) = self.key else { return Ok(None) };
        let state = &shared.ports.state;
        let look = shared.calls.make(Call::look(Whom::State, "request"), || state.request(self.actor, key));
        let Some(kept) = look.await.map_err(Repeat::Fault)? else { return Ok(None) };
        if kept.digest != *digest {
            return Err(Repeat::OtherRequest);
        }
        // What this program keeps is a number; of another text it cannot be said what was answered.
        kept.answer.parse().map(|number| Some(Generation(number))).map_err(|_| Repeat::OtherRequest)
    }

    /// What is kept of the request with a commit.
    pub(crate) fn request(&self, commit: &Commit, shared: &Shared) -> Option<Request> {
        self.request_of(commit.row.last_generation.0, shared)
    }

    /// The same, where it led to this number.
    pub(crate) fn request_of(&self, number: u64, shared: &Shared) -> Option<Request> {
        self.key.map(|RequestKey { key, digest }| Request {
            caller: self.actor.to_owned(),
            key: key.clone(),
            digest: *digest,
            at: shared.now(),
            answer: number.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_visible() {
        for (key, good) in [("a", true), ("", false), ("a b", false), ("ä", false), ("a\n", false)] {
            assert_eq!(RequestKey::parse(key, [0; 32]).is_some(), good, "{key:?}");
        }
        assert!(RequestKey::parse(&"x".repeat(REQUEST_KEY_CHARS_MAX), [0; 32]).is_some());
        assert!(RequestKey::parse(&"x".repeat(REQUEST_KEY_CHARS_MAX + 1), [0; 32]).is_none());
    }
}
