//! What people ask of campaigns. What a campaign does between two requests is in [`drive`].

mod drive;
mod lines;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use handover_core::campaign::graph::Graph;
use handover_core::campaign::{Campaign, Change, LEGS_MAX, Leg, LegState, Motion, Pause, Refusal, Terms, change};
use handover_core::port::{CampaignCommit, Committed, Request};
use handover_core::{CampaignId, ConsumerId, Fault, FaultKind, GroupId, RowVersion};
use tokio::sync::Notify;

pub(crate) use self::drive::Campaigner;
use crate::asker::{Asker, Repeat};
use crate::call::{Call, Whom};
use crate::fault;
use crate::handle::{Handle, REASON_CHARS_MAX, TRIES_MAX};
use crate::history;
use crate::shared::Shared;

/// The most campaigns that have not ended.
const LIVE_MAX: usize = 1_000;

/// What a campaign is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CampaignRequest {
    /// Its groups, each with those that must be through before it begins.
    pub after: Graph,
    /// What it goes by.
    pub terms: Terms,
    /// Why; audited.
    pub reason: Option<String>,
}

/// Why a campaign was not begun, or not changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CampaignRefused {
    /// The configuration names no such group.
    UnknownGroup(GroupId),
    /// There is no such campaign.
    Unknown,
    /// It has no groups.
    Empty,
    /// It has more than [`LEGS_MAX`] groups, or there are too many campaigns that have not ended.
    TooMany,
    /// No order serves its groups: what must be through before what leads back to where it began.
    Cycle(Vec<GroupId>),
    /// The group is in another campaign that has not ended.
    Taken {
        /// Which group.
        group: GroupId,
        /// Which campaign.
        campaign: CampaignId,
    },
    /// The reason has more than [`REASON_CHARS_MAX`] characters.
    ReasonTooLong,
    /// Whoever asks has no name that a rotation could be started in.
    NoName,
    /// The request does not apply to the campaign as it stands.
    Refused(Refusal),
    /// Another request of the caller has this one's key.
    OtherRequest,
    /// The state store could not take it.
    Fault(Fault),
}

