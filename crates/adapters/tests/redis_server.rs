//! What only a real Redis shows: several nodes, users that are loaded from an older file, what is lost by a start, rights,
//! hostile names, and two who begin at the same moment.
#![cfg(all(feature = "target-postgres", feature = "target-redis"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::time::{Duration, Instant};

use handover_adapters::target::redis::Redis;
use handover_core::port::{Intent, Probe, State, Target, Verdict};
use handover_core::{
    Candidate, Effect, FaultKind, Generation, GroupId, Mark, Occupant, RowVersion, Slot, Tally, Touched,
};
use handover_secret::Secret;
use handover_testkit::servers::redis::{Twins, Users};
use handover_testkit::servers::{self, Certificates};
use support::block_on;
use support::redis::{build, config, with_redis};

const FIRST: Occupant = Occupant { generation: Generation(1), slot: Slot(0), candidate: Candidate(1) };
const SECOND: Occupant = Occupant { generation: Generation(2), slot: Slot(1), candidate: Candidate(1) };

fn value(text: &str) -> Secret {
    Secret::from_text(format!("canary-{text}"))
}

fn intent(group: &GroupId, who: Occupant, version: u64) -> Intent {
    let mark = Mark { generation: who.generation, version: RowVersion(version) };
    let effect = Effect::EnsureAccepted { who, mark };
    Intent { id: effect.id(group, who), who, mark }
}

/// A master and a replica, with the users of one group at both.
struct Pair {
    nodes: [servers::Redis; 2],
    users: Twins,
    group: GroupId,
    target: Redis,
}

impl Pair {
    fn start() -> Self {
        let certificates = Certificates::generate().unwrap();
        let master = servers::Redis::start_with(Users::AclFile, certificates.clone(), &[]).unwrap();
        let follow = [
            format!("replicaof 127.0.0.1 {}", master.port()),
            format!("masteruser {}", servers::redis::SUPERUSER),
            format!("masterauth {}", master.superuser_password()),
        ];
        let follow: Vec<&str> = follow.iter().map(String::as_str).collect();
        let replica = servers::Redis::start_with(Users::AclFile, certificates, &follow).unwrap();
        let users = master.create_users("pair").unwrap();
        replica.create_users_like(&users).unwrap();
        let group = GroupId::parse("pair").unwrap();
        let target = build(&master, &group, &users, &[master.port(), replica.port()]);
        Self { nodes: [master, replica], users, group, target }
    }

