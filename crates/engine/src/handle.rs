//! What people and consumers ask of a running engine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use handover_core::port::{Commit, Delivery, Entry, Loaded, Record};
use handover_core::schedule::closed_window;
use handover_core::{
    Breakage, CampaignId, Census, ConsumerId, Doubt, Fact, Fault, FaultKind, Generation, GroupId, Minter, Obstacle,
    Order, Plan, Publication, Reach, Refusal, Role, RollCall, Row, Seen, StoreId, Timestamp, Wants, advance, check,
    plan, retry_at, start, wants,
};
use tokio::sync::broadcast;

use crate::approve::plan_digest;
use crate::asker::{Asker, Repeat};
use crate::call::{Call, Whom};
use crate::drift::InForce;
use crate::drive;
use crate::history;
use crate::queue::Wake;
use crate::requester::Requester;
use crate::service::Binding;
use crate::shared::{Event, Shared};
use crate::sighting::Sighting;

/// The longest reason of an order, in characters.
pub const REASON_CHARS_MAX: usize = 1_000;

/// How often a change is tried again because somebody else changed the row at the same time.
pub(crate) const TRIES_MAX: u32 = 8;

/// A fault, and when it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaultSeen {
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// The kind of effect that failed, or the name of the port's method.
    pub effect: &'static str,
    /// What went wrong.
    pub fault: Fault,
}

/// A sink, and how it is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SinkSeen {
    /// Its name.
    pub name: String,
    /// The position up to which this process delivered; `None` if it has not delivered anything yet.
    pub position: Option<u64>,
    /// Since when it takes nothing, and why; `None` if the last delivery went well.
    pub failing: Option<FaultSeen>,
    /// How many records it took from this process.
    pub records: u64,
    /// How many deliveries to it failed.
    pub failures: u64,
}

/// A group as it stands.
#[derive(Clone, Debug)]
pub struct View {
    /// Its row; version 0 if nothing was ever committed.
    pub row: Row,
    /// The plan of its rotation, live or last.
    pub plan: Option<Plan>,
    /// What it wants, and whom it waits for.
    pub wants: Wants,
    /// The last faults since this process started, the latest last.
    pub faults: Vec<FaultSeen>,
    /// From where the live rotation's last look found something in use.
    pub sighting: Option<Sighting>,
    /// What somebody else did to one of its stores while nothing rotates.
    pub drift: Option<FaultSeen>,
}

/// Why no rotation was started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StartRefused {
    /// The configuration names no such group.
    UnknownGroup(GroupId),
    /// The plan is refused: everything that stands in its way.
    Obstacles(Vec<Obstacle>),
    /// A rollback waits: only [`Handle::supersede`] starts over it.
    Waits,
    /// No rollback waits, so there is nothing to supersede.
    NothingWaits,
    /// These would be left without a valid credential, and nobody accepted that.
    Breaks(Breakage),
    /// To supersede, and an emergency, want a reason.
    ReasonMissing,
    /// The reason has more than [`REASON_CHARS_MAX`] characters.
    ReasonTooLong,
    /// The core refuses the start.
    Refused(Refusal),
    /// Another request of the caller has this one's key.
    OtherRequest,
    /// The state store, or the world, could not be asked.
    Fault(Fault),
}

/// Why an order was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderRefused {
    /// The configuration names no such group.
    UnknownGroup(GroupId),
    /// This order wants a reason.
    ReasonMissing,
    /// The reason has more than [`REASON_CHARS_MAX`] characters.
    ReasonTooLong,
    /// The order does not apply to the rotation as it stands.
    Refused(Refusal),
    /// What was approved is another rotation, or another plan, than the one that waits.
    OtherPlan,
    /// Another request of the caller has this one's key.
    OtherRequest,
    /// The state store could not take it.
    Fault(Fault),
}

