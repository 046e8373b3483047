//! What can be said without a credential: a port answers, a certificate is right, a name leads where it should. None of
//! this is a login.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use handover_core::port::Finding;
use handover_core::{Fault, FaultKind};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Common, When, always, failed, misconfigured, timeout_ms, unknown};
use crate::address::{Allowed, Unreached};
use crate::tls;

/// Options of `tcp`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpConfig {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "always")]
    pub when: Vec<When>,
    /// How long it may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Where.
    pub host: String,
    /// At which port.
    pub port: u16,
}

/// Options of `tls`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "always")]
    pub when: Vec<When>,
    /// How long it may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Where.
    pub host: String,
    /// At which port.
    pub port: u16,
    /// The name that the certificate must bear, if it is another than `host`.
    pub server_name: Option<String>,
    /// CA certificates in PEM that the certificate must chain to.
    pub ca_file: PathBuf,
}

/// Options of `dns`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "always")]
    pub when: Vec<When>,
    /// How long it may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// The name that is resolved.
    pub host: String,
    /// Of which family the addresses are.
    pub family: Family,
    /// The addresses that it must lead to: all of these and no others of the family.
    pub expected: Vec<IpAddr>,
}

/// A family of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl TcpConfig {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    pub(super) async fn connect(&self) -> Result<Finding, Fault> {
        connected(&self.host, self.port).await.map(|_| Finding::Passed)
    }
}

impl TlsConfig {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        self.server_name()?;
        port(&self.name, self.port)
    }

    fn server_name(&self) -> Result<ServerName<'static>, Fault> {
        let name = self.server_name.as_ref().unwrap_or(&self.host).clone();
        ServerName::try_from(name).map_err(|_| misconfigured(&self.name, "host or server_name is no name of a server"))
    }
}

impl DnsConfig {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    pub(super) async fn look_up(&self) -> Result<Finding, Fault> {
        let found = tokio::net::lookup_host((self.host.as_str(), 0)).await;
        let found = found.map_err(|_| unknown(FaultKind::Unreachable, "the name cannot be resolved"))?;
        let of_family = |address: &IpAddr| match self.family {
            Family::A => address.is_ipv4(),
            Family::Aaaa => address.is_ipv6(),
        };
        let found: BTreeSet<IpAddr> = found.map(|address| address.ip()).filter(of_family).collect();
        if found == self.expected.iter().copied().collect() {
            return Ok(Finding::Passed);
        }
        Ok(failed("the name leads to other addresses than expected"))
    }
}

pub(super) struct Tls {
    config: TlsConfig,
    client: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(config: TlsConfig, ca_pem: Option<&[u8]>) -> Result<Self, Fault> {
        config.check()?;
        let client = tls::client_config(&format!("check {}", config.name), ca_pem)?;
        Ok(Self { config, client: Arc::new(client) })
    }

    pub(super) async fn shake_hands(&self) -> Result<Finding, Fault> {
        let stream = connected(&self.config.host, self.config.port).await?;
        let connector = TlsConnector::from(Arc::clone(&self.client));
        match connector.connect(self.config.server_name()?, stream).await {
            Ok(_) => Ok(Finding::Passed),
            Err(error) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                match inner {
                    Some(rustls::Error::InvalidCertificate(_)) => {
                        Ok(failed("its certificate does not chain to ca_file, has expired, or bears another name"))
                    }
                    Some(_) | None => Err(unknown(FaultKind::Unreachable, "the handshake did not come to an end")),
                }
            }
        }
    }
}

pub(super) fn port(name: &str, port: u16) -> Result<(), Fault> {
    if port == 0 { Err(misconfigured(name, "port is 1 to 65535")) } else { Ok(()) }
}

/// One of the addresses that the name leads to. Services in our own network are what this is for; the link never is.
async fn connected(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let addresses = Allowed { private: true }.resolve(host, port).await.map_err(|unreached| {
        let kind = match unreached {
            Unreached::NoAddress => FaultKind::Unreachable,
            Unreached::Forbidden => FaultKind::Misconfigured,
        };
        unknown(kind, format!("{host}: {unreached}"))
    })?;
    let stream = TcpStream::connect(addresses.as_slice()).await;
    stream.map_err(|_| unknown(FaultKind::Unreachable, format!("no connection to {host}:{port}")))
}
