//! P6: reading one secret over TLS with the read in the history, against OpenBao with an audit file.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::Certificates;

use crate::load::{self, Load, Query};
use crate::openbao::OpenBao;
use crate::report::{Budget, Findings};
use crate::{Setting, Trouble};

const CONNECTIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let seconds = if setting.smoke { 0.3 } else { 10.0 };
    let mut found = Findings::default();
    let controller = Controller::start(setting)?;
    let ours = |query: &str| load::run(&controller.query(query), CONNECTIONS, seconds);
    if setting.smoke {
        let Load { rate, p99_ms } = ours("")?;
        found.figure("P6", ("reads of one secret", rate, "/s"), None);
        found.figure("P6", ("reads of one secret, p99", p99_ms, "ms"), None);
        found.note("OpenBao was not started: a smoke run downloads nothing");
        return Ok(found);
    }
    let bao = OpenBao::start(setting)?;
    let kept = bao.keep("0123456789abcdef0123456789abcdef")?;
    let before = bao.audited()?;
    let peer = load::run(&kept, CONNECTIONS, seconds)?;
    let audited = bao.audited()? - before;
    if (audited as f64) < peer.rate * seconds {
        return Err(format!("OpenBao's audit file has only {audited} lines more"));
    }
    for (what, query) in [("a fetch that is waited for", ""), ("a look (`?count=peek`)", "?count=peek")] {
        let ours = ours(query)?;
        let name = "OpenBao KV v2";
        found.compare("P6", (&format!("reads: {what}"), ours.rate, "/s"), (name, peer.rate), Budget::RatioMin(4.0));
        let p99 = (&*format!("reads: {what}, p99"), ours.p99_ms, "ms");
        found.compare("P6", p99, (name, peer.p99_ms), Budget::RatioMax(0.25));
    }
    found.note(
        "each of our reads is durable in the history before it is answered, a fetch in the roll as well; OpenBao writes a \
         line to its audit file and does not flush it",
    );
    Ok(found)
}

/// A controller with TLS, and a group that publishes a value.
struct Controller {
    child: Child,
    query: Query,
    _rig: Rig,
}

impl Controller {
    fn start(setting: &Setting) -> Result<Self, Trouble> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let policy = "passes_min = 1\nquiet_min = \"1s\"\noverlap_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"250ms\"";
        let options = Options { consumers: Vec::new(), policy: policy.to_owned(), fsync: false };
        let rig = Rig::new(&setting.handover, &options).map_err(|error| words(&error))?;
        rig.start(&[]).map_err(|error| words(&error))?;
        rig.succeed(&["rotate", GROUP, "--wait"]).map_err(|error| words(&error))?;
        let token = rig.token_file("reader", "consumer").map_err(|error| words(&error))?;
        let token = fs::read_to_string(token).map_err(|error| words(&error))?;
        rig.stop().map_err(|error| words(&error))?;

        let certificates = Certificates::generate().map_err(|error| words(&error))?;
        fs::write(rig.path("server.crt"), &certificates.certificate_pem).map_err(|error| words(&error))?;
        fs::write(rig.path("server.key"), &certificates.key_pem).map_err(|error| words(&error))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(rig.path("server.key"), mode).map_err(|error| words(&error))?;
        let path = rig.path("handover.toml");
        let text = fs::read_to_string(&path).map_err(|error| words(&error))?;
        let tls = "[tls]\ncertificate_file = \"server.crt\"\nkey_file = \"server.key\"\n\n[[group]]\n\
                   audit_reads = \"closed\"";
        fs::write(&path, text.replacen("[[group]]", tls, 1)).map_err(|error| words(&error))?;

        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&setting.handover).arg("serve");
        command.current_dir(rig.path("")).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(rig.path("log")).map_err(|error| words(&error))?);
        let child = command.spawn().map_err(|error| words(&error))?;
        let port = rig.url().rsplit(':').next().and_then(|port| port.parse().ok()).ok_or("the URL has no port")?;
        let query = Query {
            port,
            ca_pem: certificates.ca_pem,
            path: format!("/v1/groups/{GROUP}/secret"),
            credential: format!("authorization: Bearer {}", token.trim()),
        };
        let controller = Self { child, query, _rig: rig };
        controller.ready()?;
        Ok(controller)
    }

    fn ready(&self) -> Result<(), Trouble> {
        let limit = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.query.port)).is_err() {
            if Instant::now() > limit {
                return Err("the controller did not open its port".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        load::once(&self.query, "GET", "").map(drop)
    }

    fn query(&self, query: &str) -> Query {
        Query { path: format!("{}{query}", self.query.path), ..self.query.clone() }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // An error means that it has ended already, which the wait finds.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
