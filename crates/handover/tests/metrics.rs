//! Metrics and traces of the real server during rotations.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{GROUP, OPERATOR, Options, Rig};
use handover_testkit::servers::{Receiver, Reply, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const POLICY: &str =
    "passes_min = 1\nquiet_min = \"300ms\"\nfetch_to_load_max = \"100ms\"\nbrake_for = \"0s\"\npoll = \"100ms\"";

/// A name and its labels.
type Series = (String, BTreeMap<String, String>);

/// Each series with its value.
type Samples = BTreeMap<Series, f64>;

fn rig(top: &str, bottom: &str) -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{top}\n{text}\n{bottom}\n")).unwrap();
    rig
}

/// The status, the media type and the body.
async fn get(url: &str, token: Option<&str>) -> (u16, String, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\n{authorization}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    assert!(!head.to_lowercase().contains("transfer-encoding"), "the body is whole");
    (status, kind.to_owned(), body.to_owned())
}

/// Parses the OpenMetrics text format, and refuses what is none.
fn parse(text: &str) -> Samples {
    assert!(text.ends_with("# EOF\n"), "a scrape ends with its mark");
    let (mut kinds, mut samples) = (BTreeMap::new(), Samples::new());
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some(kind)) => {
                    assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
                }
                (Some("HELP" | "UNIT"), Some(_), Some(_)) | (Some("EOF"), None, None) => {}
                _ => panic!("not a comment of the format: {line}"),
            }
            continue;
        }
        assert!(!line.contains("{}"), "{line}");
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let (name, labels) = match series.split_once('{') {
            None => (series, BTreeMap::new()),
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))),
        };
        let family = ["_total", "_bucket", "_sum", "_count", ""]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).filter(|family| kinds.contains_key(*family)))
            .unwrap_or_else(|| panic!("{name} has no TYPE before it"));
        assert!(kinds[family] != "counter" || name.ends_with("_total"), "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(samples.insert((name.to_owned(), labels), value).is_none(), "{series} is there twice");
    }
    samples
}

fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("no label: {pair}"));
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
        labels.insert(name.to_owned(), value.to_owned());
    }
    labels
}

fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    samples.get(&(name.to_owned(), labels)).copied()
}

