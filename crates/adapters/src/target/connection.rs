//! Why there is no connection to a target, in words that say what mends it.

use std::io::ErrorKind;

use rustls::CertificateError;

/// Where it is not known what is wrong with a certificate.
pub(super) const DISTRUSTED: &str =
    "the server's certificate is not one that ca_file vouches for, or names another host";

/// Why a certificate is not believed.
pub(super) fn distrusted(found: &CertificateError, host: &str) -> String {
    use CertificateError as Why;
    if matches!(found, Why::UnknownIssuer | Why::BadSignature) {
        return "the server's certificate is not signed by a CA in ca_file; name the file with the CA that signed it"
            .to_owned();
    }
    if matches!(found, Why::NotValidForName | Why::NotValidForNameContext { .. }) {
        return format!("the server's certificate does not name {host}; write `host` as the certificate has it");
    }
    if matches!(found, Why::Expired | Why::ExpiredContext { .. }) {
        return "the server's certificate has expired; renew it at the server".to_owned();
    }
    if matches!(found, Why::NotValidYet | Why::NotValidYetContext { .. }) {
        return "the server's certificate is not valid yet; compare the clocks of both machines".to_owned();
    }
    DISTRUSTED.to_owned()
}

/// Why a connection was not made, or ended.
pub(super) fn broken(io: &std::io::Error, host: &str) -> String {
    let is = |kinds: &[ErrorKind]| kinds.contains(&io.kind());
    if is(&[ErrorKind::ConnectionRefused]) {
        return "nothing listens there; correct `host` and `port`, or start it".to_owned();
    }
    if is(&[ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable, ErrorKind::TimedOut]) {
        return "there is no way to it from here, or it does not answer; look at routes and firewalls".to_owned();
    }
    // The standard library has no kind for it; the text is its own constant.
    if io.to_string().starts_with("failed to lookup address") {
        return format!("the name {host} cannot be resolved; correct `host`, or look at DNS");
    }
    "the connection failed or broke".to_owned()
}
