//! The one type that holds a secret value.
//!
//! A [`Secret`] cannot be cloned, compared with `==`, printed or serialised; its memory is zeroised when it is
//! dropped. There is one way out, [`Secret::expose`], which clippy disallows across the workspace, so that every use
//! carries its reason in the source and one search finds them all.
//!
//! ```compile_fail
//! # let secret = handover_secret::Secret::from_text("hunter2".to_owned());
//! let copy = secret.clone();
//! ```
//! ```compile_fail
//! # let secret = handover_secret::Secret::from_text("hunter2".to_owned());
//! println!("{secret}");
//! ```
//! ```compile_fail
//! # let secret = handover_secret::Secret::from_text("hunter2".to_owned());
//! assert!(secret == secret);
//! ```
//! ```
//! # let secret = handover_secret::Secret::from_text("hunter2".to_owned());
//! assert_eq!(format!("{secret:?}"), "[redacted]");
//! ```

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret value: a password, a private key, a token.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of `text`. The buffer is moved, not copied, so nothing is left behind to zeroise.
    pub fn from_text(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }

    /// Takes ownership of `bytes`, without a copy.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The value itself: the one exit. Name the reason where you call it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, or `None` if it is not UTF-8. The same exit as [`Secret::expose`], counted with it.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// A second owner of the same value. Named, so that a reader sees each place where copies multiply.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether both hold the same value, in time that does not depend on where they differ (it does on their length).
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let secret = Secret::from_text("correct horse".to_owned());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "[redacted] Some(\n    [redacted],\n)");
    }

    #[test]
    fn matches_compares_content() {
        let secret = Secret::from_text("a".to_owned());
        assert!(secret.matches(&secret.duplicate()));
        assert!(!secret.matches(&Secret::from_text("b".to_owned())));
        assert!(!secret.matches(&Secret::from_text("aa".to_owned())));
    }
}
