//! What the process does to itself before it does anything else.

use rustix::process::{Resource, Rlimit};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::cli::LogFormat;
use crate::environment;
use crate::failure::Failure;
use crate::trace::Spans;

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

/// The log goes to standard error, and spans where traces are sent, if they are. What is logged says nothing of what is
/// traced, and the other way round.
pub(crate) fn log_to_stderr(format: LogFormat, spans: Option<Spans>) {
    let filter = EnvFilter::try_from_env(environment::LOG).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(spans);
    match format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(ansi).with_filter(filter)).init();
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_filter(filter)).init(),
    }
}
