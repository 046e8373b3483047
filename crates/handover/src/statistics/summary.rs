//! From what is folded to figures.

use std::collections::BTreeMap;

use handover_api::{Ages, Ended as EndedView, Percentiles, Statistics as View};
use handover_core::{GroupId, Timestamp};

use super::ledger::{Ledger, Outcome};

/// What counts.
pub(crate) struct Window<C: Fn(&GroupId) -> bool> {
    /// Only what ended from then on.
    pub(crate) since: Option<Timestamp>,
    /// Only these groups.
    pub(crate) covers: C,
}

/// The figures that come of the history. What comes of how groups stand now is left as it is: see [`AgeCount`].
pub(crate) fn summary<C: Fn(&GroupId) -> bool>(ledger: &Ledger, window: &Window<C>) -> View {
    let counts =
        |group: &GroupId, at: Timestamp| window.since.is_none_or(|since| at >= since) && (window.covers)(group);
    let mut ended = EndedView::default();
    let (mut rollbacks, mut phases) = (BTreeMap::<String, u64>::new(), BTreeMap::<&str, Vec<u64>>::new());
    let (mut took, mut overlaps, mut lifetimes, mut with_litter) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut contained = Vec::new();
    for rotation in ledger.ended().filter(|rotation| counts(&rotation.group, rotation.at)) {
        match rotation.outcome {
            Outcome::Success => {
                ended.success += 1;
                took.extend(rotation.took_ms);
                with_litter += u64::from(rotation.litter);
            }
            Outcome::RolledBack => {
                ended.rolled_back += 1;
                *rollbacks.entry(rotation.strategy.unwrap_or("unknown").to_owned()).or_default() += 1;
            }
            Outcome::Failed => ended.failed += 1,
            Outcome::Superseded => ended.superseded += 1,
        }
        overlaps.extend(rotation.overlap_ms);
        lifetimes.extend(rotation.lifetime_ms);
        contained.extend(rotation.contained_ms);
        for (phase, ms) in &rotation.phases {
            phases.entry(phase).or_default().push(*ms);
        }
    }
    View {
        since: None,
        reset_at: None,
        complete_from: None,
        position: ledger.position(),
        behind: 0,
        groups: 0,
        live: 0,
        held: 0,
        ended,
        success_rate: success_rate(&ended),
        rollbacks,
        with_litter,
        refused_concurrent: ledger.refused().filter(|(group, at)| counts(group, *at)).count() as u64,
        duration: percentiles(took),
        phases: phases.into_iter().filter_map(|(phase, all)| Some((phase.to_owned(), percentiles(all)?))).collect(),
        overlap: percentiles(overlaps),
        lifetime: percentiles(lifetimes),
        emergency: percentiles(contained),
        ages: Ages::default(),
        overdue: 0,
        overdue_groups: Vec::new(),
    }
}

/// Of those that ended by themselves. What was given over to another rotation says nothing of either.
#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]
fn success_rate(ended: &EndedView) -> Option<f64> {
    let all = ended.success + ended.rolled_back + ended.failed;
    (all > 0).then(|| ended.success as f64 / all as f64)
}

/// The nearest rank. `None` where there is nothing.
pub(crate) fn percentiles(mut all_ms: Vec<u64>) -> Option<Percentiles> {
    all_ms.sort_unstable();
    let max_ms = *all_ms.last()?;
    let rank = |percent: usize| {
        let rank = (all_ms.len() * percent).div_ceil(100).max(1);
        all_ms.get(rank - 1).copied().unwrap_or(max_ms)
    };
    let count = all_ms.len() as u64;
    Some(Percentiles { count, p50_ms: rank(50), p95_ms: rank(95), p99_ms: rank(99), max_ms })
}

/// Counts how old what is in force is.
#[derive(Default)]
pub(crate) struct AgeCount {
    pub(crate) ages: Ages,
}

impl AgeCount {
    /// One group more, with what is in force since when.
    pub(crate) fn add(&mut self, in_force: bool, since: Option<Timestamp>, now: Timestamp) {
        const DAY_S: u64 = 86_400;
        let ages = &mut self.ages;
        let Some(since) = since.filter(|_| in_force) else {
            *(if in_force { &mut ages.unknown } else { &mut ages.none }) += 1;
            return;
        };
        let bucket = match now.since(since).as_secs() / DAY_S {
            0 => &mut ages.day,
            1..7 => &mut ages.week,
            7..30 => &mut ages.month,
            30..90 => &mut ages.quarter,
            90..365 => &mut ages.year,
            _ => &mut ages.older,
        };
        *bucket += 1;
    }
}

#[cfg(test)]
mod tests {
    use handover_core::port::Record;

    use super::*;

    struct Chain {
        ledger: Ledger,
        records: Vec<Record>,
    }

    impl Chain {
        fn new() -> Self {
            Self { ledger: Ledger::default(), records: Vec::new() }
        }

        fn add(&mut self, group: &str, at_s: i64, event: &str, fields: &str) {
            let record = Record {
                position: self.records.len() as u64 + 1,
                group: GroupId::parse(group).unwrap(),
                at: Timestamp(at_s * 1_000),
                body: format!(
                    "{{\"v\":1,\"event\":\"{event}\",\"actor\":\"engine\",\"epoch\":1,\"fields\":{{{fields}}}}}"
                ),
                hash: String::new(),
            };
            self.ledger.fold(&record);
            self.records.push(record);
        }