impl From<Repeat> for CampaignRefused {
    fn from(repeat: Repeat) -> Self {
        match repeat {
            Repeat::OtherRequest => Self::OtherRequest,
            Repeat::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl fmt::Display for CampaignRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup(group) => write!(f, "group {group} is not configured"),
            Self::Unknown => f.write_str("there is no such campaign"),
            Self::Empty => f.write_str("a campaign has at least one group"),
            Self::TooMany => {
                write!(f, "a campaign has at most {LEGS_MAX} groups, and there are at most {LIVE_MAX} live")
            }
            Self::Cycle(groups) => write!(f, "{} groups depend on one another in a circle", groups.len()),
            Self::Taken { group, campaign } => {
                write!(f, "group {group} is in campaign {campaign}, which has not ended")
            }
            Self::ReasonTooLong => write!(f, "a reason has at most {REASON_CHARS_MAX} characters"),
            Self::NoName => f.write_str("whoever asks has no name"),
            Self::Refused(refusal) => write!(f, "the campaign does not take this now ({refusal:?})"),
            Self::OtherRequest => f.write_str("another request has this key"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for CampaignRefused {}

/// What the campaigns of one engine have in common.
#[derive(Default)]
pub(crate) struct Campaigns {
    /// Groups of campaigns that have not ended, as they were read last.
    followed: Mutex<HashSet<GroupId>>,
    /// Held while one is begun: no group gets into two of them.
    beginning: tokio::sync::Mutex<()>,
    news: Notify,
}

impl Campaigns {
    /// The row of a group came to another phase.
    pub(crate) fn advanced(&self, group: &GroupId) {
        if self.followed.lock().unwrap_or_else(PoisonError::into_inner).contains(group) {
            self.news.notify_one();
        }
    }

    fn follow(&self, groups: HashSet<GroupId>) {
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = groups;
    }
}

impl Handle {
    /// Begins a campaign. It is durable when this returns, and goes on by itself.
    pub async fn begin_campaign<'a>(
        &self,
        request: &CampaignRequest,
        asker: impl Into<Asker<'a>>,
    ) -> Result<CampaignId, CampaignRefused> {
        let asker = asker.into();
        let reason = told(request.reason.as_deref())?;
        let asked_by = ConsumerId::parse(asker.actor).map_err(|_| CampaignRefused::NoName)?;
        let _alone = self.shared.campaigns.beginning.lock().await;
        for _ in 0..TRIES_MAX {
            if let Some(done) = asker.done(&self.shared).await? {
                return Ok(CampaignId(done.0));
            }
            self.may_begin(request).await?;
            let newest = self.campaigns(false, None, 1).await.map_err(CampaignRefused::Fault)?;
            let id = newest.first().map_or(CampaignId(0), |newest| newest.id).next();
            let leg = |after: &BTreeSet<GroupId>| Leg { after: after.clone(), state: LegState::Waiting };
            let now = self.shared.now();
            let campaign = Campaign {
                id,
                version: RowVersion(1),
                asked_by: asked_by.clone(),
                reason: reason.clone(),
                asked_at: now,
                terms: request.terms,
                legs: request.after.iter().map(|(group, after)| (group.clone(), leg(after))).collect(),
                motion: Motion::Running,
            };
            let kept = asker.request_of(id.0, &self.shared);
            let entries = vec![lines::begun(&campaign, now)];
            match self.shared.commit_campaign(None, campaign, entries, kept).await {
                Ok(_) => return Ok(id),
                // Somebody else was faster, or the lease is gone.
                Err(fault) if fault.kind == FaultKind::Fenced => {}
                Err(fault) => return Err(CampaignRefused::Fault(fault)),
            }
        }
        Err(CampaignRefused::Fault(self.contended(&history::campaigns())))
    }

    async fn may_begin(&self, request: &CampaignRequest) -> Result<(), CampaignRefused> {
        let CampaignRequest { after, .. } = request;
        if after.is_empty() {
            return Err(CampaignRefused::Empty);
        }
        if after.len() > LEGS_MAX {
            return Err(CampaignRefused::TooMany);
        }
        let unbound = after.keys().chain(after.values().flatten()).find(|group| self.binding(group).is_none());
        if let Some(group) = unbound {
            return Err(CampaignRefused::UnknownGroup(group.clone()));
        }
        if let Some(cycle) = handover_core::campaign::graph::cycle(after) {
            return Err(CampaignRefused::Cycle(cycle));
        }
        let live = self.campaigns(true, None, LIVE_MAX).await.map_err(CampaignRefused::Fault)?;
        if live.len() >= LIVE_MAX {
            return Err(CampaignRefused::TooMany);
        }
        for campaign in live {
            if let Some(group) = after.keys().find(|group| campaign.legs.contains_key(*group)) {
                return Err(CampaignRefused::Taken { group: group.clone(), campaign: campaign.id });
            }
        }
        Ok(())
    }

    /// Passes on what a person asks of a campaign. It is durable when this returns, with who asked and why.
    pub async fn change_campaign<'a>(
        &self,
        id: CampaignId,
        asked: Change,
        asker: impl Into<Asker<'a>>,
        reason: Option<String>,
    ) -> Result<(), CampaignRefused> {
        let asker = asker.into();
        let reason = told(reason.as_deref())?;
        for _ in 0..TRIES_MAX {
            if asker.done(&self.shared).await?.is_some() {
                return Ok(());
            }
            let before = self.campaign(id).await.map_err(CampaignRefused::Fault)?.ok_or(CampaignRefused::Unknown)?;
            let now = self.shared.now();
            let next = match change(&before, asked) {
                Ok(next) => next,
                Err(refusal) => {
                    let entry = lines::denied(id, asked, &refusal, asker.actor, now);
                    self.shared.append(&history::campaigns(), entry).await;
                    return Err(CampaignRefused::Refused(refusal));
                }
            };
            let mut entries = vec![lines::ordered(id, asked, asker.actor, reason.as_deref(), now)];
            entries.extend(lines::step(&before, &next, now));
            let kept = asker.request_of(id.0, &self.shared);
            match self.shared.commit_campaign(Some(&before), next, entries, kept).await {
                Ok(_) => return Ok(()),
                Err(fault) if fault.kind == FaultKind::Fenced => {}
                Err(fault) => return Err(CampaignRefused::Fault(fault)),
            }
        }
        Err(CampaignRefused::Fault(self.contended(&history::campaigns())))
    }

    /// A campaign; `None` if there is none. See [`handover_core::port::StateStore::campaign`].
    pub async fn campaign(&self, id: CampaignId) -> Result<Option<Committed<Campaign>>, Fault> {
        let state = &self.shared.ports.state;
        self.shared.calls.make(Call::look(Whom::State, "campaign"), || state.campaign(id)).await
    }

    /// Campaigns, the newest first. See [`handover_core::port::StateStore::campaigns`].
    pub async fn campaigns(
        &self,
        live: bool,
        before: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Committed<Campaign>>, Fault> {
        let state = &self.shared.ports.state;
        self.shared.calls.make(Call::look(Whom::State, "campaigns"), || state.campaigns(live, before, limit)).await
    }

    /// The campaign that has not ended and that the group is in, if there is one.
    pub async fn campaign_of(&self, group: &GroupId) -> Result<Option<Committed<Campaign>>, Fault> {
        let live = self.campaigns(true, None, LIVE_MAX).await?;
        Ok(live.into_iter().find(|campaign| campaign.legs.contains_key(group)))
    }

    /// Holds every campaign that has not ended, durably: after a restore nobody knows what was done since.
    pub(crate) async fn hold_restored_campaigns(&self) -> Result<(), Fault> {
        for before in self.campaigns(true, None, LIVE_MAX).await? {
            let next = Campaign {
                version: before.version.next(),
                motion: Motion::Held(Pause::Restored),
                ..Campaign::clone(&before)
            };
            let entries = lines::step(&before, &next, self.shared.now());
            self.shared.commit_campaign(Some(&before), next, entries, None).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// Commits a campaign and has it looked at. `before` is the row that it follows.
    pub(crate) async fn commit_campaign(
        &self,
        before: Option<&Campaign>,
        campaign: Campaign,
        entries: Vec<handover_core::port::Entry>,
        request: Option<Request>,
    ) -> Result<Committed<Campaign>, Fault> {
        let point = format!("campaign:{}", lines::point(before, &campaign));
        fault::point(fault::BEFORE, &point);
        let commit = CampaignCommit {
            expect: before.map(|before| before.version),
            epoch: self.epoch(),
            under: history::campaigns(),
            entries,
            request,
            campaign,
        };
        let call = Call::act(Whom::State, "commit_campaign");
        let campaign = self.calls.make(call, || self.ports.state.commit_campaign(commit)).await?;
        fault::point(fault::AFTER, &point);
        self.committed.send_modify(|count| *count = count.wrapping_add(1));
        self.campaigns.news.notify_one();
        Ok(campaign)
    }
}

/// A reason without what surrounds it; an empty one is none.
fn told(reason: Option<&str>) -> Result<Option<String>, CampaignRefused> {
    let reason = reason.map(str::trim).filter(|text| !text.is_empty());
    if reason.is_some_and(|text| text.chars().count() > REASON_CHARS_MAX) {
        return Err(CampaignRefused::ReasonTooLong);
    }
    Ok(reason.map(str::to_owned))
}

/// How many legs stand in each state, in words.
pub(crate) fn counted(campaign: &Campaign) -> BTreeMap<&'static str, usize> {
    let mut counted = BTreeMap::new();
    for leg in campaign.legs.values() {
        *counted.entry(lines::leg_word(leg.state)).or_default() += 1;
    }
    counted
}
