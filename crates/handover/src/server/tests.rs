//! The server over real connections, with a real state and store; the engine has no target here.

mod authorisation;
mod history;
mod limits;
mod oracle;
mod statistics;
mod tls;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::state::sqlite::Sqlite;
use handover_api::proof::Claim;
use handover_api::{Ack, Delivered, ITEM_VALUE, Nonce, Problem, Published, Reach, Role, WatchEvent};
use handover_core::port::{Answer, Consumers, Delivery, SecretStore as _, Value};
use handover_core::{
    Candidate, ConsumerId, Effect, Fault, FaultKind, Generation, GroupId, Occupant, Publication, RollCall, Slot,
    StoreVersion,
};
use handover_engine::{Options, Ports, Service, SystemClock};
use handover_secret::Secret;
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::assembly::Wired;
use crate::config;
use crate::reload::Parts;
use crate::tokens::{self, Grant, Terms};

const CONFIG: &str = r#"
    [[group]]
    name = "orders"
    consumers = [{ name = "worker" }]
    [group.target]
    kind = "postgres"
    endpoints = [{ name = "primary", host = "db.internal" }]
    database = "orders"
    ca_file = "ca.pem"
    owner = "orders"
    twins = ["orders_a", "orders_b"]
    admin = { user = "handover_admin", password_file = "admin.password" }
"#;

struct Rig {
    directory: tempfile::TempDir,
    base: String,
    http: reqwest::Client,
    app: Arc<App>,
    state: Arc<Sqlite>,
    disk: Arc<Disk>,
    drain: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Rig {
    async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("handover.toml");
        std::fs::write(&file, format!("{CONFIG}{}", CONFIG.replace("\"orders\"\n    cons", "\"others\"\n    cons")))
            .unwrap();
        let config = config::Config::load(&file).unwrap();
        let sealer = Arc::new(Sealer::new(MasterKey::create(&config.master_key).unwrap()));
        let state = Arc::new(Sqlite::open(&config.state, sealer.clone()).unwrap());
        let store = Embedded::open(&config.store, sealer).unwrap();
        let disk = Arc::new(Disk { state: state.clone(), full: AtomicBool::new(false) });
        let ports =
            Ports { state: state.clone(), consumers: disk.clone(), sinks: Vec::new(), clock: Arc::new(SystemClock) };
        let (_, engine) = Service::new(Options::default(), ports, Vec::new()).await.unwrap();
        let drain = watch::Sender::new(false);
        let configured = Configured::new(&config);
        let parts = Parts {
            engine: engine.clone(),
            store: store.clone(),
            state: Arc::clone(&state),
            configured: configured.clone(),
        };
        let reloader = Reloader::new(&file, config.clone(), Wired::default(), parts);
        let app = Arc::new(App {
            news: News::start(&engine).await.unwrap(),
            leaving: drain.subscribe(),
            meter: Meter::new(Arc::default(), state.batches()),
            engine,
            store,
            tokens: Tokens::open(&config.tokens).unwrap(),
            bootstrap: Bootstrap::open(&config.tokens, &Tokens::open(&config.tokens).unwrap()).unwrap(),
            configured,
            statistics: Statistics::default(),
            reloader: Arc::new(reloader),
            drain: drain.subscribe(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, None, router(&app), limits, drain.subscribe()));
        let tls = crate::remote::trusting(false, None).unwrap().with_no_client_auth();
        let http = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build().unwrap();
        Self { directory, base, http, app, state, disk, drain, serving }
    }

    fn token_file(&self) -> &Path {
        self.directory.path()
    }

    fn token(&self, identity: &str, grant: Grant, groups: &[&str]) -> String {
        let groups: BTreeSet<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let identity = ConsumerId::parse(identity).unwrap();
        self.token_of(&Terms { identity, grant, verbs: None, groups, expires_at: None })
    }

    fn token_of(&self, terms: &Terms) -> String {
        let token = tokens::create(&self.token_file().join("tokens.json"), terms).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test presents the token")]
        token.expose_text().unwrap().to_owned()
    }

    async fn ask(&self, method: Method, path: &str, token: Option<&str>) -> reqwest::Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    }