    /// Until the replica follows its master.
    async fn linked(&self) {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let info = format!("{:?}", self.nodes[0].superuser().await.unwrap().ask(&["INFO", "replication"]).await);
            if info.contains("state=online") {
                return;
            }
            assert!(Instant::now() < limit, "the replica does not follow: {info}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn lets_in(&self, node: usize, who: Occupant, value: &Secret) -> bool {
        let port = self.nodes[node].port();
        let alone = build(&self.nodes[0], &self.group, &self.users, &[port]);
        alone.probe(who, value, None).await == Ok(Probe::Accepted)
    }
}

/// F88: users are not replicated; each node is changed, asked and counted at.
#[test]
fn every_node_is_changed_and_one_that_is_left_out_is_found() {
    let pair = Pair::start();
    block_on(async {
        pair.linked().await;
        assert_eq!(pair.target.preflight().await, Ok(vec![]));
        let alone = build(&pair.nodes[0], &pair.group, &pair.users, &[pair.nodes[0].port()]);
        let findings = alone.preflight().await.unwrap();
        assert!(findings.len() == 1 && findings[0].kind == FaultKind::Misconfigured, "{findings:?}");
        assert!(findings[0].detail.contains("1 replicas follow"), "{findings:?}");

        let first = value("first");
        pair.target.create(&intent(&pair.group, FIRST, 1), &first).await.unwrap();
        for node in [0, 1] {
            assert!(pair.lets_in(node, FIRST, &first).await, "node {node}");
        }
        let password = first.duplicate();
        let session = pair.nodes[1].connect(&pair.users.twins[0], text(&password)).await.unwrap();
        assert_eq!(pair.target.observe(&[FIRST]).await, Ok(Tally::Some(1)), "a connection to a replica is seen");
        let sources = pair.target.sources(&[FIRST]).await.unwrap();
        assert_eq!(sources[0].address.as_deref(), Some("127.0.0.1"));
        pair.target.end_sessions(&[FIRST]).await.unwrap();
        assert!(session.ask(&["PING"]).await.is_err(), "and ended");
        pair.target.destroy(&intent(&pair.group, FIRST, 2)).await.unwrap();
        for node in [0, 1] {
            assert!(!pair.lets_in(node, FIRST, &first).await, "node {node}");
        }
    });
}

/// F88: a node loads its users from an older file. Verify finds it and the change is made again; at rest the census says
/// what is not in force everywhere, and preflight says where.
#[test]
fn a_node_that_falls_behind_is_found_and_mended() {
    let pair = Pair::start();
    block_on(async {
        pair.linked().await;
        let (first, second) = (value("first"), value("second"));
        pair.target.create(&intent(&pair.group, FIRST, 1), &first).await.unwrap();
        let older = std::fs::read(pair.nodes[1].path("users.acl")).unwrap();
        pair.target.create(&intent(&pair.group, SECOND, 2), &second).await.unwrap();
        assert_eq!(pair.target.verify(SECOND, &second, Some((FIRST, &first))).await, Ok(Verdict::Passed));

        std::fs::write(pair.nodes[1].path("users.acl"), &older).unwrap();
        pair.nodes[1].superuser().await.unwrap().ask(&["ACL", "LOAD"]).await.unwrap();
        let verdict = pair.target.verify(SECOND, &second, Some((FIRST, &first))).await;
        assert_eq!(verdict, Ok(Verdict::Refused { endpoint: "node-1".to_owned() }));
        let census = pair.target.census().await.unwrap();
        assert_eq!((census[1].generation, census[1].state), (None, State::Disabled), "{census:?}");
        let findings = pair.target.preflight().await.unwrap();
        assert!(findings.iter().any(|finding| finding.detail.contains("handover recover pair")), "{findings:?}");

        pair.target.create(&intent(&pair.group, SECOND, 2), &second).await.unwrap();
        assert_eq!(pair.target.verify(SECOND, &second, Some((FIRST, &first))).await, Ok(Verdict::Passed));
        assert_eq!(pair.target.preflight().await, Ok(vec![]));

        pair.target.disable(&intent(&pair.group, FIRST, 3)).await.unwrap();
        assert_eq!(pair.target.probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Refused));
        let on = ["ACL", "SETUSER", pair.users.twins[0].as_str(), "on"];
        pair.nodes[1].superuser().await.unwrap().ask(&on).await.unwrap();
        let probe = pair.target.probe(FIRST, &first, Some((SECOND, &second))).await;
        assert_eq!(probe, Ok(Probe::Accepted), "one node lets it in, so it is not refused");
    });
}

/// No node is touched before all of them were looked at; one that is gone makes *none* unknown.
#[test]
fn a_node_that_is_gone_stops_the_change_before_it_begins() {
    let pair = Pair::start();
    block_on(async {
        let first = value("first");
        pair.target.create(&intent(&pair.group, FIRST, 1), &first).await.unwrap();
        pair.nodes[1].stop();
        let fault = pair.target.disable(&intent(&pair.group, FIRST, 2)).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Unreachable, Touched::Nothing), "{fault}");
        assert!(pair.lets_in(0, FIRST, &first).await, "nothing was done at the other node");
        assert_eq!(pair.target.observe(&[FIRST]).await, Ok(Tally::Unknown));
        let verdict = pair.target.verify(FIRST, &first, None).await;
        assert_eq!(verdict.map_err(|fault| fault.kind), Err(FaultKind::Unreachable), "never a pass");
    });
}

/// What was changed is there after a start, wherever a node keeps its users; a node that keeps them nowhere is found.
#[test]
fn what_was_changed_outlives_a_start() {
    for users in [Users::AclFile, Users::Configuration, Users::Memory] {
        let server = servers::Redis::start_with(users, Certificates::generate().unwrap(), &[]).unwrap();
        let twins = server.create_users("kept").unwrap();
        let group = GroupId::parse("kept").unwrap();
        let target = build(&server, &group, &twins, &[server.port()]);
        let first = value("first");
        let findings = block(target.preflight()).unwrap();
        if users == Users::Memory {
            assert!(findings.iter().any(|finding| finding.detail.contains("aclfile")), "{findings:?}");
            let fault = block(target.create(&intent(&group, FIRST, 1), &first)).unwrap_err();
            assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Unknown), "{fault}");
            continue;
        }
        assert_eq!(findings, vec![], "{users:?}");
        block(target.create(&intent(&group, FIRST, 1), &first)).unwrap();
        server.restart().unwrap();
        assert_eq!(block(target.probe(FIRST, &first, None)), Ok(Probe::Accepted), "{users:?}");
        assert_eq!(block(target.census()).unwrap()[0].generation, Some(Generation(1)), "{users:?}");
        let log = server.log().unwrap();
        assert!(log.contains("GETUSER") && !log.contains("canary-"), "no value is shown to whoever watches");
    }
}

