//! While the old generation is watched.

use handover_sdk::postgres::{Dialler, Options};
use handover_testkit::rig::{DATABASE, GROUP};

use crate::stage::{POLICY, Stage, alone};

/// F26, F44: the consumer acknowledged, and a session with the old credential shows that it lies.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_acknowledged_and_kept_the_old_credential_is_found_by_its_session() {
    let stage = Stage::set(POLICY, alone()).await;
    let old = stage.consumer.live.current();
    let kept = stage.session(&old).await;
    stage.order("rotate");
    let status = stage.waits_for("in_use").await;
    assert_eq!(status["rotation"]["phase"], "drain", "{status:#}");
    let acked = status["consumers"][0]["publication"].as_u64().unwrap();
    assert_eq!(acked, status["publication"].as_u64().unwrap(), "it says that it moved: {status:#}");
    // Many more looks than a quiet time takes. Every statement is in the server's log.
    let looks = || stage.rig.postgres.log().matches("FROM pg_stat_activity WHERE usename").count();
    // Our user may not read other sessions' details: the count stands, and the address is unknown.
    let explained = stage.rig.succeed(&["explain", GROUP]).unwrap();
    assert!(explained.contains("1 seen, from an address that our user may not see (1)"), "{explained}");
    let before = looks();
    let status = stage.wait("twenty more looks", |_| looks() > before + 20).await;
    assert_eq!(status["rotation"]["phase"], "drain", "{status:#}");
    assert!(stage.lets_in(&old).await, "the old generation stays valid");
    drop(kept);
    stage.ends_as("success").await;
    assert!(!stage.lets_in(&old).await, "it is retired");
}

/// F45: the policy ends sessions after a deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_on_an_old_session_is_ended_where_the_policy_says_so() {
    let deadline = "deadlines = { drain = { after = \"2s\", then = \"terminate_sessions\" } }";
    let stage = Stage::set(&format!("{POLICY}\n{deadline}"), alone()).await;
    let old = stage.consumer.live.current();
    let job = stage.session(&old).await;
    stage.order("rotate");
    stage.waits_for("in_use").await;
    assert!(job.simple_query("SELECT 1").await.is_ok(), "it works until then");
    stage.ends_as("success").await;
    assert!(job.simple_query("SELECT 1").await.is_err(), "and it was ended before the brake");
}

/// F43: unknown is not none, and nothing is retired.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_asked_in_drain_leaves_use_unknown() {
    let stage = Stage::set(&POLICY.replace("500ms", "3s"), alone()).await;
    let old = stage.consumer.live.current();
    stage.order("rotate");
    stage.comes_to("drain").await;
    stage.proxy.fall_silent(true);
    let status = stage.waits_for("use_unknown").await;
    assert_eq!(status["rotation"]["phase"], "drain", "{status:#}");
    assert!(stage.lets_in(&old).await, "the old generation stays valid");
    stage.proxy.fall_silent(false);
    stage.waits_for("quiet").await;
    stage.ends_as("success").await;
}

/// F44: what our user may not read is not needed; what it must read is missed at once, and is not taken for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn rights_to_see_sessions_that_are_lost_in_drain_leave_use_unknown() {
    let stage = Stage::set(&POLICY.replace("500ms", "3s"), alone()).await;
    let admin = &stage.rig.roles.admin;
    let superuser = stage.rig.postgres.superuser(DATABASE).await.unwrap();
    let statement = format!("SELECT pg_has_role('{admin}', 'pg_read_all_stats', 'MEMBER')");
    assert!(!superuser.query_one(&statement, &[]).await.unwrap().get::<_, bool>(0), "it is not needed");
    let old = stage.consumer.live.current();
    let kept = stage.session(&old).await;
    stage.order("rotate");
    stage.waits_for("in_use").await;
    stage.sql("REVOKE SELECT ON pg_stat_activity FROM PUBLIC");
    drop(kept);
    let status = stage.waits_for("use_unknown").await;
    assert_eq!(status["rotation"]["phase"], "drain", "{status:#}");
    assert!(stage.lets_in(&old).await, "the old generation stays valid");
    stage.sql("GRANT SELECT ON pg_stat_activity TO PUBLIC");
    stage.ends_as("success").await;
}

/// F46: each session that is seen starts the quiet time anew, and its address is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_opened_anew_starts_the_quiet_time_anew() {
    let stage = Stage::set(&POLICY.replace("500ms", "3s"), alone()).await;
    stage.sql(&format!("GRANT pg_read_all_stats TO {}", stage.rig.roles.admin));
    let old = stage.consumer.live.current();
    stage.order("rotate");
    for _ in 0..2 {
        stage.waits_for("quiet").await;
        let again = stage.session(&old).await;
        stage.waits_for("in_use").await;
        let explained = stage.rig.succeed(&["explain", GROUP]).unwrap();
        assert!(explained.contains("1 seen, from 127.0.0.1 (1)"), "{explained}");
        drop(again);
    }
    stage.ends_as("success").await;
    let history = stage.rig.succeed(&["audit", "export"]).unwrap();
    let told = history.lines().filter(|line| line.contains("in_use") && line.contains("127.0.0.1 (1)")).count();
    assert_eq!(told, 1, "each address is told once in a rotation: {history}");
    assert!(!stage.lets_in(&old).await, "it is retired");
}

/// I4: what is open at a replica counts as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_a_replica_keeps_drain_shut() {
    let stage = Stage::set(POLICY, alone()).await;
    let replica = stage.rig.postgres.replica().unwrap();
    stage.add_endpoint(&format!("{{ name = \"replica\", host = \"127.0.0.1\", port = {} }}", replica.port()));
    let ca = std::fs::read(stage.rig.postgres.ca_path()).unwrap();
    let reports = Dialler::new(&Options::new("127.0.0.1", replica.port(), DATABASE, ca)).unwrap();
    let old = stage.consumer.live.current();
    let report = reports.dial(&old).await.unwrap();
    stage.order("rotate");
    let status = stage.waits_for("in_use").await;
    assert_eq!(status["rotation"]["phase"], "drain", "{status:#}");
    assert!(stage.lets_in(&old).await, "the old generation stays valid");
    assert!(report.simple_query("SELECT 1").await.is_ok(), "and its work goes on");
    drop(report);
    stage.ends_as("success").await;
}
