//! A whole installation for tests and the demonstration: a private PostgreSQL with a group's roles, and the real
//! `handover` binary as a process of its own, which can be told to end, or killed.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::servers::postgres::{Options as PostgresOptions, Postgres, Roles};
use crate::servers::{ServerError, end, free_port, spawn};

/// The group that the installation rotates.
pub const GROUP: &str = "app";
/// The database that the group's roles use.
pub const DATABASE: &str = "app";
/// Who gives orders.
pub const OPERATOR: &str = "operator";

const PATIENCE: Duration = Duration::from_secs(30);

/// What an installation is made with. Durations as the configuration writes them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Consumers that are expected from the start.
    pub consumers: Vec<&'static str>,
    /// `[group.policy]`, as text.
    pub policy: String,
    /// Whether PostgreSQL flushes to disk.
    pub fsync: bool,
}

/// An installation. Everything ends, and is deleted, when it is dropped.
pub struct Rig {
    /// Its PostgreSQL.
    pub postgres: Postgres,
    /// The group's roles.
    pub roles: Roles,
    directory: TempDir,
    binary: PathBuf,
    port: u16,
    controller: Mutex<Option<Child>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    /// Starts PostgreSQL, makes the group's roles and a table, and runs `handover init`. The controller is not started.
    pub fn new(binary: &Path, options: &Options) -> Result<Self, ServerError> {
        Self::with_users(binary, options, Postgres::create_roles, |[a, b]| format!("twins = [\"{a}\", \"{b}\"]"))
    }

    /// The same with a user for each generation, `app_v1` for the first.
    pub fn versioned(binary: &Path, options: &Options) -> Result<Self, ServerError> {
        Self::with_users(binary, options, Postgres::create_versioned_roles, |_| "versioned = \"app_v\"".to_owned())
    }

