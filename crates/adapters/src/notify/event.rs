//! What is told of a record: a kind that can be chosen, a sentence, and the details.

use std::collections::BTreeMap;

use handover_core::port::Record;
use handover_core::{Fault, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sink::line::ascii_json;
use crate::sink::time::rfc3339;

/// The most characters of one detail in a sentence.
const DETAIL_CHARS_MAX: usize = 300;

/// How many characters of a record's hash name its event.
const ID_CHARS: usize = 32;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal: $words:literal),+ $(,)?) => {
        /// What can be told.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum EventKind {
            $($(#[$doc])* $kind),+
        }

        impl EventKind {
            /// The words of all kinds, in the order of [`EventKind`].
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The kind in one word, as in the configuration.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$kind => $word),+
                }
            }

            /// What happened, after the group's name.
            const fn words(self) -> &'static str {
                match self {
                    $(Self::$kind => $words),+
                }
            }

            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$kind),+];
        }
    };
}

kinds! {
    /// A rotation started.
    Started = "started": "a rotation started",
    /// A rotation waits for its consumers.
    Waiting = "waiting": "waits for its consumers",
    /// A rotation succeeded.
    Done = "done": "a rotation succeeded",
    /// A rotation turned back.
    RollingBack = "rolling_back": "turns back",
    /// A rotation was taken back.
    RolledBack = "rolled_back": "a rotation was taken back",
    /// A rotation was given up before anything was touched.
    Failed = "failed": "a rotation was given up",
    /// A rollback that waited was given over to another rotation.
    Superseded = "superseded": "a rollback was given over to another rotation",
    /// A rotation is held, by a person or by itself.
    Held = "held": "is held",
    /// What is in force may be in the wrong hands.
    Emergency = "emergency": "what is in force is said to be compromised",
    /// What was compromised is refused.
    Contained = "contained": "what was compromised is refused",
    /// A rotation waits for the word of people.
    ApprovalWanted = "approval_wanted": "waits for an approval",
    /// A person approved.
    Approved = "approved": "was approved",
    /// More presenters may read a candidate.
    WaveOpened = "wave_opened": "lets more consumers have it",
    /// A held rotation goes on.
    Resumed = "resumed": "goes on",
    /// A person stopped the waiting of a phase.
    Forced = "forced": "a wait was cut short by order",
    /// An effect failed, for another reason than the last time.
    Faulted = "faulted": "something failed",
    /// What retires is in use.
    InUse = "in_use": "the old credential is in use",
    /// Something retired could not be cleaned away.
    Litter = "litter": "something could not be cleaned away",
    /// A store holds what somebody else wrote.
    Drift = "drift": "somebody else wrote to a store",
    /// The record may not be what the world is at.
    Doubted = "doubted": "the record is doubted",
    /// Record and world are of one time again.
    Recovered = "recovered": "is recovered",
    /// The row breaks an invariant.
    Violated = "violated": "the row breaks an invariant",
    /// An alert: a rotation waits too long for its consumers.
    Stuck = "stuck": "waits too long for its consumers",
    /// An alert: an approval is missing for long.
    ApprovalMissing = "approval_missing": "waits for an approval for long",
    /// An alert: what is in force is older than allowed.
    Overdue = "overdue": "the credential is older than allowed",
    /// An alert: an old credential stays valid for longer than allowed.
    OldLifetime = "old_lifetime": "the old credential is valid for longer than allowed",
    /// An alert: nobody knows for long whether an act took place.
    UnknownOutcome = "unknown_outcome": "nobody knows whether an act took place",
    /// An alert is over.
    AlertOver = "alert_over": "an alert is over",
    /// A campaign began.
    CampaignBegun = "campaign_begun": "a campaign began",
    /// A campaign starts nothing: a person held it, or a rotation failed.
    CampaignHeld = "campaign_held": "a campaign is held",
    /// A campaign has ended.
    CampaignEnded = "campaign_ended": "a campaign ended",
    /// A test of the notifier.
    Test = "test": "a test: nothing happened",
}

