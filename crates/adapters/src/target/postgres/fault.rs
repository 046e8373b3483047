//! From the driver's errors to ours. The driver's and the server's texts stop here: they quote statements.

use std::error::Error as _;

use handover_core::{Fault, FaultKind, Touched};

/// A fault in our own words: what was tried, what kind of trouble it is, and the server's code if it gave one.
pub(super) fn fault(error: &tokio_postgres::Error, touched: Touched, doing: &str) -> Fault {
    let kind = kind(error);
    let code = error.code().map(|code| format!(" (SQLSTATE {})", code.code())).unwrap_or_default();
    Fault { kind, touched, detail: format!("{doing}: {}{code}", words(kind, error)) }
}

/// Whether a login was refused for its credential: a wrong password, or a role that may not log in.
pub(super) fn refuses_credential(error: &tokio_postgres::Error) -> bool {
    matches!(error.code().map(tokio_postgres::error::SqlState::code), Some("28P01" | "28000"))
}

fn kind(error: &tokio_postgres::Error) -> FaultKind {
    match error.code() {
        Some(code) => of_code(code.code()),
        None if is_certificate(error) || is_authentication(error) => FaultKind::Misconfigured,
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
        FaultKind::Misconfigured => {
            "the server's certificate is not one that ca_file vouches for, or names another host"
        }
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

fn is_certificate(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let tls = inner.downcast_ref::<rustls::Error>().or_else(|| {
            inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref).and_then(|io| io.downcast_ref())
        });
        if let Some(rustls::Error::InvalidCertificate(_)) = tls {
            return true;
        }
        cause = inner.source();
    }
    false
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
