//! Another configuration under the real server, with a consumer that logs in all the while: what is taken, what is refused,
//! and that nothing happens where nothing changed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use handover_testkit::servers::random_hex;
use serde_json::Value;

use crate::consumer::{CONSUMER, Consumer};

const PATIENCE: Duration = Duration::from_secs(60);

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\npasses_min = 1\n\
                      fetch_to_load_max = \"100ms\"";

/// What a command line came to.
struct Ran {
    exit: i32,
    out: String,
    said: String,
}

struct Stage {
    rig: Rig,
}

impl Stage {
    /// A server with one generation in force, and a token that covers every group.
    fn set(consumers: Vec<&'static str>) -> Self {
        let options = Options { consumers, policy: POLICY.to_owned(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let token = rig.succeed(&["token", "create", "root", "--group", "*", "--role", "operator"]).unwrap();
        let stage = Self { rig };
        stage.write("root.token", token.trim());
        stage.rig.start(&[]).unwrap();
        stage
    }

    fn write(&self, name: &str, text: &str) {
        // Over what was there as a whole, as an editor or a tool does it: nobody reads half of it.
        let fresh = self.rig.path(&format!("{name}.fresh"));
        fs::write(&fresh, text).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(fresh, self.rig.path(name)).unwrap();
    }

    fn configuration(&self) -> String {
        fs::read_to_string(self.rig.path("handover.toml")).unwrap()
    }

    /// Changes the configuration; what it was before.
    fn edit(&self, from: &str, to: &str) -> String {
        let before = self.configuration();
        assert_eq!(before.matches(from).count(), 1, "{from:?} in\n{before}");
        self.write("handover.toml", &before.replace(from, to));
        before
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.rig.command(arguments);
        let output = command.env("HANDOVER_TOKEN_FILE", self.rig.path("root.token")).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ran { exit: output.status.code().unwrap(), out: text(&output.stdout), said: text(&output.stderr) }
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.exit, 0, "{arguments:?}: {}\n{}", ran.said, self.rig.said());
        ran.out
    }

    fn refused(&self, arguments: &[&str], exit: i32, words: &[&str]) {
        let ran = self.run(arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (exit, ""), "{arguments:?}: {}", ran.said);
        for words in words {
            assert!(ran.said.contains(words), "{words:?} is not in\n{}", ran.said);
        }
    }

    /// Waits until what a verb prints contains this.
    fn until(&self, arguments: &[&str], words: &str) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(arguments);
            if ran.out.contains(words) {
                return;
            }
            assert!(Instant::now() < limit, "never {words:?}; last seen\n{}{}\n{}", ran.out, ran.said, self.rig.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Another group at the same cluster, and its configuration.
    fn second(&self, policy: &str) -> String {
        let roles = self.rig.postgres.create_roles("two").unwrap();
        self.write("two.password", &roles.admin_password);
        format!(
            "\n[[group]]\nname = \"two\"\n[group.policy]\n{POLICY}\n{policy}\n[group.target]\nkind = \"postgres\"\n\
             endpoints = [{{ name = \"primary\", host = \"127.0.0.1\", port = {} }}]\ndatabase = \"{DATABASE}\"\n\
             ca_file = \"{}\"\nowner = \"{}\"\ntwins = [\"{}\", \"{}\"]\n\
             admin = {{ user = \"{}\", password_file = \"two.password\" }}\n",
            self.rig.postgres.port(),
            self.rig.postgres.ca_path().display(),
            roles.owner,
            roles.twins[0],
            roles.twins[1],
            roles.admin,
        )
    }

    /// How often the server said this.
    fn said(&self, words: &str) -> usize {
        self.rig.said().matches(words).count()
    }

    /// What the history says since then, but for what follows from the consumer's start and may come late.
    fn events_after(&self, position: u64) -> Vec<String> {
        let records = self.succeed(&["audit", "tail", "--after", &position.to_string(), "--output", "json"]);
        let event = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
            body["event"].as_str().unwrap().to_owned()
        };
        records.lines().map(event).filter(|event| !matches!(event.as_str(), "read" | "token_added")).collect()
    }

    /// The newest position of the history.
    fn position(&self) -> u64 {
        let newest: Value = serde_json::from_str(&self.succeed(&["audit", "sinks", "--output", "json"])).unwrap();
        let sink = &newest[0];
        sink["position"].as_u64().unwrap() + sink["waiting"].as_u64().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_notice_nothing_while_the_configuration_changes_under_them() {
    let stage = Stage::set(Vec::new());
    stage.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]);
    let consumer = Consumer::start(&stage.rig).await;

    // I7: where nothing changed, nothing happens.
    let position = stage.position();
    assert_eq!(stage.succeed(&["reload"]), "nothing is another than before\n");
    assert_eq!(stage.events_after(position), ["reloaded"], "a reload writes one record: that there was one");

    // A policy, and consumers of whom one never comes.
    stage.edit("consumers = []", &format!("consumers = [{{ name = \"{CONSUMER}\" }}, {{ name = \"ghost\" }}]"));
    stage.edit("passes_min = 1", "passes_min = 2");
    assert_eq!(stage.succeed(&["reload", "--check"]), "group app: changed\n");
    assert!(!stage.succeed(&["status", GROUP, "--output", "json"]).contains("ghost"), "--check changes nothing");
    assert_eq!(stage.succeed(&["reload"]), "group app: changed\n");
    stage.succeed(&["rotate", GROUP]);
    stage.until(&["explain", GROUP], "ghost");

    // Whoever is taken out is not waited for any more, and the rotation ends.
    stage.edit(", { name = \"ghost\" }", "");
    assert_eq!(stage.succeed(&["reload"]), "group app: changed\n");
    stage.until(&["status", GROUP], "success");
    consumer.holds(2).await;

    // A group that comes can be rotated at once.
    let before = stage.configuration();
    stage.write("handover.toml", &format!("{before}{}", stage.second("")));
    let told = stage.succeed(&["reload", "--output", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["groups"]["added"], serde_json::json!(["two"]), "{told}");
    assert_eq!(told["groups"]["changed"], serde_json::json!([]), "{told}");
    stage.succeed(&["rotate", "two", "--wait", "--wait-max", "60s"]);
    assert!(stage.succeed(&["group", "list"]).contains("two"));

    // And goes again.
    stage.write("handover.toml", &before);
    assert_eq!(stage.succeed(&["reload"]), "group two: removed\n");
    stage.refused(&["rotate", "two"], 1, &["no_such_group"]);
    stage.succeed(&["group", "remove", "two", "--reason", "it was a test"]);

    // All this while, and in one more rotation, nobody was refused.
    stage.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]);
    consumer.holds(3).await;
    assert!(consumer.logins.load(Ordering::Relaxed) > 10);
    assert_eq!(consumer.refused.load(Ordering::Relaxed), 0);
    stage.rig.stop().unwrap();
}

