//! TLS on the server's port: read at the start, and read anew when its files change.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use handover_secret::Secret;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::auth::Peer;
use crate::config::{ClientAuth, TlsConfig};
use crate::failure::Failure;
use crate::file::{self, Stamp};
use crate::tokens::Certificate;

/// How often is looked whether a file changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificates in use, and the files that they came from.
pub(crate) struct Tls {
    files: TlsConfig,
    current: RwLock<Arc<ServerConfig>>,
    /// How the files were just before they were read.
    seen: Seen,
}

type Seen = [Option<Stamp>; 3];

impl Tls {
    /// Reads the files.
    pub(crate) fn open(files: &TlsConfig) -> Result<Self, Failure> {
        let seen = stamps(files);
        let current = RwLock::new(Arc::new(read(files)?));
        Ok(Self { files: files.clone(), current, seen })
    }

    /// What takes the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Reads the files anew when they changed, until `drain` turns true. What is not usable changes nothing: the
    /// certificate in use goes on, and the log says so until the files are right.
    pub(crate) async fn follow(&self, mut drain: watch::Receiver<bool>) {
        let (mut seen, mut complained_of) = (self.seen, None);
        loop {
            tokio::select! {
                _ = drain.wait_for(|drain| *drain) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = stamps(&self.files);
            if now == seen {
                continue;
            }
            match read(&self.files) {
                Ok(fresh) => {
                    seen = now;
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    tracing::info!("the TLS certificate was read anew; connections that are open keep the old one");
                }
                // Tried again at each look, and said once for each state of the files.
                Err(_) if complained_of == Some(now) => {}
                Err(failure) => {
                    complained_of = Some(now);
                    tracing::error!(
                        failure = failure.message(),
                        "the TLS files changed and are not usable; the certificate that was read before stays in use"
                    );
                }
            }
        }
    }
}

/// Who is at the other end of a connection. The handshake has checked that its certificate chains to the CA.
pub(super) fn peer(stream: &TlsStream<TcpStream>) -> Peer {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    Peer { certificate: certificate.and_then(|der| Certificate::read(der)) }
}

fn stamps(files: &TlsConfig) -> Seen {
    [
        file::stamp(&files.certificate_file),
        file::stamp(&files.key_file),
        files.client_ca_file.as_deref().and_then(file::stamp),
    ]
}

fn read(files: &TlsConfig) -> Result<ServerConfig, Failure> {
    let chain = certificates(&files.certificate_file, "the TLS certificate")?;
    let key = key(&file::secret(&files.key_file, "the TLS key")?, &files.key_file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| Failure::error("TLS cannot be set up"))?;
    let builder = match &files.client_ca_file {
        Some(ca) => builder.with_client_cert_verifier(verifier(ca, files.client_auth, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|_| {
        Failure::error(format!(
            "the TLS certificate {} and the key {} are not usable together",
            files.certificate_file.display(),
            files.key_file.display()
        ))
        .hint("the first certificate in the file must be the one of this key")
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would bring back a client certificate that was checked against a CA file of earlier.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn verifier(
    file: &Path,
    auth: Option<ClientAuth>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let bad = || Failure::error(format!("the client CA file {} holds no usable CA certificate", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, "the client CA file")? {
        roots.add(certificate).map_err(|_| bad())?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match auth.unwrap_or(ClientAuth::Optional) {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required => builder,
    };
    builder.build().map_err(|_| bad())
}

/// The certificates in a PEM file: at least one, and nothing torn.
pub(crate) fn certificates(file: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bad = || Failure::error(format!("{what} {} holds no usable certificate in PEM", file.display()));
    let pem = file::public(file, what)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| bad())?;
    if found.is_empty() { Err(bad()) } else { Ok(found) }
}

/// The private key in a PEM file's text.
pub(crate) fn key(pem: &Secret, file: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the TLS library gets its private key")]
    let key = PrivateKeyDer::from_pem_slice(pem.expose());
    key.map_err(|_| Failure::error(format!("the TLS key {} holds no usable private key in PEM", file.display())))
}
