//! Targets: the systems that accept a credential.

#[cfg(all(feature = "target-postgres", feature = "target-redis"))]
mod config;
#[cfg(any(feature = "target-postgres", feature = "target-redis"))]
mod connection;
pub mod none;
#[cfg(feature = "target-postgres")]
pub mod postgres;
#[cfg(feature = "target-redis")]
pub mod redis;
#[cfg(any(feature = "target-postgres", feature = "target-redis"))]
mod verdict;

#[cfg(all(feature = "target-postgres", feature = "target-redis"))]
pub use config::{Common, TargetConfig};

/// Every kind of target. The conformance suite matches on it without a wildcard, so that a kind without a harness does
/// not compile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TargetKind {
    /// Users of a PostgreSQL cluster.
    Postgres,
    /// Twin users of a Redis, at all of its nodes.
    Redis,
    /// No target: whoever accepts the value is a consumer.
    None,
}

impl TargetKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::None];

    /// The kind as one word: the value of `kind` in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::None => "none",
        }
    }
}
