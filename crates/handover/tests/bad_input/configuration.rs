//! Configurations that cannot be used, and files that they name.

use std::os::unix::fs::PermissionsExt as _;

use handover_testkit::servers::Certificates;

use crate::transcript::Transcript;

const GROUP: &str = r#"[[group]]
name = "orders-db"
consumers = [{ name = "orders-api" }]

[group.policy]
poll = "1s"

[group.target]
kind = "postgres"
endpoints = [{ name = "primary", host = "db.internal" }]
database = "orders"
ca_file = "ca.pem"
owner = "orders"
twins = ["orders_a", "orders_b"]
admin = { user = "handover_admin", password_file = "admin.password" }
"#;

#[test]
fn a_configuration_that_cannot_be_meant() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("handover.toml");
    let mut transcript = Transcript::new("configuration", directory.path());
    let nested = GROUP.replace("poll =", "pol =").replace("host =", "hots =").replace("user =", "usr =");
    let types = "listen = 8300\nstate = [\"canary\"]\ncheckpoint_every = 60\naudit_file = true\n".to_owned()
        + &GROUP.replace("poll = \"1s\"", "poll = \"soon-canary\"\npasses_min = \"three\"\nauto_rollback = 1");
    let missing = GROUP.replace("owner = \"orders\"\n", "").replace("name = \"orders-db\"\n", "");
    let meant = format!(
        "listen = \"0.0.0.0:8300\"\ncheckpoint_every = \"0s\"\n{GROUP}{}",
        GROUP
            .replace("orders_b", "orders_a")
            .replace("[\"orders_a\", ", "[\"orders_a\",")
            .replace("consumers = [", "generate.length = 4\nconsumers = [{ name = \"orders-api\" }, ")
    );
    let sinks = "[[sink]]\nkind = \"syslogd\"\nname = \"siem\"\n[[sink]]\nkind = \"http\"\nname = \"x\"\n\
                 [[sink]]\nname = \"y\"\n[[sink]]\nkind = \"syslog\"\nname = \"z\"\naddress = \"h:1\"\nfacility = 300\n";
    let approvals = |keys: &str| GROUP.replace("poll = \"1s\"", keys);
    let depends = |on: &str| GROUP.replace("consumers =", &format!("depends_on = [{on}]\nconsumers ="));
    let circle = depends("\"b\"").replace("orders-db", "a") + &depends("\"a\"").replace("orders-db", "b");
    let cases: [(&str, &str); 18] = [
        ("a group that depends on one that is not there", &depends("\"orders-bd\", \"reports\"")),
        ("a group that depends on itself", &depends("\"orders-db\"")),
        ("groups that depend on one another in a circle", &circle),
        (
            "approvals before gates and with keys that nobody knows",
            &approvals("approvals.disabel = {}\napprovals.start = { quorums = 2 }"),
        ),
        (
            "approvals that nobody can give",
            &approvals(
                "strategy = \"immediate\"\naccept_outage = true\napprovals.disable = {}\napprovals.start = { quorum = 0 }\n\
                 approvals.destroy = { quorum = 3, approvers = [\"anna\", \"ben\"] }",
            ),
        ),
        ("a key with a slip", "lisen = \"127.0.0.1:8300\"\n"),
        ("a key that nobody knows", "colour = \"canary\"\n"),
        ("a key with a slip at every level", &nested),
        (
            "a key in a table that is not its own",
            &GROUP.replace("poll = \"1s\"", "poll = \"1s\"\ndatabase = \"orders\""),
        ),
        ("values of another kind, all at once", &types),
        ("keys that are missing", &missing),
        ("kinds of sinks and targets", sinks),
        ("a target of no known kind", &GROUP.replace("\"postgres\"", "\"postgresql\"")),
        ("one twin instead of two", &GROUP.replace("twins = [\"orders_a\", \"orders_b\"]", "twins = [\"orders_a\"]")),
        ("what the parser takes and nobody can mean", &meant),
        ("a list that does not end, and a key twice", "state = \"canary\nstore = \"a\"\nstore = \"b\"\n"),
        ("a port out of range", &GROUP.replace("\"db.internal\"", "\"db.internal\", port = 70000")),
        ("a key that looks like a value", "\"canary canary\" = 1\n"),
    ];
    for (title, text) in cases {
        std::fs::write(&file, text).unwrap();
        transcript.case(title);
        assert_eq!(transcript.run(&["check"]), 2, "{title}");
    }
    transcript.case("for machines");
    std::fs::write(&file, "lisen = \"canary\"\n").unwrap();
    transcript.run(&["check", "--output", "json"]);
    transcript.case("the server says the same");
    transcript.run(&["serve"]);
    transcript.end();
}

#[test]
fn a_file_that_is_no_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let mut transcript = Transcript::new("file", directory.path());
    let path = |name: &str| directory.path().join(name);
    transcript.case("not there");
    transcript.run(&["check"]);
    transcript.case("a directory");
    std::fs::create_dir(path("folder")).unwrap();
    transcript.run(&["check", "--config", "folder"]);
    transcript.case("not UTF-8");
    std::fs::write(path("latin.toml"), b"# one\n# caf\xe9\n").unwrap();
    transcript.run(&["check", "--config", "latin.toml"]);
    transcript.case("far too long");
    std::fs::File::create(path("long.toml")).unwrap().set_len(129 * 1024 * 1024).unwrap();
    transcript.run(&["check", "--config", "long.toml"]);
    transcript.case("binary");
    std::fs::write(path("binary.toml"), [0_u8, 1, 2, 3, 10, 0, 7]).unwrap();
    transcript.run(&["check", "--config", "binary.toml"]);
    transcript.end();
}

#[test]
fn files_that_the_configuration_names() {
    let directory = tempfile::tempdir().unwrap();
    let mut transcript = Transcript::new("named_files", directory.path());
    let path = |name: &str| directory.path().join(name);
    let mode = |name: &str, mode| std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::write(path("handover.toml"), GROUP).unwrap();
    transcript.case("none of them is there");
    assert_eq!(transcript.run(&["check"]), 2);
    transcript.case("a password that everybody may read, a key that is none, a CA that is none, tokens that are none");
    for name in ["master.key", "ca.pem", "tokens.json", "admin.password"] {
        std::fs::write(path(name), "canary").unwrap();
        mode(name, if name == "admin.password" { 0o644 } else { 0o600 });
    }
    assert_eq!(transcript.run(&["check"]), 2);
    transcript.case("the password is closed, and the CA is still none");
    mode("admin.password", 0o600);
    transcript.run(&["check"]);
    transcript.case("only key and tokens are still none");
    std::fs::write(path("ca.pem"), Certificates::generate().unwrap().ca_pem).unwrap();
    transcript.run(&["check"]);
    transcript.case("all is well again");
    std::fs::remove_file(path("master.key")).unwrap();
    std::fs::remove_file(path("tokens.json")).unwrap();
    std::fs::remove_file(path("handover.toml")).unwrap();
    assert_eq!(
        std::process::Command::new(env!("CARGO_BIN_EXE_handover"))
            .arg("init")
            .arg(directory.path())
            .output()
            .unwrap()
            .status
            .code(),
        Some(0)
    );
    std::fs::write(path("handover.toml"), GROUP).unwrap();
    assert_eq!(transcript.run(&["check"]), 0);
    transcript.end();
}
