//! Waves with the real binary, a real PostgreSQL and real consumers: a canary reads the candidate first; if it breaks, nobody
//! else ever had it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod consumer;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use serde_json::Value;

use crate::consumer::{Consumer, status, wait};

const POLICY: &str = "passes_min = 1\nquiet_min = \"0s\"\nbrake_for = \"0s\"\npoll = \"100ms\"\n\n\
                      [[group.policy.wave]]\nconsumers = [\"canary\"]\nsoak = \"SOAK\"\n\n\
                      [[group.check]]\nname = \"errors\"\nkind = \"sql\"\nwhen = [\"after_publish\"]\nexpected = \"0\"\n\
                      statement = \"SELECT count(*) FROM app.orders WHERE note = 'error'\"";

/// So long that only the watch stream can tell of a change.
const NEVER: Duration = Duration::from_secs(3_600);

/// An installation in which one rotation succeeded.
struct Stage {
    rig: Rig,
    canary: Consumer,
    web: Consumer,
}

impl Stage {
    async fn set(soak: &str) -> Self {
        let policy = POLICY.replace("SOAK", soak);
        let options = Options { consumers: vec!["canary", "web"], policy, fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        rig.start(&[]).unwrap();
        rig.succeed(&["rotate", GROUP]).unwrap();
        let canary = Consumer::named(&rig, "canary", NEVER).await;
        let web = Consumer::named(&rig, "web", NEVER).await;
        let stage = Self { rig, canary, web };
        stage.ends_with(1).await;
        stage
    }

    async fn ends_with(&self, generation: u64) -> Value {
        let ended =
            |status: &Value| status["rotation"]["phase"] == "done" && status["current"]["generation"] == generation;
        wait(&self.rig, &format!("generation {generation}"), ended).await
    }

    /// What is read under a name, as anybody may who has its token.
    fn read(&self, name: &str) -> Value {
        let mut get = self.rig.command(&["get", GROUP, "--output", "json"]);
        let output = get.env("HANDOVER_TOKEN_FILE", self.rig.path(&format!("{name}.token"))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The generations that were handed out under a name.
    fn handed_to(&self, name: &str) -> Vec<String> {
        let history = std::fs::read_to_string(self.rig.path("audit.jsonl")).unwrap();
        let record = |line: &str| -> Value {
            let record: Value = serde_json::from_str(line).unwrap();
            serde_json::from_str(record["body"].as_str().unwrap()).unwrap()
        };
        let reads = history.lines().map(record).filter(|record| record["event"] == "read" && record["actor"] == name);
        reads.map(|record| record["fields"]["generation"].as_str().unwrap().to_owned()).collect()
    }

    fn refused(&self) -> u64 {
        self.canary.refused.load(Ordering::Relaxed) + self.web.refused.load(Ordering::Relaxed)
    }

    fn explain(&self) -> String {
        self.rig.succeed(&["explain", GROUP]).unwrap()
    }
}

/// A canary that breaks is taken back; the other consumer never had the candidate, on no way there is. Then all is well,
/// and everybody has it, without a refused login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_breaks_keeps_the_others_from_it() {
    let stage = Stage::set("1h").await;
    let rig = &stage.rig;
    let planned = rig.succeed(&["plan", GROUP]).unwrap();
    assert!(planned.contains("canary, watched for 1h; then all others"), "{planned}");
    rig.succeed(&["rotate", GROUP]).unwrap();
    stage.canary.holds(2).await;
    wait(rig, "the canary's soak", |_| stage.explain().contains("all must be well in wave 1")).await;
    let explained = stage.explain();
    assert!(explained.contains("wave 1 of 2 is open"), "{explained}");
    assert!(!explained.contains("web"), "it is not waited for: {explained}");
    let told = rig.succeed(&["status", GROUP]).unwrap();
    assert!(told.contains("waves        1 of 2 may read it"), "{told}");
    assert_eq!(stage.web.live.current().generation(), 1);
    assert_eq!(stage.read("web")["generation"], 1, "nor is it read in another way");
    assert_eq!(stage.read("canary")["generation"], 2);

    // A process of the same name starts anew and gets the same, over a restart of the server.
    rig.kill();
    rig.start(&[]).unwrap();
    assert_eq!(stage.read("web")["generation"], 1);
    let late = Consumer::named(rig, "late", NEVER).await;
    assert_eq!(late.live.current().generation(), 1, "who joins is in no wave, and comes last");

    rig.postgres.execute(DATABASE, "INSERT INTO app.orders (note) VALUES ('error')").unwrap();
    let ended = stage.ends_with(1).await;
    assert_eq!(ended["rotation"]["status"], "rolled_back", "{ended:#}");
    stage.canary.holds(1).await;
    for name in ["web", "late"] {
        assert!(stage.handed_to(name).iter().all(|generation| generation == "1"), "{:?}", stage.handed_to(name));
    }
    assert!(stage.handed_to("canary").contains(&"2".to_owned()));
    assert_eq!(stage.refused(), 0);
}

/// The next wave reads it when the first has shown that it does: the watch stream tells those who wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_does_well_lets_the_others_have_it() {
    let stage = Stage::set("300ms").await;
    stage.rig.succeed(&["rotate", GROUP]).unwrap();
    let ended = stage.ends_with(2).await;
    assert_eq!(ended["rotation"]["status"], "success", "{ended:#}");
    stage.canary.holds(2).await;
    stage.web.holds(2).await;
    let history = stage.rig.succeed(&["history", GROUP]).unwrap();
    let opened = |text: &str| history.find(text).unwrap_or_else(|| panic!("{text}: {history}"));
    opened("wave_opened");
    assert!(history.matches("wave_opened").count() == 2, "{history}");
    assert_eq!(status(&stage.rig)["current"]["generation"], 2);
    assert_eq!(stage.refused(), 0);
}
