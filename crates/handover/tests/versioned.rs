//! A group whose generations each have a user of their own, with the real binary: rotations, the way back, crashes, a
//! user that cannot be dropped, and a rotation that starts over another one.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::path::Path;
use std::sync::atomic::Ordering;

use handover_sdk::postgres::DialError;
use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use serde_json::Value;

use crate::consumer::{CONSUMER, Consumer};

const QUICK: &str = "passes_min = 1\nquiet_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"100ms\"";

struct Stage {
    rig: Rig,
    consumer: Consumer,
}

impl Stage {
    /// The first generation is in force, and the consumer logs in all the time.
    async fn set(policy: &str, others: &[&'static str]) -> Self {
        let consumers = [&[CONSUMER], others].concat();
        let options = Options { consumers, policy: policy.to_owned(), fsync: false };
        let rig = Rig::versioned(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        rig.start(&[]).unwrap();
        rig.succeed(&["rotate", GROUP]).unwrap();
        let consumer = Consumer::start(&rig).await;
        Self { rig, consumer }
    }

    async fn until(&self, what: &str, holds: impl FnMut(&Value) -> bool) -> Value {
        consumer::wait(&self.rig, what, holds).await
    }

    async fn ends(&self, how: &str) -> Value {
        let status = self.until("the end", |status| status["rotation"]["phase"] == "done").await;
        assert_eq!(status["rotation"]["status"], how, "{status:#}");
        status
    }

    /// A rotation whose old generation is disabled, and stays so.
    async fn brake(&self) {
        self.rig.succeed(&["rotate", GROUP]).unwrap();
        self.until("the brake", braked).await;
    }

    fn worker_loads(&self) {
        let mut worker = self.rig.command(&["get", GROUP, "--ack", "loaded"]);
        let output = worker.env("HANDOVER_TOKEN_FILE", self.rig.path("worker.token")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn rotate(&self) {
        self.rig.succeed(&["rotate", GROUP]).unwrap();
        self.ends("success").await;
    }

    /// The versioned users that there are, and which of them may log in.
    async fn users(&self) -> Vec<(String, bool)> {
        let superuser = self.rig.postgres.superuser(DATABASE).await.unwrap();
        let statement = "SELECT rolname::text, rolcanlogin FROM pg_roles WHERE rolname ~ '^app_v[0-9]+$' ORDER BY oid";
        superuser.query(statement, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    fn explain(&self) -> String {
        self.rig.succeed(&["explain", GROUP]).unwrap()
    }

    fn nobody_was_refused(&self) {
        assert!(self.consumer.logins.load(Ordering::Relaxed) > 0, "the consumer did not work");
        assert_eq!(self.consumer.refused.load(Ordering::Relaxed), 0, "{}", self.rig.said());
    }
}

fn braked(status: &Value) -> bool {
    let blockers = status["rotation"]["waiting_for"].as_array();
    status["rotation"]["phase"] == "disable"
        && blockers.is_some_and(|all| all.iter().any(|blocker| blocker["kind"] == "brake"))
}

fn one(name: &str) -> Vec<(String, bool)> {
    vec![(name.to_owned(), true)]
}

/// Three in a row: each generation has its own user, and the one before it is gone. What a user made belongs to the owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_generation_has_its_user_and_leaves_none_behind() {
    let stage = Stage::set(QUICK, &[]).await;
    stage.ends("success").await;
    assert_eq!(stage.users().await, one("app_v1"));
    for number in 2..=4 {
        let before = stage.consumer.live.current();
        let open = stage.consumer.dialler.dial(&before).await.unwrap();
        open.batch_execute(&format!("CREATE TABLE app.made_{number} (n int)")).await.unwrap();
        drop(open);
        stage.rotate().await;
        assert_eq!(stage.users().await, one(&format!("app_v{number}")));
        let now = stage.consumer.holds(number).await;
        stage.consumer.dialler.dial(&now).await.unwrap();
        let old = stage.consumer.dialler.dial(&before).await;
        assert!(matches!(old, Err(DialError::Refused { .. })), "the user is gone");
    }
    assert!(!stage.explain().contains("litter"), "{}", stage.explain());
    stage.nobody_was_refused();
}

/// F47: the user that is retired owns a table in another database and has default privileges. The rotation ends well; the
/// user is left without a password and without the right to log in; what depends on it is told, in words that clear it away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_cannot_be_dropped_is_litter_that_is_told() {
    let stage = Stage::set(&QUICK.replace("brake_for = \"0s\"", "brake_for = \"1h\""), &[]).await;
    stage.ends("success").await;
    stage.brake().await;
    stage.rig.succeed(&["rollback", GROUP]).unwrap();
    stage.ends("rolled_back").await;
    assert_eq!(stage.users().await, one("app_v1"), "the candidate's user is gone");

    stage.brake().await;
    let server = &stage.rig.postgres;
    server.execute("postgres", "CREATE DATABASE reports").unwrap();
    server.execute("reports", "CREATE TABLE sums (n int); ALTER TABLE sums OWNER TO app_v1").unwrap();
    server.execute(DATABASE, "ALTER DEFAULT PRIVILEGES FOR ROLE app_v1 GRANT SELECT ON TABLES TO PUBLIC").unwrap();
    stage.rig.succeed(&["force", GROUP, "--reason", "the brake was held for long enough"]).unwrap();
    stage.ends("success").await;
    assert_eq!(stage.users().await, [("app_v1".to_owned(), false), ("app_v3".to_owned(), true)]);
    let superuser = server.superuser(DATABASE).await.unwrap();
    let password = "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'app_v1'";
    assert!(superuser.query_one(password, &[]).await.unwrap().get::<_, bool>(0), "its password is gone");

    let told = ["it owns table public.sums in database reports", "default privileges", "REASSIGN OWNED BY \"app_v1\""];
    for (place, said) in [("history", stage.rig.succeed(&["history", GROUP]).unwrap()), ("explain", stage.explain())] {
        assert!(said.contains("litter"), "{place}: {said}");
        assert!(told.iter().all(|words| said.contains(words)), "{place}: {said}");
    }
    let clear = "REASSIGN OWNED BY app_v1 TO app_owner; DROP OWNED BY app_v1;";
    server.execute("reports", clear).unwrap();
    server.execute(DATABASE, clear).unwrap();
    server.execute(DATABASE, "DROP ROLE app_v1").unwrap();
    assert!(!stage.explain().contains("litter"), "{}", stage.explain());
    stage.nobody_was_refused();
}

/// A rollback that waits for a consumer is no end: a third user takes over, and the two before it are gone in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_starts_over_a_rollback_that_waits() {
    let stage = Stage::set(&QUICK.replace("brake_for = \"0s\"", "brake_for = \"1h\""), &["worker"]).await;
    stage.rig.token_file("worker", "consumer").unwrap();
    stage.worker_loads();
    stage.ends("success").await;
    stage.rig.succeed(&["rotate", GROUP]).unwrap();
    stage.until("the worker's turn", |status| status["rotation"]["phase"] == "propagate").await;
    stage.worker_loads();
    stage.until("the brake", braked).await;
    stage.rig.succeed(&["rollback", GROUP]).unwrap();
    stage.until("the way back to wait", |status| status["rotation"]["phase"] == "return").await;
    assert!(stage.explain().contains("handover supersede"), "{}", stage.explain());
    stage.rig.succeed(&["supersede", GROUP, "--reason", "the worker will not come back today"]).unwrap();
    stage.until("the third", |status| status["rotation"]["phase"] == "propagate").await;
    assert_eq!(stage.users().await.len(), 3, "all three may log in: {:?}", stage.users().await);
    stage.worker_loads();
    stage.until("the brake", braked).await;
    stage.rig.succeed(&["force", GROUP, "--reason", "the brake was held for long enough"]).unwrap();
    stage.ends("success").await;
    assert_eq!(stage.users().await, one("app_v3"));
    stage.nobody_was_refused();
}
