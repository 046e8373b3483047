//! How the PostgreSQL target gets on with endpoints beside its primary: real replicas, a real PgBouncer, and one that is
//! none.
#![cfg(feature = "target-postgres")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::target::postgres::{ChannelBinding, Config, Endpoint, EndpointKind, Postgres};
use handover_core::port::{Intent, Target, Verdict};
use handover_core::{
    Candidate, Effect, FaultKind, Generation, GroupId, Mark, Occupant, RowVersion, Slot, Tally, Touched,
};
use handover_secret::Secret;
use handover_testkit::servers::{
    self, Certificates, Interceptor, PgBouncer, Trick, pgbouncer::Users, postgres::Options,
};
use support::{Group, PostgresHarness, block_on, build, config, with_server};

const FIRST: Occupant = Occupant { generation: Generation(1), slot: Slot(0), candidate: Candidate(1) };
const SECOND: Occupant = Occupant { generation: Generation(2), slot: Slot(1), candidate: Candidate(1) };

fn intent(group: &GroupId, who: Occupant, version: u64) -> Intent {
    let mark = Mark { generation: Generation(2), version: RowVersion(version) };
    Intent { id: Effect::EnsureAccepted { who, mark }.id(group, who), who, mark }
}

fn value(text: &str) -> Secret {
    Secret::from_text(format!("canary-{text}"))
}

/// The group's server, and a pooler at `port`.
fn pooled(group: &Group, port: u16, channel_binding: ChannelBinding) -> Config {
    let mut config = config(&group.roles, &group.database, &[group.server.port()]);
    config.endpoints.push(Endpoint {
        name: "pool".to_owned(),
        host: "localhost".to_owned(),
        port,
        required: true,
        kind: Some(EndpointKind::Pooler),
        channel_binding,
    });
    config
}

fn target(group: &Group, pooler: &PgBouncer) -> Postgres {
    build(&group.server, &group.id, &group.roles, pooled(group, pooler.port(), ChannelBinding::Prefer))
}

async fn in_front(group: &Group, users: Users) -> PgBouncer {
    let (server, database) = (Arc::clone(&group.server), group.database.clone());
    tokio::task::spawn_blocking(move || PgBouncer::start(&server, &database, users)).await.unwrap().unwrap()
}

async fn eventually<F: Future<Output = bool>>(wanted: &str, mut good: impl FnMut() -> F) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !good().await {
        assert!(Instant::now() < limit, "waited for {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn applied(group: &Group, who: Occupant, version: u64, value: &Secret) {
    group.target.create(&intent(&group.id, who, version), value).await.unwrap();
}

/// The server is asked at each login: what it knows, the pooler knows.
#[test]
fn a_pooler_that_asks_the_server_lets_a_candidate_in_at_once() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let pooler = in_front(&group, Users::Asked).await;
        let target = target(&group, &pooler);
        assert_eq!(target.preflight().await, Ok(vec![]));
        let (first, second) = (value("first"), value("second"));
        applied(&group, FIRST, 1, &first).await;
        assert_eq!(target.verify(FIRST, &first, None).await, Ok(Verdict::Passed), "{}", pooler.log());
        applied(&group, SECOND, 2, &second).await;
        assert_eq!(target.verify(SECOND, &second, Some((FIRST, &first))).await, Ok(Verdict::Passed));
        // The same user again, with another password.
        let again = value("again");
        applied(&group, SECOND, 3, &again).await;
        let verdict = target.verify(SECOND, &again, Some((FIRST, &first))).await;
        assert_eq!(verdict, Ok(Verdict::Passed), "{}", pooler.log());
        assert!(!pooler.log().contains("canary"), "{}", pooler.log());
    });
}

