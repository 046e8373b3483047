//! A sink that takes connections and never answers, beside rotations of the real server (F91).

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, Options, Rig};
use handover_testkit::servers::{Receiver, Reply};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const POLICY: &str =
    "passes_min = 1\nquiet_min = \"300ms\"\nfetch_to_load_max = \"100ms\"\nbrake_for = \"1h\"\npoll = \"100ms\"";

/// Longer than one delivery may take (15 s) and the longest wait after it (60 s).
const PATIENCE: Duration = Duration::from_secs(100);

/// How much memory may be more after the records below: they must not be held for the sink.
const GROWTH_BYTES_MAX: f64 = 24.0 * 1_048_576.0;

struct Stage {
    rig: Rig,
    token: String,
}

impl Stage {
    fn set(url: &str) -> Self {
        let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
        let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
        let file = rig.path("handover.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}\n[[sink]]\nkind = \"http\"\nname = \"siem\"\nurl = \"{url}\"\n"))
            .unwrap();
        let token = std::fs::read_to_string(rig.path("operator.token")).unwrap().trim().to_owned();
        rig.start(&[]).unwrap();
        Self { rig, token }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let url = self.rig.url();
        let host = url.strip_prefix("http://").unwrap();
        let (token, length) = (&self.token, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\
             content-type: application/json\r\nconnection: close\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn get(&self, path: &str) -> String {
        self.ask("GET", path, "").await.1
    }

    async fn siem(&self) -> Value {
        let sinks: Value = serde_json::from_str(&self.get("/v1/sinks").await).unwrap();
        sinks["sinks"].as_array().unwrap().iter().find(|sink| sink["sink"] == "siem").unwrap().clone()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let limit = Instant::now() + PATIENCE;
        loop {
            let siem = self.siem().await;
            if holds(&siem) {
                return siem;
            }
            assert!(Instant::now() < limit, "{what} did not come; last seen: {siem}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.get("/metrics").await;
        assert!(text.contains("# EOF"), "no scrape: {text}");
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ').unwrap().1.parse().ok()
    }

    /// Waits until the rotation has come to its brake, where it stays.
    async fn until_braked(&self) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !self.get(&format!("/v1/groups/{GROUP}")).await.contains("\"phase\":\"disable\"") {
            assert!(Instant::now() < limit, "the rotation does not go on beside the sink");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Records by the thousand: each of these orders is denied, and the denial is in the history.
    async fn deny(&self, times: u32) {
        for _ in 0..times {
            let body = format!("{{\"reason\":\"{}\"}}", "x".repeat(900));
            assert_eq!(self.ask("POST", &format!("/v1/groups/{GROUP}/abandon"), &body).await.0, 409);
        }
    }
}

/// F91: beside rotations of the real server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_hangs_stalls_nothing_and_misses_nothing() {
    let receiver = Receiver::start().unwrap();
    receiver.order(std::iter::repeat_n(Reply::Hang, 1_000));
    let stage = Stage::set(&receiver.url());

    // Rotations go on beside it.
    stage.rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "20s"]).unwrap();
    stage.rig.succeed(&["rotate", GROUP]).unwrap();
    stage.until_braked().await;
    assert_eq!(stage.siem().await["position"], 0);

    // The spool is the history itself: memory does not grow with what waits.
    stage.deny(20).await;
    let before = stage.metric("process_resident_memory_bytes").await.unwrap();
    stage.deny(1_500).await;
    let after = stage.metric("process_resident_memory_bytes").await.unwrap();
    assert!(after - before < GROWTH_BYTES_MAX, "memory grew from {before} to {after}");

    // It is seen: over the API, on the command line, in metrics and in the log, once.
    let siem = stage.until("the failure", |siem| siem["failing"].is_object()).await;
    assert_eq!((siem["failing"]["code"].as_str(), siem["position"].as_u64()), (Some("HO0102"), Some(0)), "{siem}");
    let waiting = siem["waiting"].as_u64().unwrap();
    assert!(waiting > 1_520, "{siem}");
    assert_eq!(stage.metric("handover_sink_failing{sink=\"siem\"}").await, Some(1.0));
    assert_eq!(stage.metric("handover_sink_failing{sink=\"audit-file\"}").await, Some(0.0));
    assert!(stage.metric("handover_sink_waiting{sink=\"siem\"}").await.unwrap() >= waiting as f64);
    assert!(stage.metric("handover_sink_failing_age_seconds{sink=\"siem\"}").await.is_some());
    let said = stage.rig.succeed(&["audit", "sinks"]).unwrap();
    assert!(said.contains("siem: ") && said.contains("HO0102"), "{said}");
    assert_eq!(stage.rig.said().matches("sink failed").count(), 1, "the log repeats itself");

    // Killed meanwhile: the cursor stays where it was.
    stage.rig.kill();
    let said = stage.rig.succeed(&["audit", "sinks"]).unwrap();
    assert!(said.contains("siem: delivered up to 0"), "{said}");
    stage.rig.start(&[]).unwrap();
    stage.until_braked().await;
    stage.until("the failure after a start", |siem| siem["failing"].is_object()).await;

    // The receiver returns: everything arrives, in order, from the first record on.
    receiver.recover();
    let siem = stage.until("the end of the backlog", |siem| siem["waiting"] == 0 && siem["failing"].is_null()).await;
    let last = siem["position"].as_u64().unwrap();
    stage.rig.stop().unwrap();
    let mut seen = 0;
    for line in receiver.taken().iter().flat_map(|request| request.body.lines().map(str::to_owned).collect::<Vec<_>>())
    {
        let record: Value = serde_json::from_str(&line).unwrap();
        let position = record["position"].as_u64().unwrap();
        assert!(position <= seen + 1, "position {position} came after {seen}: one is missing in between");
        seen = seen.max(position);
    }
    assert!(seen >= last, "{seen} of {last} arrived");
}
