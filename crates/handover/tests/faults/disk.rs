//! Flushes of the real controller's files that kill it, fail, or are torn. strace does it, so that nothing of it is in
//! the program.

use std::time::{Duration, Instant};

use handover_sdk::Credential;
use handover_testkit::rig::GROUP;
use handover_testkit::servers::tool;

use crate::stage::{Stage, alone};

const POLICY: &str = "passes_min = 1\nquiet_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"100ms\"";
const PATIENCE: Duration = Duration::from_secs(60);
/// A rotation with the start before it has fewer.
const FLUSHES_MAX: usize = 80;

/// A start of the controller in which something is done to the flushes of one file.
struct Run<'a> {
    stage: &'a Stage,
    before: std::sync::Arc<Credential>,
    /// The highest generation that was ever begun.
    begun: u64,
}

impl<'a> Run<'a> {
    /// Starts the controller with `inject` done to each flush of `file`, and orders a rotation.
    fn start(stage: &'a Stage, file: &str, inject: &str) -> Self {
        let begun = stage.status()["rotation"]["to"]["generation"].as_u64().unwrap();
        let run = Self { stage, before: stage.consumer.live.current(), begun };
        stage.rig.stop().unwrap();
        let (file, calls) = (stage.rig.path(file), stage.rig.path("flushes"));
        let (file, calls) = (file.display().to_string(), calls.display().to_string());
        let inject = format!("inject=fsync,fdatasync:{inject}");
        let strace = tool("strace").unwrap().display().to_string();
        // -D: the tracer stands aside, and the process that was started is the controller itself.
        let runner =
            [&strace, "-D", "-f", "-q", "-o", &calls, "-P", &file, "-e", "trace=fsync,fdatasync", "-e", &inject];
        // It may die as it starts, or before it answers.
        if stage.rig.start_under(&runner, &[]).is_ok() {
            drop(stage.rig.run(&["rotate", GROUP]).unwrap());
        }
        run
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.stage.rig.path("flushes")).unwrap_or_default()
    }

    /// Waits for the end of the controller, or of the rotation; whether it was the controller.
    fn is_killed(&self) -> bool {
        let limit = Instant::now() + PATIENCE;
        loop {
            if !self.stage.rig.runs() {
                return true;
            }
            let output = self.stage.rig.run(&["status", GROUP, "--output", "json"]).unwrap();
            if output.status.success() {
                let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                if status["rotation"]["phase"] == "done" && status["rotation"]["to"]["generation"] == self.begun + 1 {
                    return false;
                }
            }
            assert!(Instant::now() < limit, "neither came to its end: {}", self.stage.rig.said());
        }
    }

    /// Cuts off what a disk without power would not have written: the end of the last frame, which nobody flushed.
    fn tear(&self, file: &str) {
        let log = std::fs::OpenOptions::new().write(true).open(self.stage.rig.path(file)).unwrap();
        log.set_len(log.metadata().unwrap().len().saturating_sub(1_000)).unwrap();
    }

    /// Started anew it ends what it began, and begins nothing that nobody ordered.
    async fn is_overcome(&self, what: &str) {
        self.stage.rig.kill();
        self.stage.rig.start(&[]).unwrap();
        self.stage.ends_as("success").await;
        let status = self.stage.status();
        let begun = status["rotation"]["to"]["generation"].as_u64().unwrap();
        assert!(begun <= self.begun + 1, "{what}: a second rotation was begun: {status:#}");
        if status["current"]["generation"] != self.before.generation() {
            assert!(!self.stage.lets_in(&self.before).await, "{what}: the old generation is let in");
        }
    }
}

/// Kills at each flush of a file in turn, until one run comes to its end; how many those were.
async fn killed_at_every_flush_of(file: &str) -> usize {
    let stage = Stage::set(POLICY, alone()).await;
    for nth in 1..FLUSHES_MAX {
        let run = Run::start(&stage, file, &format!("signal=KILL:when={nth}"));
        let killed = run.is_killed();
        if killed && nth % 2 == 0 {
            run.tear(file);
        }
        run.is_overcome(&format!("killed at flush {nth} of {file}")).await;
        if !killed {
            return nth - 1;
        }
    }
    panic!("a rotation has {FLUSHES_MAX} flushes of {file} or more");
}

