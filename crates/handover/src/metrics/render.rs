//! From numbers to text.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use handover_core::{GroupId, Timestamp};
use handover_engine::{
    Counters, EffectResult, GroupNumbers, Handle, LiveNumbers, SchedulesSeen, SinkProgress, Spread, Standing,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::names::{self, Kind, Measure, Metric};
use super::{Http, Meter};
use crate::words;

/// All numbers of one moment.
#[derive(Debug)]
pub(crate) struct Scrape {
    counters: Counters,
    groups: Vec<(GroupId, GroupNumbers)>,
    left_out: usize,
    alerts: Vec<(GroupId, &'static str)>,
    standing: Standing,
    schedules: SchedulesSeen,
    /// `None`: the state could not be asked.
    sinks: Option<Vec<SinkProgress>>,
    http: Http,
    proofs_refused: u64,
    exports: (u64, u64),
    batches: (u64, u64),
    streams: usize,
    ready: bool,
    started_at: SystemTime,
    now: Timestamp,
}

impl Scrape {
    /// Takes them, without what is about groups that are not covered.
    pub(crate) async fn take(
        engine: &Handle,
        meter: &Meter,
        (streams, ready): (usize, bool),
        mut alerts: Vec<(GroupId, &'static str)>,
        covers: impl Fn(&GroupId) -> bool,
    ) -> Self {
        let (groups, left_out) = engine.groups_now(&covers, GROUPS_MAX);
        let mut counters = engine.counters();
        let told = |group: &GroupId| covers(group) && (left_out == 0 || groups.contains_key(group));
        counters.started.retain(|group, _| told(group));
        counters.ended.retain(|(group, _), _| told(group));
        counters.deliveries.retain(|group, _| told(group));
        counters.acknowledgements.retain(|(group, _), _| told(group));
        alerts.retain(|(group, _)| told(group));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            counters,
            groups: groups.into_iter().collect(),
            left_out,
            alerts,
            standing: engine.standing(),
            schedules: engine.schedules(),
            sinks: engine.sinks_progress().await.ok(),
            http: meter.http().clone(),
            proofs_refused: meter.proofs_refused.load(Ordering::Relaxed),
            exports: (meter.exports.done.load(Ordering::Relaxed), meter.exports.failed.load(Ordering::Relaxed)),
            batches: meter.batches.counted(),
            streams,
            ready,
            started_at: meter.started_at,
            now: Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

/// Of how many groups there are series. Several series of each of 100,000 groups would be more than one scrape is good for.
const GROUPS_MAX: usize = 10_000;

/// The text of a scrape.
pub(crate) fn render(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.process(&mut out)?;
        self.lease(&mut out)?;
        self.rotations(&mut out)?;
        self.phases(&mut out)?;
        self.generations(&mut out)?;
        self.work(&mut out)?;
        self.calls(&mut out)?;
        self.sinks(&mut out)?;
        self.consumers(&mut out)?;
        self.requests(&mut out)
    }
}

impl Scrape {
    fn process(&self, out: &mut Out<'_>) -> fmt::Result {
        out.gauges(&names::BUILD, [([env!("CARGO_PKG_VERSION")], 1.0)])?;
        let started = self.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.gauge(&names::STARTED_AT, Some(started.as_secs_f64()))?;
        out.gauge(&names::MEMORY, resident_bytes())?;
        let descriptors = std::fs::read_dir("/proc/self/fd").ok().map(|entries| count(entries.count()));
        out.gauge(&names::DESCRIPTORS, descriptors)?;
        out.gauge(&names::READY, Some(flag(self.ready)))?;
        out.gauge(&names::METRICS_FAILED, Some(flag(self.sinks.is_none())))?;
        out.gauge(&names::GROUPS_LEFT_OUT, Some(count(self.left_out)))
    }

    fn lease(&self, out: &mut Out<'_>) -> fmt::Result {
        out.gauge(&names::LEASE_HELD, Some(flag(self.standing.lease_held)))?;
        out.gauge(&names::LEASE_EPOCH, Some(number(self.standing.epoch.0)))?;
        out.counters(&names::LEASES, [([], self.counters.leases)])
    }

    fn rotations(&self, out: &mut Out<'_>) -> fmt::Result {
        let started = self.counters.started.iter().map(|(group, count)| ([group.as_str()], *count));
        out.counters(&names::ROTATIONS_STARTED, started)?;
        let ended = self.counters.ended.iter().map(|((group, outcome), count)| ([group.as_str(), *outcome], *count));
        out.counters(&names::ROTATIONS_ENDED, ended)?;
        out.gauges(&names::ROTATION_LIVE, self.live().map(|(group, live)| ([group, live.phase], 1.0)))?;
        let held = self.live().filter_map(|(group, live)| Some(([group, words::hold_kind(live.hold.as_ref()?)], 1.0)));
        out.gauges(&names::ROTATION_HELD, held)?;
        let age = |at: Timestamp| self.now.since(at).as_secs_f64();
        out.gauges(&names::PHASE_AGE, self.live().map(|(group, live)| ([group], age(live.entered_at))))
    }

    fn phases(&self, out: &mut Out<'_>) -> fmt::Result {
        out.histograms(&names::PHASE_DURATION, self.counters.phases.iter().map(|(phase, spread)| ([*phase], spread)))?;
        let behind = self.live().filter_map(|(group, live)| Some(([group], count(live.behind?))));
        out.gauges(&names::CONSUMERS_BEHIND, behind)?;
        let uses = self.live().filter_map(|(group, live)| Some(([group], f64::from(live.uses?))));
        out.gauges(&names::OLD_USES, uses)?;
        let age = |at: Timestamp| self.now.since(at).as_secs_f64();
        let replaced = self.live().filter_map(|(group, live)| Some(([group], age(live.replaced_at?))));
        out.gauges(&names::OLD_AGE, replaced)
    }

    fn generations(&self, out: &mut Out<'_>) -> fmt::Result {
        let groups = || self.groups.iter().map(|(group, numbers)| (group.as_str(), numbers));
        let generation = groups().filter_map(|(group, numbers)| Some(([group], number(numbers.generation?.0))));
        out.gauges(&names::GENERATION, generation)?;
        let age = |at: Timestamp| self.now.since(at).as_secs_f64();
        let since = groups().filter_map(|(group, numbers)| Some(([group], age(numbers.generation_since?))));
        out.gauges(&names::GENERATION_AGE, since)?;
        let seconds = |at: Timestamp| std::time::Duration::from_millis(u64::try_from(at.0).unwrap_or(0)).as_secs_f64();
        let success = groups().filter_map(|(group, numbers)| Some(([group], seconds(numbers.succeeded_at?))));
        out.gauges(&names::SUCCEEDED_AT, success)?;
        out.gauges(&names::ALERT, self.alerts.iter().map(|(group, alert)| ([group.as_str(), *alert], 1.0)))
    }

    fn work(&self, out: &mut Out<'_>) -> fmt::Result {
        let effects =
            self.counters.effects.iter().map(|((kind, result), count)| ([*kind, result_word(*result)], *count));
        out.counters(&names::EFFECTS, effects)?;
        out.counters(&names::FAULTS, self.counters.faults.iter().map(|(code, count)| ([*code], *count)))?;
        out.counters(&names::SETBACKS, [([], self.counters.setbacks)])?;
        out.counters(&names::VIOLATIONS, [([], self.counters.violations)])?;
        let queue = [(["waiting"], count(self.standing.queued)), (["running"], count(self.standing.running))];
        out.gauges(&names::QUEUE, queue)?;
        let SchedulesSeen { planned, late, late_since } = self.schedules;
        out.gauges(&names::SCHEDULES, [(["planned"], count(planned)), (["late"], count(late))])?;
        out.gauge(&names::SCHEDULE_LATE, late_since.map(|since| self.now.since(since).as_secs_f64()))
    }

    fn calls(&self, out: &mut Out<'_>) -> fmt::Result {
        let calls = self.counters.calls.iter().map(|((port, call), spread)| ([*port, *call], spread));
        out.histograms(&names::CALL_DURATION, calls)?;
        let faults = self.counters.call_faults.iter().map(|((port, code), count)| ([*port, *code], *count));
        out.counters(&names::CALL_FAULTS, faults)?;
        let (transactions, writes) = self.batches;
        out.counters(&names::STATE_TRANSACTIONS, [([], transactions)])?;
        out.counters(&names::STATE_WRITES, [([], writes)])
    }

    fn sinks(&self, out: &mut Out<'_>) -> fmt::Result {
        let sinks = || self.sinks.iter().flatten().map(|sink| (sink.name.as_str(), sink));
        out.gauges(&names::SINK_POSITION, sinks().map(|(name, sink)| ([name], number(sink.position))))?;
        out.gauges(&names::SINK_WAITING, sinks().map(|(name, sink)| ([name], number(sink.waiting))))?;
        out.gauges(&names::SINK_FAILING, sinks().map(|(name, sink)| ([name], flag(sink.failing.is_some()))))?;
        let age = |at: Timestamp| self.now.since(at).as_secs_f64();
        let failing = sinks().filter_map(|(name, sink)| Some(([name], age(sink.failing.as_ref()?.at))));
        out.gauges(&names::SINK_FAILING_AGE, failing)?;
        out.counters(&names::SINK_RECORDS, sinks().map(|(name, sink)| ([name], sink.records)))?;
        out.counters(&names::SINK_FAILURES, sinks().map(|(name, sink)| ([name], sink.failures)))
    }

    fn consumers(&self, out: &mut Out<'_>) -> fmt::Result {
        let deliveries = self.counters.deliveries.iter().map(|(group, count)| ([group.as_str()], *count));
        out.counters(&names::DELIVERIES, deliveries)?;
        let acknowledgements = &self.counters.acknowledgements;
        let acknowledged = acknowledgements.iter().map(|((group, reach), count)| ([group.as_str(), *reach], *count));
        out.counters(&names::ACKNOWLEDGEMENTS, acknowledged)?;
        out.counters(&names::PROOFS_REFUSED, [([], self.proofs_refused)])?;
        out.gauge(&names::STREAMS, Some(count(self.streams)))
    }

    fn requests(&self, out: &mut Out<'_>) -> fmt::Result {
        let requests: Vec<_> = self
            .http
            .requests
            .iter()
            .map(|((route, method, status), count)| (route.as_str(), *method, status.to_string(), *count))
            .collect();
        let counted =
            requests.iter().map(|(route, method, status, count)| ([*route, *method, status.as_str()], *count));
        out.counters(&names::HTTP_REQUESTS, counted)?;
        let durations = self.http.durations.iter().map(|((route, method), spread)| ([route.as_str(), *method], spread));
        out.histograms(&names::HTTP_DURATION, durations)?;
        out.counters(&names::TOKENS_REFUSED, self.http.refused.iter().map(|(reason, count)| ([*reason], *count)))?;
        let (done, failed) = self.exports;
        out.counters(&names::TRACE_EXPORTS, [(["done"], done), (["failed"], failed)])
    }

    fn live(&self) -> impl Iterator<Item = (&str, &LiveNumbers)> {
        self.groups.iter().filter_map(|(group, numbers)| Some((group.as_str(), numbers.live.as_deref()?)))
    }
}

/// Writes families. The labels of a sample stand in the order of its metric's.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counters<'s, const N: usize>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([&'s str; N], u64)>,
    ) -> fmt::Result {
        self.family(metric, samples, |one, value| one.encode_counter(&value, None::<&Exemplar<[(&str, &str); 0], u64>>))
    }

    fn gauges<'s, const N: usize>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([&'s str; N], f64)>,
    ) -> fmt::Result {
        self.family(metric, samples, |one, value| one.encode_gauge(&value))
    }

    fn gauge(&mut self, metric: &Metric, value: Option<f64>) -> fmt::Result {
        self.gauges(metric, value.map(|value| ([], value)))
    }

    fn histograms<'s, const N: usize>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([&'s str; N], &'s Spread)>,
    ) -> fmt::Result {
        self.family(metric, samples, |one, spread| {
            // The encoder's own word for a bucket without bound.
            let bound = |(bound, count): (f64, u64)| (if bound.is_infinite() { f64::MAX } else { bound }, count);
            let buckets: Vec<_> = spread.buckets().map(bound).collect();
            one.encode_histogram::<[(&str, &str); 0]>(spread.sum_s(), spread.count(), &buckets, None)
        })
    }

    fn family<'s, const N: usize, T>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([&'s str; N], T)>,
        mut encode: impl FnMut(&mut MetricEncoder<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        let kind = match metric.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let unit = match metric.measure {
            Measure::Count => None,
            Measure::Seconds => Some(Unit::Seconds),
            Measure::Bytes => Some(Unit::Bytes),
        };
        let mut family = self.0.encode_descriptor(metric.name, metric.help, unit.as_ref(), kind)?;
        for (values, value) in samples {
            let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(values).collect();
            if labels.is_empty() {
                encode(&mut family, value)?;
            } else {
                encode(&mut family.encode_family(&labels)?, value)?;
            }
        }
        Ok(())
    }
}

const fn result_word(result: EffectResult) -> &'static str {
    match result {
        EffectResult::Done => "done",
        EffectResult::Failed => "failed",
        EffectResult::Unknown => "unknown",
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "no count or position comes near 2^53")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]
const fn count(value: usize) -> f64 {
    value as f64
}

/// Memory in RAM, as the kernel says; `None` where it does not.
fn resident_bytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(number(pages * u64::try_from(rustix::param::page_size()).ok()?))
}
