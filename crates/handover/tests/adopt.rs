//! Adoption on a real PostgreSQL: a user that owns everything becomes a twin while its application runs on.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handover_testkit::servers::postgres::{Options, Postgres, SUPERUSER};
use tempfile::TempDir;

const PASSWORD: &str = "canary-4711-in-use";
const ADMIN_PASSWORD: &str = "canary-4711-admin";

/// What an application leaves at a server in the course of time: objects in two databases, a schema of its own, grants
/// from and to others, default privileges, a policy, a setting.
const APPLICATION: &str = "
    CREATE ROLE reader NOLOGIN;
    CREATE ROLE migrator NOLOGIN;
    CREATE ROLE team NOLOGIN;
    GRANT team TO shop;
    CREATE SCHEMA shop AUTHORIZATION shop;
    CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL);
    ALTER TABLE shop.orders OWNER TO shop;
    CREATE FUNCTION shop.twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
    ALTER FUNCTION shop.twice OWNER TO shop;
    CREATE TABLE public.\"Legacy Table\" (id int, secret text);
    GRANT SELECT (id), UPDATE (id) ON public.\"Legacy Table\" TO shop;
    CREATE SCHEMA other;
    GRANT USAGE ON SCHEMA other TO shop;
    CREATE TABLE other.rates (id int);
    GRANT SELECT, INSERT ON other.rates TO shop WITH GRANT OPTION;
    ALTER TABLE other.rates ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON other.rates TO shop USING (true);
    ALTER DEFAULT PRIVILEGES FOR ROLE shop IN SCHEMA shop GRANT SELECT ON TABLES TO reader;
    ALTER DEFAULT PRIVILEGES FOR ROLE shop REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE migrator IN SCHEMA other GRANT SELECT ON TABLES TO shop;
    ALTER ROLE shop SET statement_timeout = '1min';
    REVOKE CONNECT ON DATABASE shop FROM PUBLIC;
    GRANT CONNECT ON DATABASE shop TO shop;";

struct World {
    postgres: Postgres,
    directory: TempDir,
}

impl World {
    /// A server with an application's user, and a group that is described but has no roles yet.
    fn new(admin_is_superuser: bool) -> Self {
        let postgres = Postgres::start(&Options::default()).unwrap();
        let rights = if admin_is_superuser { "SUPERUSER" } else { "" };
        postgres
            .execute(
                "postgres",
                &format!(
                    "CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE handover_admin LOGIN {rights} PASSWORD \
                     '{ADMIN_PASSWORD}'; GRANT pg_signal_backend TO handover_admin;"
                ),
            )
            .unwrap();
        for database in ["CREATE DATABASE shop OWNER shop", "CREATE DATABASE archive"] {
            postgres.execute("postgres", database).unwrap();
        }
        postgres.execute("shop", APPLICATION).unwrap();
        postgres.execute("shop", "GRANT CONNECT ON DATABASE shop TO handover_admin").unwrap();
        postgres.execute("archive", "CREATE TABLE public.old (id int); ALTER TABLE public.old OWNER TO shop").unwrap();
        let world = Self { postgres, directory: tempfile::tempdir().unwrap() };
        world.ok(&["init"]);
        world.write("admin.password", ADMIN_PASSWORD);
        world.write("shop.password", PASSWORD);
        let (port, ca) = (world.postgres.port(), world.postgres.ca_path());
        let listen = free_port();
        world.write(
            "handover.toml",
            &format!(
                "listen = \"127.0.0.1:{listen}\"\naudit_file = \"audit.jsonl\"\n\n[[group]]\nname = \"shop\"\n\n\
                 [group.policy]\npoll = \"100ms\"\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\npasses_min = 2\n\n\
                 [group.target]\nkind = \"postgres\"\n\
                 endpoints = [{{ name = \"primary\", host = \"127.0.0.1\", port = {port} }}]\ndatabase = \"shop\"\n\
                 ca_file = \"{}\"\nowner = \"shop_owner\"\ntwins = [\"shop\", \"shop_b\"]\n\
                 admin = {{ user = \"handover_admin\", password_file = \"admin.password\" }}\n",
                ca.display()
            ),
        );
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        parts(&self.command(arguments).output().unwrap())
    }

