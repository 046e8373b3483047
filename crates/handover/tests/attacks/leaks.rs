//! Values, tokens and passwords at every level of every log, through what goes well and what does not.
//!
//! Minted values are drawn from punctuation that nothing else has in a row, so that also those are found that nobody was
//! ever handed: candidates that the target rejected.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use serde_json::Value;

use crate::consumer::Consumer;
use crate::http;

const PATIENCE: Duration = Duration::from_secs(90);
const POLICY: &str =
    "poll = \"100ms\"\nquiet_min = \"200ms\"\nbrake_for = \"0s\"\npasses_min = 1\nfetch_to_load_max = \"100ms\"";

/// Characters that no quoting changes and that occur in a row nowhere else.
const ALPHABET: &str = "!#%&()*+,./:;<=>?@[]^{|}~";

/// So many of them in a row are a piece of a value. The longest that other text has is shorter.
const RUN: usize = 12;

struct Stage {
    rig: Rig,
    /// What was said to whoever gave orders.
    told: Vec<u8>,
    /// What must be nowhere.
    secrets: Vec<String>,
}

impl Stage {
    fn set() -> Self {
        let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let file = rig.path("handover.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}\n[group.generate]\nlength = 64\nalphabet = \"{ALPHABET}\"\n")).unwrap();
        for setting in [
            "shared_preload_libraries = 'pg_stat_statements'",
            "log_min_messages = 'debug1'",
            "log_error_verbosity = 'verbose'",
            "debug_print_parse = on",
            "debug_print_rewritten = on",
            "log_duration = on",
            "log_parameter_max_length = -1",
            "log_parameter_max_length_on_error = -1",
            "track_activity_query_size = 65536",
        ] {
            rig.postgres.execute("postgres", &format!("ALTER SYSTEM SET {setting}")).unwrap();
        }
        rig.postgres.restart().unwrap();
        rig.postgres.execute(DATABASE, "CREATE EXTENSION pg_stat_statements").unwrap();
        let mut secrets = vec![rig.roles.admin_password.clone()];
        secrets.push(std::fs::read_to_string(rig.path("operator.token")).unwrap().trim().to_owned());
        secrets.push(String::from_utf8_lossy(&std::fs::read(rig.path("master.key")).unwrap()).trim().to_owned());
        Self { rig, told: Vec::new(), secrets }
    }

    fn start(&self) {
        self.rig.start(&[("HANDOVER_LOG", "trace"), ("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]).unwrap();
    }

    fn tell(&mut self, arguments: &[&str]) -> bool {
        let output = self.rig.run(arguments).unwrap();
        self.told.extend_from_slice(&output.stdout);
        self.told.extend_from_slice(&output.stderr);
        output.status.success()
    }

    fn status(&mut self) -> Value {
        let out = self.rig.run(&["status", GROUP, "--output", "json"]).unwrap().stdout;
        self.told.extend_from_slice(&out);
        serde_json::from_slice(&out).unwrap_or(Value::Null)
    }

    fn wait(&mut self, what: &str, holds: impl Fn(&Value) -> bool) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if holds(&status) {
                return;
            }
            assert!(Instant::now() < limit, "{what} did not come; last: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_for_log(&self, text: &str) {
        let limit = Instant::now() + PATIENCE;
        while !self.rig.postgres.log().contains(text) {
            assert!(Instant::now() < limit, "PostgreSQL did not say {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether PostgreSQL lets this user in, whatever the password is. Nothing of it is seen before a login is tried.
    fn let_in(&self, user: &str, does: bool) {
        let file = self.rig.postgres.ca_path().with_file_name("data").join("pg_hba.conf");
        let rules = std::fs::read_to_string(&file).unwrap();
        let refusal = format!("hostssl all {user} 127.0.0.1/32 reject\n");
        let rules = if does { rules.replace(&refusal, "") } else { refusal + &rules };
        std::fs::write(&file, rules).unwrap();
        self.rig.postgres.execute(DATABASE, "SELECT pg_reload_conf()").unwrap();
    }

    /// Everything that was written by anybody, by name.
    async fn outputs(&mut self) -> Vec<(String, Vec<u8>)> {
        for verb in [
            &["status"][..],
            &["explain", GROUP],
            &["history", GROUP, "--output", "json"],
            &["audit", "tail"],
            &["audit", "export"],
            &["audit", "verify"],
            &["check", "--online"],
            &["token", "list", "--output", "json"],
        ] {
            self.tell(verb);
        }
        let token = std::fs::read_to_string(self.rig.path("operator.token")).unwrap();
        let port = http::port(&self.rig.url());
        let mut outputs = Vec::new();
        for path in ["/metrics", "/v1/audit", "/v1/groups", "/v1/groups/app/explain", "/v1/groups/app/plan"] {
            outputs.push((path.to_owned(), http::ask(port, "GET", path, token.trim(), "").1.into_bytes()));
        }
        outputs.push(("the server's log".to_owned(), self.rig.said().into_bytes()));
        outputs.push(("what was told".to_owned(), self.told.clone()));
        outputs.push(("PostgreSQL's log".to_owned(), self.rig.postgres.log().into_bytes()));
        let superuser = self.rig.postgres.superuser(DATABASE).await.unwrap();
        let statements = superuser
            .query(
                "SELECT query FROM pg_stat_statements UNION ALL SELECT query FROM pg_stat_activity
                 UNION ALL SELECT shobj_description(oid, 'pg_authid') FROM pg_authid",
                &[],
            )
            .await
            .unwrap();
        let text: Vec<String> = statements.iter().filter_map(|row| row.get::<_, Option<String>>(0)).collect();
        assert!(text.iter().any(|text| text.contains("handover:v1")), "labels are among them: {text:?}");
        outputs.push(("statements, sessions and comments".to_owned(), text.join("\n").into_bytes()));
        for file in files(&self.rig.path(".")) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            // Where secrets belong, and the configuration, which names the alphabet.
            if name.ends_with(".token") || ["master.key", "admin.password", "handover.toml"].contains(&name.as_str()) {
                continue;
            }
            outputs.push((name, std::fs::read(file).unwrap_or_default()));
        }
        outputs
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The longest run of characters of the alphabet, with where it is.
fn run(bytes: &[u8]) -> Option<String> {
    let mut start = 0;
    for (at, byte) in bytes.iter().chain(b"a").enumerate() {
        if ALPHABET.as_bytes().contains(byte) {
            continue;
        }
        let piece = &bytes[start..at.min(bytes.len())];
        // A rule drawn by one repeated character is none.
        let kinds: std::collections::BTreeSet<u8> = piece.iter().copied().collect();
        if piece.len() >= RUN && kinds.len() > 4 {
            let from = start.saturating_sub(200);
            return Some(String::from_utf8_lossy(&bytes[from..(at + 50).min(bytes.len())]).into_owned());
        }
        start = at + 1;
    }
    None
}

/// The ways in which a text may have been written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let decimal = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    vec![
        bytes.to_vec(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes).into_bytes(),
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
        percent.into_bytes(),
        decimal.into_bytes(),
    ]
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// S01, S02, S36: through a rotation, a roll-back, rejected candidates, a silent server, a wrong password of ours and a
/// wrong token, no value and no token is anywhere but in the delivery to its consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_is_in_any_output_at_any_level() {
    let mut stage = Stage::set();
    stage.start();
    assert!(stage.tell(&["rotate", GROUP, "--wait"]), "{}", String::from_utf8_lossy(&stage.told));
    let consumer = Consumer::start(&stage.rig).await;
    let first = consumer.holds(1).await;
    assert!(stage.tell(&["rotate", GROUP, "--wait", "--wait-max", "60s"]), "{}", String::from_utf8_lossy(&stage.told));
    let second = consumer.holds(2).await;

    // The target takes every candidate and lets none in.
    let [a, b] = stage.rig.roles.twins.clone();
    let next = if second.user() == Some(a.as_str()) { b } else { a };
    stage.let_in(&next, false);
    assert!(stage.tell(&["rotate", GROUP]), "{}", String::from_utf8_lossy(&stage.told));
    stage.wait_for_log(&format!("rejects connection for host \"127.0.0.1\", user \"{next}\""));
    assert!(stage.tell(&["rollback", GROUP, "--reason", "the candidates are refused"]));
    stage.wait("the way back", |status| status["rotation"]["phase"] == "done");
    stage.let_in(&next, true);

    // The target is gone, and comes back.
    stage.rig.postgres.stop().unwrap();
    assert!(!stage.tell(&["rotate", GROUP, "--wait", "--wait-max", "2s"]));
    stage.rig.postgres.restart().unwrap();

    // A token that is none, and our own password wrong.
    let wrong = "hnd_canary-of-a-token-that-is-none";
    let port = http::port(&stage.rig.url());
    assert_eq!(http::ask(port, "GET", "/v1/groups", wrong, "").0, 401);
    stage.rig.stop().unwrap();
    std::fs::write(stage.rig.path("admin.password"), "canary-wrong-password-of-ours").unwrap();
    stage.start();
    assert!(!stage.tell(&["rotate", GROUP, "--wait", "--wait-max", "2s"]));
    stage.tell(&["check", "--online"]);

    #[expect(clippy::disallowed_methods, reason = "the values themselves are what must be nowhere")]
    let values = [&first, &second].map(|credential| credential.value().expose_text().unwrap().to_owned());
    assert!(run(values[0].as_bytes()).is_some(), "a value would be found");
    let mut secrets = values.to_vec();
    secrets.extend(["canary-wrong-password-of-ours".to_owned(), wrong.to_owned()]);
    secrets.extend(stage.secrets.clone());
    secrets.push(std::fs::read_to_string(stage.rig.path("consumer.token")).unwrap().trim().to_owned());
    let outputs = stage.outputs().await;
    let log =
        String::from_utf8_lossy(&outputs.iter().find(|(name, _)| name == "the server's log").unwrap().1).into_owned();
    assert!(log.contains("DEBUG") && log.contains("value delivered"), "the log has what is said at low levels");
    assert!(stage.rig.postgres.log().contains("SCRAM-SHA-256$"), "changes of passwords are in PostgreSQL's log");
    for (name, bytes) in &outputs {
        assert_eq!(run(bytes), None, "{name}: a minted value");
        for (index, secret) in secrets.iter().enumerate() {
            for form in forms(secret) {
                assert!(!contains(bytes, &form), "secret {index} is in {name}");
            }
        }
    }
}
