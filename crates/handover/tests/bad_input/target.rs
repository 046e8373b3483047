//! Servers that cannot be reached, do not let us in, cannot write, or hold what is not ours.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use handover_testkit::rig::{GROUP, Rig};
use handover_testkit::servers::Certificates;

use crate::transcript::{Transcript, census, edit, mend_as_told, rig};

/// Passes on what comes to another address of this machine, so that a certificate names another host.
fn other_address(port: u16) -> Option<u16> {
    let listener = TcpListener::bind(("127.0.0.2", 0)).ok()?;
    let own = listener.local_addr().ok()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let (mut from, mut to) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, stream);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    Some(own)
}

fn endpoint(rig: &Rig, host: &str, port: u16) -> (String, String) {
    let here = format!("host = \"127.0.0.1\", port = {}", rig.postgres.port());
    (here, format!("host = \"{host}\", port = {port}"))
}

/// Checks with a change of the configuration that is taken back.
fn with(transcript: &mut Transcript, rig: &Rig, title: &str, from: &str, to: &str) {
    transcript.case(title);
    edit(rig, from, to);
    assert_eq!(transcript.run(&["check", "--online"]), 1, "{title}");
    edit(rig, to, from);
}

#[test]
fn a_server_that_cannot_be_reached_or_does_not_let_us_in() {
    let rig = rig();
    let mut transcript = Transcript::of("unreachable", &rig);
    transcript.case("all is well");
    assert_eq!(transcript.run(&["check", "--online"]), 0);
    let before = census(&rig.postgres);

    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let closed = free.local_addr().unwrap().port();
    drop(free);
    transcript.call(&format!("127.0.0.1:{closed}"), "CLOSED");
    let (here, there) = endpoint(&rig, "127.0.0.1", closed);
    with(&mut transcript, &rig, "nothing listens there", &here, &there);
    let (_, there) = endpoint(&rig, "nowhere.invalid", 5432);
    with(&mut transcript, &rig, "the name is unknown", &here, &there);
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    transcript.call(&format!("127.0.0.1:{port}"), "SILENT");
    let (_, there) = endpoint(&rig, "127.0.0.1", port);
    edit(&rig, "database =", "connect_timeout_ms = 300\ndatabase =");
    with(&mut transcript, &rig, "it takes the connection and says nothing", &here, &there);
    edit(&rig, "connect_timeout_ms = 300\n", "");
    let port = other_address(rig.postgres.port()).unwrap();
    transcript.call(&format!("127.0.0.2:{port}"), "OTHER_NAME");
    let (_, there) = endpoint(&rig, "127.0.0.2", port);
    with(&mut transcript, &rig, "the certificate names another host", &here, &there);
    std::fs::write(rig.path("other-ca.pem"), Certificates::generate().unwrap().ca_pem).unwrap();
    let ca = rig.postgres.ca_path().display().to_string();
    with(&mut transcript, &rig, "another CA", &ca, "other-ca.pem");
    with(&mut transcript, &rig, "no such database", "database = \"app\"", "database = \"no \\\"such\\\" database\"");
    let admin = format!("user = \"{}\"", rig.roles.admin);
    with(&mut transcript, &rig, "no such user", &admin, "user = \"nobody\"");
    std::fs::copy(rig.path("admin.password"), rig.path("right.password")).unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(rig.path("admin.password"))
        .unwrap()
        .write_all(b"canary")
        .unwrap();
    transcript.case("a wrong password");
    assert_eq!(transcript.run(&["check", "--online"]), 1);
    std::fs::rename(rig.path("right.password"), rig.path("admin.password")).unwrap();
    rig.postgres.execute("app", "REVOKE CONNECT ON DATABASE app FROM PUBLIC").unwrap();
    transcript.case("no right to connect");
    assert_eq!(transcript.run(&["check", "--online"]), 1);
    rig.postgres.execute("app", "GRANT CONNECT ON DATABASE app TO PUBLIC").unwrap();
    let sink = "[[sink]]\nkind = \"syslog\"\nname = \"siem\"\ntransport = \"tcp\"\naddress = \"CLOSED\"\n\n[[group]]"
        .replace("CLOSED", &format!("127.0.0.1:{closed}"));
    with(&mut transcript, &rig, "a sink that nobody listens behind", "[[group]]", &sink);

    assert_eq!(census(&rig.postgres), before, "nothing was touched");
    transcript.end();
}