#[test]
fn what_cannot_be_taken_changes_nothing_and_is_said_in_the_words_of_check() {
    let stage = Stage::set(Vec::new());
    let sound = stage.edit("passes_min = 1", "passes_mim = 1");
    let checked = stage.run(&["check"]);
    stage.refused(&["reload"], 2, &["passes_mim", "passes_min", "[configuration]"]);
    for line in checked.out.lines() {
        let words = line.trim_start_matches("configuration: ");
        stage.refused(&["reload"], 2, &[words]);
    }
    assert!(stage.rig.hang_up());
    assert!(stage.rig.says_within("configuration not taken", PATIENCE), "{}", stage.rig.said());
    stage.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]);

    // A file that it names.
    stage.write("handover.toml", &sound.replace("\"admin.password\"", "\"gone.password\""));
    stage.refused(&["reload"], 2, &["gone.password", "it is not there"]);

    // What is read at a start only: nothing of the rest is taken either.
    let port = stage.rig.url().rsplit_once(':').unwrap().1.to_owned();
    let other = sound.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:1").replace("passes_min = 1", "passes_min = 3");
    stage.write("handover.toml", &format!("state = \"other.db\"\n{other}"));
    stage.refused(&["reload"], 1, &["`listen`, `state` take effect with a restart only", "[restart_needed]"]);
    let would = stage.succeed(&["reload", "--check"]);
    assert_eq!(
        would,
        "group app: changed\nlisten: takes effect with a restart only\nstate: takes effect with a restart only\n"
    );
    assert!(!stage.rig.path("other.db").exists());

    // A group whose rotation is live, or whose users are others meanwhile.
    stage.write(
        "handover.toml",
        &format!("{sound}{}", stage.second("brake_for = \"1h\"").replacen("brake_for = \"300ms\"\n", "", 1)),
    );
    stage.succeed(&["reload"]);
    stage.succeed(&["rotate", "two", "--wait", "--wait-max", "60s"]);
    stage.succeed(&["rotate", "two"]);
    stage.until(&["status", "two"], "disable");
    let with_two = stage.configuration();
    stage.write("handover.toml", &sound);
    stage.refused(&["reload"], 1, &["two", "live", "[live]"]);
    stage.write("handover.toml", &with_two.replace("\"two_b\"", "\"two_c\""));
    stage.refused(&["reload"], 1, &["twins", "[live]"]);
    assert!(stage.succeed(&["status", "two"]).contains("disable"), "it is where it was");

    // Not for those whose token names its groups.
    let ran = stage.rig.run(&["reload"]).unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("covers every group"), "{ran:?}");

    stage.write("handover.toml", &with_two);
    assert_eq!(stage.succeed(&["reload"]), "nothing is another than before\n");
    stage.rig.stop().unwrap();
}

