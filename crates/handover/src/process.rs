//! What the process does to itself before it does anything else.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::cli::LogFormat;
use crate::environment;
use crate::failure::Failure;
use crate::trace::Spans;

/// No core dumps: they would hold every value that is in memory.
///
/// The limit alone does not hold where the kernel hands dumps to a program. A process that is not dumpable is not dumped
/// at all, and no other process of the same user may read its memory or attach to it.
pub(crate) fn harden() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
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
