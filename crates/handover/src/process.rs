//! What the process does to itself before it does anything else.

use rustix::process::{Resource, Rlimit};
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::environment;
use crate::failure::Failure;

/// No core dumps: they would hold every value that is in memory.
pub(crate) fn harden() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)
        .map_err(|_| Failure::error("core dumps cannot be turned off; a dump would hold secrets"))
}

/// As many descriptors as the administrator allows: each watch stream holds one.
pub(crate) fn raise_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if raised.is_err() {
        tracing::warn!(current = limit.current, "the limit on descriptors could not be raised");
    }
}

/// The log goes to standard error.
pub(crate) fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env(environment::LOG).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