impl EventKind {
    /// What is told where nothing is chosen: what somebody may have to act on.
    pub const ALARMING: &'static [Self] = &[
        Self::RollingBack,
        Self::RolledBack,
        Self::Failed,
        Self::Held,
        Self::Emergency,
        Self::Contained,
        Self::ApprovalWanted,
        Self::Forced,
        Self::Litter,
        Self::Drift,
        Self::Doubted,
        Self::Violated,
        Self::Stuck,
        Self::ApprovalMissing,
        Self::Overdue,
        Self::OldLifetime,
        Self::UnknownOutcome,
        Self::CampaignHeld,
    ];

    /// The kind of a record; `None` for what is not told.
    fn of(event: &str, fields: &BTreeMap<String, String>) -> Option<Self> {
        let field = |name: &str| fields.get(name).map(String::as_str);
        Some(match event {
            "started" => Self::Started,
            "ended" => match field("outcome") {
                Some("success") => Self::Done,
                Some("rolled_back") => Self::RolledBack,
                Some(_) | None => Self::Failed,
            },
            "advanced" if field("cause").is_some() => Self::RollingBack,
            "advanced" if matches!(field("phase"), Some("propagate" | "return")) => Self::Waiting,
            "superseded" => Self::Superseded,
            "held" if field("hold").is_some_and(|hold| hold.starts_with("drift")) => Self::Drift,
            "drifted" => Self::Drift,
            "held" => Self::Held,
            "ordered" => match field("order") {
                Some("hold") => Self::Held,
                Some("resume") => Self::Resumed,
                Some("force") => Self::Forced,
                Some(_) | None => return None,
            },
            "emergency" => Self::Emergency,
            "contained" => Self::Contained,
            "approval_wanted" => Self::ApprovalWanted,
            "approved" => Self::Approved,
            "wave_opened" => Self::WaveOpened,
            "faulted" => Self::Faulted,
            "in_use" => Self::InUse,
            "litter" => Self::Litter,
            "doubted" => Self::Doubted,
            "recovered" => Self::Recovered,
            "violated" => Self::Violated,
            "alerted" => match field("alert") {
                Some("stuck") => Self::Stuck,
                Some("approval_missing") => Self::ApprovalMissing,
                Some("overdue") => Self::Overdue,
                Some("old_lifetime") => Self::OldLifetime,
                Some("unknown_outcome") => Self::UnknownOutcome,
                // The other alerts follow records that are told themselves.
                Some(_) | None => return None,
            },
            "alert_over" => Self::AlertOver,
            "campaign_begun" => Self::CampaignBegun,
            "campaign_moved" if field("to").is_some_and(|to| to.starts_with("held")) => Self::CampaignHeld,
            "campaign_ended" => Self::CampaignEnded,
            "test" => Self::Test,
            _ => return None,
        })
    }
}

/// What is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    kind: EventKind,
    id: String,
    position: u64,
    group: String,
    at: Timestamp,
    actor: String,
    fields: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Body {
    event: String,
    actor: String,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// An event on the wire.
#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    event: &'static str,
    group: &'a str,
    at: String,
    actor: &'a str,
    summary: String,
    fields: &'a BTreeMap<String, String>,
    position: u64,
}

impl Event {
    /// The event of a record; `None` for what is not told.
    pub fn of(record: &Record) -> Option<Self> {
        let Body { event, actor, fields } = serde_json::from_str(&record.body).ok()?;
        Some(Self {
            kind: EventKind::of(&event, &fields)?,
            id: record.hash.get(..ID_CHARS).unwrap_or(&record.hash).to_owned(),
            position: record.position,
            group: record.group.to_string(),
            at: record.at,
            actor,
            fields,
        })
    }

    /// An event that says that nothing happened, under an id of its own.
    pub fn test(id: String, at: Timestamp, actor: String) -> Self {
        let (group, fields) = ("handover".to_owned(), BTreeMap::new());
        Self { kind: EventKind::Test, id, position: 0, group, at, actor, fields }
    }

    /// What kind it is.
    pub const fn kind(&self) -> EventKind {
        self.kind
    }

    /// The group that it is about.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// What names it: the same each time it is told.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    /// In a sentence of plain ASCII, on one line.
    pub(super) fn summary(&self) -> String {
        let mut text = format!("{}: {}", self.group, self.kind.words());
        let ended = self.fields.get("outcome").filter(|_| self.kind == EventKind::CampaignEnded);
        if let Some((campaign, outcome)) = self.fields.get("campaign").zip(ended.or(self.fields.get("to"))) {
            text.push_str(&format!(", campaign: {}, {}", plain(campaign), plain(outcome)));
        }
        for name in ["cause", "gate", "hold", "alert", "detail", "code", "from", "order", "reason"] {
            if let Some(value) = self.fields.get(name).filter(|_| !(name == "from" && self.kind == EventKind::Started))
            {
                let value: String = value.chars().take(DETAIL_CHARS_MAX).collect();
                text.push_str(&format!(", {name}: {}", plain(&value)));
            }
        }
        if self.actor != "engine" {
            text.push_str(&format!(", by {}", plain(&self.actor)));
        }
        text
    }

