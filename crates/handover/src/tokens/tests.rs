use std::os::unix::fs::MetadataExt as _;

use jiff::ToSpan as _;

use super::*;

fn identity(name: &str) -> ConsumerId {
    ConsumerId::parse(name).unwrap()
}

fn terms(name: &str, grant: Grant, groups: &[&str]) -> Terms {
    Terms {
        identity: identity(name),
        grant,
        verbs: None,
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        expires_at: None,
    }
}

fn consumer(name: &str) -> Terms {
    terms(name, Grant::Consumer, &["orders"])
}

fn orders() -> GroupId {
    GroupId::parse("orders").unwrap()
}

#[test]
fn a_created_token_is_known_and_kept_as_a_hash_only() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let tokens = Tokens::open(&file).unwrap();
    let token = create(&file, &consumer("worker")).unwrap();
    let caller = tokens.caller(&token).expect("a running server knows a new token at once");
    assert_eq!((caller.identity.as_str(), caller.grant), ("worker", Grant::Consumer));
    assert!(caller.covers(&orders()));
    assert!(!caller.covers(&GroupId::parse("others").unwrap()));
    assert!(tokens.caller(&Secret::from_text("hnd_wrong".to_owned())).is_none());
    #[expect(clippy::disallowed_methods, reason = "looks for the token in the file")]
    let text = token.expose_text().unwrap().to_owned();
    assert!(text.starts_with(PREFIX) && text.len() == PREFIX.len() + 43);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&text));
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_revoked_token_stops_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let (one, two) = (create(&file, &consumer("one")).unwrap(), create(&file, &consumer("two")).unwrap());
    let tokens = Tokens::open(&file).unwrap();
    let caller = tokens.caller(&one).unwrap();
    let id = list(&file).unwrap()[0].id.clone();
    assert_eq!(revoke(&file, &Which::Id("nothing".to_owned())).unwrap().len(), 0);
    assert_eq!(revoke(&file, &Which::Id(id)).unwrap()[0].identity, identity("one"));
    assert!(tokens.caller(&one).is_none());
    assert!(!tokens.is_valid(&caller));
    assert!(tokens.caller(&two).is_some());
    let third = create(&file, &consumer("two")).unwrap();
    assert_eq!(revoke(&file, &Which::Identity(identity("two"))).unwrap().len(), 2);
    assert!(tokens.caller(&two).is_none() && tokens.caller(&third).is_none());
}

#[test]
fn an_expired_token_stops() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let tokens = Tokens::open(&file).unwrap();
    let until = |expires_at| Terms { expires_at: Some(expires_at), ..consumer("worker") };
    let now = Timestamp::now();
    let over = create(&file, &until(now - 1.second())).unwrap();
    assert!(tokens.caller(&over).is_none());
    let still = create(&file, &until(now + 1.hour())).unwrap();
    let caller = tokens.caller(&still).unwrap();
    assert!(tokens.is_valid(&caller));
    let ended = Entry { expires_at: Some(now), ..(*caller.entry).clone() };
    assert!(!tokens.is_valid(&Caller { entry: Arc::new(ended), ..caller }));
}

#[test]
fn a_certificate_is_known_by_exactly_one_of_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let tokens = Tokens::open(&file).unwrap();
    let san = |text: &str| San::parse(text).unwrap();
    let ends_at = Timestamp::now() + 1.hour();
    let certificate =
        |names: &[&str]| Certificate { names: names.iter().map(|name| San::parse(name).unwrap()).collect(), ends_at };
    let worker = certificate(&["spiffe://example.org/worker", "worker.internal"]);
    assert!(tokens.holder(&worker).is_none(), "a certificate without an entry grants nothing");
    admit(&file, &consumer("worker"), san("spiffe://example.org/worker")).unwrap();
    assert!(admit(&file, &consumer("other"), san("spiffe://example.org/worker")).is_err(), "a name has one entry");
    let caller = tokens.holder(&worker).unwrap();
    assert_eq!(caller.identity.as_str(), "worker");
    assert!(tokens.is_valid(&caller));
    for near in ["spiffe://example.org/worker2", "spiffe://example.org/Worker", "dns:spiffe", "spiffe://example.org/"] {
        assert!(tokens.holder(&certificate(&[near])).is_none(), "{near}");
    }
    let over = Certificate { ends_at: Timestamp::now() - 1.second(), ..worker.clone() };
    assert!(tokens.holder(&over).is_none(), "a connection outlives its certificate, the right does not");
    assert!(!tokens.is_valid(&Caller { certificate_ends_at: Some(over.ends_at), ..caller.clone() }));
    admit(&file, &consumer("other"), san("dns:worker.internal")).unwrap();
    assert!(tokens.holder(&worker).is_none(), "two entries: which is meant is not known");
    revoke(&file, &Which::Identity(identity("worker"))).unwrap();
    assert!(!tokens.is_valid(&caller));
    assert_eq!(tokens.holder(&worker).unwrap().identity.as_str(), "other");
}