#[test]
fn passwords_sinks_and_a_storm_of_signals() {
    let stage = Stage::set(Vec::new());
    stage.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]);

    // Somebody gave the administrator another password, and then us.
    let password = random_hex(32).unwrap();
    let set = format!("ALTER ROLE {} PASSWORD '{password}'", stage.rig.roles.admin);
    stage.rig.postgres.execute("postgres", &set).unwrap();
    stage.refused(&["rotate", GROUP], 2, &["HO0104"]);
    stage.write("admin.password", &password);
    assert_eq!(stage.succeed(&["reload"]), "group app: changed\n", "the file's content is another");
    stage.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]);

    // A sink that comes gets all of the history; one that goes keeps its place.
    let without = stage.configuration();
    stage.write(
        "handover.toml",
        &format!("{without}\n[[sink]]\nkind = \"file\"\nname = \"copy\"\npath = \"copy.jsonl\"\n"),
    );
    assert_eq!(stage.succeed(&["reload"]), "sink copy: added\n");
    let lines = |name: &str| fs::read_to_string(stage.rig.path(name)).unwrap_or_default().lines().count() as u64;
    let limit = Instant::now() + PATIENCE;
    while lines("copy.jsonl") < stage.position() {
        assert!(Instant::now() < limit, "{} of {}", lines("copy.jsonl"), stage.position());
        std::thread::sleep(Duration::from_millis(20));
    }
    let with = stage.configuration();
    stage.write("handover.toml", &with.replace("name = \"copy\"", "name = \"duplicate\""));
    stage.refused(&["reload"], 1, &["the name of sink duplicate", "restart_needed"]);
    stage.write("handover.toml", &without);
    assert_eq!(stage.succeed(&["reload"]), "sink copy: removed\n");
    let kept = lines("copy.jsonl");
    stage.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]);
    assert_eq!(lines("copy.jsonl"), kept);
    stage.write("handover.toml", &with);

    // Ten signals at once: the last one's configuration is in force, and they were not ten reloads.
    let asked = stage.said("actor=\"root\"");
    for _ in 0..10 {
        assert!(stage.rig.hang_up());
    }
    let limit = Instant::now() + PATIENCE;
    while lines("copy.jsonl") < stage.position() {
        assert!(Instant::now() < limit, "{} of {}\n{}", lines("copy.jsonl"), stage.position(), stage.rig.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stage.succeed(&["reload"]), "nothing is another than before\n");
    let limit = Instant::now() + PATIENCE;
    while stage.said("actor=\"root\"") < asked + 1 {
        assert!(Instant::now() < limit, "{}", stage.rig.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    let reloads = stage.said("actor=\"SIGHUP\"");
    assert!((1..10).contains(&reloads), "{reloads} reloads");
    let text = fs::read_to_string(stage.rig.path("copy.jsonl")).unwrap();
    let positions: Vec<u64> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>(), "each record once, through its absence");
    assert!(!stage.rig.said().contains(&password), "no secret in the log");
    stage.rig.stop().unwrap();
}
