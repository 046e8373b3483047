//! Twin users of a Redis with the real binary: rotations under load at a master and its replica, and crashes. Nothing that a
//! consumer asks for fails, and no value is shown to whoever watches the server.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handover_sdk::{Client, Credential, Live, Options as ClientOptions};
use handover_testkit::rig::{Options, Rig};
use handover_testkit::servers::Certificates;
use handover_testkit::servers::redis::{Redis, SUPERUSER, Session, Twins, Users};
use serde_json::Value;

const CACHE: &str = "cache";
const WORKER: &str = "worker";
const PATIENCE: Duration = Duration::from_secs(60);

/// An installation whose second group is a Redis with a replica, and a consumer that works all the time.
struct Stage {
    rig: Rig,
    nodes: [Arc<Redis>; 2],
    users: Twins,
    live: Live<Credential>,
    load: Load,
}

/// What a consumer did.
#[derive(Clone, Default)]
struct Load {
    commands: Arc<AtomicU64>,
    logins: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Stage {
    async fn set(policy: &str) -> Self {
        let nodes = nodes();
        let users = nodes[0].create_users("app").unwrap();
        nodes[1].create_users_like(&users).unwrap();
        let options = Options { consumers: vec![], policy: String::new(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        write(&rig, "cache.password", &users.admin_password);
        let endpoint = |(name, node): (&str, &Arc<Redis>)| {
            format!("{{ name = \"{name}\", host = \"127.0.0.1\", port = {} }}", node.port())
        };
        let endpoints: Vec<String> = ["master", "replica"].into_iter().zip(&nodes).map(endpoint).collect();
        let (ca, [a, b], admin) = (nodes[0].path("ca.pem"), &users.twins, &users.admin);
        let group = format!(
            "\n[[group]]\nname = \"{CACHE}\"\nconsumers = [{{ name = \"{WORKER}\" }}]\n\n[group.policy]\n{policy}\n\n\
             [group.target]\nkind = \"redis\"\nendpoints = [{}]\nca_file = \"{}\"\ntwins = [\"{a}\", \"{b}\"]\n\
             admin = {{ user = \"{admin}\", password_file = \"cache.password\" }}\n",
            endpoints.join(", "),
            ca.display()
        );
        let configuration = fs::read_to_string(rig.path("handover.toml")).unwrap() + &group;
        write(&rig, "handover.toml", &configuration);
        for (identity, role) in [("cache-operator", "operator"), (WORKER, "consumer")] {
            let token = rig.succeed(&["token", "create", identity, "--group", CACHE, "--role", role]).unwrap();
            write(&rig, &format!("{identity}.token"), token.trim());
        }
        assert!(run(&rig, &["check", "--online"]).contains("cache"), "its target is looked at");
        rig.start(&[]).unwrap();
        run(&rig, &["rotate", CACHE]);
        let mut follow = ClientOptions::new(rig.url(), WORKER, rig.path(&format!("{WORKER}.token")));
        follow.poll = Duration::from_millis(200);
        follow.backoff_max = Duration::from_millis(200);
        let live = Client::new(follow).unwrap().live(CACHE).await.unwrap();
        let load = Load::default();
        for node in &nodes {
            load.work(Arc::clone(node), live.clone());
        }
        let stage = Self { rig, nodes, users, live, load };
        stage.ends("success").await;
        stage
    }

    fn status(&self) -> Value {
        serde_json::from_str(&run(&self.rig, &["status", CACHE, "--output", "json"])).unwrap()
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let limit = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < limit, "waited for {what}; last seen {status:#}\n{}", self.rig.said());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn ends(&self, how: &str) {
        let status = self.until("the end", |status| status["rotation"]["phase"] == "done").await;
        assert_eq!(status["rotation"]["status"], how, "{status:#}");
    }

    /// What is published is let in at every node; what was before is not; and nothing that was asked for failed.
    async fn judge(&self, before: &Credential, after: &str) {
        let generation = self.status()["current"]["generation"].as_u64().unwrap();
        let limit = Instant::now() + PATIENCE;
        while self.live.current().generation() != generation {
            assert!(Instant::now() < limit, "the consumer does not hold generation {generation}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for node in &self.nodes {
            assert!(log_in(node, &self.live.current()).await.is_ok(), "{after}: what is published is refused");
            if before.generation() != generation {
                assert!(log_in(node, before).await.is_err(), "{after}: the old generation is let in");
            }
        }
        let failed = self.load.failed.load(Ordering::Relaxed);
        assert_eq!(failed, 0, "{after}: the consumer was refused\n{}", self.rig.said());
    }

    /// No value of these is in anything that the servers show, keep or log.
    fn nothing_leaks(&self, values: &[Arc<Credential>]) {
        for node in &self.nodes {
            let log = node.log().unwrap();
            assert!(log.contains(&self.users.twins[0]), "what is asked must be shown, or the search proves nothing");
            for credential in values {
                assert!(!log.contains(password(credential)), "generation {}", credential.generation());
            }
            assert!(!log.contains(&self.users.admin_password));
        }
        let said = self.rig.said();
        assert!(values.iter().all(|credential| !said.contains(password(credential))));
    }
}

impl Load {
    /// Keeps a connection and logs in anew again and again, with what it holds.
    fn work(&self, node: Arc<Redis>, live: Live<Credential>) {
        let load = self.clone();
        tokio::spawn(async move {
            let mut open: Option<(u64, Session)> = None;
            while !load.over.load(Ordering::Relaxed) {
                let credential = live.current();
                if open.as_ref().is_none_or(|(publication, _)| *publication != credential.publication()) {
                    open = match log_in(&node, &credential).await {
                        Ok(session) => Some((credential.publication(), session)),
                        Err(()) if live.current().publication() != credential.publication() => continue,
                        Err(()) => {
                            load.failed.fetch_add(1, Ordering::Relaxed);
                            None
                        }
                    };
                }
                if let Some((publication, session)) = &open {
                    match session.ask(&["GET", "app:greeting"]).await {
                        Ok(_) => {
                            live.used(*publication);
                            load.commands.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => {
                            load.failed.fetch_add(1, Ordering::Relaxed);
                            open = None;
                        }
                    }
                }
                match log_in(&node, &credential).await {
                    Ok(_) => {
                        load.logins.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(()) if live.current().publication() != credential.publication() => {}
                    Err(()) => {
                        load.failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn nodes() -> [Arc<Redis>; 2] {
    let certificates = Certificates::generate().unwrap();
    let master = Redis::start_with(Users::AclFile, certificates.clone(), &[]).unwrap();
    let follow = [
        format!("replicaof 127.0.0.1 {}", master.port()),
        format!("masteruser {SUPERUSER}"),
        format!("masterauth {}", master.superuser_password()),
    ];
    let follow: Vec<&str> = follow.iter().map(String::as_str).collect();
    let replica = Redis::start_with(Users::AclFile, certificates, &follow).unwrap();
    [Arc::new(master), Arc::new(replica)]
}

fn write(rig: &Rig, name: &str, text: &str) {
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(rig.path(name));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// A command line of the operator of this group.
fn run(rig: &Rig, arguments: &[&str]) -> String {
    let mut command = rig.command(arguments);
    let output = command.env("HANDOVER_TOKEN_FILE", rig.path("cache-operator.token")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}\n{}", rig.said());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn password(credential: &Credential) -> &str {
    #[expect(clippy::disallowed_methods, reason = "a consumer presents the value")]
    let text = credential.value().expose_text();
    text.unwrap()
}

async fn log_in(node: &Redis, credential: &Credential) -> Result<Session, ()> {
    node.connect(credential.user().unwrap(), password(credential)).await.map_err(|_| ())
}

const QUICK: &str = "passes_min = 1\nquiet_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"100ms\"";

/// Three rotations and a way back: nothing that a consumer asks for at either node fails, and no value is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_under_load_fail_nothing_and_show_nothing() {
    let stage = Stage::set("passes_min = 2\nquiet_min = \"300ms\"\nbrake_for = \"1500ms\"\npoll = \"100ms\"").await;
    let mut values = vec![stage.live.current()];
    for _ in 0..3 {
        let before = stage.live.current();
        run(&stage.rig, &["rotate", CACHE]);
        stage.ends("success").await;
        stage.judge(&before, "a rotation").await;
        assert_ne!(stage.live.current().user(), before.user(), "the twins take turns");
        values.push(stage.live.current());
    }
    let before = stage.live.current();
    run(&stage.rig, &["rotate", CACHE]);
    stage.until("the new one", |_| stage.live.current().generation() != before.generation()).await;
    values.push(stage.live.current());
    let moved = stage.live.current();
    run(&stage.rig, &["rollback", CACHE]);
    stage.ends("rolled_back").await;
    stage.judge(&moved, "a rollback").await;
    stage.nothing_leaks(&values);
    let (commands, logins) = (stage.load.commands.load(Ordering::Relaxed), stage.load.logins.load(Ordering::Relaxed));
    assert!(commands > 100 && logins > 100, "{commands} commands, {logins} logins: the consumer did not work");
}

/// F01, F02, F88: killed before and after each change of a user, and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_act_on_a_twin() {
    let stage = Stage::set(QUICK).await;
    let mut crashes = 0;
    for act in ["accept", "refuse", "destroy"] {
        for when in ["before", "after"] {
            let before = stage.live.current();
            stage.rig.stop().unwrap();
            stage.rig.start(&[("HANDOVER_FAULT_POINT", &format!("{when}:{act}#1=kill"))]).unwrap();
            let mut rotate = stage.rig.command(&["rotate", CACHE]);
            let _ = rotate.env("HANDOVER_TOKEN_FILE", stage.rig.path("cache-operator.token")).output();
            if stage.rig.ends_within(Duration::from_secs(20)) {
                crashes += 1;
            }
            stage.rig.kill();
            stage.rig.start(&[]).unwrap();
            stage.ends("success").await;
            stage.judge(&before, &format!("killed {when} {act}")).await;
        }
    }
    assert_eq!(crashes, 6, "each point was come by");
}
