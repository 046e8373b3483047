//! A group in two stores, the embedded one and a real OpenBao, with the real binary and a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use handover_testkit::servers::{Fate, Front, OpenBao};
use serde_json::{Value, json};

use crate::consumer::{CONSUMER, Consumer, wait};

const POLICY: &str = "passes_min = 1\nquiet_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"100ms\"";

/// Where the group's values are.
const DATA: &str = "kv/data/handover/app";

struct Stage {
    rig: Rig,
    bao: OpenBao,
}

impl Stage {
    /// Writes both stores into the configuration. Nothing runs yet.
    fn set(url: impl FnOnce(&OpenBao) -> String, options: &Options, stores: &str) -> Self {
        let bao = OpenBao::start().unwrap();
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), options).unwrap();
        let role = bao.role("handover", "kv", 3_600).unwrap();
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(rig.path("bao.secret"));
        std::io::Write::write_all(file.as_mut().unwrap(), role.secret_id.as_bytes()).unwrap();
        let url = url(&bao);
        let ca = if url.starts_with("https") {
            format!("ca_file = \"{}\"\n", bao.ca_path().display())
        } else {
            String::new()
        };
        let store = format!(
            "[[remote_store]]\nkind = \"vault\"\nname = \"bao\"\nurl = \"{url}\"\n{ca}mount = \"kv\"\n\
             auth = {{ kind = \"approle\", role_id = \"{}\", secret_id_file = \"bao.secret\" }}\n\n[[group]]\n",
            role.role_id
        );
        let text = fs::read_to_string(rig.path("handover.toml")).unwrap();
        let text = format!("drift_every = \"1s\"\n{text}");
        let text = text.replacen("[[group]]\n", &format!("{store}stores = [{stores}]\n"), 1);
        fs::write(rig.path("handover.toml"), text).unwrap();
        Self { rig, bao }
    }

    fn with_consumer() -> Self {
        let options = Options { consumers: vec![CONSUMER], policy: POLICY.to_owned(), fsync: false };
        Self::set(OpenBao::url, &options, "\"embedded\", \"bao\"")
    }

    /// Waits until the history of the group says this.
    fn is_told(&self, event: &str) {
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            let history = self.rig.succeed(&["history", GROUP, "--output", "json"]).unwrap();
            if history.contains(&format!("\"{event}\"")) {
                return;
            }
            assert!(Instant::now() < limit, "{event} is not told: {history}\n{}", self.rig.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What whoever reads there gets.
    fn read(&self) -> Value {
        self.bao.done("GET", DATA, &Value::Null).unwrap()["data"]["data"].clone()
    }

    fn versions(&self) -> usize {
        let answer = self.bao.done("GET", "kv/metadata/handover/app", &Value::Null).unwrap();
        answer["data"]["versions"].as_object().unwrap().len()
    }

    /// Logs in at the database with what is read there.
    async fn logs_in(&self) {
        let read = self.read();
        let (user, password) = (read["user"].as_str().unwrap(), read["password"].as_str().unwrap());
        self.rig.postgres.connect(user, password, DATABASE).await.unwrap();
    }

    async fn ends_with(&self, generation: u64) -> Value {
        let what = format!("generation {generation}");
        wait(&self.rig, &what, |status| {
            status["rotation"]["phase"] == "done" && status["current"]["generation"] == generation
        })
        .await
    }

    fn value_of_embedded(&self) -> String {
        let mut get = self.rig.command(&["get", GROUP]);
        let output = get.env("HANDOVER_TOKEN_FILE", self.rig.path("consumer.token")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// F21: one of two stores is down: what is published as a whole is the old generation, which stays valid, and it goes on
/// by itself when the store is back. Killed around both pointer moves, it comes to one version for each publication.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_published_when_both_stores_have_it() {
    let stage = Stage::with_consumer();
    let rig = &stage.rig;
    let checked = rig.succeed(&["check", "--online"]).unwrap();
    assert!(checked.contains("nothing stands in the way"), "{checked}");
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    let consumer = Consumer::start(rig).await;
    stage.ends_with(1).await;
    stage.logs_in().await;
    assert_eq!(stage.read()["password"], stage.value_of_embedded(), "both have the same value");
    let first = stage.read();

    stage.bao.kill();
    // The plan looks at both stores, and is refused while one is down.
    let refused = rig.run(&["rotate", GROUP]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("store bao") && said.contains("HO0101"), "{said}");
    stage.bao.start_again().unwrap();

    // It goes down in the middle: before the pointer moves, and the other store's has moved.
    rig.stop().unwrap();
    rig.start(&[("HANDOVER_FAULT_POINT", "before:point#1=kill")]).unwrap();
    let _ = rig.run(&["rotate", GROUP]).unwrap();
    assert!(rig.ends_within(Duration::from_secs(30)), "{}", rig.said());
    rig.kill();
    stage.bao.kill();
    rig.start(&[]).unwrap();
    let held = wait(rig, "the store that is down", |status| {
        status["rotation"]["phase"] == "publish" && status["rotation"]["waiting_for"].to_string().contains("bao")
    })
    .await;
    assert_eq!(held["current"]["generation"], 1, "as a whole it is not published: {held:#}");
    let (user, password) = (first["user"].as_str().unwrap(), first["password"].as_str().unwrap());
    rig.postgres.connect(user, password, DATABASE).await.unwrap();
    stage.bao.start_again().unwrap();
    stage.ends_with(2).await;
    stage.logs_in().await;
    assert_ne!(stage.read()["password"], first["password"]);

    for (generation, point) in [(3, "after:point#1=kill"), (4, "after:point#2=kill"), (5, "before:point#2=kill")] {
        rig.stop().unwrap();
        rig.start(&[("HANDOVER_FAULT_POINT", point)]).unwrap();
        let _ = rig.run(&["rotate", GROUP]).unwrap();
        assert!(rig.ends_within(Duration::from_secs(30)), "{point}: {}", rig.said());
        rig.kill();
        rig.start(&[]).unwrap();
        stage.ends_with(generation).await;
        stage.logs_in().await;
        assert_eq!(stage.read()["password"], stage.value_of_embedded());
    }
    assert_eq!(stage.versions(), 5, "one version for each publication");
    assert_eq!(consumer.refused.load(Ordering::Relaxed), 0, "of {}", consumer.logins.load(Ordering::Relaxed));
    let value = stage.value_of_embedded();
    let kept = stage.bao.at_rest().unwrap();
    for place in [kept.as_slice(), rig.said().as_bytes(), &fs::read(rig.path("audit.jsonl")).unwrap()] {
        assert!(!place.windows(value.len()).any(|window| window == value.as_bytes()), "a value is at rest in clear");
    }
    rig.succeed(&["audit", "verify"]).unwrap();
}

/// F86: a tool writes the old document back while nothing rotates: it is told, and stays.
/// F20: a person wrote a newer version: it stops and says so, and what they wrote stays until somebody orders otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_wrote_is_not_written_over() {
    let stage = Stage::with_consumer();
    let rig = &stage.rig;
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    let _consumer = Consumer::start(rig).await;
    stage.ends_with(1).await;
    // The old document, label and all, as a tool that keeps a copy of it would write it.
    let written = stage.read();
    stage.bao.done("POST", DATA, &json!({ "data": written })).unwrap();
    // F86: nothing rotates, and it is told all the same; nobody fights over it.
    stage.is_told("drifted");
    let told = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(told.contains("store bao holds what somebody else wrote"), "{told}");
    stage.is_told("alerted");
    rig.succeed(&["rotate", GROUP]).unwrap();
    let held = wait(rig, "drift", |status| !status["rotation"]["hold"].is_null()).await;
    assert_eq!(
        (&held["rotation"]["phase"], &held["current"]["generation"]),
        (&"publish".into(), &1.into()),
        "{held:#}"
    );
    let told = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(told.contains("bao") && told.contains("handover resume") && told.contains("handover rollback"), "{told}");
    assert_eq!((stage.read(), stage.versions()), (written, 2), "nothing was written over it");
    rig.succeed(&["resume", GROUP]).unwrap();
    stage.ends_with(2).await;
    stage.logs_in().await;
    stage.is_told("alert_over");
}

/// F16: a store that fails again and again: it is tried ever more slowly, and one version comes of it.
/// F17: its answer is lost, and then it never comes at all: the version that landed is found to be ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_for_a_while_gets_one_version() {
    let front = std::cell::OnceCell::new();
    let options =
        Options { consumers: Vec::new(), policy: POLICY.replace("\"0s\"\nbrake", "\"40s\"\nbrake"), fsync: false };
    let url = |bao: &OpenBao| front.get_or_init(|| Front::start(bao).unwrap()).url();
    let stage = Stage::set(url, &options, "\"bao\"");
    let (rig, front) = (&stage.rig, front.get().unwrap());
    rig.start(&[]).unwrap();
    front.order("POST /v1/kv/data", 2, &Fate::Answer(500, "{\"errors\":[\"canary-4711\"]}"));
    front.order("POST /v1/kv/data", 1, &Fate::Answer(503, "canary-4711"));
    front.order("POST /v1/kv/data", 1, &Fate::LoseAnswer);
    rig.succeed(&["rotate", GROUP]).unwrap();
    stage.ends_with(1).await;
    assert_eq!((front.pending(), stage.versions()), (0, 1));
    stage.logs_in().await;
    assert!(!rig.said().contains("canary"), "{}", rig.said());
    // Nobody fetches from us what is published elsewhere.
    rig.token_file("reader", "consumer").unwrap();
    let mut get = rig.command(&["get", GROUP]);
    let output = get.env("HANDOVER_TOKEN_FILE", rig.path("reader.token")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("published in bao alone"), "{said}");
}
