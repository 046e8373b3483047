//! Every notifier there is, against a real receiver.
#![cfg(feature = "notify")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::notify::{Notifier, NotifyConfig, NotifyKind};
use handover_core::port::{Record, Sink as _};
use handover_core::{FaultKind, GroupId, Timestamp};
use handover_secret::Secret;
use handover_testkit::servers::{Certificates, MailServer, Receiver, Reply};

const KEY: &str = "canary-key-of-at-least-24-bytes";
const OLD_KEY: &str = "canary-old-key-of-24-bytes-or-more";

fn record(position: u64, event: &str, fields: &str) -> Record {
    Record {
        position,
        group: GroupId::parse("orders").unwrap(),
        at: Timestamp(1_700_000_000_000),
        body: format!("{{\"event\":\"{event}\",\"actor\":\"engine\",\"fields\":{{{fields}}}}}"),
        hash: format!("{position:064x}"),
    }
}

fn rolled_back(position: u64) -> Record {
    record(position, "ended", "\"outcome\":\"rolled_back\"")
}

/// What names the event of a record.
fn id(position: u64) -> String {
    format!("{position:064x}")[..32].to_owned()
}

fn build(options: &str, ca_pem: Option<&str>, secrets: &[&str]) -> Arc<Notifier> {
    let config: NotifyConfig = toml::from_str(&format!("name = 'ops'\n{options}")).unwrap();
    let secrets = secrets.iter().map(|text| Secret::from_text((*text).to_owned())).collect();
    config.build(ca_pem.map(str::as_bytes), secrets).unwrap()
}

/// A receiver of one kind.
trait Harness {
    /// A new notifier, as after a start.
    fn open(&self) -> Arc<Notifier>;
    /// The ids of what arrived, in order.
    fn arrived(&self) -> Vec<String>;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_notifier_tells_what_was_chosen_at_least_once_under_one_id() {
    for kind in NotifyKind::ALL {
        // No wildcard: a notifier without a harness does not compile.
        let harness: Box<dyn Harness> = match kind {
            NotifyKind::Webhook => Box::new(Webhook(Receiver::start().unwrap())),
            NotifyKind::Slack => Box::new(Slack(Receiver::start().unwrap())),
            NotifyKind::Email => Box::new(Email { server: MailServer::start(true).unwrap(), security: "starttls" }),
            NotifyKind::Process => Box::new(Process(tempfile::tempdir().unwrap())),
        };
        obeys(&*harness).await;
    }
    // The other way to encrypt mail.
    obeys(&Email { server: MailServer::start(false).unwrap(), security: "tls" }).await;
}

async fn obeys(harness: &dyn Harness) {
    let notifier = harness.open();
    let records =
        [rolled_back(1), record(2, "read", ""), record(3, "ended", "\"outcome\":\"success\""), rolled_back(4)];
    notifier.deliver(&records).await.unwrap();
    assert_eq!(harness.arrived(), [id(1), id(4)], "what alarms nobody is not told");
    notifier.deliver(&records).await.unwrap();
    assert_eq!(harness.arrived().len(), 2, "this process told it");
    // As after a crash between the message and the cursor.
    harness.open().deliver(&records[3..]).await.unwrap();
    assert_eq!(harness.arrived(), [id(1), id(4), id(4)], "told again under the same id");
}

struct Webhook(Receiver);

impl Harness for Webhook {
    fn open(&self) -> Arc<Notifier> {
        let options = format!("kind = 'webhook'\nurl = '{}'\nkey_file = 'x'\nallow_private = true", self.0.url());
        build(&options, None, &[KEY])
    }

    fn arrived(&self) -> Vec<String> {
        let header = |head: &str| head.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap().to_owned();
        self.0.taken().iter().map(|request| header(&request.head)).collect()
    }
}

struct Slack(Receiver);

impl Harness for Slack {
    fn open(&self) -> Arc<Notifier> {
        build("kind = 'slack'\nurl_file = 'x'\nallow_private = true", None, &[&self.0.url()])
    }