/// The change is in force, and could not be written down: that is told, and the same change again does both.
#[test]
fn a_list_that_cannot_be_written_down_is_told() {
    let server = servers::Redis::start().unwrap();
    let twins = server.create_users("full").unwrap();
    let group = GroupId::parse("full").unwrap();
    let target = build(&server, &group, &twins, &[server.port()]);
    let (file, aside) = (server.path("users.acl"), server.path("aside"));
    // A folder in its place cannot be replaced by a file.
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    let first = value("first");
    let fault = block(target.create(&intent(&group, FIRST, 1), &first)).unwrap_err();
    assert_eq!((fault.kind, fault.touched), (FaultKind::Storage, Touched::Unknown), "{fault}");
    std::fs::remove_dir_all(&file).unwrap();
    block(target.create(&intent(&group, FIRST, 1), &first)).unwrap();
    server.restart().unwrap();
    assert_eq!(block(target.probe(FIRST, &first, None)), Ok(Probe::Accepted));
}

/// S16: spaces, signs of rules, line feeds and NUL in names and values give nobody a right, and make no line of their own.
#[test]
fn hostile_names_and_values_are_taken_as_they_are_or_refused() {
    with_redis(|harness| async move {
        let suffix = servers::random_hex(8).unwrap();
        let users = Twins {
            twins: [format!(">p~*+@all{suffix}"), format!("ünï\"q'#!{suffix}")],
            admin: format!("(+@all){suffix}"),
            admin_password: "a b >c ~* +@all # !".to_owned(),
        };
        let server = std::sync::Arc::clone(&harness.server);
        let made = users.clone();
        tokio::task::spawn_blocking(move || server.create_users_like(&made)).await.unwrap().unwrap();
        let group = GroupId::parse(&format!("hostile{suffix}")).unwrap();
        let target = build(&harness.server, &group, &users, &[harness.server.port()]);
        assert_eq!(target.preflight().await, Ok(vec![]));
        let superuser = harness.server.superuser().await.unwrap();
        let before = format!("{:?}", superuser.ask(&["ACL", "USERS"]).await.unwrap());
        let hostile = ["a b", ">x", "~*", "+@all", "#", "!", "on nopass", "(+@all)", "\"'\\", "päss"];
        for (version, text) in (1..).zip(hostile) {
            let value = Secret::from_text(text.to_owned());
            target.create(&intent(&group, FIRST, version), &value).await.unwrap();
            assert_eq!(target.verify(FIRST, &value, None).await, Ok(Verdict::Passed), "{text:?}");
            let line = format!("{:?}", superuser.ask(&["ACL", "GETUSER", &users.twins[0]]).await.unwrap());
            assert!(!line.contains("nopass") && !line.contains("allcommands"), "{text:?}: {line}");
        }
        for text in ["", "a\0b", "a\nuser evil on nopass ~* +@all", "a\r\n", &"x".repeat(513)] {
            let value = Secret::from_text(text.to_owned());
            let fault = target.create(&intent(&group, FIRST, 99), &value).await.unwrap_err();
            assert_eq!((fault.kind, fault.touched), (FaultKind::Rejected, Touched::Nothing), "{text:?}");
        }
        let after = format!("{:?}", superuser.ask(&["ACL", "USERS"]).await.unwrap());
        assert_eq!(after, before, "nobody was made on the way");
        let file = std::fs::read_to_string(harness.server.path("users.acl")).unwrap();
        assert!(file.lines().all(|line| line.starts_with("user ")), "{file}");
        for bad in ["app evil", "app\nuser evil on nopass ~* +@all", "app\0", "app\t", "default", ""] {
            let mut config = config(&users, &[harness.server.port()]);
            config.twins[1] = bad.into();
            let password = Secret::from_text(users.admin_password.clone());
            let made = Redis::new(config, group.clone(), password, harness.server.ca_pem().as_bytes());
            assert_eq!(made.err().map(|fault| fault.kind), Some(FaultKind::Misconfigured), "{bad:?}");
        }
    });
}

