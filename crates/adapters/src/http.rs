//! What connectors that are clients of HTTP servers have in common.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use reqwest::Url;

/// Whether the server is on this machine, so that nobody is on the way to it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// Whether a certificate is why, wherever in the chain of causes the TLS library says so.
pub(crate) fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // What an I/O error holds is not its source, but has the source that it names.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = held.map(|held| held as &(dyn Error + 'static)).or_else(|| error.source());
    }
    false
}
