//! Names in client certificates.

use std::fmt;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A subject alternative name, as it is compared: exactly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum San {
    /// A URI, say of SPIFFE.
    Uri(String),
    /// A DNS name, in lower case.
    Dns(String),
}

/// The longest name.
const CHARS_MAX: usize = 2_048;

impl San {
    /// Reads `uri:…`, `dns:…`, or either without its prefix: a name with a colon is a URI.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let name = match text.split_once(':') {
            Some(("dns", name)) => Self::Dns(name.to_ascii_lowercase()),
            Some(("uri", name)) => Self::Uri(name.to_owned()),
            Some(_) => Self::Uri(text.to_owned()),
            None => Self::Dns(text.to_ascii_lowercase()),
        };
        let (Self::Uri(inner) | Self::Dns(inner)) = &name;
        if inner.is_empty() || inner.len() > CHARS_MAX || !inner.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a name in a certificate is 1 to 2048 printable ASCII characters without spaces");
        }
        match &name {
            Self::Uri(uri) if !uri.contains(':') => Err("a URI has a scheme, as in spiffe://example.org/worker"),
            Self::Dns(dns) if dns.contains('*') => Err("a certificate's name is compared exactly: no `*`"),
            Self::Uri(_) | Self::Dns(_) => Ok(name),
        }
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Dns(dns) => write!(f, "dns:{dns}"),
        }
    }
}

/// What a verified client certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Certificate {
    /// The URIs and DNS names of its holder.
    pub(crate) names: Vec<San>,
    /// When it ends. A connection may outlive the certificate that opened it.
    pub(crate) ends_at: jiff::Timestamp,
}

impl Certificate {
    /// Reads a certificate in DER. `None` if it cannot be read: it then names nobody.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let ends_at = jiff::Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
        let mut names = Vec::new();
        if let Some(found) = certificate.subject_alternative_name().ok()? {
            // Other kinds of names give no identity here.
            for name in &found.value.general_names {
                if let GeneralName::URI(uri) = name {
                    names.push(San::Uri((*uri).to_owned()));
                } else if let GeneralName::DNSName(dns) = name {
                    names.push(San::Dns(dns.to_ascii_lowercase()));
                }
            }
        }
        Some(Self { names, ends_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_both_spellings() {
        let uri = San::Uri("spiffe://example.org/worker".to_owned());
        assert_eq!(San::parse("spiffe://example.org/worker"), Ok(uri.clone()));
        assert_eq!(San::parse(&uri.to_string()), Ok(uri));
        let dns = San::Dns("worker.internal".to_owned());
        assert_eq!(San::parse("Worker.internal"), Ok(dns.clone()));
        assert_eq!(San::parse(&dns.to_string()), Ok(dns));
        for bad in ["", "dns:", "uri:x", "*.internal", "a b", "dns:ä"] {
            assert!(San::parse(bad).is_err(), "{bad}");
        }
    }
}
