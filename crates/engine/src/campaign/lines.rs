//! Which lines of history a campaign leaves.

use handover_core::campaign::{Campaign, Change, LegState, Motion, Refusal, Wanted};
use handover_core::port::Entry;
use handover_core::{CampaignId, Timestamp};

use super::counted;
use crate::history::{
    self, CAMPAIGN_ADVANCED, CAMPAIGN_BEGUN, CAMPAIGN_ENDED, CAMPAIGN_MOVED, CAMPAIGN_ORDERED, ENGINE,
};

pub(super) use crate::history::leg_word;

/// The first line.
pub(super) fn begun(campaign: &Campaign, now: Timestamp) -> Entry {
    let terms = campaign.terms;
    let mut fields = vec![
        ("groups", campaign.legs.len().to_string()),
        ("layers", campaign.layers().len().to_string()),
        ("parallel_max", terms.parallel_max.to_string()),
        ("until", history::until_word(terms.until).to_owned()),
        ("on_failure", history::on_failure_word(terms.on_failure).to_owned()),
    ];
    fields.extend(campaign.reason.iter().map(|reason| ("reason", reason.clone())));
    Entry { actor: campaign.asked_by.to_string(), ..entry(campaign.id, CAMPAIGN_BEGUN, now, fields) }
}

/// What a step changed: a line for each leg, and one for what the campaign does as a whole.
pub(super) fn step(before: &Campaign, after: &Campaign, now: Timestamp) -> Vec<Entry> {
    let changed = after.legs.iter().filter_map(|(group, leg)| {
        let old = before.legs.get(group)?.state;
        if leg_word(old) == leg_word(leg.state) {
            return None;
        }
        let mut fields = vec![
            ("group", group.to_string()),
            ("from", leg_word(old).to_owned()),
            ("to", leg_word(leg.state).to_owned()),
        ];
        fields.extend(leg.state.generation().map(|generation| ("generation", generation.to_string())));
        if let LegState::Failed { setback } = leg.state {
            fields.push(("setback", history::setback_word(setback).to_owned()));
        }
        Some(entry(after.id, CAMPAIGN_ADVANCED, now, fields))
    });
    let mut entries: Vec<Entry> = changed.collect();
    if before.motion != after.motion {
        let (event, field) = match after.motion {
            Motion::Ended(end) => (CAMPAIGN_ENDED, ("outcome", history::end_word(end).to_owned())),
            Motion::Running | Motion::Held(_) | Motion::Undoing | Motion::Cancelling => {
                (CAMPAIGN_MOVED, ("to", history::motion_words(after.motion)))
            }
        };
        let mut fields = vec![field];
        if !after.is_live() {
            fields.extend(counted(after).into_iter().map(|(word, count)| (word, count.to_string())));
        }
        entries.push(entry(after.id, event, now, fields));
    }
    entries
}

/// What a person asked, and was taken.
pub(super) fn ordered(id: CampaignId, asked: Change, actor: &str, reason: Option<&str>, now: Timestamp) -> Entry {
    let mut fields = vec![("order", change_word(asked).to_owned())];
    fields.extend(reason.map(|reason| ("reason", reason.to_owned())));
    Entry { actor: actor.to_owned(), ..entry(id, CAMPAIGN_ORDERED, now, fields) }
}

/// What a person asked, and was not taken.
pub(super) fn denied(id: CampaignId, asked: Change, refusal: &Refusal, actor: &str, now: Timestamp) -> Entry {
    let why = match refusal {
        Refusal::Ended => "ended".to_owned(),
        Refusal::NotHeld => "not held".to_owned(),
        Refusal::NotRunning => "not running".to_owned(),
        Refusal::Undoing => "undoing".to_owned(),
        Refusal::Returning(group) => format!("{group} goes back"),
    };
    let fields = vec![("order", change_word(asked).to_owned()), ("refusal", why)];
    Entry { actor: actor.to_owned(), ..entry(id, history::DENIED, now, fields) }
}

/// An order of the campaign that was not taken.
pub(super) fn refused(id: CampaignId, order: &Wanted, why: String, now: Timestamp) -> Entry {
    let (word, group, generation) = match order {
        Wanted::Start { group, generation } => ("rotate", group, generation),
        Wanted::Rollback { group, generation } => ("rollback", group, generation),
    };
    let fields = vec![
        ("group", group.to_string()),
        ("order", word.to_owned()),
        ("generation", generation.to_string()),
        ("why", why),
    ];
    entry(id, history::CAMPAIGN_REFUSED, now, fields)
}

/// What a commit is about, as the name of its fault point.
pub(super) fn point(before: Option<&Campaign>, after: &Campaign) -> &'static str {
    let Some(before) = before else { return "begun" };
    if before.motion != after.motion {
        return match after.motion {
            Motion::Running => "running",
            Motion::Held(_) => "held",
            Motion::Undoing => "undoing",
            Motion::Cancelling => "cancelling",
            Motion::Ended(_) => "ended",
        };
    }
    let changed = after.legs.iter().find(|(group, leg)| before.legs.get(*group) != Some(*leg));
    changed.map_or("nothing", |(_, leg)| leg_word(leg.state))
}

const fn change_word(change: Change) -> &'static str {
    match change {
        Change::Hold => "hold",
        Change::Resume { skip_failed: false } => "resume",
        Change::Resume { skip_failed: true } => "resume without what failed",
        Change::Undo => "undo",
        Change::Cancel => "cancel",
    }
}

fn entry(id: CampaignId, event: &'static str, now: Timestamp, fields: Vec<(&'static str, String)>) -> Entry {
    let mut all = vec![("campaign", id.to_string())];
    all.extend(fields);
    Entry { at: now, event, actor: ENGINE.to_owned(), fields: all }
}
