//! How a command ends when it does not end well. One place decides on exit codes.

use std::process::ExitCode;

use handover_core::Fault;

/// Why a command did not do what it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exit {
    Refused,
    Error,
}

impl Failure {
    /// The state of the world refuses it; the user can change that.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, text: text.into(), hint: None }
    }

    /// It went wrong.
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self { exit: Exit::Error, text: text.into(), hint: None }
    }

    /// The same with a next step.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// 1: refused by the state of the world. 2: error. (0: done.)
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.exit {
            Exit::Refused => ExitCode::from(1),
            Exit::Error => ExitCode::from(2),
        }
    }

    /// What went wrong, and the next step.
    pub(crate) fn parts(&self) -> (&str, Option<&str>) {
        (&self.text, self.hint.as_deref())
    }

    /// What is written to standard error.
    pub(crate) fn message(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("error: {}{hint}", self.text)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::error(fault.to_string()).hint(format!("see docs/errors/{}.md", fault.kind.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_comes_last() {
        let failure = Failure::refused("the group rotates already").hint("wait for it");
        assert_eq!(failure.message(), "error: the group rotates already\nhint: wait for it");
        assert_eq!(failure.exit_code(), ExitCode::from(1));
        assert_eq!(Failure::error("x").exit_code(), ExitCode::from(2));
    }
}
