//! Rotations as the history tells them, one record after the other.

use std::collections::{BTreeMap, HashMap, VecDeque};

use handover_core::port::Record;
use handover_core::{GroupId, Timestamp};
use handover_engine::history;
use serde::Deserialize;

use crate::alerts::{Alert, Standing};

/// Of how many rotations the figures are kept, the newest. Some 250 bytes each.
const ENDED_MAX: usize = 100_000;

/// Of how many refused starts.
const REFUSED_MAX: usize = 100_000;

/// How a rotation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Success,
    RolledBack,
    Failed,
    Superseded,
}

/// A rotation that ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) group: GroupId,
    pub(crate) at: Timestamp,
    pub(crate) outcome: Outcome,
    /// `None`: its start was not seen, or did not say.
    pub(crate) strategy: Option<&'static str>,
    /// `None`: its start was not seen.
    pub(crate) took_ms: Option<u64>,
    pub(crate) phases: Box<[(&'static str, u64)]>,
    /// How long the old credential was valid beside the new one that all stores published.
    pub(crate) overlap_ms: Option<u64>,
    /// How old the old credential was when it was retired.
    pub(crate) lifetime_ms: Option<u64>,
    /// How long it took from the order of an emergency until what was compromised was refused.
    pub(crate) contained_ms: Option<u64>,
    pub(crate) litter: bool,
}

/// A rotation that is live, as far as the history tells.
#[derive(Clone, Debug)]
struct Live {
    started_at: Timestamp,
    strategy: Option<&'static str>,
    replaces: bool,
    phase: &'static str,
    entered_at: Timestamp,
    phases: Vec<(&'static str, u64)>,
    published_at: Option<Timestamp>,
    contained_ms: Option<u64>,
    litter: bool,
}

/// What the history says of a group that alerts go by.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Watched {
    /// A person had its live rotation go on without what it waited for.
    pub(crate) forced: bool,
    /// Its record may not be what the world is at.
    pub(crate) doubted: bool,
    /// Something stayed behind of its last rotation.
    pub(crate) litter: bool,
    /// Since when nobody knows whether an act took place.
    pub(crate) unknown_since: Option<Timestamp>,
    /// From when an approval is missing; in the future where it was given, and what was given ends then.
    pub(crate) approval_missing_from: Option<Timestamp>,
}

/// What is folded.
#[derive(Default)]
pub(crate) struct Ledger {
    position: u64,
    /// Nothing before this was folded, or it was let go.
    complete_from: Option<Timestamp>,
    /// Records before `position` were passed over: the first one that is folded says from when on it is complete.
    passed_over: bool,
    live: HashMap<GroupId, Live>,
    in_force_since: HashMap<GroupId, Timestamp>,
    ended: VecDeque<Ended>,
    refused: VecDeque<(GroupId, Timestamp)>,
    /// Only groups of which there is something to watch.
    watched: BTreeMap<GroupId, Watched>,
    alerts: Standing,
}

/// What is read of a record's body.
#[derive(Deserialize)]
pub(crate) struct Body {
    /// What happened.
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) fields: Fields,
}

/// What is read of its details.
#[derive(Default, Deserialize)]
pub(crate) struct Fields {
    pub(crate) outcome: Option<String>,
    pub(crate) phase: Option<String>,
    pub(crate) strategy: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) order: Option<String>,
    pub(crate) evidence: Option<String>,
    pub(crate) touched: Option<String>,
    pub(crate) alert: Option<String>,
    pub(crate) quorum_until_ms: Option<String>,
    pub(crate) after_ms: Option<String>,
}

impl Ledger {
    /// Everything up to this position is folded.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Figures are complete from then on; `None`: as far as the history reaches.
    pub(crate) const fn complete_from(&self) -> Option<Timestamp> {
        self.complete_from
    }

    /// Passes over what is before.
    pub(crate) const fn begin_after(&mut self, position: u64) {
        self.passed_over = position > 0;
        self.position = position;
    }

