//! Campaigns with the real binary and groups of a real PostgreSQL: their order, a failure, the way back, and a controller
//! that is killed in the middle.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    rig: Rig,
}

impl Stage {
    /// `app`, and one after the other that depends on it.
    fn set(after: &[&str], brake_for: &str) -> Self {
        let policy = format!(
            "passes_min = 1\nquiet_min = \"200ms\"\nfetch_to_load_max = \"100ms\"\nbrake_for = \"{brake_for}\"\npoll = \"100ms\""
        );
        let options = Options { consumers: vec![], policy: policy.clone(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let mut text = fs::read_to_string(rig.path("handover.toml")).unwrap();
        let mut before = GROUP;
        for name in after {
            let roles = rig.postgres.create_roles(name).unwrap();
            write(&rig, &format!("{name}.password"), &roles.admin_password);
            let ([a, b], port, ca) = (&roles.twins, rig.postgres.port(), rig.postgres.ca_path());
            write!(
                text,
                "\n[[group]]\nname = \"{name}\"\ndepends_on = [\"{before}\"]\n\n[group.policy]\n{policy}\n\n[group.target]\n\
                 kind = \"postgres\"\nendpoints = [{{ name = \"primary\", host = \"127.0.0.1\", port = {port} }}]\n\
                 database = \"{DATABASE}\"\nca_file = \"{}\"\nowner = \"{}\"\ntwins = [\"{a}\", \"{b}\"]\n\
                 admin = {{ user = \"{}\", password_file = \"{name}.password\" }}\n",
                ca.display(),
                roles.owner,
                roles.admin
            )
            .unwrap();
            before = name;
        }
        fs::write(rig.path("handover.toml"), text).unwrap();
        let token = rig.succeed(&["token", "create", "anna", "--group", "*", "--role", "operator"]).unwrap();
        write(&rig, "anna.token", token.trim());
        rig.start(&[]).unwrap();
        Self { rig }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.rig.command(arguments);
        command.env("HANDOVER_TOKEN_FILE", self.rig.path("anna.token")).output().unwrap()
    }

    fn operate(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.operate(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    fn until(&self, campaign: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let limit = Instant::now() + PATIENCE;
        loop {
            let seen = self.json(&["campaign", "show", campaign]);
            if holds(&seen) {
                return seen;
            }
            assert!(Instant::now() < limit, "waited for {what}; last seen {seen:#}\n{}", self.rig.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The generation in force of each group.
    fn generations(&self, groups: &[&str]) -> Vec<u64> {
        let of = |group: &&str| self.json(&["status", group])["current"]["generation"].as_u64().unwrap_or(0);
        groups.iter().map(of).collect()
    }

    /// The position of the newest record of this event in a group's history.
    fn position(&self, group: &str, event: &str) -> u64 {
        let history = self.json(&["history", group]);
        let records = history["records"].as_array().unwrap();
        records
            .iter()
            .filter(|record| record["event"] == event)
            .map(|record| record["position"].as_u64().unwrap())
            .max()
            .unwrap()
    }
}

fn write(rig: &Rig, name: &str, text: &str) {
    let mut file =
        fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(rig.path(name)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The state of each group of a campaign, by layers.
fn states(seen: &Value) -> Vec<(String, String)> {
    let legs = seen["layers"].as_array().unwrap().iter().flat_map(|layer| layer.as_array().unwrap());
    let text = |leg: &Value, key: &str| leg[key].as_str().unwrap().to_owned();
    legs.map(|leg| (text(leg, "group"), text(leg, "state"))).collect()
}

const ALL: [&str; 3] = [GROUP, "orders", "reports"];

#[test]
fn groups_rotate_in_order_and_a_failure_holds_the_campaign_until_it_is_mended() {
    let stage = Stage::set(&["orders", "reports"], "0s");
    let plan = stage.operate(&["campaign", "plan", GROUP, "--with-dependants"]);
    assert!(plan.starts_with("3 groups in 3 layers, at most 4 at once"), "{plan}");
    assert!(plan.contains("3  reports") && plan.contains("after orders"), "{plan}");

    let ran = stage.run(&["campaign", "run", "--all", "--wait", "--wait-max", "60s", "--reason", "yearly"]);
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}{told}{}", stage.rig.said());
    assert!(said.starts_with("campaign 1, success: all 3 groups have a new generation in force"), "{said}");
    assert!(told.contains("reports: generation 1 is in force"), "{told}");
    assert_eq!(stage.generations(&ALL), [1, 1, 1]);
    let started = ALL.map(|group| stage.position(group, "started"));
    assert!(started.is_sorted(), "{started:?}");

    // A target that lets nobody in any more: what comes after it waits for a person.
    stage.rig.postgres.execute("postgres", "ALTER ROLE orders_admin NOLOGIN").unwrap();
    let ran = stage.run(&["campaign", "run", GROUP, "--with-dependants", "--wait", "--wait-max", "60s"]);
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(told.contains("campaign 2 is held because a rotation failed"), "{told}");
    let explained = stage.operate(&["explain", "reports"]);
    assert!(explained.contains("campaign 2") && explained.contains("waits for orders"), "{explained}");
    let again = stage.run(&["campaign", "run", "reports"]);
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(1) && told.contains("[in_campaign]"), "{told}");
    assert_eq!(stage.generations(&["reports"]), [1]);

    stage.rig.postgres.execute("postgres", "ALTER ROLE orders_admin LOGIN").unwrap();
    stage.operate(&["campaign", "resume", "2"]);
    stage.until("2", "success", |seen| seen["state"] == "success");
    assert_eq!(stage.generations(&ALL), [2, 2, 2]);
    let denied = stage.run(&["campaign", "undo", "2"]);
    let told = String::from_utf8_lossy(&denied.stderr);
    assert!(denied.status.code() == Some(1) && told.contains("[campaign_state]"), "{told}");
    let listed = stage.operate(&["campaign", "list"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    // A token for some of the groups does not see it.
    let hidden = stage.rig.run(&["campaign", "show", "2"]).unwrap();
    assert!(String::from_utf8_lossy(&hidden.stderr).contains("[no_such_campaign]"));
    stage.rig.succeed(&["audit", "verify"]).unwrap();
}

#[test]
fn what_is_undone_goes_back_in_the_reverse_order() {
    let stage = Stage::set(&["orders", "reports"], "1h");
    stage.operate(&["campaign", "run", "--all", "--wait", "--wait-max", "60s"]);
    // The old generations are refused, reversibly, for an hour.
    stage.operate(&["campaign", "run", "--all"]);
    stage.until("2", "all through", |seen| states(seen).iter().all(|(_, state)| state == "through"));
    stage.operate(&["campaign", "undo", "2", "--reason", "reports fail"]);
    let undone = stage.until("2", "its end", |seen| seen["state"] == "undone");
    assert!(states(&undone).iter().all(|(_, state)| state == "undone"), "{undone:#}");
    assert_eq!(stage.generations(&ALL), [1, 1, 1]);
    let mut ordered = ALL.map(|group| stage.position(group, "ordered"));
    ordered.reverse();
    assert!(ordered.is_sorted(), "{ordered:?}");
}

/// The controller is killed after each commit of a campaign: it goes on, and each group rotates once.
#[test]
fn killed_after_every_step_of_a_campaign() {
    let stage = Stage::set(&["orders"], "0s");
    let groups = [GROUP, "orders"];
    let run = || stage.run(&["campaign", "run", "--all", "--wait", "--wait-max", "60s"]);
    let trace = stage.rig.path("trace");
    stage.rig.stop().unwrap();
    stage.rig.start(&[("HANDOVER_FAULT_TRACE", &trace.display().to_string())]).unwrap();
    assert!(run().status.success(), "{}", stage.rig.said());
    let mut points: Vec<String> = fs::read_to_string(trace)
        .unwrap()
        .lines()
        .filter(|name| name.starts_with("after:campaign:"))
        .map(str::to_owned)
        .collect();
    points.dedup();
    points.sort();
    points.dedup();
    assert!(points.len() >= 5, "{points:?}");
    for (number, point) in (2..).zip(&points) {
        let before = stage.generations(&groups);
        stage.rig.stop().unwrap();
        stage.rig.start(&[("HANDOVER_FAULT_POINT", &format!("{point}=kill"))]).unwrap();
        let _ = stage.run(&["campaign", "run", "--all"]);
        assert!(stage.rig.ends_within(PATIENCE), "never came to {point}");
        stage.rig.kill();
        stage.rig.start(&[]).unwrap();
        stage.until(&number.to_string(), "success", |seen| seen["state"] == "success");
        let expected: Vec<u64> = before.iter().map(|generation| generation + 1).collect();
        assert_eq!(stage.generations(&groups), expected, "after {point}");
    }
    stage.rig.succeed(&["audit", "verify"]).unwrap();
}
