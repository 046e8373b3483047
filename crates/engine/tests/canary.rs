//! A known value through rotations in which much goes wrong: no output contains it.
//!
//! The one test has a process of its own, because what is logged where is decided once in a process.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::io::Write;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use common::*;
use handover_core::FaultKind;
use handover_testkit::fake::{Injection, Script};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// S01: through injected failures of every port.
#[tokio::test(start_paused = true)]
async fn no_output_contains_a_value() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new();
    let script = Script::default();
    let mut binding = world.binding(&group("db"), "db", &world.target, &script);
    binding.generator = Arc::new(Canary(AtomicU64::new(0)));
    let process = world.start_bound(&script, vec![binding]).await;
    let mut events = process.handle.events();
    process.rotate().await;
    world.target.reject_next(1);
    script.once("target.create", Injection::Refuse(unknown(FaultKind::Unreachable)));
    script.once("target.disable", Injection::LoseReply(unknown(FaultKind::Busy)));
    script.once("store.point", Injection::LoseReply(unknown(FaultKind::Unreachable)));
    script.once("store.put", Injection::Refuse(unknown(FaultKind::Unreachable)));
    script.once("target.destroy", Injection::Hang);
    process.rotate().await;
    world.assert_at_rest();
    let mut output = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(output.contains("row committed"), "the log was captured: {output}");
    while let Ok(event) = events.try_recv() {
        output.push_str(&format!("{event:?}\n"));
    }
    output.push_str(&format!("{:?}{:?}", process.handle.view(&group("db")).await, world.state.history()));
    assert!(!output.contains(CANARY), "a value is in the output");
    process.stop().await;
}
