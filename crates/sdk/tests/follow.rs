//! A client against a small controller in this process: what it fetches, puts in force, acknowledges and refuses.

#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of the functions that are marked as tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use handover_api::proof::Claim;
use handover_api::{Ack, Delivered, Nonce, Problem, Published, Reach, Role, WatchEvent, path};
use handover_sdk::{Client, Credential, Error, Live, Options, Validate};
use handover_secret::Secret;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the controller publishes, and how it behaves.
#[derive(Clone)]
struct World {
    publication: u64,
    generation: u64,
    /// Answers 503 to everything.
    down: bool,
    /// Says nothing on its watch streams, not even a heartbeat.
    silent: bool,
    /// Refuses this many acknowledgements as unknown, then takes them.
    unknown_acks: usize,
    consumer: &'static str,
}

struct Controller {
    world: watch::Sender<World>,
    acks: Mutex<Vec<(u64, Reach)>>,
    deliveries: AtomicUsize,
    watches: AtomicUsize,
    watching: Arc<()>,
}

fn value(generation: u64) -> Secret {
    Secret::from_text(format!("password-{generation}"))
}

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(Problem::new(503, "down", "Down", "down"))).into_response()
}

async fn secret(
    State(controller): State<Arc<Controller>>,
    Query(query): Query<BTreeMap<String, u64>>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(headers["authorization"], "Bearer token-1");
    let world = controller.world.borrow().clone();
    if world.down {
        return unavailable();
    }
    if world.publication == 0 {
        return (StatusCode::CONFLICT, Json(Problem::new(409, "not_published", "t", "d"))).into_response();
    }
    if query.get("after").is_some_and(|after| *after == world.publication) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let nonce = u8::try_from(controller.deliveries.fetch_add(1, Ordering::SeqCst)).unwrap();
    Json(Delivered {
        group: "orders".to_owned(),
        consumer: world.consumer.to_owned(),
        roles: vec![Role::Presenter],
        publication: world.publication,
        generation: world.generation,
        fields: BTreeMap::from([("user".to_owned(), format!("orders_{}", world.generation))]),
        value: value(world.generation),
        nonce: Nonce([nonce; 32]),
    })
    .into_response()
}

async fn ack(State(controller): State<Arc<Controller>>, Json(ack): Json<Ack>) -> Response {
    if controller.world.borrow().down {
        return unavailable();
    }
    let mut refused = false;
    controller.world.send_if_modified(|world| {
        refused = world.unknown_acks > 0;
        world.unknown_acks = world.unknown_acks.saturating_sub(1);
        false
    });
    if refused {
        return (StatusCode::CONFLICT, Json(Problem::new(409, "unknown_delivery", "t", "d"))).into_response();
    }
    let claim = Claim {
        identity: "worker",
        group: "orders",
        publication: ack.publication,
        generation: ack.generation,
        item: &ack.item,
        reach: ack.reach,
        nonce: &ack.nonce,
    };
    assert!(claim.verify(&value(ack.generation), &ack.proof), "the proof fits");
    controller.acks.lock().unwrap().push((ack.publication, ack.reach));
    StatusCode::NO_CONTENT.into_response()
}

async fn watch_stream(State(controller): State<Arc<Controller>>) -> Response {
    if controller.world.borrow().down {
        return unavailable();
    }
    controller.watches.fetch_add(1, Ordering::SeqCst);
    let (mut world, guard) = (controller.world.subscribe(), controller.watching.clone());
    world.mark_changed();
    let events = futures_util::stream::unfold((world, guard), |(mut world, guard)| async move {
        loop {
            world.changed().await.ok()?;
            let now = world.borrow_and_update().clone();
            if now.down {
                return None;
            }
            if !now.silent {
                let published = Published { group: "orders".to_owned(), publication: now.publication };
                let data = serde_json::to_string(&WatchEvent::Publication(published)).unwrap();
                return Some((Ok::<_, Infallible>(format!("data: {data}\n\n")), (world, guard)));
            }
        }
    });
    Body::from_stream(events).into_response()
}

