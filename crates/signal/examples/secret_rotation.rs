//! A chain of reactive values: a store, a configuration that follows from it, credentials of one client, and a connection
//! that is made anew when what it was made of changed.
//!
//! ```console
//! $ cargo run -p handover-signal --example secret_rotation
//! ```
//!
//! Three rotations: one asked for, one by the clock, and one that moves the endpoint and the key together. The client
//! declares nothing but what it reads. It connects four times in all, and never to the new endpoint with the old key.
#![expect(clippy::print_stdout, reason = "an example that says what happens")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use handover_signal::{Credentials, Graph, Keys, Published, Retry, ScopedCredentials, Signal, masked};

const LIMIT: Duration = Duration::from_secs(10);

/// Where lines go.
type Say = Arc<dyn Fn(String) + Send + Sync>;

fn main() -> Result<(), Box<dyn Error>> {
    run(&(Arc::new(|line| println!("{line}")) as Say))
}

/// The whole of it, line by line.
pub(crate) fn run(say: &Say) -> Result<(), Box<dyn Error>> {
    let audit = Arc::clone(say);
    let graph = Graph::with_audit(move |rerun| {
        let causes: Vec<String> = rerun.causes.iter().map(|cause| cause.name.clone()).collect();
        let because = if causes.is_empty() { "at first".to_owned() } else { causes.join(", ") };
        audit(format!("  audit: {} ran, {because}: {:?}", rerun.name, rerun.outcome));
    });
    let vault = Vault::new(&graph, say);
    let world = World::default();
    world.accepts("db-1", &vault.mint("1st"));
    vault.publish(&vault.mint("1st"));

    say("start".to_owned());
    let client = client(&graph, &vault, &world, say);

    say("rotation 1: asked for".to_owned());
    world.accepts("db-1", &vault.mint("2nd"));
    vault.publish(&vault.mint("2nd"));

    say("rotation 2: by the clock".to_owned());
    world.accepts("db-1", &vault.mint("3rd"));
    by_the_clock(Duration::from_millis(10), || vault.publish(&vault.mint("3rd")))?;

    say("rotation 3: endpoint and key".to_owned());
    world.accepts("db-2", &vault.mint("4th"));
    graph.batch(|| {
        vault.endpoint.set("db-2".to_owned());
        vault.publish(&vault.mint("4th"));
        Ok::<(), Box<dyn Error>>(())
    })?;

    if !graph.settled(LIMIT) {
        return Err("the client is still at work".into());
    }
    let (connects, refused) = world.counts();
    say(format!("{connects} connects, {refused} refused, the client is {:?}", client.health()));
    drop(client);
    say(format!("{:?}", vault.keys.latest("db.prod.api_key")));
    Ok(())
}

/// Connects whenever the endpoint or the key changed, and closes what it had before.
fn client(graph: &Graph, vault: &Vault, world: &World, say: &Say) -> handover_signal::Effect {
    let credentials = Credentials::new(&vault.keys);
    credentials.permit("db-client", "api_key", "db.prod.api_key", "db-1");
    credentials.permit("db-client", "api_key", "db.prod.api_key", "db-2");
    let view: ScopedCredentials<Published<String>> = credentials.scope("db-client");
    let config = {
        let endpoint = vault.endpoint.clone();
        graph.computed("config", move |scope| format!("postgres://{}:5432", endpoint.get(scope)))
    };
    let (endpoint, world, say) = (vault.endpoint.clone(), world.clone(), Arc::clone(say));
    graph.effect_with("db-client", Retry::never(), move |scope| -> Result<(), Box<dyn Error + Send + Sync>> {
        let (config, endpoint) = (config.get(scope)?, endpoint.get(scope));
        let key = view.get(scope, "api_key", &endpoint)?;
        world.connect(&endpoint, key.value())?;
        say(format!("  connected to {config} with {}", key.masked()));
        let say = Arc::clone(&say);
        scope.on_cleanup(move || say(format!("  closed the connection to {config} with {}", key.masked())));
        Ok(())
    })
}

/// Where secrets are published.
struct Vault {
    endpoint: Signal<String>,
    keys: Keys<Published<String>>,
    publications: Mutex<u64>,
    say: Say,
}

impl Vault {
    fn new(graph: &Graph, say: &Say) -> Self {
        let (endpoint, keys) = (graph.signal("endpoint", "db-1".to_owned()), Keys::new(graph));
        Self { endpoint, keys, publications: Mutex::new(0), say: Arc::clone(say) }
    }

    /// A token that says which it is. A real one is random.
    fn mint(&self, which: &str) -> String {
        format!("sk-i{which:-<13}live")
    }

    fn publish(&self, key: &str) {
        let mut publications = self.publications.lock().unwrap_or_else(PoisonError::into_inner);
        *publications += 1;
        let publication = *publications;
        drop(publications);
        (self.say)(format!("  published {publication}: {}", masked(key)));
        self.keys.set("db.prod.api_key", Published::new(publication, key.to_owned()));
    }
}

/// The databases: each accepts one key, and counts who came.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Databases>>);

#[derive(Default)]
struct Databases {
    accepted: BTreeMap<String, String>,
    connects: u32,
    refused: u32,
}

impl World {
    fn accepts(&self, endpoint: &str, key: &str) {
        self.with(|databases| databases.accepted.insert(endpoint.to_owned(), key.to_owned()));
    }

    fn connect(&self, endpoint: &str, key: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.with(|databases| {
            if databases.accepted.get(endpoint).is_none_or(|accepted| accepted != key) {
                databases.refused += 1;
                return Err(format!("{endpoint} refuses the key").into());
            }
            databases.connects += 1;
            Ok(())
        })
    }

    fn counts(&self) -> (u32, u32) {
        self.with(|databases| (databases.connects, databases.refused))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Databases) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Does something on another thread when its time has come, and waits for it.
fn by_the_clock(after: Duration, rotate: impl FnOnce() + Send) -> Result<(), Box<dyn Error>> {
    let (_keep, never) = mpsc::channel::<()>();
    thread::scope(|threads| {
        let clock = threads.spawn(move || {
            // Nobody sends: it is the time that ends this.
            let _ = never.recv_timeout(after);
            rotate();
        });
        clock.join().map_err(|_| "the clock stopped".into())
    })
}
