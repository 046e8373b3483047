//! From the driver's errors to ours. The driver's and the server's texts stop here: they quote statements.

use std::error::Error as _;

use handover_core::{Fault, FaultKind, Touched};
use handover_scram::Refusal;
use postgres_protocol::escape::escape_identifier;
use rustls::CertificateError;

use super::config::{Config, Endpoint};
use crate::target::connection::{self, broken, distrusted};

/// A fault in our own words: what was tried, what kind of trouble it is, and the server's code if it gave one.
pub(super) fn fault(error: &tokio_postgres::Error, touched: Touched, doing: &str) -> Fault {
    let kind = kind(error);
    let code = error.code().map(|code| format!(" (SQLSTATE {})", code.code())).unwrap_or_default();
    Fault { kind, touched, detail: format!("{doing}: {}{code}", words(kind, error)) }
}

/// Why there is no session, with what mends it.
pub(super) fn no_session(error: &tokio_postgres::Error, config: &Config, endpoint: &Endpoint, user: &str) -> Fault {
    let Endpoint { name, host, port, .. } = endpoint;
    let doing = format!("logging in as {user} at endpoint {name} ({host}:{port})");
    let (database, quoted) = (&config.database, escape_identifier(&config.database));
    let why = match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("3D000") => format!(
            "there is no database {database}; correct `database`, or make it. Run as a superuser: CREATE DATABASE {quoted};"
        ),
        Some("42501") => format!(
            "it may not connect to database {database}. Run as a superuser: GRANT CONNECT ON DATABASE {quoted} TO {};",
            escape_identifier(user)
        ),
        Some("53300") => "the server has no connection free; it passes, or raise its max_connections".to_owned(),
        Some(_) => return fault(error, Touched::Nothing, &doing),
        None => match certificate(error) {
            Some(found) => distrusted(found, host),
            None if let Some(refusal) = Refusal::of(error) => not_scram(refusal, endpoint),
            None if is_authentication(error) => return fault(error, Touched::Nothing, &doing),
            None => no_connection(error, host),
        },
    };
    Fault { kind: kind(error), touched: Touched::Nothing, detail: format!("{doing}: {why}") }
}

/// Whether it came to the question for the password, and the question was for SCRAM with the binding that is required.
///
/// The text is a constant of the driver, which asks for a password before it looks at what was offered.
pub(super) fn asked_as_it_should(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.to_string() == "password missing")
}

fn not_scram(refusal: Refusal, endpoint: &Endpoint) -> String {
    let next = match (refusal, endpoint.is_pooler()) {
        (Refusal::NoBinding, true) => {
            "poolers that end TLS themselves have none. If that is so, write channel_binding = \"prefer\" at this endpoint, \
             and read what that means on the connector's page"
        }
        (Refusal::ClearText | Refusal::Md5 | Refusal::NoProof | Refusal::NotScram, true) => {
            "set auth_type = scram-sha-256 in the pooler, and have verifiers, not MD5, in what it reads the users from"
        }
        (Refusal::ClearText | Refusal::Md5 | Refusal::NoProof | Refusal::NoBinding | Refusal::NotScram, false) => {
            "set scram-sha-256 in pg_hba.conf, and see the connector's page on certificates"
        }
    };
    format!("{refusal}, and got no answer; {next}")
}

/// Whether a login was refused for its credential: a wrong password, or a role that may not log in.
///
/// PgBouncer has one code for all that it says itself, whether the credential is wrong or it has no connection free.
pub(super) fn refuses(endpoint: &Endpoint, error: &tokio_postgres::Error) -> bool {
    match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("28P01" | "28000") => true,
        Some("08P01") => endpoint.is_pooler(),
        _ => false,
    }
}

fn kind(error: &tokio_postgres::Error) -> FaultKind {
    match error.code() {
        Some(code) => of_code(code.code()),
        None if certificate(error).is_some() || Refusal::of(error).is_some() || is_authentication(error) => {
            FaultKind::Misconfigured
        }
        None => FaultKind::Unreachable,
    }
}

