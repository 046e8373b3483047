//! `handover watch`: what happens, as it happens, until it is interrupted.

use std::time::Duration;

use handover_api::WatchEvent;
use tokio::time::sleep;

use super::group;
use crate::cli::{Output, WatchStream};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::{NoStream, Remote, Watch};

/// How long after a lost stream the next one is asked for; doubled each time, up to [`AGAIN_MAX`].
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(15);

pub(crate) async fn run(arguments: &WatchStream, printer: &Printer) -> Result<(), Failure> {
    let named = arguments.group.as_deref().map(group).transpose()?;
    let remote = Remote::new(&arguments.server)?;
    // The first one must open: a wrong name or token would never be seen otherwise.
    let stream = remote.watch(named.as_ref(), None).await.map_err(|refused| refused.failure)?;
    tokio::select! {
        ended = follow(&remote, named.as_ref(), stream, printer) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Shows events; connects anew whenever the stream ends. Returns once nobody reads any more.
async fn follow(
    remote: &Remote,
    named: Option<&handover_core::GroupId>,
    mut stream: Watch,
    printer: &Printer,
) -> Result<(), Failure> {
    loop {
        while let Some(events) = stream.next().await {
            for event in events {
                if !show(&event, printer)? {
                    return Ok(());
                }
            }
        }
        printer.say("The stream ended; connecting again.");
        let seen = stream.last_id();
        let mut pause = AGAIN;
        stream = loop {
            sleep(pause).await;
            match remote.watch(named, seen).await {
                Ok(stream) => break stream,
                Err(NoStream { failure, again: false }) => return Err(failure),
                Err(NoStream { again: true, .. }) => pause = (pause * 2).min(AGAIN_MAX),
            }
        };
    }
}

fn show(event: &WatchEvent, printer: &Printer) -> Result<bool, Failure> {
    match printer.output() {
        Output::Json => {
            let json = serde_json::to_string(event).map_err(|_| Failure::error("an event could not be written"))?;
            printer.line(&json)
        }
        Output::Text => {
            for line in lines(event) {
                if !printer.line(&line)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn lines(event: &WatchEvent) -> Vec<String> {
    match event {
        WatchEvent::Snapshot { groups } => groups
            .iter()
            .map(|published| match published.publication {
                0 => format!("{}: nothing is published", published.group),
                publication => format!("{}: publication {publication} stands", published.group),
            })
            .collect(),
        WatchEvent::Reset => vec!["the server's history is another one: its state was restored".to_owned()],
        WatchEvent::Publication(published) => {
            vec![format!("{}: publication {} stands", published.group, published.publication)]
        }
        WatchEvent::Phase { group, generation, phase, status, hold } => {
            let hold = hold.as_ref().map_or_else(String::new, |hold| format!(", held: {hold}"));
            vec![format!("{group}: generation {generation}: {phase} ({}){hold}", status.word())]
        }
    }
}

#[cfg(test)]
mod tests {
    use handover_api::{Published, Status};

    use super::*;

    #[test]
    fn each_event_is_told_in_words() {
        let published = |publication| Published { group: "orders".to_owned(), publication };
        let snapshot = WatchEvent::Snapshot { groups: vec![published(0), published(4)] };
        assert_eq!(lines(&snapshot), ["orders: nothing is published", "orders: publication 4 stands"]);
        assert_eq!(lines(&WatchEvent::Publication(published(5))), ["orders: publication 5 stands"]);
        let phase = WatchEvent::Phase {
            group: "orders".to_owned(),
            generation: 2,
            phase: "drain".to_owned(),
            status: Status::InProgress,
            hold: Some("deadline".to_owned()),
        };
        assert_eq!(lines(&phase), ["orders: generation 2: drain (in_progress), held: deadline"]);
        assert!(lines(&WatchEvent::Reset)[0].contains("restored"));
    }
}
