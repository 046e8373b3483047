//! Whether something is as a scenario expects it.

use handover_core::{Blocker, ConsumerId, Generation, Occupant, StoreId};
use handover_engine::history::{outcome_word, phase_word};

use super::group::Group;
use super::script::{Expectation, Published};
use super::world::Content;
use crate::words;

/// Kinds of blockers, as [`words::blocker_kind`] gives them.
const BLOCKERS: &[&str] = &[
    "held",
    "trouble",
    "verification",
    "consumer",
    "roll_incomplete",
    "store",
    "staging",
    "in_use",
    "use_unknown",
    "quiet",
    "overlap",
    "target",
    "brake",
    "approval",
    "soak",
    "wave_empty",
];

impl Group {
    /// Whether something is as expected; what was seen instead if not.
    pub(super) fn judge(&self, expectation: &Expectation) -> Result<(), String> {
        match expectation {
            Expectation::Phase(phase) => holds(self.is_in(phase), || self.phase()),
            Expectation::Status(status) => {
                let seen = self.row.rotation.as_ref().map_or("none", |rotation| words::status(&rotation.phase).word());
                holds(seen == status, || seen.to_owned())
            }
            Expectation::Done(outcome) => {
                let seen = self.row.rotation.as_ref().and_then(|rotation| rotation.phase.outcome()).map(outcome_word);
                holds(seen == Some(outcome), || seen.map_or_else(|| self.phase(), str::to_owned))
            }
            Expectation::Waiting { what, is } => self.judge_waiting(what, *is),
            Expectation::Hold(hold) => {
                let seen = self.row.live().and_then(|live| live.hold.as_ref()).map_or("none", words::hold_kind);
                holds(seen == hold, || seen.to_owned())
            }
            Expectation::Refusal(code) => {
                let taken =
                    || if self.denied.is_empty() { "that it was taken".to_owned() } else { self.denied.join(", ") };
                holds(self.denied.iter().any(|denied| same_word(denied, code)), taken)
            }
            Expectation::Trouble(kind) => {
                let seen = self.row.live().and_then(|live| live.trouble);
                let seen = seen.map_or_else(|| "none".to_owned(), |kind| format!("{kind:?}"));
                holds(same_word(&seen, kind), || seen)
            }
            Expectation::Candidate(candidate) => {
                let seen = self.row.rotation.as_ref().map(|rotation| rotation.to.candidate.0);
                holds(seen == Some(*candidate), || number(seen))
            }
            Expectation::Minted(minted) => holds(self.world.minted == *minted, || self.world.minted.to_string()),
            Expectation::Current(generation) => {
                let seen = self.row.current.map(|current| current.generation.0);
                holds(seen == Some(*generation), || number(seen))
            }
            Expectation::Owed(generation) => {
                holds(self.owes(Generation(*generation)), || "that it is not owed".to_owned())
            }
            Expectation::Target { generation, accepts } => {
                let seen = self.world.accepts_generation(Generation(*generation));
                let words = if seen { "that the target accepts it" } else { "that the target refuses it" };
                holds(seen == *accepts, || words.to_owned())
            }
            Expectation::Store(store, published) => self.judge_store(store, *published),
            Expectation::Staged(store, generation) => {
                let seen = self.world.shelves.get(store).and_then(|shelf| shelf.staged).map(|who| who.generation.0);
                holds(seen == *generation, || number(seen))
            }
            Expectation::Consumer(consumer, generation) => match self.world.consumers.get(consumer) {
                None => Err("no such consumer".to_owned()),
                Some(seen) => {
                    let seen = seen.held.map(|(_, Occupant { generation, .. })| generation.0);
                    holds(seen == Some(*generation), || number(seen))
                }
            },
            Expectation::Harm(subject) => self.judge_harm(Some(subject)),
            Expectation::NoHarm => self.judge_harm(None),
        }
    }

