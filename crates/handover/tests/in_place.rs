//! One password written over another, with the real binary and a real PostgreSQL: forward, back, and killed on the way.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::path::Path;
use std::time::Duration;

use handover_sdk::Credential;
use handover_sdk::postgres::DialError;
use handover_testkit::rig::{GROUP, Options, Rig};
use serde_json::Value;

use crate::consumer::{CONSUMER, Consumer};

const POLICY: &str = "strategy = \"immediate\"\naccept_outage = true\npasses_min = 1\npoll = \"100ms\"";

struct Stage {
    rig: Rig,
    consumer: Consumer,
}

impl Stage {
    async fn set(others: &[&'static str]) -> Self {
        let options = Options { consumers: [&[CONSUMER], others].concat(), policy: POLICY.to_owned(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        rig.start(&[]).unwrap();
        for other in others {
            rig.token_file(other, "consumer").unwrap();
        }
        rig.succeed(&["rotate", GROUP]).unwrap();
        let consumer = Consumer::start(&rig).await;
        Self { rig, consumer }
    }

    async fn until_phase(&self, phase: &str) -> Value {
        consumer::wait(&self.rig, phase, |status| status["rotation"]["phase"] == phase).await
    }

    async fn ends(&self, how: &str) {
        let status = self.until_phase("done").await;
        assert_eq!(status["rotation"]["status"], how, "{status:#}");
    }

    fn worker_loads(&self) {
        let mut worker = self.rig.command(&["get", GROUP, "--ack", "loaded"]);
        let output = worker.env("HANDOVER_TOKEN_FILE", self.rig.path("worker.token")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn is_let_in(&self, credential: &Credential) {
        self.consumer.dialler.dial(credential).await.unwrap();
    }

    async fn is_refused(&self, credential: &Credential) {
        let refused = self.consumer.dialler.dial(credential).await;
        assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_gets_one_password_after_the_other() {
    let stage = Stage::set(&[]).await;
    stage.ends("success").await;
    let plan = stage.rig.succeed(&["plan", GROUP]).unwrap();
    assert!(plan.contains("write it over the old one") && !plan.contains("drain"), "{plan}");
    let mut before = stage.consumer.holds(1).await;
    for generation in 2..=3 {
        stage.rig.succeed(&["rotate", GROUP]).unwrap();
        stage.ends("success").await;
        let now = stage.consumer.holds(generation).await;
        assert_eq!(now.user(), before.user(), "the user stays");
        stage.is_let_in(&now).await;
        stage.is_refused(&before).await;
        before = now;
    }
    stage.rig.succeed(&["audit", "verify"]).unwrap();
}

/// The target first, then the store, then the consumers. The controller is killed right before and right after the old
/// password is put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_puts_the_old_password_back() {
    let stage = Stage::set(&["worker"]).await;
    stage.worker_loads();
    stage.ends("success").await;
    let old = stage.consumer.holds(1).await;
    for (generation, point) in [(2, "before:put_back#1=kill"), (3, "after:put_back#1=kill")] {
        stage.rig.succeed(&["rotate", GROUP]).unwrap();
        stage.until_phase("propagate").await;
        let new = stage.consumer.holds(generation).await;
        stage.is_let_in(&new).await;
        stage.rig.stop().unwrap();
        stage.rig.start(&[("HANDOVER_FAULT_POINT", point)]).unwrap();
        let _ = stage.rig.run(&["rollback", GROUP]).unwrap();
        assert!(stage.rig.ends_within(Duration::from_secs(20)), "{point} was never reached: {}", stage.rig.said());
        stage.rig.kill();
        stage.rig.start(&[]).unwrap();
        stage.until_phase("return").await;
        stage.worker_loads();
        stage.ends("rolled_back").await;
        stage.consumer.holds(1).await;
        stage.is_let_in(&old).await;
        stage.is_refused(&new).await;
    }
    stage.rig.succeed(&["audit", "verify"]).unwrap();
}
