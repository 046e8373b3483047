//! Stores: where values are published.

#[cfg(feature = "store-embedded")]
pub mod embedded;
#[cfg(feature = "store-vault")]
mod remote;
#[cfg(feature = "store-vault")]
pub mod vault;

#[cfg(feature = "store-vault")]
pub use remote::{RemoteStore, RemoteStoreConfig};

/// Every store there is. The conformance suite matches on it without a wildcard, so that a store without a harness does
/// not compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// A file of sealed values beside the state: [`embedded::Embedded`].
    Embedded,
    /// A KV version 2 engine of OpenBao or Vault: [`vault::Vault`].
    Vault,
}

impl StoreKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Embedded, Self::Vault];

    /// The name of the kind in configuration and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Vault => "vault",
        }
    }
}
