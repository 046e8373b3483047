//! From the driver's errors to ours. The driver's and the server's texts stop here: they quote commands.

use std::error::Error as _;
use std::io::ErrorKind as Io;

use handover_core::{Fault, FaultKind, Touched};
use redis::{ErrorKind, RedisError};
use rustls::CertificateError;

use super::config::Endpoint;

/// What the server answered instead of doing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    /// There is no such user, it is off, or this is not its password.
    WrongPassword,
    /// The user may not do this.
    NoPermission,
    /// The command, as it was given, is refused: nothing of it was done.
    Refused,
    /// Something else, such as that it is loading.
    Other,
}

/// The server's answer, if it gave one.
pub(super) fn answered(error: &RedisError) -> Option<Answered> {
    match error.kind() {
        ErrorKind::ResponseError => Some(Answered::Refused),
        _ => match error.code()? {
            "WRONGPASS" => Some(Answered::WrongPassword),
            "NOPERM" => Some(Answered::NoPermission),
            _ => Some(Answered::Other),
        },
    }
}

/// A fault in our own words: what was tried, and what kind of trouble it is. What was answered, was not done.
pub(super) fn fault(error: &RedisError, touched: Touched, doing: &str) -> Fault {
    let kind = kind(error);
    let touched = if answered(error).is_some() { Touched::Nothing } else { touched };
    Fault { kind, touched, detail: format!("{doing}: {}", words(kind)) }
}

/// Why there is no session, with what mends it.
pub(super) fn no_session(error: &std::io::Error, endpoint: &Endpoint, doing: &str) -> Fault {
    let Endpoint { name: _, host, port } = endpoint;
    let doing = format!("{doing} ({host}:{port})");
    if let Some(tls) = tls(error) {
        let words = match tls {
            rustls::Error::InvalidCertificate(found) => distrusted(found, host),
            rustls::Error::AlertReceived(
                rustls::AlertDescription::CertificateRequired | rustls::AlertDescription::HandshakeFailure,
            ) => "the server asks clients for a certificate, and we have none; set tls-auth-clients to no or optional there: \
                  passwords stay needed"
                .to_owned(),
            rustls::Error::InvalidMessage(_) => {
                "what answers there does not speak TLS; name the port that tls-port says".to_owned()
            }
            _ => "TLS was refused; compare the versions and ciphers that the server offers".to_owned(),
        };
        return Fault::untouched(FaultKind::Misconfigured, format!("{doing}: {words}"));
    }
    Fault::untouched(FaultKind::Unreachable, format!("{doing}: {}", broken(error, host)))
}

/// The error of the connection under it, if it is one.
pub(super) fn io(error: &RedisError) -> Option<&std::io::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

fn kind(error: &RedisError) -> FaultKind {
    match error.kind() {
        ErrorKind::IoError if error.is_timeout() => return FaultKind::TimedOut,
        ErrorKind::IoError => return FaultKind::Unreachable,
        ErrorKind::BusyLoadingError | ErrorKind::TryAgain | ErrorKind::MasterDown | ErrorKind::ClusterDown => {
            return FaultKind::Busy;
        }
        ErrorKind::ReadOnly => return FaultKind::ReadOnly,
        _ => {}
    }
    match error.code() {
        Some("WRONGPASS" | "NOAUTH") => FaultKind::Unauthenticated,
        Some("NOPERM") => FaultKind::NotPermitted,
        Some("BUSY") => FaultKind::Busy,
        Some(_) | None => FaultKind::Unsupported,
    }
}

const fn words(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Unreachable => "the connection failed or broke",
        FaultKind::TimedOut => "the server did not answer within command_timeout_ms",
        FaultKind::Busy => "the server is starting or busy; it passes",
        FaultKind::Unauthenticated => "the credential was refused",
        FaultKind::NotPermitted => "the right to do it is missing",
        FaultKind::ReadOnly => "the node is read-only",
        FaultKind::Storage
        | FaultKind::Missing
        | FaultKind::Misconfigured
        | FaultKind::Unsupported
        | FaultKind::Rejected
        | FaultKind::Unfit
        | FaultKind::Fenced
        | FaultKind::Conflict
        | FaultKind::Foreign
        | FaultKind::Corrupt
        | FaultKind::Bug => "the server gave an answer that is not known here",
    }
}

fn tls(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn distrusted(found: &CertificateError, host: &str) -> String {
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
    "the server's certificate is not one that ca_file vouches for, or names another host".to_owned()
}

fn broken(error: &std::io::Error, host: &str) -> String {
    match error.kind() {
        Io::ConnectionRefused => "nothing listens there; correct `host` and `port`, or start it".to_owned(),
        Io::HostUnreachable | Io::NetworkUnreachable | Io::TimedOut => {
            "there is no way to it from here, or it does not answer; look at routes and firewalls".to_owned()
        }
        // The standard library has no kind for it; the text is its own constant.
        _ if error.to_string().starts_with("failed to lookup address") => {
            format!("the name {host} cannot be resolved; correct `host`, or look at DNS")
        }
        _ => "the connection failed or broke".to_owned(),
    }
}
