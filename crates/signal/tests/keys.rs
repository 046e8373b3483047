//! Keys, sections of keys, and views of credentials.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use handover_signal::{CredentialFault, Credentials, Effect, Graph, Keys, Published, Stats};

type Seen = Arc<Mutex<Vec<Vec<(String, u32)>>>>;

/// An effect that reads a section, and what it saw.
fn reader(graph: &Graph, keys: &Keys<u32>, section: &'static str) -> (Effect, Seen) {
    let seen = Seen::default();
    let (keys, into) = (keys.clone(), Arc::clone(&seen));
    let effect = graph.effect(section, move |scope| {
        let found = keys.section(scope, section).into_iter().map(|(key, value)| (key, *value)).collect();
        into.lock().unwrap().push(found);
    });
    (effect, seen)
}

#[test]
fn a_key_runs_its_readers_and_those_of_the_sections_above() {
    let graph = Graph::new();
    let keys = Keys::new(&graph);
    keys.set("db.prod.password", 1);
    keys.set("db.test.password", 2);
    let (_all, all) = reader(&graph, &keys, "*");
    let (_prod, prod) = reader(&graph, &keys, "db.prod.*");
    let (_other, other) = reader(&graph, &keys, "db.pro");
    keys.set("db.test.password", 3);
    assert_eq!((all.lock().unwrap().len(), prod.lock().unwrap().len()), (2, 1));
    keys.set("db.prod.user", 4);
    keys.set("db.prod.user", 4);
    keys.remove("db.prod.password");
    keys.remove("db.prod.password");
    keys.remove("never.there");
    let entry = |key: &str, value| (key.to_owned(), value);
    let (password, user) = (entry("db.prod.password", 1), entry("db.prod.user", 4));
    assert_eq!(*prod.lock().unwrap(), [vec![password.clone()], vec![password, user.clone()], vec![user]]);
    assert_eq!(all.lock().unwrap().len(), 4);
    assert_eq!(other.lock().unwrap().len(), 1, "a section ends at a dot");
    assert_eq!(keys.latest("db.prod.user").as_deref(), Some(&4));
    assert_eq!(keys.latest("db.prod.password"), None);
}

#[test]
fn a_key_that_comes_in_a_batch_that_fails_comes_later() {
    let graph = Graph::new();
    let keys = Keys::new(&graph);
    let (_effect, seen) = reader(&graph, &keys, "db");
    let failed = graph.batch(|| {
        keys.set("db.key", 1);
        Err::<(), ()>(())
    });
    assert!(failed.is_err());
    assert_eq!(seen.lock().unwrap().len(), 1);
    keys.set("db.key", 2);
    assert_eq!(seen.lock().unwrap().last(), Some(&vec![("db.key".to_owned(), 2)]));
}

#[test]
fn several_keys_in_a_batch_are_one_change_of_their_section() {
    let graph = Graph::new();
    let keys = Keys::new(&graph);
    let (effect, seen) = reader(&graph, &keys, "db");
    let done: Result<(), ()> = graph.batch(|| {
        keys.set("db.user", 1);
        keys.set("db.password", 2);
        Ok(())
    });
    assert!(done.is_ok());
    assert_eq!(seen.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [0, 2]);
    drop(effect);
    drop(keys);
    assert_eq!(graph.stats(), Stats::default());
}

#[test]
fn a_view_reads_what_is_permitted_and_says_why_not() {
    let graph = Graph::new();
    let keys: Keys<Published<String>> = Keys::new(&graph);
    let credentials = Credentials::new(&keys);
    credentials.permit("db-client", "api_key", "db.prod.api_key", "db.internal");
    credentials.permit("db-client", "api_key", "db.prod.api_key", "replica.internal");
    let view = credentials.scope("db-client");
    let get = |name: &str, target: &str| graph.snapshot(|scope| view.get(scope, name, target).map(|key| key.masked()));
    assert_eq!(
        get("api_key", "db.internal").unwrap_err().to_string(),
        "nothing is at db.prod.api_key: publish it, or correct the key of db-client's permit"
    );
    keys.set("db.prod.api_key", Published::new(1, "sk-i3r8a7m2k9q4x1live".to_owned()));
    assert_eq!(get("api_key", "db.internal").as_deref(), Ok("sk-i****live"));
    assert_eq!(get("api_key", "replica.internal").as_deref(), Ok("sk-i****live"));
    assert!(matches!(get("api_key", "evil.example"), Err(CredentialFault::OtherTarget { .. })));
    assert!(matches!(get("root", "db.internal"), Err(CredentialFault::OutsideScope { .. })));
    let stranger = credentials.scope("stranger");
    let refused = graph.snapshot(|scope| stranger.get(scope, "api_key", "db.internal").is_err());
    assert!(refused);
}

#[test]
fn secrets_are_compared_by_publication_and_never_shown() {
    let graph = Graph::new();
    let keys: Keys<Published<&str>> = Keys::new(&graph);
    let runs = Arc::new(Mutex::new(Vec::new()));
    let _effect = {
        let (keys, runs) = (keys.clone(), Arc::clone(&runs));
        graph.effect("reader", move |scope| {
            let publication = keys.get(scope, "key").map(|key| key.publication());
            runs.lock().unwrap().push(publication);
        })
    };
    keys.set("key", Published::new(1, "hunter2"));
    keys.set("key", Published::new(1, "hunter2 in another coding"));
    keys.set("key", Published::new(2, "hunter2"));
    assert_eq!(*runs.lock().unwrap(), [None, Some(1), Some(2)]);
    let shown = format!("{:?} {keys:?} {graph:?}", keys.latest("key"));
    assert!(shown.contains("[redacted]") && !shown.contains("hunter2"), "{shown}");
    assert_eq!(Published::new(1, "hunter2").masked(), "[redacted]");
}
