//! A man in the middle of PostgreSQL's protocol, who tries to be given a password.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::process::free_port;
use super::{Certificates, ServerError};

/// What the interceptor tries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trick {
    /// Says that the server has no TLS, and goes on in clear text.
    NoTls,
    /// Ends TLS itself, with its own certificate, and passes on all else.
    OwnCertificate,
    /// The same, and takes the channel binding out of the ways to log in that the server offers.
    NoBinding,
    /// Ends TLS itself and asks for the password in clear text.
    AskForClearText,
    /// Ends TLS itself and asks for an MD5 of the password.
    AskForMd5,
    /// Ends TLS itself and asks for nothing: everybody is let in.
    AskForNothing,
}

/// An interceptor in front of a server. Ends with the process.
pub struct Interceptor {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Interceptor {
    /// Waits for clients of the server at `upstream`, whose CA is `upstream_ca_pem`.
    pub fn start(upstream: u16, upstream_ca_pem: &str, own: &Certificates, trick: Trick) -> Result<Self, ServerError> {
        let because = |error: &dyn std::fmt::Display| ServerError::because("the interceptor could not start", error);
        let shared = Shared {
            upstream,
            trick,
            acceptor: acceptor(own).map_err(|error| because(&error))?,
            connector: connector(upstream_ca_pem).map_err(|error| because(&error))?,
            heard: Arc::default(),
        };
        let heard = Arc::clone(&shared.heard);
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| because(&error))?;
        listener.set_nonblocking(true).map_err(|error| because(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| because(&error))?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let shared = Arc::new(shared);
                while let Ok((client, _)) = listener.accept().await {
                    let shared = Arc::clone(&shared);
                    // A client that hangs up is what is hoped for.
                    tokio::spawn(async move { drop(shared.intercept(client).await) });
                }
            });
        });
        Ok(Self { port, heard })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All that clients said, without the encryption that the interceptor ended.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Shared {
    upstream: u16,
    trick: Trick,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// What a client asks first: whether there is TLS.
const ASK_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

impl Shared {
    async fn intercept(&self, mut client: TcpStream) -> io::Result<()> {
        let mut asked = [0; 8];
        client.read_exact(&mut asked).await?;
        if self.trick == Trick::NoTls {
            client.write_all(b"N").await?;
            return self.listen(&mut client).await;
        }
        client.write_all(b"S").await?;
        let mut client = self.acceptor.accept(client).await?;
        let startup = self.startup(&mut client).await?;
        let question = match self.trick {
            Trick::AskForClearText => message(&3_u32.to_be_bytes()),
            Trick::AskForMd5 => message(&[&5_u32.to_be_bytes()[..], b"salt"].concat()),
            Trick::AskForNothing => message(&0_u32.to_be_bytes()),
            Trick::NoTls | Trick::OwnCertificate | Trick::NoBinding => {
                return self.pass_on(&mut client, &startup).await;
            }
        };
        client.write_all(&question).await?;
        self.listen(&mut client).await
    }

    /// The client's first message: who it is and what it wants. There is no secret in it.
    async fn startup<S: tokio::io::AsyncRead + Unpin>(&self, client: &mut S) -> io::Result<Vec<u8>> {
        let length = client.read_u32().await?;
        let mut startup = length.to_be_bytes().to_vec();
        startup.resize(length.clamp(4, 10_000) as usize, 0);
        client.read_exact(&mut startup[4..]).await?;
        self.hear(&startup);
        Ok(startup)
    }

    async fn pass_on<S>(&self, client: &mut S, startup: &[u8]) -> io::Result<()>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let mut server = TcpStream::connect(("127.0.0.1", self.upstream)).await?;
        server.write_all(&ASK_FOR_TLS).await?;
        server.read_u8().await?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut server = self.connector.connect(name, server).await?;
        server.write_all(startup).await?;
        let mut head = [0; 5];
        server.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut offer = vec![0; length.clamp(4, 10_000) as usize - 4];
        server.read_exact(&mut offer).await?;
        if self.trick == Trick::NoBinding {
            offer = [&10_u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat();
        }
        client.write_all(&message(&offer)).await?;
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let there = async {
            let mut buffer = vec![0; 65_536];
            loop {
                let length = from_client.read(&mut buffer).await?;
                if length == 0 {
                    return to_server.shutdown().await;
                }
                self.hear(&buffer[..length]);
                to_server.write_all(&buffer[..length]).await?;
            }
        };
        let back = tokio::io::copy(&mut from_server, &mut to_client);
        tokio::select! { done = there => done, done = back => done.map(drop) }
    }

    async fn listen<S: tokio::io::AsyncRead + Unpin>(&self, client: &mut S) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            let length = client.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            self.hear(&buffer[..length]);
        }
    }

    fn hear(&self, bytes: &[u8]) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

/// A message of the server about logging in.
fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [b"R", &length.to_be_bytes()[..], body].concat()
}

fn acceptor(own: &Certificates) -> io::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(own.certificate_pem.as_bytes()).filter_map(Result::ok).collect();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn connector(ca_pem: &str) -> io::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca_pem.as_bytes()).filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
