//! Environment variables that the binary reads. None of them ever holds a secret.

/// The server's URL, for verbs that talk to one.
pub(crate) const URL: &str = "HANDOVER_URL";

/// A file with an operator's token, for verbs that talk to a server.
pub(crate) const TOKEN_FILE: &str = "HANDOVER_TOKEN_FILE";

/// CA certificates that the server's certificate must chain to.
pub(crate) const CA_FILE: &str = "HANDOVER_CA_FILE";

/// A client certificate, for verbs that talk to a server.
pub(crate) const CLIENT_CERTIFICATE_FILE: &str = "HANDOVER_CLIENT_CERTIFICATE_FILE";

/// The client certificate's key.
pub(crate) const CLIENT_KEY_FILE: &str = "HANDOVER_CLIENT_KEY_FILE";

/// What is logged, as `level` or `target=level,…`. Default `info`.
pub(crate) const LOG: &str = "HANDOVER_LOG";