    fn ok(&self, arguments: &[&str]) -> (String, String) {
        let (code, out, said) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{said}");
        (out, said)
    }

    fn adopt(&self, more: &[&str]) -> (i32, String, String) {
        self.run(&[&["adopt", "shop", "--user", "shop", "--password-file", "shop.password"], more].concat())
    }

    /// An adoption that dies at a fault point.
    fn killed_at(&self, point: &str) -> (i32, String, String) {
        let mut command = self.command(&["adopt", "shop", "--user", "shop", "--password-file", "shop.password"]);
        parts(&command.env("HANDOVER_FAULT_POINT", format!("{point}=kill")).output().unwrap())
    }

    /// Runs a script as an administrator would.
    fn psql(&self, script: &str) {
        self.write("pgpass", &format!("127.0.0.1:*:*:{SUPERUSER}:{}", self.postgres.superuser_password()));
        let source = format!(
            "host=127.0.0.1 port={} user={SUPERUSER} dbname=postgres passfile={} sslmode=verify-full sslrootcert={}",
            self.postgres.port(),
            self.path("pgpass").display(),
            self.postgres.ca_path().display()
        );
        // It gives up on a lock rather than keep the application waiting, and may be run again.
        wait_for("the script's end", || {
            let mut command = Command::new("psql");
            command.args(["--no-psqlrc", "--quiet", "--dbname", &source, "--file", "-"]);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // It may end before it has read all.
            drop(child.stdin.take().unwrap().write_all(script.as_bytes()));
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() || said.contains("due to lock timeout") || said.contains("statement timeout"),
                "{said}\n{script}"
            );
            output.status.success()
        });
    }

    /// Rotates once, with the real server.
    fn rotate(&self, wanted: &str) {
        let token = self.ok(&["token", "create", "me", "--role", "operator", "--group", "*"]).0;
        self.write("operator.token", &token);
        let mut server = self.command(&["serve"]).stderr(Stdio::null()).spawn().unwrap();
        let configuration = std::fs::read_to_string(self.path("handover.toml")).unwrap();
        let url = format!("http://{}", configuration.split('"').nth(1).unwrap());
        let asked = ["--url", &url, "--token-file", "operator.token"];
        wait_for("the server", || self.run(&[&["status"], asked.as_slice()].concat()).0 == 0);
        let plan = self.run(&[&["plan", "shop"], asked.as_slice()].concat());
        let rotated = self.run(&[&["rotate", "shop", "--wait", "--wait-max", "60s"], asked.as_slice()].concat());
        server.kill().unwrap();
        server.wait().unwrap();
        assert_eq!(plan.0, 0, "{plan:?}");
        assert_eq!(rotated.0, 0, "{rotated:?}");
        assert!(rotated.1.contains(wanted), "{}", rotated.1);
    }
}

/// A port below those that the system gives to clients.
fn free_port() -> u16 {
    let start = 12_000 + u16::try_from(std::process::id() % 8_000).unwrap();
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    (0..1_000).map(|_| start + NEXT.fetch_add(1, Ordering::Relaxed)).find(free).unwrap()
}

fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !there() {
        assert!(Instant::now() < limit, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The application: sessions that stay, and one that logs in again each time. It counts what fails.
struct Application {
    ended: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

const WORK: &str = "INSERT INTO orders (note) VALUES ('x'); SELECT twice(count(*)::int) FROM orders; \
    SELECT id FROM public.\"Legacy Table\"; INSERT INTO other.rates VALUES (1); SELECT count(*) FROM other.rates;";

impl Application {
    fn start(world: &World) -> Self {
        let (ended, done, failed) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let mut application = Self { ended, done, failed, threads: Vec::new() };
        let ca = std::fs::read_to_string(world.postgres.ca_path()).unwrap();
        for again in [false, false, true] {
            let (ended, done, failed) =
                (application.ended.clone(), application.done.clone(), application.failed.clone());
            let (port, ca) = (world.postgres.port(), ca.clone());
            application.threads.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut session = None;
                    while !ended.load(Ordering::Relaxed) {
                        if session.is_none() || again {
                            session = login(port, &ca).await;
                        }
                        let worked = match &session {
                            Some(client) => client.batch_execute(WORK).await.is_ok(),
                            None => false,
                        };
                        if worked { &done } else { &failed }.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                });
            }));
        }
        application.works();
        application
    }

    /// Waits until each session could do its work since now.
    fn works(&self) {
        let before = self.done.load(Ordering::Relaxed);
        wait_for("work", || self.done.load(Ordering::Relaxed) >= before + 20);
    }

    fn failures(mut self) -> u64 {
        self.works();
        self.ended.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        self.failed.load(Ordering::Relaxed)
    }
}

async fn login(port: u16, ca: &str) -> Option<tokio_postgres::Client> {
    use handover_sdk::postgres::{Dialler, Options};
    let dialler = Dialler::new(&Options::new("127.0.0.1", port, "shop", ca)).unwrap();
    let credential = handover_sdk::Credential::from(handover_api::Delivered {
        group: "shop".to_owned(),
        consumer: "application".to_owned(),
        roles: vec![handover_api::Role::Presenter],
        publication: 1,
        generation: 1,
        fields: [("user".to_owned(), "shop".to_owned())].into(),
        value: handover_secret::Secret::from_text(PASSWORD.to_owned()),
        nonce: handover_api::Nonce([0; 32]),
    });
    dialler.dial(&credential).await.ok()
}

/// What the server complained about.
fn errors(world: &World) -> String {
    let log = world.postgres.log();
    let found = log.lines().filter(|line| ["ERROR:", "FATAL:"].iter().any(|word| line.contains(word)));
    found.map(|line| format!("\n{line}")).collect()
}

fn no_canary(world: &World, said: &[&str]) {
    for (place, text) in [
        ("the server's log", world.postgres.log().replace("CREATE ROLE", "")),
        ("the audit file", std::fs::read_to_string(world.path("audit.jsonl")).unwrap_or_default()),
        ("the output", said.concat()),
    ] {
        // The test itself made the users with their passwords in clear, in one statement.
        let lines = text.lines().filter(|line| !line.contains(" PASSWORD '"));
        assert!(!lines.collect::<Vec<_>>().concat().contains("canary-4711"), "the password is in {place}");
    }
}

#[test]
fn a_user_that_owns_everything_is_adopted_under_load_and_rotates() {
    let world = World::new(true);
    let application = Application::start(&world);
    let (code, plan, said) = world.adopt(&["--check"]);
    assert_eq!(code, 0, "{said}");
    assert!(plan.contains("shop: REASSIGN OWNED BY shop TO shop_owner;"), "{plan}");
    assert!(plan.contains("archive: REASSIGN OWNED BY shop TO shop_owner;"), "{plan}");
    let (code, out, said) = world.adopt(&[]);
    assert_eq!((code, out.as_str()), (0, "shop: shop is generation 1 in slot 0\n"), "{said}");
    assert_eq!(application.failures(), 0, "the application must notice nothing: {}", errors(&world));
    no_canary(&world, &[&plan, &out, &said]);

    let (code, _, again) = world.adopt(&[]);
    assert_eq!(code, 1);
    assert!(again.contains("error: group shop has a credential in force already: generation 1 in slot 0"), "{again}");

    world.rotate("in force     generation 2 in slot 1, publication 2");
    world.rotate("in force     generation 3 in slot 0, publication 3");
    no_canary(&world, &[]);
}

