//! Up to the publication.

use std::time::{Duration, Instant};

use handover_testkit::rig::GROUP;

use crate::stage::{POLICY, Stage, alone, both};

/// F06: in Apply, and it goes on by itself when the server answers again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_holds_up_apply_and_nothing_else() {
    let stage = Stage::set(POLICY, alone()).await;
    // A controller that died before it changed the target finds nobody who answers when it starts again.
    stage.rig.stop().unwrap();
    stage.rig.start(&[("HANDOVER_FAULT_POINT", "before:accept#1=kill")]).unwrap();
    // It may die before it answers.
    drop(stage.rig.run(&["rotate", GROUP]).unwrap());
    assert!(stage.rig.ends_within(Duration::from_secs(60)), "it comes to Apply: {}", stage.rig.said());
    stage.proxy.fall_silent(true);
    stage.rig.start(&[]).unwrap();
    let held = stage.proxy.held();
    // Its first look is at what it takes over, which is no trouble of the rotation: the log names the fault.
    let told = || stage.rig.said().contains("HO0101");
    stage.wait("two calls that nobody answers", |_| stage.proxy.held() > held + 1 && told()).await;
    let status = stage.status();
    assert_eq!((&status["rotation"]["phase"], &status["current"]["generation"]), (&"apply".into(), &1.into()));
    stage.proxy.fall_silent(false);
    stage.ends_as("success").await;
}

/// F08: in the middle of a rotation it waits, is tried ever less often, and prints the grant.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_lost_in_the_middle_is_asked_for() {
    let stage = Stage::set(POLICY, both()).await;
    let admin = &stage.rig.roles.admin;
    stage.order("rotate");
    stage.comes_to("propagate").await;
    stage.sql(&format!("ALTER ROLE {admin} NOCREATEROLE"));
    stage.slow_moves();
    stage.comes_to("disable").await;
    // Every statement is in the server's log.
    let tries = || stage.rig.postgres.log().lines().filter(|line| line.contains("permission denied")).count();
    let since = Instant::now();
    stage.wait("four tries", |_| tries() >= 4).await;
    assert!(since.elapsed() > Duration::from_secs(1), "four tries within {:?} are a storm", since.elapsed());
    let explained = stage.rig.succeed(&["explain", GROUP]).unwrap();
    assert!(explained.contains(&format!("ALTER ROLE \"{admin}\" CREATEROLE")), "{explained}");
    stage.sql(&format!("ALTER ROLE {admin} CREATEROLE"));
    stage.ends_as("success").await;
}

/// A replica that does not replay stands for a front end at which the candidate is not valid yet.
async fn behind(policy: &str) -> (Stage, handover_testkit::servers::Postgres) {
    let stage = Stage::set(policy, alone()).await;
    let replica = stage.rig.postgres.replica().unwrap();
    stage.add_endpoint(&format!("{{ name = \"replica\", host = \"127.0.0.1\", port = {} }}", replica.port()));
    replica.superuser("postgres").await.unwrap().batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    (stage, replica)
}

/// F12: nothing is published before all endpoints let it in.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_one_endpoint_does_not_know_yet_is_not_published() {
    let (stage, replica) = behind(&POLICY.replace("passes_min = 1", "passes_min = 3")).await;
    let publication = stage.status()["publication"].clone();
    stage.order("rotate");
    stage.explains("endpoint replica has not replayed the change").await;
    let status = stage.status();
    assert_eq!((&status["publication"], &status["current"]["generation"]), (&publication, &1.into()), "{status:#}");
    replica.superuser("postgres").await.unwrap().batch_execute("SELECT pg_wal_replay_resume()").await.unwrap();
    stage.ends_as("success").await;
    assert_eq!(stage.status()["current"]["generation"], 2);
}

/// F13: at the deadline it is rolled back, and the old one stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_never_becomes_valid_is_rolled_back_at_the_deadline() {
    let deadline = "deadlines = { verify = { after = \"2s\", then = \"rollback\" } }";
    let (stage, replica) = behind(&format!("{POLICY}\n{deadline}")).await;
    let publication = stage.status()["publication"].clone();
    stage.order("rotate");
    stage.ends_as("rolled_back").await;
    let status = stage.status();
    assert_eq!((&status["current"]["generation"], &status["rotation"]["cause"]), (&1.into(), &"deadline".into()));
    assert_eq!(status["publication"], publication, "nothing was published: {status:#}");
    drop(replica);
}
