//! Crashes: the real controller is killed with SIGKILL at every fault point of a rotation and of a rollback, before and
//! after every commit and every call of a port, and started again.
//!
//! It is judged from outside. A consumer logs in again and again with what it holds, and must never be refused; after
//! each restart, what the store publishes must log in, and what it published before must not.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use handover_sdk::Credential;
use handover_sdk::postgres::DialError;
use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::ServerError;
use serde_json::Value;

use crate::consumer::{CONSUMER, Consumer};

const QUICK: &str = "passes_min = 1\nquiet_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"100ms\"";

/// One fault point, and which time it is reached counted from the start of the process.
type Point = (String, usize);

struct Stage {
    rig: Rig,
    consumer: Consumer,
}

impl Stage {
    async fn set(policy: &str) -> Self {
        Self::on(Rig::new, policy).await
    }

    async fn on(make: impl FnOnce(&Path, &Options) -> Result<Rig, ServerError>, policy: &str) -> Self {
        let options = Options { consumers: vec![CONSUMER], policy: policy.to_owned(), fsync: false };
        let rig = make(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        rig.start(&[]).unwrap();
        rig.succeed(&["rotate", GROUP]).unwrap();
        let consumer = Consumer::start(&rig).await;
        let stage = Self { rig, consumer };
        stage.wait("the first generation", |status| status["rotation"]["status"] == "success").await;
        stage
    }

    fn status(&self) -> Value {
        consumer::status(&self.rig)
    }

    async fn wait(&self, what: &str, holds: impl FnMut(&Value) -> bool) -> Value {
        consumer::wait(&self.rig, what, holds).await
    }

    async fn wait_for_end(&self) -> Value {
        self.wait("the end", |status| status["rotation"]["phase"] == "done").await
    }

    /// The fault points that `work` comes by, in order, from a fresh start of the controller.
    async fn points(&self, work: impl AsyncFnOnce()) -> Vec<Point> {
        let trace: PathBuf = self.rig.path("trace");
        self.rig.stop().unwrap();
        self.rig.start(&[("HANDOVER_FAULT_TRACE", &trace.display().to_string())]).unwrap();
        work().await;
        self.rig.stop().unwrap();
        self.rig.start(&[]).unwrap();
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        let text = std::fs::read_to_string(trace).unwrap();
        let mut points = Vec::new();
        for name in text.lines() {
            let time = times.entry(name.to_owned()).or_default();
            *time += 1;
            // Looks are repeated at every poll: the first two tell as much as all.
            if *time <= 2 {
                points.push((name.to_owned(), *time));
            }
        }
        points
    }

    /// Starts the controller so that it kills itself at `point`, runs `work`, and starts it again afterwards. Whether
    /// it came to the point.
    async fn crash_at(&self, (name, time): &Point, work: impl AsyncFnOnce()) -> bool {
        self.rig.stop().unwrap();
        let started = self.rig.start(&[("HANDOVER_FAULT_POINT", &format!("{name}#{time}=kill"))]);
        if started.is_ok() {
            work().await;
        }
        let crashed = self.rig.ends_within(Duration::from_secs(5));
        assert!(crashed || started.is_ok(), "the controller did not start: {}", self.rig.said());
        if !crashed {
            self.rig.stop().unwrap();
        }
        self.rig.kill();
        self.rig.start(&[]).unwrap();
        crashed
    }

    /// What the store publishes logs in; what was published before is refused, if it is another generation.
    async fn judge(&self, before: &Credential, point: &Point) {
        let generation = self.status()["current"]["generation"].as_u64().unwrap();
        let published = self.consumer.holds(generation).await;
        let login = self.consumer.dialler.dial(&published).await;
        assert!(login.is_ok(), "after {point:?}, what the store publishes is refused: {:?}", login.err());
        if before.generation() != generation {
            let old = self.consumer.dialler.dial(before).await;
            assert!(matches!(old, Err(DialError::Refused { .. })), "after {point:?}, the old generation is let in");
        }
        let refused = self.consumer.refused.load(Ordering::Relaxed);
        assert_eq!(refused, 0, "after {point:?}, the consumer was refused with what it held\n{}", self.rig.said());
        self.rig.succeed(&["audit", "verify"]).unwrap();
    }
}

async fn order(stage: &Stage, verb: &str) {
    // The controller may die before it answers.
    let _ = stage.rig.run(&[verb, GROUP]).unwrap();
}

/// F01, F02, F03, F48: at each point, before and after each effect and each commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_rotation() {
    let stage = Stage::set(QUICK).await;
    let points = stage
        .points(async || {
            order(&stage, "rotate").await;
            stage.wait_for_end().await;
        })
        .await;
    assert!(points.len() > 30, "a rotation has more fault points than {points:?}");
    kill_in_rotations(&stage, &points).await;
}