    fn arrived(&self) -> Vec<String> {
        let id = |body: &str| {
            assert!(body.starts_with("{\"text\":\"orders: a rotation was taken back"), "{body}");
            body.rsplit_once('(').unwrap().1.split_once(')').unwrap().0.to_owned()
        };
        self.0.taken().iter().map(|request| id(&request.body)).collect()
    }
}

struct Email {
    server: MailServer,
    security: &'static str,
}

impl Harness for Email {
    fn open(&self) -> Arc<Notifier> {
        let (port, security) = (self.server.port(), self.security);
        let options = format!(
            "kind = 'email'\nhost = 'localhost'\nport = {port}\nsecurity = '{security}'\nca_file = 'x'\nuser = 'handover'\n\
             password_file = 'x'\nfrom = 'handover@example.org'\nto = ['ops@example.org']\nallow_private = true"
        );
        build(&options, Some(&self.server.certificates.ca_pem), &[&self.server.password])
    }

    fn arrived(&self) -> Vec<String> {
        let id = |text: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("Message-ID: <"));
            line.unwrap().split_once('@').unwrap().0.to_owned()
        };
        let taken = self.server.taken();
        assert!(taken.iter().all(|mail| mail.login && mail.to == ["ops@example.org"]), "{taken:?}");
        assert!(taken.iter().all(|mail| mail.text.contains("Subject: [handover] orders: a rotation was taken back")));
        taken.iter().map(|mail| id(&mail.text)).collect()
    }
}

struct Process(tempfile::TempDir);

impl Harness for Process {
    fn open(&self) -> Arc<Notifier> {
        let (program, out) = (self.0.path().join("page"), self.0.path().join("taken"));
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = 'two words; $(false)' ] || exit 9\nenv >> {0}.env\ncat >> {0}\n",
            out.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        build(&format!("kind = 'process'\ncommand = ['{}', 'two words; $(false)']", program.display()), None, &[])
    }

    fn arrived(&self) -> Vec<String> {
        let environment = std::fs::read_to_string(self.0.path().join("taken.env")).unwrap();
        let names: Vec<&str> =
            environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        // What the shell itself sets besides.
        assert!(names.iter().all(|name| ["PATH", "PWD", "SHLVL", "_", "OLDPWD"].contains(name)), "{environment}");
        let text = std::fs::read_to_string(self.0.path().join("taken")).unwrap();
        let id = |line: &str| line.strip_prefix("{\"id\":\"").unwrap().split_once('"').unwrap().0.to_owned();
        text.lines().map(id).collect()
    }
}

/// S25: a receiver with either key verifies, by an implementation that is not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_keys_sign_while_one_replaces_the_other() {
    let receiver = Receiver::start().unwrap();
    let options = format!(
        "kind = 'webhook'\nurl = '{}'\nkey_file = 'x'\nprevious_key_file = 'y'\nallow_private = true",
        receiver.url()
    );
    let base64 = "whsec_Y2FuYXJ5LWtleS1vZi1hdC1sZWFzdC0yNC1ieXRlcw==";
    build(&options, None, &[base64, OLD_KEY]).deliver(&[rolled_back(1)]).await.unwrap();
    let [request] = <[_; 1]>::try_from(receiver.taken()).unwrap();
    // The receiver lowers the case of heads, and signatures have both: so the one of the wire is computed, and compared so.
    let header = |name: &str| {
        let line = request.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap().to_owned()
    };
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let expected: Vec<String> = [KEY, OLD_KEY]
        .map(|key| format!("v1,{}", python_hmac(key, &format!("{id}.{timestamp}.{}", request.body))))
        .to_vec();
    assert_eq!(header("webhook-signature"), expected.join(" ").to_lowercase());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now - timestamp.parse::<u64>().unwrap() < 60, "{timestamp}");
    assert!(!format!("{}{}", request.head, request.body).contains("canary"), "{request:?}");
}

