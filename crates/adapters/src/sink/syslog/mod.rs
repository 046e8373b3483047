//! History as syslog messages (RFC 5424), over TLS, TCP, UDP or a local socket.
//!
//! Syslog has no answer that says *received*. Over TLS and TCP a batch is therefore a connection of its own: it is
//! written, our side is closed, and delivery is confirmed when the receiver closes its side, which it does when it has
//! read to the end. A receiver that died or hangs with the batch unread does not get as far. Where the receiver does not
//! close, `confirm = "sent"` is content with what the kernel took.

mod message;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use handover_core::port::{Answer, Record, Sink};
use handover_core::{Fault, FaultKind};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio_rustls::TlsConnector;

use self::message::Header;
use super::tls;

/// Options of a syslog sink.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The sink's name: the key of its cursor.
    pub name: String,
    /// `host:port`; with `transport = "unix"` the path of a socket, such as `/dev/log`.
    pub address: String,
    /// How to get there.
    #[serde(default)]
    pub transport: Transport,
    /// CA certificates in PEM that the receiver's certificate must chain to. For TLS.
    pub ca_file: Option<PathBuf>,
    /// The name that the receiver's certificate must have, if it is not the host of `address`.
    pub server_name: Option<String>,
    /// When a batch counts as delivered, over TLS and TCP.
    #[serde(default)]
    pub confirm: Confirm,
    /// The facility, 0 to 23. 13 is *log audit*.
    #[serde(default = "facility")]
    pub facility: u8,
    /// The host's name in the header; `-` if absent.
    #[serde(default)]
    pub host_name: String,
    /// The program's name in the header.
    #[serde(default = "app_name")]
    pub app_name: String,
}

/// How records get to a syslog receiver.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TLS over TCP (RFC 5425).
    #[default]
    Tls,
    /// TCP with octet counting (RFC 6587), in clear.
    Tcp,
    /// One datagram for each record (RFC 5426), in clear. Whatever is lost on the way is lost.
    Udp,
    /// One datagram for each record, on a local socket.
    Unix,
}

/// When a batch counts as delivered, over TLS and TCP.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// When the receiver has closed its side, after it read to the end of ours.
    #[default]
    Closed,
    /// When the kernel took it. What a receiver that dies had not read is lost.
    Sent,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.facility > 23 {
            return Err(self.misconfigured("facility is 0 to 23"));
        }
        if self.transport != Transport::Unix && self.host().is_none() {
            return Err(self.misconfigured("address is `host:port`"));
        }
        if self.transport == Transport::Tls {
            if self.ca_file.is_none() {
                let words = "over TLS, ca_file names the CA that its receiver's certificate chains to";
                return Err(self.misconfigured(words));
            }
            self.certified_name()?;
        } else if self.ca_file.is_some() || self.server_name.is_some() {
            return Err(self.misconfigured("ca_file and server_name are for transport = \"tls\""));
        }
        Ok(())
    }

    pub(super) fn receiver(&self) -> Option<(String, u16)> {
        match self.transport {
            Transport::Tls | Transport::Tcp => {
                Some((self.host()?.to_owned(), self.address.rsplit_once(':')?.1.parse().ok()?))
            }
            // Nobody says that a datagram arrived.
            Transport::Udp | Transport::Unix => None,
        }
    }

    /// The host of the address, without the brackets of an IPv6 address.
    fn host(&self) -> Option<&str> {
        let (host, port) = self.address.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty()).then_some(host)
    }

    fn certified_name(&self) -> Result<ServerName<'static>, Fault> {
        let name = self.server_name.as_deref().or_else(|| self.host()).unwrap_or_default();
        ServerName::try_from(name.to_owned())
            .map_err(|_| self.misconfigured("server_name is neither a DNS name nor an address"))
    }

    fn misconfigured(&self, why: &str) -> Fault {
        Fault::untouched(FaultKind::Misconfigured, format!("sink {}: {why}", self.name))
    }
}

