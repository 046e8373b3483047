//! Alerts: conditions that somebody may have to act on, found by the server itself.
//!
//! Each is a record when it begins and a record when it is over, so that it reaches whoever is told like all else, once;
//! which ones stand is what the history says of them. A restart raises none again, and one that could not be recorded is
//! found at the next look.

use std::collections::{BTreeMap, BTreeSet};

use handover_api::AlertView;
use handover_core::{Fault, GroupId, Hold, Timestamp};
use handover_engine::{Handle, history};

use crate::config::AlertsConfig;
use crate::server::configured::Configured;
use crate::server::view::time;
use crate::statistics::{Statistics, Watched};

/// What can be alerted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Alert {
    /// A rotation waits too long for its consumers.
    Stuck,
    /// A rotation waits too long for an approval.
    ApprovalMissing,
    /// A person had a rotation go on without what it waited for.
    Forced,
    /// A store holds what somebody else wrote.
    Drift,
    /// The record may not be what the world is at.
    Doubted,
    /// What is in force is older than allowed.
    Overdue,
    /// An old credential stays valid for longer than allowed after its successor was published.
    OldLifetime,
    /// Something retired could not be cleaned away.
    Litter,
    /// Nobody knows for long whether an act took place.
    UnknownOutcome,
}

impl Alert {
    const ALL: [Self; 9] = [
        Self::Stuck,
        Self::ApprovalMissing,
        Self::Forced,
        Self::Drift,
        Self::Doubted,
        Self::Overdue,
        Self::OldLifetime,
        Self::Litter,
        Self::UnknownOutcome,
    ];

    /// In one word, as in the history.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::ApprovalMissing => "approval_missing",
            Self::Forced => "forced",
            Self::Drift => "drift",
            Self::Doubted => "doubted",
            Self::Overdue => "overdue",
            Self::OldLifetime => "old_lifetime",
            Self::Litter => "litter",
            Self::UnknownOutcome => "unknown_outcome",
        }
    }

    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alert| alert.word() == word)
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Stuck => "a rotation waits too long for its consumers: the old credential stays valid meanwhile",
            Self::ApprovalMissing => "a rotation waits too long for people to approve",
            Self::Forced => "a rotation goes on without what it waited for: whoever did not move may be locked out",
            Self::Drift => "a store holds what somebody else wrote",
            Self::Doubted => "the record may not be what the world is at: nothing is started or written",
            Self::OldLifetime => "the old credential is valid for longer than allowed beside its successor",
            Self::Overdue => "what is in force is older than the configuration allows",
            Self::Litter => "something retired could not be cleaned away",
            Self::UnknownOutcome => "nobody knows whether an act at the target or a store took place",
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Overdue => "rotate",
            Self::Doubted => "recover",
            Self::ApprovalMissing => "approvals",
            Self::Stuck | Self::Forced | Self::Drift | Self::OldLifetime | Self::Litter | Self::UnknownOutcome => {
                "explain"
            }
        }
    }

    /// As it is shown.
    pub(crate) fn view(self, group: &GroupId, since: Timestamp) -> AlertView {
        AlertView {
            group: group.to_string(),
            alert: self.word().to_owned(),
            since: time(since),
            text: self.words().to_owned(),
            hint: format!("handover {} {group}", self.verb()),
        }
    }
}

/// How a group stands, as far as alerts go.
#[derive(Default)]
struct Stands<'a> {
    /// The phase in which its live rotation is, and since when.
    phase: Option<(&'static str, Timestamp)>,
    hold: Option<&'a Hold>,
    /// Somebody else wrote to one of its stores while nothing rotated.
    drifted: bool,
    /// Since when what is in force is older than allowed.
    overdue: bool,
    /// The old one is valid for longer than allowed beside its successor.
    old_lifetime: bool,
    watched: Watched,
}

impl Stands<'_> {
    fn alerts(&self, limits: &AlertsConfig, now: Timestamp) -> impl Iterator<Item = Alert> {
        let waits = self.phase.is_some_and(|(phase, since)| {
            matches!(phase, "propagate" | "return") && now.since(since) > limits.propagate_max.0
        });
        let waits_for = |since: Timestamp| since <= now && now.since(since) > limits.approval_max.0;
        let is_unknown = self.watched.unknown_since.is_some_and(|since| now.since(since) > limits.unknown_max.0);
        [
            (Alert::Stuck, waits),
            (Alert::ApprovalMissing, self.watched.approval_missing_from.is_some_and(waits_for)),
            (Alert::Forced, self.watched.forced),
            (Alert::Drift, self.drifted || matches!(self.hold, Some(Hold::Drift(_)))),
            (Alert::Doubted, self.watched.doubted),
            (Alert::Overdue, self.overdue),
            (Alert::OldLifetime, self.old_lifetime),
            (Alert::Litter, self.watched.litter),
            (Alert::UnknownOutcome, is_unknown),
        ]
        .into_iter()
        .filter_map(|(alert, stands)| stands.then_some(alert))
    }
}

