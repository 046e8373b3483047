//! The strategy `staged`, with the real binary, a real PostgreSQL, the embedded store and a real OpenBao: what is staged is
//! seen by nobody, outlives the process, and is cleared away.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use handover_testkit::servers::OpenBao;
use serde_json::{Value, json};

use crate::consumer::{CONSUMER, Consumer, wait};

const POLICY: &str = "strategy = \"staged\"\npasses_min = 1\nquiet_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"100ms\"";
const CURRENT: &str = "kv/data/handover/app";
const STAGED: &str = "kv/data/handover-staging/handover/app";

struct Stage {
    rig: Rig,
    bao: OpenBao,
}

impl Stage {
    fn set() -> Self {
        let bao = OpenBao::start().unwrap();
        let options = Options { consumers: vec![CONSUMER], policy: POLICY.to_owned(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let role = bao.role("handover", "kv", 3_600).unwrap();
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(rig.path("bao.secret"));
        std::io::Write::write_all(file.as_mut().unwrap(), role.secret_id.as_bytes()).unwrap();
        let store = format!(
            "[[remote_store]]\nkind = \"vault\"\nname = \"bao\"\nurl = \"{}\"\nca_file = \"{}\"\nmount = \"kv\"\n\
             auth = {{ kind = \"approle\", role_id = \"{}\", secret_id_file = \"bao.secret\" }}\n\n[[group]]\n",
            bao.url(),
            bao.ca_path().display(),
            role.role_id
        );
        let text = fs::read_to_string(rig.path("handover.toml")).unwrap();
        let text = format!("drift_every = \"1s\"\n{text}");
        let text = text.replacen("[[group]]\n", &format!("{store}stores = [\"embedded\", \"bao\"]\n"), 1);
        fs::write(rig.path("handover.toml"), text).unwrap();
        Self { rig, bao }
    }

    /// What can be read there, if anything can.
    fn read(&self, path: &str) -> Option<Value> {
        let (status, answer) = self.bao.ask("GET", path, &Value::Null).unwrap();
        (status == 200).then(|| answer["data"]["data"].clone())
    }

    async fn ends_with(&self, generation: u64) {
        wait(&self.rig, &format!("generation {generation}"), |status| {
            status["rotation"]["phase"] == "done" && status["current"]["generation"] == generation
        })
        .await;
        let read = self.read(CURRENT).unwrap();
        let (user, password) = (read["user"].as_str().unwrap(), read["password"].as_str().unwrap());
        self.rig.postgres.connect(user, password, DATABASE).await.unwrap();
    }

    fn until_history_says(&self, event: &str) {
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

    /// Gives our role this policy.
    fn allow(&self, policy: &str) {
        self.bao.done("PUT", "sys/policies/acl/handover", &json!({ "policy": policy })).unwrap();
    }
}

/// F22: what a rotation staged before it died, or before its record was lost, is taken over or cleared, and the next
/// rotation is not in its way. What is staged is read by nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_staged_is_seen_by_nobody_and_outlives_the_process() {
    let stage = Stage::set();
    let rig = &stage.rig;
    let checked = rig.succeed(&["check", "--online"]).unwrap();
    assert!(checked.contains("nothing stands in the way"), "{checked}");
    rig.start(&[]).unwrap();
    let plan = rig.succeed(&["plan", GROUP]).unwrap();
    assert!(plan.contains("app, staged:") && plan.contains("stage it in bao, embedded, apart"), "{plan}");
    rig.succeed(&["rotate", GROUP]).unwrap();
    let consumer = Consumer::start(rig).await;
    stage.ends_with(1).await;
    assert_eq!(stage.read(STAGED), None, "what was promoted is not staged any more");

    // It dies after it staged, before that is recorded.
    let first = stage.read(CURRENT).unwrap();
    rig.stop().unwrap();
    rig.start(&[("HANDOVER_FAULT_POINT", "after:put_staged#1=kill")]).unwrap();
    let _ = rig.run(&["rotate", GROUP]).unwrap();
    assert!(rig.ends_within(Duration::from_secs(30)), "{}", rig.said());
    rig.kill();
    let staged = stage.read(STAGED).expect("the first of the stores by name");
    assert_eq!(stage.read(CURRENT).unwrap(), first, "nobody sees what is staged");
    let (user, password) = (staged["user"].as_str().unwrap(), staged["password"].as_str().unwrap());
    assert!(rig.postgres.connect(user, password, DATABASE).await.is_err(), "nor does the target know of it yet");
    rig.start(&[]).unwrap();
    stage.ends_with(2).await;
    let second = stage.read(CURRENT).unwrap();
    assert_eq!(second["password"], staged["password"], "it was taken over");
    assert_eq!(stage.read(STAGED), None);

    // What somebody left there is written over, and cleared away with the rest.
    stage.bao.done("POST", STAGED, &json!({ "data": { "password": "of a rotation that nobody knows" } })).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    stage.ends_with(3).await;
    assert_eq!(stage.read(STAGED), None);
    assert_eq!(consumer.refused.load(Ordering::Relaxed), 0, "of {}", consumer.logins.load(Ordering::Relaxed));
    let value = second["password"].as_str().unwrap();
    for place in [rig.said().as_bytes(), &fs::read(rig.path("audit.jsonl")).unwrap(), &stage.bao.at_rest().unwrap()] {
        assert!(!place.windows(value.len()).any(|window| window == value.as_bytes()), "a value is there in clear");
    }
    rig.succeed(&["audit", "verify"]).unwrap();
}

/// What cannot be cleared away is told, the rotation succeeds, and it is cleared as soon as that can be done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_cleared_away_is_litter_that_is_cleared_later() {
    let stage = Stage::set();
    let rig = &stage.rig;
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    let _consumer = Consumer::start(rig).await;
    stage.ends_with(1).await;
    let policy = stage.bao.done("GET", "sys/policies/acl/handover", &Value::Null).unwrap();
    let policy = policy["data"]["policy"].as_str().unwrap().to_owned();
    stage.allow(&policy.replace("kv/destroy/", "kv/no-longer/"));
    rig.succeed(&["rotate", GROUP]).unwrap();
    stage.ends_with(2).await;
    stage.until_history_says("litter");
    stage.until_history_says("alerted");
    assert!(stage.read(STAGED).is_some(), "nobody could clear it");
    let told = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(told.contains("of generation 1: store bao") && told.contains("of generation 2: store bao"), "{told}");
    let statistics = rig.succeed(&["stats", "--output", "json"]).unwrap();
    let statistics: Value = serde_json::from_str(&statistics).unwrap();
    assert_eq!(statistics["with_litter"], 1, "{statistics}");

    stage.allow(&policy);
    stage.until_history_says("litter_over");
    assert_eq!(stage.read(STAGED), None);
    let told = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(!told.contains("litter"), "{told}");
    stage.until_history_says("alert_over");
}
