//! A private CA and one certificate for `localhost` and `127.0.0.1`.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use super::ServerError;

/// A CA made for one server, and the server's certificate and key, all as PEM.
#[derive(Clone)]
pub struct Certificates {
    /// The CA's certificate: what clients trust.
    pub ca_pem: String,
    /// The server's certificate, signed by the CA.
    pub certificate_pem: String,
    /// The server's private key.
    pub key_pem: String,
}

impl Certificates {
    /// Makes a CA and a server certificate (ECDSA P-256, SHA-256, which has a channel binding).
    pub fn generate() -> Result<Self, ServerError> {
        Self::try_generate().map_err(|error| ServerError::because("no certificates could be made", &error))
    }

    fn try_generate() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "Handover test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?;

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &ca)?;
        Ok(Self { ca_pem: ca.pem(), certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}
