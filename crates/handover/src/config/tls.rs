//! `[tls]`: how connections to the server are protected, and which client certificates it takes.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// TLS on the server's port.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// The server's certificate and those between it and the CA, PEM, the server's first.
    pub(crate) certificate_file: PathBuf,
    /// Its private key, PEM; not readable by everybody.
    pub(crate) key_file: PathBuf,
    /// The CA certificates, PEM, that a client's certificate must chain to. Absent: none is asked for.
    pub(crate) client_ca_file: Option<PathBuf>,
    /// Whether a client must have a certificate. Absent: `optional`.
    pub(crate) client_auth: Option<ClientAuth>,
}

/// Whether a client must have a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuth {
    /// It may have one, or a token, or both.
    Optional,
    /// Without one there is no connection.
    Required,
}

impl TlsConfig {
    /// Relative paths start at the configuration's directory.
    pub(super) fn resolve(&mut self, directory: &Path) {
        let files = [&mut self.certificate_file, &mut self.key_file].into_iter().chain(self.client_ca_file.as_mut());
        for file in files {
            *file = directory.join(&*file);
        }
    }

    /// What nobody can mean.
    pub(super) fn wrong(&self) -> Option<String> {
        let asks_nobody = self.client_auth.is_some() && self.client_ca_file.is_none();
        asks_nobody.then(|| {
            "client_auth says whether clients need a certificate, and client_ca_file is missing: name the CA that their \
             certificates chain to, or leave client_auth out"
                .to_owned()
        })
    }
}
