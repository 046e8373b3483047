//! From the driver's errors to ours. The driver's and the server's texts stop here: they quote commands.

use std::error::Error as _;

use handover_core::{Fault, FaultKind, Touched};
use redis::{ErrorKind, RedisError};

use super::config::Endpoint;
use crate::target::connection::{broken, distrusted};

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
    if error.kind() == ErrorKind::ResponseError {
        return Some(Answered::Refused);
    }
    Some(match error.code()? {
        "WRONGPASS" => Answered::WrongPassword,
        "NOPERM" => Answered::NoPermission,
        _ => Answered::Other,
    })
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
        let words = refused(tls, host);
        return Fault::untouched(FaultKind::Misconfigured, format!("{doing}: {words}"));
    }
    Fault::untouched(FaultKind::Unreachable, format!("{doing}: {}", broken(error, host)))
}

/// Why TLS was not agreed on.
fn refused(error: &rustls::Error, host: &str) -> String {
    use rustls::AlertDescription::{CertificateRequired, HandshakeFailure};

    if let rustls::Error::InvalidCertificate(found) = error {
        return distrusted(found, host);
    }
    let words = if matches!(error, rustls::Error::AlertReceived(CertificateRequired | HandshakeFailure)) {
        "the server asks clients for a certificate, and we have none; set tls-auth-clients to no or optional there: passwords \
         stay needed"
    } else if matches!(error, rustls::Error::InvalidMessage(_)) {
        "what answers there does not speak TLS; name the port that tls-port says"
    } else {
        "TLS was refused; compare the versions and ciphers that the server offers"
    };
    words.to_owned()
}

/// The error of the connection under it, if it is one.
pub(super) fn io(error: &RedisError) -> Option<&std::io::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

fn kind(error: &RedisError) -> FaultKind {
    if error.is_io_error() {
        return if error.is_timeout() { FaultKind::TimedOut } else { FaultKind::Unreachable };
    }
    match error.code() {
        Some("WRONGPASS" | "NOAUTH") => FaultKind::Unauthenticated,
        Some("NOPERM") => FaultKind::NotPermitted,
        Some("BUSY" | "LOADING" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN") => FaultKind::Busy,
        Some("READONLY") => FaultKind::ReadOnly,
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
