//! Where the history goes: whole to a sink, and in part to whoever is told.

use std::path::Path;
use std::sync::Arc;

use handover_adapters::notify::NotifyConfig;
use handover_adapters::sink::SinkConfig;
use handover_core::Fault;
use handover_core::port::Sink;
use handover_secret::Secret;

/// A sink or a notifier as configured. The engine knows only sinks: each has a cursor of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Delivery {
    /// All records in order.
    Sink(SinkConfig),
    /// Those that were chosen, from the moment on when it was configured.
    Notify(NotifyConfig),
}

impl Delivery {
    /// The key of its cursor.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Sink(sink) => sink.name().to_owned(),
            Self::Notify(notify) => notify.cursor_name(),
        }
    }

    /// What it is called in messages.
    pub(crate) fn called(&self) -> String {
        match self {
            Self::Sink(sink) => format!("sink {}", sink.name()),
            Self::Notify(notify) => format!("notify {}", notify.name()),
        }
    }

    pub(crate) fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Sink(sink) => sink.ca_file(),
            Self::Notify(notify) => notify.ca_file(),
        }
    }

    /// In the order in which [`Delivery::build`] takes what they hold.
    pub(crate) fn secret_files(&self) -> Vec<&Path> {
        match self {
            Self::Sink(sink) => sink.token_file().into_iter().collect(),
            Self::Notify(notify) => notify.secret_files(),
        }
    }

    /// Opens the file of a file sink, and contacts nobody.
    pub(crate) fn build(self, ca_pem: Option<&[u8]>, mut secrets: Vec<Secret>) -> Result<Arc<dyn Sink>, Fault> {
        Ok(match self {
            Self::Sink(sink) => sink.build(ca_pem, secrets.pop())?,
            Self::Notify(notify) => notify.build(ca_pem, secrets)?,
        })
    }
}
