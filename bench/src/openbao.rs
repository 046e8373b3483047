//! The peer: a real OpenBao.

use std::time::Duration;

use handover_testkit::servers::OpenBao as Server;
use handover_testkit::servers::postgres::{Postgres, SUPERUSER};
use serde_json::{Value, json};

use crate::load::Query;
use crate::{Setting, Trouble};

/// A running server, with its files beside the results.
pub(crate) struct OpenBao(Server);

impl OpenBao {
    /// Starts it.
    pub(crate) fn start(setting: &Setting) -> Result<Self, Trouble> {
        let server = Server::start_in(crate::rotations::scratch(setting)?);
        server.map(Self).map_err(|error| error.to_string())
    }

    /// Keeps a value, and says how it is read.
    pub(crate) fn keep(&self, value: &str) -> Result<Query, Trouble> {
        self.done("kv/data/app", &json!({ "data": { "user": "app_a", "value": value } }))?;
        Ok(self.query("/v1/kv/data/app"))
    }

    /// Has it rotate these roles of a server, as static roles; it does so by itself once, at the start.
    pub(crate) fn rotates(&self, server: &Postgres, roles: &[String], period: Duration) -> Result<(), Trouble> {
        self.done("sys/mounts/database", &json!({ "type": "database" }))?;
        let url = format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=verify-ca&sslrootcert={}",
            server.port(),
            server.ca_path().display()
        );
        let config = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": url,
            "max_open_connections": 16,
            "password_authentication": "scram-sha-256",
            "username": SUPERUSER,
            "password": server.superuser_password(),
        });
        self.done("database/config/pg", &config)?;
        for role in roles {
            let role_config = json!({
                "db_name": "pg",
                "username": role,
                "rotation_period": period.as_secs(),
                "rotation_statements": ["ALTER ROLE \"{{name}}\" WITH PASSWORD '{{password}}'"],
            });
            self.done(&format!("database/static-roles/{role}"), &role_config)?;
        }
        Ok(())
    }

    /// How one of them is rotated now.
    pub(crate) fn rotation_of(&self, role: &str) -> Query {
        self.query(&format!("/v1/database/rotate-role/{role}"))
    }

    /// What it holds in memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64, Trouble> {
        crate::memory::resident_mib(self.0.pid())
    }

    /// How many requests its audit file tells of.
    pub(crate) fn audited(&self) -> Result<usize, Trouble> {
        let log = self.0.audit_log().map_err(|error| error.to_string())?;
        Ok(log.iter().filter(|byte| **byte == b'\n').count())
    }

    fn query(&self, path: &str) -> Query {
        let credential = format!("x-vault-token: {}", self.0.root_token());
        Query { port: self.0.port(), ca_pem: self.0.ca_pem().to_owned(), path: path.to_owned(), credential }
    }

    fn done(&self, path: &str, body: &Value) -> Result<(), Trouble> {
        self.0.done("POST", path, body).map(drop).map_err(|error| error.to_string())
    }
}
