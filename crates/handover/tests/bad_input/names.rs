//! Names of roles that need quoting work to the letter, and those that cannot be are refused.

use handover_testkit::rig::GROUP;

use crate::transcript::{Transcript, edit, mend_as_told, rig};

const OWNER: &str = r#"Eigentümer "des" Ganzen"#;
const A: &str = r#"a'; DROP ROLE "victim"; --"#;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// S14: on the real program and a real server.
#[test]
fn names_that_need_quoting_rotate() {
    let rig = rig();
    // 63 bytes, the most that there is, two of them in one character.
    let b = format!("{}é", "B".repeat(61));
    let [old_a, old_b] = &rig.roles.twins;
    let (owner, admin) = (&rig.roles.owner, &rig.roles.admin);
    rig.postgres
        .execute(
            "app",
            &format!(
                "CREATE ROLE victim NOLOGIN; ALTER ROLE {owner} RENAME TO {0}; ALTER ROLE {old_a} RENAME TO {1};
                 ALTER ROLE {old_b} RENAME TO {2}; ALTER ROLE {1} SET role = {0}; ALTER ROLE {2} SET role = {0};
                 ALTER ROLE {admin} RENAME TO \"our user\"; ALTER ROLE \"our user\" PASSWORD '{3}'",
                quoted(OWNER),
                quoted(A),
                quoted(&b),
                rig.roles.admin_password
            ),
        )
        .unwrap();
    edit(&rig, &format!("owner = \"{owner}\""), &format!("owner = {}", literal(OWNER)));
    edit(&rig, &format!("\"{old_a}\", \"{old_b}\""), &format!("{}, {}", literal(A), literal(&b)));
    edit(&rig, &format!("user = \"{admin}\""), "user = \"our user\"");
    rig.succeed(&["check", "--online"]).unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    let status = rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "60s"]).unwrap();
    assert!(status.contains("generation 2 in slot 1"), "{status}");
    let there = "DO $$ BEGIN ASSERT (SELECT count(*) = 1 FROM pg_roles WHERE rolname = 'victim'); END $$";
    rig.postgres.execute("app", there).unwrap();

    // What is printed to be run can be run.
    rig.postgres.execute("app", &format!("REVOKE {} FROM {}", quoted(OWNER), quoted(A))).unwrap();
    let mut transcript = Transcript::of("names", &rig);
    transcript.case("a grant is missing");
    assert_eq!(transcript.run(&["check", "--online"]), 1);
    mend_as_told(&rig);
    for (title, name) in [
        ("64 bytes", format!("\"{}\"", "x".repeat(64))),
        ("a NUL", "\"a\\u0000b\"".to_owned()),
        ("nothing", "\"\"".to_owned()),
        ("the server's own", "\"pg_monitor\"".to_owned()),
        ("the other twin", literal(&b)),
    ] {
        transcript.case(title);
        edit(&rig, &format!("twins = [{}", literal(A)), &format!("twins = [{name}"));
        assert_eq!(transcript.run(&["check"]), 2, "{title}");
        edit(&rig, &format!("twins = [{name}"), &format!("twins = [{}", literal(A)));
    }
    transcript.end();
}
