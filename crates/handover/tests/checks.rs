//! Checks with the real binary and a real PostgreSQL: what fails before publishing and after goes back, what says nothing is
//! waited for, and the credential is told to nobody.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::path::Path;

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use handover_testkit::servers::{Answer, CONTRACTS, Provider};

use crate::consumer::{CONSUMER, Consumer};

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"200ms\"\nbrake_for = \"0\"\npasses_min = 2";

/// An installation with these checks, in which one rotation succeeded.
async fn rotated(checks: &str) -> (Rig, Consumer) {
    let options = Options { consumers: vec![CONSUMER], policy: format!("{POLICY}\n\n{checks}"), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    let told = rig.succeed(&["check"]).unwrap();
    assert!(told.contains("group app: check "), "{told}");
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    consumer::wait(&rig, "a publication", |status| status["publication"] == 1).await;
    let consumer = Consumer::start(&rig).await;
    ends(&rig, "success").await;
    (rig, consumer)
}

async fn ends(rig: &Rig, how: &str) {
    let status = consumer::wait(rig, how, |status| status["rotation"]["phase"] == "done").await;
    assert_eq!(status["rotation"]["status"], how, "{status:#}\n{}", rig.succeed(&["history", GROUP]).unwrap());
}

fn sql(when: &str) -> String {
    format!(
        "[[group.check]]\nname = \"orders-open\"\nkind = \"sql\"\nwhen = [\"{when}\"]\nexpected = \"0\"\n\
         statement = \"SELECT count(*) FROM app.orders WHERE note = 'blocked'\"\n"
    )
}

fn block(rig: &Rig, blocked: bool) {
    let statement = if blocked {
        "INSERT INTO app.orders (note) VALUES ('blocked')"
    } else {
        "DELETE FROM app.orders WHERE note = 'blocked'"
    };
    rig.postgres.execute(DATABASE, statement).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_fails_before_publishing_goes_back_unpublished() {
    let (rig, consumer) = rotated(&sql("before_publish")).await;
    let first = consumer.holds(1).await;
    block(&rig, true);
    rig.succeed(&["rotate", GROUP]).unwrap();
    ends(&rig, "rolled_back").await;
    assert_eq!(consumer::status(&rig)["publication"], 1, "nothing was published");
    consumer.dialler.dial(&first).await.unwrap();
    let told = rig.succeed(&["history", GROUP]).unwrap();
    for words in ["orders-open", "the statement gives something else than expected", "at endpoint primary"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    block(&rig, false);
    rig.succeed(&["rotate", GROUP]).unwrap();
    ends(&rig, "success").await;
    consumer.holds(3).await;
}

/// The old one is valid until the checks passed, so that consumers go back to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_fails_after_publishing_goes_back_to_the_old_one() {
    let (rig, consumer) = rotated(&sql("after_publish")).await;
    let first = consumer.holds(1).await;
    block(&rig, true);
    rig.succeed(&["rotate", GROUP]).unwrap();
    ends(&rig, "rolled_back").await;
    assert_eq!(consumer::status(&rig)["publication"], 3, "published, and published back");
    consumer.holds(1).await;
    consumer.dialler.dial(&first).await.unwrap();
    assert_eq!(consumer.refused.load(std::sync::atomic::Ordering::Relaxed), 0, "nobody was refused meanwhile");
    block(&rig, false);
    rig.succeed(&["rotate", GROUP]).unwrap();
    ends(&rig, "success").await;
}

/// F92, S24: while a server says nothing of the credential, the rotation waits, names the check, and goes on when it does.
/// Neither what it answered nor the credential is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_nothing_is_waited_for_and_named() {
    let contract = CONTRACTS.iter().find(|contract| contract.name == "stripe").unwrap();
    let provider = Provider::start(*contract, "another").unwrap();
    let check = format!(
        "[[group.check]]\nname = \"api\"\nkind = \"http\"\npack = \"stripe\"\nurl = \"{}\"\nallow_private = true\n\
         when = [\"after_publish\"]\ntimeout_ms = 300\n",
        provider.url("/v1/balance")
    );
    provider.always(Answer::Status(200, "{}"));
    let (rig, consumer) = rotated(&check).await;
    provider.order([Answer::Nothing, Answer::Hang]);
    provider.always(Answer::Status(503, "canary-answer"));
    rig.succeed(&["rotate", GROUP]).unwrap();
    let mut told = String::new();
    consumer::wait(&rig, "the check is named", |_| {
        told = rig.succeed(&["explain", GROUP]).unwrap();
        told.contains("check api came to nothing: it answered 503")
    })
    .await;
    assert_eq!(consumer::status(&rig)["rotation"]["phase"], "propagate", "{told}");
    assert!(told.contains("0 of 2 rounds of checks passed in a row"), "{told}");
    rig.succeed(&["rollback", GROUP]).unwrap();
    ends(&rig, "rolled_back").await;
    let values: Vec<String> = provider
        .heads()
        .iter()
        .filter_map(|head| head.split_once("Bearer ").or_else(|| head.split_once("bearer ")))
        .filter_map(|(_, rest)| rest.lines().next().map(str::to_owned))
        .collect();
    assert!(values.len() > 4 && values.iter().all(|value| value.len() == 40), "the check presented the credential");
    let audit = std::fs::read_to_string(rig.path("audit.jsonl")).unwrap();
    for output in [audit, rig.said(), rig.succeed(&["history", GROUP]).unwrap(), told] {
        assert!(!output.contains("canary-answer"), "{output}");
        assert!(values.iter().all(|value| !output.contains(value)), "a credential was told");
    }
    consumer.holds(1).await;
}
