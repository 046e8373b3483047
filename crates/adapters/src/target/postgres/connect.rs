//! Logging in: TLS with the name checked, SCRAM with a channel binding, nothing else.

use std::ops::Deref;
use std::sync::Arc;

use handover_core::{Fault, FaultKind};
use handover_secret::Secret;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{Config, Endpoint};
use super::fault::{no_session, refuses_credential};

/// How we call ourselves in the server's list of sessions.
const APPLICATION_NAME: &str = "handover";

/// Opens sessions. Each call of a port opens its own and closes it: a cached one for each group would use up the
/// server's connections, and one left in the middle of a transaction would have to be recognised.
pub(super) struct Connector {
    tls: MakeRustlsConnect,
}

/// An open session, closed when dropped.
pub(super) struct Session {
    client: tokio_postgres::Client,
    driver: tokio::task::JoinHandle<()>,
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
        // TLS 1.2 and 1.3: rustls has no older ones.
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| Fault::untouched(FaultKind::Bug, "the TLS library supports no version of TLS"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: MakeRustlsConnect::new(config) })
    }

    /// One login. Bounded, and nothing is left behind if it is cut off.
    pub(super) async fn login(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        user: &str,
        password: &Secret,
    ) -> Result<Session, Denied> {
        self.login_with(config, endpoint, user, password, &session_options(config.statement_timeout_ms)).await
    }

    /// The same with these settings and no others: with none, it is a session as an application has it.
    pub(super) async fn login_with(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        user: &str,
        password: &Secret,
        options: &str,
    ) -> Result<Session, Denied> {
        let mut driver = tokio_postgres::Config::new();
        #[expect(clippy::disallowed_methods, reason = "the driver proves knowledge of it by SCRAM; it is not sent")]
        driver.password(password.expose());
        driver
            .host(&endpoint.host)
            .port(endpoint.port)
            .user(user)
            .dbname(&config.database)
            .application_name(APPLICATION_NAME)
            .options(options)
            .ssl_mode(SslMode::Require)
            // The driver answers a request for a clear or MD5 password, unless a channel binding is required.
            .channel_binding(ChannelBinding::Require)
            .connect_timeout(config.connect_timeout())
            .tcp_user_timeout(config.connect_timeout());
        let attempt = tokio::time::timeout(config.connect_timeout(), driver.connect(self.tls.clone()));
        let (client, mut connection) = match attempt.await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) if refuses_credential(&error) => return Err(Denied::Refused),
            Ok(Err(error)) => return Err(Denied::Fault(no_session(&error, config, endpoint, user))),
            Err(_) => {
                let Endpoint { name, host, port, .. } = endpoint;
                let detail = format!(
                    "logging in as {user} at endpoint {name} ({host}:{port}): no session within connect_timeout_ms; look at \
                     routes and firewalls, or give it longer"
                );
                return Err(Denied::Fault(Fault::untouched(FaultKind::Unreachable, detail)));
            }
        };
        // Polled by hand, because the connection as a future writes the server's notices to a log.
        let driver = tokio::spawn(async move {
            while let Some(Ok(_)) = std::future::poll_fn(|context| connection.poll_message(context)).await {}
        });
        Ok(Session { client, driver })
    }
}

impl Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.client
    }
}

impl Drop for Session {
    /// Closes the connection at once. The server rolls back what is not committed, also if a statement still runs.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Settings that a session starts with, above those of the role and the database.
///
/// Nothing but the system's own functions and operators is found without a schema, so that nobody who may create
/// objects can slip one under our statements. Waits are bounded at the server, so that what a cut-off call left behind
/// ends by itself.
fn session_options(statement_timeout_ms: u64) -> String {
    [
        "search_path=pg_catalog".to_owned(),
        "client_min_messages=error".to_owned(),
        format!("statement_timeout={statement_timeout_ms}"),
        format!("lock_timeout={statement_timeout_ms}"),
        format!("idle_in_transaction_session_timeout={statement_timeout_ms}"),
    ]
    .map(|setting| format!("-c {setting}"))
    .join(" ")
}