impl From<Repeat> for StartRefused {
    fn from(repeat: Repeat) -> Self {
        match repeat {
            Repeat::OtherRequest => Self::OtherRequest,
            Repeat::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<Repeat> for OrderRefused {
    fn from(repeat: Repeat) -> Self {
        match repeat {
            Repeat::OtherRequest => Self::OtherRequest,
            Repeat::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl fmt::Display for StartRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup(group) => write!(f, "group {group} is not configured"),
            Self::Obstacles(obstacles) => write!(f, "{} obstacles stand in the way of a rotation", obstacles.len()),
            Self::Waits => f.write_str("a rollback waits: only a superseding rotation starts over it"),
            Self::NothingWaits => f.write_str("no rollback waits: there is nothing to supersede"),
            Self::Breaks(breakage) => {
                write!(f, "these would be left behind: {}", crate::emergency::behind_words(breakage))
            }
            Self::ReasonMissing => f.write_str("this wants a reason, which is written to the history"),
            Self::ReasonTooLong => write!(f, "a reason has at most {REASON_CHARS_MAX} characters"),
            Self::Refused(refusal) => write!(f, "a rotation cannot start now ({refusal:?})"),
            Self::OtherRequest => f.write_str("another request has this key"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for StartRefused {}

impl fmt::Display for OrderRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup(group) => write!(f, "group {group} is not configured"),
            Self::ReasonMissing => f.write_str("this order wants a reason, which is written to the history"),
            Self::ReasonTooLong => write!(f, "a reason has at most {REASON_CHARS_MAX} characters"),
            Self::OtherPlan => f.write_str("what was approved is not what waits: look again"),
            Self::Refused(refusal) => write!(f, "the order does not apply now ({refusal:?})"),
            Self::OtherRequest => f.write_str("another request has this key"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for OrderRefused {}

/// Talks to a running engine. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("groups", &self.shared.bindings().len()).finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Starts a rotation, if nothing stands in its way. It is durable when this returns, and goes on by itself.
    pub async fn rotate<'a>(&self, group: &GroupId, asker: impl Into<Asker<'a>>) -> Result<Generation, StartRefused> {
        self.start_once(group, asker.into(), None, Requester::Person).await
    }

    /// The same where nobody ordered it: then no person is the one who asked.
    pub(crate) async fn rotate_by_schedule(&self, group: &GroupId) -> Result<Generation, StartRefused> {
        self.start_once(group, history::SCHEDULE.into(), None, Requester::Schedule).await
    }

    /// The same for a campaign, and to this generation only: however often it is asked for, one rotation comes of it.
    pub(crate) async fn rotate_in_campaign(
        &self,
        group: &GroupId,
        generation: Generation,
        campaign: CampaignId,
        actor: &str,
    ) -> Result<Generation, StartRefused> {
        self.start_once(group, actor.into(), None, Requester::Campaign { campaign, generation }).await
    }

    /// The same once more after one that failed, if that is due: whoever asked for that one asked for this one.
    pub(crate) async fn rotate_again(&self, group: &GroupId) -> Result<Generation, StartRefused> {
        self.start_once(group, history::ENGINE.into(), None, Requester::Retry).await
    }

    /// When a rotation that failed is tried once more, and the how manyth of how many that is.
    pub fn retry(&self, row: &Row) -> Option<(Timestamp, u32, u32)> {
        let policy = &self.binding(&row.group)?.policy;
        retry_at(row, policy).map(|at| (at, row.cadence.retries + 1, policy.max_retries))
    }

    /// Starts a rotation over a rollback that waits: what the rollback would have revoked retires with the loser of the
    /// new rotation. Only a person decides this, and says why. It is durable when this returns.
    pub async fn supersede<'a>(
        &self,
        group: &GroupId,
        asker: impl Into<Asker<'a>>,
        reason: &str,
    ) -> Result<Generation, StartRefused> {
        let asker = asker.into();
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(StartRefused::ReasonMissing);
        }
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(StartRefused::ReasonTooLong);
        }
        self.start_once(group, asker, Some(reason), Requester::Person).await
    }

    /// Starts a rotation, unless the same request started one already.
    async fn start_once(
        &self,
        group: &GroupId,
        asker: Asker<'_>,
        supersede: Option<&str>,
        requester: Requester,
    ) -> Result<Generation, StartRefused> {
        if let Some(done) = asker.done(&self.shared).await? {
            return Ok(done);
        }
        let answer = self.start(group, asker, supersede, requester).await;
        // A repeat that came between the look and the start was refused for what the first one did.
        if answer.is_err()
            && let Ok(Some(done)) = asker.done(&self.shared).await
        {
            return Ok(done);
        }
        answer
    }

    /// Starts a rotation: over a rollback that waits if there is a reason to supersede it, else only at rest.
    async fn start(
        &self,
        group: &GroupId,
        asker: Asker<'_>,
        supersede: Option<&str>,
        requester: Requester,
    ) -> Result<Generation, StartRefused> {
        for _ in 0..TRIES_MAX {
            let binding = self.binding(group).ok_or_else(|| StartRefused::UnknownGroup(group.clone()))?;
            let before = self.shared.load(group).await.map_err(StartRefused::Fault)?;
            let row = before.as_ref().map_or_else(|| Row::new(group.clone()), |loaded| Row::clone(&loaded.row));
            let over = row.live();
            // Before the world is looked at: it does not matter here.
            let (strategy, slots) = (binding.strategy(), binding.target.capability().slots);
            match (over.map(|over| over.can_be_superseded_by(strategy, slots)), supersede) {
                (None, None) | (Some(true), Some(_)) => {}
                (Some(true), None) => return Err(StartRefused::Waits),
                (Some(false), None) => return Err(StartRefused::Refused(Refusal::Live)),
                (None | Some(false), Some(_)) => return Err(StartRefused::NothingWaits),
            }
            if !requester.means(row.last_generation.next()) {
                return Err(StartRefused::Refused(Refusal::Stale));
            }
            let plan = self.planned(&binding, &row).await.map_err(StartRefused::Fault)?;
            let plan = plan.map_err(StartRefused::Obstacles)?;
            let _held = self.shared.rebinding.read().await;
            if !self.shared.is_bound(&binding) {
                // The plan was made from what is not configured any more.
                continue;
            }
            let now = self.shared.now();
            if requester.is_early(&row, &binding.policy, now) {
                return Err(StartRefused::NothingWaits);
            }
            let begun = start(&row, &plan, now).map_err(StartRefused::Refused)?;
            let next = requester.named(&row, begun, asker);
            let broken = check(&next, &plan);
            if !broken.is_empty() {
                self.shared.violated(group, broken);
                return Err(StartRefused::Fault(drive::bug(group)));
            }
            let generation = next.last_generation;
            let mut entries: Vec<_> = over
                .zip(supersede)
                .map(|(over, reason)| history::superseded(over, asker.actor, reason, now))
                .into_iter()
                .collect();
            entries.extend(requester.marked(history::started(&next, &plan, over.is_some(), asker.actor, now)));
            entries.extend(history::approvals_wanted(None, &next, &plan, &plan_digest(&plan), now));
            let commit = Commit {
                entries,
                expect: before.is_some().then_some(row.version),
                epoch: self.shared.epoch(),
                candidate: None,
                erase: Vec::new(),
                due_at: Some(now),
                plan: Some(plan),
                row: next,
            };
            let request = asker.request(&commit, &self.shared);
            match self.shared.commit_for(request, Some(&row), commit).await {
                Ok(_) => {
                    self.shared.wake(group, Wake::Changed);
                    return Ok(generation);
                }
                // Somebody else was faster: what they did decides whether a rotation may still start.
                Err(fault) if fault.kind == FaultKind::Fenced => {}
                Err(fault) => return Err(StartRefused::Fault(fault)),
            }
        }
        Err(StartRefused::Fault(self.contended(group)))
    }

    /// Passes on what a person asks of a live rotation. The order and its reason are durable when this returns.
    pub async fn order<'a>(
        &self,
        group: &GroupId,
        order: Order,
        asker: impl Into<Asker<'a>>,
        reason: Option<String>,
    ) -> Result<(), OrderRefused> {
        self.order_of(group, None, order, asker.into(), reason).await
    }

    /// The same for the rotation to this generation, and no other.
    pub(crate) async fn order_of(
        &self,
        group: &GroupId,
        generation: Option<Generation>,
        order: Order,
        asker: Asker<'_>,
        reason: Option<String>,
    ) -> Result<(), OrderRefused> {
        if self.binding(group).is_none() {
            return Err(OrderRefused::UnknownGroup(group.clone()));
        }
        let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        match &reason {
            None if order == Order::Force => return Err(OrderRefused::ReasonMissing),
            Some(text) if text.chars().count() > REASON_CHARS_MAX => return Err(OrderRefused::ReasonTooLong),
            Some(_) | None => {}
        }
        for _ in 0..TRIES_MAX {
            if asker.done(&self.shared).await?.is_some() {
                return Ok(());
            }
            let loaded = self.shared.load(group).await.map_err(OrderRefused::Fault)?;
            let Some(Loaded { row, plan: Some(plan) }) = loaded else {
                return Err(OrderRefused::Refused(Refusal::NotLive));
            };
            let of = row.live().map(|live| live.to.generation);
            if generation.is_some() && generation != of {
                return Err(OrderRefused::Refused(Refusal::NotLive));
            }
            let binding = self.binding(group).ok_or_else(|| OrderRefused::UnknownGroup(group.clone()))?;
            match self.shared.compare_first(&binding, &row).await {
                Ok(()) => {}
                // It was moved on meanwhile, or is doubted now: what stands then decides.
                Err(fault) if fault.kind == FaultKind::Fenced => continue,
                Err(fault) => return Err(OrderRefused::Fault(fault)),
            }
            match self.order_once(&row, &plan, order, asker, reason.as_deref()).await {
                Err(OrderRefused::Fault(fault)) if fault.kind == FaultKind::Fenced => {}
                // What the first one did may be what a repeat is refused for.
                Err(OrderRefused::Refused(_)) if matches!(asker.done(&self.shared).await, Ok(Some(_))) => return Ok(()),
                answer => return answer,
            }
        }
        Err(OrderRefused::Fault(self.contended(group)))
    }

    async fn order_once(
        &self,
        row: &Row,
        plan: &Plan,
        order: Order,
        asker: Asker<'_>,
        reason: Option<&str>,
    ) -> Result<(), OrderRefused> {
        let actor = asker.actor;
        let (group, now) = (&row.group, self.shared.now());
        let seen = Seen { now, fact: Fact::Order(order) };
        let mut next = match advance(row, plan, &seen) {
            Ok(next) => next,
            Err(refusal) => {
                self.shared.append(group, history::denied(order, refusal, actor, now)).await;
                return Err(OrderRefused::Refused(refusal));
            }
        };
        let broken = check(&next, plan);
        if !broken.is_empty() {
            self.shared.violated(group, broken);
            return Err(OrderRefused::Fault(drive::bug(group)));
        }
        if next.version == row.version {
            // It stands like that already. The order is committed all the same: history says who asked.
            next.version = row.version.next();
        }
        let ordered = next.rotation.as_ref().map(|rotation| history::ordered(rotation, order, actor, reason, now));
        let mut entries: Vec<_> = ordered.into_iter().collect();
        entries.extend(history::step(row, &next, &seen.fact, now));
        entries.extend(history::approvals_wanted(Some(row), &next, plan, &plan_digest(plan), now));
        let commit = Commit {
            expect: Some(row.version),
            epoch: self.shared.epoch(),
            candidate: None,
            erase: drive::to_erase(&next),
            due_at: wants(&next, plan, now).wake_at.map(|_| now),
            plan: None,
            entries,
            row: next,
        };
        let request = asker.request(&commit, &self.shared);
        self.shared.commit_for(request, Some(row), commit).await.map_err(OrderRefused::Fault)?;
        self.shared.wake(group, Wake::Changed);
        Ok(())
    }

    /// What a rotation would go by if it started now, or what stands in its way. Looks at the world, changes nothing.
    pub async fn plan(&self, group: &GroupId) -> Result<Result<Plan, Vec<Obstacle>>, Fault> {
        let binding = self.binding(group).ok_or_else(|| unknown(group))?;
        let row =
            self.shared.load(group).await?.map_or_else(|| Row::new(group.clone()), |found| found.row.into_inner());
        self.planned(&binding, &row).await
    }

    /// The group as it stands.
    pub async fn view(&self, group: &GroupId) -> Result<View, Fault> {
        if self.binding(group).is_none() {
            return Err(unknown(group));
        }
        let (row, plan) = match self.shared.load(group).await? {
            Some(Loaded { row, plan }) => (row.into_inner(), plan),
            None => (Row::new(group.clone()), None),
        };
        let now = self.shared.now();
        let mut wants = plan.as_ref().map(|plan| wants(&row, plan, now)).unwrap_or_default();
        let window = self.bound_schedule(group).and_then(|schedule| closed_window(&row, &schedule, now));
        wants.waiting_for.splice(0..0, window);
        let sighting = row.live().and_then(|live| self.shared.sightings.last(group, live.to.generation));
        let binding = self.shared.binding(group).filter(|_| row.live().is_none());
        let drift = binding.and_then(|binding| self.shared.drifts.of(&binding));
        Ok(View { row, plan, wants, faults: self.shared.faults_of(group), sighting, drift })
    }

    /// The configured groups, by name.
    pub fn groups(&self) -> Vec<GroupId> {
        let mut groups: Vec<_> = self.shared.bindings().keys().cloned().collect();
        groups.sort();
        groups
    }

    /// What happens from now on. A receiver that falls behind misses some: read the row then.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Records a delivery before its value leaves, and wakes the group. See
    /// [`handover_core::port::Consumers::delivered`].
    pub async fn delivered(
        &self,
        group: &GroupId,
        consumer: &ConsumerId,
        role: Role,
        delivery: &Delivery,
    ) -> Result<(), Fault> {
        let consumers = &self.shared.ports.consumers;
        let call = Call::act(Whom::Consumers, "delivered");
        self.shared.calls.make(call, || consumers.delivered(group, consumer, role, delivery)).await?;
        self.shared.numbers.delivered(group);
        self.wake(group);
        Ok(())
    }

    /// The delivery to a consumer in all these roles that stands; `None` if it is not known, or they differ. See
    /// [`handover_core::port::Consumers::handed`].
    pub fn handed(&self, group: &GroupId, consumer: &ConsumerId, roles: &[Role]) -> Option<Delivery> {
        let mut each = roles.iter().map(|role| self.shared.ports.consumers.handed(group, consumer, *role));
        let first = each.next()??;
        each.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// A delivery that stands is repeated: it is counted, and nothing is recorded.
    pub fn handed_again(&self, group: &GroupId) {
        self.shared.numbers.delivered(group);
    }

    /// Writes to the history, before a value leaves, who gets it, and whether rotations wait for them from then on. On an
    /// error nobody knows whether it was written.
    pub async fn read(
        &self,
        group: &GroupId,
        consumer: &ConsumerId,
        delivery: &Delivery,
        counts: bool,
    ) -> Result<(), Fault> {
        let entry = history::read(delivery, counts, consumer.as_str(), self.shared.now());
        self.shared.try_append(group, entry).await
    }

    /// Records an acknowledgement whose proof was verified, and wakes the group. See
    /// [`handover_core::port::Consumers::acknowledged`].
    pub async fn acknowledged(
        &self,
        group: &GroupId,
        consumer: &ConsumerId,
        role: Role,
        publication: Publication,
        reach: Reach,
    ) -> Result<(), Fault> {
        let consumers = &self.shared.ports.consumers;
        let call = Call::act(Whom::Consumers, "acknowledged");
        self.shared.calls.make(call, || consumers.acknowledged(group, consumer, role, publication, reach)).await?;
        self.shared.numbers.acknowledged(group, reach);
        self.wake(group);
        Ok(())
    }

    /// Finds the delivery that an acknowledgement answers. See [`handover_core::port::Consumers::delivery`].
    pub async fn delivery(
        &self,
        group: &GroupId,
        consumer: &ConsumerId,
        nonce: &[u8],
    ) -> Result<Option<Delivery>, Fault> {
        let consumers = &self.shared.ports.consumers;
        let call = Call::look(Whom::Consumers, "delivery");
        self.shared.calls.make(call, || consumers.delivery(group, consumer, nonce)).await
    }

    /// Who is expected in a role, and how far each got. See [`handover_core::port::Consumers::roll_call`].
    pub async fn roll_call(&self, group: &GroupId, role: Role) -> Result<RollCall, Fault> {
        let consumers = &self.shared.ports.consumers;
        let call = Call::look(Whom::Consumers, "roll_call");
        self.shared.calls.make(call, || consumers.roll_call(group, role)).await
    }

    /// How each sink is doing, as far as this process has seen.
    pub fn sinks(&self) -> Vec<SinkSeen> {
        self.shared.sinks_seen()
    }

    /// History after a position, in order. See [`handover_core::port::StateStore::records`].
    pub async fn records(&self, after: u64, limit: usize) -> Result<Vec<Record>, Fault> {
        let state = &self.shared.ports.state;
        self.shared.calls.make(Call::look(Whom::State, "records"), || state.records(after, limit)).await
    }

    /// History backwards, of one group or all of it. See [`handover_core::port::StateStore::history`].
    pub async fn history(
        &self,
        group: Option<&GroupId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Record>, Fault> {
        let state = &self.shared.ports.state;
        self.shared.calls.make(Call::look(Whom::State, "history"), || state.history(group, before, limit)).await
    }

    /// Appends to history what concerns who may ask, and no group: see [`history::ACCESS`].
    pub async fn access_changed(
        &self,
        event: &'static str,
        actor: &str,
        fields: Vec<(&'static str, String)>,
    ) -> Result<(), Fault> {
        let entry = Entry { at: self.shared.now(), event, actor: actor.to_owned(), fields };
        self.shared.try_append(&history::access(), entry).await
    }

    /// Writes to the history that somebody asked for a rotation while another one was live.
    pub async fn start_denied(&self, group: &GroupId, actor: &str) {
        let entry = history::start_denied(Refusal::Live, actor, self.shared.now());
        self.shared.append(group, entry).await;
    }

    /// Appends to history that the counters of the statistics begin anew: see [`history::STATISTICS`].
    pub async fn reset_statistics(&self, actor: &str, reason: Option<String>) -> Result<(), Fault> {
        let fields = reason.map(|reason| ("reason", reason)).into_iter().collect();
        let entry = Entry { at: self.shared.now(), event: history::RESET, actor: actor.to_owned(), fields };
        self.shared.try_append(&history::statistics(), entry).await
    }

    /// Appends to a group's history that an alert began, or is over.
    pub async fn alerted(
        &self,
        group: &GroupId,
        event: &'static str,
        fields: Vec<(&'static str, String)>,
    ) -> Result<(), Fault> {
        let entry = Entry { at: self.shared.now(), event, actor: history::ENGINE.to_owned(), fields };
        self.shared.try_append(group, entry).await
    }

    /// Has the group's row looked at soon. Decides nothing, and hurries neither logins nor waits after a failure.
    pub fn wake(&self, group: &GroupId) {
        if self.binding(group).is_some() {
            self.shared.wake(group, Wake::Hint);
        }
    }

    /// Refused each time: either others are faster each time, or our epoch is not the latest. The loop finds out, and
    /// takes the lease again if it is free.
    pub(crate) fn contended(&self, group: &GroupId) -> Fault {
        self.shared.doubt_lease();
        let detail =
            format!("the row of {group} was changed by others each time, or the lease is not held here: look again");
        Fault::untouched(FaultKind::Fenced, detail)
    }

    pub(crate) fn binding(&self, group: &GroupId) -> Option<Arc<Binding>> {
        self.shared.binding(group)
    }

    /// Looks at the world and plans; refused while something there speaks against the record.
    pub(crate) async fn planned(&self, binding: &Binding, row: &Row) -> Result<Result<Plan, Vec<Obstacle>>, Fault> {
        let doubt = match self.shared.doubt(binding, row).await {
            Ok(doubt) => {
                if doubt.is_none() {
                    self.shared.compared(binding);
                }
                doubt
            }
            // Whatever cannot be looked at, preflight finds as well, with better words.
            Err(fault) => {
                let planned = self.planned_without_doubt(binding, row).await?;
                return Ok(planned.and_then(|_| Err(vec![Obstacle::Found(fault)])));
            }
        };
        let stands = match &doubt {
            None => self.shared.in_force(binding, row).await,
            Some(_) => Ok(InForce::Stands),
        };
        let (doubt, found) = match stands {
            // Who cannot be asked may be asked again later: Verify passes nobody who was not let in.
            Ok(InForce::Stands) | Err(_) => (doubt, None),
            Ok(InForce::Refused) => (Some(Doubt::TargetChanged), None),
            Ok(InForce::RefusedAt(fault)) => (doubt, Some(fault)),
        };
        let planned = self.planned_without_doubt(binding, &Row { doubt, ..row.clone() }).await?;
        Ok(match found {
            None => planned,
            Some(fault) => planned.and_then(|_| Err(vec![Obstacle::Found(fault)])),
        })
    }

    /// The same, where the record is what it is.
    pub(crate) async fn planned_without_doubt(
        &self,
        binding: &Binding,
        row: &Row,
    ) -> Result<Result<Plan, Vec<Obstacle>>, Fault> {
        let mut findings = self
            .shared
            .calls
            .make(Call::look(Whom::Target(&binding.target_name), "preflight"), || binding.target.preflight())
            .await?;
        let mut stores = BTreeMap::new();
        for (store, port) in binding.stores.iter() {
            stores.insert(store.clone(), port.capability());
            findings.extend(self.store_finding(binding, row, store).await);
        }
        let target = binding.target.capability();
        let census = Census {
            row,
            target,
            foreign: self.foreign(binding, target.minter).await?,
            findings,
            stores,
            policy_digest: binding.policy_digest.to_string(),
        };
        Ok(plan(&binding.policy, &census))
    }

    /// How many places of a provider that mints are taken by what is not ours.
    async fn foreign(&self, binding: &Binding, minter: Minter) -> Result<u32, Fault> {
        match minter {
            Minter::Us => Ok(0),
            Minter::Provider => {
                let call = Call::look(Whom::Target(&binding.target_name), "minted");
                let minted = self.shared.calls.make(call, || binding.target.minted()).await?;
                let foreign = minted.iter().filter(|minted| minted.label.is_none()).count();
                Ok(u32::try_from(foreign).unwrap_or(u32::MAX))
            }
        }
    }

    /// What is wrong with a store. A store that we wrote to before is compared when its pointer moves: drift is held
    /// there, with a way on. One that we never wrote to must be empty, or hold what we may have written.
    async fn store_finding(&self, binding: &Binding, row: &Row, store: &StoreId) -> Option<Fault> {
        let port = binding.stores.get(store)?;
        let call = Call::look(Whom::Store(store), "head");
        match self.shared.calls.make(call, || port.head(&binding.group)).await {
            Err(fault) => Some(fault),
            Ok(Some(head)) if !row.heads.contains_key(store) && head.publication.is_none() => Some(Fault::untouched(
                FaultKind::Foreign,
                format!(
                    "store {store} holds a value for {} that somebody else wrote: move it away, or leave the store \
                     out of the group",
                    binding.group
                ),
            )),
            Ok(Some(_) | None) => None,
        }
    }
}

fn unknown(group: &GroupId) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, format!("group {group} is not configured"))
}
