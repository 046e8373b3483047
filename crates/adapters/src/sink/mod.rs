//! Sinks: where committed history is delivered.

#[cfg(all(feature = "sink-file", feature = "sink-syslog", feature = "sink-http"))]
mod config;
#[cfg(feature = "sink-file")]
pub mod file;
#[cfg(feature = "sink-http")]
pub mod http;
pub mod line;
#[cfg(feature = "sink-syslog")]
pub mod syslog;
#[cfg(any(feature = "sink-syslog", feature = "sink-http"))]
pub(crate) mod time;
#[cfg(any(feature = "sink-syslog", feature = "sink-http"))]
mod tls;

#[cfg(all(feature = "sink-file", feature = "sink-syslog", feature = "sink-http"))]
pub use config::SinkConfig;

/// Every sink there is. The conformance suite matches on it without a wildcard, so that a sink without a harness does not
/// compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SinkKind {
    /// A file of JSON lines: [`file::FileSink`].
    File,
    /// A syslog receiver: [`syslog::SyslogSink`].
    Syslog,
    /// A receiver of HTTP requests: [`http::HttpSink`].
    Http,
}

impl SinkKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::File, Self::Syslog, Self::Http];

    /// The name of the kind in configuration and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syslog => "syslog",
            Self::Http => "http",
        }
    }
}
