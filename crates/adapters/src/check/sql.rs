//! A statement that the candidate itself runs, and what it must give: at every required endpoint, in a transaction that
//! may only read.

use handover_core::Fault;
use handover_core::port::{Finding, Subject};
use serde::Deserialize;

use super::{Common, Parts, When, always, failed, misconfigured, timeout_ms};
use crate::target::TargetConfig;
use crate::target::postgres::{Asked, Postgres};

/// Options of `sql`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "always")]
    pub when: Vec<When>,
    /// How long it may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// One statement that gives one row with one column.
    pub statement: String,
    /// What stands there, as text.
    pub expected: String,
}

impl Config {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.statement.trim().is_empty() {
            return Err(misconfigured(&self.name, "statement is empty"));
        }
        Ok(())
    }
}

pub(super) struct Sql {
    config: Config,
    target: Postgres,
}

impl Sql {
    pub(super) fn new(config: Config, parts: &Parts<'_>) -> Result<Self, Fault> {
        let TargetConfig::Postgres(target) = parts.target_config else {
            return Err(misconfigured(&config.name, "this kind is for a target of the kind postgres"));
        };
        let password = std::sync::Arc::clone(parts.admin_password);
        let target = Postgres::new(target.clone(), parts.group.clone(), password, parts.target_ca_pem)?;
        Ok(Self { config, target })
    }

    pub(super) async fn ask(&self, subject: Subject<'_>) -> Result<Finding, Fault> {
        for (endpoint, asked) in self.target.ask_as(subject.who, subject.value, &self.config.statement).await? {
            let why = match asked {
                Asked::Value(Some(value)) if value == self.config.expected => continue,
                Asked::Value(Some(_)) => "the statement gives something else than expected".to_owned(),
                Asked::Value(None) => "the statement gives NULL".to_owned(),
                Asked::Shape { rows } => {
                    format!("the statement gives {rows} rows, or no single column, and not one value")
                }
                Asked::Refused => "the login is refused".to_owned(),
                Asked::Error { sqlstate } => format!("the statement fails with SQLSTATE {sqlstate}"),
            };
            return Ok(failed(format!("at endpoint {endpoint}: {why}")));
        }
        Ok(Finding::Passed)
    }
}
