//! What the demonstration came to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use handover_demo::Account;
use serde::Serialize;

/// The least load, all consumers together.
const QUERIES_PER_SECOND_MIN: f64 = 500.0;

/// A rotation's end.
#[derive(Serialize, Debug)]
pub(crate) struct Ended {
    pub(crate) what: &'static str,
    expected: &'static str,
    outcome: String,
}

impl Ended {
    pub(crate) fn new(what: &'static str, expected: &'static str, outcome: String) -> Self {
        Self { what, expected, outcome }
    }

    pub(crate) fn is_as_expected(&self) -> bool {
        self.outcome == self.expected
    }
}

/// The summary. Its keys are stable.
#[derive(Serialize, Debug)]
pub(crate) struct Summary {
    /// Whether everything promised held.
    pub(crate) all_held: bool,
    queries: u64,
    queries_per_second: f64,
    connects: u64,
    /// Counted at the first error, connects included; nothing is tried twice.
    failed_queries: u64,
    first_failure: Option<String>,
    rotations: Vec<Ended>,
    /// Generations whose credentials were tried at the end and refused, by at least one consumer, by none accepted.
    old_refused: BTreeSet<u64>,
    /// Generations that were not refused. Must be empty.
    old_not_refused: BTreeSet<u64>,
    /// Whether the current credential was let in, in the same rounds.
    control_accepted: bool,
    audit_verified: bool,
    /// Mean over all rotations.
    phase_ms: BTreeMap<String, i64>,
    consumers: Vec<Account>,
}

impl Summary {
    pub(crate) fn of(
        consumers: Vec<Account>,
        worked_for: Duration,
        rotations: Vec<Ended>,
        audit_verified: bool,
        phase_ms: BTreeMap<String, i64>,
    ) -> Self {
        let queries = consumers.iter().map(|account| account.queries).sum::<u64>();
        let queries_per_second = queries as f64 / worked_for.as_secs_f64();
        let failed_queries = consumers.iter().map(|account| account.failed).sum();
        let tried: Vec<_> = consumers.iter().filter_map(|account| account.old.as_ref()).collect();
        let old_refused: BTreeSet<u64> = tried.iter().flat_map(|old| old.refused.iter().copied()).collect();
        let old_not_refused: BTreeSet<u64> = tried.iter().flat_map(|old| old.not_refused.iter().copied()).collect();
        let control_accepted = !tried.is_empty() && tried.iter().all(|old| old.control_accepted);
        let as_expected = rotations.iter().all(Ended::is_as_expected);
        let all_held = failed_queries == 0
            && as_expected
            && queries_per_second >= QUERIES_PER_SECOND_MIN
            && old_refused.len() >= 4
            && old_not_refused.is_empty()
            && control_accepted
            && audit_verified;
        Self {
            all_held,
            queries,
            queries_per_second,
            connects: consumers.iter().map(|account| account.connects).sum(),
            failed_queries,
            first_failure: consumers.iter().find_map(|account| account.first_failure.clone()),
            rotations,
            old_refused,
            old_not_refused,
            control_accepted,
            audit_verified,
            phase_ms,
            consumers,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |held: bool| if held { "yes" } else { "NO" };
        let (queries, rate, connects) = (self.queries, self.queries_per_second, self.connects);
        writeln!(
            f,
            "queries               {queries} ({rate:.0}/s; {connects} connections dialled by the two workers)"
        )?;
        writeln!(f, "failed queries        {}", self.failed_queries)?;
        if let Some(failure) = &self.first_failure {
            writeln!(f, "first failure         {failure}")?;
        }
        for ended in &self.rotations {
            let mark = if ended.is_as_expected() { "" } else { "  (NOT AS EXPECTED)" };
            writeln!(f, "rotation              {}: {}{mark}", ended.what, ended.outcome)?;
        }
        let refused: Vec<String> = self.old_refused.iter().map(u64::to_string).collect();
        let control = if self.control_accepted { "let in" } else { "NOT let in" };
        writeln!(f, "old passwords refused generations {} (the current one {control})", refused.join(", "))?;
        if !self.old_not_refused.is_empty() {
            writeln!(f, "NOT refused           generations {:?}", self.old_not_refused)?;
        }
        writeln!(f, "audit chain verified  {}", yes(self.audit_verified))?;
        let phases: Vec<String> = self.phase_ms.iter().map(|(phase, ms)| format!("{phase} {ms} ms")).collect();
        writeln!(f, "mean time per phase   {}", phases.join(", "))?;
        write!(f, "all held              {}", yes(self.all_held))
    }
}