/// S16: names of all kinds, drawn at random: each is refused here, or is one user there and no more.
#[test]
fn any_name_is_one_user_or_none() {
    with_redis(|harness| async move {
        let suffix = servers::random_hex(8).unwrap();
        let plain = Twins {
            twins: ["a", "b"].map(|twin| format!("fuzz{suffix}{twin}")),
            admin: format!("fuzz{suffix}admin"),
            admin_password: "canary-admin".to_owned(),
        };
        let server = std::sync::Arc::clone(&harness.server);
        let made = plain.clone();
        tokio::task::spawn_blocking(move || server.create_users_like(&made)).await.unwrap().unwrap();
        let superuser = harness.server.superuser().await.unwrap();
        let group = GroupId::parse(&format!("fuzz{suffix}")).unwrap();
        let mut names: Vec<String> = Vec::new();
        let seeds = ["app_a".to_owned(), "a b>c~*&*+@all(x)%R~".to_owned(), "ü\u{2028}\u{85}x".to_owned()];
        handover_testkit::mutate::texts(29, 150, &seeds, |text| names.push(text.to_owned()));
        let mut tried = 0;
        for name in names {
            let name = format!("{name}{suffix}");
            let mut config = config(&plain, &[harness.server.port()]);
            config.twins[1] = name.as_str().into();
            let password = Secret::from_text(plain.admin_password.clone());
            let Ok(target) = Redis::new(config, group.clone(), password, harness.server.ca_pem().as_bytes()) else {
                continue;
            };
            tried += 1;
            // The mark of what was never made makes a user, which may do nothing.
            target.destroy(&intent(&group, SECOND, 1)).await.unwrap();
            let found = superuser.ask(&["ACL", "GETUSER", &name]).await.unwrap();
            let found = format!("{found:?}");
            assert!(found.contains("\"off\"") || found.contains("off"), "{name:?}: {found}");
            superuser.ask(&["ACL", "DELUSER", &name]).await.unwrap();
        }
        assert!(tried > 20, "only {tried} names were taken");
        let file = std::fs::read_to_string(harness.server.path("users.acl")).unwrap();
        assert!(file.lines().all(|line| line.starts_with("user ")), "{file}");
        assert!(!file.contains("evil"), "{file}");
    });
}

/// Three find a user without a label. Whoever comes late with a lower mark is refused, whatever the order.
#[test]
fn a_first_change_is_fenced_too() {
    with_redis(|harness| async move {
        for _ in 0..20 {
            let group = harness.group().await;
            let others = [(); 2].map(|()| build(&harness.server, &group.id, &group.users, &[harness.server.port()]));
            let values = [value("low"), value("middle"), value("high")];
            let change = async |target: &Redis, version: u64, value: &Secret| {
                let intent = intent(&group.id, FIRST, version);
                loop {
                    match target.create(&intent, value).await {
                        Err(fault) if fault.kind == FaultKind::Busy => assert_eq!(fault.touched, Touched::Nothing),
                        outcome => return outcome,
                    }
                }
            };
            let (low, middle, high) = tokio::join!(
                change(&group.target, 1, &values[0]),
                change(&others[0], 2, &values[1]),
                change(&others[1], 3, &values[2]),
            );
            high.unwrap();
            for late in [low, middle] {
                if let Err(fault) = late {
                    assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "{fault}");
                }
            }
            assert!(group.consumer(FIRST.slot, &values[2]).await.is_some(), "the highest stands");
            assert!(group.consumer(FIRST.slot, &values[1]).await.is_none());
            let line = group.line(group.user(FIRST.slot)).await;
            assert_eq!(line.matches("#686e646f").count(), 1, "one label and no claim is left: {line}");
        }
    });
}

/// A claim that was left behind by somebody who was killed lets nobody in, and goes with the next change.
#[test]
fn what_a_killed_one_left_behind_goes() {
    with_redis(|harness| async move {
        let group = harness.group().await;
        let user = group.user(FIRST.slot).to_owned();
        let first = value("first");
        group.target.create(&intent(&group.id, FIRST, 1), &first).await.unwrap();
        let line = group.line(&user).await;
        let label = line.split(' ').find(|word| word.starts_with("#686e646f")).unwrap().to_owned();
        // State 0, and the rest of its own.
        let claim = format!("{}00{}{}", &label[..11], &label[13..33], "ab".repeat(16));
        group.ask(&["ACL", "SETUSER", &user, &claim]).await;
        assert_eq!(group.target.preflight().await, Ok(vec![]));
        group.target.disable(&intent(&group.id, FIRST, 2)).await.unwrap();
        assert_eq!(group.line(&user).await.matches("#686e646f").count(), 1);
        group.target.enable(&intent(&group.id, FIRST, 3)).await.unwrap();
        assert!(group.consumer(FIRST.slot, &first).await.is_some());
    });
}

