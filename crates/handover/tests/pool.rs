//! The client library's pool on a real PostgreSQL: a swap drops no work and leaves no old session.

#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of the functions that are marked as tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_api::{Delivered, Nonce, Role};
use handover_sdk::postgres::{DialError, Dialler, Options, Pool};
use handover_sdk::{Credential, Live, Offer};
use handover_secret::Secret;
use handover_testkit::servers::postgres::{Postgres, SUPERUSER};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

fn credential(publication: u64, user: &str, password: &str) -> Credential {
    Credential::from(Delivered {
        group: "app".to_owned(),
        consumer: "worker".to_owned(),
        roles: vec![Role::Presenter],
        publication,
        generation: publication,
        fields: BTreeMap::from([("user".to_owned(), user.to_owned())]),
        value: Secret::from_text(password.to_owned()),
        nonce: Nonce([0; 32]),
    })
}

fn options(server: &Postgres) -> Options {
    let mut options = Options::new("127.0.0.1", server.port(), "postgres", server.ca_pem());
    options.sweep = Duration::from_millis(50);
    options.newer_for = Duration::from_millis(50);
    options
}

struct Sessions(tokio_postgres::Client);

impl Sessions {
    async fn watch(server: &Postgres) -> Self {
        let superuser = credential(1, SUPERUSER, server.superuser_password());
        Self(Dialler::new(&options(server)).unwrap().dial(&superuser).await.unwrap())
    }

    async fn of(&self, user: &str) -> i64 {
        let found = self.0.query_one("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", &[&user]).await;
        found.unwrap().get(0)
    }

    async fn become_(&self, user: &str, wanted: i64) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let sessions = self.of(user).await;
            if sessions == wanted {
                return;
            }
            assert!(Instant::now() < limit, "{user} has {sessions} sessions, not {wanted}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn users(server: &Postgres, names: [&str; 2]) {
    for name in names {
        server.execute("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD 'canary-{name}'")).unwrap();
    }
}

async fn whoami(client: &tokio_postgres::Client) -> String {
    client.query_one("SELECT current_user::text", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_swap_closes_idle_sessions_lets_work_finish_and_dials_with_the_new_user() {
    let server = Postgres::shared().unwrap();
    users(&server, ["swap_a", "swap_b"]);
    let sessions = Sessions::watch(&server).await;
    let live = Live::new(credential(1, "swap_a", "canary-swap_a"));
    let pool = Pool::new(live.clone(), &options(&server)).unwrap();

    let (busy, idle) = (pool.take().await.unwrap(), pool.take().await.unwrap());
    assert_eq!(whoami(&idle).await, "swap_a");
    drop(idle);
    assert_eq!(live.highest_used(), 1);
    busy.batch_execute("BEGIN").await.unwrap();
    assert_eq!(sessions.of("swap_a").await, 2);

    assert_eq!(live.offer(Arc::new(credential(2, "swap_b", "canary-swap_b"))), Offer::Taken);
    sessions.become_("swap_a", 1).await;
    assert_eq!(whoami(&pool.take().await.unwrap()).await, "swap_b");
    assert_eq!(whoami(&busy).await, "swap_a", "work under way goes on");
    busy.batch_execute("COMMIT").await.unwrap();
    drop(busy);
    sessions.become_("swap_a", 0).await;
    assert_eq!(live.highest_used(), 2);

    drop(pool);
    sessions.become_("swap_b", 0).await;
}

#[tokio::test]
async fn a_refused_login_says_so_and_nothing_more() {
    let server = Postgres::shared().unwrap();
    users(&server, ["refused_a", "refused_b"]);
    let live = Live::new(credential(7, "refused_a", "canary-wrong"));
    let pool = Pool::new(live, &options(&server)).unwrap();
    let error = pool.take().await.unwrap_err();
    assert_eq!(error, DialError::Refused { publication: 7 });
    let text = format!("{error} {error:?} {pool:?}");
    assert!(!text.contains("canary") && !text.contains("refused_a"), "{text}");
}

#[tokio::test]
async fn a_credential_that_was_retired_on_the_way_is_replaced_once() {
    let server = Postgres::shared().unwrap();
    users(&server, ["retired_a", "retired_b"]);
    server.execute("postgres", "ALTER ROLE retired_a NOLOGIN").unwrap();
    let live = Live::new(credential(1, "retired_a", "canary-retired_a"));
    let mut options = options(&server);
    options.newer_for = PATIENCE;
    let dialling = tokio::spawn({
        let (live, dialler) = (live.clone(), Dialler::new(&options).unwrap());
        async move { whoami(&dialler.dial_in_force(&live).await.unwrap()).await }
    });
    assert_eq!(live.offer(Arc::new(credential(2, "retired_b", "canary-retired_b"))), Offer::Taken);
    assert_eq!(dialling.await.unwrap(), "retired_b");
    assert_eq!(live.highest_used(), 2);
}

#[tokio::test]
async fn a_server_with_another_certificate_gets_no_password() {
    let server = Postgres::shared().unwrap();
    users(&server, ["mitm_a", "mitm_b"]);
    let other = Postgres::start(&handover_testkit::servers::postgres::Options::default()).unwrap();
    let mut options = options(&server);
    options.ca_pem = other.ca_pem().into();
    let live = Live::new(credential(1, "mitm_a", "canary-mitm_a"));
    let pool = Pool::new(live.clone(), &options).unwrap();
    assert_eq!(pool.take().await.unwrap_err(), DialError::Unreachable);
    assert!(!server.log().contains("user=mitm_a"), "it did not come to a login");
    options.ca_pem = server.ca_pem().into();
    drop(Pool::new(live, &options).unwrap().take().await.unwrap());
    assert!(server.log().contains("user=mitm_a"), "and this is where one would have been seen");
}
