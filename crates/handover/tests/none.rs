//! A group without a target, with the real binary: whoever accepts the value is a consumer, and their word is all there is.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use handover_testkit::rig::{Options, Rig};
use serde_json::Value;

const HOOK: &str = "webhook";
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    rig: Rig,
}

impl Stage {
    fn set(consumers: &str) -> Self {
        let options = Options { consumers: vec![], policy: String::new(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let group = format!(
            "\n[[group]]\nname = \"{HOOK}\"\nconsumers = [{consumers}]\n\n[group.policy]\npoll = \"100ms\"\n\n\
             [group.target]\nkind = \"none\"\n"
        );
        let configuration = fs::read_to_string(rig.path("handover.toml")).unwrap() + &group;
        write(&rig, "handover.toml", &configuration);
        for (identity, role) in [("operator-of-hook", "operator"), ("shop", "consumer"), ("billing", "consumer")] {
            let token = rig.succeed(&["token", "create", identity, "--group", HOOK, "--role", role]).unwrap();
            write(&rig, &format!("{identity}.token"), token.trim());
        }
        rig.start(&[]).unwrap();
        Self { rig }
    }

    fn run(&self, who: &str, arguments: &[&str]) -> Output {
        let mut command = self.rig.command(arguments);
        command.env("HANDOVER_TOKEN_FILE", self.rig.path(&format!("{who}.token"))).output().unwrap()
    }

    fn operate(&self, arguments: &[&str]) -> String {
        let output = self.run("operator-of-hook", arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a consumer fetches, and acknowledges.
    fn loads(&self, who: &str) -> String {
        let output = self.run(who, &["get", HOOK, "--ack", "loaded"]);
        assert!(output.status.success(), "{who}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let limit = Instant::now() + PATIENCE;
        loop {
            let status: Value = serde_json::from_str(&self.operate(&["status", HOOK, "--output", "json"])).unwrap();
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < limit, "waited for {what}; last seen {status:#}\n{}", self.rig.said());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn ends(&self, how: &str) {
        let status = self.until("the end", |status| status["rotation"]["phase"] == "done");
        assert_eq!(status["rotation"]["status"], how, "{status:#}");
    }

    /// Waits in Propagate for exactly these.
    fn waits_for(&self, names: &[&str]) {
        self.until("the roll call", |status| {
            let blockers = status["rotation"]["waiting_for"].to_string();
            let named = |name: &&str| blockers.contains(&format!("\"{name}\""));
            let others = ["shop", "billing"].iter().filter(|name| !names.contains(name)).any(&named);
            status["rotation"]["phase"] == "propagate" && names.iter().all(named) && !others
        });
    }
}

fn write(rig: &Rig, name: &str, text: &str) {
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(rig.path(name));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// Every consumer is waited for, the old value stays fetchable until then, and the way back works.
#[test]
fn a_value_without_a_target_moves_by_the_word_of_its_consumers() {
    let stage = Stage::set("{ name = \"shop\" }, { name = \"billing\" }");
    let plan = stage.operate(&["plan", HOOK]);
    assert!(plan.contains("webhook, staged:") && plan.contains("there is no target that could accept it"), "{plan}");
    stage.operate(&["rotate", HOOK]);
    stage.waits_for(&["billing", "shop"]);
    let first = stage.loads("shop");
    assert_eq!(stage.loads("billing"), first);
    stage.ends("success");

    stage.operate(&["rotate", HOOK]);
    stage.waits_for(&["billing", "shop"]);
    let second = stage.loads("shop");
    assert_ne!(second, first);
    stage.waits_for(&["billing"]);
    stage.rig.kill();
    stage.rig.start(&[]).unwrap();
    stage.waits_for(&["billing"]);
    assert_eq!(stage.loads("billing"), second);
    stage.ends("success");

    stage.operate(&["rotate", HOOK]);
    stage.waits_for(&["billing", "shop"]);
    let third = stage.loads("shop");
    assert_ne!(third, second);
    stage.operate(&["rollback", HOOK]);
    stage.until("the way back", |status| status["rotation"]["phase"] == "return");
    assert_eq!(stage.loads("shop"), second, "the old value is published again");
    assert_eq!(stage.loads("billing"), second);
    stage.ends("rolled_back");
    stage.operate(&["rotate", HOOK]);
    stage.until("the next one", |status| status["rotation"]["phase"] == "propagate");
    assert_ne!(stage.loads("shop"), third, "what was rolled back never comes again");
    stage.loads("billing");
    stage.ends("success");
    stage.rig.succeed(&["audit", "verify"]).unwrap();
}

/// Without consumers there is no evidence of any kind.
#[test]
fn without_consumers_nothing_is_planned() {
    let stage = Stage::set("");
    let output = stage.run("operator-of-hook", &["plan", HOOK]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("does not show use"), "{said}");
}