/// What is wrong is named, with the command that mends it.
#[test]
fn preflight_names_what_is_wrong() {
    with_redis(|harness| async move {
        let cases: [(&[&str], FaultKind, &str); 8] = [
            (&["ACL", "SETUSER", "{admin}", "-acl|save"], FaultKind::NotPermitted, "+acl|save"),
            (&["ACL", "SETUSER", "{admin}", "-acl|setuser"], FaultKind::NotPermitted, "+acl|setuser"),
            (&["ACL", "SETUSER", "{admin}", "-acl|getuser"], FaultKind::NotPermitted, "+acl|getuser"),
            (&["ACL", "SETUSER", "{admin}", "-acl|dryrun"], FaultKind::NotPermitted, "+acl|dryrun"),
            (&["ACL", "SETUSER", "{a}", "on", "nopass"], FaultKind::Foreign, "resetpass"),
            (&["ACL", "SETUSER", "{a}", "on", ">somebody's"], FaultKind::Foreign, "no label"),
            (&["ACL", "SETUSER", "{a}", "-get"], FaultKind::Misconfigured, "rule -get"),
            (&["ACL", "DELUSER", "{b}"], FaultKind::Missing, "does not exist"),
        ];
        for (command, kind, words) in cases {
            let group = harness.group().await;
            let name = |word: &str| {
                let Twins { twins: [a, b], admin, .. } = &group.users;
                word.replace("{admin}", admin).replace("{a}", a).replace("{b}", b)
            };
            let command: Vec<String> = command.iter().map(|word| name(word)).collect();
            group.ask(&command.iter().map(String::as_str).collect::<Vec<_>>()).await;
            let findings = group.target.preflight().await.unwrap();
            let found = findings.iter().any(|finding| finding.kind == kind && finding.detail.contains(words));
            assert!(found, "{command:?}: {findings:?}");
        }
    });
}

/// A twin that may less than the one in use will not do, and is told what it lacks.
#[test]
fn a_twin_with_other_rules_is_unfit() {
    with_redis(|harness| async move {
        let group = harness.group().await;
        let (first, second) = (value("first"), value("second"));
        group.target.create(&intent(&group.id, FIRST, 1), &first).await.unwrap();
        group.target.create(&intent(&group.id, SECOND, 2), &second).await.unwrap();
        group.ask(&["ACL", "SETUSER", group.user(FIRST.slot), "~more:*", "&more"]).await;
        group.ask(&["ACL", "SETUSER", group.user(SECOND.slot), "-get"]).await;
        let Ok(Verdict::Unfit { missing }) = group.target.verify(SECOND, &second, Some((FIRST, &first))).await else {
            panic!("it must be unfit");
        };
        for lacks in ["~more:*", "&more", "-get"] {
            assert!(missing.iter().any(|word| word.contains(lacks)), "{lacks}: {missing:?}");
        }
        group.ask(&["ACL", "SETUSER", group.user(SECOND.slot), "+get"]).await;
        let other = group.target.verify(FIRST, &first, Some((SECOND, &second))).await;
        assert_eq!(other, Ok(Verdict::Passed), "what it may do beyond that is no difference");
    });
}

/// S37: nothing is sent without TLS, or to a stranger; and what is wrong is said.
#[test]
fn a_stranger_is_not_spoken_to() {
    let server = servers::Redis::start_with(Users::AclFile, Certificates::generate().unwrap(), &[]).unwrap();
    let users = server.create_users("tls").unwrap();
    let group = GroupId::parse("tls").unwrap();
    let strange = Certificates::generate().unwrap();
    let password = || Secret::from_text(users.admin_password.clone());
    let ports = [server.port()];
    let target = Redis::new(config(&users, &ports), group.clone(), password(), strange.ca_pem.as_bytes()).unwrap();
    let fault = block(target.census()).unwrap_err();
    assert!(fault.kind == FaultKind::Misconfigured && fault.detail.contains("ca_file"), "{fault}");

    let target = Redis::new(config(&users, &ports), group, password(), server.ca_pem().as_bytes()).unwrap();
    server.execute(&[&["CONFIG", "SET", "tls-auth-clients", "yes"]]).unwrap();
    let fault = block(target.census()).unwrap_err();
    assert!(fault.kind == FaultKind::Misconfigured && fault.detail.contains("tls-auth-clients"), "{fault}");
}

fn block<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.unwrap() })
}

fn text(value: &Secret) -> &str {
    #[expect(clippy::disallowed_methods, reason = "a consumer presents the value")]
    let text = value.expose_text();
    text.unwrap()
}
