//! The operator's verbs against a real server and a real PostgreSQL: exact output, exit codes, and what is recorded.
//!
//! What is expected stands in `tests/verbs/*.txt`; `UPDATE_GOLDEN=1` writes it anew. Times and ages are the only things
//! that are made equal.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use serde_json::Value;

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\npasses_min = 2\n\
                      deadlines = { propagate = { after = \"1h\", then = \"hold\" } }";

const PATIENCE: Duration = Duration::from_secs(60);

fn rig(consumers: Vec<&'static str>) -> Rig {
    let options = Options { consumers, policy: POLICY.to_owned(), fsync: false };
    Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap()
}

fn run(rig: &Rig, arguments: &[&str]) -> (i32, String, String) {
    parts(&rig.run(arguments).unwrap())
}

fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// As `worker`, who is a consumer.
fn as_worker(rig: &Rig, arguments: &[&str]) -> (i32, String, String) {
    let mut command = rig.command(arguments);
    command.env("HANDOVER_TOKEN_FILE", rig.path("worker.token"));
    parts(&command.output().unwrap())
}

/// Runs a verb until its standard output says `what`.
fn until(rig: &Rig, arguments: &[&str], what: &str) -> String {
    let limit = Instant::now() + PATIENCE;
    loop {
        let (_, out, said) = run(rig, arguments);
        if out.contains(what) {
            return out;
        }
        assert!(Instant::now() < limit, "never {what:?}; last seen\n{out}{said}\n{}", rig.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Compares what a verb did, all of it, with what is kept.
fn golden(name: &str, rig: &Rig, arguments: &[&str]) {
    let (code, out, said) = run(rig, arguments);
    compare(name, arguments, code, &out, &said);
}

fn compare(name: &str, arguments: &[&str], code: i32, out: &str, said: &str) {
    let shown = format!("$ handover {}\n", arguments.join(" "));
    let found = format!("{shown}{}{}exit code {code}\n", equal(out), equal(said));
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/verbs/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, kept, "{} differs; UPDATE_GOLDEN=1 writes it anew", file.display());
}

/// The same whenever it runs: times become TIME, ages AGE, the time until a deadline LEFT, and positions POSITION.
fn equal(text: &str) -> String {
    let line = |line: &str| {
        let mut words: Vec<String> = line.split(' ').map(word).collect();
        if line.starts_with("  deadline ")
            && let Some(at) = words.iter().position(|word| word == "in")
        {
            words[at + 1] = "LEFT:".to_owned();
        }
        if let Some(at) = words.iter().position(|word| word == "TIME").filter(|at| *at >= 2)
            && let Some(at) = words[..at].iter().position(|word| word.parse::<u64>().is_ok())
        {
            words.drain(..at);
            words[0] = "POSITION".to_owned();
        }
        if let Some(at) = words.iter().position(|word| word == "--before") {
            words[at + 1] = "POSITION`.".to_owned();
        }
        let age =
            words.windows(2).position(|pair| pair[0] == "for" && pair[1].starts_with(|c: char| c.is_ascii_digit()));
        if let Some(at) = age.filter(|at| line.contains("in force") && at + 2 == words.len()) {
            words[at + 1] = "AGE".to_owned();
        }
        words.join(" ")
    };
    let lines: Vec<String> = text.lines().map(line).collect();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_time = bare.len() >= 20 && bare.ends_with('Z') && bare.as_bytes().get(10) == Some(&b'T');
    if is_time { word.replace(bare, "TIME") } else { word.to_owned() }
}

/// Whether the database lets a user in. By `psql`, with the password in a file of its own.
fn logs_in(rig: &Rig, user: &str, password: &str) -> bool {
    let (file, port) = (rig.path("pgpass"), rig.postgres.port());
    std::fs::write(&file, format!("127.0.0.1:{port}:{DATABASE}:{user}:{password}\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = std::process::Command::new("psql");
    command.args(["--no-psqlrc", "--no-password", "--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--username", user, "--dbname", DATABASE, "--command", "SELECT 1"]);
    command.env("PGPASSFILE", file).env("PGSSLMODE", "require").output().unwrap().status.success()
}

/// The commands that `explain` offers.
fn offered(rig: &Rig) -> Vec<String> {
    let (code, out, said) = run(rig, &["explain", GROUP, "--output", "json"]);
    assert_eq!(code, 0, "{said}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let actions = found["actions"].as_array().unwrap();
    actions.iter().map(|action| action["command"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_rotation_is_explained_at_each_turn() {
    let rig = rig(vec!["worker"]);
    rig.token_file("worker", "consumer").unwrap();
    rig.start(&[]).unwrap();
    golden("explain_never_rotated", &rig, &["explain", GROUP]);
    golden("plan", &rig, &["plan", GROUP]);

    golden("rotate_first", &rig, &["rotate", GROUP]);
    until(&rig, &["explain", GROUP], "0 of 1 presenters");
    golden("explain_propagate", &rig, &["explain", GROUP]);
    assert_eq!(offered(&rig), ["handover hold app", "handover force app --reason '…'"], "there is no way back yet");
    golden("plan_live", &rig, &["plan", GROUP]);
    golden("rotate_live", &rig, &["rotate", GROUP]);
    golden("hold", &rig, &["hold", GROUP, "--reason", "the database moves"]);
    golden("explain_held", &rig, &["explain", GROUP]);
    golden("resume", &rig, &["resume", GROUP]);

    let (code, value, said) = as_worker(&rig, &["get", GROUP, "--ack", "loaded"]);
    assert_eq!((code, said.as_str()), (0, ""), "a declared consumer just gets its value");
    assert!(!value.is_empty() && !value.ends_with('\n'), "the value, and nothing else");
    until(&rig, &["explain", GROUP], "generation 1 is in force; no rotation is live");
    golden("explain_at_rest", &rig, &["explain", GROUP]);
    golden("history", &rig, &["history", GROUP, "--limit", "4"]);
    let (code, user, _) = as_worker(&rig, &["get", GROUP, "--field", "user"]);
    assert_eq!((code, user.trim()), (0, rig.roles.twins[0].as_str()));

    // The way back waits for the worker. Only who says so explicitly starts over it.
    assert_eq!(run(&rig, &["rotate", GROUP]).0, 0);
    until(&rig, &["explain", GROUP], "it has publication 1 as loaded");
    golden("explain_propagate_second", &rig, &["explain", GROUP]);
    assert_eq!(run(&rig, &["rollback", GROUP, "--reason", "reports fail"]).0, 0);
    until(&rig, &["explain", GROUP], "(return)");
    golden("explain_return", &rig, &["explain", GROUP]);
    golden("rotate_over_a_rollback", &rig, &["rotate", GROUP]);
    golden("supersede_without_a_slot", &rig, &["supersede", GROUP, "--reason", "no time to wait"]);
    assert_eq!(as_worker(&rig, &["get", GROUP, "--ack", "loaded"]).0, 0);
    until(&rig, &["explain", GROUP], "was rolled back");
    golden("explain_rolled_back", &rig, &["explain", GROUP]);
    golden("supersede_nothing", &rig, &["supersede", GROUP, "--reason", "by mistake"]);
    assert!(!rig.said().contains(&value), "the value is in the server's log");
}

#[test]
fn a_value_is_got_by_those_who_say_what_for() {
    let rig = rig(vec![]);
    rig.token_file("worker", "consumer").unwrap();
    rig.start(&[]).unwrap();
    let (code, out, said) = as_worker(&rig, &["get", GROUP, "--peek"]);
    compare("get_nothing_published", &["get", GROUP, "--peek"], code, &out, &said);
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);

    let (code, out, said) = as_worker(&rig, &["get", GROUP]);
    compare("get_not_expected", &["get", GROUP], code, &out, &said);
    let (code, peeked, said) = as_worker(&rig, &["get", GROUP, "--peek"]);
    assert_eq!(code, 0, "{said}");
    compare("get_peek", &["get", GROUP, "--peek"], code, "", &said);
    let (_, out, _) = run(&rig, &["status", GROUP]);
    assert!(!out.contains("worker"), "a look does not count: {out}");

    let (code, out, said) = as_worker(&rig, &["get", GROUP, "--join", "--ack", "used", "--output", "json"]);
    assert_eq!(code, 0, "{said}");
    let delivered: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(delivered["value"]["data"], peeked.as_str());
    let (code, out, _) = as_worker(&rig, &["get", GROUP]);
    assert_eq!((code, out), (0, peeked.clone()), "who is waited for needs no flag");

    let (code, out, said) = as_worker(&rig, &["get", GROUP, "--field", "nothing"]);
    compare("get_no_such_field", &["get", GROUP, "--field", "nothing"], code, &out, &said);
    golden("get_as_operator", &rig, &["get", GROUP]);
    let history = run(&rig, &["history", GROUP, "--limit", "100"]).1;
    assert!(history.contains("read      worker generation=1 peek=true publication=1"), "{history}");
    assert!(!history.contains(&peeked), "the value is in the history");
    let user = rig.roles.twins[0].as_str();
    assert!(logs_in(&rig, user, &peeked), "the value is the password of the user that is published with it");
}

#[test]
fn a_terminal_shows_no_value_unless_it_is_asked_for() {
    let rig = rig(vec![]);
    rig.token_file("worker", "consumer").unwrap();
    rig.start(&[]).unwrap();
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);
    let terminal = |arguments: &str| {
        let line = format!("{} get {GROUP} --peek {arguments}", env!("CARGO_BIN_EXE_handover"));
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
        command.env("HANDOVER_URL", rig.url()).env("HANDOVER_TOKEN_FILE", rig.path("worker.token"));
        parts(&command.output().unwrap())
    };
    let (_, value, _) = as_worker(&rig, &["get", GROUP, "--peek"]);
    let (code, out, _) = terminal("");
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("would be shown on a terminal") && !out.contains(&value), "{out}");
    let (code, out, _) = terminal("--output json");
    assert!(code == 2 && !out.contains(&value), "{out}");
    let (code, out, _) = terminal("--reveal");
    assert!(code == 0 && out.contains(&value), "{out}");
    let (code, out, _) = terminal("--field user");
    assert!(code == 0 && out.contains(rig.roles.twins[0].as_str()), "a name is no secret: {out}");
}

#[test]
fn a_group_that_is_not_configured_any_more_is_forgotten() {
    let rig = rig(vec![]);
    rig.start(&[]).unwrap();
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);
    let value = {
        rig.token_file("worker", "consumer").unwrap();
        as_worker(&rig, &["get", GROUP, "--peek"]).1
    };
    golden("remove_configured", &rig, &["group", "remove", GROUP, "--reason", "a slip"]);
    golden("remove_unknown", &rig, &["group", "remove", "nothing", "--reason", "a slip"]);
    let (code, _, said) = run(&rig, &["group", "remove", GROUP]);
    assert!(code == 2 && said.contains("--reason"), "{said}");

    rename_the_group(&rig);
    rig.start(&[]).unwrap();
    let boss = |arguments: &[&str]| as_boss(&rig, arguments);
    let checked = |name: &str, arguments: &[&str]| {
        let (code, out, said) = boss(arguments);
        compare(name, arguments, code, &out, &said);
    };
    checked("group_list", &["group", "list"]);
    checked("remove", &["group", "remove", GROUP, "--reason", "the service is gone"]);
    checked("group_list_after", &["group", "list"]);
    checked("remove_twice", &["group", "remove", GROUP, "--reason", "the service is gone"]);

    // Its history stays, its value is nowhere, and at the target everything is as it was.
    let (code, out, said) = run(&rig, &["audit", "tail", "--group", GROUP, "-n", "2"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("removing") && out.contains("removed") && out.contains("the service is gone"), "{out}");
    assert_eq!(run(&rig, &["audit", "verify"]).0, 0);
    let user = rig.roles.twins[0].as_str();
    assert!(logs_in(&rig, user, &value));
    rig.stop().unwrap();
    rig.start(&[]).unwrap();
    assert!(!boss(&["group", "list"]).1.contains("not configured"), "it is forgotten for good");
}

#[test]
fn a_server_that_dies_while_it_forgets_a_group_forgets_it_at_the_next_try() {
    let rig = rig(vec![]);
    rig.start(&[]).unwrap();
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);
    rename_the_group(&rig);
    // The new token is recorded as the server starts: no append but that of the removal is left.
    rig.start(&[]).unwrap();
    rig.stop().unwrap();
    let remove = ["group", "remove", GROUP, "--reason", "the service is gone"];
    for (point, is_listed) in [("before:append", true), ("before:forget", true), ("after:forget", false)] {
        rig.start(&[("HANDOVER_FAULT_POINT", &format!("{point}=kill"))]).unwrap();
        assert_ne!(as_boss(&rig, &remove).0, 0, "{point}: nobody says that it is done");
        assert!(rig.ends_within(PATIENCE), "{point} was not reached");
        rig.kill();
        rig.start(&[]).unwrap();
        assert_eq!(as_boss(&rig, &["group", "list"]).1.contains("not configured"), is_listed, "{point}");
        rig.stop().unwrap();
    }
    rig.start(&[]).unwrap();
    assert_eq!(as_boss(&rig, &remove).0, 1, "there is nothing left to remove");
    assert_eq!(run(&rig, &["audit", "verify"]).0, 0);
}

/// Takes the group out of the configuration: another one stands in its place. Stops the server.
fn rename_the_group(rig: &Rig) {
    rig.stop().unwrap();
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("name = \"app\"", "name = \"other\"")).unwrap();
    let token = rig.succeed(&["token", "create", "boss", "--role", "operator", "--group", "*"]).unwrap();
    std::fs::write(rig.path("boss.token"), token).unwrap();
    std::fs::set_permissions(rig.path("boss.token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// As an operator of every group.
fn as_boss(rig: &Rig, arguments: &[&str]) -> (i32, String, String) {
    parts(&rig.command(arguments).env("HANDOVER_TOKEN_FILE", rig.path("boss.token")).output().unwrap())
}

/// A verb that runs on, and the lines of its standard output.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(rig: &Rig, arguments: &[&str]) -> Self {
        let mut child = rig.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, seen: Vec::new() }
    }

    fn until(&mut self, what: &str) {
        while !self.seen.iter().any(|line| line.contains(what)) {
            let line = self.lines.recv_timeout(PATIENCE);
            self.seen.push(line.unwrap_or_else(|_| panic!("never {what:?}; seen {:#?}", self.seen)));
        }
    }

    fn interrupt(mut self) -> i32 {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

#[test]
fn what_happens_is_watched_through_a_restart() {
    let rig = rig(vec![]);
    rig.start(&[]).unwrap();
    golden("watch_no_such_group", &rig, &["watch", "nothing"]);
    let mut words = Running::start(&rig, &["watch", GROUP]);
    let mut json = Running::start(&rig, &["watch", "--output", "json"]);
    words.until("app: nothing is published");
    json.until("snapshot");
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);
    words.until("app: generation 1: done (success)");
    words.until("app: publication 1 stands");
    json.until("\"done\"");
    for line in &json.seen {
        serde_json::from_str::<Value>(line).unwrap();
    }
    rig.stop().unwrap();
    rig.start(&[]).unwrap();
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);
    words.until("app: publication 2 stands");
    assert_eq!(words.interrupt(), 0);
    assert_eq!(json.interrupt(), 0);
}

#[test]
fn a_wait_shows_each_phase_and_how_long_it_took() {
    let rig = rig(vec![]);
    rig.start(&[]).unwrap();
    assert_eq!(run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]).0, 0);
    let (code, out, said) = run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "60s"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("in force     generation 2 in slot 1, publication 2, for "), "{out}");
    for phase in ["apply", "verify", "drain", "disable"] {
        assert!(said.contains(&format!("app: {phase} took ")), "{phase} is not in\n{said}");
    }
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("app: generation 2 is in force; no rotation is live; it took "), "{last}");
    assert!(last.contains("drain "), "{last}");

    let (code, _, said) = run(&rig, &["rotate", GROUP, "--wait", "--wait-max", "1ms"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("has not ended in the time given") && said.contains("hint: `handover explain app`"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_has_its_exit_code_and_a_next_step() {
    let rig = rig(vec![]);
    let verbs: [&[&str]; 7] = [
        &["explain", GROUP],
        &["watch", GROUP],
        &["history", GROUP],
        &["get", GROUP],
        &["group", "list"],
        &["schedule", "list"],
        &["supersede", GROUP, "--reason", "x"],
    ];
    for verb in verbs {
        let (code, out, said) = run(&rig, verb);
        assert_eq!((code, out.as_str()), (2, ""), "no server: {verb:?}");
        assert!(said.contains("\nhint: start it with `handover serve`"), "{verb:?}: {said}");
    }
    rig.start(&[]).unwrap();
    for verb in ["explain", "watch", "history", "plan", "rotate", "hold", "resume", "abandon", "rollback"] {
        let (code, out, said) = run(&rig, &[verb, "nothing"]);
        assert_eq!((code, out.as_str()), (1, ""), "{verb}: {said}");
        assert!(said.contains("[no_such_group]\nhint: "), "{verb}: {said}");
        let (code, _, said) = run(&rig, &[verb, "No Name"]);
        assert_eq!(code, 2, "{verb}: {said}");
    }
}

/// Whoever reads is gone: no proof is given for what nobody got, and no token is said to be made that nobody has.
#[test]
fn what_nobody_could_read_is_not_vouched_for() {
    let rig = rig(vec!["worker"]);
    rig.token_file("worker", "consumer").unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP]).unwrap();
    until(&rig, &["explain", GROUP], "0 of 1 presenters");
    for (arguments, token) in [
        (["get", GROUP, "--ack", "loaded", "--output", "json"].as_slice(), "worker.token"),
        (&["get", GROUP, "--ack", "loaded"], "worker.token"),
        (&["token", "create", "lost", "--role", "viewer", "--group", GROUP], "operator.token"),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = rig.command(arguments);
        command.env("HANDOVER_TOKEN_FILE", rig.path(token)).stdout(writer);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("standard output cannot be written"),
            "{arguments:?}: {said}"
        );
    }
    let explained = run(&rig, &["explain", GROUP]).1;
    assert!(explained.contains("0 of 1 presenters"), "it is waited for all the same: {explained}");
}
