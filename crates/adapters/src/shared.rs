//! What many groups have in common, held once.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

/// A value that several may hold. Whoever changes it has one of their own from then on.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Whether both are one value in one place.
    pub fn is_one(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> Borrow<T> for Shared<T> {
    fn borrow(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

/// A text that several may hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// It.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// Values that were met lately, so that the next one that is the same is no second one.
#[derive(Debug)]
pub(crate) struct Known<T>(HashSet<T>);

/// How many are known of a kind. When there are more, all are forgotten: most groups have what those next to them have.
const KNOWN_MAX: usize = 1_024;

impl<T: Clone + Eq + Hash> Known<T> {
    /// Has `value` be the one that is known already, if there is one.
    pub(crate) fn share(&mut self, value: &mut T) {
        if let Some(same) = self.0.get(value) {
            *value = same.clone();
            return;
        }
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        self.0.insert(value.clone());
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_no_longer_shared() {
        let one = Shared::from(vec![1]);
        let mut two = one.clone();
        assert!(one.is_one(&two));
        two.push(2);
        assert_eq!((one.len(), two.len()), (1, 2));
    }

    #[test]
    fn what_is_the_same_becomes_one_and_no_more_is_known_than_the_limit() {
        let mut known = Known::default();
        let (one, mut two) = (Shared::from(-1), Shared::from(-1));
        known.share(&mut one.clone());
        known.share(&mut two);
        assert!(one.is_one(&two));
        for number in 0..KNOWN_MAX {
            known.share(&mut Shared::from(number as i32));
        }
        assert!(known.0.len() <= KNOWN_MAX);
        let mut three = Shared::from(-1);
        known.share(&mut three);
        assert!(!one.is_one(&three), "it was forgotten");
    }
}
