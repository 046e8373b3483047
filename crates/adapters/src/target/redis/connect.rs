//! Logging in: TLS with the name checked, then the user and its password. Commands are bounded.

use std::sync::{Arc, Mutex, PoisonError};

use handover_core::{Fault, FaultKind, Touched};
use handover_secret::Secret;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisConnectionInfo, Value};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Config, Endpoint};
use super::fault::{self, Answered};

/// What trusts the same certificates is made once: many groups are of one server.
static TRUSTING: Mutex<Vec<(Vec<u8>, Arc<rustls::ClientConfig>)>> = Mutex::new(Vec::new());

/// How many of them are kept. A group that comes after more than these have one of its own.
const TRUSTING_MAX: usize = 16;

/// Opens sessions. Each call of a port opens its own and closes it.
pub(super) struct Connector {
    tls: TlsConnector,
}

/// An open session at a node, closed when dropped.
pub(super) struct Session {
    connection: MultiplexedConnection,
    driver: tokio::task::JoinHandle<()>,
    endpoint: String,
}

/// Why there is no session.
pub(super) enum Denied {
    /// The credential was refused.
    Refused,
    /// Anything else.
    Fault(Fault),
}

impl Connector {
    /// Trusts the certificates in `ca_pem` and no others.
    pub(super) fn new(ca_pem: &[u8]) -> Result<Self, Fault> {
        let mut known = TRUSTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tls)) = known.iter().find(|(pem, _)| pem == ca_pem) {
            return Ok(Self { tls: Arc::clone(tls).into() });
        }
        let made = Arc::new(trusting(ca_pem)?);
        if known.len() >= TRUSTING_MAX {
            known.remove(0);
        }
        known.push((ca_pem.to_owned(), Arc::clone(&made)));
        Ok(Self { tls: made.into() })
    }

    /// One login. Bounded, and nothing is left behind if it is cut off.
    pub(super) async fn login(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        user: &str,
        password: &Secret,
    ) -> Result<Session, Denied> {
        match timeout(config.connect_timeout(), self.enter(config, endpoint, user, password)).await {
            Ok(entered) => entered,
            Err(_) => {
                let Endpoint { name, host, port, .. } = endpoint;
                let detail = format!(
                    "logging in as {user} at endpoint {name} ({host}:{port}): no session within connect_timeout_ms; look at \
                     routes and firewalls, or give it longer"
                );
                Err(Denied::Fault(Fault::untouched(FaultKind::Unreachable, detail)))
            }
        }
    }

    async fn enter(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        user: &str,
        password: &Secret,
    ) -> Result<Session, Denied> {
        let stream = self.connect(endpoint).await.map_err(|error| {
            Denied::Fault(fault::no_session(&error, endpoint, &format!("connecting to endpoint {}", endpoint.name)))
        })?;
        // What the driver would say of itself needs a login first.
        let nobody = RedisConnectionInfo::default();
        let made = MultiplexedConnection::new_with_response_timeout(&nobody, stream, Some(config.command_timeout()));
        let doing = || format!("logging in as {user} at endpoint {}", endpoint.name);
        let broken = |error| Denied::Fault(fault::fault(&error, Touched::Nothing, &doing()));
        let (connection, driver) = made.await.map_err(broken)?;
        let mut session = Session { connection, driver: tokio::spawn(driver), endpoint: endpoint.name.clone() };
        let mut login = redis::cmd("AUTH");
        #[expect(clippy::disallowed_methods, reason = "a login presents it, over TLS, to the host that is named")]
        login.arg(user).arg(password.expose());
        match login.query_async::<Value>(&mut session.connection).await {
            Ok(_) => Ok(session),
            Err(error) => match fault::answered(&error) {
                Some(Answered::WrongPassword) => Err(Denied::Refused),
                Some(Answered::NoPermission | Answered::Refused | Answered::Other) | None => {
                    match fault::io(&error) {
                        // Before the first answer TLS may say why it does not go on.
                        Some(io) => Err(Denied::Fault(fault::no_session(io, endpoint, &doing()))),
                        None => Err(Denied::Fault(fault::fault(&error, Touched::Nothing, &doing()))),
                    }
                }
            },
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(endpoint.host.clone()).map_err(std::io::Error::other)?;
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        stream.set_nodelay(true)?;
        self.tls.connect(name, stream).await
    }
}

impl Session {
    /// The endpoint's name.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One command and its answer.
    pub(super) async fn ask(&mut self, words: &[&str]) -> redis::RedisResult<Value> {
        command(words).query_async(&mut self.connection).await
    }

    /// One command that changes nothing; what goes wrong is a fault.
    pub(super) async fn look(&mut self, words: &[&str], doing: &str) -> Result<Value, Fault> {
        let answer = self.ask(words).await;
        answer
            .map_err(|error| fault::fault(&error, Touched::Nothing, &format!("{doing} at endpoint {}", self.endpoint)))
    }
}

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}

fn trusting(ca_pem: &[u8]) -> Result<rustls::ClientConfig, Fault> {
    let misconfigured = |why| Fault::untouched(FaultKind::Misconfigured, why);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|_| misconfigured("ca_file is not PEM"))?;
        roots.add(certificate).map_err(|_| misconfigured("ca_file holds a certificate that is not valid"))?;
    }
    if roots.is_empty() {
        return Err(misconfigured("ca_file holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Fault::untouched(FaultKind::Bug, "the TLS library supports no version of TLS"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Drop for Session {
    /// Closes the connection at once.
    fn drop(&mut self) {
        self.driver.abort();
    }
}
