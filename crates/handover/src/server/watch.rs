//! Watch streams: hints about what is published and where rotations stand. Never a value.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::Stream;
use handover_adapters::store::embedded::Embedded;
use handover_api::{HEARTBEAT_S, LAST_EVENT_ID, Published, WatchEvent};
use handover_core::{ConsumerId, Fault, GroupId, Opened, Phase, Publication, Row, Undo, Withheld};
use handover_engine::history::phase_word;
use handover_engine::{self as engine, Handle, Happening};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{Interval, MissedTickBehavior};

use super::App;
use super::auth::Asking;
use super::configured::Configured;
use super::refusal::Refused;
use crate::tokens::{Caller, Grant};
use crate::words;

/// The most streams at a time.
const STREAMS_MAX: usize = 1_024;

/// The most streams of one identity, so that one client that forgets its streams does not take the places of all.
const STREAMS_EACH_MAX: usize = 64;

/// How many events a slow stream may fall behind before it gets a snapshot instead.
const NEWS_MAX: usize = 1_024;

/// How many records are read at once to learn the newest position.
const RECORDS_MAX: usize = 1_000;

/// An event for those streams that cover its group.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    group: GroupId,
    position: u64,
    event: WatchEvent,
}

/// What streams are told, and how far the history got.
#[derive(Clone, Debug)]
pub(crate) struct News {
    items: broadcast::Sender<Arc<Item>>,
    position: Arc<AtomicU64>,
    streams: Arc<Semaphore>,
    /// How many streams each identity has open.
    each: Arc<Mutex<HashMap<ConsumerId, usize>>>,
}

/// A stream's place. Another stream may have it once this is dropped.
struct Place {
    identity: ConsumerId,
    each: Arc<Mutex<HashMap<ConsumerId, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = each.get_mut(&self.identity) {
            *open -= 1;
            if *open == 0 {
                each.remove(&self.identity);
            }
        }
    }
}

