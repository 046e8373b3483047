//! Whether answers tell what nobody asked to be told: which generation is in force, or what groups there are.

use std::path::Path;

use handover_testkit::rig::{GROUP, Options, Rig};

use crate::http;

/// The rotation waits in Drain for far longer than the test takes.
const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"1h\"\npasses_min = 1\nfetch_to_load_max = \"100ms\"";

fn token(rig: &Rig, identity: &str, role: &str) -> String {
    std::fs::read_to_string(rig.token_file(identity, role).unwrap()).unwrap().trim().to_owned()
}

fn wait_for(rig: &Rig, phase: &str) {
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let status = rig.succeed(&["status", GROUP, "--output", "json"]).unwrap();
        if status.contains(phase) {
            return;
        }
        assert!(std::time::Instant::now() < limit, "{phase} did not come; last: {status}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// S54: wrong acknowledgements of every generation are answered alike, without asking the target anything; so are groups
/// that a token does not cover and groups that there are none of.
#[test]
fn guesses_are_answered_alike() {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    let port = http::port(&rig.url());
    let (consumer, viewer) = (token(&rig, "worker", "consumer"), token(&rig, "eve", "viewer"));
    rig.succeed(&["rotate", GROUP]).unwrap();
    wait_for(&rig, "\"done\"");
    rig.succeed(&["rotate", GROUP]).unwrap();
    wait_for(&rig, "drain");

    let guess = |generation: u64, publication: u64| {
        let body = format!(
            r#"{{"role":"presenter","publication":{publication},"generation":{generation},"item":"value","reach":"used",
                "nonce":"{}","proof":"{}"}}"#,
            "ab".repeat(32),
            "cd".repeat(32)
        );
        http::ask(port, "POST", "/v1/groups/app/ack", &consumer, &body)
    };
    let first = guess(1, 1);
    assert!((400..500).contains(&first.0), "{first:?}");
    // Two is in force, one still is valid, three is not yet.
    for (generation, publication) in [(2, 2), (3, 3), (2, 1), (1, 2), (0, 0), (u64::MAX, u64::MAX)] {
        assert_eq!(guess(generation, publication), first, "generation {generation}, publication {publication}");
    }

    let denied = |path: &str, token: &str| {
        let (status, body) = http::ask(port, "GET", path, token, "");
        (status, body.replace("app", "GROUP").replace("no-such-group", "GROUP"))
    };
    for verb in ["", "/explain", "/plan", "/history"] {
        let paths = ["app", "no-such-group"].map(|group| format!("/v1/groups/{group}{verb}"));
        assert_eq!(denied(&paths[0], &consumer), denied(&paths[1], &consumer), "a consumer at {verb}");
        assert_eq!(denied(&paths[0], "hnd_none"), denied(&paths[1], "hnd_none"), "nobody at {verb}");
    }
    let value = denied("/v1/groups/app/secret", &viewer);
    assert_eq!(value.0, 403, "a viewer sees no value: {value:?}");
    assert_eq!(value, denied("/v1/groups/no-such-group/secret", &viewer));

    // Two guesses are answered without a login, so that no answer's time depends on what the target lets in. At the
    // phase's own looks, which go on meanwhile, only the admin logs in.
    let logins = |log: &str| {
        let twins = rig.roles.twins.iter().map(|twin| format!("user={twin} "));
        twins.map(|part| log.matches(&part).count()).sum::<usize>()
    };
    let before = logins(&rig.postgres.log());
    for _ in 0..100 {
        assert_eq!(guess(1, 1), first);
    }
    let more = logins(&rig.postgres.log()) - before;
    assert!(more < 50, "a hundred guesses made {more} logins");
}
