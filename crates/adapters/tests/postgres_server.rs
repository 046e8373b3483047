//! How the PostgreSQL target gets on with its server: replicas, outages, crowds, hostile names and hostile servers.
#![cfg(feature = "target-postgres")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover_adapters::target::postgres::Postgres;
use handover_core::port::{Intent, Probe, Target, Verdict};
use handover_core::{
    Candidate, Effect, FaultKind, Generation, GroupId, Mark, Occupant, RowVersion, Slot, Tally, Touched,
};
use handover_secret::Secret;
use handover_testkit::servers::{self, Certificates, postgres::Options, postgres::Roles};
use postgres_protocol::escape::{escape_identifier, escape_literal};
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

async fn eventually<F: Future<Output = bool>>(wanted: &str, mut good: impl FnMut() -> F) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !good().await {
        assert!(Instant::now() < limit, "waited for {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// F10: no change is sent to it.
#[test]
fn a_replica_is_found_before_a_change_is_tried() {
    let server = Arc::new(servers::Postgres::start(&Options::default()).unwrap());
    let replica = server.replica().unwrap();
    block_on(async move {
        let group = PostgresHarness::on(&server).group().await;
        eventually("the replica to follow", || async { replica.superuser(&group.database).await.is_ok() }).await;
        let wrong = group.target_at(&[replica.port()]);
        let findings = wrong.preflight().await.unwrap();
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FaultKind::ReadOnly]);
        let fault = wrong.create(&intent(&group.id, FIRST, 1), &value("never")).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::ReadOnly, Touched::Nothing), "{fault}");
        let log = replica.log();
        assert!(!log.contains("ALTER ROLE"), "no change was sent to the replica");
        assert!(log.contains("transaction_read_only"), "it was asked");
    });
}

/// F43: one endpoint that cannot be asked makes use unknown.
#[test]
fn every_endpoint_is_asked_and_one_that_is_down_makes_use_unknown() {
    let server = Arc::new(servers::Postgres::start(&Options::default()).unwrap());
    let replica = server.replica().unwrap();
    block_on(async move {
        let group = PostgresHarness::on(&server).group().await;
        let target = group.target_at(&[server.port(), replica.port()]);
        let (first, second) = (value("first"), value("second"));
        target.create(&intent(&group.id, FIRST, 1), &first).await.unwrap();
        target.create(&intent(&group.id, SECOND, 2), &second).await.unwrap();
        eventually("both endpoints to let the candidate in", || async {
            target.verify(SECOND, &second, Some((FIRST, &first))).await == Ok(Verdict::Passed)
        })
        .await;
        assert_eq!(target.preflight().await, Ok(vec![]));

        let nobody = || async { target.observe(&[FIRST]).await == Ok(Tally::None) };
        eventually("nobody to use the first generation", nobody).await;
        #[expect(clippy::disallowed_methods, reason = "a consumer presents the value")]
        let password = first.expose_text().unwrap();
        let session = replica.connect(group.role(FIRST.slot), password, &group.database).await.unwrap();
        assert_eq!(target.observe(&[FIRST]).await, Ok(Tally::Some(1)), "a session at the replica alone is seen");
        drop(session);
        eventually("nobody to use the first generation", nobody).await;

        replica.stop().unwrap();
        assert_eq!(target.observe(&[FIRST]).await, Ok(Tally::Unknown), "unknown is not none");
        let session = group.consumer(FIRST.slot, &first).await.unwrap();
        assert!(matches!(target.observe(&[FIRST]).await, Ok(Tally::Some(_))), "what is seen elsewhere is seen");
        drop(session);
        let verdict = target.verify(SECOND, &second, Some((FIRST, &first))).await;
        assert_eq!(verdict.map_err(|fault| fault.kind), Err(FaultKind::Unreachable), "never a pass");
        let findings = target.preflight().await.unwrap();
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FaultKind::Unreachable]);
    });
}

#[test]
fn labels_and_values_outlive_a_restart() {
    let server = Arc::new(servers::Postgres::start(&Options { fsync: true, ..Options::default() }).unwrap());
    block_on(async move {
        let group = PostgresHarness::on(&server).group().await;
        let first = value("first");
        group.target.create(&intent(&group.id, FIRST, 5), &first).await.unwrap();
        let before = group.target.census().await.unwrap();
        server.stop().unwrap();
        let fault = group.target.create(&intent(&group.id, FIRST, 6), &first).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Unreachable, Touched::Nothing), "{fault}");
        assert_eq!(group.target.probe(FIRST, &first, None).await, Ok(Probe::Unknown));
        server.restart().unwrap();
        assert_eq!(group.target.census().await, Ok(before));
        assert_eq!(group.target.probe(FIRST, &first, None).await, Ok(Probe::Accepted));
    });
}

