//! At the end, when all is at rest: target, store, journal and consumers are compared.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use handover_sdk::postgres::DialError;

use crate::crew::{Crew, published};
use crate::faults::Faults;
use crate::fleet::{Fleet, GROUPS};

const PATIENCE: Duration = Duration::from_secs(60);

/// Adds to what the crew found.
pub(crate) async fn judge(fleet: &Fleet, crew: &Crew, faults: &Faults, rest: Result<(), String>) {
    let harm = |what: String| crew.findings.harm(what);
    if let Err(what) = rest {
        harm(what);
    }
    for index in 0..GROUPS.len() {
        for what in group(fleet, crew, faults, index).await {
            harm(what);
        }
    }
    let verified = fleet.run("chief", &["audit", "verify"]);
    if !verified.status.success() {
        harm(format!("history does not verify: {}", String::from_utf8_lossy(&verified.stderr)));
    }
    // All of them at once: there are hundreds, and half an hour's logs are long.
    let values = AhoCorasick::new(crew.values()).unwrap();
    for (place, what) in outputs(fleet) {
        if values.is_match(&what) {
            harm(format!("a value is in clear in {place}"));
        }
    }
    for (kind, times) in faults.counted() {
        if times == 0 {
            harm(format!("{kind} never fired, so the run proves nothing about it: give it longer"));
        }
    }
    if crew.findings.samples.load(Ordering::Relaxed) == 0 || crew.findings.queries.load(Ordering::Relaxed) == 0 {
        harm("nothing was looked at, so the run proves nothing".to_owned());
    }
}

async fn group(fleet: &Fleet, crew: &Crew, faults: &Faults, index: usize) -> Vec<String> {
    let name = GROUPS[index];
    let mut harm = Vec::new();
    let (Some(published), Some(status)) = (published(fleet, name), fleet.status(name)) else {
        return vec![format!("{name}: the controller does not answer")];
    };
    let generation = published.generation();
    if status["current"]["generation"] != generation {
        harm.push(format!(
            "{name}: the store publishes generation {generation}, the journal says {}",
            status["current"]
        ));
    }
    if let Err(error) = crew.diallers[index].dial(&published).await {
        harm.push(format!("{name}: at rest, what the store publishes does not log in: {error}"));
    }
    for live in &crew.lives[index] {
        let limit = Instant::now() + PATIENCE;
        while live.current().generation() != generation && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if live.current().generation() != generation {
            harm.push(format!("{name}: a consumer holds generation {}, not {generation}", live.current().generation()));
        }
    }
    for old in crew.seen(index).iter().filter(|old| old.generation() != generation) {
        if !matches!(crew.diallers[index].dial(old).await, Err(DialError::Refused { .. })) {
            harm.push(format!("{name}: generation {} is retired and not refused", old.generation()));
        }
    }
    // The highest generation that was ever begun: numbers are never used again.
    let begun = status["rotation"]["to"]["generation"].as_u64().unwrap_or_default();
    if begun > faults.rotations(index) {
        harm.push(format!("{name}: {begun} rotations, and {} were ordered", faults.rotations(index)));
    }
    harm.extend(roles(fleet, index).await);
    harm
}

/// Of two twins one logs in; the other has no password. Nothing else was left at the target.
async fn roles(fleet: &Fleet, index: usize) -> Vec<String> {
    let [a, b] = &fleet.roles[index].twins;
    let superuser = fleet.rig.postgres.superuser("postgres").await.unwrap();
    let statement =
        "SELECT rolname::text, rolcanlogin, rolpassword IS NOT NULL FROM pg_authid WHERE rolname IN ($1, $2)";
    let rows = superuser.query(statement, &[a, b]).await.unwrap();
    let standing: Vec<(String, bool, bool)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let open = standing.iter().filter(|(_, may_log_in, _)| *may_log_in).count();
    let kept = standing.iter().filter(|(_, _, has_password)| *has_password).count();
    if (standing.len(), open, kept) == (2, 1, 1) { vec![] } else { vec![format!("{}: {standing:?}", GROUPS[index])] }
}

fn outputs(fleet: &Fleet) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        ("the controller's log".to_owned(), fleet.rig.said().into_bytes()),
        ("PostgreSQL's log".to_owned(), fleet.rig.postgres.log().into_bytes()),
    ];
    for name in
        ["audit.jsonl", "successor.log", "successor.jsonl", "state.db", "state.db-wal", "store.db", "store.db-wal"]
    {
        if let Ok(bytes) = std::fs::read(fleet.rig.path(name)) {
            all.push((name.to_owned(), bytes));
        }
    }
    all
}
