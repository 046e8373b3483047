//! A private PgBouncer in front of a private PostgreSQL: TLS and SCRAM only on both sides. It keeps no password of the
//! users that it serves: with what proves a client's login it logs in at the server.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::postgres::{Account, Postgres};
use super::process::{end, free_port, spawn};
use super::{ServerError, random_hex};

/// The line that installs what is needed.
pub const INSTALL: &str = "apt-get install -y --no-install-recommends pgbouncer";

/// The script that lets PgBouncer ask for users, as the connector's page shows it.
pub const LOOK_UP: &str = include_str!("../../../../docs/connectors/pgbouncer.sql");

/// Where PgBouncer has the users from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Users {
    /// It asks the server at each login (`auth_query`).
    Asked,
    /// A file holds a copy of their verifiers (`auth_file`), which grows old. There are none in it at first.
    Copied,
}

/// A running PgBouncer. Ends, and is deleted, when dropped.
pub struct PgBouncer {
    directory: TempDir,
    account: Option<Account>,
    child: Child,
    port: u16,
}

const PROGRAM: &str = "/usr/sbin/pgbouncer";
const PATIENCE: Duration = Duration::from_secs(20);
/// The user of [`LOOK_UP`].
const ASKS_AS: &str = "pgbouncer";

impl PgBouncer {
    /// Starts it in front of `database` at `server`, whose certificate it has, and waits until it listens. A session at the
    /// server goes back to the pool after each transaction (`pool_mode = transaction`).
    pub fn start(server: &Postgres, database: &str, users: Users) -> Result<Self, ServerError> {
        if !Path::new(PROGRAM).exists() {
            return Err(ServerError::new(format!("PgBouncer is not installed; install it: {INSTALL}")));
        }
        let password = random_hex(32)?;
        let (asks, known) = match users {
            Users::Asked => {
                let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
                server.execute(database, &format!("{LOOK_UP}\nALTER ROLE {ASKS_AS} PASSWORD '{verifier}'"))?;
                let asks =
                    format!("auth_user = {ASKS_AS}\nauth_query = SELECT name, verifier FROM pgbouncer.look_up($1)\n");
                (asks, format!("\"{ASKS_AS}\" \"{password}\"\n"))
            }
            Users::Copied => (String::new(), String::new()),
        };
        let directory = tempfile::Builder::new()
            .prefix("handover-pgbouncer-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let account = Account::find()?;
        own(directory.path(), account)?;
        let port = free_port()?;
        let configuration = format!(
            "[databases]\n{database} = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = users.txt\n{asks}pool_mode = transaction\n\
             client_tls_sslmode = require\nclient_tls_cert_file = server.crt\nclient_tls_key_file = server.key\n\
             server_tls_sslmode = verify-full\nserver_tls_ca_file = ca.pem\nserver_idle_timeout = 1\n\
             server_login_retry = 1\nlogfile = log\n",
            server.port()
        );
        let certificates = server.certificates();
        for (name, text) in [
            ("ca.pem", &certificates.ca_pem),
            ("server.crt", &certificates.certificate_pem),
            ("server.key", &certificates.key_pem),
            ("users.txt", &known),
            ("pgbouncer.ini", &configuration),
        ] {
            write(&directory, account, name, text)?;
        }
        let child = launch(&directory, account)?;
        let mut pooler = Self { directory, account, child, port };
        let limit = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > limit || !matches!(pooler.child.try_wait(), Ok(None)) {
                return Err(ServerError::new(format!("PgBouncer did not start; its log says:\n{}", pooler.log())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(pooler)
    }

    /// The port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// All that it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Logs in through it, over TLS with the name checked. It has no channel binding.
    pub async fn connect(
        &self,
        server: &Postgres,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(password).dbname(database);
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
        let (client, connection) = config.connect(server.tls()).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Writes the verifiers that the server has now to the file, and has it read.
    pub async fn copy_users(&self, server: &Postgres) -> Result<(), ServerError> {
        let because = |error: tokio_postgres::Error| ServerError::because("the users could not be read", &error);
        let superuser = server.superuser("postgres").await.map_err(because)?;
        let statement =
            "SELECT rolname::text, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL AND rolcanlogin";
        let rows = superuser.query(statement, &[]).await.map_err(because)?;
        let lines = rows.iter().map(|row| {
            let (name, verifier): (String, String) = (row.get(0), row.get(1));
            format!("\"{}\" \"{verifier}\"\n", name.replace('"', "\"\""))
        });
        write(&self.directory, self.account, "users.txt", &lines.collect::<String>())?;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let told = pid.is_some_and(|pid| kill_process(pid, Signal::HUP).is_ok());
        if told { Ok(()) } else { Err(ServerError::new("PgBouncer is not there to be told")) }
    }
}

fn launch(directory: &TempDir, account: Option<Account>) -> Result<Child, ServerError> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(account) = account {
        command.args(["--reuid", &account.uid.to_string(), "--regid", &account.gid.to_string(), "--clear-groups"]);
    }
    command.args(["--", PROGRAM, "-q", "pgbouncer.ini"]).current_dir(directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    spawn(command).map_err(|error| ServerError::because("PgBouncer could not be run", &error))
}

fn write(directory: &TempDir, account: Option<Account>, name: &str, text: &str) -> Result<(), ServerError> {
    let path = directory.path().join(name);
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    options
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| ServerError::because(&format!("{name} could not be written"), &error))?;
    own(&path, account)
}

fn own(path: &Path, account: Option<Account>) -> Result<(), ServerError> {
    let owner = account.map(|account| (account.uid, account.gid));
    let given = owner.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)));
    given.map_err(|error| ServerError::because("a file could not be given to PgBouncer's account", &error))
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // At once: SIGINT would wait for clients.
        if !end(&mut self.child, Signal::TERM, PATIENCE) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
