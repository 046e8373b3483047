//! The guide's commands, run in order against a fresh PostgreSQL, and what it shows, compared with what they print.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use handover_testkit::servers::postgres::{Options, Postgres, SUPERUSER};

const GUIDE: &str = include_str!("../../../docs/guides/first-rotation.md");

/// Begins each step's output; no command prints it.
const MARK: &str = "@@@ step ";

/// How long all of it may take. A walk takes some twenty seconds on a machine that is not busy.
const SECONDS_MAX: &str = "240";

/// A block of commands, and what it is said to print.
struct Step {
    line: usize,
    commands: String,
    shown: Option<String>,
}

fn steps(guide: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = guide.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: String = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .map(|line| format!("{line}\n"))
            .collect();
        match kind {
            "sh" => steps.push(Step { line: number + 1, commands: block, shown: None }),
            "text" => {
                let step = steps.last_mut().unwrap();
                assert!(step.shown.is_none(), "line {}: two outputs of one block", number + 1);
                step.shown = Some(block);
            }
            "rust" => {}
            other => panic!("line {}: a block of kind {other:?}, which nobody looks at", number + 1),
        }
    }
    steps
}

/// Whether `printed` is what is `shown`, where a line `…` stands for any lines, and a `…` at its end for any rest.
fn alike(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|from| alike(rest, &printed[from..])),
        Some((first, rest)) => {
            let same = |line: &&str| first.strip_suffix('…').map_or(line == first, |start| line.starts_with(start));
            printed.first().is_some_and(same) && alike(rest, &printed[1..])
        }
    }
}

#[test]
fn the_guide_does_what_it_says() {
    let postgres = Postgres::start(&Options::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let passwords = directory.path().join("superuser.pgpass");
    std::fs::write(&passwords, format!("127.0.0.1:*:*:{SUPERUSER}:{}\n", postgres.superuser_password())).unwrap();
    std::fs::set_permissions(&passwords, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let work = directory.path().join("work");
    std::fs::create_dir(&work).unwrap();

    let steps = steps(GUIDE);
    assert!(steps.len() > 12, "the guide's blocks were found");
    let mut script = String::from("set -eu -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    for (index, step) in steps.iter().enumerate() {
        let _ = write!(script, "echo '{MARK}{index}'\n{}", step.commands);
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_handover"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let port = free_port();
    let mut command = Command::new("timeout");
    // What its steps start ends with it, also when it is cut off.
    command.args(["--kill-after=10", SECONDS_MAX, "bash", "-c", "exec 2>&1; eval \"$1\"", "guide", &script]);
    command.current_dir(&work).env("PATH", path).env("PGHOST", "127.0.0.1").env("PGPORT", postgres.port().to_string());
    command.env("PGUSER", SUPERUSER).env("PGPASSFILE", &passwords).env("PGSSLROOTCERT", postgres.ca_path());
    command.env("HANDOVER_LISTEN", format!("127.0.0.1:{port}")).env_remove("HANDOVER_TOKEN_FILE");
    command.stdin(Stdio::null()).process_group(0);
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = |name: &str| std::fs::read_to_string(work.join(name)).unwrap_or_default();
    assert!(
        output.status.success(),
        "the guide stopped ({}):\n{printed}\n{}\n{}",
        output.status,
        said("serve.log"),
        said("rotate.log")
    );

    let mut wrong = String::new();
    let outputs: Vec<&str> = printed.split(MARK).skip(1).collect();
    assert_eq!(outputs.len(), steps.len());
    for (step, output) in steps.iter().zip(outputs) {
        let normal = normal(output, &postgres, port);
        let printed: Vec<&str> = normal.lines().skip(1).collect();
        if let Some(shown) = &step.shown
            && !alike(&shown.lines().collect::<Vec<_>>(), &printed)
        {
            let _ = writeln!(wrong, "line {}: shows\n{shown}and printed\n{}\n", step.line, printed.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(!printed.contains(said("shop.password").trim()), "a password was printed");
}

/// The guide's names for what differs from run to run.
fn normal(output: &str, postgres: &Postgres, port: u16) -> String {
    output
        .replace(&format!("127.0.0.1:{}", postgres.port()), "db.internal:5432")
        .replace(&format!("127.0.0.1:{port}"), "127.0.0.1:8300")
        .replace(&format!("127.0.0.1 port {}", postgres.port()), "db.internal port 5432")
}

/// A port below those that the system gives to clients.
fn free_port() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 8_000).unwrap();
    (start..start + 1_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

#[test]
fn what_is_shown_is_compared() {
    assert!(alike(&["a", "…", "c"], &["a", "b", "c"]) && alike(&["a", "…"], &["a"]));
    assert!(!alike(&["a"], &["a", "b"]) && !alike(&["a", "…", "c"], &["a", "b"]) && !alike(&[], &["a"]));
    assert!(alike(&["a…"], &["a b"]) && !alike(&["a…"], &["b a"]));
    let found = steps("```sh\none\n```\n\n```text\n1\n```\n```sh\ntwo\n```\n");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].commands.as_str(), found[0].shown.as_deref()), ("one\n", Some("1\n")));
}
