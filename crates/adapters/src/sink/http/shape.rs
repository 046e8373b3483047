//! What a request carries and what its answer says, for each kind of receiver.

use handover_core::Fault;
use handover_core::port::Record;
use serde::{Deserialize, Serialize};

use super::super::line::{self, Line, ascii_json};
use super::super::time::rfc3339;
use super::Format;

impl Format {
    /// The scheme in which the token is presented, where the configuration names none.
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Self::Lines => "Bearer",
            Self::Splunk => "Splunk",
            Self::Elastic => "ApiKey",
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Lines | Self::Elastic => "application/x-ndjson",
            Self::Splunk => "application/json",
        }
    }

    /// The body of a request with these records.
    pub(super) fn body(self, records: &[Record]) -> Result<String, Fault> {
        let mut body = String::new();
        for record in records {
            match self {
                Self::Lines => body.push_str(&line::write(record)?),
                Self::Splunk => body.push_str(&ascii_json(&Event {
                    time: format!("{}.{:03}", record.at.0.div_euclid(1_000), record.at.0.rem_euclid(1_000)),
                    source: "handover",
                    sourcetype: "handover:audit",
                    event: Line::of(record),
                })?),
                Self::Elastic => {
                    // The hash names the record: what arrives twice is there once.
                    body.push_str(&ascii_json(&Create { create: Name { id: &record.hash } })?);
                    body.push('\n');
                    let time = rfc3339(record.at);
                    body.push_str(&ascii_json(&Document { timestamp: &time, line: Line::of(record) })?);
                }
            }
            body.push('\n');
        }
        Ok(body)
    }

    /// Whether the answer to a request that succeeded says that every record was taken.
    pub(super) fn took_all(self, answer: &[u8]) -> bool {
        match self {
            Self::Lines => true,
            Self::Splunk => serde_json::from_slice::<Acknowledged>(answer).is_ok_and(|answer| answer.code == 0),
            Self::Elastic => serde_json::from_slice::<Bulk>(answer).is_ok_and(|answer| {
                // A record that is there already conflicts with itself.
                let took = |item: &Item| (200..300).contains(&item.create.status) || item.create.status == 409;
                !answer.errors || answer.items.iter().all(took)
            }),
        }
    }
}

#[derive(Serialize)]
struct Event {
    time: String,
    source: &'static str,
    sourcetype: &'static str,
    event: Line,
}

#[derive(Serialize)]
struct Create<'a> {
    create: Name<'a>,
}

#[derive(Serialize)]
struct Name<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: &'a str,
    #[serde(flatten)]
    line: Line,
}

#[derive(Deserialize)]
struct Acknowledged {
    code: i64,
}

#[derive(Deserialize)]
struct Bulk {
    errors: bool,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Status,
}

#[derive(Deserialize)]
struct Status {
    status: u16,
}

#[cfg(test)]
mod tests {
    use handover_core::{GroupId, Timestamp};

    use super::*;

    fn record() -> Record {
        Record {
            position: 7,
            group: GroupId::parse("orders").unwrap(),
            at: Timestamp(1_700_000_000_042),
            body: "{}".to_owned(),
            hash: "9f".to_owned(),
        }
    }

    #[test]
    fn each_receiver_gets_its_own_shape() {
        let line = r#"{"position":7,"group":"orders","at_ms":1700000000042,"hash":"9f","body":"{}"}"#;
        assert_eq!(Format::Lines.body(&[record()]).unwrap(), format!("{line}\n"));
        assert_eq!(
            Format::Splunk.body(&[record()]).unwrap(),
            format!(
                "{{\"time\":\"1700000000.042\",\"source\":\"handover\",\"sourcetype\":\"handover:audit\",\"event\":{line}}}\n"
            )
        );
        let document = format!("{{\"@timestamp\":\"2023-11-14T22:13:20.042Z\",{}", &line[1..]);
        assert_eq!(
            Format::Elastic.body(&[record()]).unwrap(),
            format!("{{\"create\":{{\"_id\":\"9f\"}}}}\n{document}\n")
        );
    }

    #[test]
    fn a_record_that_was_refused_alone_is_noticed() {
        let elastic = |items: &str, errors| {
            Format::Elastic.took_all(format!(r#"{{"took":1,"errors":{errors},"items":[{items}]}}"#).as_bytes())
        };
        assert!(elastic(r#"{"create":{"status":201}}"#, false));
        assert!(elastic(r#"{"create":{"status":201}},{"create":{"status":409,"error":{}}}"#, true));
        assert!(!elastic(r#"{"create":{"status":201}},{"create":{"status":429}}"#, true));
        assert!(!Format::Elastic.took_all(b"<html>"));
        assert!(Format::Splunk.took_all(br#"{"text":"Success","code":0}"#));
        assert!(!Format::Splunk.took_all(br#"{"text":"Queue full","code":9}"#));
        assert!(!Format::Splunk.took_all(b""));
        assert!(Format::Lines.took_all(b"anything"));
    }
}
