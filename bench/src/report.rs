//! What a benchmark found, and how it is shown.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// One figure, held against its floor or peer of the same run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The row of the table of budgets.
    pub(crate) row: String,
    /// What was measured.
    pub(crate) what: String,
    /// What came of it.
    pub(crate) value: f64,
    /// In which unit.
    pub(crate) unit: String,
    /// What it is held against, and what came of that in the same unit; `None` where the budget is absolute.
    pub(crate) against: Option<Against>,
    /// The budget, in words.
    pub(crate) budget: String,
    /// Whether it is kept; `None` if there is none for this figure.
    pub(crate) kept: Option<bool>,
}

/// A floor or a peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Against {
    /// What it is.
    pub(crate) what: String,
    /// What came of it.
    pub(crate) value: f64,
    /// The figure divided by it.
    pub(crate) ratio: f64,
}

/// All that one benchmark found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// The figures.
    pub(crate) figures: Vec<Figure>,
    /// What a reader must know of how they came about.
    pub(crate) notes: Vec<String>,
}

/// All benchmarks of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Where it was taken.
    pub(crate) machine: Machine,
    /// Whether it only showed that the benchmarks work.
    pub(crate) smoke: bool,
    /// By benchmark, in order.
    pub(crate) benchmarks: Vec<Benchmark>,
}

/// One benchmark of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Benchmark {
    /// Its name.
    pub(crate) name: String,
    /// What it found; `None` if it failed.
    pub(crate) findings: Option<Findings>,
    /// Why it failed.
    pub(crate) failure: Option<String>,
}

/// What a budget asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Budget {
    /// The figure divided by its floor is at least this.
    RatioMin(f64),
    /// The figure divided by its floor or peer is at most this.
    RatioMax(f64),
    /// The figure itself is at most this.
    Max(f64),
}

impl Findings {
    /// Adds a figure that is held against a floor or a peer.
    pub(crate) fn compare(
        &mut self,
        row: &str,
        (what, value, unit): (&str, f64, &str),
        (floor, against): (&str, f64),
        budget: Budget,
    ) {
        let ratio = value / against;
        let (budget, kept) = match budget {
            Budget::RatioMin(min) => (format!("≥ {min} of it"), ratio >= min),
            Budget::RatioMax(max) => (format!("≤ {max} of it"), ratio <= max),
            Budget::Max(max) => (format!("≤ {max} {unit}"), value <= max),
        };
        let against = Some(Against { what: floor.to_owned(), value: against, ratio });
        let (row, what, unit) = (row.to_owned(), what.to_owned(), unit.to_owned());
        self.figures.push(Figure { row, what, value, unit, against, budget, kept: Some(kept) });
    }

    /// Adds a figure with an absolute budget, or with none.
    pub(crate) fn figure(&mut self, row: &str, (what, value, unit): (&str, f64, &str), max: Option<f64>) {
        let budget = max.map_or_else(|| "–".to_owned(), |max| format!("≤ {} {unit}", number(max)));
        let (row, what, unit) = (row.to_owned(), what.to_owned(), unit.to_owned());
        self.figures.push(Figure { row, what, value, unit, against: None, budget, kept: max.map(|max| value <= max) });
    }

    /// Adds what a reader must know.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl Run {
    /// The run as a table, which is also what `docs/performance.md` holds.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        if self.smoke {
            text.push_str("A smoke run: it shows that the benchmarks work; its figures mean nothing.\n");
        }
        text.push_str(
            "\n| row | what | measured | floor or peer | ratio | budget | |\n|---|---|---|---|---|---|---|\n",
        );
        for figure in self.benchmarks.iter().filter_map(|one| one.findings.as_ref()).flat_map(|found| &found.figures) {
            let Figure { row, what, value, unit, against, budget, kept } = figure;
            let (floor, ratio) = match against {
                Some(Against { what, value, ratio }) => (format!("{} {unit}: {what}", number(*value)), number(*ratio)),
                None => ("–".to_owned(), "–".to_owned()),
            };
            let kept = kept.map_or("", |kept| if kept { "kept" } else { "missed" });
            let value = number(*value);
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {row} | {what} | {value} {unit} | {floor} | {ratio} | {budget} | {kept} |");
        }
        for benchmark in &self.benchmarks {
            for note in benchmark.findings.iter().flat_map(|found| &found.notes) {
                let _ = write!(text, "\n- {}: {note}", benchmark.name);
            }
            if let Some(failure) = &benchmark.failure {
                let _ = write!(text, "\n- {} FAILED: {failure}", benchmark.name);
            }
        }
        text
    }
}

/// Three digits that say something.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

/// The value below which this share of the sorted values lies.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the slice")]
    let index = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_judged_by_its_budget() {
        let mut found = Findings::default();
        found.compare("P1", ("rate", 40.0, "/s"), ("floor", 100.0), Budget::RatioMin(0.5));
        found.compare("P1", ("time", 40.0, "ms"), ("floor", 100.0), Budget::RatioMax(0.5));
        found.figure("P13", ("time", 2.0, "s"), Some(1.0));
        found.figure("P13", ("time", f64::NAN, "s"), Some(1.0));
        let kept: Vec<_> = found.figures.iter().map(|figure| figure.kept).collect();
        assert_eq!(kept, [Some(false), Some(true), Some(false), Some(false)], "what is not known is not kept");
    }

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let mut values = [3.0, 1.0, 2.0];
        assert_eq!(percentile(&mut values, 0.5), 2.0);
        assert_eq!(percentile(&mut values, 1.0), 3.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
