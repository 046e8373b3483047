//! A server without groups, as a process of its own: what is asked of it is who may come in.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handover_testkit::servers::random_hex;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command line came to.
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) said: String,
}

/// An installation, and its server if it was started. Both end with it.
pub(crate) struct Installation {
    pub(crate) port: u16,
    directory: tempfile::TempDir,
    server: Mutex<Option<Child>>,
    said: Arc<Mutex<String>>,
}

impl Installation {
    /// What `init` makes, with this after the line `listen` in its configuration.
    pub(crate) fn new(more: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("handover-installation-").tempdir().unwrap();
        let port = free_port();
        let made = Self { port, directory, server: Mutex::new(None), said: Arc::default() };
        assert_eq!(made.run(&["init"]).exit, 0);
        made.write("handover.toml", &format!("listen = \"127.0.0.1:{port}\"\n{more}"));
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that only we may read, over what was there.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let fresh = self.path(&format!("{name}.fresh"));
        let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        fs::rename(fresh, self.path(name)).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_handover")]);
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(&self.command(arguments).output().unwrap())
    }

    /// Starts the server, and waits until it says that it is ready.
    pub(crate) fn start(&self, environment: &[(&str, &str)]) {
        let mut command = self.command(&["serve"]);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        self.said.lock().unwrap().clear();
        let said = self.said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        *self.server.lock().unwrap() = Some(child);
        self.wait("the server is ready", || self.said().contains(" ready"));
    }

    /// SIGKILL, and wait until it is gone.
    pub(crate) fn kill(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// What the server said since it was started.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until `holds`; panics with what the server said.
    pub(crate) fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let limit = Instant::now() + PATIENCE;
        while !holds() {
            let ended = self.server.lock().unwrap().as_mut().is_some_and(|server| server.try_wait().unwrap().is_some());
            assert!(!ended && Instant::now() < limit, "not in time: {what}. The server said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a token and keeps it in a file.
    pub(crate) fn token(&self, identity: &str, more: &[&str]) -> PathBuf {
        let made = self.run(&[&["token", "create", identity, "--group", "*"], more].concat());
        assert_eq!(made.exit, 0, "{}", made.said);
        let name = format!("{identity}.token");
        self.write(&name, &made.out);
        self.path(&name)
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn ran(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { exit: output.status.code().unwrap(), out: text(&output.stdout), said: text(&output.stderr) }
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Below the ephemeral range, in which a client could be given the same port.
fn free_port() -> u16 {
    loop {
        let port = 20_000 + u16::from_str_radix(&random_hex(4).unwrap(), 16).unwrap() % 12_768;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
