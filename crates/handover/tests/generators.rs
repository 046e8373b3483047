//! Values of every kind that there is, with the real binary and a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::path::Path;

use handover_testkit::rig::{GROUP, Options, Rig};

use crate::consumer::{CONSUMER, Consumer};

const POLICY: &str =
    "passes_min = 1\nquiet_min = \"100ms\"\nbrake_for = \"100ms\"\noverlap_min = \"0s\"\npoll = \"50ms\"";

/// Stands for the whole path of the program that makes values.
const PROGRAM: &str = "make-a-value";

fn rig(generate: &str) -> Rig {
    let policy = format!("{POLICY}\n[group.generate]\n{generate}");
    let options = Options { consumers: vec![CONSUMER], policy, fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    let configuration = std::fs::read_to_string(rig.path("handover.toml")).unwrap();
    let program = rig.path(PROGRAM);
    std::fs::write(rig.path("handover.toml"), configuration.replace(PROGRAM, program.to_str().unwrap())).unwrap();
    rig.start(&[]).unwrap();
    rig
}

/// The value that is published, as `handover get` prints it.
fn value(rig: &Rig) -> String {
    rig.token_file("reader", "consumer").unwrap();
    let mut get = rig.command(&["get", GROUP, "--peek"]);
    let output = get.env("HANDOVER_TOKEN_FILE", rig.path("reader.token")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Two rotations, so that one value replaces another; what was published, and that it lets the consumer in.
async fn rotated(generate: &str) -> [String; 2] {
    let rig = rig(generate);
    rig.succeed(&["rotate", GROUP]).unwrap();
    let consumer = Consumer::start(&rig).await;
    consumer.holds(1).await;
    consumer::wait(&rig, "rest", |status| status["rotation"]["phase"] == "done").await;
    let first = value(&rig);
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    consumer.holds(2).await;
    consumer.dialler.dial(&consumer.live.current()).await.unwrap();
    [first, value(&rig)]
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_fixed_form_let_in() {
    let hyphens = |value: &str| value.bytes().filter(|byte| *byte == b'-').count();
    let [first, second] = rotated("kind = \"uuid\"").await;
    assert!(
        first != second && [&first, &second].iter().all(|value| value.len() == 36 && hyphens(value) == 4),
        "{first}"
    );
    let [first, second] = rotated("kind = \"hex\"\nlength = 64").await;
    assert!(first != second && first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    let [first, second] = rotated("kind = \"passphrase\"\nwords = 9").await;
    assert!(first != second && hyphens(&first) == 8 && hyphens(&second) == 8, "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_makes_values_and_its_mistakes_go_nowhere() {
    let rig = rig(&format!("kind = \"process\"\ncommand = [\"/bin/sh\", \"{PROGRAM}\"]"));
    let makes = |script: &str| std::fs::write(rig.path(PROGRAM), script).unwrap();
    makes("echo 'made {by} a \"program\"'");
    rig.succeed(&["rotate", GROUP]).unwrap();
    let consumer = Consumer::start(&rig).await;
    consumer.holds(1).await;
    consumer::wait(&rig, "rest", |status| status["rotation"]["phase"] == "done").await;
    assert_eq!(value(&rig), "made {by} a \"program\"");

    // The same again, then nothing, then what is no value: each waits in Stage, with words, and repeats nothing.
    rig.succeed(&["rotate", GROUP]).unwrap();
    consumer::wait(&rig, "stage", |status| status["rotation"]["phase"] == "stage").await;
    let told = async |part: &str| {
        consumer::wait(&rig, part, |_| rig.succeed(&["explain", GROUP]).is_ok_and(|told| told.contains(part))).await;
    };
    told("the value that is in force").await;
    makes("true");
    told("an empty value").await;
    makes("echo canary-4711; exit 9");
    told("it ended with 9").await;
    assert!(!rig.said().contains("canary-4711"), "{}", rig.said());
    makes("echo of another make");
    consumer.holds(2).await;
    assert_eq!(value(&rig), "of another make");
}
