//! Sinks: where committed history is delivered.

pub mod file;

/// Every sink there is. The conformance suite matches on it without a wildcard, so that a sink without a harness does not
/// compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SinkKind {
    /// A file of JSON lines: [`file::FileSink`].
    File,
}

impl SinkKind {
    /// All kinds.
    pub const ALL: [Self; 1] = [Self::File];

    /// The name of the kind in configuration and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
        }
    }
}