/// F10: said before anything is touched.
#[test]
fn a_server_that_cannot_write() {
    let rig = rig();
    let before = census(&rig.postgres);
    let mut transcript = Transcript::of("read_only", &rig);
    let standby = rig.postgres.replica().unwrap();
    transcript.call(&format!("127.0.0.1:{}", standby.port()), "STANDBY");
    let (here, there) = endpoint(&rig, "127.0.0.1", standby.port());
    with(&mut transcript, &rig, "a hot standby", &here, &there);
    let admin = &rig.roles.admin;
    rig.postgres.execute("app", &format!("ALTER ROLE {admin} SET default_transaction_read_only = on")).unwrap();
    transcript.case("default_transaction_read_only");
    assert_eq!(transcript.run(&["check", "--online"]), 1);
    rig.start(&[]).unwrap();
    let plan = rig.run(&["plan", GROUP]).unwrap();
    assert_eq!(plan.status.code(), Some(1), "a rotation is refused");
    assert_eq!(census(&rig.postgres), before, "nothing was touched");
    rig.postgres.execute("app", &format!("ALTER ROLE {admin} RESET default_transaction_read_only")).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    transcript.end();
}

/// F08: the plan is refused, with what mends it.
#[test]
fn roles_and_rights_that_are_not_as_they_must_be() {
    let rig = rig();
    let mut transcript = Transcript::of("roles", &rig);
    let [a, b] = &rig.roles.twins;
    let (owner, admin) = (&rig.roles.owner, &rig.roles.admin);
    let foreign = "handover:v1 group=others slot=0 generation=4 mark=4.31 state=accepting effect=others/4.1/accept/4";
    // What is spoilt, and how it is mended where that is not what is told.
    let cases: [(&str, String, Option<String>); 9] = [
        ("the owner may log in", format!("ALTER ROLE {owner} LOGIN"), None),
        (
            "a twin is no member of the owner, and does not start as it",
            format!("REVOKE {owner} FROM {a}; ALTER ROLE {a} RESET role"),
            None,
        ),
        ("a twin is a superuser that expires", format!("ALTER ROLE {b} SUPERUSER VALID UNTIL '2099-01-01'"), None),
        ("our user may not change users", format!("ALTER ROLE {admin} NOCREATEROLE"), None),
        ("sessions cannot be counted", "REVOKE SELECT ON pg_stat_activity FROM PUBLIC".to_owned(), None),
        (
            "the owner is not there",
            format!("ALTER ROLE {owner} RENAME TO aside"),
            Some(format!("ALTER ROLE aside RENAME TO {owner}")),
        ),
        (
            "a twin of another group",
            format!("ALTER ROLE {a} LOGIN; COMMENT ON ROLE {a} IS '{foreign}'"),
            Some(format!("ALTER ROLE {a} NOLOGIN; COMMENT ON ROLE {a} IS NULL")),
        ),
        ("a twin that is somebody's", format!("ALTER ROLE {a} LOGIN"), Some(format!("ALTER ROLE {a} NOLOGIN"))),
        ("a twin is not there", format!("ALTER ROLE {b} RENAME TO aside"), None),
    ];
    rig.start(&[]).unwrap();
    for (title, spoil, mend) in cases {
        rig.postgres.execute("app", &spoil).unwrap();
        let before = census(&rig.postgres);
        transcript.case(title);
        assert_eq!(transcript.run(&["check", "--online"]), 1, "{title}");
        let rotate = rig.run(&["rotate", GROUP, "--wait", "--wait-max", "30s"]).unwrap();
        assert_eq!(rotate.status.code(), Some(1), "{title}: a rotation must be refused");
        assert_eq!(census(&rig.postgres), before, "{title}: nothing is touched");
        match mend {
            Some(statements) => rig.postgres.execute("app", &statements).unwrap(),
            None => mend_as_told(&rig),
        }
    }
    transcript.case("all is mended, beside the running server");
    assert_eq!(transcript.run(&["check", "--online"]), 0);
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    transcript.end();
}