    /// The details, each in plain ASCII on one line.
    pub(super) fn details(&self) -> impl Iterator<Item = (&str, String)> {
        let line = |value: &String| plain(&value.chars().take(DETAIL_CHARS_MAX).collect::<String>());
        self.fields.iter().map(move |(name, value)| (name.as_str(), line(value)))
    }

    /// As JSON in plain ASCII, on one line.
    pub(super) fn json(&self) -> Result<String, Fault> {
        ascii_json(&Wire {
            id: &self.id,
            event: self.kind.word(),
            group: &self.group,
            at: rfc3339(self.at),
            actor: &self.actor,
            summary: self.summary(),
            fields: &self.fields,
            position: self.position,
        })
    }
}

/// Whatever is not a printable character of ASCII becomes an escape: no name begins a line, or moves a cursor.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let shown = matches!(character, ' '..='~');
            let escaped = (!shown).then(|| format!("\\u{{{:x}}}", u32::from(character)));
            escaped.map_or_else(|| vec![character], |escaped| escaped.chars().collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use handover_core::GroupId;

    use super::*;

    fn event(body: &str) -> Option<Event> {
        Event::of(&Record {
            position: 9,
            group: GroupId::parse("orders").unwrap(),
            at: Timestamp(1_700_000_000_000),
            body: body.to_owned(),
            hash: "9f".repeat(32),
        })
    }

    #[test]
    fn words_are_those_of_the_configuration() {
        assert_eq!(EventKind::ALL.len(), EventKind::WORDS.len());
        for (kind, word) in EventKind::ALL.iter().zip(EventKind::WORDS) {
            let parsed: EventKind = serde_json::from_str(&format!("\"{word}\"")).unwrap();
            assert_eq!((parsed, kind.word()), (*kind, *word));
        }
    }

    #[test]
    fn a_record_is_told_as_what_it_means() {
        for (body, word) in [
            (r#"{"event":"ended","actor":"engine","fields":{"outcome":"success"}}"#, "done"),
            (r#"{"event":"ended","actor":"engine","fields":{"outcome":"abandoned"}}"#, "failed"),
            (r#"{"event":"held","actor":"engine","fields":{"hold":"drift at embedded"}}"#, "drift"),
            (r#"{"event":"drifted","actor":"engine","fields":{"store":"bao","holds":"nothing"}}"#, "drift"),
            (r#"{"event":"ordered","actor":"anna","fields":{"order":"hold"}}"#, "held"),
            (r#"{"event":"ordered","actor":"anna","fields":{"order":"force","reason":"x"}}"#, "forced"),
            (r#"{"event":"advanced","actor":"engine","fields":{"phase":"propagate"}}"#, "waiting"),
            (r#"{"event":"advanced","actor":"engine","fields":{"phase":"release","cause":"unfit"}}"#, "rolling_back"),
            (r#"{"event":"alerted","actor":"engine","fields":{"alert":"stuck"}}"#, "stuck"),
            (
                r#"{"event":"campaign_moved","actor":"engine","fields":{"campaign":"3","to":"held: failed"}}"#,
                "campaign_held",
            ),
            (
                r#"{"event":"campaign_ended","actor":"engine","fields":{"campaign":"3","outcome":"partly"}}"#,
                "campaign_ended",
            ),
        ] {
            assert_eq!(event(body).unwrap().kind().word(), word, "{body}");
        }
        for body in [r#"{"event":"read","actor":"worker","fields":{}}"#, r#"{"event":"checkpoint"}"#, "torn"] {
            assert_eq!(event(body), None, "{body}");
        }
    }

    /// S35: names and reasons are text of others.
    #[test]
    fn text_of_others_stays_on_its_line() {
        let body =
            r#"{"event":"ordered","actor":"a\u001b[2Jb","fields":{"order":"hold","reason":"x\r\nBcc: y\u202e é"}}"#;
        let event = event(body).unwrap();
        let expected = r"orders: is held, order: hold, reason: x\u{d}\u{a}Bcc: y\u{202e} \u{e9}, by a\u{1b}[2Jb";
        assert_eq!(event.summary(), expected);
        let json = event.json().unwrap();
        assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
        let back: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back["fields"]["reason"], "x\r\nBcc: y\u{202e} é", "nothing is lost");
        assert_eq!(
            (back["id"].as_str(), back["at"].as_str()),
            (Some(&*"9f".repeat(16)), Some("2023-11-14T22:13:20.000Z"))
        );
    }
}
