//! Every sink there is, put through the suite of its port.
#![cfg(feature = "sink-file")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use handover_adapters::sink::SinkKind;
use handover_adapters::sink::file::FileSink;
use handover_core::port::Sink;
use handover_testkit::conformance::sink::{Harness, run};

#[tokio::test]
async fn every_sink_keeps_the_promises_of_its_port() {
    for kind in SinkKind::ALL {
        // No wildcard: a sink without a harness does not compile.
        run(|| -> Box<dyn Harness> {
            match kind {
                SinkKind::File => Box::new(FileHarness { dir: tempfile::tempdir().unwrap() }),
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
        let text = std::fs::read_to_string(self.dir.path().join("history.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        lines.map(|line| (line["position"].as_u64().unwrap(), text(&line["body"]), text(&line["hash"]))).collect()
    }
}
