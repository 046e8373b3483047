//! Emergencies that a signed message orders, with the real binary and a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_testkit::rig::{GROUP, Options, Rig};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const POLICY: &str = "passes_min = 1\nquiet_min = \"100ms\"\nbrake_for = \"100ms\"\npoll = \"50ms\"";
const LIMIT: Duration = Duration::from_secs(30);
const NEW: &str = "the present key of the sender, canary-4711";
const OLD: &str = "the key before that, canary-4712, expired";

fn rig() -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    for (name, key) in [("new.key", NEW), ("old.key", OLD)] {
        std::fs::write(rig.path(name), key).unwrap();
        std::fs::set_permissions(rig.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    until_of_old(&rig, 3_600);
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig
}

/// Writes the hook into the configuration, with an old key that counts for so many seconds from now on.
fn until_of_old(rig: &Rig, seconds: i64) {
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.split("\n[[hook]]").next().unwrap();
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let hook = format!(
        "\n[[hook]]\nname = \"siem\"\ngroups = [\"{GROUP}\"]\nceiling = 3\naccept_breakage = true\n\
         [[hook.key]]\nversion = 2\nfile = \"new.key\"\n\
         [[hook.key]]\nversion = 1\nfile = \"old.key\"\nuntil = \"{until}\"\n"
    );
    std::fs::write(&file, format!("{text}{hook}")).unwrap();
}

/// A message, and what may be changed of it.
#[derive(Clone)]
struct Message {
    hook: String,
    id: String,
    at_s: u64,
    key: &'static str,
    version: Option<&'static str>,
    body: String,
    signature: Option<String>,
}

impl Message {
    fn new(id: &str) -> Self {
        Self {
            hook: "siem".to_owned(),
            id: id.to_owned(),
            at_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
            key: NEW,
            version: None,
            body: json!({ "groups": [GROUP], "reason": "10 failed logins within 15 minutes" }).to_string(),
            signature: None,
        }
    }

    fn signature(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.at_s, self.body).as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    async fn send(&self, rig: &Rig) -> (u16, Value) {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().unwrap();
        let mut request = client
            .post(format!("{}/v1/hooks/emergency", rig.url()))
            .header("handover-hook", &self.hook)
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", self.at_s)
            .body(self.body.clone());
        let signature = self.signature.clone().unwrap_or_else(|| self.signature());
        if !signature.is_empty() {
            request = request.header("webhook-signature", signature);
        }
        if let Some(version) = self.version {
            request = request.header("handover-key", version);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}

fn generation(rig: &Rig) -> u64 {
    let text = rig.succeed(&["status", GROUP, "--output", "json"]).unwrap();
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_ne!(status["rotation"]["status"], "rolled_back", "{status:#}");
    status["current"]["generation"].as_u64().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "never saw {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// S26: wrong, missing, truncated, stale, of another scheme, with a weaker scheme in front, by an unknown or an old key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_not_proved_orders_nothing() {
    let rig = rig();
    let good = Message::new("msg_refused");
    let own = good.signature();
    let bare = own.trim_start_matches("v1,");
    let message = |change: &dyn Fn(&mut Message)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let signed = |text: String| message(&move |message| message.signature = Some(text.clone()));
    for (refused, why) in [
        (message(&|message| message.key = "a key of somebody else, long enough"), "wrong"),
        (signed(String::new()), "missing"),
        (signed(own[..30].to_owned()), "truncated"),
        (signed(format!("v1,{}", &bare[..40])), "truncated to whole base64"),
        (signed(format!("v0,{bare}")), "another scheme"),
        (signed(format!("none, {own}")), "none in front"),
        (signed(format!("v0,{bare} {own}")), "a weaker scheme in front"),
        (message(&|message| message.at_s -= 301), "stale"),
        (message(&|message| message.at_s += 310), "from the future"),
        (message(&|message| message.hook = "other".to_owned()), "another hook"),
        (message(&|message| (message.key, message.version) = (OLD, None)), "an old key that is not named"),
        (message(&|message| message.version = Some("1")), "a key that is named and did not sign"),
        (message(&|message| message.version = Some("3")), "a key that is not there"),
        (
            message(&|message| {
                let own = message.signature();
                message.body.push(' ');
                message.signature = Some(own);
            }),
            "another body",
        ),
    ] {
        let (status, problem) = refused.send(&rig).await;
        assert_eq!((status, problem["code"].as_str()), (401, Some("signature_refused")), "{why}: {problem}");
        assert_eq!(
            problem["detail"], "the message is not signed by a hook that counts, or not a short while ago",
            "{why}"
        );
    }
    // Proved, and of what it may not name, or names nothing.
    for (body, code) in [
        (json!({ "groups": ["other"], "reason": "x" }), "no_such_group"),
        (json!({ "groups": [GROUP] }), "reason_missing"),
        (json!({ "reason": "x" }), "bad_request"),
    ] {
        let (_, problem) = message(&|message| message.body = body.to_string()).send(&rig).await;
        assert_eq!(problem["code"], code, "{problem}");
    }
    assert_eq!(generation(&rig), 1);
    assert!(rig.says_within("a signed message was refused", LIMIT));
    assert!(!rig.said().contains("canary"), "no key is in the log");
    let history = rig.succeed(&["history", GROUP, "--limit", "200"]).unwrap();
    assert!(!history.contains(" emergency "), "{history}");
}

/// S26: an id is carried out once, also over a restart; an old key counts by its version and until its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_carried_out_once() {
    let rig = rig();
    let first = Message::new("msg_first");
    let (status, orders) = first.send(&rig).await;
    assert_eq!((status, &orders["orders"][0]["generation"]), (202, &json!(2)), "{orders}");
    until("the rotation that it ordered", || generation(&rig) == 2);
    rig.kill();
    rig.start(&[]).unwrap();
    let (status, problem) = first.send(&rig).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("replayed")), "{problem}");
    let mut again = first.clone();
    again.body = json!({ "groups": [GROUP], "reason": "other words under the same id" }).to_string();
    let (status, problem) = again.send(&rig).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("idempotency_mismatch")), "{problem}");
    assert_eq!(generation(&rig), 2, "nothing was ordered twice");

    let mut old = Message::new("msg_old");
    (old.key, old.version) = (OLD, Some("1"));
    let (status, orders) = old.send(&rig).await;
    assert_eq!(status, 202, "the old key counts for a while: {orders}");
    until("the rotation that it ordered", || generation(&rig) == 3);
    until_of_old(&rig, -1);
    assert!(rig.hang_up());
    let refused = || {
        let mut late = Message::new("msg_late");
        (late.key, late.version) = (OLD, Some("1"));
        late
    };
    let begun = Instant::now();
    while refused().send(&rig).await.0 != 401 {
        assert!(begun.elapsed() < LIMIT, "the old key counts after its end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let history = rig.succeed(&["history", GROUP, "--limit", "200"]).unwrap();
    assert!(history.contains(" hook.siem ") && history.contains("10 failed logins"), "{history}");
    rig.succeed(&["audit", "verify"]).unwrap();
}
