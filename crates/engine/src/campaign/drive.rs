//! Driving campaigns: rows are read, the next row is committed, and what it wants is ordered. Nothing is remembered between
//! two rounds but when an order may be given again, so that a restart is the normal path.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use handover_core::campaign::{Campaign, Wanted, looks, refused, step, wanted};
use handover_core::port::Committed;
use handover_core::{CampaignId, Fault, FaultKind, GroupId, Order, Refusal, Row, Touched};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{LIVE_MAX, lines};
use crate::call::{Call, Whom, caught};
use crate::handle::{Handle, OrderRefused, StartRefused};
use crate::memory::BackOff;
use crate::shared::Shared;
use crate::telemetry;

/// How long nothing is looked at that nobody told of: a group may have been started by somebody who is not told of here.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The same where no campaign is live: one that begins is told.
const IDLE: Duration = Duration::from_secs(300);

/// More steps than one round of a campaign has: each brings a leg forward.
const STEPS_MAX: usize = 10_000;

/// Drives what has not ended, for as long as the engine runs. May be dropped at any await: an order that is cut off was taken,
/// or is given again.
pub(crate) struct Campaigner {
    shared: Arc<Shared>,
    retries: HashMap<(CampaignId, GroupId), BackOff>,
}

/// What came of an order.
enum Given {
    /// It was taken, or what stands now decides.
    Look,
    /// It was refused for certain: nothing will come of it.
    Refused(String),
    /// Nobody knows.
    Unknown,
}

