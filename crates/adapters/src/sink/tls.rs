//! TLS towards sinks.

use handover_core::Fault;
use rustls::ClientConfig;

/// See [`crate::tls::client_config`].
pub(super) fn client_config(sink: &str, pem: Option<&[u8]>) -> Result<ClientConfig, Fault> {
    crate::tls::client_config(&format!("sink {sink}"), pem)
}
