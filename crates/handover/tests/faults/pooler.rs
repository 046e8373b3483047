//! Rotations with a PgBouncer in front of the server.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handover_sdk::postgres::{Dialler, Options, Pool};
use handover_testkit::rig::DATABASE;
use handover_testkit::servers::PgBouncer;
use handover_testkit::servers::pgbouncer::Users;

use crate::stage::{POLICY, Stage, alone};

/// An installation with a pooler that is a required endpoint.
async fn pooled(users: Users) -> (Stage, PgBouncer, Options) {
    let stage = Stage::set(POLICY, alone()).await;
    let pooler = PgBouncer::start(&stage.rig.postgres, DATABASE, users).unwrap();
    if users == Users::Copied {
        pooler.copy_users(&stage.rig.postgres).await.unwrap();
    }
    stage.add_endpoint(&format!(
        "{{ name = \"pool\", host = \"127.0.0.1\", port = {}, kind = \"pooler\", channel_binding = \"prefer\" }}",
        pooler.port()
    ));
    let ca = std::fs::read(stage.rig.postgres.ca_path()).unwrap();
    let mut options = Options::new("127.0.0.1", pooler.port(), DATABASE, ca);
    options.bind_channel = false;
    options.sweep = Duration::from_millis(100);
    (stage, pooler, options)
}

/// F15: nothing is published before the pooler lets it in, and the pooler is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_does_not_know_the_candidate_holds_up_the_publication() {
    let (stage, pooler, options) = pooled(Users::Copied).await;
    let checked = stage.rig.run(&["check", "--online"]).unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.status.success() && said.contains("caution: group app: logins at endpoint pool need not be"),
        "{said}"
    );
    let publication = stage.status()["publication"].clone();
    stage.order("rotate");
    stage.explains("pooler pool refused generation 2 of app_b, which the server lets in").await;
    let status = stage.status();
    assert_eq!((&status["publication"], &status["current"]["generation"]), (&publication, &1.into()), "{status:#}");
    assert_eq!(status["rotation"]["phase"], "verify", "{status:#}");
    pooler.copy_users(&stage.rig.postgres).await.unwrap();
    stage.ends_as("success").await;
    let published = stage.consumer.holds(2).await;
    assert!(Dialler::new(&options).unwrap().dial(&published).await.is_ok(), "the pooler lets in what is published");
}

/// Two rotations, so that a user comes back with another password. A session that the pooler keeps for the old user holds
/// Drain until the pooler gives it up.
#[tokio::test(flavor = "multi_thread")]
async fn no_query_through_a_pooler_fails() {
    let (stage, _pooler, options) = pooled(Users::Asked).await;
    let pool = Pool::new(stage.consumer.live.clone(), &options).unwrap();
    let (done, failed, stop) =
        (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (pool, done, failed, stop) = (pool.clone(), Arc::clone(&done), Arc::clone(&failed), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let asked = match pool.take().await {
                        // In one message: a pooler may give each transaction another session at the server.
                        Ok(session) => session
                            .simple_query("INSERT INTO app.orders (note) VALUES ('through the pooler')")
                            .await
                            .map(drop)
                            .map_err(|error| format!("{error:?}")),
                        Err(error) => Err(format!("{error:?}")),
                    };
                    match asked {
                        Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.lock().unwrap().push(error),
                    }
                }
            })
        })
        .collect();
    for _ in 0..2 {
        let before = done.load(Ordering::Relaxed);
        stage.order("rotate");
        stage.ends_as("success").await;
        assert!(done.load(Ordering::Relaxed) > before + 10, "the consumers were at work");
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(*failed.lock().unwrap(), Vec::<String>::new());
    let superuser = stage.rig.postgres.superuser(DATABASE).await.unwrap();
    let kept: i64 = superuser.query_one("SELECT count(*) FROM app.orders", &[]).await.unwrap().get(0);
    assert_eq!(u64::try_from(kept).unwrap(), done.load(Ordering::Relaxed), "each was done once");
}