    fn judge_harm(&self, subject: Option<&str>) -> Result<(), String> {
        let seen: Vec<String> = self.harms.keys().map(ToString::to_string).collect();
        let shown = || if seen.is_empty() { "no harm".to_owned() } else { seen.join("; ") };
        match subject {
            Some(subject) => holds(self.harms.keys().any(|harm| harm.subject() == subject), shown),
            None => holds(seen.is_empty(), shown),
        }
    }

    /// Whether an expectation names what there is; `Err`: what it names, and what is known. A name that is not there
    /// would hold for ever where something is expected not to be.
    pub(super) fn names_what_is_there(&self, expectation: &Expectation) -> Result<(), (String, String)> {
        let stores = || self.world.shelves.keys().map(StoreId::as_str);
        let consumers = || self.world.consumers.keys().map(ConsumerId::as_str);
        let among = |name: &str, known: Vec<&str>| {
            if known.contains(&name) { Ok(()) } else { Err((format!("there is no `{name}`"), known.join(", "))) }
        };
        match expectation {
            Expectation::Waiting { what, .. } => {
                among(what, consumers().chain(stores()).chain(BLOCKERS.iter().copied()).collect())
            }
            Expectation::Harm(name) => among(name, consumers().chain(stores()).chain(["target"]).collect()),
            Expectation::Store(store, _) | Expectation::Staged(store, _) => among(store.as_str(), stores().collect()),
            Expectation::Consumer(consumer, _) => among(consumer.as_str(), consumers().collect()),
            Expectation::Target { generation, .. } | Expectation::Owed(generation) => {
                let last = self.row.last_generation.0;
                let there = (1..=last).contains(generation);
                let known = || (format!("no generation {generation} was ever started"), format!("1 to {last}"));
                if there { Ok(()) } else { Err(known()) }
            }
            Expectation::Phase(_)
            | Expectation::Status(_)
            | Expectation::Done(_)
            | Expectation::Hold(_)
            | Expectation::Refusal(_)
            | Expectation::Trouble(_)
            | Expectation::Candidate(_)
            | Expectation::Minted(_)
            | Expectation::Current(_)
            | Expectation::NoHarm => Ok(()),
        }
    }

    /// What is waited for is named by a consumer, by a store, or by the blocker's kind.
    fn judge_waiting(&self, what: &str, is: bool) -> Result<(), String> {
        let waiting_for = self.wants().waiting_for;
        let named = |blocker: &Blocker| {
            words::blocker_subject(blocker) == Some(what) || same_word(words::blocker_kind(blocker), what)
        };
        holds(waiting_for.iter().any(named) == is, || {
            let seen: Vec<String> = waiting_for
                .iter()
                .map(|blocker| {
                    let subject = words::blocker_subject(blocker);
                    let subject = subject.map_or_else(String::new, |subject| format!(" {subject}"));
                    format!("{}{subject}", words::blocker_kind(blocker))
                })
                .collect();
            if seen.is_empty() { "that nothing is waited for".to_owned() } else { seen.join(", ") }
        })
    }

    fn judge_store(&self, store: &StoreId, published: Published) -> Result<(), String> {
        let Some(shelf) = self.world.shelves.get(store) else { return Err("no such store".to_owned()) };
        let (is, seen) = match shelf.content {
            Content::Nothing => (published == Published::Nothing, "nothing".to_owned()),
            Content::Foreign => (published == Published::Foreign, "what somebody else wrote".to_owned()),
            Content::Ours { value, .. } => {
                (published == Published::Generation(value.generation.0), format!("generation {}", value.generation))
            }
        };
        holds(is, || seen)
    }

    fn phase(&self) -> String {
        self.row
            .rotation
            .as_ref()
            .map_or_else(|| "no rotation".to_owned(), |rotation| phase_word(&rotation.phase).to_owned())
    }
}

fn holds(is: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if is { Ok(()) } else { Err(seen()) }
}

fn number(seen: Option<impl ToString>) -> String {
    seen.map_or_else(|| "none".to_owned(), |seen| seen.to_string())
}

/// `PastReturn` and `past_return` are the same word.
fn same_word(one: &str, other: &str) -> bool {
    let plain = |word: &str| word.replace('_', "").to_lowercase();
    plain(one) == plain(other)
}