/// F15: the server lets the candidate in, and the pooler works with an older copy of the users.
#[test]
fn a_pooler_with_an_older_copy_of_the_users_is_named() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let pooler = in_front(&group, Users::Copied).await;
        let target = target(&group, &pooler);
        let (first, second) = (value("first"), value("second"));
        applied(&group, FIRST, 1, &first).await;
        let refused = |verdict: Result<Verdict, handover_core::Fault>, words: &str| {
            let fault = verdict.unwrap_err();
            assert_eq!((fault.kind, fault.touched), (FaultKind::Missing, Touched::Nothing), "{fault}");
            assert!(fault.detail.contains("pooler pool refused") && fault.detail.contains(words), "{fault}");
        };
        refused(target.verify(FIRST, &first, None).await, "no other generation to compare with");
        pooler.copy_users(&group.server).await.unwrap();
        let passes = async || target.verify(FIRST, &first, None).await == Ok(Verdict::Passed);
        eventually("the pooler to have read its file", passes).await;
        applied(&group, SECOND, 2, &second).await;
        refused(target.verify(SECOND, &second, Some((FIRST, &first))).await, "and let in the current generation");
        refused(
            target.verify(SECOND, &second, Some((FIRST, &value("wrong")))).await,
            "and the current generation as well",
        );
        pooler.copy_users(&group.server).await.unwrap();
        eventually("the pooler to have read its file", async || {
            target.verify(SECOND, &second, Some((FIRST, &first))).await == Ok(Verdict::Passed)
        })
        .await;
        // A user that is disabled at the server is refused through the pooler, too, though its file still has it.
        group.target.disable(&intent(&group.id, FIRST, 3)).await.unwrap();
        eventually("the pooler to have given up its sessions", async || {
            target.verify(FIRST, &first, Some((SECOND, &second))).await != Ok(Verdict::Passed)
        })
        .await;
    });
}

#[test]
fn a_pooler_without_a_binding_must_be_let_off_it() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let pooler = in_front(&group, Users::Asked).await;
        let bound = pooled(&group, pooler.port(), ChannelBinding::Require);
        let target = build(&group.server, &group.id, &group.roles, bound);
        let first = value("first");
        applied(&group, FIRST, 1, &first).await;
        let findings = target.preflight().await.unwrap();
        let fault = target.verify(FIRST, &first, None).await.unwrap_err();
        for found in findings.iter().chain([&fault]) {
            assert_eq!((found.kind, found.touched), (FaultKind::Misconfigured, Touched::Nothing), "{found}");
            assert!(found.detail.contains("channel_binding = \"prefer\""), "{found}");
        }
        assert_eq!(findings.len(), 1, "{findings:?}");
        drop(pooler);
        let kinds = |found: Vec<handover_core::Fault>| found.iter().map(|found| found.kind).collect::<Vec<_>>();
        assert_eq!(target.preflight().await.map(kinds), Ok(vec![FaultKind::Unreachable]));
    });
}

/// What a pooler holds for its clients is seen where it logs in. Our own user never logs in at a pooler.
#[test]
fn sessions_through_a_pooler_are_seen_at_the_server() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let pooler = in_front(&group, Users::Asked).await;
        let target = target(&group, &pooler);
        let first = value("first");
        applied(&group, FIRST, 1, &first).await;
        assert_eq!(target.observe(&[FIRST]).await, Ok(Tally::None));
        #[expect(clippy::disallowed_methods, reason = "a consumer presents the value")]
        let password = first.expose_text().unwrap();
        let role = group.role(FIRST.slot);
        let client = pooler.connect(&group.server, role, password, &group.database).await.unwrap();
        client.simple_query("SELECT 1").await.unwrap();
        assert_eq!(target.observe(&[FIRST]).await, Ok(Tally::Some(1)), "a session that is idle in the pool counts");
        drop(client);
        eventually("the pool to give it up", async || target.observe(&[FIRST]).await == Ok(Tally::None)).await;
        assert!(!pooler.log().contains(&group.roles.admin), "{}", pooler.log());
    });
}

