//! A private SMTP server with TLS and a login: aiosmtpd, which keeps what it takes.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::certificates::Certificates;
use super::process::{end, free_port, spawn};
use super::{ServerError, random_hex};

const PATIENCE: Duration = Duration::from_secs(20);

/// Debian's own Python, for which the package is.
const PYTHON: &str = "/usr/bin/python3";

const MISSING: &str = "aiosmtpd could not be run; run: cargo xtask setup, or: apt-get install -y \
                       --no-install-recommends python3-aiosmtpd";

/// Arguments: port, folder, `starttls` or `tls`. The password is the first line of its standard input.
const SCRIPT: &str = r#"
import os, ssl, sys, time
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
port, folder, security = int(sys.argv[1]), sys.argv[2], sys.argv[3]
password = sys.stdin.readline().strip().encode()
class Handler:
    async def handle_DATA(self, server, session, envelope):
        self.count = getattr(self, "count", 0) + 1
        place = os.path.join(folder, "%06d" % self.count)
        with open(place, "w", newline="") as file:
            file.write("%s %s\n" % ("login" if session.authenticated else "none", ",".join(envelope.rcpt_tos)))
            file.write(envelope.content.decode("ascii"))
        os.rename(place, place + ".mail")
        return "250 taken"
def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"handover" and data.password == password, handled=False)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
options = dict(hostname="127.0.0.1", port=port, authenticator=authenticate, auth_required=True)
if security == "tls":
    options.update(ssl_context=context, auth_require_tls=False)
else:
    options.update(tls_context=context, require_starttls=True)
controller = Controller(Handler(), **options)
controller.start()
while True:
    time.sleep(3600)
"#;

/// A message that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// The recipients of its envelope.
    pub to: Vec<String>,
    /// Headers and body, as they came.
    pub text: String,
    /// Whether the sender had logged in.
    pub login: bool,
}

/// A running server. It ends when this is dropped.
pub struct MailServer {
    /// The CA that its certificate chains to.
    pub certificates: Certificates,
    /// The password of its user `handover`.
    pub password: String,
    directory: TempDir,
    child: Child,
    port: u16,
}

impl MailServer {
    /// Starts it with STARTTLS, or with TLS from the first byte, and waits until it listens.
    pub fn start(starttls: bool) -> Result<Self, ServerError> {
        let directory =
            tempfile::tempdir().map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let (certificates, password, port) = (Certificates::generate()?, random_hex(24)?, free_port()?);
        for (name, text) in [("cert.pem", &certificates.certificate_pem), ("key.pem", &certificates.key_pem)] {
            fs::write(directory.path().join(name), text)
                .map_err(|error| ServerError::because("the mail server's files could not be written", &error))?;
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", PYTHON, "-c", SCRIPT, &port.to_string()])
            .arg(directory.path())
            .arg(if starttls { "starttls" } else { "tls" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = spawn(command).map_err(|error| ServerError::because(MISSING, &error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that has ended is found below.
            let _ = writeln!(stdin, "{password}");
        }
        let mut server = Self { certificates, password, directory, child, port };
        let limit = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > limit || !matches!(server.child.try_wait(), Ok(None)) {
                return Err(ServerError::new(MISSING));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// The port where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What it took, in order.
    pub fn taken(&self) -> Vec<Mail> {
        let entries = fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "mail"))
            .collect();
        files.sort();
        files.iter().filter_map(|path| mail(&fs::read_to_string(path).ok()?)).collect()
    }
}

fn mail(kept: &str) -> Option<Mail> {
    let (first, text) = kept.split_once('\n')?;
    let (login, to) = first.split_once(' ')?;
    let to = to.split(',').map(str::to_owned).collect();
    Some(Mail { to, text: text.to_owned(), login: login == "login" })
}

impl Drop for MailServer {
    fn drop(&mut self) {
        if !end(&mut self.child, Signal::TERM, PATIENCE) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