    async fn publish(&self, publication: u64, generation: u64, expect: Option<&StoreVersion>) -> StoreVersion {
        let who = Occupant { generation: Generation(generation), slot: Slot(0), candidate: Candidate(1) };
        let group = orders();
        let id = Effect::Seal { to: who }.id(&group, who);
        let secret = value(generation);
        let fields = [("user".to_owned(), "orders_a".to_owned())];
        let value = Value { id: &id, who, fields: &fields, secret: &secret };
        self.app.store.put(&group, &value).await.unwrap();
        self.app.store.point(&group, &value, Publication(publication), expect).await.unwrap()
    }

    async fn fetch(&self, token: &str) -> Delivered {
        let answer = self.ask(Method::GET, "/v1/groups/orders/secret", Some(token)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer.json().await.unwrap()
    }

    async fn ack(&self, token: &str, ack: &Ack) -> (StatusCode, String) {
        let request = self.http.post(format!("{}/v1/groups/orders/ack", self.base)).bearer_auth(token).json(ack);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let code = answer.json::<Problem>().await.map(|problem| problem.code).unwrap_or_default();
        (status, code)
    }

    async fn roll(&self) -> RollCall {
        self.state.roll_call(&orders(), handover_core::Role::Presenter).await.unwrap()
    }
}

/// The roll on a disk that may be full: then it can be read, and nothing more is recorded.
struct Disk {
    state: Arc<Sqlite>,
    full: AtomicBool,
}

impl Consumers for Disk {
    fn roll_call<'a>(&'a self, group: &'a GroupId, role: handover_core::Role) -> Answer<'a, RollCall> {
        self.state.roll_call(group, role)
    }

    fn delivered<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: handover_core::Role,
        delivery: &'a Delivery,
    ) -> Answer<'a, ()> {
        if self.full.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Storage, "no space left"))));
        }
        self.state.delivered(group, consumer, role, delivery)
    }

    fn handed(&self, group: &GroupId, consumer: &ConsumerId, role: handover_core::Role) -> Option<Delivery> {
        if self.full.load(Ordering::SeqCst) { None } else { self.state.handed(group, consumer, role) }
    }

    fn delivery<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        nonce: &'a [u8],
    ) -> Answer<'a, Option<Delivery>> {
        self.state.delivery(group, consumer, nonce)
    }

    fn acknowledged<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: handover_core::Role,
        publication: Publication,
        reach: handover_core::Reach,
    ) -> Answer<'a, ()> {
        self.state.acknowledged(group, consumer, role, publication, reach)
    }

    fn excuse<'a>(&'a self, group: &'a GroupId, consumer: &'a ConsumerId) -> Answer<'a, ()> {
        self.state.excuse(group, consumer)
    }
}

/// F58: a full disk stops what is new, not those who are waited for already.
#[tokio::test]
async fn a_full_disk_does_not_stop_deliveries_to_those_on_the_roll() {
    let rig = Rig::start().await;
    let _ = rig.publish(1, 1, None).await;
    let (worker, stranger) =
        (rig.token("worker", Grant::Consumer, &["orders"]), rig.token("stranger", Grant::Consumer, &["orders"]));
    let _ = rig.fetch(&worker).await;
    rig.disk.full.store(true, Ordering::SeqCst);
    let delivered = rig.fetch(&worker).await;
    assert!(delivered.value.matches(&value(1)));
    let (status, code) = rig.ack(&worker, &ack(&delivered, Reach::Loaded, &value(1))).await;
    assert_eq!((status, code.as_str()), (StatusCode::CONFLICT, "unknown_delivery"), "it fetches again");
    let refused = rig.ask(Method::GET, "/v1/groups/orders/secret", Some(&stranger)).await;
    assert!(refused.status().is_server_error(), "one that nobody waits for yet would not be counted");
    rig.disk.full.store(false, Ordering::SeqCst);
    let delivered = rig.fetch(&worker).await;
    assert_eq!(rig.ack(&worker, &ack(&delivered, Reach::Loaded, &value(1))).await.0, StatusCode::NO_CONTENT);
}