/// A sink that sends syslog messages.
pub struct SyslogSink {
    config: Config,
    header: Header,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl SyslogSink {
    /// Makes the sink. Nothing is contacted yet.
    ///
    /// # Errors
    /// `Misconfigured`.
    pub fn new(config: Config, ca_pem: Option<&[u8]>) -> Result<Self, Fault> {
        config.check()?;
        let tls = match config.transport {
            Transport::Tls => {
                let client = tls::client_config(&config.name, Some(ca_pem.unwrap_or_default()))?;
                Some((TlsConnector::from(Arc::new(client)), config.certified_name()?))
            }
            Transport::Tcp | Transport::Udp | Transport::Unix => None,
        };
        let header = Header { facility: config.facility, host: config.host_name.clone(), app: config.app_name.clone() };
        Ok(Self { config, header, tls })
    }

    async fn send(&self, messages: &[String]) -> Result<(), Fault> {
        match self.config.transport {
            Transport::Tls | Transport::Tcp => {
                let stream = TcpStream::connect(&self.config.address)
                    .await
                    .map_err(|error| self.trouble(Act::Connect, &error))?;
                match &self.tls {
                    None => self.stream(stream, messages).await,
                    Some((connector, name)) => {
                        let connecting = connector.connect(name.clone(), stream).await;
                        let stream = connecting.map_err(|error| self.trouble(Act::Connect, &error))?;
                        self.stream(stream, messages).await
                    }
                }
            }
            Transport::Udp => {
                let socket = self.udp().await.map_err(|error| self.trouble(Act::Connect, &error))?;
                for message in messages {
                    socket.send(message.as_bytes()).await.map_err(|error| self.trouble(Act::Send, &error))?;
                }
                Ok(())
            }
            Transport::Unix => {
                let socket = UnixDatagram::unbound().map_err(|error| self.trouble(Act::Connect, &error))?;
                socket.connect(&self.config.address).map_err(|error| self.trouble(Act::Connect, &error))?;
                for message in messages {
                    socket.send(message.as_bytes()).await.map_err(|error| self.trouble(Act::Send, &error))?;
                }
                Ok(())
            }
        }
    }

    /// Writes all messages with their lengths, and has the receiver confirm them.
    async fn stream(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, messages: &[String]) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
            bytes.extend_from_slice(message.as_bytes());
        }
        stream.write_all(&bytes).await.map_err(|error| self.trouble(Act::Send, &error))?;
        stream.shutdown().await.map_err(|error| self.trouble(Act::Send, &error))?;
        if self.config.confirm == Confirm::Sent {
            return Ok(());
        }
        // A receiver has nothing to say; what it says is not looked at.
        let mut said = [0; 512];
        loop {
            match stream.read(&mut said).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // Closed without the TLS library's farewell, as some receivers do.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(self.trouble(Act::Confirm, &error)),
            }
        }
    }

    async fn udp(&self) -> io::Result<UdpSocket> {
        let address = tokio::net::lookup_host(&self.config.address).await?.next();
        let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let local = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(address).await?;
        Ok(socket)
    }

    fn trouble(&self, act: Act, error: &io::Error) -> Fault {
        let Config { name, address, .. } = &self.config;
        let untrusted = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
        if untrusted {
            let words = format!(
                "sink {name}: the certificate of {address} does not chain to its ca_file, has expired, or bears another \
                 name; set ca_file and server_name"
            );
            return Fault::untouched(FaultKind::Misconfigured, words);
        }
        if error.kind() == io::ErrorKind::PermissionDenied {
            let words = format!("sink {name}: the user that runs this may not write to {address}; change its rights");
            return Fault::untouched(FaultKind::NotPermitted, words);
        }
        match act {
            Act::Connect => {
                let words =
                    format!("sink {name}: no connection to {address}; records wait in the state until there is one");
                Fault::untouched(FaultKind::Unreachable, words)
            }
            Act::Send => {
                let words = format!("sink {name}: {address} did not take the records; they are sent again");
                Fault::unknown(FaultKind::Unreachable, words)
            }
            Act::Confirm => {
                let words = format!(
                    "sink {name}: {address} broke the connection before it had read the records; they are sent again"
                );
                Fault::unknown(FaultKind::Unreachable, words)
            }
        }
    }
}

impl Sink for SyslogSink {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn deliver<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(async move {
            let messages = records.iter().map(|record| self.header.message(record)).collect::<Result<Vec<_>, _>>()?;
            if messages.is_empty() { Ok(()) } else { self.send(&messages).await }
        })
    }
}

#[derive(Clone, Copy)]
enum Act {
    Connect,
    Send,
    Confirm,
}

const fn facility() -> u8 {
    13
}

fn app_name() -> String {
    "handover".to_owned()
}
