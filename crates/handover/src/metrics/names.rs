//! Every metric: its name, kind, unit, labels and help, in one place. `docs/metrics.md` is made from this table.
//!
//! Labels are bounded: groups and sinks come from the configuration, all else is a constant word. There is never a
//! consumer, a path as it was sent, or the text of an error.

use std::fmt::Write as _;

/// What kind of numbers it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// What it is measured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Measure {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A metric.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Its name without the suffixes of its unit and kind.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) measure: Measure,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

impl Metric {
    const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, measure: Measure::Count, labels, help }
    }

    const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, measure: Measure::Count, labels, help }
    }

    const fn seconds(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, measure: Measure::Seconds, labels, help }
    }

    const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, measure: Measure::Seconds, labels, help }
    }

    /// The name as it is scraped. A histogram has `_bucket`, `_sum` and `_count` after it.
    pub(crate) fn exposed(&self) -> String {
        let unit = match self.measure {
            Measure::Count => "",
            Measure::Seconds => "_seconds",
            Measure::Bytes => "_bytes",
        };
        let kind = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{kind}", self.name)
    }
}

pub(crate) const BUILD: Metric =
    Metric::gauge("handover_build_info", &["version"], "Always 1; the label says which version runs.");
pub(crate) const STARTED_AT: Metric =
    Metric::seconds("process_start_time", &[], "When the process started, since the Unix epoch.");
pub(crate) const MEMORY: Metric = Metric {
    name: "process_resident_memory",
    kind: Kind::Gauge,
    measure: Measure::Bytes,
    labels: &[],
    help: "Memory of the process that is in RAM.",
};
pub(crate) const DESCRIPTORS: Metric = Metric::gauge("process_open_fds", &[], "Open file descriptors.");
pub(crate) const READY: Metric = Metric::gauge("handover_ready", &[], "1 if /v1/ready says so, else 0.");

pub(crate) const LEASE_HELD: Metric =
    Metric::gauge("handover_lease_held", &[], "1 if the lease is held, as far as is known, else 0.");
pub(crate) const LEASE_EPOCH: Metric =
    Metric::gauge("handover_lease_epoch", &[], "The epoch of the lease that was taken last.");
pub(crate) const LEASES: Metric =
    Metric::counter("handover_leases_taken", &[], "How often this process took the lease: 1 after a start.");

pub(crate) const ROTATIONS_STARTED: Metric =
    Metric::counter("handover_rotations_started", &["group"], "Rotations that were started.");
pub(crate) const ROTATIONS_ENDED: Metric = Metric::counter(
    "handover_rotations_ended",
    &["group", "outcome"],
    "Rotations that ended: success, rolled_back, abandoned.",
);
pub(crate) const ROTATION_LIVE: Metric = Metric::gauge(
    "handover_rotation_live",
    &["group", "phase"],
    "1 for the phase in which the group's live rotation stands; absent where none is live.",
);
pub(crate) const ROTATION_HELD: Metric = Metric::gauge(
    "handover_rotation_held",
    &["group", "hold"],
    "1 while the group's live rotation is held; the label says why.",
);
pub(crate) const PHASE_AGE: Metric =
    Metric::seconds("handover_phase_age", &["group"], "How long the group's live rotation has been in its phase.");
pub(crate) const PHASE_DURATION: Metric =
    Metric::histogram("handover_phase_duration", &["phase"], "How long phases lasted that ended.");
pub(crate) const CONSUMERS_BEHIND: Metric = Metric::gauge(
    "handover_consumers_behind",
    &["group"],
    "Consumers whom the live rotation waits for; absent where the roll was not called or the list is not complete.",
);
pub(crate) const OLD_USES: Metric = Metric::gauge(
    "handover_old_generation_uses",
    &["group"],
    "Uses of the generation that goes out of use, as seen last; absent where nobody could look.",
);
pub(crate) const OLD_AGE: Metric = Metric::seconds(
    "handover_old_generation_age",
    &["group"],
    "How long the old generation is still there since all stores publish the new one.",
);
pub(crate) const GENERATION: Metric =
    Metric::gauge("handover_generation", &["group"], "The generation that is published at rest.");
pub(crate) const GENERATION_AGE: Metric = Metric::seconds(
    "handover_generation_age",
    &["group"],
    "How long the present generation has been in force; absent where history does not say since when.",
);
pub(crate) const SUCCEEDED_AT: Metric = Metric::seconds(
    "handover_last_success_timestamp",
    &["group"],
    "When a rotation last succeeded, since the Unix epoch; absent if none did.",
);

pub(crate) const ALERT: Metric = Metric::gauge(
    "handover_alert",
    &["group", "alert"],
    "1 while the alert of the group stands; absent while it does not.",
);