/// I4: a repeat is recorded only where the first delivery does not stand any more; each is in the history.
#[tokio::test]
async fn a_repeat_of_a_delivery_has_its_nonce_until_its_consumer_is_excused() {
    let rig = Rig::start().await;
    let version = rig.publish(1, 1, None).await;
    let token = rig.token("worker", Grant::Consumer, &["orders"]);
    let first = rig.fetch(&token).await;
    let again = rig.fetch(&token).await;
    assert_eq!((again.publication, again.nonce), (1, first.nonce));
    let worker = ConsumerId::parse("worker").unwrap();
    rig.state.excuse(&orders(), &worker).await.unwrap();
    assert!(rig.roll().await.members.is_empty());
    let anew = rig.fetch(&token).await;
    assert_eq!(rig.roll().await.members.len(), 1, "it is waited for again");
    assert_ne!(anew.nonce, first.nonce);
    assert_eq!(rig.ack(&token, &ack(&first, Reach::Loaded, &value(1))).await.1, "unknown_delivery");
    assert_eq!(rig.ack(&token, &ack(&anew, Reach::Loaded, &value(1))).await.0, StatusCode::NO_CONTENT);

    rig.publish(2, 2, Some(&version)).await;
    let newer = rig.fetch(&token).await;
    assert_eq!(newer.publication, 2);
    assert_ne!(newer.nonce, anew.nonce, "another publication is another delivery");
    let records = rig.app.engine.history(Some(&orders()), None, 100).await.unwrap();
    assert_eq!(records.iter().filter(|record| record.body.contains("\"event\":\"read\"")).count(), 4);
}

fn orders() -> GroupId {
    GroupId::parse("orders").unwrap()
}

fn value(generation: u64) -> Secret {
    Secret::from_text(format!("password-{generation}"))
}

fn ack(delivered: &Delivered, reach: Reach, value: &Secret) -> Ack {
    let claim = Claim {
        identity: &delivered.consumer,
        group: "orders",
        publication: delivered.publication,
        generation: delivered.generation,
        item: ITEM_VALUE,
        reach,
        nonce: &delivered.nonce,
    };
    Ack {
        role: Role::Presenter,
        publication: delivered.publication,
        generation: delivered.generation,
        item: ITEM_VALUE.to_owned(),
        reach,
        nonce: delivered.nonce,
        proof: claim.prove(value),
    }
}

