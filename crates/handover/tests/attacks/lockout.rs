//! Logins that fail: those of an attacker must not stop a rotation, and ours must be few.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};

const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"200ms\"\nbrake_for = \"200ms\"\npasses_min = 1";

/// More failed logins in one rotation than this may lock an account where somebody counts them.
const OUR_FAILURES_MAX: usize = 5;

fn rig() -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig
}

fn refused(rig: &Rig, user: &str) -> usize {
    let log = rig.postgres.log();
    let denied = format!("role \"{user}\" is not permitted to log in");
    let wrong = format!("password authentication failed for user \"{user}\"");
    log.lines().filter(|line| line.contains(&denied) || line.contains(&wrong)).count()
}

/// S55: in a rotation, our own probes are refused a few times for each user, however long a phase waits.
#[test]
fn our_probes_fail_a_few_times_at_the_most() {
    let rig = rig();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    for user in &rig.roles.twins {
        let failures = refused(&rig, user);
        assert!(failures <= OUR_FAILURES_MAX, "{user} was refused {failures} times:\n{}", rig.postgres.log());
    }
}

/// S55: with a wrong password of our own, logins are tried ever less often.
#[test]
fn a_wrong_password_of_ours_is_not_tried_again_and_again() {
    let rig = rig();
    rig.stop().unwrap();
    std::fs::write(rig.path("admin.password"), "wrong").unwrap();
    rig.start(&[]).unwrap();
    let begun = Instant::now();
    assert!(!rig.run(&["rotate", GROUP, "--wait", "--wait-max", "6s"]).unwrap().status.success());
    let failures = refused(&rig, &rig.roles.admin);
    assert!(failures > 0, "it was tried");
    let limit = 10 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(failures <= limit, "{failures} failed logins in {:?}", begun.elapsed());
}

/// S55: a rotation goes through while somebody tries one wrong password after another for both users and for ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_failed_logins_does_not_stop_a_rotation() {
    let rig = Arc::new(rig());
    let (stop, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let users = [rig.roles.twins[0].clone(), rig.roles.twins[1].clone(), rig.roles.admin.clone()];
    let attackers: Vec<_> = users
        .into_iter()
        .map(|user| {
            let (rig, stop, tried) = (Arc::clone(&rig), Arc::clone(&stop), Arc::clone(&tried));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    assert!(rig.postgres.connect(&user, "guess", DATABASE).await.is_err(), "a guess was right");
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let limit = Instant::now() + Duration::from_secs(30);
    while tried.load(Ordering::Relaxed) < 20 {
        assert!(Instant::now() < limit, "the attack did not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ordering = Arc::clone(&rig);
    let rotated =
        tokio::task::spawn_blocking(move || ordering.succeed(&["rotate", GROUP, "--wait", "--wait-max", "90s"]));
    let status = rotated.await.unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    for attacker in attackers {
        attacker.await.unwrap();
    }
    assert!(status.contains("generation 2"), "{status}");
}