    fn with_users(
        binary: &Path,
        options: &Options,
        create: impl FnOnce(&Postgres, &str) -> Result<Roles, ServerError>,
        users: impl FnOnce(&[String; 2]) -> String,
    ) -> Result<Self, ServerError> {
        let postgres = Postgres::start(&PostgresOptions { fsync: options.fsync, settings: Vec::new() })?;
        let roles = create(&postgres, "app")?;
        postgres.execute("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        let owner = &roles.owner;
        postgres.execute(
            DATABASE,
            &format!(
                "CREATE SCHEMA app AUTHORIZATION {owner};\n\
                 CREATE TABLE app.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL);\n\
                 ALTER TABLE app.orders OWNER TO {owner};"
            ),
        )?;
        let directory = tempfile::Builder::new()
            .prefix("handover-rig-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let rig = Self {
            postgres,
            roles,
            directory,
            binary: binary.to_owned(),
            port: free_port()?,
            controller: Mutex::new(None),
            said: Arc::default(),
        };
        rig.succeed(&["init"])?;
        rig.write("admin.password", &rig.roles.admin_password)?;
        rig.write("handover.toml", &rig.configuration(options, &users(&rig.roles.twins)))?;
        let token = rig.token(OPERATOR, "operator")?;
        rig.write(OPERATOR_TOKEN, &token)?;
        Ok(rig)
    }

    /// The controller's URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The controller's port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A path in the installation's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a token and keeps it in a file that only we may read.
    pub fn token_file(&self, identity: &str, role: &str) -> Result<PathBuf, ServerError> {
        let token = self.token(identity, role)?;
        let name = format!("{identity}.token");
        self.write(&name, &token)?;
        Ok(self.path(&name))
    }

    /// Starts the controller with `environment` added, and waits until it answers.
    pub fn start(&self, environment: &[(&str, &str)]) -> Result<(), ServerError> {
        self.start_under(&[], environment)
    }

    /// The same, run by another program that turns into it, such as `strace -D`.
    pub fn start_under(&self, runner: &[&str], environment: &[(&str, &str)]) -> Result<(), ServerError> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(runner).arg(&self.binary).arg("serve");
        command.current_dir(self.directory.path()).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(command).map_err(|error| ServerError::because("handover could not be run", &error))?;
        self.listen(&mut child);
        *self.lock() = Some(child);
        let limit = Instant::now() + PATIENCE;
        while !self.answers() {
            if !self.runs() {
                return Err(ServerError::new(format!("the controller ended as it started; it said:\n{}", self.said())));
            }
            if Instant::now() > limit {
                return Err(ServerError::new(format!("the controller did not answer; it said:\n{}", self.said())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&self) {
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP, or SIGCONT: it stands still, or goes on. Whether there was a process to tell.
    pub fn stand_still(&self, still: bool) -> bool {
        let signal = if still { Signal::STOP } else { Signal::CONT };
        let pid = self.lock().as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// SIGTERM, and wait until it ended in order.
    pub fn stop(&self) -> Result<(), ServerError> {
        let running = self.lock().take();
        if let Some(mut child) = running
            && !end(&mut child, Signal::TERM, PATIENCE)
        {
            *self.lock() = Some(child);
            return Err(ServerError::new("the controller did not end in order within its time"));
        }
        Ok(())
    }

    /// The controller's process, if it was started.
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    /// SIGHUP. Whether there was a controller to send it to.
    pub fn hang_up(&self) -> bool {
        let running = self.lock();
        let pid = running.as_ref().map(rustix::process::Pid::from_child);
        pid.is_some_and(|pid| rustix::process::kill_process(pid, Signal::HUP).is_ok())
    }

    /// Whether the controller's process is there.
    pub fn runs(&self) -> bool {
        self.lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Waits until the controller's process ended by itself; whether it did.
    pub fn ends_within(&self, patience: Duration) -> bool {
        let limit = Instant::now() + patience;
        while self.runs() {
            if Instant::now() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// All that the controller wrote to standard error so far, over all its starts.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits until the controller's standard error contains `text`; whether it did.
    pub fn says_within(&self, text: &str, patience: Duration) -> bool {
        let limit = Instant::now() + patience;
        while !self.said().contains(text) {
            if Instant::now() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// A command line of `handover`, as the operator would give it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("HANDOVER_URL", self.url())
            .env("HANDOVER_TOKEN_FILE", self.path(OPERATOR_TOKEN))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output, ServerError> {
        let output = self.command(arguments).output();
        output.map_err(|error| ServerError::because("handover could not be run", &error))
    }

    /// Runs a command line that must succeed; its standard output.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String, ServerError> {
        let output = self.run(arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(ServerError::new(format!("`handover {}` failed ({}): {said}", arguments.join(" "), output.status)))
    }

    fn token(&self, identity: &str, role: &str) -> Result<String, ServerError> {
        let token = self.succeed(&["token", "create", identity, "--group", GROUP, "--role", role])?;
        Ok(token.trim().to_owned())
    }

    fn configuration(&self, options: &Options, users: &str) -> String {
        let mut consumers = String::new();
        for consumer in &options.consumers {
            let _ = write!(consumers, "{{ name = \"{consumer}\" }}, ");
        }
        let Roles { owner, admin, .. } = &self.roles;
        let (port, database_port, ca) = (self.port, self.postgres.port(), self.postgres.ca_path());
        format!(
            "listen = \"127.0.0.1:{port}\"\naudit_file = \"audit.jsonl\"\n\n[[group]]\nname = \"{GROUP}\"\n\
             consumers = [{consumers}]\n\n[group.policy]\n{}\n\n[group.target]\nkind = \"postgres\"\n\
             endpoints = [{{ name = \"primary\", host = \"127.0.0.1\", port = {database_port} }}]\n\
             database = \"{DATABASE}\"\nca_file = \"{}\"\nowner = \"{owner}\"\n{users}\n\
             admin = {{ user = \"{admin}\", password_file = \"admin.password\" }}\n",
            options.policy,
            ca.display()
        )
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn listen(&self, child: &mut Child) {
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&self.said);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
    }

    fn write(&self, name: &str, content: &str) -> Result<(), ServerError> {
        fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(self.path(name))
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|error| ServerError::because(&format!("{name} could not be written"), &error))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const OPERATOR_TOKEN: &str = "operator.token";

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill();
    }
}