#[test]
fn where_our_user_may_not_it_prints_what_a_superuser_must_run() {
    let world = World::new(false);
    let (code, script, said) = world.adopt(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("error: our user may not prepare the roles; a superuser must\nhint: run what is on"),
        "{said}"
    );
    let (code, printed, said) = world.adopt(&["--print-sql"]);
    assert_eq!((code, &printed), (0, &script), "{said}");
    let application = Application::start(&world);
    world.psql(&script);
    world.psql(&script);
    let (_, left, said) = world.adopt(&["--print-sql"]);
    assert_eq!((left.as_str(), said.as_str()), ("", "Nothing is left to be run.\n"));
    let (code, out, said) = world.adopt(&[]);
    assert_eq!((code, out.as_str()), (0, "shop: shop is generation 1 in slot 0\n"), "{said}");
    assert_eq!(application.failures(), 0, "the application must notice nothing: {}", errors(&world));
    no_canary(&world, &[&script, &printed, &out, &said]);
    world.rotate("in force     generation 2 in slot 1, publication 2");
}

#[test]
fn killed_anywhere_it_is_completed_by_the_next_try() {
    let world = World::new(true);
    // In the order in which they are passed; each try goes on where the last one died.
    let points = [
        "before:append",
        "after:append",
        "before:prepare",
        "after:prepare",
        "before:commit:rest",
        "before:commit",
        "after:commit",
        "before:adopt",
        "after:adopt",
        "before:put",
        "after:put",
        "before:point",
        "after:point",
        "before:commit:rest",
        "before:commit",
        "after:commit:rest",
    ];
    for point in points {
        let (code, out, said) = world.killed_at(point);
        assert_eq!(code, -1, "{point} was not reached: {out}{said}");
    }
    let (code, _, said) = world.adopt(&[]);
    assert!(code == 1 && said.contains("in force already: generation 1"), "{said}");
    world.rotate("in force     generation 2 in slot 1, publication 2");
}

#[test]
fn a_password_that_changes_in_the_middle_is_adopted_instead() {
    let world = World::new(true);
    assert_eq!(world.killed_at("after:point").0, -1);
    world.postgres.execute("postgres", "ALTER ROLE shop PASSWORD 'canary-4711-another'").unwrap();
    let (code, _, said) = world.adopt(&[]);
    assert!(code == 1 && said.contains("refused user shop with this password"), "{said}");
    world.write("shop.password", "canary-4711-another");
    let (code, out, said) = world.adopt(&[]);
    assert_eq!((code, out.as_str()), (0, "shop: shop is generation 1 in slot 0\n"), "{said}");
    world.rotate("in force     generation 2 in slot 1, publication 3");
}

#[test]
fn what_cannot_be_adopted_is_said_in_words() {
    let world = World::new(true);
    world.write("wrong.password", "not-it");
    let (code, _, said) = world.run(&["adopt", "shop", "--user", "shop", "--password-file", "wrong.password"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("refused user shop with this password") && said.contains("nothing was changed"), "{said}");
    let (code, _, said) = world.run(&["adopt", "shop", "--user", "stranger", "--password-file", "shop.password"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("does not name stranger as one of the group's twins"), "{said}");
    let (code, _, said) = world.run(&["adopt", "others", "--user", "shop", "--password-file", "shop.password"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the configuration has no group others"), "{said}");
    world.postgres.execute("postgres", "ALTER ROLE shop NOINHERIT VALID UNTIL '2200-01-01'").unwrap();
    let (code, _, said) = world.adopt(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("and run: ALTER ROLE shop INHERIT;") && said.contains("end of validity"), "{said}");
    world.postgres.execute("postgres", "ALTER ROLE shop INHERIT VALID UNTIL 'infinity'").unwrap();
    let mut piped = world.command(&["adopt", "shop", "--user", "shop", "--password-stdin", "--check"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    let (code, out, said) = parts(&child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{said}");
    assert!(out.starts_with("shop: shop logs in with this password\n"), "{out}");
    assert!(Path::new(&world.path("handover.toml")).exists());
}
