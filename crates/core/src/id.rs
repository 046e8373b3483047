//! Identities and counters. Names are parsed once, at the edge; counters only grow.

use std::fmt;
use std::sync::Arc;

/// A name that does not fit the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName {
    /// What is wrong with it, in words that a user can act on.
    pub why: &'static str,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for BadName {}

/// The longest name of a group, store or consumer, in bytes. Names become file names, labels at providers and parts
/// of effect ids; 63 is what the strictest of them takes.
pub const NAME_BYTES_MAX: usize = 63;

fn parse(text: &str) -> Result<Arc<str>, BadName> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if text.is_empty() {
        return Err(BadName { why: "a name must not be empty" });
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(BadName { why: "a name has at most 63 characters" });
    }
    if !text.chars().all(fits) {
        return Err(BadName { why: "a name has only lower-case letters, digits, '-', '_' and '.'" });
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(BadName { why: "a name starts with a letter or a digit" });
    }
    Ok(Arc::from(text))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name: 1 to 63 of `a-z 0-9 - _ .`, the first a letter or a digit.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                parse(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// What rotates together: a pair of twin users, a CA, a key set.
    GroupId
}
name! {
    /// Where values are published.
    StoreId
}
name! {
    /// Who presents or verifies a credential.
    ConsumerId
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter! {
    /// A numbered version of a credential, never reused. The first is 1.
    Generation(u64)
}
counter! {
    /// A number per group that rises with every pointer move, rollback included. 0: nothing was ever published.
    Publication(u64)
}
counter! {
    /// Which minted value of a generation. It counts values, never tries.
    Candidate(u32)
}
counter! {
    /// A number per group that rises with every commit of its row.
    RowVersion(u64)
}
counter! {
    /// A campaign's number. The first is 1.
    CampaignId(u64)
}
counter! {
    /// A number that rises with every holder of a lease.
    Epoch(u64)
}
counter! {
    /// Which of the target's places a generation occupies: twin 0 or 1, say. With fresh principals, one for each
    /// generation.
    Slot(u32)
}

/// A store's own version of what it holds for a group. Opaque; versions of one store never recur (R4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreVersion(pub Arc<str>);

impl fmt::Debug for StoreVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StoreVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_once_and_strictly() {
        assert_eq!(GroupId::parse("orders-db.prod_1").unwrap().as_str(), "orders-db.prod_1");
        for bad in ["", "Orders", "-x", ".", "a b", "a/b", "a\0", "é", &"x".repeat(64)] {
            assert!(GroupId::parse(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