impl News {
    /// Finds out how far the history got.
    pub(crate) async fn start(engine: &Handle) -> Result<Self, Fault> {
        let position = last_position(engine).await?;
        Ok(Self {
            items: broadcast::Sender::new(NEWS_MAX),
            position: Arc::new(AtomicU64::new(position)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            each: Arc::default(),
        })
    }

    /// How many streams are open.
    pub(crate) fn open_streams(&self) -> usize {
        STREAMS_MAX.saturating_sub(self.streams.available_permits())
    }

    /// Tells the streams that cover the group.
    pub(super) fn tell(&self, group: &GroupId, event: WatchEvent) {
        let item = Item { group: group.clone(), position: self.position(), event };
        // Nobody listening is fine.
        drop(self.items.send(Arc::new(item)));
    }

    /// A place for one more stream; `None` if all are taken, or all that this identity may have.
    fn place(&self, identity: &ConsumerId) -> Option<Place> {
        let permit = self.streams.clone().try_acquire_owned().ok()?;
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let open = each.entry(identity.clone()).or_default();
        if *open >= STREAMS_EACH_MAX {
            return None;
        }
        *open += 1;
        drop(each);
        Some(Place { identity: identity.clone(), each: Arc::clone(&self.each), _permit: permit })
    }

    fn position(&self) -> u64 {
        self.position.load(Ordering::SeqCst)
    }
}

/// The newest position, in a few dozen looks: positions have no gaps, so it can be searched for.
async fn last_position(engine: &Handle) -> Result<u64, Fault> {
    let mut above = 1_u64;
    while !engine.records(above - 1, 1).await?.is_empty() {
        above = above.saturating_mul(2);
    }
    // There is a record at each position up to `low`, and none from `above` on.
    let mut low = above / 2;
    while low + 1 < above {
        let middle = low + (above - low) / 2;
        if engine.records(middle - 1, 1).await?.is_empty() {
            above = middle;
        } else {
            low = middle;
        }
    }
    Ok(low)
}

/// Turns what the engine does into news.
pub(crate) struct Announcer {
    /// What happens in the engine, from before the server answers.
    pub(crate) events: broadcast::Receiver<engine::Event>,
    /// The engine, for its history.
    pub(crate) engine: Handle,
    /// What is published.
    pub(crate) store: Embedded,
    /// All configured groups.
    pub(crate) configured: Configured,
    /// Where to tell it.
    pub(crate) news: News,
}

impl Announcer {
    /// Runs until the engine is gone.
    pub(crate) async fn run(mut self) {
        let mut told_published = HashMap::new();
        let mut told_hold = HashMap::new();
        let mut told_wave = HashMap::new();
        loop {
            match self.events.recv().await {
                Ok(engine::Event { group, happening: Happening::Committed { row, advanced }, .. }) => {
                    self.catch_up().await;
                    let hold = row
                        .live()
                        .and_then(|rotation| rotation.hold.as_ref())
                        .map(|hold| words::hold_kind(hold).to_owned());
                    let held_anew = told_hold.insert(group.clone(), hold.clone()).unwrap_or_default() != hold;
                    if advanced || held_anew {
                        self.tell_phase(&row, hold);
                    }
                    // Those whose wave opens are told what was published before.
                    let wave = wave(&row);
                    let opened = told_wave.insert(group.clone(), wave).unwrap_or_default() != wave;
                    if opened {
                        told_published.remove(&group);
                    }
                    if advanced || opened || may_move_pointers(&row) {
                        self.tell_published(std::slice::from_ref(&group), &mut told_published).await;
                    }
                }
                Ok(engine::Event { happening: Happening::Faulted { .. } | Happening::Violated { .. }, .. }) => {}
                Err(RecvError::Lagged(_)) => {
                    let groups: Vec<GroupId> = self.configured.groups().keys().cloned().collect();
                    self.tell_published(&groups, &mut told_published).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn catch_up(&self) {
        loop {
            // A position that is learnt late does no harm: it is a cursor, and every stream begins with a snapshot.
            let Ok(records) = self.engine.records(self.news.position(), RECORDS_MAX).await else { return };
            if let Some(last) = records.last() {
                self.news.position.fetch_max(last.position, Ordering::SeqCst);
            }
            if records.len() < RECORDS_MAX {
                return;
            }
        }
    }

    fn tell_phase(&self, row: &Row, hold: Option<String>) {
        let Some(rotation) = &row.rotation else { return };
        self.news.tell(
            &row.group,
            WatchEvent::Phase {
                group: row.group.to_string(),
                generation: rotation.to.generation.0,
                phase: phase_word(&rotation.phase).to_owned(),
                status: words::status(&rotation.phase),
                hold,
            },
        );
    }

    /// Tells what the store publishes, if that was not told yet. The row says what is intended; only the store's head
    /// says what can be fetched.
    async fn tell_published(&self, groups: &[GroupId], told: &mut HashMap<GroupId, u64>) {
        let Ok(found) = published(&self.store, groups).await else { return };
        for (group, publication) in groups.iter().zip(found) {
            if let Ok(publication) = publication {
                self.tell_publication(group, publication, told);
            }
        }
    }

    fn tell_publication(&self, group: &GroupId, publication: u64, told: &mut HashMap<GroupId, u64>) {
        if told.insert(group.clone(), publication) != Some(publication) && publication > 0 {
            self.news.tell(group, WatchEvent::Publication(Published { group: group.to_string(), publication }));
        }
    }
}

const fn may_move_pointers(row: &Row) -> bool {
    match &row.rotation {
        Some(rotation) => {
            matches!(rotation.phase, Phase::Publish { .. } | Phase::Rollback(Undo::Unpublish { .. }))
        }
        None => false,
    }
}

/// Up to which wave presenters may read the candidate; `None` where no rotation is published wave by wave.
fn wave(row: &Row) -> Option<u32> {
    match &row.live()?.phase {
        Phase::Propagate { opened: Opened::Nobody, .. } => Some(0),
        Phase::Propagate { opened: Opened::Wave { number, .. }, .. } => Some(*number),
        Phase::Propagate { opened: Opened::All, .. }
        | Phase::Stage
        | Phase::Apply { .. }
        | Phase::Verify { .. }
        | Phase::Publish { .. }
        | Phase::Drain { .. }
        | Phase::Disable { .. }
        | Phase::Destroy { .. }
        | Phase::Rollback(_)
        | Phase::Done(_) => None,
    }
}

/// What each of these groups publishes; 0 where nothing was ever published.
async fn published(store: &Embedded, groups: &[GroupId]) -> Result<Vec<Result<u64, Fault>>, Fault> {
    let found = store.publications(groups).await?.into_iter();
    Ok(found.map(|found| Ok(found?.map_or(0, |publication| publication.0))).collect())
}

/// What a request for a stream may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// This group only.
    group: Option<String>,
}

pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    Asking(caller): Asking,
    headers: HeaderMap,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<impl IntoResponse, Refused> {
    let Query(wanted) = query.map_err(|_| Refused::bad_request("the query takes `group=<name>` and nothing else"))?;
    let wanted = wanted.group.map(|name| GroupId::parse(&name).map_err(|_| Refused::no_such_group())).transpose()?;
    // In this order, as for all routes of a group: see `Covered`.
    if wanted.as_ref().is_some_and(|group| !caller.covers(group) || app.configured.get(group).is_none()) {
        return Err(Refused::no_such_group());
    }
    let Some(place) = app.news.place(&caller.identity) else {
        return Err(Refused::new(
            429,
            "too_many_streams",
            "Too many streams",
            format!("this identity has {STREAMS_EACH_MAX} watch streams open, or all together have {STREAMS_MAX}"),
            "close the streams that nobody reads; one covers all groups of its token",
        ));
    };
    let seen = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let mut heartbeat = tokio::time::interval(Duration::from_secs(HEARTBEAT_S));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let opened = Open {
        reset: seen.is_some_and(|seen| seen > app.news.position()),
        // Subscribed before the snapshot is taken, so that nothing falls between the two.
        items: app.news.items.subscribe(),
        drain: app.drain.clone(),
        tokens: app.tokens.changes(),
        snapshot: true,
        app,
        caller,
        wanted,
        heartbeat,
        _place: place,
    };
    Ok(Sse::new(opened.into_events()))
}

/// Why a stream looks around.
enum Woken {
    Tokens,
    Heartbeat,
    Item(Result<Arc<Item>, RecvError>),
}

/// An open stream.
struct Open {
    app: Arc<App>,
    caller: Caller,
    /// Of this group only.
    wanted: Option<GroupId>,
    items: broadcast::Receiver<Arc<Item>>,
    drain: tokio::sync::watch::Receiver<bool>,
    /// Entries may have come, gone or expired.
    tokens: tokio::sync::watch::Receiver<u64>,
    heartbeat: Interval,
    /// The client named a position that is not in this history.
    reset: bool,
    /// A snapshot is due.
    snapshot: bool,
    _place: Place,
}

impl Open {
    fn into_events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut open| async move {
            let event = open.next().await?;
            Some((Ok(event), open))
        })
    }

    /// The next event; `None` when the stream is over: the server drains, or the token was revoked or has expired.
    async fn next(&mut self) -> Option<Event> {
        if self.reset {
            self.reset = false;
            return event(self.app.news.position(), &WatchEvent::Reset);
        }
        if self.snapshot {
            self.snapshot = false;
            return self.take_snapshot().await;
        }
        loop {
            let woken = tokio::select! {
                _ = self.drain.wait_for(|drain| *drain) => return None,
                changed = self.tokens.changed() => changed.ok().map(|()| Woken::Tokens)?,
                _ = self.heartbeat.tick() => Woken::Heartbeat,
                item = self.items.recv() => Woken::Item(item),
            };
            // Whoever's token was revoked learns no more.
            if !self.app.tokens.is_valid(&self.caller) {
                return None;
            }
            match woken {
                Woken::Heartbeat => return Some(Event::default().comment("heartbeat")),
                Woken::Item(Ok(item)) if self.is_for(&item).await => return event(item.position, &item.event),
                Woken::Item(Ok(_)) | Woken::Tokens => {}
                // What was missed is in the snapshot, as far as it still matters.
                Woken::Item(Err(RecvError::Lagged(_))) => return self.take_snapshot().await,
                Woken::Item(Err(RecvError::Closed)) => return None,
            }
        }
    }

    /// Whether the stream is told this. Consumers are told when to fetch, not where the rotation stands: which generation
    /// comes, and which one still is valid, is for those who look after it.
    async fn is_for(&self, item: &Item) -> bool {
        let told = match &item.event {
            WatchEvent::Phase { .. } => self.caller.grant != Grant::Consumer,
            WatchEvent::Publication(Published { publication, .. }) => {
                self.shown(&item.group, *publication).await.is_ok_and(|shown| shown == *publication)
            }
            WatchEvent::Snapshot { .. } | WatchEvent::Reset => true,
        };
        told && self.is_of(&item.group)
    }

    /// Under which number the caller reads, where the store publishes under this one: a consumer whose wave is not open
    /// reads what was published before.
    async fn shown(&self, group: &GroupId, publication: u64) -> Result<u64, Fault> {
        if self.caller.grant != Grant::Consumer {
            return Ok(publication);
        }
        let withheld = self.app.engine.withheld(group).await?;
        let shown = |withheld: &Withheld| withheld.shown(Publication(publication), &self.caller.identity).0;
        Ok(withheld.as_deref().map_or(publication, shown))
    }

    /// Whether the stream is of this group: groups come and go while it is open.
    fn is_of(&self, group: &GroupId) -> bool {
        self.caller.covers(group)
            && self.wanted.as_ref().is_none_or(|wanted| wanted == group)
            && self.app.configured.get(group).is_some()
    }

    async fn take_snapshot(&self) -> Option<Event> {
        let covered = self.app.configured.groups();
        let covered: Vec<GroupId> = covered.keys().filter(|group| self.is_of(group)).cloned().collect();
        // A store that cannot be read ends the stream: the client comes back, and polls meanwhile.
        let found = published(&self.app.store, &covered).await.ok()?;
        let mut groups = Vec::with_capacity(covered.len());
        for (group, publication) in covered.iter().zip(found) {
            let publication = self.shown(group, publication.ok()?).await.ok()?;
            groups.push(Published { group: group.to_string(), publication });
        }
        event(self.app.news.position(), &WatchEvent::Snapshot { groups })
    }
}

fn event(position: u64, event: &WatchEvent) -> Option<Event> {
    Event::default().event(event.name()).id(position.to_string()).json_data(event).ok()
}
