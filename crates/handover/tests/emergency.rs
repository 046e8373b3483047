//! Emergencies with the real binary and a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use serde_json::Value;

/// Long waits: an emergency does not keep them.
const POLICY: &str = "passes_min = 1\nquiet_min = \"1h\"\noverlap_min = \"1h\"\nbrake_for = \"200ms\"\npoll = \"50ms\"";
const LIMIT: Duration = Duration::from_secs(30);

fn rig(consumers: Vec<&'static str>, policy: &str) -> Rig {
    let options = Options { consumers, policy: format!("{POLICY}\n{policy}"), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(rig: &Rig, arguments: &[&str]) -> Value {
    serde_json::from_str(&rig.succeed(&[arguments, &["--output", "json"]].concat()).unwrap()).unwrap()
}

fn phase(rig: &Rig) -> String {
    json(rig, &["status", GROUP])["rotation"]["phase"].as_str().unwrap_or("none").to_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "never saw {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A consumer's command line: it loads what is published, and says so. What it loaded.
fn load(rig: &Rig, token: &Path) -> (String, String) {
    let get = |more: &[&str]| {
        let output = rig.command(&[&["get", GROUP], more].concat()).env("HANDOVER_TOKEN_FILE", token).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    (get(&["--field", "user"]), get(&["--ack", "loaded"]))
}

/// Loads whatever is published until it is told to stop.
struct Follower {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Follower {
    fn new(rig: &Rig, token: PathBuf) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut command = rig.command(&["get", GROUP, "--ack", "loaded"]);
        command.env("HANDOVER_TOKEN_FILE", token).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        let told = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(std::sync::atomic::Ordering::SeqCst) {
                // While the server is away nothing is loaded; it is asked again.
                let _ = command.status();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// S56: a stolen login. The thief's open session is ended, the login is refused, the consumer has moved, and the history
/// says all of it, long before the policy's own waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_credential_is_out_of_force_within_seconds() {
    let rig = rig(vec!["web"], "");
    let token = rig.token_file("web", "consumer").unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("the first publication", || phase(&rig) == "propagate");
    let (user, password) = load(&rig, &token);
    until("the first generation", || phase(&rig) == "done");
    let thief = rig.postgres.connect(&user, &password, DATABASE).await.unwrap();
    assert!(thief.simple_query("SELECT 1").await.is_ok());

    let _web = Follower::new(&rig, token.clone());
    let begun = Instant::now();
    let told =
        rig.succeed(&["rotate", GROUP, "--compromised", "--end-sessions", "--reason", "INC-4711: laptop stolen"]);
    assert!(told.unwrap().contains("rotation to generation 2 started"));
    until("the refusal of the old login", || json(&rig, &["status", GROUP])["emergency"]["took_ms"].is_u64());
    assert!(rig.postgres.connect(&user, &password, DATABASE).await.is_err(), "the stolen login is refused");
    until("the end of the rotation", || phase(&rig) == "done");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    assert!(thief.simple_query("SELECT 1").await.is_err(), "the thief's session is ended");
    let (user, password) = load(&rig, &token);
    assert!(rig.postgres.connect(&user, &password, DATABASE).await.is_ok(), "the consumer has moved");

    let history = rig.succeed(&["history", GROUP, "--limit", "200"]).unwrap();
    for words in [" emergency ", "INC-4711: laptop stolen", " contained ", " sessions_ended ", "end_sessions=true"] {
        assert!(history.contains(words), "{words}: {history}");
    }
    rig.succeed(&["audit", "verify"]).unwrap();
}

/// Who would break is said before anything is done, and nothing is done until that is accepted; a restart forgets neither.
#[test]
fn nobody_is_left_behind_by_accident() {
    let rig = rig(vec!["web", "worker"], "emergency = { ceiling = \"1s\" }");
    let tokens = ["web", "worker"].map(|name| rig.token_file(name, "consumer").unwrap());
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("the first publication", || phase(&rig) == "propagate");
    tokens.iter().for_each(|token| drop(load(&rig, token)));
    until("the first generation", || phase(&rig) == "done");

    // A scheduled rotation is on its way, and the worker does not follow.
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("the publication", || phase(&rig) == "propagate");
    drop(load(&rig, &tokens[0]));
    let refused = rig.run(&["rotate", GROUP, "--compromised", "--reason", "INC-1"]).unwrap();
    assert!(!refused.status.success() && said(&refused).contains("[would_break]"), "{}", said(&refused));
    assert!(said(&refused).contains("worker") && !said(&refused).contains("web,"), "{}", said(&refused));
    let planned = rig.succeed(&["emergency", "plan", "--select", &format!("group={GROUP}")]).unwrap();
    assert!(planned.contains("would break: worker") && planned.contains("the live rotation goes on"), "{planned}");
    assert_eq!(phase(&rig), "propagate");

    let accepted = ["rotate", GROUP, "--compromised", "--accept-breakage", "--reason", "INC-1"];
    rig.succeed(&accepted).unwrap();
    rig.kill();
    rig.start(&[]).unwrap();
    let explained = rig.succeed(&["explain", GROUP]).unwrap();
    assert!(explained.contains("is said to be compromised"), "{explained}");
    until("the refusal of the old one", || json(&rig, &["status", GROUP])["emergency"]["took_ms"].is_u64());
    let status = json(&rig, &["status", GROUP]);
    assert_eq!(status["emergency"]["behind"][0], "worker", "{status:#}");
    drop(load(&rig, &tokens[1]));
    until("the end", || phase(&rig) == "done");
    let history = rig.succeed(&["history", GROUP, "--limit", "200"]).unwrap();
    assert!(history.contains("way=preempts") && history.contains("behind=worker"), "{history}");
}

/// S33: an operator's token that was narrowed to other verbs does not do it, and nobody does without a reason.
#[test]
fn an_emergency_wants_its_verb_and_a_reason() {
    let rig = rig(Vec::new(), "");
    let token = rig.succeed(&["token", "create", "deploy", "--group", GROUP, "--role", "operator", "--verb", "rotate"]);
    let file = rig.path("deploy.token");
    std::fs::write(&file, token.unwrap()).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let order = ["rotate", GROUP, "--compromised", "--accept-breakage", "--reason", "INC-1"];
    let denied = rig.command(&order).env("HANDOVER_TOKEN_FILE", &file).output().unwrap();
    assert!(said(&denied).contains("narrowed to other verbs than `emergency`"), "{}", said(&denied));
    let unsaid = rig.run(&["rotate", GROUP, "--compromised"]).unwrap();
    assert_eq!(unsaid.status.code(), Some(2), "{}", said(&unsaid));
    let empty = rig.run(&["rotate", GROUP, "--compromised", "--accept-breakage", "--reason", " "]).unwrap();
    assert!(said(&empty).contains("[reason_missing]"), "{}", said(&empty));
    assert_eq!(phase(&rig), "none", "nothing was started");
}

/// A run over selected groups: what it would do, what it did, and that a repeat of it does nothing.
#[test]
fn a_run_reports_and_a_repeat_of_it_orders_nothing() {
    let rig = rig(Vec::new(), "emergency = { quiet_min = \"100ms\" }\n[group.generate]\nlength = 32");
    let text = std::fs::read_to_string(rig.path("handover.toml")).unwrap();
    let labelled = text.replacen("name = \"app\"\n", "name = \"app\"\nlabels = [\"env=prod\", \"team=a\"]\n", 1);
    std::fs::write(rig.path("handover.toml"), labelled).unwrap();
    rig.stop().unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--compromised", "--reason", "the first, by the way"]).unwrap();
    until("the first generation", || phase(&rig) == "done");

    let none = rig.succeed(&["emergency", "plan", "--select", "label=env=test"]).unwrap();
    assert_eq!(none.trim(), "no group is selected");
    let old = rig.succeed(&["emergency", "plan", "--select", "older-than=1d"]).unwrap();
    assert_eq!(old.trim(), "no group is selected");
    let select = ["--select", "label=env=prod", "--select", "target=127.0.0.1"];
    let planned = rig.succeed(&[&["emergency", "plan"][..], &select].concat()).unwrap();
    assert!(planned.contains("generation 1 would be taken out of force; a rotation starts"), "{planned}");
    assert!(planned.contains("would break: whoever nobody declared"), "{planned}");

    let run = [&["emergency", "run"][..], &select, &["--run", "4711", "--reason", "INC-4711"]].concat();
    let refused = rig.run(&run).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("nothing was ordered"), "{}", said(&refused));
    let accepted = [&run[..], &["--accept-breakage", "--output", "json"]].concat();
    let report: Value = serde_json::from_str(&rig.succeed(&accepted).unwrap()).unwrap();
    let line = &report["groups"][0];
    assert_eq!((line["group"].as_str(), line["outcome"].as_str()), (Some(GROUP), Some("refused")), "{report:#}");
    assert!(line["took_ms"].as_u64().is_some_and(|took| took < 30_000), "{report:#}");
    until("the end", || phase(&rig) == "done");
    rig.kill();
    rig.start(&[]).unwrap();
    let again: Value = serde_json::from_str(&rig.succeed(&accepted).unwrap()).unwrap();
    assert_eq!(again["groups"][0]["outcome"], "refused");
    assert_eq!(json(&rig, &["status", GROUP])["current"]["generation"], 2, "the repeat ordered nothing");
}