/// F48: with a user for each generation, at each point of what makes one, disables it and drops it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_act_on_versioned_users() {
    let stage = Stage::on(Rig::versioned, QUICK).await;
    let mut points = stage
        .points(async || {
            order(&stage, "rotate").await;
            stage.wait_for_end().await;
        })
        .await;
    points.retain(|(name, _)| ["accept", "refuse", "destroy", "remains"].iter().any(|act| name.contains(act)));
    assert!(points.len() > 6, "more acts than {points:?}");
    kill_in_rotations(&stage, &points).await;
    let superuser = stage.rig.postgres.superuser("postgres").await.unwrap();
    let left = superuser.query("SELECT FROM pg_roles WHERE rolname ~ '^app_v[0-9]+$'", &[]).await.unwrap();
    assert_eq!(left.len(), 1, "one user is left after all of them");
}

#[expect(clippy::print_stdout, reason = "how many points there were is the test's result")]
async fn kill_in_rotations(stage: &Stage, points: &[Point]) {
    let mut crashes = 0;
    for point in points {
        let before = stage.consumer.live.current();
        let last = stage.status()["rotation"]["to"]["generation"].as_u64().unwrap();
        if stage.crash_at(point, async || order(stage, "rotate").await).await {
            crashes += 1;
        }
        let status = stage.wait_for_end().await;
        let reached = status["rotation"]["to"]["generation"].as_u64().unwrap();
        assert!(reached <= last + 1, "after {point:?}, a second rotation was started: {status:#}");
        assert_eq!(status["rotation"]["status"], "success", "after {point:?}: {status:#}");
        stage.judge(&before, point).await;
    }
    println!("killed at {crashes} of {} fault points of a rotation", points.len());
    // A point of a look may be passed fewer times than in the traced run; those of acts and commits never.
    assert!(crashes * 10 >= points.len() * 8, "only {crashes} of {} points were reached", points.len());
    assert!(stage.consumer.logins.load(Ordering::Relaxed) > 0, "the consumer did not work");
}

/// F52: at each point of the way back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_rollback() {
    let stage = Stage::set("passes_min = 1\nquiet_min = \"0s\"\nbrake_for = \"1h\"\npoll = \"100ms\"").await;
    let braked = async || {
        order(&stage, "rotate").await;
        stage
            .wait("the brake", |status| {
                let blockers = status["rotation"]["waiting_for"].as_array();
                status["rotation"]["phase"] == "disable"
                    && blockers.is_some_and(|all| all.iter().any(|blocker| blocker["kind"] == "brake"))
            })
            .await;
    };
    braked().await;
    let points = stage
        .points(async || {
            order(&stage, "rollback").await;
            stage.wait_for_end().await;
        })
        .await;
    assert!(points.len() > 20, "a rollback has more fault points than {points:?}");
    let mut crashes = 0;
    for point in &points {
        braked().await;
        let new = stage.consumer.live.current();
        if stage.crash_at(point, async || order(&stage, "rollback").await).await {
            crashes += 1;
        }
        if stage.status()["rotation"]["phase"] == "disable" {
            // It died before the order was committed: nobody was promised anything.
            order(&stage, "rollback").await;
        }
        let status = stage.wait_for_end().await;
        assert_eq!(status["rotation"]["status"], "rolled_back", "after {point:?}: {status:#}");
        stage.judge(&new, point).await;
    }
    println!("killed at {crashes} of {} fault points of a rollback", points.len());
    assert!(crashes * 10 >= points.len() * 8, "only {crashes} of {} points were reached", points.len());
    assert!(stage.consumer.logins.load(Ordering::Relaxed) > 0, "the consumer did not work");
}
