//! `handover stats`: what rotations came to, and the report.

use std::fmt::Write as _;
use std::time::Duration;

use handover_api::{Ages, Ended, OrderRequest, Percentiles, Report, ReportLine, Statistics, path};

use super::group;
use crate::cli::{self, StatisticsVerb};
use crate::config::duration::Span;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;
use crate::terminal;

pub(crate) async fn run(arguments: &cli::Statistics, printer: &Printer) -> Result<(), Failure> {
    if let Some(StatisticsVerb::Reset(reset)) = &arguments.verb {
        let remote = Remote::new(&reset.server)?;
        remote.order(path::STATISTICS_RESET, &OrderRequest { reason: reset.reason.clone() }).await?;
        printer.say("The counters begin anew. The history stays.");
        return Ok(());
    }
    let remote = Remote::new(&arguments.server)?;
    if arguments.report {
        return printer.data(&report(&remote).await?, markdown);
    }
    let mut query = Vec::new();
    query.extend(arguments.since.map(|since| format!("since={since}")));
    if let Some(name) = &arguments.group {
        query.push(format!("group={}", group(name)?));
    }
    let found: Statistics = remote.get(&format!("{}?{}", path::STATISTICS, query.join("&"))).await?;
    if found.behind > 0 {
        printer.say(&format!("The server is still reading its history: {} records are not counted yet.", found.behind));
    }
    printer.data(&found, text)
}

/// All pages.
async fn report(remote: &Remote) -> Result<Report, Failure> {
    let mut all: Report = remote.get(path::REPORT).await?;
    while let Some(after) = all.next.take() {
        let page: Report = remote.get(&format!("{}?after={after}", path::REPORT)).await?;
        // A server that stays where it is would be asked for ever.
        if page.groups.is_empty() {
            break;
        }
        all.groups.extend(page.groups);
        all.next = page.next;
    }
    Ok(all)
}

fn text(found: &Statistics) -> String {
    let Ended { success, rolled_back, failed, superseded } = found.ended;
    let mut lines = Vec::new();
    let mut line = |name: &str, words: String| lines.push(format!("{name:<20} {words}"));
    line("since", found.since.clone().unwrap_or_else(|| "the beginning of the history".to_owned()));
    if let Some(from) = &found.complete_from {
        line("complete from", format!("{from}: what is older is not kept in the figures"));
    }
    line("groups", format!("{}, {} live, {} held", found.groups, found.live, found.held));
    line("ended", format!("{success} success, {rolled_back} rolled back, {failed} failed, {superseded} superseded"));
    let rate = found.success_rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    line("success rate", rate);
    for (strategy, count) in &found.rollbacks {
        line("rolled back", format!("{count} of {strategy}"));
    }
    line("with litter", format!("{} successes", found.with_litter));
    line("refused", format!("{} asked for while another one was live", found.refused_concurrent));
    for (name, spread) in [("duration", found.duration), ("overlap", found.overlap), ("lifetime", found.lifetime)] {
        line(name, spread.map_or_else(|| "–".to_owned(), |spread| percentiles(&spread)));
    }
    if let Some(spread) = &found.emergency {
        line("time to refuse", percentiles(spread));
    }
    for (phase, spread) in &found.phases {
        line(&format!("  {phase}"), percentiles(spread));
    }
    line("age in force", ages(&found.ages));
    line("overdue", overdue(found));
    lines.join("\n")
}

fn percentiles(spread: &Percentiles) -> String {
    let shown = |ms| Span(Duration::from_millis(ms)).to_string();
    let Percentiles { count, p50_ms, p95_ms, p99_ms, max_ms } = *spread;
    format!(
        "p50 {}, p95 {}, p99 {}, longest {}, of {count}",
        shown(p50_ms),
        shown(p95_ms),
        shown(p99_ms),
        shown(max_ms)
    )
}

fn ages(ages: &Ages) -> String {
    let Ages { day, week, month, quarter, year, older, unknown, none } = *ages;
    let buckets = [
        ("under 1d", day),
        ("under 7d", week),
        ("under 30d", month),
        ("under 90d", quarter),
        ("under 365d", year),
        ("older", older),
        ("unknown", unknown),
        ("nothing in force", none),
    ];
    let there: Vec<String> =
        buckets.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
    if there.is_empty() { "–".to_owned() } else { there.join(", ") }
}

fn overdue(found: &Statistics) -> String {
    if found.overdue_groups.is_empty() {
        return found.overdue.to_string();
    }
    let more = found.overdue.saturating_sub(found.overdue_groups.len() as u64);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}: {}{rest}", found.overdue, found.overdue_groups.join(", "))
}

fn markdown(report: &Report) -> String {
    let mut text = format!("# Credentials, as of {}\n\n", report.at);
    text.push_str("| group | owner | target | generation | in force since | oldest allowed | standing | last rotation | evidence |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for line in &report.groups {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", cells(line).map(|cell| escaped(&cell)).join(" | "));
    }
    text.push_str(
        "\nEvidence names the record of the history that ended the rotation: its position, and the beginning of its hash. \
         `handover audit verify` checks the chain that it stands in.\n",
    );
    text
}

fn cells(line: &ReportLine) -> [String; 9] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let last = line.last.as_ref();
    let evidence = last.map(|last| {
        let hash = last.hash.get(..16).unwrap_or(&last.hash);
        let seen = last.evidence.as_ref().map(|seen| format!(": {seen}")).unwrap_or_default();
        format!("record {} {hash}{seen}", last.position)
    });
    let unknown = || if line.generation.is_some() { "unknown" } else { "–" }.to_owned();
    [
        line.group.clone(),
        or_dash(line.owner.clone()),
        line.target.clone(),
        or_dash(line.generation.map(|number| number.to_string())),
        line.current_since.clone().unwrap_or_else(unknown),
        or_dash(line.age_max_s.map(|seconds| Span(Duration::from_secs(seconds)).to_string())),
        line.standing.words().to_owned(),
        or_dash(last.map(|last| format!("{} at {}", last.outcome, last.ended_at))),
        or_dash(evidence),
    ]
}

/// A cell is one line, and nothing in it begins another cell or markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in terminal::line(text).chars() {
        if matches!(character, '|' | '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '!' | '#') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use handover_api::AgeStanding;

    use super::*;

    /// S35: an owner's name is text of the configuration, and no markup.
    #[test]
    fn a_name_begins_no_cell_and_no_line_of_its_own() {
        let report = Report {
            at: "2026-01-31T08:00:00Z".to_owned(),
            groups: vec![ReportLine {
                group: "orders".to_owned(),
                owner: Some("a | b\n| <script> \u{1b}[2J".to_owned()),
                target: "postgres".to_owned(),
                generation: None,
                current_since: None,
                age_max_s: Some(86_400),
                standing: AgeStanding::NothingInForce,
                last: None,
            }],
            next: None,
        };
        let text = markdown(&report);
        let line = text.lines().nth(4).unwrap();
        assert!(line.starts_with("| orders | a \\| b") && line.ends_with("| – | – |"), "{line}");
        assert!(!text.contains('\u{1b}') && !text.contains(" <script>"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 3);
    }
}
