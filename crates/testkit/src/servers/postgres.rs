//! A private PostgreSQL: TLS and SCRAM only, every statement logged, so that a test can look for what must not be there.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{end, free_port, spawn};
use super::{Certificates, ServerError, random_hex};

/// The line that installs what is needed.
pub const INSTALL: &str = "apt-get install -y postgresql";

/// The variable that names a folder with another version's programs, to run the same tests on it.
pub const BINARIES: &str = "HANDOVER_TEST_POSTGRES_BIN";

/// The superuser's name.
pub const SUPERUSER: &str = "pgadmin";

/// The script that prepares a group with twins, as the connector's page shows it.
pub const LEAST_PRIVILEGE: &str = include_str!("../../../../docs/connectors/postgresql.sql");

/// The same for a group with versioned users.
pub const LEAST_PRIVILEGE_VERSIONED: &str = include_str!("../../../../docs/connectors/postgresql-versioned.sql");

const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Flush to disk as in production. Off, a test starts and runs faster, and a crash of the machine loses data.
    pub fsync: bool,
    /// Further lines of `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

/// A running server. Ends, and is deleted, when dropped.
pub struct Postgres {
    binaries: PathBuf,
    directory: TempDir,
    account: Option<Account>,
    port: u16,
    certificates: Certificates,
    superuser_password: String,
    child: Mutex<Option<Child>>,
}

/// The roles of one group, made by [`LEAST_PRIVILEGE`] or [`LEAST_PRIVILEGE_VERSIONED`] with other names.
#[derive(Clone, Debug)]
pub struct Roles {
    /// Owns the objects; never logs in.
    pub owner: String,
    /// The twins, by slot; of versioned users, which are not made yet, the names of the first two.
    pub twins: [String; 2],
    /// The user that changes them.
    pub admin: String,
    /// Its password.
    pub admin_password: String,
}

impl Postgres {
    /// Makes a new cluster and starts it.
    pub fn start(options: &Options) -> Result<Self, ServerError> {
        let binaries = binaries()?;
        let account = Account::find()?;
        let directory = tempfile::Builder::new()
            .prefix("handover-postgres-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let mut server = Self {
            binaries,
            directory,
            account,
            port: 0,
            certificates: Certificates::generate()?,
            superuser_password: random_hex(32)?,
            child: Mutex::new(None),
        };
        server.own(server.directory.path())?;
        server.write("password", &server.superuser_password, 0o600)?;
        server.write("ca.pem", &server.certificates.ca_pem, 0o644)?;
        server.run_to_end(
            "initdb",
            &[
                "--pgdata",
                &server.text("data"),
                "--username",
                SUPERUSER,
                "--pwfile",
                &server.text("password"),
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "--no-sync",
            ],
        )?;
        server.configure(options)?;
        server.launch_on_free_port()?;
        Ok(server)
    }