fn python_hmac(key: &str, message: &str) -> String {
    let script = "import base64, hashlib, hmac, sys\n\
                  print(base64.b64encode(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256).digest()).decode())";
    let output = Command::new("/usr/bin/python3").args(["-c", script, key, message]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// S23, S24, F92: what a receiver answers decides whether it has the message, and is told to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_for_its_status_and_is_reflected_nowhere() {
    let receiver = Receiver::start().unwrap();
    let harness = Webhook(receiver);
    for (status, kind) in [
        (302, FaultKind::Misconfigured),
        (401, FaultKind::NotPermitted),
        (404, FaultKind::Misconfigured),
        (400, FaultKind::Unsupported),
        (500, FaultKind::Busy),
    ] {
        harness.0.order([Reply::Status(status, "canary-answer")]);
        let before = harness.0.asked();
        let fault = harness.open().deliver(&[rolled_back(1)]).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{status}: {fault}");
        assert!(!fault.to_string().contains("canary") && !fault.to_string().contains("/in"), "{fault}");
        assert_eq!(harness.0.asked(), before + 1, "{status} is neither repeated nor followed");
    }
    assert_eq!(harness.arrived(), Vec::<String>::new());
}

/// F92: one that hangs is given up, and so is a program with all that it started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (program, pids) = (dir.path().join("hang"), dir.path().join("pids"));
    std::fs::write(&program, format!("#!/bin/sh\nsleep 600 &\necho $$ $! > {}\nwait\n", pids.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let process = build(&format!("kind = 'process'\ncommand = ['{}']", program.display()), None, &[]);
    let webhook = Webhook(Receiver::start().unwrap());
    webhook.0.order([Reply::Hang]);
    let begun = Instant::now();
    let (hook, records) = (webhook.open(), [rolled_back(1)]);
    let (one, two) = tokio::join!(hook.deliver(&records), process.deliver(&records));
    assert_eq!((one.unwrap_err().kind, two.unwrap_err().kind), (FaultKind::TimedOut, FaultKind::TimedOut));
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    let limit = Instant::now() + Duration::from_secs(10);
    let pids: Vec<u32> =
        std::fs::read_to_string(&pids).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    while pids.iter().any(|pid| runs(*pid)) {
        assert!(Instant::now() < limit, "{pids:?} run on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether it runs: one that has ended and was not waited for does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// S23: what leads to this machine is not gone to unless that is allowed, also by a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_to_this_machine_gets_nothing() {
    let (receiver, ca) = (Receiver::start().unwrap(), Certificates::generate().unwrap());
    let url = receiver.url().replace("http://127.0.0.1", "https://localhost");
    let options = format!("kind = 'webhook'\nurl = '{url}'\nkey_file = 'x'\nca_file = 'x'");
    let fault = build(&options, Some(&ca.ca_pem), &[KEY]).deliver(&[rolled_back(1)]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    assert!(fault.to_string().contains("allow_private"), "{fault}");
    let mail = MailServer::start(true).unwrap();
    let options = format!(
        "kind = 'email'\nhost = 'localhost'\nport = {}\nca_file = 'x'\nfrom = 'a@example.org'\nto = ['b@example.org']",
        mail.port()
    );
    let fault = build(&options, Some(&mail.certificates.ca_pem), &[]).deliver(&[rolled_back(1)]).await.unwrap_err();
    assert_eq!((fault.kind, receiver.asked(), mail.taken().len()), (FaultKind::Misconfigured, 0, 0), "{fault}");
}

/// A server that is somebody else, or does not know the login, gets no message; its words are told to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_refused_in_our_own_words() {
    let server = MailServer::start(true).unwrap();
    let options = format!(
        "kind = 'email'\nhost = 'localhost'\nport = {}\nca_file = 'x'\nuser = 'handover'\npassword_file = 'x'\n\
         from = 'a@example.org'\nto = ['b@example.org']\nallow_private = true",
        server.port()
    );
    let deliver = async |ca: &str, password: &str| {
        build(&options, Some(ca), &[password]).deliver(&[rolled_back(1)]).await.unwrap_err()
    };
    let fault = deliver(&server.certificates.ca_pem, "canary-wrong").await;
    assert_eq!(fault.kind, FaultKind::Unauthenticated, "{fault}");
    assert!(!fault.to_string().contains("canary"), "{fault}");
    let fault = deliver(&Certificates::generate().unwrap().ca_pem, &server.password).await;
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    assert_eq!(server.taken(), []);
}
