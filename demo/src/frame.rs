//! One picture of the board, from data: lines that fit the terminal. All of it is legible without colour.

use std::time::Duration;

use handover_demo::Progress;

/// What there is to draw on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Canvas {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) coloured: bool,
}

/// What the board shows.
#[derive(Clone, Default, Debug)]
pub(crate) struct Frame {
    /// Since the demonstration began.
    pub(crate) elapsed: Duration,
    /// What is being done.
    pub(crate) scene: String,
    /// Rotations that ended, and how many of them as expected.
    pub(crate) ended: Vec<(String, bool)>,
    pub(crate) groups: Vec<GroupLine>,
    /// Of the live rotation, or of the last one.
    pub(crate) phases: Vec<PhaseLine>,
    pub(crate) consumers: Vec<ConsumerLine>,
}

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct GroupLine {
    pub(crate) name: String,
    /// From which generation to which.
    pub(crate) generations: String,
    pub(crate) phase: String,
    /// Since it is there.
    pub(crate) standing_for: Duration,
    pub(crate) waiting_for: String,
}

/// A phase that a rotation entered.
#[derive(Clone, Debug)]
pub(crate) struct PhaseLine {
    pub(crate) phase: String,
    /// `None` while the rotation is in it.
    pub(crate) took: Option<Duration>,
    pub(crate) evidence: String,
}

/// A consumer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ConsumerLine {
    pub(crate) who: String,
    /// `None` before it said anything.
    pub(crate) progress: Option<Progress>,
    /// Queries and failures per second; `None` while nobody knows.
    pub(crate) rates: Option<(f64, f64)>,
}

/// The picture: at most as many lines as the canvas has rows, none longer than its columns.
pub(crate) fn draw(frame: &Frame, canvas: Canvas) -> Vec<String> {
    let mut lines = head(frame, canvas);
    lines.extend(groups(&frame.groups));
    let consumers = consumers(&frame.consumers);
    // A phase's line is given up first: who looks wants to know whether queries fail.
    let left = canvas.rows.saturating_sub(lines.len() + consumers.len());
    lines.extend(phases(&frame.phases, left.min(PHASES_MAX + 2)));
    lines.extend(consumers);
    lines.truncate(canvas.rows);
    lines.into_iter().map(|line| line.paint(canvas)).collect()
}

/// Forward there are eight.
const PHASES_MAX: usize = 8;

/// How a line is set off, where there is colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tone {
    Plain,
    Head,
    Now,
    Bad,
}

#[derive(Debug)]
struct Line(Tone, String);

impl Line {
    fn empty() -> Self {
        Self(Tone::Plain, String::new())
    }

    fn paint(self, canvas: Canvas) -> String {
        let Self(tone, text) = self;
        let text = fit(&text, canvas.columns);
        let code = match tone {
            Tone::Plain => return text,
            Tone::Head => "1",
            Tone::Now => "36",
            Tone::Bad => "1;31",
        };
        if canvas.coloured && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }
}