pub(crate) const EFFECTS: Metric = Metric::counter(
    "handover_effects",
    &["effect", "result"],
    "Effects: done, failed (nothing was touched), unknown (nobody knows whether it took place).",
);
pub(crate) const FAULTS: Metric = Metric::counter("handover_faults", &["code"], "Faults of work on groups, by code.");
pub(crate) const SETBACKS: Metric =
    Metric::counter("handover_setbacks", &[], "Waits after a failure, each before another try.");
pub(crate) const VIOLATIONS: Metric =
    Metric::counter("handover_violations", &[], "Rows that broke an invariant; nothing is done on them.");
pub(crate) const CALL_DURATION: Metric = Metric::histogram(
    "handover_call_duration",
    &["port", "call"],
    "How long calls of targets, checks, stores, sinks, the state and the consumer list took.",
);
pub(crate) const CALL_FAULTS: Metric = Metric::counter("handover_call_faults", &["port", "code"], "Calls that failed.");
pub(crate) const STATE_TRANSACTIONS: Metric = Metric::counter(
    "handover_state_transactions",
    &[],
    "Transactions of the state that were committed: one flush each.",
);
pub(crate) const STATE_WRITES: Metric = Metric::counter(
    "handover_state_writes",
    &[],
    "Pieces of work in those transactions; by the number of transactions it is the size of a batch.",
);
pub(crate) const QUEUE: Metric = Metric::gauge(
    "handover_queue_groups",
    &["state"],
    "Groups that wait for their time (waiting), or are worked on (running).",
);

pub(crate) const SCHEDULES: Metric = Metric::gauge(
    "handover_schedule_groups",
    &["state"],
    "Groups whose schedule has a next rotation (planned), and those of them that may start and have not (late).",
);

pub(crate) const SCHEDULE_LATE: Metric = Metric::seconds(
    "handover_schedule_late",
    &[],
    "How long ago the rotation was planned that is the most late of those that may start; absent where none is late.",
);

pub(crate) const SINK_POSITION: Metric =
    Metric::gauge("handover_sink_position", &["sink"], "Everything up to this position is delivered.");
pub(crate) const SINK_WAITING: Metric =
    Metric::gauge("handover_sink_waiting", &["sink"], "Records that wait for the sink.");
pub(crate) const SINK_FAILING: Metric =
    Metric::gauge("handover_sink_failing", &["sink"], "1 if the last delivery failed, else 0.");
pub(crate) const SINK_FAILING_AGE: Metric = Metric::seconds(
    "handover_sink_failing_age",
    &["sink"],
    "How long the sink has taken nothing; absent while it takes records.",
);
pub(crate) const SINK_RECORDS: Metric =
    Metric::counter("handover_sink_records", &["sink"], "Records that the sink took.");
pub(crate) const SINK_FAILURES: Metric =
    Metric::counter("handover_sink_failures", &["sink"], "Deliveries to the sink that failed.");

pub(crate) const DELIVERIES: Metric =
    Metric::counter("handover_deliveries", &["group"], "Values that were handed to consumers.");
pub(crate) const ACKNOWLEDGEMENTS: Metric =
    Metric::counter("handover_acknowledgements", &["group", "reach"], "Acknowledgements with a proof that fits.");
pub(crate) const PROOFS_REFUSED: Metric =
    Metric::counter("handover_proofs_refused", &[], "Acknowledgements whose proof does not fit.");
pub(crate) const STREAMS: Metric = Metric::gauge("handover_watch_streams", &[], "Open watch streams.");

pub(crate) const HTTP_REQUESTS: Metric = Metric::counter(
    "handover_http_requests",
    &["route", "method", "status"],
    "Requests that were answered; the route is the template, or unmatched.",
);
pub(crate) const HTTP_DURATION: Metric = Metric::histogram(
    "handover_http_duration",
    &["route", "method"],
    "How long requests took until their answer began.",
);
pub(crate) const TOKENS_REFUSED: Metric = Metric::counter(
    "handover_tokens_refused",
    &["reason"],
    "Requests that were refused for who asked: unauthenticated (no valid token), not_permitted (not for this token).",
);
pub(crate) const TRACE_EXPORTS: Metric =
    Metric::counter("handover_trace_exports", &["result"], "Batches of spans that were sent: done, failed.");

/// All of them, in the order in which they are shown.
pub(crate) const ALL: [&Metric; 48] = [
    &BUILD,
    &STARTED_AT,
    &MEMORY,
    &DESCRIPTORS,
    &READY,
    &LEASE_HELD,
    &LEASE_EPOCH,
    &LEASES,
    &ROTATIONS_STARTED,
    &ROTATIONS_ENDED,
    &ROTATION_LIVE,
    &ROTATION_HELD,
    &PHASE_AGE,
    &PHASE_DURATION,
    &CONSUMERS_BEHIND,
    &OLD_USES,
    &OLD_AGE,
    &GENERATION,
    &GENERATION_AGE,
    &SUCCEEDED_AT,
    &ALERT,
    &EFFECTS,
    &FAULTS,
    &SETBACKS,
    &VIOLATIONS,
    &CALL_DURATION,
    &CALL_FAULTS,
    &STATE_TRANSACTIONS,
    &STATE_WRITES,
    &QUEUE,
    &SCHEDULES,
    &SCHEDULE_LATE,
    &SINK_POSITION,
    &SINK_WAITING,
    &SINK_FAILING,
    &SINK_FAILING_AGE,
    &SINK_RECORDS,
    &SINK_FAILURES,
    &DELIVERIES,
    &ACKNOWLEDGEMENTS,
    &PROOFS_REFUSED,
    &STREAMS,
    &HTTP_REQUESTS,
    &HTTP_DURATION,
    &TOKENS_REFUSED,
    &TRACE_EXPORTS,
    &METRICS_FAILED,
    &GROUPS_LEFT_OUT,
];

