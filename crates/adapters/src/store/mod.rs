//! Stores: where values are published.

pub mod embedded;

/// Every store there is. The conformance suite matches on it without a wildcard, so that a store without a harness does
/// not compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// A file of sealed values beside the state: [`embedded::Embedded`].
    Embedded,
}

impl StoreKind {
    /// All kinds.
    pub const ALL: [Self; 1] = [Self::Embedded];

    /// The name of the kind in configuration and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
        }
    }
}
