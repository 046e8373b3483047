//! An installation that has rotated once, with a consumer at work.

use std::path::Path;
use std::sync::atomic::Ordering;

use handover_sdk::Credential;
use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use handover_testkit::servers::Proxy;
use serde_json::Value;

use crate::consumer::{self, CONSUMER, Consumer};

/// Another one that is waited for. It does only what a test makes it do.
pub(crate) const SLOW: &str = "slow";
pub(crate) const POLICY: &str = "passes_min = 1\nquiet_min = \"500ms\"\nbrake_for = \"0s\"\npoll = \"100ms\"";

pub(crate) struct Stage {
    pub(crate) rig: Rig,
    pub(crate) proxy: Proxy,
    pub(crate) consumer: Consumer,
}

impl Stage {
    pub(crate) async fn set(policy: &str, consumers: Vec<&'static str>) -> Self {
        let slow = consumers.contains(&SLOW);
        let options = Options { consumers, policy: policy.to_owned(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let proxy = Proxy::start(rig.postgres.port()).unwrap();
        edit(&rig, &format!("port = {} ", rig.postgres.port()), &format!("port = {} ", proxy.port()));
        edit(&rig, "database =", "connect_timeout_ms = 1000\nstatement_timeout_ms = 1000\ndatabase =");
        rig.token_file(SLOW, "consumer").unwrap();
        rig.start(&[]).unwrap();
        rig.succeed(&["rotate", GROUP]).unwrap();
        let consumer = Consumer::start(&rig).await;
        let stage = Self { rig, proxy, consumer };
        if slow {
            stage.wait("the first publication", |status| status["rotation"]["phase"] == "propagate").await;
            stage.slow_moves();
        }
        stage.ends_as("success").await;
        stage
    }

    pub(crate) fn status(&self) -> Value {
        consumer::status(&self.rig)
    }

    pub(crate) async fn wait(&self, what: &str, holds: impl FnMut(&Value) -> bool) -> Value {
        consumer::wait(&self.rig, what, holds).await
    }

    pub(crate) async fn comes_to(&self, phase: &str) {
        self.wait(phase, |status| status["rotation"]["phase"] == phase).await;
    }

    pub(crate) async fn waits_for(&self, kind: &str) -> Value {
        self.wait(kind, |status| {
            let all = status["rotation"]["waiting_for"].as_array();
            all.is_some_and(|all| all.iter().any(|blocker| blocker["kind"] == kind))
        })
        .await
    }

    /// Waits until `handover explain` says so.
    pub(crate) async fn explains(&self, words: &str) {
        self.wait(words, |_| self.rig.succeed(&["explain", GROUP]).unwrap().contains(words)).await;
    }

    /// Adds an endpoint to the group's, while the controller is away.
    pub(crate) fn add_endpoint(&self, endpoint: &str) {
        self.rig.stop().unwrap();
        let there = format!("port = {} }}", self.proxy.port());
        edit(&self.rig, &there, &format!("{there}, {endpoint}"));
        self.rig.start(&[]).unwrap();
    }

    /// The rotation ends so, and nobody was refused on the way.
    pub(crate) async fn ends_as(&self, wanted: &str) {
        let status = self.wait("the end", |status| status["rotation"]["phase"] == "done").await;
        assert_eq!(status["rotation"]["status"], wanted, "{status:#}");
        let generation = status["current"]["generation"].as_u64().unwrap();
        let published = self.consumer.holds(generation).await;
        assert!(self.consumer.dialler.dial(&published).await.is_ok(), "what the store publishes is refused");
        assert_eq!(self.consumer.refused.load(Ordering::Relaxed), 0, "the consumer was refused with what it held");
        self.rig.succeed(&["audit", "verify"]).unwrap();
    }

    pub(crate) fn order(&self, verb: &str) {
        self.rig.succeed(&[verb, GROUP]).unwrap();
    }

    /// Fetches what is published and vouches for its use.
    pub(crate) fn slow_moves(&self) {
        let mut command = self.rig.command(&["get", GROUP, "--ack", "used"]);
        let output = command.env("HANDOVER_TOKEN_FILE", self.rig.path("slow.token")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A session as an application has it.
    pub(crate) async fn session(&self, with: &Credential) -> tokio_postgres::Client {
        self.consumer.dialler.dial(with).await.unwrap()
    }

    pub(crate) async fn lets_in(&self, with: &Credential) -> bool {
        self.consumer.dialler.dial(with).await.is_ok()
    }

    pub(crate) fn sql(&self, statements: &str) {
        self.rig.postgres.execute(DATABASE, statements).unwrap();
    }
}

/// Whom most tests have.
pub(crate) fn alone() -> Vec<&'static str> {
    vec![CONSUMER]
}

pub(crate) fn both() -> Vec<&'static str> {
    vec![CONSUMER, SLOW]
}

pub(crate) fn edit(rig: &Rig, from: &str, to: &str) {
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}