#[tokio::test]
async fn what_is_not_served_is_refused_with_a_problem() {
    let rig = Rig::start().await;
    for (method, path, status) in
        [(Method::GET, "/index.html", 404), (Method::GET, "/v1/nothing", 404), (Method::POST, path::HEALTH, 405)]
    {
        let answer = rig.ask(method, path, None).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (status, &"application/problem+json".parse().unwrap())
        );
        assert_eq!(answer.json::<Problem>().await.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_problem_leads_to_its_page_and_to_its_group() {
    let rig = Rig::start().await;
    let (person, worker) =
        (rig.token("person", Grant::Operator, &["orders"]), rig.token("worker", Grant::Consumer, &["orders"]));
    for (method, path, token, explain) in [
        (Method::POST, "/v1/groups/orders/hold", &person, true),
        (Method::POST, "/v1/groups/others/hold", &person, false),
        (Method::POST, "/v1/groups/orders/hold", &worker, false),
        (Method::GET, "/v1/groups/orders/secret", &worker, false),
        (Method::GET, "/v1/nothing", &worker, false),
    ] {
        let problem: Problem = rig.ask(method, path, Some(token)).await.json().await.unwrap();
        assert_eq!(problem.explain, explain.then(|| "/v1/groups/orders/explain".to_owned()), "{path}: {problem:?}");
        let page = rig.ask(Method::GET, &problem.kind, None).await;
        assert_eq!(page.headers()["content-type"], "text/markdown; charset=utf-8");
        assert!(page.text().await.unwrap().starts_with(&format!("# {}: ", problem.code)));
    }
    let unknown = rig.ask(Method::GET, "/v1/errors/..%2fREADME", None).await;
    assert_eq!(unknown.json::<Problem>().await.unwrap().code, "no_such_path");
}

#[tokio::test]
async fn a_long_body_is_refused_and_not_repeated() {
    let rig = Rig::start().await;
    let token = rig.token("person", Grant::Operator, &["orders"]);
    let long = "x".repeat(BODY_BYTES_MAX + 1);
    for (body, status) in [(long, 413), ("{\"canary-4711\":1}".to_owned(), 400)] {
        let request = rig.http.post(format!("{}/v1/groups/orders/hold", rig.base)).bearer_auth(&token).body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(!answer.text().await.unwrap().contains("canary"));
    }
}

#[tokio::test]
async fn a_slow_head_a_long_head_and_a_crowd_do_not_keep_others_out() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let limits = Limits { connections_max: 2, head_max: Duration::from_millis(200), ..Limits::default() };
    let rig = Rig::start_with(limits).await;
    let address = rig.base.strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        slow.push(stream);
    }
    let asking = rig.ask(Method::GET, path::HEALTH, None);
    let answer = tokio::time::timeout(Duration::from_secs(30), asking).await.expect("a place becomes free");
    assert_eq!(answer.status(), StatusCode::OK);
    for mut stream in slow {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.expect("cut off").unwrap();
    }
    let long =
        rig.http.get(format!("{}{}", rig.base, path::HEALTH)).header("x-long", "x".repeat(64 * 1024)).send().await;
    assert!(long.is_err() || long.is_ok_and(|answer| answer.status().is_client_error()));
    assert_eq!(rig.ask(Method::GET, path::HEALTH, None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_value_is_recorded_as_delivered_before_it_leaves_and_acknowledged_with_proof() {
    let rig = Rig::start().await;
    let token = rig.token("worker", Grant::Consumer, &["orders"]);
    let early = rig.ask(Method::GET, "/v1/groups/orders/secret", Some(&token)).await;
    assert_eq!(early.json::<Problem>().await.unwrap().code, "not_published");
    let version = rig.publish(1, 1, None).await;

    let delivered = rig.fetch(&token).await;
    assert!(delivered.value.matches(&value(1)));
    assert_eq!((delivered.publication, delivered.generation), (1, 1));
    assert_eq!((delivered.fields["user"].as_str(), delivered.roles.as_slice()), ("orders_a", &[Role::Presenter][..]));
    assert_eq!(rig.roll().await.members.len(), 1, "whoever may have it is expected");
    let again = rig.ask(Method::GET, "/v1/groups/orders/secret?after=1", Some(&token)).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT, "nothing above it");

    let refused = rig.ack(&token, &ack(&delivered, Reach::Loaded, &value(2))).await;
    assert_eq!(refused, (StatusCode::UNPROCESSABLE_ENTITY, "proof".to_owned()), "another value");
    let mut higher = ack(&delivered, Reach::Loaded, &value(1));
    higher.reach = Reach::Used;
    assert_eq!(rig.ack(&token, &higher).await.1, "proof", "the proof is bound to the reach");
    assert_eq!(rig.roll().await.members[0].acked, None);

    let loaded = ack(&delivered, Reach::Loaded, &value(1));
    for _ in 0..2 {
        assert_eq!(rig.ack(&token, &loaded).await.0, StatusCode::NO_CONTENT, "twice is once");
    }
    let reached = Some((Publication(1), handover_core::Reach::Loaded));
    assert_eq!(rig.roll().await.members[0].acked, reached);

    rig.publish(2, 2, Some(&version)).await;
    let newer = rig.fetch(&token).await;
    assert_eq!(newer.publication, 2);
    let mixed = Ack { nonce: delivered.nonce, ..ack(&newer, Reach::Loaded, &value(2)) };
    assert_eq!(rig.ack(&token, &mixed).await.1, "unknown_delivery", "a nonce of another delivery");
    assert_eq!(rig.ack(&token, &ack(&newer, Reach::Used, &value(2))).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.roll().await.members[0].acked, Some((Publication(2), handover_core::Reach::Used)));
}

#[tokio::test]
async fn nobody_acknowledges_for_another() {
    let rig = Rig::start().await;
    let worker = rig.token("worker", Grant::Consumer, &["orders"]);
    let other = rig.token("other", Grant::Consumer, &["orders"]);
    rig.publish(1, 1, None).await;
    let delivered = rig.fetch(&worker).await;
    let stolen = ack(&delivered, Reach::Loaded, &value(1));
    assert_eq!(rig.ack(&other, &stolen).await, (StatusCode::CONFLICT, "unknown_delivery".to_owned()));
    let made_up = Ack { nonce: Nonce([9; 32]), ..stolen };
    assert_eq!(rig.ack(&worker, &made_up).await.1, "unknown_delivery");
    let as_verifier = Ack { role: Role::Verifier, ..ack(&delivered, Reach::Loaded, &value(1)) };
    assert_eq!(rig.ack(&worker, &as_verifier).await.1, "bad_request", "a role that nobody declared");
    assert!(rig.roll().await.members.iter().all(|member| member.acked.is_none()));
}

/// The data of the next event that is not a heartbeat; `None` once the stream has ended.
async fn next_event(
    stream: &mut (impl futures_util::Stream<Item = reqwest::Result<axum::body::Bytes>> + Unpin),
) -> Option<WatchEvent> {
    let chunk = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("an event in time")?;
    let text = String::from_utf8(chunk.ok()?.to_vec()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event with data");
    Some(serde_json::from_str(data).unwrap())
}

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_covers_its_groups_only_and_ends_with_the_server() {
    let rig = Rig::start().await;
    let token = rig.token("worker", Grant::Consumer, &["orders"]);
    rig.publish(4, 1, None).await;
    let mut stream = rig.ask(Method::GET, path::WATCH, Some(&token)).await.bytes_stream();
    let published = |publication| Published { group: "orders".to_owned(), publication };
    assert_eq!(next_event(&mut stream).await, Some(WatchEvent::Snapshot { groups: vec![published(4)] }));
    rig.app.news.tell(&GroupId::parse("others").unwrap(), WatchEvent::Publication(published(1)));
    rig.app.news.tell(&orders(), WatchEvent::Publication(published(5)));
    assert_eq!(next_event(&mut stream).await, Some(WatchEvent::Publication(published(5))));
    rig.drain.send_replace(true);
    assert_eq!(next_event(&mut stream).await, None);
    tokio::time::timeout(Duration::from_secs(30), rig.serving).await.expect("the server drains").unwrap();
}

#[tokio::test]
async fn a_stream_follows_groups_that_come_and_go_while_it_is_open() {
    let rig = Rig::start().await;
    let file = rig.directory.path().join("handover.toml");
    let both = config::Config::load(&file).unwrap();
    let others = config::Config { groups: both.groups[1..].to_vec(), ..both.clone() };
    let token = rig.token("anna", Grant::Viewer, &["*"]);
    let mut stream = rig.ask(Method::GET, path::WATCH, Some(&token)).await.bytes_stream();
    let published = |group: &str, publication| Published { group: group.to_owned(), publication };
    let snapshot = vec![published("orders", 0), published("others", 0)];
    assert_eq!(next_event(&mut stream).await, Some(WatchEvent::Snapshot { groups: snapshot }));
    let tell = |group: &str, publication| {
        let told = WatchEvent::Publication(published(group, publication));
        rig.app.news.tell(&GroupId::parse(group).unwrap(), told.clone());
        Some(told)
    };
    rig.app.configured.take(&others);
    let _ = tell("orders", 1);
    let told = tell("others", 2);
    assert_eq!(next_event(&mut stream).await, told, "not of one that is gone");
    rig.app.configured.take(&both);
    let told = tell("orders", 3);
    assert_eq!(next_event(&mut stream).await, told);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_removed() {
    let rig = Rig::start().await;
    let token = rig.token("worker", Grant::Consumer, &["orders"]);
    let mut stream = rig.ask(Method::GET, path::WATCH, Some(&token)).await.bytes_stream();
    assert!(matches!(next_event(&mut stream).await, Some(WatchEvent::Snapshot { .. })));
    std::fs::remove_file(rig.token_file().join("tokens.json")).unwrap();
    rig.app.news.tell(&orders(), WatchEvent::Publication(Published { group: "orders".to_owned(), publication: 5 }));
    assert_eq!(next_event(&mut stream).await, None);
}

#[tokio::test]
async fn a_position_of_another_history_is_reset() {
    let rig = Rig::start().await;
    let token = rig.token("worker", Grant::Consumer, &["orders"]);
    let request = rig.http.get(format!("{}{}", rig.base, path::WATCH)).bearer_auth(&token);
    let answer = request.header(handover_api::LAST_EVENT_ID, "1000000").send().await.unwrap();
    let mut stream = answer.bytes_stream();
    assert_eq!(next_event(&mut stream).await, Some(WatchEvent::Reset));
    assert!(matches!(next_event(&mut stream).await, Some(WatchEvent::Snapshot { .. })));
}
