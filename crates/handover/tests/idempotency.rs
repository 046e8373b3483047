//! An order whose answer was lost: the server is killed between its commit and its answer, and the order sent again.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use handover_testkit::rig::{GROUP, Options, Rig};
use serde_json::Value;

struct Answer {
    status: u16,
    body: Value,
}

async fn send(rig: &Rig, token: &str, verb: &str, key: &str, body: Value) -> Option<Answer> {
    let path = format!("{}/v1/groups/{GROUP}/{verb}", rig.url());
    let request = client().post(path).bearer_auth(token).header("idempotency-key", key).json(&body);
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some(Answer { status, body: answer.json().await.unwrap_or_default() })
}

fn client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().unwrap()
}

fn started(rig: &Rig) -> usize {
    let audit = rig.succeed(&["audit", "export", "--format", "jsonl"]).unwrap();
    audit.lines().filter(|line| line.contains("started")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_commit_and_answer_it_answers_the_repeat() {
    let options = Options { consumers: Vec::new(), policy: String::new(), fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[("HANDOVER_FAULT_POINT", "after:commit:stage#1=kill")]).unwrap();
    let token = std::fs::read_to_string(rig.token_file("anna", "operator").unwrap()).unwrap();
    let token = token.trim();

    assert!(
        send(&rig, token, "rotate", "k1", serde_json::json!({})).await.is_none(),
        "it was killed before it answered"
    );
    assert!(rig.ends_within(Duration::from_secs(30)), "{}", rig.said());
    rig.start(&[]).unwrap();
    for _ in 0..2 {
        let answer = send(&rig, token, "rotate", "k1", serde_json::json!({})).await.unwrap();
        assert_eq!((answer.status, &answer.body["generation"]), (202, &Value::from(1)), "{}", answer.body);
    }
    let other = send(&rig, token, "hold", "k1", serde_json::json!({})).await.unwrap();
    assert_eq!((other.status, &other.body["code"]), (422, &Value::from("idempotency_mismatch")));
    let bad = send(&rig, token, "hold", "not one word", serde_json::json!({})).await.unwrap();
    assert_eq!((bad.status, &bad.body["code"]), (400, &Value::from("bad_request")));
    assert_eq!(started(&rig), 1, "one rotation was started");
}

/// Reads a request, and gives back its head.
fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the request broke off");
        head.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&head).to_ascii_lowercase()
}

fn key_of(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap().to_owned()
}

/// The command line against a server that hangs up on the first request.
fn rotate(url: &str, folder: &Path) -> std::process::Output {
    let token = folder.join("token");
    std::fs::write(&token, "hnd_stub").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_handover"));
    command.args(["rotate", "orders", "--url", url, "--token-file"]).arg(&token).output().unwrap()
}

#[test]
fn the_command_line_sends_an_order_again_under_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        let lost = key_of(&head(&mut first));
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        let again = key_of(&head(&mut second));
        let body = r#"{"group":"orders","generation":4}"#;
        let length = body.len();
        write!(second, "HTTP/1.1 202 Accepted\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
        (lost, again)
    });
    let done = rotate(&url, folder.path());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (lost, again) = server.join().unwrap();
    assert_eq!(lost, again);
    assert_eq!(lost.len(), 32, "16 random bytes: {lost}");
}

#[test]
fn an_order_that_may_have_been_taken_is_not_called_refused() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            head(&mut stream);
        }
    });
    let done = rotate(&url, folder.path());
    server.join().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("the answer broke off") && said.contains("may have been taken"), "{said}");
}
