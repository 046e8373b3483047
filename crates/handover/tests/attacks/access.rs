//! Who may ask for what, and by which configuration, in the audit trail of a real server that is killed meanwhile.

use crate::http;
use crate::installation::Installation;

/// A token that an insider makes or takes away is in the trail, also if the server was killed or down meanwhile; and once.
#[test]
fn tokens_and_reloads_are_in_the_audit_trail_once() {
    let installed = Installation::new("");
    let trail = || {
        let ran = installed.run(&["audit", "export", "--format", "jsonl"]);
        assert_eq!(ran.exit, 0, "{}", ran.said);
        ran.out.replace('\\', "")
    };
    let holds = |event: &str, word: &str| {
        trail().lines().filter(|line| line.contains(&format!("\"{event}\"")) && line.contains(word)).count()
    };
    let anna = installed.token("anna", &["--role", "operator", "--group", "*"]);
    let anna = std::fs::read_to_string(anna).unwrap().trim().to_owned();
    installed.start(&[]);
    let _ = installed.token("eve", &["--role", "viewer", "--group", "*"]);
    installed.wait("both tokens in the trail", || {
        holds("token_added", "\"anna\"") == 1 && holds("token_added", "\"eve\"") == 1
    });
    assert_eq!(http::ask(installed.port, "POST", "/v1/reload", &anna, "{}").0, 200);
    assert_eq!(holds("reloaded", "\"anna\""), 1, "{}", trail());

    installed.kill();
    assert_eq!(installed.run(&["token", "revoke", "--identity", "eve"]).exit, 0);
    installed.start(&[]);
    installed.wait("the revocation in the trail", || holds("token_removed", "") == 1);
    installed.kill();
    installed.start(&[]);
    let _ = installed.token("last", &["--role", "viewer", "--group", "*"]);
    installed.wait("what came last in the trail", || holds("token_added", "\"last\"") == 1);
    let counts = ["\"anna\"", "\"eve\""].map(|name| holds("token_added", name));
    assert_eq!((counts, holds("token_removed", "")), ([1, 1], 1), "{}", trail());
    assert!(!trail().contains(&anna), "no token");
    assert_eq!(installed.run(&["audit", "verify"]).exit, 0);
}