    /// A server that tests of one process share: the last of them to drop it ends it.
    pub fn shared() -> Result<Arc<Self>, ServerError> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let settings = vec![("max_connections".to_owned(), "200".to_owned())];
        let server = Arc::new(Self::start(&Options { fsync: false, settings })?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// Starts a hot standby of this server: it follows, and is read-only.
    pub fn replica(&self) -> Result<Self, ServerError> {
        let directory = tempfile::Builder::new()
            .prefix("handover-postgres-replica-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let mut replica = Self {
            binaries: self.binaries.clone(),
            directory,
            account: self.account,
            port: 0,
            certificates: self.certificates.clone(),
            superuser_password: self.superuser_password.clone(),
            child: Mutex::new(None),
        };
        replica.own(replica.directory.path())?;
        replica.write("ca.pem", &replica.certificates.ca_pem, 0o644)?;
        let pass_file = format!("127.0.0.1:{}:*:{SUPERUSER}:{}\n", self.port, self.superuser_password);
        replica.write("pgpass", &pass_file, 0o600)?;
        let source = format!(
            "host=127.0.0.1 port={} user={SUPERUSER} passfile={} sslmode=verify-full sslrootcert={}",
            self.port,
            replica.text("pgpass"),
            replica.text("ca.pem")
        );
        let data = replica.text("data");
        replica.run_to_end(
            "pg_basebackup",
            &["--pgdata", &data, "--write-recovery-conf", "--checkpoint", "fast", "--no-sync", "--dbname", &source],
        )?;
        replica.launch_on_free_port()?;
        Ok(replica)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its certificate and key, and their CA.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The CA to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.certificates.ca_pem
    }

    /// The file that holds the CA.
    pub fn ca_path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The superuser's password; its name is [`SUPERUSER`].
    pub fn superuser_password(&self) -> &str {
        &self.superuser_password
    }

    /// All that the server logged so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Stops it, in order. Sessions are ended.
    pub fn stop(&self) -> Result<(), ServerError> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut running) = child.take()
            && !end(&mut running, Signal::INT, STOP_PATIENCE)
        {
            let _ = running.kill();
            let _ = running.wait();
            return Err(ServerError::new("PostgreSQL did not stop in order within its time and was killed"));
        }
        Ok(())
    }

    /// Stops it if it runs, and starts it on the same port with the same data.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.stop()?;
        self.launch()
    }

    /// Stops it, copies its data, and starts it again: a snapshot, which may be set back to once or often.
    pub fn snapshot(&self) -> Result<TempDir, ServerError> {
        let snapshot = tempfile::Builder::new()
            .prefix("handover-snapshot-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        self.stop()?;
        copy_tree(&self.directory.path().join("data"), &snapshot.path().join("data"))?;
        self.launch()?;
        Ok(snapshot)
    }

    /// Stops it, puts the data of a snapshot in place of its own, and starts it again.
    pub fn set_back(&self, snapshot: &TempDir) -> Result<(), ServerError> {
        self.stop()?;
        let data = self.directory.path().join("data");
        fs::remove_dir_all(&data).map_err(|error| ServerError::because("the data could not be removed", &error))?;
        copy_tree(&snapshot.path().join("data"), &data)?;
        self.launch()
    }

    /// Logs in, over TLS with the name checked. The connection ends when the client is dropped.
    pub async fn connect(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(user)
            .password(password)
            .dbname(database)
            .ssl_mode(tokio_postgres::config::SslMode::Require)
            .channel_binding(tokio_postgres::config::ChannelBinding::Require);
        let (client, connection) = config.connect(self.tls()).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Logs in as the superuser.
    pub async fn superuser(&self, database: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        self.connect(SUPERUSER, &self.superuser_password, database).await
    }

    /// Runs statements as the superuser, from where there is no async runtime, or from within one.
    pub fn execute(&self, database: &str, statements: &str) -> Result<(), ServerError> {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| ServerError::because("no runtime", &error))?;
            runtime.block_on(async {
                let client = self.superuser(database).await.map_err(|error| words("the superuser's login", &error))?;
                client.batch_execute(statements).await.map_err(|error| words("a statement", &error))
            })
        };
        std::thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|_| Err(ServerError::new("the thread that runs statements panicked")))
    }

    /// Makes the roles of a group with [`LEAST_PRIVILEGE`], all names beginning with `prefix` (lower-case letters,
    /// digits and underscores).
    pub fn create_roles(&self, prefix: &str) -> Result<Roles, ServerError> {
        self.run_script(LEAST_PRIVILEGE, prefix, ["a", "b"])
    }

    /// The same with [`LEAST_PRIVILEGE_VERSIONED`]: users are to be named `prefix` and `_v`, and a number.
    pub fn create_versioned_roles(&self, prefix: &str) -> Result<Roles, ServerError> {
        self.run_script(LEAST_PRIVILEGE_VERSIONED, prefix, ["v0", "v1"])
    }

    fn run_script(&self, script: &str, prefix: &str, users: [&str; 2]) -> Result<Roles, ServerError> {
        let roles = Roles {
            owner: format!("{prefix}_owner"),
            twins: users.map(|user| format!("{prefix}_{user}")),
            admin: format!("{prefix}_admin"),
            admin_password: random_hex(32)?,
        };
        let script = script.replace("handover_admin", &roles.admin).replace("app_", &format!("{prefix}_"));
        let verifier = postgres_protocol::password::scram_sha_256(roles.admin_password.as_bytes());
        self.execute("postgres", &format!("{script}\nALTER ROLE {} PASSWORD '{verifier}';", roles.admin))?;
        Ok(roles)
    }

    pub(super) fn tls(&self) -> tokio_postgres_rustls::MakeRustlsConnect {
        use rustls::pki_types::{CertificateDer, pem::PemObject};

        let mut roots = rustls::RootCertStore::empty();
        // A CA that we made ourselves parses; if it did not, no connection would be trusted.
        roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(self.certificates.ca_pem.as_bytes()).filter_map(Result::ok),
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        #[expect(clippy::expect_used, reason = "ring's provider supports the default protocol versions")]
        let builder = builder.with_safe_default_protocol_versions().expect("ring supports TLS 1.2 and 1.3");
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        tokio_postgres_rustls::MakeRustlsConnect::new(config)
    }

    fn configure(&self, options: &Options) -> Result<(), ServerError> {
        self.write("data/server.crt", &self.certificates.certificate_pem, 0o644)?;
        self.write("data/server.key", &self.certificates.key_pem, 0o600)?;
        self.write(
            "data/pg_hba.conf",
            "hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl replication all 127.0.0.1/32 scram-sha-256\n",
            0o600,
        )?;
        let fsync = if options.fsync { "on" } else { "off" };
        let mut lines = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nssl = on\nssl_cert_file = 'server.crt'\n\
             ssl_key_file = 'server.key'\npassword_encryption = 'scram-sha-256'\nlog_statement = 'all'\n\
             log_min_error_statement = 'info'\nlog_connections = on\nlc_messages = 'C'\nfsync = {fsync}\n\
             shared_buffers = '32MB'\n"
        );
        for (name, value) in &options.settings {
            lines.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let path = self.directory.path().join("data/postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(|error| ServerError::because("postgresql.conf could not be written", &error))
    }

    fn launch_on_free_port(&mut self) -> Result<(), ServerError> {
        let mut last = ServerError::new("PostgreSQL was not started");
        // Between finding a port free and listening on it, another may take it.
        for _ in 0..5 {
            self.port = free_port()?;
            match self.launch() {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn launch(&self) -> Result<(), ServerError> {
        let path = self.directory.path().join("log");
        let log = fs::OpenOptions::new().create(true).append(true).open(path);
        let log = log.map_err(|error| ServerError::because("the log could not be opened", &error))?;
        let errors = log.try_clone().map_err(|error| ServerError::because("the log could not be opened", &error))?;
        let before = self.log().len();
        let mut command = self.command("postgres");
        command.args(["-D", &self.text("data"), "-p", &self.port.to_string()]);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut child = spawn(command).map_err(|error| ServerError::because("postgres could not be run", &error))?;
        let limit = Instant::now() + START_PATIENCE;
        loop {
            let log = self.log();
            let since = log.get(before..).unwrap_or_default();
            if since.contains("database system is ready to accept") {
                *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
                return Ok(());
            }
            if !matches!(child.try_wait(), Ok(None)) {
                return Err(ServerError::new(format!("PostgreSQL ended as it started; its log says:\n{since}")));
            }
            if Instant::now() > limit {
                end(&mut child, Signal::KILL, STOP_PATIENCE);
                return Err(ServerError::new(format!("PostgreSQL was not ready in time; its log says:\n{since}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn run_to_end(&self, program: &str, arguments: &[&str]) -> Result<(), ServerError> {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = spawn(command).and_then(Child::wait_with_output);
        let output = output.map_err(|error| ServerError::because(&format!("{program} could not be run"), &error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(ServerError::new(format!("{program} failed ({}): {said}", output.status)))
    }

    /// PostgreSQL refuses to run as root; whoever it runs as, it ends when this process does.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if let Some(account) = &self.account {
            command.args(["--reuid", &account.uid.to_string(), "--regid", &account.gid.to_string(), "--clear-groups"]);
        }
        command.arg("--").arg(self.binaries.join(program)).current_dir(self.directory.path());
        // Clients look for certificates in the home folder, and root's is closed to them.
        command.env("HOME", self.directory.path());
        command
    }

    fn write(&self, name: &str, content: &str, mode: u32) -> Result<(), ServerError> {
        let path = self.directory.path().join(name);
        fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|error| ServerError::because(&format!("{name} could not be written"), &error))?;
        self.own(&path)
    }

    fn own(&self, path: &Path) -> Result<(), ServerError> {
        match &self.account {
            Some(account) => chown(path, Some(account.uid), Some(account.gid))
                .map_err(|error| ServerError::because("a file could not be given to PostgreSQL's account", &error)),
            None => Ok(()),
        }
    }

    fn text(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

/// Owners, modes and links as they are.
fn copy_tree(from: &Path, to: &Path) -> Result<(), ServerError> {
    let mut command = Command::new("cp");
    command.arg("-a").arg("--").arg(from).arg(to);
    let status = command.status().map_err(|error| ServerError::because("cp could not be run", &error))?;
    if status.success() { Ok(()) } else { Err(ServerError::new("the data could not be copied")) }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut running) = child
            && !end(&mut running, Signal::QUIT, STOP_PATIENCE)
        {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

/// An unprivileged account, where we are root.
#[derive(Clone, Copy)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    pub(super) fn find() -> Result<Option<Self>, ServerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd")
            .map_err(|error| ServerError::because("/etc/passwd could not be read", &error))?;
        let account = accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some("postgres")).then_some(())?;
            Some(Self { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        });
        match account {
            Some(account) => Ok(Some(account)),
            None => Err(ServerError::new(format!("there is no account postgres to run as; install it: {INSTALL}"))),
        }
    }
}

/// What [`BINARIES`] names, or the newest version that Debian's packages installed.
fn binaries() -> Result<PathBuf, ServerError> {
    if let Some(named) = std::env::var_os(BINARIES) {
        return Ok(PathBuf::from(named));
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("postgres").exists() && path.join("initdb").exists())
        .max();
    match newest {
        Some((_, path)) => Ok(path),
        None => Err(ServerError::new(format!("PostgreSQL's server is not installed; install it: {INSTALL}"))),
    }
}

fn words(what: &str, error: &tokio_postgres::Error) -> ServerError {
    // The driver's own text says "db error" only; what the server said is what a test's author needs.
    match error.as_db_error() {
        Some(said) => ServerError::new(format!("{what} failed: {said}")),
        None => ServerError::because(&format!("{what} failed"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_restarts_and_follows() {
        let server = Postgres::start(&Options::default()).unwrap();
        server.execute("postgres", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)").unwrap();
        server.restart().unwrap();
        server.execute("postgres", "INSERT INTO kept VALUES (2)").unwrap();
        assert!(server.log().contains("INSERT INTO kept VALUES (2)"), "every statement is logged");
        let replica = server.replica().unwrap();
        let refused = replica.execute("postgres", "CREATE TABLE never (n int)").unwrap_err();
        assert!(refused.to_string().contains("read-only"), "{refused}");
    }

    #[test]
    fn the_least_privilege_script_makes_what_it_says() {
        let server = Postgres::shared().unwrap();
        let roles = server.create_roles("script").unwrap();
        assert_eq!(roles.twins, ["script_a", "script_b"]);
        server
            .execute(
                "postgres",
                "DO $$ BEGIN
                   ASSERT pg_has_role('script_a', 'script_owner', 'MEMBER');
                   ASSERT pg_has_role('script_b', 'script_owner', 'MEMBER');
                   ASSERT (SELECT NOT rolsuper AND rolcanlogin FROM pg_roles WHERE rolname = 'script_admin');
                   ASSERT (SELECT NOT bool_or(rolcanlogin) FROM pg_roles WHERE rolname ~ '^script_(a|b|owner)$');
                 END $$",
            )
            .unwrap();
    }
}
