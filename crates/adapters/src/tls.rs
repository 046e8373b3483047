//! TLS towards servers that we are clients of: roots that were named, nothing else.

use std::sync::Arc;

use handover_core::{Fault, FaultKind};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// A client configuration that trusts the CA certificates in `pem`, and no others. Without `pem` it trusts nobody.
/// `whose` names the connector.
pub(crate) fn client_config(whose: &str, pem: Option<&[u8]>) -> Result<ClientConfig, Fault> {
    let bad = |_| misconfigured(format!("{whose}: its ca_file holds no usable CA certificate in PEM"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.unwrap_or_default()) {
        let certificate = certificate.map_err(|_| bad(()))?;
        roots.add(certificate).map_err(|_| bad(()))?;
    }
    if pem.is_some() && roots.is_empty() {
        return Err(bad(()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Fault::untouched(FaultKind::Bug, "the TLS library offers no protocol version"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn misconfigured(detail: String) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, detail)
}
