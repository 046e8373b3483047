//! Campaigns in plain words.

use handover_core::campaign::{Campaign, End, Leg, LegState, Motion, Pause, Refusal, Setback};
use handover_core::{CampaignId, GroupId};

/// What a campaign does as a whole.
pub(crate) fn motion(campaign: &Campaign) -> String {
    let all = campaign.legs.len();
    let count = |is: fn(LegState) -> bool| campaign.legs.values().filter(|leg| is(leg.state)).count();
    let through = count(|state| matches!(state, LegState::Succeeded { .. } | LegState::Through { .. }));
    let kept = count(|state| matches!(state, LegState::Kept { .. }));
    let failed = count(|state| matches!(state, LegState::Failed { .. }));
    let skipped = count(|state| state == LegState::Skipped);
    let undone = count(|state| matches!(state, LegState::Undone { .. }));
    let kept_words =
        if kept == 0 { String::new() } else { format!("; {kept} stay, and only another rotation replaces them") };
    match campaign.motion {
        Motion::Running => format!("{through} of {all} groups are through"),
        Motion::Held(Pause::Ordered) => format!("held by a person; {through} of {all} groups are through"),
        Motion::Held(Pause::Failed) => format!("held because a rotation failed; {through} of {all} groups are through"),
        Motion::Held(Pause::Restored) => {
            "held because the state was restored from a backup: recover its groups first, then resume or cancel it"
                .to_owned()
        }
        Motion::Undoing => format!("what can be undone is undone; {undone} of {all} groups are back{kept_words}"),
        Motion::Cancelling => "cancelled; it ends with what is on its way".to_owned(),
        Motion::Ended(End::Success) => format!("all {all} groups have a new generation in force"),
        Motion::Ended(End::Partly) => {
            let succeeded = count(|state| matches!(state, LegState::Succeeded { .. }));
            format!(
                "{succeeded} of {all} groups succeeded, {failed} failed, {skipped} were left out, {undone} are back{kept_words}"
            )
        }
        Motion::Ended(End::Undone) => format!("undone: {undone} of {all} groups went back, nothing new is in force"),
        Motion::Ended(End::Cancelled) => format!("cancelled: {through} of {all} groups have a new generation in force"),
    }
}

/// Where a leg stands.
pub(crate) fn leg(campaign: &Campaign, leg: &Leg) -> String {
    match leg.state {
        LegState::Waiting => waiting(campaign, leg),
        LegState::Starting { generation, refused: 0 } => format!("generation {generation} is about to start"),
        LegState::Starting { generation, refused } => {
            format!("generation {generation} was refused {refused} times, and is tried again")
        }
        LegState::Started { generation } => format!("generation {generation} is on its way"),
        LegState::Through { generation } => {
            format!("every presenter has generation {generation}; the one before is still valid, or about to go")
        }
        LegState::Succeeded { generation } => format!("generation {generation} is in force"),
        LegState::Returning { generation } => format!("generation {generation} goes back"),
        LegState::Failed { setback } => setback_words(setback).to_owned(),
        LegState::Skipped => "left out".to_owned(),
        LegState::Undoing { generation, .. } => format!("generation {generation} is asked to go back"),
        LegState::GoingBack { generation } => format!("generation {generation} goes back, as asked"),
        LegState::Undone { generation } => format!("generation {generation} was taken back"),
        LegState::Kept { generation } => {
            format!("generation {generation} stays: it could not be taken back; another rotation replaces it")
        }
    }
}

fn waiting(campaign: &Campaign, leg: &Leg) -> String {
    let open: Vec<&str> = leg
        .after
        .iter()
        .filter(|before| {
            let alone = Leg { after: std::iter::once((*before).clone()).collect(), state: LegState::Waiting };
            !campaign.may_begin(&alone)
        })
        .map(GroupId::as_str)
        .collect();
    match open.as_slice() {
        [] => "waits for its turn".to_owned(),
        open => format!("waits for {}", open.join(", ")),
    }
}

const fn setback_words(setback: Setback) -> &'static str {
    match setback {
        Setback::RolledBack => "its rotation was rolled back",
        Setback::Abandoned => "its rotation was given up",
        Setback::Superseded => "another rotation was started over its own",
        Setback::Refused => "its rotation could not be started",
        Setback::Gone => "the group was forgotten meanwhile",
    }
}

/// What a group is told of the campaign that it is in.
pub(crate) fn of_group(campaign: &Campaign, group: &GroupId) -> Option<String> {
    let found = campaign.legs.get(group)?;
    let CampaignId(id) = campaign.id;
    Some(format!("campaign {id} ({}): {}", motion(campaign), leg(campaign, found)))
}

/// Why a campaign does not take what is asked, and what can be done instead.
pub(crate) fn refusal(refusal: &Refusal) -> (String, &'static str) {
    match refusal {
        Refusal::Ended => {
            ("the campaign has ended".to_owned(), "`handover campaign run` begins another one; what is in force stays")
        }
        Refusal::NotHeld => ("the campaign is not held".to_owned(), "`handover campaign show` says what it does"),
        Refusal::NotRunning => (
            "the campaign starts nothing that could be held back".to_owned(),
            "`handover campaign show` says what it does; `handover hold GROUP` holds one rotation",
        ),
        Refusal::Undoing => (
            "the campaign is being undone, and ends with that".to_owned(),
            "`handover campaign show` says how far it is",
        ),
        Refusal::Returning(group) => (
            format!("what failed is tried again once it is back, and the rotation of {group} still goes back"),
            "let it end (`handover explain GROUP` says what it waits for), or leave it with --skip-failed",
        ),
    }
}
