//! A consumer for tests that judge a rotation from outside.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handover_sdk::postgres::{Dialler, Options as PostgresOptions};
use handover_sdk::{Client, Credential, Live, Options as ClientOptions};
use handover_testkit::rig::{DATABASE, GROUP, Rig};
use serde_json::Value;

pub const CONSUMER: &str = "consumer";
const PATIENCE: Duration = Duration::from_secs(120);

/// A consumer in this process: it follows the store and logs in all the time.
pub struct Consumer {
    pub live: Live<Credential>,
    pub dialler: Dialler,
    pub logins: Arc<AtomicU64>,
    pub refused: Arc<AtomicU64>,
}

impl Consumer {
    pub async fn start(rig: &Rig) -> Self {
        Self::named(rig, CONSUMER, Duration::from_millis(200)).await
    }

    /// The same under another name, and asking as often as that where the watch stream says nothing.
    pub async fn named(rig: &Rig, name: &str, poll: Duration) -> Self {
        let token = rig.token_file(name, "consumer").unwrap();
        let mut options = ClientOptions::new(rig.url(), name, token);
        options.poll = poll;
        options.backoff_max = Duration::from_millis(200);
        let live = Client::new(options).unwrap().live(GROUP).await.unwrap();
        let ca = std::fs::read(rig.postgres.ca_path()).unwrap();
        let dialler = Dialler::new(&PostgresOptions::new("127.0.0.1", rig.postgres.port(), DATABASE, ca)).unwrap();
        let consumer = Self { live, dialler, logins: Arc::default(), refused: Arc::default() };
        consumer.work();
        consumer
    }

    fn work(&self) {
        let (live, dialler) = (self.live.clone(), self.dialler.clone());
        let (logins, refused) = (Arc::clone(&self.logins), Arc::clone(&self.refused));
        tokio::spawn(async move {
            loop {
                let credential = live.current();
                match dialler.dial(&credential).await {
                    Ok(_) => {
                        live.used(credential.publication());
                        logins.fetch_add(1, Ordering::Relaxed);
                    }
                    // These rotations have no quiet time at all, so that a login which began before the swap may come
                    // after the brake. What the consumer still holds must be let in at any time.
                    Err(_) if live.current().publication() != credential.publication() => {}
                    Err(_) => {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }

    /// Waits until the consumer holds what the store publishes.
    pub async fn holds(&self, generation: u64) -> Arc<Credential> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let current = self.live.current();
            if current.generation() == generation {
                return current;
            }
            assert!(Instant::now() < limit, "holds generation {}, not {generation}", current.generation());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How the group stands.
pub fn status(rig: &Rig) -> Value {
    serde_json::from_str(&rig.succeed(&["status", GROUP, "--output", "json"]).unwrap()).unwrap()
}

/// Waits until the group stands like this.
pub async fn wait(rig: &Rig, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
    let limit = Instant::now() + PATIENCE;
    loop {
        let status = status(rig);
        if holds(&status) {
            return status;
        }
        assert!(Instant::now() < limit, "waited for {what}; last seen {status:#}\n{}", rig.said());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
