//! The syslog and HTTP sinks where the other side hangs, breaks off, refuses, or is somebody else.
#![cfg(all(feature = "sink-syslog", feature = "sink-http"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use handover_adapters::sink::http::{self, HttpSink};
use handover_adapters::sink::line;
use handover_adapters::sink::syslog::{self, SyslogSink};
use handover_core::port::{Record, Sink as _};
use handover_core::{FaultKind, GroupId, Timestamp, Touched};
use handover_secret::Secret;
use handover_testkit::servers::{Certificates, Receiver, Reply, Rsyslog};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram};

fn record(position: u64) -> Record {
    Record {
        position,
        group: GroupId::parse("orders").unwrap(),
        at: Timestamp(1_700_000_000_000),
        body: "{\"event\":\"advanced\",\"reason\":\"a\\nb \u{7f} é\"}".to_owned(),
        hash: format!("{position:064x}"),
    }
}

fn syslog_sink(options: &str, ca_pem: Option<&str>) -> SyslogSink {
    let config: syslog::Config = toml::from_str(&format!("name = 'siem'\n{options}")).unwrap();
    SyslogSink::new(config, ca_pem.map(str::as_bytes)).unwrap()
}

fn http_sink(options: &str, token: Option<&str>) -> HttpSink {
    let config: http::Config = toml::from_str(&format!("name = 'siem'\n{options}")).unwrap();
    HttpSink::new(config, None, token.map(|token| Secret::from_text(token.to_owned()))).unwrap()
}

/// F91: a receiver that takes the bytes and never reads on confirms nothing.
#[tokio::test]
async fn syslog_is_delivered_only_when_the_receiver_has_read_to_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sink = syslog_sink(&format!("address = '{address}'\ntransport = 'tcp'"), None);
    let records = [record(1), record(2)];
    let mut delivering = sink.deliver(&records);
    let hung = tokio::time::timeout(Duration::from_millis(300), &mut delivering).await;
    assert!(hung.is_err(), "nobody has read: {hung:?}");
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    let read = async {
        stream.read_to_string(&mut text).await.unwrap();
        drop(stream);
    };
    let (delivered, ()) = tokio::join!(delivering, read);
    delivered.unwrap();
    // Octet counting: each length fits its message, and the messages hold no line end.
    let mut rest = text.as_str();
    for position in 1..=2 {
        let (length, after) = rest.split_once(' ').unwrap();
        let (message, after) = after.split_at(length.parse().unwrap());
        assert!(message.starts_with("<109>1 2023-11-14T22:13:20.000Z - handover - advanced - {"), "{message}");
        assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{message}");
        assert_eq!(line::read(message), Some(record(position)));
        rest = after;
    }
    assert_eq!(rest, "");
}

#[tokio::test]
async fn a_receiver_that_breaks_off_or_is_not_there_has_confirmed_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sink = syslog_sink(&format!("address = '{address}'\ntransport = 'tcp'"), None);
    // Closed with our bytes unread, which the kernel answers with a reset.
    let records: Vec<_> = (1..=50).map(record).collect();
    let refuse = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 1]).await.unwrap();
        drop(stream);
    };
    let (delivered, ()) = tokio::join!(sink.deliver(&records), refuse);
    let fault = delivered.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Unreachable, Touched::Unknown), "{fault}");
    drop(listener);
    let fault = sink.deliver(&records).await.unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Unreachable, Touched::Nothing), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_with_a_certificate_of_somebody_else_gets_nothing() {
    let server = Rsyslog::start().unwrap();
    let other = Certificates::generate().unwrap();
    let options = format!("address = '127.0.0.1:{}'\nca_file = 'x'", server.tls_port());
    let fault = syslog_sink(&options, Some(&other.ca_pem)).deliver(&[record(1)]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    let renamed = format!("{options}\nserver_name = 'siem.internal'");
    let fault = syslog_sink(&renamed, Some(&server.certificates.ca_pem)).deliver(&[record(1)]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    assert_eq!(server.received(), "");
}

#[tokio::test]
async fn datagrams_hold_one_record_each() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let options = format!("address = '{}'\ntransport = 'udp'\nfacility = 1", udp.local_addr().unwrap());
    syslog_sink(&options, None).deliver(&[record(1), record(2)]).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    let options = format!("address = '{}'\ntransport = 'unix'\nfacility = 1", path.display());
    syslog_sink(&options, None).deliver(&[record(1), record(2)]).await.unwrap();
    for position in 1..=2 {
        let (mut one, mut other) = ([0; 4096], [0; 4096]);
        let lengths = (udp.recv(&mut one).await.unwrap(), unix.recv(&mut other).await.unwrap());
        for bytes in [&one[..lengths.0], &other[..lengths.1]] {
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(text.starts_with("<13>1 "), "{text}");
            assert_eq!(line::read(text), Some(record(position)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_http_is_believed_for_what_it_says() {
    let receiver = Receiver::start().unwrap();
    let sink = http_sink(&format!("url = '{}'", receiver.url()), Some("canary-4711"));
    for (status, kind) in [
        (500, FaultKind::Busy),
        (429, FaultKind::Busy),
        (401, FaultKind::Unauthenticated),
        (403, FaultKind::NotPermitted),
        (404, FaultKind::Misconfigured),
        (307, FaultKind::Misconfigured),
        (400, FaultKind::Unsupported),
    ] {
        receiver.order([Reply::Status(status, "canary-answer")]);
        let before = receiver.asked();
        let fault = sink.deliver(&[record(1)]).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{status}: {fault}");
        assert!(!fault.to_string().contains("canary"), "{fault}");
        assert_eq!(receiver.asked(), before + 1, "{status} is neither repeated nor followed");
    }
    receiver.order([Reply::Hang]);
    let hung = tokio::time::timeout(Duration::from_millis(300), async { sink.deliver(&[record(1)]).await }).await;
    assert!(hung.is_err(), "{hung:?}");
    receiver.order([Reply::Close]);
    assert_eq!(sink.deliver(&[record(1)]).await.unwrap_err().touched, Touched::Unknown);
    sink.deliver(&[record(1)]).await.unwrap();
    let taken = receiver.taken().pop().unwrap();
    assert!(taken.head.starts_with("post /in http/1.1\r\n"), "{}", taken.head);
    assert!(taken.head.contains("authorization: bearer canary-4711"), "{}", taken.head);
    assert_eq!(line::read(&taken.body), Some(record(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_which_a_part_was_refused_was_not_delivered() {
    let receiver = Receiver::start().unwrap();
    let elastic = http_sink(&format!("url = '{}'\nformat = 'elastic'", receiver.url()), None);
    receiver.order([
        Reply::Status(200, r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":503}}]}"#),
        Reply::Status(200, r#"{"errors":true,"items":[{"create":{"status":409}},{"create":{"status":201}}]}"#),
    ]);
    assert_eq!(elastic.deliver(&[record(1), record(2)]).await.unwrap_err().kind, FaultKind::Busy);
    elastic.deliver(&[record(1), record(2)]).await.unwrap();
    let splunk = http_sink(&format!("url = '{}'\nformat = 'splunk'", receiver.url()), Some("t"));
    receiver.order([Reply::Status(200, r#"{"code":9}"#), Reply::Status(200, r#"{"code":0}"#)]);
    assert_eq!(splunk.deliver(&[record(1)]).await.unwrap_err().kind, FaultKind::Busy);
    splunk.deliver(&[record(1)]).await.unwrap();
    assert!(receiver.taken().pop().unwrap().head.contains("authorization: splunk t"));
}
