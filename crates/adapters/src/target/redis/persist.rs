//! Having a node write its users down: what is only in its memory is gone when it starts again.

use handover_core::{Fault, FaultKind, Touched};

use super::account::{pairs, text};
use super::connect::Session;
use super::fault::{Answered, answered, fault};

/// Where a node keeps its users.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Persistence {
    /// In a file of their own (`aclfile`).
    AclFile,
    /// In its configuration.
    Configuration,
}

impl Persistence {
    /// Asks the node.
    pub(super) async fn of(session: &mut Session) -> Result<Self, Fault> {
        let answer = session.look(&["CONFIG", "GET", "aclfile"], "asking where users are kept").await;
        let answer = answer.map_err(|fault| {
            if fault.kind != FaultKind::NotPermitted {
                return fault;
            }
            may_not(session.endpoint(), "ask where users are kept", "+config|get")
        })?;
        let file = pairs(&answer).and_then(|found| Some(text(found.first()?.1)?.is_empty()));
        Ok(match file {
            Some(false) => Self::AclFile,
            Some(true) | None => Self::Configuration,
        })
    }

    /// The command that writes them down.
    pub(super) const fn command(self) -> [&'static str; 2] {
        match self {
            Self::AclFile => ["ACL", "SAVE"],
            Self::Configuration => ["CONFIG", "REWRITE"],
        }
    }

    /// The right to run it.
    pub(super) const fn right(self) -> &'static str {
        match self {
            Self::AclFile => "+acl|save",
            Self::Configuration => "+config|rewrite",
        }
    }

    /// Has them written down. The change is in force already, and may be lost.
    pub(super) async fn write(self, session: &mut Session) -> Result<(), Fault> {
        let Err(error) = session.ask(&self.command()).await else { return Ok(()) };
        let endpoint = session.endpoint();
        let found = match answered(&error) {
            Some(Answered::NoPermission) => may_not(endpoint, "have users written down", self.right()),
            Some(Answered::Refused) => {
                let detail = format!(
                    "endpoint {endpoint} could not write its users down ({}): it has no file to write to, its disk is full, or \
                     the file or its folder is not its own; its log says which",
                    self.command().join(" ")
                );
                Fault::untouched(FaultKind::Storage, detail)
            }
            Some(Answered::WrongPassword | Answered::Other) | None => {
                fault(&error, Touched::Unknown, &format!("having users written down at endpoint {endpoint}"))
            }
        };
        // The user was changed before.
        Err(Fault { touched: Touched::Unknown, ..found })
    }
}

fn may_not(endpoint: &str, what: &str, right: &str) -> Fault {
    let detail =
        format!("our user may not {what} at endpoint {endpoint}; give it {right} there, as the connector's page shows");
    Fault::untouched(FaultKind::NotPermitted, detail)
}