#[test]
fn the_first_operator_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    create(&file, &consumer("worker")).unwrap();
    let made: Vec<bool> = std::thread::scope(|scope| {
        let make = |number: usize| {
            let file = &file;
            scope.spawn(move || create_first(file, &identity(&format!("op{number}"))).unwrap().is_some())
        };
        let threads: Vec<_> = (0..8).map(make).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.into_iter().filter(|made| *made).count(), 1);
    assert_eq!(list(&file).unwrap().len(), 2);
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let token = create(&file, &consumer("one")).unwrap();
    let tokens = Tokens::open(&file).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Tokens::open(&file).is_err());
    assert!(tokens.caller(&token).is_none(), "a running server refuses all");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(tokens.caller(&token).is_some());
    std::fs::write(&file, "{").unwrap();
    assert!(tokens.caller(&token).is_none());
}

#[test]
fn two_at_a_time_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let file = &file;
            scope.spawn(move || create(file, &consumer(&format!("c{number}"))).unwrap());
        }
    });
    let ids: BTreeSet<String> = list(&file).unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), 8);
}

#[test]
fn a_role_and_verbs_bound_what_its_holder_may() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    let tokens = Tokens::open(&file).unwrap();
    let caller = |terms: &Terms| tokens.caller(&create(&file, terms).unwrap()).unwrap();
    let viewer = caller(&terms("v", Grant::Viewer, &["*"]));
    let operator = caller(&terms("o", Grant::Operator, &["*"]));
    let consumer = caller(&terms("c", Grant::Consumer, &["*"]));
    assert!(viewer.covers(&orders()) && operator.covers(&orders()));
    assert!(!consumer.covers(&orders()), "a consumer names its groups");
    let verbs = Some(BTreeSet::from([Verb::Hold]));
    let narrow = caller(&Terms { verbs, ..terms("n", Grant::Operator, &["orders"]) });
    let may = |caller: &Caller| [Verb::Look, Verb::Plan, Verb::Hold, Verb::Force].map(|verb| caller.may(verb));
    assert_eq!(may(&viewer), [true, true, false, false]);
    assert_eq!(may(&operator), [true; 4]);
    assert_eq!(may(&consumer), [false; 4]);
    assert_eq!(may(&narrow), [true, false, true, false]);
}

#[tokio::test]
async fn those_who_wait_are_told_of_a_revocation_and_of_an_expiry() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens.json");
    create(&file, &consumer("one")).unwrap();
    let tokens = Arc::new(Tokens::open(&file).unwrap());
    let mut changes = tokens.changes();
    let drain = watch::Sender::new(false);
    let following = tokio::spawn({
        let (tokens, drain) = (tokens.clone(), drain.subscribe());
        async move { tokens.follow(drain).await }
    });
    let patience = Duration::from_secs(30);
    // The follower may have begun after the first change: then the second one is what it sees.
    revoke(&file, &Which::Identity(identity("one"))).unwrap();
    create(&file, &Terms { expires_at: Some(Timestamp::now() + 2.seconds()), ..consumer("two") }).unwrap();
    let tell = async {
        while changes.has_changed().is_ok() {
            changes.changed().await.unwrap();
            if list(&file).unwrap().iter().all(|entry| entry.is_over(Timestamp::now())) {
                break;
            }
        }
    };
    tokio::time::timeout(patience, tell).await.expect("told of the expiry");
    drain.send_replace(true);
    tokio::time::timeout(patience, following).await.expect("ends with the server").unwrap();
}
