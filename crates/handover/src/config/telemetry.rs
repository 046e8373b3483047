//! `[telemetry]`: where traces go.

use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

/// Where traces go.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// The receiver of OTLP over HTTP, without its path: `https://…`, or `http://` on loopback. Absent: no traces.
    pub(crate) otlp_endpoint: Option<String>,
    /// CA certificates, PEM, that an `https` receiver's certificate must chain to.
    pub(crate) otlp_ca_file: Option<PathBuf>,
}

impl Telemetry {
    /// Relative paths start at the configuration's directory.
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(file) = &mut self.otlp_ca_file {
            *file = directory.join(&*file);
        }
    }

    /// What nobody can mean. The URL is not repeated: somebody may have put a password into it.
    pub(super) fn wrong(&self) -> Option<String> {
        let endpoint = self.otlp_endpoint.as_ref()?;
        let Ok(url) = Url::parse(endpoint) else { return Some("otlp_endpoint is not a URL".to_owned()) };
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Some(
                "otlp_endpoint must hold no password and no query: the configuration holds no secrets".to_owned(),
            );
        }
        match url.scheme() {
            "https" if self.otlp_ca_file.is_none() => {
                Some("otlp_endpoint is https, and otlp_ca_file is missing: name the CA of the receiver".to_owned())
            }
            "https" => None,
            "http" if loopback => None,
            _ => Some("otlp_endpoint must be https://…, or http:// on loopback".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_cross_a_network_only_over_tls() {
        let wrong = |endpoint: &str, ca: bool| {
            let otlp_ca_file = ca.then(|| PathBuf::from("ca.pem"));
            Telemetry { otlp_endpoint: Some(endpoint.to_owned()), otlp_ca_file }.wrong()
        };
        assert_eq!(wrong("http://127.0.0.1:4318", false), None);
        assert_eq!(wrong("http://[::1]:4318/", false), None);
        assert_eq!(wrong("https://traces.internal", true), None);
        for (endpoint, words) in [
            ("http://traces.internal:4318", "loopback"),
            ("https://traces.internal", "otlp_ca_file"),
            ("http://a:canary-4711@127.0.0.1", "no password"),
            ("canary-4711", "not a URL"),
        ] {
            let said = wrong(endpoint, false).unwrap();
            assert!(said.contains(words) && !said.contains("canary"), "{said}");
        }
    }
}
