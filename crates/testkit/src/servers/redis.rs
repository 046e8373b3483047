//! A private Redis: TLS only, nobody without a password, users in a file, and everything that is asked of it recorded, so
//! that a test can look for what must not be there.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{RedisConnectionInfo, RedisResult, Value};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::process::{end, free_port, spawn};
use super::{Certificates, ServerError, random_hex};

/// The line that installs what is needed.
pub const INSTALL: &str = "apt-get install -y --no-install-recommends redis-server";

/// The superuser's name.
pub const SUPERUSER: &str = "root";

/// The commands that prepare a group, as the connector's page shows them.
pub const LEAST_PRIVILEGE: &str = include_str!("../../../../docs/connectors/redis.acl");

const PROGRAM: &str = "/usr/bin/redis-server";
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a server keeps its users.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Users {
    /// In a file of their own.
    AclFile,
    /// In its configuration.
    Configuration,
    /// In memory alone: it has no file at all.
    Memory,
}

/// A running server. Ends, and is deleted, when dropped.
pub struct Redis {
    directory: TempDir,
    users: Users,
    port: u16,
    certificates: Certificates,
    superuser_password: String,
    settings: Vec<String>,
    child: Mutex<Option<Child>>,
    asked: Arc<Mutex<Vec<u8>>>,
}

/// The users of one group, made by [`LEAST_PRIVILEGE`] with other names.
#[derive(Clone, Debug)]
pub struct Twins {
    /// The twins, by slot.
    pub twins: [String; 2],
    /// The user that changes them.
    pub admin: String,
    /// Its password.
    pub admin_password: String,
}

/// A login. It ends when this is dropped.
pub struct Session {
    connection: MultiplexedConnection,
    driver: tokio::task::JoinHandle<()>,
}

