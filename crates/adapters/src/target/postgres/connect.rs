//! Logging in: TLS with the name checked, SCRAM with a channel binding, nothing else. A pooler may be let off the binding.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use handover_core::{Fault, FaultKind};
use handover_scram::{Binding, MakeScramOnly};
use handover_secret::Secret;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{ChannelBinding, Config, Endpoint};
use super::fault::{asked_as_it_should, no_session, refuses};
use super::kept::{self, Home};

/// How we call ourselves in the server's list of sessions.
const APPLICATION_NAME: &str = "handover";

/// What trusts the same certificates is made once: many groups are of one cluster, and each of these takes kilobytes.
static TRUSTING: Mutex<Vec<(Vec<u8>, Arc<Trust>)>> = Mutex::new(Vec::new());

/// How many of them are kept. A group that comes after more than these have one of its own.
const TRUSTING_MAX: usize = 16;

/// Opens sessions.
pub(super) struct Connector {
    trust: Arc<Trust>,
}

/// Whose servers are believed.
pub(super) struct Trust {
    tls: MakeRustlsConnect,
}

/// An open session, closed when dropped.
pub(super) struct Session {
    client: tokio_postgres::Client,
    #[expect(dead_code, reason = "ends with the session")]
    driver: Driver,
    home: Option<Home>,
}

/// What moves a session's messages, until it is dropped.
struct Driver(tokio::task::JoinHandle<()>);

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
        if let Some((_, trust)) = known.iter().find(|(pem, _)| pem == ca_pem) {
            return Ok(Self { trust: Arc::clone(trust) });
        }
        let trust = Arc::new(Trust::new(ca_pem)?);
        if known.len() >= TRUSTING_MAX {
            known.remove(0);
        }
        known.push((ca_pem.to_owned(), Arc::clone(&trust)));
        Ok(Self { trust })
    }

    /// A session of our own user: one that waits for its next use, or a new one.
    pub(super) async fn own(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        password: &Arc<Secret>,
    ) -> Result<Session, Denied> {
        let home = Home::new(&self.trust, config, endpoint, password);
        match kept::take(&home) {
            Some(session) => Ok(session),
            None => self.own_afresh(config, endpoint, password).await,
        }
    }

    /// The same by a login that is made now. Where it is refused, those that wait are closed.
    pub(super) async fn own_afresh(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        password: &Arc<Secret>,
    ) -> Result<Session, Denied> {
        let home = Home::new(&self.trust, config, endpoint, password);
        match self.login(config, endpoint, &config.admin.user, password).await {
            Ok(session) => Ok(Session { home: Some(home), ..session }),
            Err(Denied::Refused) => {
                kept::forget(&home);
                Err(Denied::Refused)
            }
            Err(Denied::Fault(fault)) => Err(Denied::Fault(fault)),
        }
    }

    /// One login. Bounded, and nothing is left behind if it is cut off.
    pub(super) async fn login(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        user: &str,
        password: &Secret,
    ) -> Result<Session, Denied> {
        // Poolers refuse settings that they do not know how to keep apart.
        let options = if endpoint.is_pooler() { String::new() } else { session_options(config.statement_timeout_ms) };
        self.login_with(config, endpoint, user, password, &options).await
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
        let mut driver = driver(config, endpoint, user);
        #[expect(clippy::disallowed_methods, reason = "the driver proves knowledge of it by SCRAM; it is not sent")]
        driver.password(password.expose());
        if !options.is_empty() {
            driver.options(options);
        }
        let (client, mut connection) = match self.connect(driver, config, endpoint).await {
            Some(Ok(connected)) => connected,
            Some(Err(error)) if refuses(endpoint, &error) => return Err(Denied::Refused),
            Some(Err(error)) => return Err(Denied::Fault(no_session(&error, config, endpoint, user))),
            None => return Err(Denied::Fault(silent(endpoint, user))),
        };
        // Polled by hand, because the connection as a future writes the server's notices to a log.
        let driver = tokio::spawn(async move {
            while let Some(Ok(_)) = std::future::poll_fn(|context| connection.poll_message(context)).await {}
        });
        let driver = Driver(driver);
        Ok(Session { client, driver, home: None })
    }

    /// Goes as far as the question for the password, and leaves without an answer.
    pub(super) async fn ask(&self, config: &Config, endpoint: &Endpoint, user: &str) -> Result<(), Denied> {
        match self.connect(driver(config, endpoint, user), config, endpoint).await {
            Some(Err(error)) if asked_as_it_should(&error) => Ok(()),
            Some(Err(error)) if refuses(endpoint, &error) => Err(Denied::Refused),
            Some(Err(error)) => Err(Denied::Fault(no_session(&error, config, endpoint, user))),
            Some(Ok(_)) => {
                let detail = format!("endpoint {} let {user} in without a password", endpoint.name);
                Err(Denied::Fault(Fault::untouched(FaultKind::Misconfigured, detail)))
            }
            None => Err(Denied::Fault(silent(endpoint, user))),
        }
    }

    /// `None` if it took too long.
    async fn connect(
        &self,
        mut driver: tokio_postgres::Config,
        config: &Config,
        endpoint: &Endpoint,
    ) -> Option<Result<(tokio_postgres::Client, Connection), tokio_postgres::Error>> {
        let binding = match endpoint.channel_binding {
            ChannelBinding::Require => Binding::Require,
            ChannelBinding::Prefer => Binding::Prefer,
        };
        let tls = MakeScramOnly::new(self.trust.tls.clone(), binding);
        driver.channel_binding(tls.channel_binding());
        tokio::time::timeout(config.connect_timeout(), driver.connect(tls)).await.ok()
    }
}

impl Trust {
    fn new(ca_pem: &[u8]) -> Result<Self, Fault> {
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
}

type Connection = tokio_postgres::Connection<
    tokio_postgres::Socket,
    <MakeScramOnly as MakeTlsConnect<tokio_postgres::Socket>>::Stream,
>;

fn driver(config: &Config, endpoint: &Endpoint, user: &str) -> tokio_postgres::Config {
    let mut driver = tokio_postgres::Config::new();
    driver
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(user)
        .dbname(config.database.as_str())
        .application_name(APPLICATION_NAME)
        .ssl_mode(SslMode::Require)
        .connect_timeout(config.connect_timeout())
        .tcp_user_timeout(config.connect_timeout());
    driver
}

fn silent(endpoint: &Endpoint, user: &str) -> Fault {
    let Endpoint { name, host, port, .. } = endpoint;
    let detail = format!(
        "logging in as {user} at endpoint {name} ({host}:{port}): no session within connect_timeout_ms; look at routes and \
         firewalls, or give it longer"
    );
    Fault::untouched(FaultKind::Unreachable, detail)
}

impl Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.client
    }
}

impl Session {
    /// Gives it back, in no transaction, for its next use. Without this it is closed.
    pub(super) fn keep(self) {
        kept::keep(self);
    }

    /// For what it can be used again; `None` if it cannot.
    pub(super) const fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }
}

impl Drop for Driver {
    /// Closes the connection at once. The server rolls back what is not committed, also if a statement still runs.
    fn drop(&mut self) {
        self.0.abort();
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
