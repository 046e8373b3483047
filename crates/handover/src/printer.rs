//! The one place that writes to standard output and, outside of the log, to standard error.

use std::io::Write as _;

use handover_secret::Secret;
use serde::Serialize;

use crate::cli::Output;
use crate::failure::Failure;
use crate::terminal;

/// Writes data to standard output and words to standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    output: Output,
}

impl Printer {
    pub(crate) const fn new(output: Output) -> Self {
        Self { output }
    }

    /// Data: as it is for machines, or in the words of `text` for people.
    pub(crate) fn data<T: Serialize>(&self, data: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let text = match self.output {
            Output::Text => text(data),
            Output::Json => {
                serde_json::to_string(data).map_err(|_| Failure::error("the answer could not be written as JSON"))?
            }
        };
        self.raw(terminal::text(&text).as_bytes())
    }

    /// A secret that is shown this once.
    pub(crate) fn secret(&self, secret: &Secret) -> Result<(), Failure> {
        self.whole(secret, b"\n")
    }

    /// A secret for the program that reads it: without a line feed, which would not be part of it.
    pub(crate) fn secret_as_it_is(&self, secret: &Secret) -> Result<(), Failure> {
        self.whole(secret, b"")
    }

    /// Whoever did not get all of it has no secret: unlike other data, half of it is of no use.
    fn whole(&self, secret: &Secret, end: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        #[expect(
            clippy::disallowed_methods,
            reason = "the user asked for it: a token, which is printed once, or a value"
        )]
        let written = out.write_all(secret.expose()).and_then(|()| out.write_all(end)).and_then(|()| out.flush());
        written.map_err(|_| Failure::error("standard output cannot be written"))
    }

    /// How data is written.
    pub(crate) const fn output(&self) -> Output {
        self.output
    }

    /// One line of many. False once whoever reads has gone away.
    pub(crate) fn line(&self, line: &str) -> Result<bool, Failure> {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{}", terminal::text(line)).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(_) => Err(Failure::error("standard output cannot be written")),
        }
    }

    /// Bytes and a line feed.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written =
            out.write_all(bytes).and_then(|()| if bytes.ends_with(b"\n") { Ok(()) } else { out.write_all(b"\n") });
        match written.and_then(|()| out.flush()) {
            // Whoever read it has seen enough, as `head` does.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(_) => Err(Failure::error("standard output cannot be written")),
            Ok(()) => Ok(()),
        }
    }

    /// Whether standard error is a terminal, which can show a line that changes.
    pub(crate) fn is_live(&self) -> bool {
        std::io::IsTerminal::is_terminal(&std::io::stderr())
    }

    /// A line for people that the next one replaces, on a terminal.
    pub(crate) fn say_for_now(&self, words: &str) {
        drop(
            write!(std::io::stderr().lock(), "\r\x1b[K{}", terminal::line(words))
                .and_then(|()| std::io::stderr().flush()),
        );
    }

    /// Words for people, on standard error.
    pub(crate) fn say(&self, words: &str) {
        // There is nobody left to tell if standard error cannot be written.
        drop(writeln!(std::io::stderr().lock(), "{}", terminal::text(words)));
    }
}