/// F11: all of them get through.
#[test]
fn fifty_groups_change_at_once() {
    with_server(|harness| async move {
        let mut groups = Vec::new();
        for _ in 0..50 {
            let server = Arc::clone(&harness.server);
            let name = format!("crowd{}", servers::random_hex(10).unwrap());
            let prefix = name.clone();
            let roles = tokio::task::spawn_blocking(move || server.create_roles(&prefix).unwrap()).await.unwrap();
            let id = GroupId::parse(&name).unwrap();
            let target = build(&harness.server, &id, &roles, config(&roles, "postgres", &[harness.server.port()]));
            groups.push((id, target));
        }
        let acts = groups.into_iter().map(|(id, target)| {
            tokio::spawn(async move {
                let value = value("crowd");
                target.create(&intent(&id, FIRST, 1), &value).await?;
                target.disable(&intent(&id, FIRST, 2)).await?;
                target.enable(&intent(&id, FIRST, 3)).await?;
                target.probe(FIRST, &value, None).await
            })
        });
        for act in acts.collect::<Vec<_>>() {
            assert_eq!(act.await.unwrap(), Ok(Probe::Accepted));
        }
    });
}

/// Advisory locks belong to one database: executors that were given different ones are kept apart by the change alone.
#[test]
fn executors_in_two_databases_are_fenced_all_the_same() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let roles = group.roles.clone();
        let elsewhere = build(&group.server, &group.id, &roles, config(&roles, "postgres", &[group.server.port()]));
        let held = value("held");
        let mut collided = 0;
        for round in 0..40 {
            let (low, high) = (10 + 2 * round, 11 + 2 * round);
            let (late, newest) = tokio::join!(
                insist(&elsewhere, &group, low, &held, Act::Disable),
                insist(&group.target, &group, high, &held, Act::Create),
            );
            newest.0.unwrap();
            if let Err(fault) = late.0 {
                assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "{fault}");
            }
            collided += newest.1 + late.1;
            let census = group.target.census().await.unwrap();
            assert_eq!(census[0].mark.unwrap().version, RowVersion(high), "round {round}");
            assert!(group.consumer(FIRST.slot, &held).await.is_some(), "the later change stands, round {round}");
        }
        assert!(collided > 0, "no two changes met, so the test proves nothing");
    });
}

#[derive(Clone, Copy)]
enum Act {
    Create,
    Disable,
}

/// Repeats while the server is busy, and counts how often it was.
async fn insist(
    target: &Postgres,
    group: &Group,
    version: u64,
    value: &Secret,
    act: Act,
) -> (Result<(), handover_core::Fault>, u32) {
    let intent = intent(&group.id, FIRST, version);
    let mut busy = 0;
    loop {
        let outcome = match act {
            Act::Create => target.create(&intent, value).await,
            Act::Disable => target.disable(&intent).await,
        };
        match outcome {
            Err(fault) if fault.kind == FaultKind::Busy => {
                assert_eq!(fault.touched, Touched::Nothing, "{fault}");
                busy += 1;
                assert!(busy < 200, "{fault}");
            }
            outcome => return (outcome, busy),
        }
    }
}

/// The first look lets a change pass, then a later one is committed from another database, then the first goes on.
#[test]
fn a_change_that_was_overtaken_between_look_and_act_is_refused() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let elsewhere =
            build(&group.server, &group.id, &group.roles, config(&group.roles, "postgres", &[group.server.port()]));
        let held = value("held");
        group.target.create(&intent(&group.id, FIRST, 1), &held).await.unwrap();

        let sitter = sit_on_lock(&group).await;
        let overtaken = intent(&group.id, FIRST, 2);
        let slow = group.target.disable(&overtaken);
        let quick = async {
            let waiting = format!(
                "SELECT count(*)::text FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'advisory'",
                group.roles.admin
            );
            eventually("the change to wait for its lock", || async { group.ask(&waiting).await == "1" }).await;
            elsewhere.create(&intent(&group.id, FIRST, 3), &held).await.unwrap();
            drop(sitter);
        };
        let (slow, ()) = tokio::join!(slow, quick);
        let fault = slow.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "{fault}");
        assert!(group.consumer(FIRST.slot, &held).await.is_some(), "the later change stands");
    });
}

/// A session in the middle of a transaction, with the lock of the first slot.
async fn sit_on_lock(group: &Group) -> tokio_postgres::Client {
    let sitter = group.server.connect(&group.roles.admin, &group.roles.admin_password, &group.database).await.unwrap();
    let key = escape_literal(&format!("handover role {}", group.role(FIRST.slot)));
    sitter.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))")).await.unwrap();
    sitter
}

