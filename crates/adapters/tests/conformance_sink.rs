//! Every sink there is, put through the suite of its port.
#![cfg(all(feature = "sink-file", feature = "sink-syslog", feature = "sink-http"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use handover_adapters::sink::file::FileSink;
use handover_adapters::sink::http::{self, HttpSink};
use handover_adapters::sink::syslog::{self, SyslogSink};
use handover_adapters::sink::{SinkKind, line};
use handover_core::port::Sink;
use handover_testkit::conformance::sink::{Harness, run};
use handover_testkit::servers::{Receiver, Rsyslog};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sink_keeps_the_promises_of_its_port() {
    for kind in SinkKind::ALL {
        // No wildcard: a sink without a harness does not compile.
        run(|| -> Box<dyn Harness> {
            match kind {
                SinkKind::File => Box::new(FileHarness { dir: tempfile::tempdir().unwrap() }),
                SinkKind::Syslog => Box::new(SyslogHarness { server: Rsyslog::start().unwrap() }),
                SinkKind::Http => Box::new(HttpHarness { receiver: Receiver::start().unwrap() }),
            }
        })
        .await;
    }
}

struct FileHarness {
    dir: tempfile::TempDir,
}

impl Harness for FileHarness {
    fn open(&self) -> Box<dyn Sink> {
        Box::new(FileSink::open("history", self.dir.path().join("history.jsonl")).unwrap())
    }

    fn arrived(&self) -> Vec<(u64, String, String)> {
        arrived(&std::fs::read_to_string(self.dir.path().join("history.jsonl")).unwrap())
    }
}

/// rsyslog, over TLS.
struct SyslogHarness {
    server: Rsyslog,
}

impl Harness for SyslogHarness {
    fn open(&self) -> Box<dyn Sink> {
        let text = format!("name = 'siem'\naddress = 'localhost:{}'\nca_file = 'ca.pem'", self.server.tls_port());
        let config: syslog::Config = toml::from_str(&text).unwrap();
        Box::new(SyslogSink::new(config, Some(self.server.certificates.ca_pem.as_bytes())).unwrap())
    }

    fn arrived(&self) -> Vec<(u64, String, String)> {
        let text = self.server.received();
        assert!(text.lines().all(|line| line.starts_with("handover advanced audit ")), "{text}");
        arrived(&text)
    }
}

struct HttpHarness {
    receiver: Receiver,
}

impl Harness for HttpHarness {
    fn open(&self) -> Box<dyn Sink> {
        let config: http::Config = toml::from_str(&format!("name = 'siem'\nurl = '{}'", self.receiver.url())).unwrap();
        Box::new(HttpSink::new(config, None, None).unwrap())
    }

    fn arrived(&self) -> Vec<(u64, String, String)> {
        arrived(&self.receiver.taken().into_iter().map(|request| request.body).collect::<String>())
    }
}

fn arrived(text: &str) -> Vec<(u64, String, String)> {
    let records = text.lines().map(|text| line::read(text).unwrap());
    records.map(|record| (record.position, record.body, record.hash)).collect()
}
