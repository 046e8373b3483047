//! A PostgreSQL connection pool on a live handle.
//!
//! Every connection is dialled with the credential in force at that moment. When another one is put in force, idle
//! connections of older publications are closed at once, those at work finish what they do, and none of them is handed
//! out again. A dial that began before the swap does not join the pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::Object;
use handover_scram::{Binding, MakeScramOnly, Refusal};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::credential::Credential;
use crate::error::Error;
use crate::live::Live;
pub use crate::pool::DialError;
use crate::pool::{self, Dial, Limits, Manager};
use crate::tls;

/// How a pool connects. The user and the password come from the live handle, never from here.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Host name or address; the server's certificate must be made out to it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// What the sessions are called in `pg_stat_activity`.
    pub application_name: Option<String>,
    /// CA certificates, PEM, that the server's certificate must chain to.
    pub ca_pem: Vec<u8>,
    /// Whether the login must be bound to the TLS channel (SCRAM-SHA-256-PLUS), which no one in the middle can pass on.
    /// Default yes. A pooler that ends TLS itself needs *no*; one in the middle with a certificate of the CA then has the
    /// session, and still not the password: nothing but SCRAM-SHA-256 is ever answered.
    pub bind_channel: bool,
    /// The most connections. Default 8.
    pub connections_max: usize,
    /// How long a dial may take. Default 5 s.
    pub dial_max: Duration,
    /// How long to wait for a free connection. Default 30 s.
    pub wait_max: Duration,
    /// After the server refused a login: how long to wait for a newer publication before giving up. Default 3 s; zero:
    /// a refused login is not tried again.
    pub newer_for: Duration,
    /// How often connections of older publications that came back meanwhile are closed. Default 1 s.
    pub sweep: Duration,
}

impl Options {
    /// Options with the defaults that the fields name.
    pub fn new(host: impl Into<String>, port: u16, database: impl Into<String>, ca_pem: impl Into<Vec<u8>>) -> Self {
        Self {
            host: host.into(),
            port,
            database: database.into(),
            application_name: None,
            ca_pem: ca_pem.into(),
            bind_channel: true,
            connections_max: 8,
            dial_max: Duration::from_secs(5),
            wait_max: Duration::from_secs(30),
            newer_for: Duration::from_secs(3),
            sweep: Duration::from_secs(1),
        }
    }
}

/// Makes connections. The pool is built on it; a worker that opens a connection per job uses it alone.
#[derive(Clone)]
pub struct Dialler {
    config: tokio_postgres::Config,
    tls: MakeScramOnly,
    dial_max: Duration,
    newer_for: Duration,
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").finish_non_exhaustive()
    }
}

impl Dialler {
    /// A dialler. Nothing is dialled yet.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let roots = tls::client_config(Some(&options.ca_pem))
            .map_err(|tls::BadRoots| Error::Options("the database's CA text holds no usable certificate".to_owned()))?;
        let binding = if options.bind_channel { Binding::Require } else { Binding::Prefer };
        let tls = MakeScramOnly::new(MakeRustlsConnect::new(roots), binding);
        let mut config = tokio_postgres::Config::new();
        config
            .host(&options.host)
            .port(options.port)
            .dbname(&options.database)
            .ssl_mode(SslMode::Require)
            .channel_binding(tls.channel_binding());
        if let Some(name) = &options.application_name {
            config.application_name(name);
        }
        let (dial_max, newer_for) = (options.dial_max, options.newer_for);
        Ok(Self { config, tls, dial_max, newer_for })
    }

    /// Logs in with what is in force, for work that opens a connection of its own: a session that was dialled with an
    /// older publication is never given back, and a refused login is tried once more with a newer one.
    pub async fn dial_in_force(&self, live: &Live<Credential>) -> Result<tokio_postgres::Client, DialError> {
        pool::dial_in_force(live, self, self.newer_for).await.map(|dialled| dialled.connection)
    }

    /// Logs in with `credential`, once. The session ends when the client is dropped.
    pub async fn dial(&self, credential: &Credential) -> Result<tokio_postgres::Client, DialError> {
        let mut config = self.config.clone();
        config.user(credential.user().ok_or(DialError::NoUser)?);
        #[expect(
            clippy::disallowed_methods,
            reason = "the driver needs the password to log in; it is proved by SCRAM"
        )]
        config.password(credential.value().expose());
        let dialled = tokio::time::timeout(self.dial_max, config.connect(self.tls.clone())).await;
        let (client, connection) = match dialled {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(error)) => return Err(in_our_words(&error, credential.publication())),
            Err(_) => return Err(DialError::Unreachable),
        };
        // Ends with the client; what it ends with is seen by whoever waits for an answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }
}

fn in_our_words(error: &tokio_postgres::Error, publication: u64) -> DialError {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            DialError::Refused { publication }
        }
        Some(code) => DialError::Answered { sqlstate: code.code().to_owned() },
        None if Refusal::of(error).is_some() => DialError::NotScram,
        None => DialError::Unreachable,
    }
}

impl Dial for Dialler {
    type Connection = tokio_postgres::Client;

    async fn dial(&self, credential: &Credential) -> Result<tokio_postgres::Client, DialError> {
        Self::dial(self, credential).await
    }

    fn is_closed(connection: &tokio_postgres::Client) -> bool {
        connection.is_closed()
    }
}

/// A connection pool. Cheap to clone; connections end when the last clone and the last [`Connection`] are gone.
#[derive(Clone)]
pub struct Pool(pool::Pool<Dialler>);

impl Pool {
    /// A pool on a live handle. Nothing is dialled yet. Needs a Tokio runtime.
    pub fn new(live: Live<Credential>, options: &Options) -> Result<Self, Error> {
        let limits = Limits {
            connections_max: options.connections_max,
            wait_max: options.wait_max,
            newer_for: options.newer_for,
            sweep: options.sweep,
        };
        let pool = pool::Pool::new(live, Dialler::new(options)?, limits);
        pool.map(Self).ok_or_else(|| Error::Options("the pool could not be built".to_owned()))
    }

    /// A connection that was dialled with the publication in force. It goes back when it is dropped.
    pub async fn take(&self) -> Result<Connection, DialError> {
        self.0.take().await.map(Connection)
    }

    /// Open connections, idle or at work.
    pub fn open(&self) -> usize {
        self.0.open()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("open", &self.open()).finish_non_exhaustive()
    }
}

/// A connection on loan from a [`Pool`]; use it as the [`tokio_postgres::Client`] that it is.
pub struct Connection(Object<Manager<Dialler>>);

impl Connection {
    /// The publication that it was dialled with.
    pub fn publication(&self) -> u64 {
        self.0.publication
    }
}

impl Deref for Connection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.0.connection
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut tokio_postgres::Client {
        &mut self.0.connection
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("publication", &self.publication()).finish_non_exhaustive()
    }
}