/// Scrapes until `holds`.
async fn until(url: &str, what: &str, holds: impl Fn(&Samples) -> bool) -> Samples {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let (_, _, text) = get(url, None).await;
        let samples = parse(&text);
        if holds(&samples) {
            return samples;
        }
        assert!(Instant::now() < limit, "{what} did not come; last:\n{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_tells_of_a_rotation() {
    let port = free_port().unwrap();
    let rig = rig(&format!("metrics_listen = \"127.0.0.1:{port}\""), "");
    rig.start(&[]).unwrap();
    let open = format!("http://127.0.0.1:{port}/metrics");

    let group = [("group", GROUP)];
    let before = until(&open, "a ready server", |samples| value(samples, "handover_ready", &[]) == Some(1.0)).await;
    assert_eq!(value(&before, "handover_generation", &group), None, "what is not there is absent");
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    let after = until(&open, "the second generation", |samples| {
        value(samples, "handover_generation", &group) == Some(2.0)
            && value(samples, "handover_rotations_ended_total", &[("group", GROUP), ("outcome", "success")])
                == Some(2.0)
    })
    .await;
    for (name, labels, expected) in [
        ("handover_build_info", &[("version", env!("CARGO_PKG_VERSION"))][..], 1.0),
        ("handover_lease_held", &[], 1.0),
        ("handover_lease_epoch", &[], 1.0),
        ("handover_leases_taken_total", &[], 1.0),
        ("handover_rotations_started_total", &group, 2.0),
        ("handover_phase_duration_seconds_count", &[("phase", "stage")], 2.0),
        ("handover_phase_duration_seconds_count", &[("phase", "destroy")], 1.0),
        ("handover_effects_total", &[("effect", "seal"), ("result", "done")], 2.0),
        ("handover_sink_failing", &[("sink", "audit-file")], 0.0),
        ("handover_watch_streams", &[], 0.0),
        ("handover_violations_total", &[], 0.0),
        ("handover_metrics_incomplete", &[], 0.0),
    ] {
        assert_eq!(value(&after, name, labels), Some(expected), "{name} {labels:?}");
    }
    for name in ["handover_rotation_live", "handover_rotation_held", "handover_sink_failing_age_seconds"] {
        assert!(!after.keys().any(|(metric, _)| metric == name), "nothing is live, held or failing: {name}");
    }
    for (name, labels) in [
        ("handover_generation_age_seconds", &group[..]),
        ("handover_last_success_timestamp_seconds", &group),
        ("handover_call_duration_seconds_count", &[("call", "commit"), ("port", "state")]),
        ("handover_state_transactions_total", &[]),
        (
            "handover_http_requests_total",
            &[("method", "POST"), ("route", "/v1/groups/{group}/rotate"), ("status", "202")],
        ),
        ("process_resident_memory_bytes", &[]),
        ("process_open_fds", &[]),
    ] {
        let found = value(&after, name, labels);
        assert!(found.is_some_and(|value| value > 0.0), "{name} {labels:?}: {found:?}\n{after:#?}");
    }
    buckets_only_grow(&after);

    // What the row does not say after a start, history does.
    rig.succeed(&["rotate", GROUP]).unwrap();
    rig.kill();
    rig.start(&[]).unwrap();
    until(&open, "the last success", |samples| {
        value(samples, "handover_last_success_timestamp_seconds", &group).is_some_and(|at| at > 1.6e9)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_main_port_a_scrape_needs_a_token_and_holds_no_secret() {
    let rig = rig("", "");
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    // With a token on the main port; without one not at all. Labels come from the configuration and from our words.
    let main = format!("{}/metrics", rig.url());
    let (status, ..) = get(&main, None).await;
    assert_eq!(status, 401);
    let token = std::fs::read_to_string(rig.path("operator.token")).unwrap();
    let (status, kind, text) = get(&main, Some(token.trim())).await;
    assert_eq!((status, kind.as_str()), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let samples = parse(&text);
    assert_eq!(value(&samples, "handover_tokens_refused_total", &[("reason", "unauthenticated")]), Some(1.0));
    assert_eq!(get(&format!("{}/v1/no-such-canary", rig.url()), None).await.0, 404);
    let (_, _, text) = get(&main, Some(token.trim())).await;
    let mut secrets = vec![token.trim().to_owned(), rig.roles.admin_password.clone()];
    secrets.extend(["canary", OPERATOR, "127.0.0.1"].map(str::to_owned));
    for secret in secrets {
        assert!(!text.contains(&secret), "a scrape holds something of whoever asks, or a secret");
    }
    let shown = parse(&text);
    let routes: BTreeSet<_> = shown.keys().filter_map(|(_, labels)| labels.get("route")).collect();
    assert!(routes.contains(&"unmatched".to_owned()), "{routes:?}");
    rig.stop().unwrap();
}

fn buckets_only_grow(samples: &Samples) {
    let mut last: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, labels), value) in samples.iter().filter(|((name, _), _)| name.ends_with("_bucket")) {
        let mut labels = labels.clone();
        let bound = labels.remove("le").unwrap();
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
        last.entry((name.clone(), labels)).or_default().push((bound, *value));
    }
    assert!(!last.is_empty());
    for ((name, labels), mut buckets) in last {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name}: {buckets:?}");
        let count = samples[&(name.replace("_bucket", "_count"), labels)];
        assert_eq!(buckets.last().map(|(_, value)| *value), Some(count), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_name_the_work_and_hold_no_secret() {
    let receiver = Receiver::start().unwrap();
    let endpoint = receiver.url().replace("/in", "");
    let rig = rig("", &format!("[telemetry]\notlp_endpoint = \"{endpoint}\""));
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig.stop().unwrap();
    let taken = receiver.taken();
    assert!(!taken.is_empty(), "no span arrived: {}", rig.said());
    assert!(taken.iter().all(|request| request.head.starts_with("post /v1/traces ")), "{:?}", taken[0].head);
    let all: String = taken.iter().map(|request| request.body.as_str()).collect();
    // A span's name is field 5 of its message: tag, length, text.
    for name in ["request", "drive", "effect", "call"] {
        let field = format!("*{}{name}", char::from(u8::try_from(name.len()).unwrap()));
        assert!(all.contains(&field), "no span is named {name}");
    }
    for attribute in ["/v1/groups/{group}/rotate", "accept", GROUP] {
        assert!(all.contains(attribute), "no span says {attribute}");
    }
    let token = std::fs::read_to_string(rig.path("operator.token")).unwrap();
    for secret in [token.trim(), &rig.roles.admin_password] {
        assert!(!all.contains(secret) && !taken.iter().any(|request| request.head.contains(secret)));
    }
    assert!(!rig.said().contains("traces are not taken"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_of_traces_that_hangs_delays_nothing() {
    let receiver = Receiver::start().unwrap();
    receiver.order(std::iter::repeat_n(Reply::Hang, 1_000));
    let endpoint = receiver.url().replace("/in", "");
    let rig = rig("", &format!("[telemetry]\notlp_endpoint = \"{endpoint}\""));
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait", "--wait-max", "20s"]).unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while receiver.asked() == 0 {
        assert!(Instant::now() < limit, "nothing was sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Ends within the limit for traces, on top of what the end takes anyway.
    let begun = Instant::now();
    rig.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "the end took {:?}", begun.elapsed());
    assert!(receiver.taken().is_empty());
}