#[test]
fn somebody_who_sits_on_the_lock_does_not_block_for_ever() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let sitter = sit_on_lock(&group).await;
        let mut impatient = config(&group.roles, &group.database, &[group.server.port()]);
        impatient.statement_timeout_ms = 200;
        let target = build(&group.server, &group.id, &group.roles, impatient);
        let fault = target.create(&intent(&group.id, FIRST, 1), &value("first")).await.unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Busy | FaultKind::TimedOut), "{fault}");
        assert_eq!(fault.touched, Touched::Nothing);
        drop(sitter);
        target.create(&intent(&group.id, FIRST, 1), &value("first")).await.unwrap();
    });
}

#[test]
fn a_limit_that_is_reached_is_not_a_refusal() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let (first, second) = (value("first"), value("second"));
        group.target.create(&intent(&group.id, FIRST, 1), &first).await.unwrap();
        group.target.create(&intent(&group.id, SECOND, 2), &second).await.unwrap();
        group.sql(&format!("ALTER ROLE {} CONNECTION LIMIT 0", group.role(FIRST.slot))).await;
        let probe = group.target.probe(FIRST, &first, Some((SECOND, &second))).await;
        assert_eq!(probe, Ok(Probe::Unknown));
        let verdict = group.target.verify(FIRST, &first, Some((SECOND, &second))).await;
        assert_eq!(verdict.map_err(|fault| fault.kind), Err(FaultKind::Busy));
    });
}

#[test]
fn our_own_credential_may_be_wrong() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let mut roles = group.roles.clone();
        roles.admin_password = "canary-wrong".to_owned();
        let target = build(&group.server, &group.id, &roles, config(&roles, &group.database, &[group.server.port()]));
        let fault = target.census().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unauthenticated, "{fault}");
        assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
    });
}

/// S14: quotes, backslashes, dollar signs and statements in names and passwords.
#[test]
fn hostile_names_are_quoted() {
    with_server(|harness| async move {
        let suffix = servers::random_hex(8).unwrap();
        let name = |text: &str| format!("{text}{suffix}");
        let database = name("d\"'\\; DROP TABLE x--");
        let roles = Roles {
            owner: name("o\"; ALTER ROLE pgadmin NOSUPERUSER; --"),
            twins: [name("a'b\"c\\d $$ e"), name("ünï \"q\" %s {} \n")],
            admin: name("admin' OR '1'='1"),
            admin_password: "p'a\"s\\s".to_owned(),
        };
        let id = |text: &str| escape_identifier(text);
        let (owner, a, b) = (id(&roles.owner), id(&roles.twins[0]), id(&roles.twins[1]));
        let verifier = postgres_protocol::password::scram_sha_256(roles.admin_password.as_bytes());
        let superuser = harness.server.superuser("postgres").await.unwrap();
        superuser
            .batch_execute(&format!(
                "CREATE ROLE {owner} NOLOGIN; CREATE ROLE {a} NOLOGIN IN ROLE {owner};
                 CREATE ROLE {b} NOLOGIN IN ROLE {owner}; ALTER ROLE {a} SET role = {owner};
                 ALTER ROLE {b} SET role = {owner}; CREATE ROLE {} LOGIN CREATEROLE PASSWORD '{verifier}';
                 GRANT pg_signal_backend TO {}",
                id(&roles.admin),
                id(&roles.admin)
            ))
            .await
            .unwrap();
        if harness.version().await >= 16 {
            let admin = id(&roles.admin);
            let grant = format!("GRANT {a}, {b} TO {admin} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
            superuser.batch_execute(&grant).await.unwrap();
        }
        superuser.batch_execute(&format!("CREATE DATABASE {}", id(&database))).await.unwrap();
        let group = GroupId::parse(&name("hostile")).unwrap();
        let target = build(&harness.server, &group, &roles, config(&roles, &database, &[harness.server.port()]));
        assert_eq!(target.preflight().await, Ok(vec![]));
        let (first, second) = (value("' OR \"x\"=\\ $1 {}"), value("päss"));
        target.create(&intent(&group, FIRST, 1), &first).await.unwrap();
        target.create(&intent(&group, SECOND, 2), &second).await.unwrap();
        let verdict = target.verify(SECOND, &second, Some((FIRST, &first))).await;
        assert_eq!(verdict, Ok(Verdict::Passed));
        target.disable(&intent(&group, FIRST, 3)).await.unwrap();
        assert_eq!(target.probe(FIRST, &first, Some((SECOND, &second))).await, Ok(Probe::Refused));
        target.enable(&intent(&group, FIRST, 4)).await.unwrap();
        target.end_sessions(&[FIRST]).await.unwrap();
        target.destroy(&intent(&group, FIRST, 5)).await.unwrap();
        let still = superuser.query_one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[]).await;
        assert!(still.unwrap().get::<_, bool>(0), "nothing was smuggled in");
    });
}

