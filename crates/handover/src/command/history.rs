//! `handover history`: what happened to a group, the latest last.

use std::fmt::Write as _;

use handover_api::{History, PAGE_MAX, RecordView, path};

use super::group;
use crate::cli;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;
use crate::terminal;

pub(crate) async fn run(arguments: &cli::History, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    let template = path::group(path::HISTORY, group.as_str());
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let mut found = History { records: Vec::new(), next: arguments.before };
    loop {
        let wanted = (limit - found.records.len()).min(PAGE_MAX);
        let before = found.next.map_or_else(String::new, |before| format!("&before={before}"));
        let page: History = remote.get(&format!("{template}?limit={wanted}{before}")).await?;
        found.records.extend(page.records);
        found.next = page.next;
        if found.next.is_none() || found.records.len() >= limit {
            break;
        }
    }
    // It is read as a story: from the top.
    found.records.reverse();
    if let Some(next) = found.next {
        printer.say(&format!("There is more: `handover history {group} --before {next}`."));
    }
    printer.data(&found, text)
}

fn text(found: &History) -> String {
    if found.records.is_empty() {
        return "nothing happened".to_owned();
    }
    found.records.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(record: &RecordView) -> String {
    let mut line = format!("{:>6}  {}  {:<9} {}", record.position, record.at, record.event, record.actor);
    for (name, value) in &record.fields {
        let value = terminal::line(value);
        // Writing to a string cannot fail.
        let _ = if value.contains(' ') { write!(line, " {name}='{value}'") } else { write!(line, " {name}={value}") };
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_record_is_one_line() {
        let record = RecordView {
            position: 7,
            at: "2026-01-31T08:00:00Z".to_owned(),
            group: "orders".to_owned(),
            event: "ordered".to_owned(),
            actor: "operator".to_owned(),
            fields: BTreeMap::from([
                ("order".to_owned(), "hold".to_owned()),
                ("reason".to_owned(), "the database moves".to_owned()),
            ]),
        };
        assert_eq!(
            line(&record),
            "     7  2026-01-31T08:00:00Z  ordered   operator order=hold reason='the database moves'"
        );
    }
}
