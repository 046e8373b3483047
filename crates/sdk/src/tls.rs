//! TLS as a client: roots that were named, nothing else.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// A PEM text that holds no usable CA certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadRoots;

/// A client configuration that trusts the CA certificates in `pem`, and no others. Without `pem` it trusts nobody.
pub(crate) fn client_config(pem: Option<&[u8]>) -> Result<ClientConfig, BadRoots> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = pem {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(|_| BadRoots)?).map_err(|_| BadRoots)?;
        }
        if roots.is_empty() {
            return Err(BadRoots);
        }
    }
    // Named here, because a process-wide default would be another library's choice.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|_| BadRoots)?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_certificate_is_refused() {
        for bad in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(client_config(Some(bad.as_bytes())).is_err(), "{bad:?}");
        }
        assert!(client_config(None).is_ok());
    }
}