/// F59: the record that was being written when it died is there whole or not at all, also where its end is torn off; then
/// the last one before it holds, and the target is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_flush_of_the_state() {
    let flushes = killed_at_every_flush_of("state.db-wal").await;
    println!("killed at each of {flushes} flushes of the state's log");
    assert!(flushes >= 8, "a rotation commits more than {flushes} times");
}

/// The move of the pointer is in the file, or it is not; either is found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_flush_of_the_store() {
    let flushes = killed_at_every_flush_of("store.db-wal").await;
    println!("killed at each of {flushes} flushes of the store's log");
    assert!(flushes >= 2, "a rotation puts, points and discards");
}

/// F58: nothing is built on a commit that may not be durable: all stops until a restart finds out what was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_of_the_state_that_fails_stops_everything_until_a_restart() {
    let stage = Stage::set(POLICY, alone()).await;
    let superuser = stage.rig.postgres.superuser("postgres").await.unwrap();
    for (error, nth) in [("EIO", 1), ("EIO", 6), ("ENOSPC", 8), ("EIO", 11)] {
        let run = Run::start(&stage, "state.db-wal", &format!("error={error}:when={nth}"));
        let refuses = || !stage.rig.run(&["status", GROUP]).unwrap().status.success();
        let limit = Instant::now() + PATIENCE;
        while !(run.calls().contains("(INJECTED)") && refuses()) {
            assert!(Instant::now() < limit, "{error} at flush {nth} did not stop it: {}", stage.rig.said());
        }
        assert!(stage.rig.said().contains("HO0116"), "{error} at flush {nth}: {}", stage.rig.said());
        // What an earlier, durable row wanted may be on its way; each call has a session of its own.
        let admin = &stage.rig.roles.admin;
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{admin}'");
        while superuser.query_one(&sessions, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            assert!(Instant::now() < limit, "{error} at flush {nth}: it goes on asking");
        }
        let changes = || stage.rig.postgres.log().matches("COMMENT ON ROLE").count();
        let before = changes();
        for _ in 0..5 {
            assert!(!stage.rig.run(&["rotate", GROUP]).unwrap().status.success(), "{error} at flush {nth}");
        }
        assert_eq!(changes(), before, "{error} at flush {nth}: the target was changed after it");
        run.is_overcome(&format!("{error} at flush {nth} of the state")).await;
    }
}

/// F58: the store's answer is unknown, not done: it is read back, and written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_of_the_store_that_fails_publishes_nothing() {
    let stage = Stage::set(POLICY, alone()).await;
    for (error, nth) in [("EIO", 1), ("EIO", 2), ("ENOSPC", 2)] {
        let run = Run::start(&stage, "store.db-wal", &format!("error={error}:when={nth}"));
        assert!(!run.is_killed(), "it goes on by itself: {}", stage.rig.said());
        assert!(run.calls().contains("(INJECTED)"), "{error} at flush {nth} was not met");
        run.is_overcome(&format!("{error} at flush {nth} of the store")).await;
    }
    let run = Run::start(&stage, "store.db-wal", "error=EIO:when=1+");
    stage.wait("several tries", |_| run.calls().matches("(INJECTED)").count() > 3).await;
    let status = stage.status();
    assert_eq!(status["rotation"]["phase"], "publish", "{status:#}");
    let mut look = stage.rig.command(&["get", GROUP, "--peek", "--output", "json"]);
    let shown = look.env("HANDOVER_TOKEN_FILE", stage.rig.path("consumer.token")).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["generation"], run.before.generation(), "what was not flushed is not shown");
    run.is_overcome("a store that cannot flush").await;
}