/// What a server may ask for that would give the password away, or prove nothing.
#[derive(Clone, Copy, Debug)]
enum Asks {
    ForClearText,
    ForMd5,
    ForNothing,
    ForScramWithoutBinding,
}

/// S38: questions below SCRAM with a channel binding are not answered.
#[test]
fn a_server_that_asks_for_a_clear_password_does_not_get_it() {
    for asks in [Asks::ForClearText, Asks::ForMd5, Asks::ForNothing, Asks::ForScramWithoutBinding] {
        let certificates = Certificates::generate().unwrap();
        let (port, heard) = fake_server(&certificates, asks);
        let secret = value("downgrade");
        let target = lonely(&certificates.ca_pem, port);
        block_on(async {
            assert_eq!(target.probe(FIRST, &secret, None).await, Ok(Probe::Unknown), "{asks:?}");
            let fault = target.verify(FIRST, &secret, None).await.unwrap_err();
            assert_eq!((fault.kind, fault.touched), (FaultKind::Misconfigured, Touched::Nothing), "{asks:?}: {fault}");
            assert!(fault.detail.contains("scram-sha-256"), "{fault}");
        });
        // The fake server notes what it heard after the client has hung up.
        block_on(eventually("both logins to get as far as the question", || async {
            heard.lock().unwrap().len() == 2
        }));
        let heard = heard.lock().unwrap();
        for answer in heard.iter() {
            assert_eq!(answer, b"", "{asks:?}: nothing is sent after the question");
        }
    }
}

/// S37: nothing is sent without TLS, or to a stranger.
#[test]
fn a_server_without_tls_or_with_another_certificate_is_not_spoken_to() {
    let mine = Certificates::generate().unwrap();
    let theirs = Certificates::generate().unwrap();
    let (port, heard) = fake_server(&theirs, Asks::ForNothing);
    block_on(async {
        let fault = lonely(&mine.ca_pem, port).census().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
        assert!(fault.detail.contains("ca_file"), "{fault}");
    });
    assert!(heard.lock().unwrap().is_empty());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 8];
        client.read_exact(&mut request).unwrap();
        client.write_all(b"N").unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        rest
    });
    block_on(async {
        let fault = lonely(&mine.ca_pem, port).census().await.unwrap_err();
        assert_eq!(fault.touched, Touched::Nothing, "{fault}");
    });
    assert_eq!(plain.join().unwrap(), b"", "nothing is sent in clear");
}

/// A target that reaches nothing but `port`.
fn lonely(ca_pem: &str, port: u16) -> Postgres {
    let roles = Roles {
        owner: "app_owner".to_owned(),
        twins: ["app_a".to_owned(), "app_b".to_owned()],
        admin: "handover_admin".to_owned(),
        admin_password: "canary-admin".to_owned(),
    };
    let password = Secret::from_text(roles.admin_password.clone());
    let group = GroupId::parse("lonely").unwrap();
    Postgres::new(config(&roles, "postgres", &[port]), group, password, ca_pem.as_bytes()).unwrap()
}

type Heard = Arc<std::sync::Mutex<Vec<Vec<u8>>>>;

/// Speaks TLS and the start of PostgreSQL's protocol, asks its question, and notes what comes after.
fn fake_server(certificates: &Certificates, asks: Asks) -> (u16, Heard) {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

    let chain = vec![CertificateDer::from_pem_slice(certificates.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificates.key_pem.as_bytes()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let tls = Arc::new(tls);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let ours = Arc::clone(&heard);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(answer) = question(client, Arc::clone(&tls), asks) {
                ours.lock().unwrap().push(answer);
            }
        }
    });
    (port, heard)
}

fn question(mut client: TcpStream, tls: Arc<rustls::ServerConfig>, asks: Asks) -> std::io::Result<Vec<u8>> {
    let mut request = [0; 8];
    client.read_exact(&mut request)?;
    client.write_all(b"S")?;
    let connection = rustls::ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(connection, client);
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut startup)?;
    let body: Vec<u8> = match asks {
        Asks::ForNothing => 0_u32.to_be_bytes().to_vec(),
        Asks::ForClearText => 3_u32.to_be_bytes().to_vec(),
        Asks::ForMd5 => [&5_u32.to_be_bytes()[..], b"salt"].concat(),
        Asks::ForScramWithoutBinding => [&10_u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat(),
    };
    let length = u32::try_from(body.len() + 4).map_err(std::io::Error::other)?;
    stream.write_all(&[b"R", &length.to_be_bytes()[..], &body].concat())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        // The client hangs up without closing TLS in order.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(answer),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
        Err(error) => Err(error),
    }
}