/// S37, S38, S39: one that pretends to be the pooler, and whose certificate is trusted, learns nothing where no binding is
/// required, and lets nobody conclude anything.
#[test]
fn a_pooler_that_is_none_gets_no_password() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let own = Certificates::generate().unwrap();
        let first = value("first");
        applied(&group, FIRST, 1, &first).await;
        let trusted = format!("{}{}", group.server.ca_pem(), own.ca_pem);
        let tricks = [
            Trick::NoTls,
            Trick::OwnCertificate,
            Trick::NoBinding,
            Trick::AskForClearText,
            Trick::AskForMd5,
            Trick::AskForNothing,
        ];
        for trick in tricks {
            let middle = Interceptor::start(group.server.port(), group.server.ca_pem(), &own, trick).unwrap();
            let config = pooled(&group, middle.port(), ChannelBinding::Prefer);
            let password = Secret::from_text(group.roles.admin_password.clone());
            let target = Postgres::new(config, group.id.clone(), password, trusted.as_bytes()).unwrap();
            let verdict = target.verify(FIRST, &first, None).await;
            assert!(verdict.is_err(), "{trick:?}: {verdict:?}");
            let heard = String::from_utf8_lossy(&middle.heard()).into_owned();
            assert!(!heard.contains("canary") && !heard.contains("md5"), "{trick:?}: {heard}");
            assert!(!heard.contains(&group.roles.admin), "{trick:?}: our own user stays away: {heard}");
        }
    });
}

/// F09: an asynchronous replica without the change is named while it is behind, and as soon as it was promoted beside the
/// primary. Where it takes the primary's place, the change is found to be lost, and the same one is made again.
#[test]
fn a_replica_that_is_promoted_without_the_change_is_found() {
    let server = Arc::new(servers::Postgres::start(&Options::default()).unwrap());
    let replica = server.replica().unwrap();
    block_on(async move {
        let group = PostgresHarness::on(&server).group().await;
        eventually("the replica to follow", async || replica.superuser(&group.database).await.is_ok()).await;
        let beside = group.target_at(&[server.port(), replica.port()]);
        let (first, second) = (value("first"), value("second"));
        applied(&group, FIRST, 1, &first).await;
        assert_eq!(
            beside.verify(FIRST, &first, None).await,
            Ok(Verdict::Passed),
            "a round waits for what is on its way"
        );

        let superuser = replica.superuser("postgres").await.unwrap();
        superuser.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
        superuser.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("the replica to receive nothing", async || {
            superuser.query("SELECT 1 FROM pg_stat_wal_receiver", &[]).await.unwrap().is_empty()
        })
        .await;
        applied(&group, SECOND, 2, &second).await;
        let control = Some((FIRST, &first));
        let fault = beside.verify(SECOND, &second, control).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Busy, Touched::Nothing), "{fault}");
        assert!(fault.detail.contains("replica-1 has not replayed"), "{fault}");

        superuser.query("SELECT pg_promote()", &[]).await.unwrap();
        let fault = beside.verify(SECOND, &second, control).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Misconfigured, Touched::Nothing), "{fault}");
        assert!(fault.detail.contains("was promoted"), "{fault}");
        assert!(!replica.log().contains("password authentication failed"), "no login was spent on it");

        server.stop().unwrap();
        let instead = group.target_at(&[replica.port()]);
        let verdict = instead.verify(SECOND, &second, control).await;
        assert_eq!(verdict, Ok(Verdict::Refused { endpoint: "primary".to_owned() }));
        instead.create(&intent(&group.id, SECOND, 3), &second).await.unwrap();
        assert_eq!(instead.verify(SECOND, &second, control).await, Ok(Verdict::Passed));
    });
}

/// F10: it is found at any endpoint that is said to be a primary.
#[test]
fn a_replica_that_is_called_a_primary_is_told_apart() {
    let server = Arc::new(servers::Postgres::start(&Options::default()).unwrap());
    let replica = server.replica().unwrap();
    block_on(async move {
        let group = PostgresHarness::on(&server).group().await;
        let mut config = config(&group.roles, &group.database, &[server.port(), replica.port()]);
        config.endpoints[1].kind = Some(EndpointKind::Primary);
        let target = build(&server, &group.id, &group.roles, config);
        let first = value("first");
        applied(&group, FIRST, 1, &first).await;
        eventually("the replica to follow", async || replica.superuser(&group.database).await.is_ok()).await;
        let findings = target.preflight().await.unwrap();
        let fault = target.verify(FIRST, &first, None).await.unwrap_err();
        for found in findings.iter().chain([&fault]) {
            assert_eq!((found.kind, found.touched), (FaultKind::ReadOnly, Touched::Nothing), "{found}");
            assert!(found.detail.contains("kind = \"replica\""), "{found}");
        }
    });
}