/// Looks at every group, and records what begins and what is over. What is recorded is folded at the next look.
pub(crate) async fn look(
    engine: &Handle,
    statistics: &Statistics,
    configured: &Configured,
    now: Timestamp,
) -> Result<(), Fault> {
    let (groups, limits) = (configured.groups(), configured.alerts());
    let (watched, standing) = {
        let ledger = statistics.ledger();
        (ledger.watched().clone(), ledger.alerts().clone())
    };
    let (drifted, all_looked_at) = engine.drifted();
    let (mut wanted, mut seen) = (BTreeSet::new(), BTreeSet::new());
    engine.each_group_now(|group, numbers| {
        let Some(config) = groups.get(group) else { return };
        let live = numbers.live.as_deref();
        let age_max = config.age_max.map(|age_max| age_max.0);
        let stands = Stands {
            phase: live.map(|live| (live.phase, live.entered_at)),
            hold: live.and_then(|live| live.hold.as_ref()),
            drifted: drifted.contains(group),
            overdue: age_max.zip(numbers.generation_since).is_some_and(|(most, since)| now.since(since) > most),
            old_lifetime: config
                .policy
                .max_old_lifetime
                .zip(live.filter(|live| matches!(live.phase, "propagate" | "drain")).and_then(|live| live.replaced_at))
                .is_some_and(|(most, since)| now.since(since) > most.0),
            watched: watched.get(group).copied().unwrap_or_default(),
        };
        let before = wanted.len();
        wanted.extend(stands.alerts(&limits, now).map(|alert| (group.clone(), alert)));
        if wanted.len() > before || standing.contains_key(group) {
            seen.insert(group.clone());
        }
    });
    let stands = |group: &GroupId, alert: Alert| standing.get(group).is_some_and(|all| all.contains_key(&alert));
    for (group, alert) in &wanted {
        if !stands(group, *alert) {
            engine.alerted(group, history::ALERTED, fields(*alert)).await?;
        }
    }
    for (group, alerts) in &standing {
        // Of a group whose row nobody read yet, nobody knows that it is over.
        let is_known = |alert: Alert| {
            !groups.contains_key(group) || (seen.contains(group) && (alert != Alert::Drift || all_looked_at))
        };
        for alert in alerts.keys().filter(|alert| is_known(**alert) && !wanted.contains(&(group.clone(), **alert))) {
            engine.alerted(group, history::ALERT_OVER, fields(*alert)).await?;
        }
    }
    Ok(())
}

fn fields(alert: Alert) -> Vec<(&'static str, String)> {
    vec![("alert", alert.word().to_owned()), ("detail", alert.words().to_owned())]
}

/// Which alerts stand, and since when.
pub(crate) type Standing = BTreeMap<GroupId, BTreeMap<Alert, Timestamp>>;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handover_core::StoreId;

    use super::*;
    use crate::config::duration::Span;

    fn alerts(stands: &Stands<'_>, now_s: i64) -> Vec<&'static str> {
        let limits = AlertsConfig {
            propagate_max: Span(Duration::from_secs(1_800)),
            unknown_max: Span(Duration::from_secs(900)),
            approval_max: Span(Duration::from_secs(3_600)),
        };
        stands.alerts(&limits, Timestamp(now_s * 1_000)).map(Alert::word).collect()
    }

    #[test]
    fn each_condition_is_alerted_while_it_holds() {
        let drift = Hold::Drift(StoreId::parse("embedded").unwrap());
        assert_eq!(alerts(&Stands::default(), 10_000), Vec::<&str>::new());
        for phase in ["propagate", "return"] {
            let waits = Stands { phase: Some((phase, Timestamp(0))), ..Stands::default() };
            assert_eq!(alerts(&waits, 1_800), Vec::<&str>::new());
            assert_eq!(alerts(&waits, 1_801), ["stuck"]);
        }
        let drains = Stands { phase: Some(("drain", Timestamp(0))), ..Stands::default() };
        assert_eq!(alerts(&drains, 1_801), Vec::<&str>::new());
        assert_eq!(alerts(&Stands { hold: Some(&drift), ..Stands::default() }, 0), ["drift"]);
        assert_eq!(alerts(&Stands { drifted: true, ..Stands::default() }, 0), ["drift"]);
        assert_eq!(alerts(&Stands { hold: Some(&Hold::Ordered), ..Stands::default() }, 0), Vec::<&str>::new());
        assert_eq!(alerts(&Stands { overdue: true, ..Stands::default() }, 0), ["overdue"]);
        assert_eq!(alerts(&Stands { old_lifetime: true, ..Stands::default() }, 0), ["old_lifetime"]);
        let unknown = Watched { unknown_since: Some(Timestamp(0)), ..Watched::default() };
        assert_eq!(alerts(&Stands { watched: unknown, ..Stands::default() }, 900), Vec::<&str>::new());
        assert_eq!(alerts(&Stands { watched: unknown, ..Stands::default() }, 901), ["unknown_outcome"]);
        let missing = Watched { approval_missing_from: Some(Timestamp(0)), ..Watched::default() };
        assert_eq!(alerts(&Stands { watched: missing, ..Stands::default() }, 3_600), Vec::<&str>::new());
        assert_eq!(alerts(&Stands { watched: missing, ..Stands::default() }, 3_601), ["approval_missing"]);
        let watched = Watched { forced: true, doubted: true, litter: true, ..Watched::default() };
        assert_eq!(alerts(&Stands { watched, ..Stands::default() }, 0), ["forced", "doubted", "litter"]);
    }

    #[test]
    fn a_word_names_one_alert() {
        for alert in Alert::ALL {
            assert_eq!(Alert::named(alert.word()), Some(alert));
        }
        assert_eq!(Alert::named("canary"), None);
    }
}
