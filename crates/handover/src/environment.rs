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

/// How often the service manager wants to hear that all is well, in microseconds.
const WATCHDOG_US: &str = "WATCHDOG_USEC";

/// Which process that is meant for; any if it is not there.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// How often the service manager wants to hear of this process, if it does.
pub(crate) fn watchdog() -> Option<std::time::Duration> {
    if std::env::var(WATCHDOG_PID).is_ok_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let every_us: u64 = std::env::var(WATCHDOG_US).ok()?.parse().ok()?;
    (every_us > 0).then(|| std::time::Duration::from_micros(every_us))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// S53: a variable says how a client reaches a server, and never what a server uses.
    #[test]
    fn variables_are_for_verbs_that_talk_to_a_server() {
        let allowed = [URL, TOKEN_FILE, CA_FILE, CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE];
        let mut pending = vec![Cli::command()];
        let mut seen = 0;
        while let Some(command) = pending.pop() {
            let read: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_env).collect();
            let opens_files = command.get_arguments().any(|argument| argument.get_id() == "config");
            let strange = read.iter().find(|name| !allowed.iter().any(|allowed| *name == allowed));
            assert_eq!(strange, None, "{}: a variable that is not listed here", command.get_name());
            if opens_files && !read.is_empty() {
                assert_ne!(command.get_name(), "serve");
                let url = command.get_arguments().any(|argument| argument.get_id() == "url");
                assert!(url, "{} works on the server's files and reads {read:?}", command.get_name());
            }
            seen += read.len();
            pending.extend(command.get_subcommands().cloned());
        }
        assert!(seen > 0, "the verbs that talk to a server read them");
    }
}