    /// Rotations that ended, in the order of the history.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter()
    }

    /// Starts that were refused because a rotation was live.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&GroupId, Timestamp)> {
        self.refused.iter().map(|(group, at)| (group, *at))
    }

    /// What alerts go by, of those groups of which there is something.
    pub(crate) const fn watched(&self) -> &BTreeMap<GroupId, Watched> {
        &self.watched
    }

    /// The alerts that stand.
    pub(crate) const fn alerts(&self) -> &Standing {
        &self.alerts
    }

    /// One record more. One that was folded already changes nothing.
    pub(crate) fn fold(&mut self, record: &Record) {
        if record.position <= self.position {
            return;
        }
        self.position = record.position;
        if std::mem::take(&mut self.passed_over) {
            self.complete_from = Some(record.at);
        }
        if history::is_reserved(&record.group) {
            return;
        }
        let Ok(Body { event, fields }) = serde_json::from_str(&record.body) else { return };
        let (group, at) = (&record.group, record.at);
        self.watch(group, &event, &fields, at);
        match event.as_str() {
            history::STARTED => {
                self.live.insert(group.clone(), Live::started(&fields, at));
            }
            history::ADVANCED => self.advanced(group, &fields, at),
            history::CONTAINED => {
                if let Some(live) = self.live.get_mut(group) {
                    live.contained_ms = fields.after_ms.as_deref().and_then(|ms| ms.parse().ok());
                }
            }
            history::LITTER => {
                if let Some(live) = self.live.get_mut(group) {
                    live.litter = true;
                }
            }
            history::ENDED => {
                let outcome = match fields.outcome.as_deref() {
                    Some("success") => Outcome::Success,
                    Some("rolled_back") => Outcome::RolledBack,
                    Some(_) | None => Outcome::Failed,
                };
                self.end(group, outcome, at);
            }
            history::SUPERSEDED => self.end(group, Outcome::Superseded, at),
            history::ADOPTED => drop(self.in_force_since.insert(group.clone(), at)),
            history::REMOVED => {
                self.live.remove(group);
                self.in_force_since.remove(group);
            }
            history::DENIED if fields.order.as_deref() == Some("rotate") => {
                if self.refused.len() >= REFUSED_MAX
                    && let Some((_, at)) = self.refused.pop_front()
                {
                    self.complete_from = self.complete_from.max(Some(at));
                }
                self.refused.push_back((group.clone(), at));
            }
            _ => {}
        }
    }

    fn watch(&mut self, group: &GroupId, event: &str, fields: &Fields, at: Timestamp) {
        let mut watched = self.watched.get(group).copied().unwrap_or_default();
        match event {
            history::STARTED => {
                watched = Watched { doubted: watched.doubted, litter: watched.litter, ..Watched::default() }
            }
            history::ADVANCED => {
                watched.unknown_since = None;
                watched.approval_missing_from = None;
            }
            history::LEARNT => watched.unknown_since = None,
            history::APPROVAL_WANTED => watched.approval_missing_from = Some(at),
            history::APPROVED => {
                // What was given for one gate says nothing of another before which the rotation stands as well.
                if let Some(until) = fields.quorum_until_ms.as_deref().and_then(|until| until.parse().ok()) {
                    watched.approval_missing_from = Some(Timestamp(until));
                }
            }
            history::FAULTED if fields.touched.is_some() => {
                watched.unknown_since = watched.unknown_since.or(Some(at));
            }
            history::ORDERED if fields.order.as_deref() == Some("force") => watched.forced = true,
            history::LITTER => watched.litter = true,
            history::LITTER_OVER => watched.litter = false,
            history::DOUBTED => watched.doubted = true,
            history::RECOVERED | history::REMOVED => watched = Watched::default(),
            history::ENDED | history::SUPERSEDED => {
                // What stayed behind is there until a rotation ends without.
                let litter = self.live.get(group).is_some_and(|live| live.litter);
                watched = Watched { doubted: watched.doubted, litter, ..Watched::default() };
            }
            history::ALERTED => {
                if let Some(alert) = fields.alert.as_deref().and_then(Alert::named) {
                    self.alerts.entry(group.clone()).or_default().entry(alert).or_insert(at);
                }
            }
            history::ALERT_OVER => {
                if let Some(all) = self.alerts.get_mut(group) {
                    fields.alert.as_deref().and_then(Alert::named).map(|alert| all.remove(&alert));
                    if all.is_empty() {
                        self.alerts.remove(group);
                    }
                }
            }
            _ => {}
        }
        if watched == Watched::default() {
            self.watched.remove(group);
        } else {
            self.watched.insert(group.clone(), watched);
        }
    }

    fn advanced(&mut self, group: &GroupId, fields: &Fields, at: Timestamp) {
        let Some(phase) = fields.phase.as_deref().and_then(phase_named) else { return };
        let Some(live) = self.live.get_mut(group) else { return };
        live.leave(at);
        let left = std::mem::replace(&mut live.phase, phase);
        match phase {
            // Every store has it. Where no presenter is declared, the old one drains at once.
            "propagate" | "drain" | "disable" | "destroy" if left == "publish" => live.published_at = Some(at),
            // On the way back nothing is replaced.
            "unpublish" => live.published_at = None,
            _ => {}
        }
    }

    fn end(&mut self, group: &GroupId, outcome: Outcome, at: Timestamp) {
        let live = self.live.remove(group).map(|mut live| {
            live.leave(at);
            live
        });
        let succeeded = outcome == Outcome::Success;
        let since = self.in_force_since.get(group).copied();
        if succeeded {
            self.in_force_since.insert(group.clone(), at);
        }
        let replaced = live.as_ref().filter(|live| succeeded && live.replaces);
        let ms = |from: Timestamp| milliseconds(at, from);
        let ended = Ended {
            group: group.clone(),
            at,
            outcome,
            strategy: live.as_ref().and_then(|live| live.strategy),
            took_ms: live.as_ref().map(|live| ms(live.started_at)),
            overlap_ms: replaced.and_then(|live| live.published_at).map(ms),
            lifetime_ms: replaced.and(since).map(ms),
            contained_ms: live.as_ref().and_then(|live| live.contained_ms),
            litter: live.as_ref().is_some_and(|live| live.litter),
            phases: live.map(|live| live.phases.into_boxed_slice()).unwrap_or_default(),
        };
        if self.ended.len() >= ENDED_MAX
            && let Some(gone) = self.ended.pop_front()
        {
            self.complete_from = self.complete_from.max(Some(gone.at));
        }
        self.ended.push_back(ended);
    }
}