/// Nothing that would move the cursor, and no more than fits.
fn fit(text: &str, columns: usize) -> String {
    let text: String = text.trim_end().chars().map(|each| if each.is_control() { ' ' } else { each }).collect();
    if text.chars().count() <= columns {
        return text;
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn head(frame: &Frame, canvas: Canvas) -> Vec<Line> {
    let title = "Handover: the demonstration";
    let time = seconds(frame.elapsed);
    let gap = canvas.columns.saturating_sub(title.len() + time.len()).max(1);
    let unexpected: Vec<&str> =
        frame.ended.iter().filter(|(_, expected)| !expected).map(|(what, _)| what.as_str()).collect();
    let ended = match (frame.ended.as_slice(), unexpected.as_slice()) {
        ([], _) => Line(Tone::Plain, "no rotation has ended yet".to_owned()),
        ([_], []) => Line(Tone::Plain, "1 rotation ended, as expected".to_owned()),
        (all, []) => Line(Tone::Plain, format!("{} rotations ended, all as expected", all.len())),
        (_, unexpected) => Line(Tone::Bad, format!("NOT AS EXPECTED: {}", unexpected.join(", "))),
    };
    vec![Line(Tone::Head, format!("{title}{:gap$}{time}", "")), Line(Tone::Plain, frame.scene.clone()), ended]
}

fn groups(groups: &[GroupLine]) -> Vec<Line> {
    let row = |name: &str, generations: &str, phase: &str, standing_for: &str, waiting_for: &str| {
        format!("{name:<12}{generations:<12}{phase:<12}{standing_for:>9}  {waiting_for}")
    };
    let mut lines = vec![Line::empty(), Line(Tone::Head, row("group", "generation", "phase", "for", "waiting for"))];
    lines.extend(groups.iter().map(|each| {
        let standing_for = seconds(each.standing_for);
        Line(Tone::Plain, row(&each.name, &each.generations, &each.phase, &standing_for, &each.waiting_for))
    }));
    lines
}

/// The newest phases, in so many lines with what is around them.
fn phases(phases: &[PhaseLine], lines_max: usize) -> Vec<Line> {
    let Some(shown_max) = lines_max.checked_sub(2).filter(|shown_max| *shown_max > 0) else { return Vec::new() };
    let row = |phase: &str, took: &str, evidence: &str| format!("{phase:<12}{took:>9}  {evidence}");
    let mut lines = vec![Line::empty(), Line(Tone::Head, row("phase", "took", "evidence"))];
    let shown = &phases[phases.len().saturating_sub(shown_max)..];
    lines.extend(shown.iter().map(|each| match each.took {
        Some(took) => Line(Tone::Plain, row(&each.phase, &seconds(took), &each.evidence)),
        None => Line(Tone::Now, row(&each.phase, "now", &each.evidence)),
    }));
    lines
}

fn consumers(consumers: &[ConsumerLine]) -> Vec<Line> {
    if consumers.is_empty() {
        return Vec::new();
    }
    let row = |who: &str, queries: &str, rate: &str, failed: &str, failed_rate: &str| {
        format!("{who:<9}{queries:>8}{rate:>7}{failed:>8}{failed_rate:>10}")
    };
    let heads = row("consumer", "queries", "per s", "failed", "failed/s");
    let mut lines = vec![Line::empty(), Line(Tone::Head, heads)];
    lines.extend(consumers.iter().chain([&all(consumers)]).map(|each| {
        let count = |of: fn(&Progress) -> u64| each.progress.map_or_else(unknown, |progress| of(&progress).to_string());
        let (rate, failed_rate) = each
            .rates
            .map_or_else(|| (unknown(), unknown()), |(rate, failed)| (format!("{rate:.0}"), format!("{failed:.1}")));
        let failed = each.progress.is_some_and(|progress| progress.failed > 0);
        let tone = if failed { Tone::Bad } else { Tone::Plain };
        Line(tone, row(&each.who, &count(|it| it.queries), &rate, &count(|it| it.failed), &failed_rate))
    }));
    lines
}

/// A sum of which a part is unknown is unknown.
fn all(consumers: &[ConsumerLine]) -> ConsumerLine {
    let add = |sum: Progress, each: Option<Progress>| {
        each.map(|each| Progress { queries: sum.queries + each.queries, failed: sum.failed + each.failed })
    };
    ConsumerLine {
        who: "all".to_owned(),
        progress: consumers.iter().map(|each| each.progress).try_fold(Progress::default(), add),
        rates: consumers
            .iter()
            .map(|each| each.rates)
            .try_fold((0.0, 0.0), |sum, each| each.map(|each| (sum.0 + each.0, sum.1 + each.1))),
    }
}

fn unknown() -> String {
    "–".to_owned()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Canvas = Canvas { columns: 80, rows: 24, coloured: false };

    fn frame() -> Frame {
        let phase = |phase: &str, took_ms: Option<u64>, evidence: &str| PhaseLine {
            phase: phase.to_owned(),
            took: took_ms.map(Duration::from_millis),
            evidence: evidence.to_owned(),
        };
        let consumer = |who: &str, queries, failed, rates| ConsumerLine {
            who: who.to_owned(),
            progress: Some(Progress { queries, failed }),
            rates,
        };
        Frame {
            elapsed: Duration::from_millis(12_340),
            scene: "rotation 2 of 3 over the same two users".to_owned(),
            ended: vec![("first password".to_owned(), true), ("rotation".to_owned(), true)],
            groups: vec![GroupLine {
                name: "app".to_owned(),
                generations: "2 → 3".to_owned(),
                phase: "propagate".to_owned(),
                standing_for: Duration::from_millis(1_200),
                waiting_for: "consumer session".to_owned(),
            }],
            phases: vec![
                phase("stage", Some(4), "candidate sealed"),
                phase("apply", Some(61), "target accepted it, with a mark that is longer than a line can be"),
                phase("propagate", None, ""),
            ],
            consumers: vec![
                consumer("pool", 10_000, 0, Some((500.2, 0.0))),
                consumer("job", 300, 0, Some((28.0, 0.0))),
                consumer("session", 400, 0, Some((40.0, 0.0))),
            ],
        }
    }

    fn drawn(frame: &Frame, canvas: Canvas) -> String {
        draw(frame, canvas).join("\n")
    }

    #[test]
    fn a_rotation_on_eighty_columns() {
        let expected = "\
Handover: the demonstration                                               12.3 s
rotation 2 of 3 over the same two users
2 rotations ended, all as expected

group       generation  phase             for  waiting for
app         2 → 3       propagate       1.2 s  consumer session

phase            took  evidence
stage           0.0 s  candidate sealed
apply           0.1 s  target accepted it, with a mark that is longer than a li…
propagate         now

consumer  queries  per s  failed  failed/s
pool        10000    500       0       0.0
job           300     28       0       0.0
session       400     40       0       0.0
all         10700    568       0       0.0";
        assert_eq!(drawn(&frame(), WIDE), expected);
    }

    #[test]
    fn failures_and_unknown_figures() {
        let mut frame = frame();
        frame.ended.push(("verification fails".to_owned(), false));
        frame.phases.clear();
        frame.consumers[0].progress = Some(Progress { queries: 10_000, failed: 3 });
        frame.consumers[1] = ConsumerLine { who: "job".to_owned(), progress: None, rates: None };
        let expected = "\
\x1b[1mHandover: the demonstration       12.3 s\x1b[0m
rotation 2 of 3 over the same two users
\x1b[1;31mNOT AS EXPECTED: verification fails\x1b[0m

\x1b[1mgroup       generation  phase…\x1b[0m
app         2 → 3       propagate…

\x1b[1mphase            took  evidence\x1b[0m

\x1b[1mconsumer  queries  per s  failed  faile…\x1b[0m
\x1b[1;31mpool        10000    500       3…\x1b[0m
job             –      –       –…
session       400     40       0…
all             –      –       –…";
        assert_eq!(drawn(&frame, Canvas { columns: 40, rows: 24, coloured: true }), expected);
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal_and_nothing_moves_the_cursor() {
        let mut frame = frame();
        frame.scene = format!("a scene\x1b[2J\r\n{}", "w".repeat(300));
        for columns in [1, 20, 40, 79, 80, 200] {
            for rows in [1, 5, 12, 16, 24, 60] {
                let lines = draw(&frame, Canvas { columns, rows, coloured: false });
                assert!(lines.len() <= rows, "{} lines on {rows} rows", lines.len());
                for line in lines {
                    assert!(line.chars().count() <= columns, "{line:?} on {columns} columns");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
            }
        }
        let small = drawn(&frame, Canvas { columns: 80, rows: 15, coloured: false });
        assert!(small.contains("\npropagate ") && !small.contains("\nstage "), "the newest phase stays:\n{small}");
        assert!(small.contains("\nall "), "{small}");
    }
}
