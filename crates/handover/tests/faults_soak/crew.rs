//! Those who judge from outside: consumers that query all the time on a path of their own, which is never cut, and a
//! judge that logs in with what the store publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_sdk::postgres::{DialError, Dialler, Options as PostgresOptions, Pool};
use handover_sdk::{Client, Credential, Live, Options as ClientOptions};

use crate::fleet::{Fleet, GROUPS, HABITS};

/// What was counted, and what was found that must not be.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) queries: AtomicU64,
    pub(crate) samples: AtomicU64,
    /// Failures while PostgreSQL was being restarted.
    pub(crate) outages: AtomicU64,
    /// Failures of a login that the publication overtook.
    pub(crate) overtaken: AtomicU64,
    harm: Mutex<Vec<String>>,
}

impl Findings {
    /// Told at once, and again at the end.
    pub(crate) fn harm(&self, what: String) {
        println!("HARM, so far: {what}");
        self.harm.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    pub(crate) fn all_harm(&self) -> Vec<String> {
        self.harm.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Every credential that any consumer of a group held, by generation.
type Seen = Arc<Mutex<BTreeMap<u64, Arc<Credential>>>>;

pub(crate) struct Crew {
    pub(crate) findings: Arc<Findings>,
    pub(crate) diallers: Vec<Dialler>,
    pub(crate) lives: Vec<Vec<Live<Credential>>>,
    seen: Vec<Seen>,
    ended: Arc<AtomicBool>,
}

impl Crew {
    pub(crate) async fn start(fleet: &Arc<Fleet>) -> Self {
        let mut crew =
            Self { findings: Arc::default(), diallers: vec![], lives: vec![], seen: vec![], ended: Arc::default() };
        for group in GROUPS {
            let dialler = Dialler::new(&options(fleet, group)).unwrap();
            let seen = Seen::default();
            let mut lives = Vec::new();
            for habit in HABITS {
                let identity = format!("{habit}-{group}");
                let token = fleet.token(&identity, "consumer");
                let mut client = ClientOptions::new(fleet.url(), identity, token);
                client.poll = Duration::from_secs(1);
                client.backoff_max = Duration::from_secs(1);
                client.request_max = Duration::from_secs(5);
                let live = Client::new(client).unwrap().live(group).await.unwrap();
                remember(live.clone(), Arc::clone(&seen));
                let worker = Worker {
                    name: format!("{habit} of {group}"),
                    fleet: Arc::clone(fleet),
                    live: live.clone(),
                    findings: Arc::clone(&crew.findings),
                    ended: Arc::clone(&crew.ended),
                };
                match habit {
                    "pool" => drop(tokio::spawn(worker.pool(options(fleet, group)))),
                    _ => drop(tokio::spawn(worker.jobs(dialler.clone()))),
                }
                lives.push(live);
            }
            crew.diallers.push(dialler);
            crew.lives.push(lives);
            crew.seen.push(seen);
        }
        crew
    }

    /// What the store publishes logs in.
    pub(crate) async fn sample(&self, fleet: &Fleet, index: usize) {
        let before = fleet.outages();
        let Some(shown) = published(fleet, GROUPS[index]) else { return };
        let refusal = match self.diallers[index].dial(&shown).await {
            Ok(_) => {
                self.findings.samples.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Err(error) => error,
        };
        let moved = |now: Option<Credential>| now.is_none_or(|now| now.publication() != shown.publication());
        if !before.1 || fleet.outages() != before {
            self.findings.outages.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if moved(published(fleet, GROUPS[index])) {
            self.findings.overtaken.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.findings.harm(format!(
            "what the store publishes for {} (publication {}, generation {}) does not log in: {refusal}",
            GROUPS[index],
            shown.publication(),
            shown.generation()
        ));
    }

    /// Everything that a consumer of the group ever held.
    pub(crate) fn seen(&self, index: usize) -> Vec<Arc<Credential>> {
        self.seen[index].lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All values, as text, to look for where they must not be.
    pub(crate) fn values(&self) -> BTreeSet<String> {
        let all = (0..GROUPS.len()).flat_map(|index| self.seen(index));
        #[expect(clippy::disallowed_methods, reason = "a value is looked for in what must not contain it")]
        all.map(|credential| credential.value().expose_text().unwrap().to_owned()).collect()
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// What the store publishes, as one who only looks is told it. Nothing where the controller does not answer.
pub(crate) fn published(fleet: &Fleet, group: &str) -> Option<Credential> {
    let output = fleet.run("judge", &["get", group, "--peek", "--output", "json"]);
    let delivered: handover_api::Delivered =
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())?;
    Some(Credential::from(delivered))
}

fn options(fleet: &Fleet, group: &str) -> PostgresOptions {
    let ca = std::fs::read(fleet.rig.postgres.ca_path()).unwrap();
    let mut options = PostgresOptions::new("127.0.0.1", fleet.rig.postgres.port(), group, ca);
    options.connections_max = 3;
    // The machine may be slow; what is looked for is a refusal.
    options.dial_max = Duration::from_secs(30);
    // A refused login is a failure here, whatever newer credential may be on its way.
    options.newer_for = Duration::ZERO;
    options
}

fn remember(live: Live<Credential>, seen: Seen) {
    let keep = move |live: &Live<Credential>| {
        let current = live.current();
        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(current.generation(), current);
    };
    tokio::spawn(async move {
        let mut swaps = live.swaps();
        keep(&live);
        while swaps.changed().await.is_ok() {
            keep(&live);
        }
    });
}

struct Worker {
    name: String,
    fleet: Arc<Fleet>,
    live: Live<Credential>,
    findings: Arc<Findings>,
    ended: Arc<AtomicBool>,
}

impl Worker {
    async fn pool(self, options: PostgresOptions) {
        let pool = Pool::new(self.live.clone(), &options).unwrap();
        while !self.ended.load(Ordering::SeqCst) {
            let before = self.fleet.outages();
            let publication = self.live.current().publication();
            match pool.take().await {
                Ok(connection) => self.query(&connection, before).await,
                Err(error) => self.refused(&error, before, publication),
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn jobs(self, dialler: Dialler) {
        while !self.ended.load(Ordering::SeqCst) {
            let before = self.fleet.outages();
            let credential = self.live.current();
            match dialler.dial(&credential).await {
                Ok(client) => {
                    self.live.used(credential.publication());
                    self.query(&client, before).await;
                }
                Err(error) => self.refused(&error, before, credential.publication()),
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }

    async fn query(&self, client: &tokio_postgres::Client, before: (u64, bool)) {
        match client.query_one("SELECT count(*) FROM pg_class", &[]).await {
            Ok(_) => drop(self.findings.queries.fetch_add(1, Ordering::Relaxed)),
            Err(_) if self.outage_since(before) => drop(self.findings.outages.fetch_add(1, Ordering::Relaxed)),
            Err(error) => self.findings.harm(format!("a query of {} failed: {error}", self.name)),
        }
    }

    /// A login that began before a swap may come after the brake: it was made with what is not held any more.
    fn refused(&self, error: &DialError, before: (u64, bool), publication: u64) {
        let findings = &self.findings;
        if self.outage_since(before) {
            findings.outages.fetch_add(1, Ordering::Relaxed);
        } else if self.live.current().publication() != publication {
            findings.overtaken.fetch_add(1, Ordering::Relaxed);
        } else {
            findings.harm(format!("a login of {} failed: {error}", self.name));
        }
    }

    fn outage_since(&self, before: (u64, bool)) -> bool {
        !before.1 || self.fleet.outages() != before
    }
}
