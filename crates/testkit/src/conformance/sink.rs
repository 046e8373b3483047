//! The suite of [`Sink`]: what every sink must do with the records that it is given.
#![expect(clippy::expect_used, reason = "a suite asserts")]

use std::time::Duration;

use handover_core::port::{Record, Sink};
use handover_core::{GroupId, Timestamp};

/// What the suite needs of a sink besides the port. Each harness is one empty destination.
pub trait Harness: Send + Sync {
    /// Opens the sink. The suite has one open at a time.
    fn open(&self) -> Box<dyn Sink>;

    /// What arrived, in the order in which it stands at the destination: position, body, hash.
    fn arrived(&self) -> Vec<(u64, String, String)>;
}

/// Runs every case, each on a destination of its own.
pub async fn run(fresh: impl Fn() -> Box<dyn Harness>) {
    arrives_in_order_and_unchanged(&*fresh()).await;
    is_there_on_return(&*fresh()).await;
    twice_is_at_least_once(&*fresh()).await;
    some_of_the_records_will_do(&*fresh()).await;
    cut_off_at_any_await_and_delivered_again_is_complete(&*fresh()).await;
}

async fn arrives_in_order_and_unchanged(harness: &dyn Harness) {
    let sink = harness.open();
    assert!(!sink.name().is_empty(), "the name is the key of the cursor");
    sink.deliver(&[]).await.expect("nothing is easily delivered");
    assert_eq!(harness.arrived(), []);
    sink.deliver(&records(1..=3)).await.expect("deliver");
    sink.deliver(&records(4..=150)).await.expect("deliver");
    assert_eq!(harness.arrived(), wanted(1..=150));
}

async fn is_there_on_return(harness: &dyn Harness) {
    for last in 1..=5 {
        let sink = harness.open();
        sink.deliver(&records(last..=last)).await.expect("deliver");
        drop(sink);
        assert_eq!(harness.arrived(), wanted(1..=last), "after it was closed");
    }
}

async fn twice_is_at_least_once(harness: &dyn Harness) {
    let sink = harness.open();
    for _ in 0..2 {
        sink.deliver(&records(1..=4)).await.expect("deliver");
    }
    sink.deliver(&records(3..=6)).await.expect("deliver");
    assert_eq!(first_of_each(harness.arrived()), wanted(1..=6));
    drop(sink);
    harness.open().deliver(&records(5..=8)).await.expect("deliver");
    assert_eq!(first_of_each(harness.arrived()), wanted(1..=8));
}

async fn some_of_the_records_will_do(harness: &dyn Harness) {
    let sink = harness.open();
    sink.deliver(&records([2, 3, 7])).await.expect("a notification is some of the records");
    sink.deliver(&records([20])).await.expect("deliver");
    assert_eq!(first_of_each(harness.arrived()), wanted([2, 3, 7, 20]));
}

async fn cut_off_at_any_await_and_delivered_again_is_complete(harness: &dyn Harness) {
    let sink = harness.open();
    for step in 0..40 {
        let first = step * 3 + 1;
        let batch = records(first..first + 3);
        let patience = Duration::from_micros(step * 50);
        let _ = tokio::time::timeout(patience, sink.deliver(&batch)).await;
        sink.deliver(&batch).await.expect("deliver");
        assert_eq!(first_of_each(harness.arrived()), wanted(1..first + 3), "cut off after {patience:?}");
    }
}

fn records(positions: impl IntoIterator<Item = u64>) -> Vec<Record> {
    positions.into_iter().map(record).collect()
}

fn record(position: u64) -> Record {
    Record {
        position,
        group: GroupId::parse("conformance").expect("a name that fits"),
        at: Timestamp(1_700_000_000_000 + position.cast_signed()),
        body: format!(
            "{{\"event\":\"advanced\",\"reason\":\"'; -- \\\"\\\\ \\n é\u{2028}<b>${{x}}\",\"n\":{position}}}"
        ),
        hash: format!("{position:064x}"),
    }
}

fn wanted(positions: impl IntoIterator<Item = u64>) -> Vec<(u64, String, String)> {
    records(positions).into_iter().map(|record| (record.position, record.body, record.hash)).collect()
}

/// At least once allows that a record arrives again; where it first stands, all before it must stand.
fn first_of_each(arrived: Vec<(u64, String, String)>) -> Vec<(u64, String, String)> {
    let mut seen = std::collections::BTreeSet::new();
    arrived.into_iter().filter(|(position, ..)| seen.insert(*position)).collect()
}
