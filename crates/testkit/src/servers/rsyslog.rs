//! A private rsyslog: a receiver of syslog over TLS, and in clear over TCP and UDP, that writes what it takes to a file
//! before it closes a connection.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::ServerError;
use super::certificates::Certificates;
use super::process::{end, free_port, spawn};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running rsyslog. It ends when this is dropped.
pub struct Rsyslog {
    /// The CA that its certificate chains to.
    pub certificates: Certificates,
    directory: TempDir,
    child: Child,
    tls_port: u16,
}

impl Rsyslog {
    /// Starts it, and waits until it listens.
    pub fn start() -> Result<Self, ServerError> {
        let directory =
            tempfile::tempdir().map_err(|error| ServerError::because("no temporary folder could be made", &error))?;
        let certificates = Certificates::generate()?;
        let tls_port = free_port()?;
        let folder = directory.path().display().to_string();
        let configuration = format!(
            "global(workDirectory=\"{folder}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"gtls\"\n\
             \x20 defaultNetstreamDriverCAFile=\"{folder}/ca.pem\" defaultNetstreamDriverCertFile=\"{folder}/cert.pem\"\n\
             \x20 defaultNetstreamDriverKeyFile=\"{folder}/key.pem\")\n\
             main_queue(queue.type=\"direct\")\n\
             module(load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tls_port}\")\n\
             template(name=\"whole\" type=\"string\" string=\"%app-name% %msgid% %syslogfacility-text% %msg%\\n\")\n\
             action(type=\"omfile\" file=\"{folder}/received\" template=\"whole\")\n"
        );
        for (name, text) in [
            ("ca.pem", &certificates.ca_pem),
            ("cert.pem", &certificates.certificate_pem),
            ("key.pem", &certificates.key_pem),
            ("rsyslog.conf", &configuration),
        ] {
            std::fs::write(directory.path().join(name), text)
                .map_err(|error| ServerError::because("rsyslog's files could not be written", &error))?;
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "rsyslogd", "-n", "-f", &format!("{folder}/rsyslog.conf")])
            .args(["-i", &format!("{folder}/pid")])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let missing =
            "rsyslog could not be run; run: apt-get install -y --no-install-recommends rsyslog rsyslog-gnutls";
        let child = spawn(command).map_err(|error| ServerError::because(missing, &error))?;
        let mut server = Self { certificates, directory, child, tls_port };
        let limit = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", tls_port)).is_err() {
            if Instant::now() > limit || !matches!(server.child.try_wait(), Ok(None)) {
                return Err(ServerError::new(missing));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// The port where it takes syslog over TLS.
    pub const fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// What it took: a line for each message, with program, message id and facility before the message.
    pub fn received(&self) -> String {
        std::fs::read_to_string(self.received_path()).unwrap_or_default()
    }

    /// The file with what it took.
    pub fn received_path(&self) -> PathBuf {
        self.directory.path().join("received")
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if !end(&mut self.child, Signal::TERM, PATIENCE) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