        /// A rotation that starts at `at_s`, and takes a second in each phase.
        fn rotation(&mut self, group: &str, at_s: i64, phases: &[&str], outcome: &str) {
            self.add(group, at_s, "started", "\"generation\":\"2\",\"from\":\"1\",\"strategy\":\"dual_write\"");
            let mut at_s = at_s;
            for phase in phases {
                at_s += 1;
                self.add(group, at_s, "advanced", &format!("\"phase\":\"{phase}\""));
            }
            self.add(group, at_s + 1, "ended", &format!("\"outcome\":\"{outcome}\""));
        }

        fn summary(&self, since: Option<i64>, group: Option<&str>) -> View {
            let covers = |each: &GroupId| group.is_none_or(|group| each.as_str() == group);
            summary(&self.ledger, &Window { since: since.map(|at_s| Timestamp(at_s * 1_000)), covers })
        }
    }

    const FORWARD: &[&str] = &["apply", "verify", "publish", "propagate", "drain", "disable", "destroy"];

    #[test]
    fn outcomes_are_counted_by_what_the_history_says() {
        let mut chain = Chain::new();
        chain.rotation("a", 100, FORWARD, "success");
        chain.rotation("a", 200, FORWARD, "success");
        chain.rotation("b", 300, &["apply", "release", "revoke"], "rolled_back");
        chain.rotation("b", 400, &[], "abandoned");
        chain.add("b", 500, "started", "\"from\":\"1\",\"strategy\":\"dual_write\"");
        chain.add("b", 501, "denied", "\"order\":\"rotate\",\"refusal\":\"Live\"");
        chain.add("b", 502, "denied", "\"order\":\"abandon\",\"refusal\":\"Touched\"");
        chain.add("b", 503, "superseded", "");
        chain.add("b", 503, "started", "\"from\":\"1\",\"strategy\":\"immediate\"");
        chain.add("b", 504, "litter", "\"at\":\"target\"");
        chain.add("b", 505, "ended", "\"outcome\":\"success\"");
        let all = chain.summary(None, None);
        assert_eq!(all.ended, EndedView { success: 3, rolled_back: 1, failed: 1, superseded: 1 });
        assert_eq!(all.success_rate, Some(0.6), "what was superseded is not among them");
        assert_eq!(all.rollbacks, BTreeMap::from([("dual_write".to_owned(), 1)]));
        assert_eq!((all.with_litter, all.refused_concurrent), (1, 1));
        let took = all.duration.unwrap();
        assert_eq!((took.count, took.p50_ms, took.max_ms), (3, 8_000, 8_000));
        assert_eq!((all.phases["stage"].count, all.phases["destroy"].count), (6, 2));
        assert_eq!(all.overlap.unwrap().p50_ms, 4_000, "from propagate to the end");
        assert_eq!(all.lifetime.unwrap().max_ms, 100_000, "from one success to the next");
        let later = chain.summary(Some(409), Some("b"));
        assert_eq!(later.ended, EndedView { success: 1, superseded: 1, ..EndedView::default() });
        let nothing = chain.summary(Some(10_000), None);
        assert_eq!((nothing.success_rate, nothing.duration), (None, None), "unknown is not zero");
    }

    #[test]
    fn folding_again_or_in_pieces_changes_nothing() {
        let mut chain = Chain::new();
        for number in 0..50 {
            chain.rotation("a", number * 100, FORWARD, if number % 3 == 0 { "rolled_back" } else { "success" });
        }
        let once = chain.summary(None, None);
        let mut again = Ledger::default();
        for record in chain.records.iter().chain(&chain.records) {
            again.fold(record);
        }
        assert_eq!(summary(&again, &Window { since: None, covers: |_| true }), once);
    }

    #[test]
    fn what_was_passed_over_is_said() {
        let mut chain = Chain::new();
        chain.ledger.begin_after(2);
        chain.rotation("a", 100, FORWARD, "success");
        assert_eq!(chain.ledger.complete_from(), Some(Timestamp(102_000)));
        let seen = chain.summary(None, None);
        assert_eq!((seen.ended.success, seen.duration, seen.overlap), (1, None, None), "its start was not seen");
    }

    #[test]
    fn percentiles_are_durations_that_occurred() {
        let of = |all: &[u64]| percentiles(all.to_vec()).map(|all| (all.p50_ms, all.p95_ms, all.p99_ms, all.max_ms));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some((7, 7, 7, 7)));
        assert_eq!(of(&[2, 1]), Some((1, 2, 2, 2)));
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(of(&hundred), Some((50, 95, 99, 100)));
    }

    #[test]
    fn an_age_falls_into_one_bucket() {
        let (now, day) = (Timestamp(1_000 * 86_400_000), 86_400_000);
        let mut count = AgeCount::default();
        for days in [0, 1, 6, 7, 29, 30, 89, 90, 364, 365, 900] {
            count.add(true, Some(Timestamp(now.0 - days * day)), now);
        }
        count.add(true, None, now);
        count.add(false, None, now);
        let expected = Ages { day: 1, week: 2, month: 2, quarter: 2, year: 2, older: 2, unknown: 1, none: 1 };
        assert_eq!(count.ages, expected);
    }
}