fn of_code(code: &str) -> FaultKind {
    match code {
        "28P01" | "28000" => FaultKind::Unauthenticated,
        "42501" => FaultKind::NotPermitted,
        "25006" => FaultKind::ReadOnly,
        "57014" => FaultKind::TimedOut,
        "53100" | "58030" => FaultKind::Storage,
        "3D000" | "42704" => FaultKind::Missing,
        "0A000" => FaultKind::Unsupported,
        // The server goes away: it is told to stop, it crashed, or it ended our session.
        "57P01" | "57P02" | "57P05" | "25P03" => FaultKind::Unreachable,
        // XX000 is how concurrent changes of one role end ("tuple concurrently updated"); two first comments on one
        // role collide as 23505, two creations as 42710. All are rolled back, and pass.
        "XX000" | "23505" | "42710" | "55P03" | "55006" | "57P03" => FaultKind::Busy,
        other if other.starts_with("53") || other.starts_with("40") => FaultKind::Busy,
        other if other.starts_with("08") => FaultKind::Unreachable,
        _ => FaultKind::Unsupported,
    }
}

fn words(kind: FaultKind, error: &tokio_postgres::Error) -> &'static str {
    match kind {
        FaultKind::Unreachable => "the connection failed or broke",
        FaultKind::TimedOut => "the server did not finish within statement_timeout_ms",
        FaultKind::Busy => "the server is busy or somebody changes the same role; it passes",
        FaultKind::Unauthenticated => "the credential was refused",
        FaultKind::NotPermitted => "the right to do it is missing",
        FaultKind::ReadOnly => "the endpoint is read-only; name the primary as the first endpoint",
        FaultKind::Missing => "the database or the role does not exist",
        FaultKind::Storage => "the server's disk is full or failing",
        FaultKind::Misconfigured if is_authentication(error) => {
            "the server did not ask for SCRAM-SHA-256 with a channel binding, or could not prove that it knows the \
             password; set scram-sha-256 in pg_hba.conf, and see the connector's page on certificates"
        }
        FaultKind::Misconfigured => connection::DISTRUSTED,
        FaultKind::Unsupported
        | FaultKind::Rejected
        | FaultKind::Unfit
        | FaultKind::Fenced
        | FaultKind::Conflict
        | FaultKind::Foreign
        | FaultKind::Corrupt
        | FaultKind::Bug => "the server gave an answer that is not known here",
    }
}

/// The driver keeps its kinds to itself; these texts are constants of the version in use, and the tests against a
/// server that asks for a clear password notice when they change.
fn is_authentication(error: &tokio_postgres::Error) -> bool {
    error.to_string().starts_with("authentication error")
}

/// What is wrong with the server's certificate, wherever in the chain of causes the TLS library says so.
fn certificate(error: &tokio_postgres::Error) -> Option<&CertificateError> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let tls = inner.downcast_ref::<rustls::Error>().or_else(|| {
            inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref).and_then(|io| io.downcast_ref())
        });
        if let Some(rustls::Error::InvalidCertificate(found)) = tls {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

fn no_connection(error: &tokio_postgres::Error, host: &str) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return broken(io, host);
        }
        // The driver's own constant for a server that answers a request for TLS with a no.
        if inner.to_string() == "server does not support TLS" {
            return "the server has no TLS; set ssl = on in its postgresql.conf".to_owned();
        }
        cause = inner.source();
    }
    "the connection failed or broke".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_map_to_kinds() {
        for (code, kind) in [
            ("28P01", FaultKind::Unauthenticated),
            ("42501", FaultKind::NotPermitted),
            ("25006", FaultKind::ReadOnly),
            ("XX000", FaultKind::Busy),
            ("53300", FaultKind::Busy),
            ("40P01", FaultKind::Busy),
            ("55P03", FaultKind::Busy),
            ("57014", FaultKind::TimedOut),
            ("57P01", FaultKind::Unreachable),
            ("08006", FaultKind::Unreachable),
            ("22012", FaultKind::Unsupported),
        ] {
            assert_eq!(of_code(code), kind, "{code}");
        }
    }
}
