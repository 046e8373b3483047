//! Servers beside the one where changes are made: whether they have what was changed there.

use std::time::Duration;

use handover_core::{Fault, FaultKind, Occupant, Touched};
use tokio::time::{Instant, sleep};

use super::Postgres;
use super::config::{Endpoint, EndpointKind};
use super::connect::Session;
use super::fault::fault;

/// How long a round waits for a server to replay. One that follows is milliseconds behind; the rest is the engine's to
/// wait for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// That the server has the change of this generation: the user's comment is written in the transaction that sets the
/// verifier. Without it a refused login would say nothing but that the server is behind, and count against the account.
pub(super) async fn followed(target: &Postgres, endpoint: &Endpoint, who: Occupant) -> Result<(), Fault> {
    let main = target.config.main()?;
    if endpoint.name == main.name {
        return Ok(());
    }
    let user = target.user(who.slot)?;
    let label = |standing: Option<super::fence::Standing>| standing.and_then(|standing| standing.comment.label);
    let session = target.admin(main).await?;
    let wanted = label(user.read(&session).await?);
    session.keep();
    let session = target.admin(endpoint).await?;
    if let Some(wrong) = misnamed(endpoint, &session).await? {
        return Err(wrong);
    }
    let limit = Instant::now() + PATIENCE;
    // A user that is being adopted has no label yet.
    while let Some(wanted) = &wanted {
        if label(user.read(&session).await?).as_ref() == Some(wanted) {
            break;
        }
        let follows = in_recovery(endpoint, &session).await?;
        if !follows {
            let detail = format!(
                "endpoint {} takes writes, and has not got the change of {} that was made at endpoint {}: it was promoted, \
                 or is another cluster. Name the primary as the first endpoint, and have the other one follow it",
                endpoint.name, user.role, main.name
            );
            return Err(Fault::untouched(FaultKind::Misconfigured, detail));
        }
        if Instant::now() > limit {
            let detail = format!(
                "endpoint {} has not replayed the change of {} yet; it passes, unless its replay stands still: look at \
                 pg_stat_replication at the primary, and pg_is_wal_replay_paused() there",
                endpoint.name, user.role
            );
            return Err(Fault::untouched(FaultKind::Busy, detail));
        }
        sleep(LOOK).await;
    }
    session.keep();
    Ok(())
}

/// An endpoint that is called a primary, and is none. One that is called a replica may have been promoted: it is fit as
/// long as it has the changes.
pub(super) async fn misnamed(endpoint: &Endpoint, session: &Session) -> Result<Option<Fault>, Fault> {
    match endpoint.kind {
        Some(EndpointKind::Primary) => {}
        Some(EndpointKind::Replica | EndpointKind::Pooler) | None => return Ok(None),
    }
    let detail = format!("endpoint {} is a replica; write kind = \"replica\" there", endpoint.name);
    Ok(in_recovery(endpoint, session).await?.then(|| Fault::untouched(FaultKind::ReadOnly, detail)))
}

async fn in_recovery(endpoint: &Endpoint, session: &Session) -> Result<bool, Fault> {
    let failed = |error: tokio_postgres::Error| {
        fault(&error, Touched::Nothing, &format!("asking endpoint {} whether it follows", endpoint.name))
    };
    let rows = session.query_typed("SELECT pg_is_in_recovery()", &[]).await.map_err(failed)?;
    match rows.first() {
        Some(row) => row.try_get(0).map_err(failed),
        None => Err(Fault::untouched(FaultKind::Unsupported, "a question that always has an answer had none")),
    }
}
