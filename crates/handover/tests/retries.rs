//! A rotation that failed is tried once more, as often as the policy says, and a start of the process changes nothing in that.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use serde_json::Value;

use crate::consumer::{CONSUMER, Consumer, status, wait};

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"100ms\"\nbrake_for = \"0s\"\npasses_min = 1\nmax_retries = 2\n\
                      retry_after = \"1s\"\nmax_old_lifetime = \"1s\"\n\n[[group.check]]\nname = \"orders-open\"\nkind = \"sql\"\n\
                      when = [\"before_publish\"]\nexpected = \"0\"\n\
                      statement = \"SELECT count(*) FROM app.orders WHERE note = 'blocked'\"\n";

fn block(rig: &Rig, statement: &str) {
    rig.postgres.execute(DATABASE, statement).unwrap();
}

/// The attempts that were started, oldest first: the how manyth each was.
fn attempts(rig: &Rig) -> Vec<String> {
    let out = rig.succeed(&["history", GROUP, "--limit", "500", "--output", "json"]).unwrap();
    let out: Value = serde_json::from_str(&out).unwrap();
    let started = out["records"].as_array().unwrap().iter().filter(|record| record["event"] == "started");
    let mut all: Vec<(u64, String)> = started
        .map(|record| {
            let retry = record["fields"]["retry"].as_str().unwrap_or("0").to_owned();
            (record["position"].as_u64().unwrap(), retry)
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, retry)| retry).collect()
}

async fn fails(rig: &Rig, generation: u64) {
    wait(rig, &format!("the failure of generation {generation}"), |status| {
        status["rotation"]["status"] == "rolled_back" && status["rotation"]["to"]["generation"] == generation
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_tried_as_often_as_the_policy_says_whoever_restarts() {
    let options = Options { consumers: vec![CONSUMER], policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    wait(&rig, "a publication", |status| status["publication"] == 1).await;
    let consumer = Consumer::start(&rig).await;
    wait(&rig, "the first end", |status| status["rotation"]["status"] == "success").await;

    block(&rig, "INSERT INTO app.orders (note) VALUES ('blocked')");
    rig.succeed(&["rotate", GROUP]).unwrap();
    fails(&rig, 2).await;
    let told = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(told.contains("tried once more, attempt 1 of 2"), "{told}");
    // A process that starts begins nothing for that, and forgets nothing.
    rig.kill();
    rig.start(&[]).unwrap();
    fails(&rig, 3).await;
    rig.kill();
    rig.start(&[]).unwrap();
    fails(&rig, 4).await;
    assert_eq!(attempts(&rig), ["0", "0", "1", "2"]);
    let told = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(!told.contains("tried once more"), "two were made: {told}");

    // What a person starts counts from the beginning, and the next attempt finds the world as it should be.
    rig.succeed(&["rotate", GROUP]).unwrap();
    fails(&rig, 5).await;
    block(&rig, "DELETE FROM app.orders WHERE note = 'blocked'");
    wait(&rig, "the attempt that succeeds", |status| {
        status["rotation"]["status"] == "success" && status["current"]["generation"] == 6
    })
    .await;
    assert_eq!(attempts(&rig), ["0", "0", "1", "2", "0", "1"]);
    consumer.holds(6).await;
    rig.succeed(&["audit", "verify"]).unwrap();
}

/// An old credential that outlives its successor's publication for longer than allowed is alerted, until it is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_credential_that_lives_too_long_is_alerted() {
    // Nobody acknowledges for this consumer.
    let options = Options { consumers: vec!["worker"], policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    let alerted =
        || String::from_utf8(rig.run(&["status"]).unwrap().stderr).unwrap().contains("alert old_lifetime of app");
    let until = |what: &str, holds: bool| {
        let limit = Instant::now() + Duration::from_secs(60);
        while alerted() != holds {
            assert!(Instant::now() < limit, "{what}: {:#}", status(&rig));
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    rig.succeed(&["rotate", GROUP]).unwrap();
    wait(&rig, "its consumer", |status| status["rotation"]["phase"] == "propagate").await;
    rig.succeed(&["force", GROUP, "--reason", "there is none"]).unwrap();
    wait(&rig, "the first end", |status| status["rotation"]["status"] == "success").await;
    assert!(!alerted(), "the first one replaces nothing");
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("the alert", true);
    rig.succeed(&["force", GROUP, "--reason", "there is none"]).unwrap();
    rig.succeed(&["force", GROUP, "--reason", "there is none"]).unwrap();
    until("its end", false);
}
