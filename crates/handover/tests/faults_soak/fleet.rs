//! The installation: one PostgreSQL, one controller that reaches it through a proxy alone, and several groups.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use handover_testkit::rig::{Options, Rig};
use handover_testkit::servers::postgres::Roles;
use handover_testkit::servers::{Proxy, free_port};
use serde_json::Value;

pub(crate) const GROUPS: [&str; 4] = ["app", "orders", "reports", "search"];
/// How each group's consumers work.
pub(crate) const HABITS: [&str; 2] = ["pool", "job"];

const POLICY: &str =
    "passes_min = 2\nquiet_min = \"1s\"\noverlap_min = \"200ms\"\nbrake_for = \"500ms\"\npoll = \"150ms\"";
const PATIENCE: Duration = Duration::from_secs(180);
/// After PostgreSQL is there again: how long its consumers may still meet what the restart left behind.
const AFTERMATH: Duration = Duration::from_secs(2);

pub(crate) struct Fleet {
    pub(crate) rig: Rig,
    pub(crate) proxy: Proxy,
    pub(crate) roles: Vec<Roles>,
    /// Where consumers, judges and operators find whichever controller is in charge.
    front: Proxy,
    successor: Mutex<Option<Child>>,
    successor_port: u16,
    /// Odd while PostgreSQL is down, for those who must not count what fails then.
    outages: AtomicU64,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.end_succession();
    }
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let options = Options { consumers: vec![], policy: POLICY.to_owned(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let proxy = Proxy::start(rig.postgres.port()).unwrap();
        let mut roles = vec![rig.roles.clone()];
        for group in &GROUPS[1..] {
            let made = rig.postgres.create_roles(group).unwrap();
            rig.postgres.execute("postgres", &format!("CREATE DATABASE {group}")).unwrap();
            roles.push(made);
        }
        let front = Proxy::start(rig.port()).unwrap();
        let (successor, successor_port) = (Mutex::new(None), free_port().unwrap());
        let fleet = Self { rig, proxy, roles, front, successor, successor_port, outages: AtomicU64::new(0) };
        for (group, roles) in GROUPS.iter().zip(&fleet.roles) {
            fleet.write(&format!("{group}.password"), &roles.admin_password);
        }
        fleet.write("handover.toml", &fleet.configuration(fleet.rig.port(), "audit.jsonl"));
        fleet.write("successor.toml", &fleet.configuration(successor_port, "successor.jsonl"));
        fleet.token("chief", "operator");
        fleet.token("judge", "consumer");
        fleet
    }

    fn configuration(&self, port: u16, audit: &str) -> String {
        let mut text = format!("listen = \"127.0.0.1:{port}\"\naudit_file = \"{audit}\"\n");
        let (port, ca) = (self.proxy.port(), self.rig.postgres.ca_path());
        for (group, Roles { owner, twins: [a, b], admin, .. }) in GROUPS.iter().zip(&self.roles) {
            let consumers: Vec<String> =
                HABITS.iter().map(|habit| format!("{{ name = \"{habit}-{group}\" }}")).collect();
            write!(
                text,
                "\n[[group]]\nname = \"{group}\"\nconsumers = [{}]\n\n[group.policy]\n{POLICY}\n\n[group.target]\n\
                 kind = \"postgres\"\nendpoints = [{{ name = \"primary\", host = \"127.0.0.1\", port = {port} }}]\n\
                 database = \"{group}\"\nca_file = \"{}\"\nowner = \"{owner}\"\ntwins = [\"{a}\", \"{b}\"]\n\
                 admin = {{ user = \"{admin}\", password_file = \"{group}.password\" }}\n\
                 connect_timeout_ms = 2000\nstatement_timeout_ms = 3000\n",
                consumers.join(", "),
                ca.display()
            )
            .unwrap();
        }
        text
    }

    /// Makes a token for all groups and keeps it in a file.
    pub(crate) fn token(&self, identity: &str, role: &str) -> PathBuf {
        let mut arguments = vec!["token", "create", identity, "--role", role];
        GROUPS.iter().for_each(|group| arguments.extend(["--group", group]));
        let made = self.rig.succeed(&arguments).unwrap();
        let name = format!("{identity}.token");
        self.write(&name, made.trim());
        self.rig.path(&name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.rig.path(name);
        let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Where the controller is found, whichever it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.front.port())
    }

    /// A second controller takes the first one's place while that one stands still and holds its lock: the name of the
    /// lock goes, as if the files lay where locks are not kept.
    pub(crate) fn be_succeeded(&self, environment: &[(&str, &str)]) -> Result<(), String> {
        std::fs::remove_file(self.rig.path("state.db.lock")).map_err(|error| error.to_string())?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.rig.path("successor.log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_handover"), "serve"]);
        command.args(["--config", "successor.toml"]).current_dir(self.rig.path("")).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        *self.successor.lock().unwrap_or_else(PoisonError::into_inner) = Some(command.spawn().unwrap());
        self.front.lead_to(self.successor_port);
        self.front.cut();
        let limit = Instant::now() + PATIENCE;
        while self.status(GROUPS[0]).is_none() {
            let said = std::fs::read_to_string(self.rig.path("successor.log")).unwrap();
            let mut successor = self.successor.lock().unwrap_or_else(PoisonError::into_inner);
            let ended = successor.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > limit {
                return Err(format!(
                    "the successor does not answer; it said: {:?}",
                    said.lines().rfind(|line| line.starts_with("error"))
                ));
            }
            drop(successor);
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The successor, if there is one, is killed, and whoever asks is led to the first controller again.
    pub(crate) fn end_succession(&self) {
        if let Some(mut child) = self.successor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            child.kill().unwrap();
            child.wait().unwrap();
            self.front.lead_to(self.rig.port());
            self.front.cut();
        }
    }

    /// A verb, with the token of the operator or of another.
    pub(crate) fn run(&self, who: &str, arguments: &[&str]) -> Output {
        let mut command = self.rig.command(arguments);
        command
            .env("HANDOVER_URL", self.url())
            .env("HANDOVER_TOKEN_FILE", self.rig.path(&format!("{who}.token")))
            .output()
            .unwrap()
    }

    /// The group's status, if the controller says it.
    pub(crate) fn status(&self, group: &str) -> Option<Value> {
        let output = self.run("chief", &["status", group, "--output", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits until no rotation is live. What is held is let go.
    pub(crate) fn come_to_rest(&self) -> Result<(), String> {
        GROUPS.iter().try_for_each(|group| self.group_comes_to_rest(group))
    }

    /// Waits until the group has no live rotation. What is held is let go.
    pub(crate) fn group_comes_to_rest(&self, group: &str) -> Result<(), String> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let status = self.status(group).unwrap_or_default();
            if status["rotation"]["phase"] == "done" {
                return Ok(());
            }
            if !status["rotation"]["hold"].is_null() {
                self.run("chief", &["resume", group]);
            }
            if Instant::now() > limit {
                return Err(format!("{group} does not come to rest; last seen {status:#}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Who is logged in as a user of the group: the client's name for itself, the user, and what it does.
    pub(crate) fn sessions(&self, group: &str) -> Vec<String> {
        let index = GROUPS.iter().position(|known| *known == group).unwrap();
        let [a, b] = &self.roles[index].twins;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let superuser = self.rig.postgres.superuser("postgres").await.unwrap();
            let statement = "SELECT concat_ws(' ', application_name, usename, state, backend_start) \
                             FROM pg_stat_activity WHERE usename IN ($1, $2)";
            let rows = superuser.query(statement, &[a, b]).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        })
    }

    /// Stops PostgreSQL and starts it again.
    pub(crate) fn restart_postgres(&self) {
        self.outages.fetch_add(1, Ordering::SeqCst);
        self.rig.postgres.restart().unwrap();
        std::thread::sleep(AFTERMATH);
        self.outages.fetch_add(1, Ordering::SeqCst);
    }

    /// A number that is the same before and after something only if PostgreSQL was there all the while, and whether it
    /// is there now.
    pub(crate) fn outages(&self) -> (u64, bool) {
        let outages = self.outages.load(Ordering::SeqCst);
        (outages, outages.is_multiple_of(2))
    }
}