impl Session {
    /// One command and its answer.
    pub async fn ask(&self, words: &[&str]) -> RedisResult<Value> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut self.connection.clone()).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Redis {
    /// Starts one that keeps its users in a file of their own.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(Users::AclFile, Certificates::generate()?, &[])
    }

    /// Starts one with these further lines of its configuration; servers with the same certificates trust each other.
    pub fn start_with(users: Users, certificates: Certificates, settings: &[&str]) -> Result<Self, ServerError> {
        if !Path::new(PROGRAM).exists() {
            return Err(ServerError::new(format!("Redis is not installed; install it: {INSTALL}")));
        }
        let directory = tempfile::Builder::new()
            .prefix("handover-redis-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let mut server = Self {
            directory,
            users,
            port: 0,
            certificates,
            superuser_password: random_hex(32)?,
            settings: settings.iter().map(|line| (*line).to_owned()).collect(),
            child: Mutex::new(None),
            asked: Arc::default(),
        };
        let Certificates { ca_pem, certificate_pem, key_pem } = server.certificates.clone();
        for (name, text) in [("ca.pem", &ca_pem), ("server.crt", &certificate_pem), ("server.key", &key_pem)] {
            server.write(name, text)?;
        }
        for _ in 0..10 {
            server.port = free_port()?;
            server.configure()?;
            // Somebody else may have taken the port.
            if server.launch().is_ok() {
                return Ok(server);
            }
        }
        Err(ServerError::new(format!("Redis did not start; its log says:\n{}", server.own_log())))
    }

    /// A server that tests of one process share: the last of them to drop it ends it.
    pub fn shared() -> Result<Arc<Self>, ServerError> {
        static SHARED: Mutex<Weak<Redis>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Ok(server)
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

    /// A file in its folder: `ca.pem`, `users.acl`, `log`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The superuser's password; its name is [`SUPERUSER`].
    pub fn superuser_password(&self) -> &str {
        &self.superuser_password
    }

    /// Everything that was asked of it since it started, as it shows that to whoever may watch; what it kept of slow
    /// commands, where every command counts as slow; refused logins; and what it logged.
    pub fn log(&self) -> Result<String, ServerError> {
        let asked = || String::from_utf8_lossy(&self.asked.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        // What was asked before this is there once this is.
        let end = random_hex(16)?;
        self.execute(&[&["ECHO", &end]])?;
        let limit = Instant::now() + PATIENCE;
        while !asked().contains(&end) {
            if Instant::now() > limit {
                return Err(ServerError::new("Redis does not show what is asked of it"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let kept = self.execute(&[&["SLOWLOG", "GET", "-1"], &["ACL", "LOG", "1000"]])?;
        Ok(format!("{}\n{kept:?}\n{}", asked(), self.own_log()))
    }

    /// Stops it, in order.
    pub fn stop(&self) {
        if let Some(mut running) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take()
            && !end(&mut running, Signal::TERM, PATIENCE)
        {
            let _ = running.kill();
            let _ = running.wait();
        }
    }

    /// Stops it if it runs, and starts it on the same port with what it wrote down.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.stop();
        self.launch()
    }

    /// Logs in, over TLS with the name checked.
    pub async fn connect(&self, user: &str, password: &str) -> RedisResult<Session> {
        let session = self.connect_unnamed().await?;
        session.ask(&["AUTH", user, password]).await?;
        Ok(session)
    }

    /// Connects, and does not log in.
    pub async fn connect_unnamed(&self) -> RedisResult<Session> {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from("127.0.0.1").map_err(std::io::Error::other)?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(self.tls())).connect(name, stream).await?;
        let nobody = RedisConnectionInfo::default();
        let (connection, driver) =
            MultiplexedConnection::new_with_response_timeout(&nobody, stream, Some(PATIENCE)).await?;
        Ok(Session { connection, driver: tokio::spawn(driver) })
    }

    /// Logs in as the superuser.
    pub async fn superuser(&self) -> RedisResult<Session> {
        self.connect(SUPERUSER, &self.superuser_password).await
    }

    /// Runs commands as the superuser, from where there is no async runtime, or from within one.
    pub fn execute(&self, commands: &[&[&str]]) -> Result<Vec<Value>, ServerError> {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| ServerError::because("no runtime", &error))?;
            runtime.block_on(async {
                let because = |error| ServerError::because("Redis did not do it", &error);
                let session = self.superuser().await.map_err(because)?;
                let mut answers = Vec::new();
                for command in commands {
                    answers.push(session.ask(command).await.map_err(because)?);
                }
                Ok(answers)
            })
        };
        std::thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|_| Err(ServerError::new("the thread that runs commands panicked")))
    }

    /// Makes the users of a group with [`LEAST_PRIVILEGE`], all names beginning with `prefix`, and has them written down.
    pub fn create_users(&self, prefix: &str) -> Result<Twins, ServerError> {
        let twins = Twins {
            twins: ["a", "b"].map(|user| format!("{prefix}_{user}")),
            admin: format!("{prefix}_admin"),
            admin_password: random_hex(32)?,
        };
        self.create_users_like(&twins)?;
        Ok(twins)
    }

    /// Makes the same users as at another node.
    pub fn create_users_like(&self, users: &Twins) -> Result<(), ServerError> {
        let hash: String =
            Sha256::digest(users.admin_password.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let script = LEAST_PRIVILEGE
            .replace("handover_admin", &users.admin)
            .replace("app_a", &users.twins[0])
            .replace("app_b", &users.twins[1])
            .replace(&"0".repeat(64), &hash);
        let lines = script.lines().filter(|line| line.starts_with("ACL "));
        let mut commands: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
        match self.users {
            Users::AclFile => commands.push(vec!["ACL", "SAVE"]),
            Users::Configuration => commands.push(vec!["CONFIG", "REWRITE"]),
            Users::Memory => {}
        }
        self.execute(&commands.iter().map(Vec::as_slice).collect::<Vec<_>>()).map(drop)
    }

    /// What a client needs to trust it.
    pub fn tls(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        // A CA that we made ourselves parses; if it did not, no connection would be trusted.
        roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(self.certificates.ca_pem.as_bytes()).filter_map(Result::ok),
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        #[expect(clippy::expect_used, reason = "ring's provider supports the default protocol versions")]
        let builder = builder.with_safe_default_protocol_versions().expect("ring supports TLS 1.2 and 1.3");
        builder.with_root_certificates(roots).with_no_client_auth()
    }

    fn own_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    fn configure(&self) -> Result<(), ServerError> {
        let users = format!("user default off\nuser {SUPERUSER} on >{} ~* &* +@all\n", self.superuser_password);
        let users = match self.users {
            Users::AclFile => {
                self.write("users.acl", &users)?;
                format!("aclfile {}\n", self.path("users.acl").display())
            }
            Users::Configuration | Users::Memory => users,
        };
        let folder = self.directory.path().display();
        let mut lines = format!(
            "bind 127.0.0.1\nport 0\ntls-port {}\ntls-cert-file {folder}/server.crt\ntls-key-file {folder}/server.key\n\
             tls-ca-cert-file {folder}/ca.pem\ntls-auth-clients no\ntls-replication yes\ntls-cluster yes\ndir {folder}\n\
             logfile {folder}/log\nloglevel verbose\nsave \"\"\nslowlog-log-slower-than 0\nslowlog-max-len 100000\n\
             repl-diskless-sync-delay 0\n{users}",
            self.port
        );
        for line in &self.settings {
            lines.push_str(line);
            lines.push('\n');
        }
        self.write("redis.conf", &lines)
    }

    fn launch(&self) -> Result<(), ServerError> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", PROGRAM]).current_dir(self.directory.path());
        let configuration = match self.users {
            Users::AclFile | Users::Configuration => {
                command.arg("redis.conf").stdin(Stdio::null());
                None
            }
            // From standard input: then it knows of no file.
            Users::Memory => {
                command.arg("-").stdin(Stdio::piped());
                let text = fs::read(self.path("redis.conf"));
                Some(text.map_err(|error| ServerError::because("redis.conf could not be read", &error))?)
            }
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = spawn(command).map_err(|error| ServerError::because("Redis could not be run", &error))?;
        if let Some((mut input, text)) = child.stdin.take().zip(configuration) {
            let told = input.write_all(&text);
            told.map_err(|error| ServerError::because("Redis could not be told its configuration", &error))?;
        }
        let limit = Instant::now() + PATIENCE;
        while self.execute(&[&["PING"]]).is_err() {
            if Instant::now() > limit || !matches!(child.try_wait(), Ok(None)) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ServerError::new(format!("Redis did not start; its log says:\n{}", self.own_log())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        self.watch()
    }

    /// Has it show all that is asked of it, until it ends.
    fn watch(&self) -> Result<(), ServerError> {
        let because = |error: &dyn std::fmt::Display| ServerError::because("Redis cannot be watched", error);
        let stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| because(&error))?;
        let name = ServerName::try_from("127.0.0.1").map_err(|error| because(&error))?;
        let client = rustls::ClientConnection::new(Arc::new(self.tls()), name).map_err(|error| because(&error))?;
        let mut stream = rustls::StreamOwned::new(client, stream);
        let told = write!(stream, "AUTH {SUPERUSER} {}\r\nMONITOR\r\n", self.superuser_password);
        told.and_then(|()| stream.flush()).map_err(|error| because(&error))?;
        // Both are answered with OK.
        let mut answers = [0; 10];
        stream.read_exact(&mut answers).map_err(|error| because(&error))?;
        let asked = Arc::clone(&self.asked);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1_024];
            while let Ok(length) = stream.read(&mut buffer) {
                if length == 0 {
                    return;
                }
                asked.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
            }
        });
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ServerError> {
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        options
            .open(self.path(name))
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| ServerError::because(&format!("{name} could not be written"), &error))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
