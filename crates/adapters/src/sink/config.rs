//! Sinks as they are configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use handover_core::port::Sink;
use handover_core::{Fault, FaultKind, GroupId};
use handover_secret::Secret;
use serde::Deserialize;

use super::{SinkKind, file, http, syslog};

/// A sink as configured: `kind`, and that kind's options.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SinkConfig {
    /// A file of JSON lines.
    File(file::Config),
    /// A syslog receiver.
    Syslog(syslog::Config),
    /// A receiver of HTTP requests.
    Http(http::Config),
}

impl SinkConfig {
    /// Which kind it is.
    pub const fn kind(&self) -> SinkKind {
        match self {
            Self::File(_) => SinkKind::File,
            Self::Syslog(_) => SinkKind::Syslog,
            Self::Http(_) => SinkKind::Http,
        }
    }

    /// Its name: the key of its cursor.
    pub fn name(&self) -> &str {
        match self {
            Self::File(config) => &config.name,
            Self::Syslog(config) => &config.name,
            Self::Http(config) => &config.name,
        }
    }

    /// The file with the CA to trust, if it names one.
    pub fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::File(_) => None,
            Self::Syslog(config) => config.ca_file.as_deref(),
            Self::Http(config) => config.ca_file.as_deref(),
        }
    }

    /// The file with the token to present, if it names one.
    pub fn token_file(&self) -> Option<&Path> {
        match self {
            Self::File(_) | Self::Syslog(_) => None,
            Self::Http(config) => config.token_file.as_deref(),
        }
    }

    /// Has relative paths start at `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        let resolve = |path: &mut PathBuf| *path = directory.join(&*path);
        match self {
            Self::File(config) => resolve(&mut config.path),
            Self::Syslog(config) => {
                config.ca_file.iter_mut().for_each(resolve);
                if config.transport == syslog::Transport::Unix {
                    config.address = directory.join(&config.address).to_string_lossy().into_owned();
                }
            }
            Self::Http(config) => config.ca_file.iter_mut().chain(&mut config.token_file).for_each(resolve),
        }
    }

    /// Looks for what cannot be meant, without opening anything.
    ///
    /// # Errors
    /// `Misconfigured`, in words for whoever wrote it.
    pub fn check(&self) -> Result<(), Fault> {
        if let Err(bad) = GroupId::parse(self.name()) {
            return Err(Fault::untouched(FaultKind::Misconfigured, format!("the name of a sink: {bad}")));
        }
        match self {
            Self::File(_) => Ok(()),
            Self::Syslog(config) => config.check(),
            Self::Http(config) => config.check(),
        }
    }

    /// Where its receiver listens, as `(host, port)`; `None` where there is none over the network that answers.
    pub fn receiver(&self) -> Option<(String, u16)> {
        match self {
            Self::File(_) => None,
            Self::Syslog(config) => config.receiver(),
            Self::Http(config) => config.receiver(),
        }
    }

    /// Makes the sink. `ca_pem` and `token` are the contents of the two files. Blocks where a file is opened.
    ///
    /// # Errors
    /// As [`SinkConfig::check`]; for a file as [`file::FileSink::open`].
    pub fn build(self, ca_pem: Option<&[u8]>, token: Option<Secret>) -> Result<Arc<dyn Sink>, Fault> {
        self.check()?;
        Ok(match self {
            Self::File(config) => Arc::new(file::FileSink::open(config.name, config.path)?),
            Self::Syslog(config) => Arc::new(syslog::SyslogSink::new(config, ca_pem)?),
            Self::Http(config) => Arc::new(http::HttpSink::new(config, ca_pem, token)?),
        })
    }
}
