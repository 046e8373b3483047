//! Alerts of a real server: each begins once, is shown, survives a restart, and is over.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::Receiver;
use serde_json::Value;

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\npasses_min = 1";

/// Longer than the server takes from one look to the next.
const PATIENCE: Duration = Duration::from_secs(60);

fn rig(receiver: &Receiver) -> Rig {
    // Nobody acknowledges for this consumer.
    let options = Options { consumers: vec!["worker"], policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    std::fs::write(rig.path("slack.url"), receiver.url()).unwrap();
    std::fs::set_permissions(rig.path("slack.url"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let named = format!("name = \"{GROUP}\"\n");
    let text = text.replacen(&named, &format!("{named}age_max = \"2s\"\n"), 1).replacen(
        "[[group]]",
        "[alerts]\npropagate_max = \"1s\"\n\n[[notify]]\nkind = \"slack\"\nname = \"channel\"\nurl_file = \"slack.url\"\n\
         allow_private = true\nevents = [\"stuck\", \"overdue\", \"alert_over\"]\n\n[[group]]",
        1,
    );
    std::fs::write(&file, text).unwrap();
    rig.start(&[]).unwrap();
    rig
}

/// What `status` says beside the groups.
fn said(rig: &Rig) -> String {
    String::from_utf8(rig.run(&["status"]).unwrap().stderr).unwrap()
}

fn until(what: &str, rig: &Rig, holds: impl Fn(&str) -> bool) {
    let limit = Instant::now() + PATIENCE;
    loop {
        let seen = said(rig);
        if holds(&seen) {
            return;
        }
        assert!(Instant::now() < limit, "{what} did not come; last seen: {seen}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn recorded(rig: &Rig, event: &str, alert: &str) -> usize {
    let out = rig.succeed(&["history", GROUP, "--limit", "500", "--output", "json"]).unwrap();
    let out: Value = serde_json::from_str(&out).unwrap();
    let of = |record: &&Value| record["event"] == event && record["fields"]["alert"] == alert;
    out["records"].as_array().unwrap().iter().filter(of).count()
}

#[test]
fn an_alert_is_raised_once_and_is_over_once() {
    let receiver = Receiver::start().unwrap();
    let rig = rig(&receiver);
    assert!(!said(&rig).contains("alert"), "nothing is wrong yet: {}", said(&rig));
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("stuck", &rig, |said| said.contains("alert stuck of app since "));
    let explained = rig.run(&["explain", GROUP]).unwrap();
    assert!(String::from_utf8_lossy(&explained.stderr).contains("alert stuck of app"), "{explained:?}");

    rig.kill();
    rig.start(&[]).unwrap();
    until("stuck after a start", &rig, |said| said.contains("alert stuck of app since "));

    rig.succeed(&["force", GROUP, "--reason", "worker is gone"]).unwrap();
    until("the age", &rig, |said| said.contains("alert overdue of app") && !said.contains("stuck"));
    for (event, alert) in [("alerted", "stuck"), ("alert_over", "stuck"), ("alerted", "overdue")] {
        assert_eq!(recorded(&rig, event, alert), 1, "{event} {alert}");
    }
    let limit = Instant::now() + PATIENCE;
    let told = || receiver.taken().into_iter().map(|request| request.body).collect::<Vec<_>>();
    while told().len() < 3 {
        assert!(Instant::now() < limit, "{:?} were told", told());
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = told();
    assert!(told[0].contains("app: waits too long for its consumers, alert: stuck"), "{told:?}");
    assert!(told.iter().any(|one| one.contains("an alert is over, alert: stuck")), "{told:?}");
    assert!(told.iter().any(|one| one.contains("the credential is older than allowed")), "{told:?}");
}

/// The old one may be disabled although somebody uses it: an order that is told for as long as its rotation goes on.
#[test]
fn a_rotation_that_was_forced_is_alerted() {
    let receiver = Receiver::start().unwrap();
    let rig = rig(&receiver);
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("stuck", &rig, |said| said.contains("alert stuck"));
    rig.succeed(&["force", GROUP, "--reason", "first one"]).unwrap();
    let limit = Instant::now() + PATIENCE;
    while !rig.succeed(&["status"]).unwrap().contains("success (done)") {
        assert!(Instant::now() < limit, "the rotation does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    until("the end of the alert", &rig, |said| !said.contains("stuck"));
    // The brake of the next one keeps it live for as long as it is looked at.
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("brake_for = \"300ms\"", "brake_for = \"1h\"");
    std::fs::write(&file, text).unwrap();
    assert!(rig.hang_up() && rig.says_within("configuration taken", PATIENCE));
    rig.succeed(&["rotate", GROUP]).unwrap();
    until("stuck again", &rig, |said| said.contains("alert stuck"));
    rig.succeed(&["force", GROUP, "--reason", "second one"]).unwrap();
    until("forced", &rig, |said| said.contains("alert forced of app") && !said.contains("stuck"));
    rig.succeed(&["rollback", GROUP]).unwrap();
    until("stuck on the way back", &rig, |said| said.contains("alert stuck"));
}