/// A running controller; it stops when dropped.
struct Rig {
    controller: Arc<Controller>,
    server: JoinHandle<()>,
    options: Options,
    _directory: Directory,
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Rig {
    async fn start(publication: u64, generation: u64) -> Self {
        let world = World { publication, generation, down: false, silent: false, unknown_acks: 0, consumer: "worker" };
        let controller = Arc::new(Controller {
            world: watch::Sender::new(world),
            acks: Mutex::default(),
            deliveries: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            watching: Arc::new(()),
        });
        let routes = Router::new()
            .route(path::SECRET, get(secret))
            .route(path::ACK, post(ack))
            .route(path::WATCH, get(watch_stream))
            .with_state(controller.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let directory = std::env::temp_dir().join(format!("handover-sdk-{}-{}", std::process::id(), address.port()));
        std::fs::create_dir(&directory).unwrap();
        let token_file = directory.join("token");
        std::fs::write(&token_file, "token-1\n").unwrap();
        let mut options = Options::new(format!("http://{address}"), "worker", token_file);
        options.start_for = Duration::from_secs(20);
        options.backoff_min = Duration::from_millis(2);
        options.backoff_max = Duration::from_millis(20);
        options.poll = Duration::from_secs(600);
        Self { controller, server, options, _directory: Directory(directory) }
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        self.controller.world.send_modify(change);
    }

    fn publish(&self, publication: u64, generation: u64) {
        self.change(|world| (world.publication, world.generation) = (publication, generation));
    }

    async fn live(&self) -> Live<Credential> {
        Client::new(self.options.clone()).unwrap().live("orders").await.unwrap()
    }

    fn acked(&self, publication: u64, reach: Reach) -> bool {
        self.controller.acks.lock().unwrap().contains(&(publication, reach))
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_new_publication_is_put_in_force_and_acknowledged_as_far_as_it_got() {
    let rig = Rig::start(1, 1).await;
    let live = rig.live().await;
    assert_eq!(live.current().user(), Some("orders_1"));
    until("the first is acknowledged", || rig.acked(1, Reach::Loaded)).await;
    rig.publish(2, 2);
    until("the second is in force", || live.current().publication() == 2).await;
    assert!(live.current().value().matches(&value(2)));
    until("it is acknowledged as loaded", || rig.acked(2, Reach::Loaded)).await;
    assert!(!rig.acked(2, Reach::Used), "nobody used it yet");
    live.used(2);
    until("it is acknowledged as used", || rig.acked(2, Reach::Used)).await;
}

#[tokio::test]
async fn a_rollback_is_followed_and_a_replay_is_not() {
    let rig = Rig::start(3, 2).await;
    let live = rig.live().await;
    rig.publish(2, 9);
    assert!(!live.refused(3, Duration::from_millis(50)).await, "a look finds nothing higher");
    assert_eq!(live.current().generation(), 2);
    rig.publish(4, 1);
    until("the rollback is in force", || live.current().generation() == 1).await;
}

#[tokio::test]
async fn the_last_good_value_serves_while_the_controller_is_away() {
    let rig = Rig::start(1, 1).await;
    let live = rig.live().await;
    rig.change(|world| world.down = true);
    assert!(!live.refused(1, Duration::from_millis(50)).await);
    assert_eq!(live.current().publication(), 1);
    rig.change(|world| {
        world.down = false;
        (world.publication, world.generation) = (2, 2);
    });
    until("it catches up", || live.current().publication() == 2).await;
    until("and says so", || rig.acked(2, Reach::Loaded)).await;
}

#[tokio::test]
async fn a_silent_stream_is_opened_anew_and_what_was_missed_is_fetched() {
    let mut rig = Rig::start(1, 1).await;
    rig.options.silence_max = Duration::from_millis(50);
    rig.change(|world| world.silent = true);
    let live = rig.live().await;
    until("the silent stream is opened anew", || rig.controller.watches.load(Ordering::SeqCst) >= 2).await;
    rig.publish(2, 2);
    until("the change is found without an event", || live.current().publication() == 2).await;
}

#[tokio::test]
async fn polling_finds_what_a_stream_kept_to_itself() {
    let mut rig = Rig::start(1, 1).await;
    rig.options.poll = Duration::from_millis(20);
    rig.change(|world| world.silent = true);
    let live = rig.live().await;
    rig.publish(2, 2);
    until("the change is found by polling", || live.current().publication() == 2).await;
}

#[tokio::test]
async fn a_publication_that_does_not_validate_is_delivered_but_not_loaded() {
    let rig = Rig::start(1, 1).await;
    let good = Arc::new(AtomicUsize::new(1));
    let validate = Validate::new({
        let good = good.clone();
        move |credential: Arc<Credential>| {
            let passes = credential.generation() <= u64::try_from(good.load(Ordering::SeqCst)).unwrap();
            async move { if passes { Ok(()) } else { Err("login refused".to_owned()) } }
        }
    });
    let client = Client::new(rig.options.clone()).unwrap();
    let live = client.live_validated("orders", validate).await.unwrap();
    rig.publish(2, 2);
    until("its delivery is acknowledged", || rig.acked(2, Reach::Delivered)).await;
    assert_eq!(live.current().publication(), 1);
    assert!(!rig.acked(2, Reach::Loaded));
    good.store(2, Ordering::SeqCst);
    until("it is tried again", || live.current().publication() == 2).await;
    until("and acknowledged", || rig.acked(2, Reach::Loaded)).await;
}

#[tokio::test]
async fn a_refused_acknowledgement_asks_for_a_new_delivery() {
    let rig = Rig::start(1, 1).await;
    rig.change(|world| world.unknown_acks = 2);
    let live = rig.live().await;
    until("it is acknowledged in the end", || rig.acked(1, Reach::Loaded)).await;
    assert!(rig.controller.deliveries.load(Ordering::SeqCst) >= 2, "under a new nonce");
    assert_eq!(live.current().publication(), 1);
}

#[tokio::test]
async fn start_waits_for_the_first_publication() {
    let rig = Rig::start(0, 0).await;
    let starting = tokio::spawn({
        let client = Client::new(rig.options.clone()).unwrap();
        async move { client.live("orders").await }
    });
    rig.publish(1, 1);
    assert_eq!(starting.await.unwrap().unwrap().current().publication(), 1);
}

#[tokio::test]
async fn a_token_of_somebody_else_is_noticed_at_once() {
    let rig = Rig::start(1, 1).await;
    rig.change(|world| world.consumer = "other");
    let error = Client::new(rig.options.clone()).unwrap().live("orders").await.unwrap_err();
    assert!(matches!(error, Error::Identity { .. }), "{error}");
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_watch() {
    let rig = Rig::start(1, 1).await;
    let live = rig.live().await;
    let watching = || Arc::strong_count(&rig.controller.watching) - 1;
    until("the watch is open", || watching() == 1).await;
    let second = live.clone();
    drop(live);
    rig.publish(2, 2);
    until("the second handle is served", || second.current().publication() == 2).await;
    drop(second);
    // The server notices a closed connection when it next writes to it.
    until("the watch is closed", || {
        rig.change(|_| {});
        watching() == 0
    })
    .await;
}
