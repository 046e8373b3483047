//! A sink in memory.

use std::sync::{Arc, Mutex};

use handover_core::port::{Answer, Record, Sink};

use super::{Script, locked};

/// A sink in memory.
#[derive(Clone, Debug)]
pub struct FakeSink {
    records: Arc<Mutex<Vec<Record>>>,
    script: Script,
    name: &'static str,
    call: &'static str,
}

impl FakeSink {
    /// An empty sink. Its calls are named `call` in the script, so that one of several can fail alone.
    pub fn new(script: &Script, name: &'static str, call: &'static str) -> Self {
        Self { records: Arc::default(), script: script.clone(), name, call }
    }

    /// What arrived, repetitions included.
    pub fn records(&self) -> Vec<Record> {
        locked(&self.records).clone()
    }
}

impl Sink for FakeSink {
    fn name(&self) -> &str {
        self.name
    }

    fn deliver<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        let (kept, records) = (Arc::clone(&self.records), records.to_vec());
        Box::pin(self.script.pass(self.call, move || {
            locked(&kept).extend(records);
            Ok(())
        }))
    }
}