impl Live {
    fn started(fields: &Fields, at: Timestamp) -> Self {
        Self {
            started_at: at,
            strategy: fields.strategy.as_deref().and_then(strategy_named),
            replaces: fields.from.as_deref().is_some_and(|from| from != "none"),
            phase: "stage",
            entered_at: at,
            phases: Vec::with_capacity(8),
            published_at: None,
            contained_ms: None,
            litter: false,
        }
    }

    /// The present phase is over. One that is entered twice counts once, with both times.
    fn leave(&mut self, at: Timestamp) {
        let took_ms = milliseconds(at, self.entered_at);
        match self.phases.iter_mut().find(|(phase, _)| *phase == self.phase) {
            Some((_, ms)) => *ms = ms.saturating_add(took_ms),
            None => self.phases.push((self.phase, took_ms)),
        }
        self.entered_at = at;
    }
}

fn milliseconds(at: Timestamp, from: Timestamp) -> u64 {
    u64::try_from(at.since(from).as_millis()).unwrap_or(u64::MAX)
}

/// Phases as the history names them.
const PHASES: [&str; 14] = [
    "stage",
    "apply",
    "verify",
    "publish",
    "propagate",
    "drain",
    "disable",
    "destroy",
    "release",
    "put_back",
    "unpublish",
    "return",
    "quiet",
    "revoke",
];

/// Kept as constants, so that a rotation costs no text of its own.
fn phase_named(word: &str) -> Option<&'static str> {
    PHASES.into_iter().find(|phase| *phase == word)
}

fn strategy_named(word: &str) -> Option<&'static str> {
    use handover_core::Strategy;
    [Strategy::Immediate, Strategy::Staged, Strategy::DualWrite, Strategy::BlueGreen]
        .into_iter()
        .map(history::strategy_word)
        .find(|strategy| *strategy == word)
}