impl Campaigner {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), retries: HashMap::new() }
    }

    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            let mut wait = LOOK_EVERY;
            if !self.shared.lease_doubted() {
                match self.round().await {
                    Ok(until) => wait = until,
                    Err(fault) => {
                        tracing::error!(code = fault.kind.code(), detail = %fault.detail, "{}", telemetry::STATE_FAILED);
                    }
                }
            }
            tokio::select! {
                () = self.shared.campaigns.news.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Brings every campaign as far as it goes now. How long until the next look.
    async fn round(&mut self) -> Result<Duration, Fault> {
        let state = &self.shared.ports.state;
        let look = Call::look(Whom::State, "campaigns");
        let live = self.shared.calls.make(look, || state.campaigns(true, None, LIVE_MAX)).await?;
        // Before any row is read: whatever changes from here on is told.
        let followed: HashSet<GroupId> = live.iter().flat_map(|campaign| campaign.legs.keys().cloned()).collect();
        self.shared.campaigns.follow(followed);
        let ids: HashSet<CampaignId> = live.iter().map(|campaign| campaign.id).collect();
        self.retries.retain(|(id, _), _| ids.contains(id));
        let mut wait = if live.is_empty() { IDLE } else { LOOK_EVERY };
        for campaign in live {
            if let Some(until) = self.drive(campaign).await? {
                wait = wait.min(until.saturating_duration_since(Instant::now()));
            }
        }
        Ok(wait)
    }

    /// Brings one campaign as far as it goes now. When an order may be given again, if one waits for that.
    async fn drive(&mut self, mut campaign: Committed<Campaign>) -> Result<Option<Instant>, Fault> {
        for _ in 0..STEPS_MAX {
            let seen = self.look(&campaign).await;
            if let Some(next) = step(&campaign, &seen) {
                let entries = lines::step(&campaign, &next, self.shared.now());
                // What comes anew waits for nothing that was refused before.
                let anew = next.legs.iter().filter(|(group, leg)| campaign.legs.get(*group) != Some(*leg));
                for (group, _) in anew {
                    self.retries.remove(&(campaign.id, group.clone()));
                }
                match self.commit(&campaign, next, entries).await? {
                    Some(committed) => campaign = committed,
                    None => return Ok(Some(Instant::now())),
                }
                continue;
            }
            let now = Instant::now();
            let until = |order: &Wanted| self.retries.get(&key(&campaign, order)).and_then(|retry| retry.until(now));
            let (later, due): (Vec<_>, Vec<_>) =
                wanted(&campaign).into_iter().partition(|order| until(order).is_some());
            if due.is_empty() {
                return Ok(later.iter().filter_map(until).min());
            }
            match self.give(&campaign, due).await? {
                Some(committed) => campaign = committed,
                None => return Ok(Some(Instant::now())),
            }
        }
        Ok(Some(Instant::now()))
    }

    /// The rows that the next step needs. One that cannot be read is not seen.
    async fn look(&self, campaign: &Campaign) -> BTreeMap<GroupId, Row> {
        let mut seen = BTreeMap::new();
        for group in looks(campaign) {
            match self.shared.load(group).await {
                Ok(loaded) => {
                    let row = loaded.map_or_else(|| Row::new(group.clone()), |loaded| loaded.row.into_inner());
                    seen.insert(group.clone(), row);
                }
                Err(fault) => self.shared.note(group, "campaign", &fault),
            }
        }
        seen
    }

    /// Commits the next row. `None`: a person was faster, and what stands now decides.
    async fn commit(
        &self,
        before: &Campaign,
        next: Campaign,
        entries: Vec<handover_core::port::Entry>,
    ) -> Result<Option<Committed<Campaign>>, Fault> {
        match self.shared.commit_campaign(Some(before), next, entries, None).await {
            Ok(committed) => Ok(Some(committed)),
            Err(fault) if fault.kind == FaultKind::Fenced => {
                let state = &self.shared.ports.state;
                let look = Call::look(Whom::State, "campaign");
                let stands = self.shared.calls.make(look, || state.campaign(before.id)).await?;
                if stands.is_some_and(|stands| stands.version == before.version) {
                    // Nobody moved it: our epoch is not the latest.
                    self.shared.doubt_lease();
                    return Err(fault);
                }
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Gives orders, all at once, and takes note of what was refused. All of them have an answer before the next step: a
    /// step may conclude from a row that an order was not taken.
    async fn give(
        &mut self,
        campaign: &Committed<Campaign>,
        due: Vec<Wanted>,
    ) -> Result<Option<Committed<Campaign>>, Fault> {
        let mut giving = JoinSet::new();
        for order in due {
            let (shared, campaign) = (Arc::clone(&self.shared), Campaign::clone(campaign));
            giving.spawn(async move {
                let given = caught(give(&shared, &campaign, &order)).await.unwrap_or(Given::Unknown);
                (order, given)
            });
        }
        let (mut next, mut entries) = (Campaign::clone(campaign), Vec::new());
        while let Some(ended) = giving.join_next().await {
            // A task ends without an answer only when it is aborted, which happens at an end.
            let Ok((order, given)) = ended else { continue };
            let retry = self.retries.entry(key(campaign, &order)).or_default();
            retry.failed(&self.shared.options, Instant::now());
            if let Given::Refused(why) = given
                && let Some(after) = refused(&next, &order)
            {
                let now = self.shared.now();
                entries.push(lines::refused(campaign.id, &order, why, now));
                entries.extend(lines::step(&next, &after, now));
                next = after;
            }
        }
        if next == **campaign {
            return Ok(Some(campaign.clone()));
        }
        // However many orders were refused, it is one commit.
        next.version = campaign.version.next();
        self.commit(campaign, next, entries).await
    }
}

fn key(campaign: &Campaign, order: &Wanted) -> (CampaignId, GroupId) {
    (campaign.id, order.group().clone())
}

/// Gives one order, as whoever asked for the campaign would.
async fn give(shared: &Arc<Shared>, campaign: &Campaign, order: &Wanted) -> Given {
    let handle = Handle::new(Arc::clone(shared));
    match order {
        Wanted::Start { group, generation } => {
            let started = handle.rotate_in_campaign(group, *generation, campaign.id, campaign.asked_by.as_str()).await;
            match started {
                Ok(_)
                | Err(
                    StartRefused::Waits
                    | StartRefused::NothingWaits
                    | StartRefused::OtherRequest
                    | StartRefused::Refused(Refusal::Live | Refusal::Stale),
                ) => Given::Look,
                Err(StartRefused::Fault(fault)) => faulted(&fault),
                Err(
                    why @ (StartRefused::UnknownGroup(_)
                    | StartRefused::Obstacles(_)
                    | StartRefused::Breaks(_)
                    | StartRefused::ReasonMissing
                    | StartRefused::ReasonTooLong
                    | StartRefused::Refused(_)),
                ) => Given::Refused(why.to_string()),
            }
        }
        Wanted::Rollback { group, generation } => {
            let reason = format!("campaign {} is undone", campaign.id);
            let actor = campaign.asked_by.as_str();
            let taken = handle.order_of(group, Some(*generation), Order::Rollback, actor.into(), Some(reason)).await;
            match taken {
                Ok(())
                | Err(
                    OrderRefused::OtherRequest
                    | OrderRefused::OtherPlan
                    | OrderRefused::Refused(Refusal::NotLive | Refusal::AlreadyBack | Refusal::Stale),
                ) => Given::Look,
                Err(OrderRefused::Fault(fault)) => faulted(&fault),
                Err(
                    why @ (OrderRefused::UnknownGroup(_)
                    | OrderRefused::ReasonMissing
                    | OrderRefused::ReasonTooLong
                    | OrderRefused::Refused(_)),
                ) => Given::Refused(why.to_string()),
            }
        }
    }
}

fn faulted(fault: &Fault) -> Given {
    match (fault.kind, fault.touched) {
        // Others changed the row each time: that says nothing of the order.
        (FaultKind::Fenced, _) => Given::Look,
        (_, Touched::Nothing) => Given::Refused(format!("{} [{}]", fault.detail, fault.kind.code())),
        (_, Touched::Unknown) => Given::Unknown,
    }
}
