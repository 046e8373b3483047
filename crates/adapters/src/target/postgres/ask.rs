//! A statement that is run as the candidate, for a check.

use handover_core::{Fault, FaultKind, Occupant, Touched};
use handover_secret::Secret;
use tokio_postgres::SimpleQueryMessage;

use super::Postgres;
use super::config::Endpoint;
use super::connect::Denied;
use super::fault::{fault, refuses};

/// What came of a statement at an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// One row with one column.
    Value(Option<String>),
    /// Something else.
    Shape {
        /// How many rows.
        rows: usize,
    },
    /// The endpoint refused the credential.
    Refused,
    /// The server says that the statement itself cannot be run by whoever asked.
    Error {
        /// The server's code.
        sqlstate: String,
    },
}

impl Postgres {
    /// Runs `statement` as `who` at every required endpoint, up to the first that gives no value.
    pub(crate) async fn ask_as(
        &self,
        who: Occupant,
        value: &Secret,
        statement: &str,
    ) -> Result<Vec<(String, Asked)>, Fault> {
        let mut all = Vec::new();
        for endpoint in self.config.endpoints.iter().filter(|endpoint| endpoint.required) {
            all.push((endpoint.name.clone(), self.ask_at(endpoint, who, value, statement).await?));
        }
        if all.is_empty() {
            return Err(Fault::untouched(FaultKind::Misconfigured, "no endpoint of the target is required"));
        }
        Ok(all)
    }

    async fn ask_at(
        &self,
        endpoint: &Endpoint,
        who: Occupant,
        value: &Secret,
        statement: &str,
    ) -> Result<Asked, Fault> {
        let session = match self.login(endpoint, who, value).await {
            Ok(session) => session,
            Err(Denied::Refused) => return Ok(Asked::Refused),
            Err(Denied::Fault(fault)) => return Err(fault),
        };
        // One message for each: a pooler may give the statements of one message, and no more, to one server.
        let mut messages = Vec::new();
        for text in ["BEGIN TRANSACTION READ ONLY", statement] {
            messages = match session.simple_query(text).await {
                Ok(messages) => messages,
                Err(error) if refuses(endpoint, &error) => return Ok(Asked::Refused),
                Err(error) => {
                    let code = error.code().map(|code| code.code().to_owned());
                    return match code.filter(|code| is_about_the_statement(code)) {
                        Some(sqlstate) => Ok(Asked::Error { sqlstate }),
                        None => {
                            let doing = format!("asking endpoint {}", endpoint.name);
                            Err(fault(&error, Touched::Nothing, &doing))
                        }
                    };
                }
            };
        }
        let rows: Vec<_> = messages
            .iter()
            .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None })
            .collect();
        Ok(match rows.as_slice() {
            [row] if row.len() == 1 => Asked::Value(row.get(0).map(str::to_owned)),
            rows => Asked::Shape { rows: rows.len() },
        })
    }
}

/// Data, integrity, transaction (read-only among them), syntax and rights, and what a function raised.
fn is_about_the_statement(code: &str) -> bool {
    ["22", "23", "25", "42", "P0"].iter().any(|class| code.starts_with(class))
}