pub(crate) const METRICS_FAILED: Metric = Metric::gauge(
    "handover_metrics_incomplete",
    &[],
    "1 if the state could not be asked how far the sinks got, so that their positions are missing here, else 0.",
);

pub(crate) const GROUPS_LEFT_OUT: Metric = Metric::gauge(
    "handover_metrics_groups_left_out",
    &[],
    "Groups without series here: a scrape has those of 10,000, first the ones with a live rotation, then by name.",
);

/// Name of the span around a request. Those of the engine are in [`handover_engine::telemetry`].
pub(crate) const SPAN_REQUEST: &str = "request";

/// The table as a page.
#[cfg_attr(not(test), expect(dead_code, reason = "the page is made by a test"))]
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\nMade from `crates/handover/src/metrics/names.rs`. How to scrape them: [operation](operation.md#metrics).\n\n\
         Counters begin at zero with the process. What is not known is absent, never zero. Values of `group` and `sink` come \
         from the configuration; all other labels are constant words. A histogram has `_bucket`, `_sum` and `_count`.\n\n\
         | metric | kind | labels | what it says |\n| --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(page, "| `{}` | {kind} | {} | {} |", metric.exposed(), labels.join(", "), metric.help);
    }
    let engine = handover_engine::telemetry::SPAN_DRIVE;
    let (effect, call) = (handover_engine::telemetry::SPAN_EFFECT, handover_engine::telemetry::SPAN_CALL);
    let _ = write!(
        page,
        "\n## Spans\n\n| span | within | fields |\n| --- | --- | --- |\n\
         | `{SPAN_REQUEST}` | | `route`, `method`, `status`: a request, until its answer begins |\n\
         | `{engine}` | | `group`: the work on one group, until it has to wait |\n\
         | `{effect}` | `{engine}` | `effect`, `probe_first`: one effect |\n\
         | `{call}` | any of them | `port`, `whom`: one call of a target, a check, a store, a sink, the state or the consumer list |\n"
    );
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.exposed()).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(fits(metric.name) && metric.labels.iter().all(|label| fits(label)), "{metric:?}");
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '|', '"', '\\']), "{metric:?}");
            // A name that ends in its own suffix would get it twice.
            assert!(!["_total", "_seconds", "_bytes"].iter().any(|suffix| metric.name.ends_with(suffix)), "{metric:?}");
        }
    }

    /// Write the page anew with `UPDATE_GOLDEN=1 cargo test -p handover names`.
    #[test]
    fn the_page_is_made_from_the_table() {
        let file = root().join("docs/metrics.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, page()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(written == page(), "docs/metrics.md is not the page of the table: UPDATE_GOLDEN=1 writes it anew");
    }

    /// A rule that names a metric that is not there never fires, and nobody notices.
    #[test]
    fn alert_rules_name_metrics_and_labels_that_exist() {
        let rules = std::fs::read_to_string(root().join("packaging/alerts.yml")).unwrap();
        let mut exposed = BTreeSet::new();
        for metric in ALL {
            let name = metric.exposed();
            match metric.kind {
                Kind::Histogram => {
                    exposed.extend(["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")));
                }
                Kind::Counter | Kind::Gauge => drop(exposed.insert(name)),
            }
        }
        let labels: BTreeSet<&str> = ALL.iter().flat_map(|metric| metric.labels).copied().collect();
        let mut named = 0;
        for line in rules.lines() {
            let words = line.split(|byte: char| !(byte.is_ascii_lowercase() || byte == '_'));
            for word in words.filter(|word| word.starts_with("handover_")) {
                assert!(exposed.contains(word), "packaging/alerts.yml: {word} is no metric");
                named += 1;
            }
            for label in line.split("$labels.").skip(1) {
                let end = label.find(|byte: char| !byte.is_ascii_lowercase()).unwrap_or(label.len());
                assert!(labels.contains(&label[..end]) || &label[..end] == "instance", "{line}: no such label");
            }
        }
        assert!(named >= 10, "the rules were not found");
        let alerts = rules.matches("- alert: ").count();
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert_eq!(rules.matches(part).count(), alerts, "each alert has one `{part}`");
        }
    }
}
