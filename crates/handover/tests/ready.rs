//! Readiness, the end of the server, and what a service manager is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use handover_testkit::rig::{Options, Rig};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const POLICY: &str = "passes_min = 1\nquiet_min = \"300ms\"\nfetch_to_load_max = \"100ms\"\npoll = \"100ms\"";

fn rig(top: &str) -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{top}\n{text}")).unwrap();
    rig
}

async fn ready(rig: &Rig) -> Option<(u16, Value)> {
    let url = rig.url();
    let host = url.strip_prefix("http://")?;
    let mut stream = TcpStream::connect(host).await.ok()?;
    let request = format!("GET /v1/ready HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.ok()?.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split_whitespace().nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

async fn until_ready(rig: &Rig) {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ready(rig).await;
        if answer.as_ref().is_some_and(|(status, _)| *status == 200) {
            return;
        }
        assert!(Instant::now() < limit, "not ready; last: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_server_says_that_it_leaves_before_it_refuses_connections() {
    let rig = rig("leave_after = \"3s\"");
    rig.start(&[]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(until_ready(&rig));
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| rig.stop());
        runtime.block_on(async {
            let limit = Instant::now() + Duration::from_secs(15);
            loop {
                let (status, body) = ready(&rig).await.expect("it still answers");
                if status == 503 {
                    assert_eq!(body["code"], "draining", "{body}");
                    break;
                }
                assert!(Instant::now() < limit, "it never said that it leaves");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        stopping.join().unwrap().unwrap();
    });
    assert!(rig.said().contains("drained"), "{}", rig.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_hears_of_the_beginning_of_life_and_of_the_end() {
    let rig = rig("");
    let path = rig.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let place = path.display().to_string();
    rig.start(&[("NOTIFY_SOCKET", place.as_str()), ("WATCHDOG_USEC", "200000")]).unwrap();
    let heard = |wanted: &str| {
        let mut all = Vec::new();
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let mut text = [0; 256];
            let length = socket.recv(&mut text).unwrap_or_else(|error| panic!("{wanted}: {error}; heard {all:?}"));
            let text = String::from_utf8_lossy(&text[..length]).trim().to_owned();
            let found = text == wanted;
            all.push(text);
            if found {
                return;
            }
            assert!(Instant::now() < limit, "no {wanted}; heard {all:?}");
        }
    };
    heard("READY=1");
    for _ in 0..3 {
        heard("WATCHDOG=1");
    }
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| rig.stop());
        heard("STOPPING=1");
        stopping.join().unwrap().unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_lost_is_no_ready_state() {
    let rig = rig("");
    rig.start(&[]).unwrap();
    until_ready(&rig).await;
    // Removed while open: what is written to it nobody would find again.
    std::fs::remove_file(rig.path("state.db")).unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        // A start is a write.
        rig.run(&["rotate", "app"]).unwrap();
        let (status, body) = ready(&rig).await.expect("it still answers");
        if status == 503 {
            assert_eq!(body["code"], "state_failing", "{body}");
            assert!(!body["detail"].as_str().unwrap().contains("state.db"), "a public answer names no path: {body}");
            break;
        }
        assert!(Instant::now() < limit, "it is ready without a state");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
