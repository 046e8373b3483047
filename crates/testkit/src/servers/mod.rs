//! Real servers for tests and demonstrations: private, on loopback, with TLS and authentication on.
//!
//! Starting and stopping needs no async runtime. Every server runs in a temporary folder on a free port below 32768
//! (the ephemeral range begins there, where a client that polls a dead port can connect to itself), and ends when its
//! handle is dropped or when the process that started it dies.

mod certificates;
mod front;
mod interceptor;
mod mail;
mod openbao;
pub mod pgbouncer;
pub mod postgres;
mod process;
mod provider;
mod proxy;
mod receiver;
pub mod redis;
mod rsyslog;

use std::fmt;

pub use certificates::Certificates;
pub use front::{Fate, Front};
pub use interceptor::{Interceptor, Trick};
pub use mail::{Mail, MailServer};
pub use openbao::{AppRole, OpenBao, Standby};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub(crate) use process::{end, spawn};
pub use process::{free_port, tool};
pub use provider::{Answer, CONTRACTS, Contract, Provider};
pub use proxy::Proxy;
pub use receiver::{Receiver, Reply, Request};
pub use redis::Redis;
pub use rsyslog::Rsyslog;

/// A server could not be started, asked or stopped; the text says what to do about it.
#[derive(Debug)]
pub struct ServerError(String);

impl ServerError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(crate) fn because(what: &str, cause: &dyn fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

/// So many random hexadecimal characters: names and passwords that no other run has.
pub fn random_hex(characters: usize) -> Result<String, ServerError> {
    use std::io::Read;

    let mut bytes = vec![0_u8; characters.div_ceil(2)];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| ServerError::because("no random bytes", &error))?;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(characters);
    Ok(text)
}
