//! P14: requests of a consumer, at a steady pace, while its password is rotated again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handover_sdk::postgres::{Options as PostgresOptions, Pool};
use handover_sdk::{Client, Options as ClientOptions};
use handover_testkit::rig::{DATABASE, GROUP, Options, Rig};
use tokio::sync::mpsc;

use crate::report::{Findings, percentile};
use crate::{Setting, Trouble};

/// So often requests are begun, and so many each time.
const BEAT: Duration = Duration::from_millis(10);
const EACH: u64 = 10;
const CONSUMER: &str = "app-1";

/// Runs it.
pub(crate) fn run(setting: &Setting) -> Result<Findings, Trouble> {
    let lasts = if setting.smoke { Duration::from_secs(3) } else { Duration::from_secs(60) * setting.minutes };
    let policy = "passes_min = 1\nquiet_min = \"1s\"\noverlap_min = \"1s\"\nbrake_for = \"1s\"\npoll = \"250ms\"\n\
                  reach_min = \"used\"";
    let options = Options { consumers: vec![CONSUMER], policy: policy.to_owned(), fsync: true };
    let rig = Rig::new(&setting.handover, &options).map_err(|error| error.to_string())?;
    rig.start(&[]).map_err(|error| error.to_string())?;
    rig.succeed(&["rotate", GROUP]).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let pool = runtime.block_on(pool(&rig))?;
    wait(&rig)?;

    let over = Arc::new(AtomicBool::new(false));
    let working = runtime.spawn(work(pool, Arc::clone(&over)));
    let (start, mut rotations) = (Instant::now(), 0_u32);
    // Rotation upon rotation; the last one is seen to its end, under load.
    let ended = loop {
        let done = rig.succeed(&["rotate", GROUP]).map_err(|error| error.to_string()).and_then(|_| wait(&rig));
        rotations += u32::from(done.is_ok());
        if done.is_err() || start.elapsed() >= lasts {
            break done;
        }
    };
    let took = start.elapsed().as_secs_f64();
    over.store(true, Ordering::SeqCst);
    let mut worked = runtime.block_on(working).map_err(|error| error.to_string())?;
    ended?;
    rig.stop().map_err(|error| error.to_string())?;

    let mut found = Findings::default();
    let what = format!("failed requests of {}, through {rotations} rotations in {took:.0} s", worked.begun);
    found.figure("P14", (&what, worked.failed as f64, "failed"), Some(0.0));
    found.figure("P14", ("requests begun", worked.begun as f64 / took, "/s"), None);
    found.figure("P14", ("requests, p99 from the begin", percentile(&mut worked.times_ms, 0.99), "ms"), None);
    if let Some(failure) = worked.first_failure {
        found.note(format!("the first failure: {failure}"));
    }
    Ok(found)
}

/// Waits until the rotation has ended well.
fn wait(rig: &Rig) -> Result<(), Trouble> {
    let limit = Instant::now() + Duration::from_secs(120);
    loop {
        let status = rig.succeed(&["status", GROUP, "--output", "json"]).map_err(|error| error.to_string())?;
        let status: serde_json::Value = serde_json::from_str(&status).map_err(|error| error.to_string())?;
        let rotation = &status["rotation"];
        if rotation["phase"] == "done" {
            let well = rotation["status"] == "success";
            return if well { Ok(()) } else { Err("a rotation did not end well".to_owned()) };
        }
        if Instant::now() > limit {
            return Err(format!("a rotation stands still: {rotation}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

async fn pool(rig: &Rig) -> Result<Pool, Trouble> {
    let token = rig.token_file(CONSUMER, "consumer").map_err(|error| error.to_string())?;
    let client = Client::new(ClientOptions::new(rig.url(), CONSUMER, token)).map_err(|error| error.to_string())?;
    let live = client.live(GROUP).await.map_err(|error| error.to_string())?;
    let ca = std::fs::read(rig.postgres.ca_path()).map_err(|error| error.to_string())?;
    let mut options = PostgresOptions::new("127.0.0.1", rig.postgres.port(), DATABASE, ca);
    // A refused login is a failure here, whatever newer credential may be on its way.
    options.newer_for = Duration::ZERO;
    let pool = Pool::new(live, &options).map_err(|error| error.to_string())?;
    // The first rotation waits for this: a credential that was used.
    drop(pool.take().await.map_err(|error| error.to_string())?);
    Ok(pool)
}

/// What came of the requests.
struct Worked {
    begun: u64,
    failed: u64,
    first_failure: Option<String>,
    times_ms: Vec<f64>,
}

async fn work(pool: Pool, over: Arc<AtomicBool>) -> Worked {
    let (answers, mut answered) = mpsc::unbounded_channel::<Result<f64, String>>();
    let begun = AtomicU64::new(0);
    let mut beat = tokio::time::interval(BEAT);
    while !over.load(Ordering::SeqCst) {
        beat.tick().await;
        for _ in 0..EACH {
            begun.fetch_add(1, Ordering::SeqCst);
            let (pool, answers, start) = (pool.clone(), answers.clone(), Instant::now());
            tokio::spawn(async move {
                let answer = match pool.take().await {
                    Ok(connection) => connection.query_one("SELECT 1", &[]).await.map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                // Nobody counts any more only when the whole run has ended.
                let _ = answers.send(answer.map(|_| start.elapsed().as_secs_f64() * 1e3));
            });
        }
    }
    drop(answers);
    let mut worked = Worked { begun: begun.into_inner(), failed: 0, first_failure: None, times_ms: Vec::new() };
    while let Some(answer) = answered.recv().await {
        match answer {
            Ok(time) => worked.times_ms.push(time),
            Err(failure) => {
                worked.failed += 1;
                worked.first_failure.get_or_insert(failure);
            }
        }
    }
    worked
}
