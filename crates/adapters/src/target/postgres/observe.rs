//! Sessions of the users, at every server. What poolers hold is among them: they log in at a server, too.

use handover_core::{Fault, FaultKind, Occupant, Tally, Touched};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::types::Type;

use super::Postgres;
use super::config::Endpoint;
use super::connect::Session;
use super::fault::fault;
use super::fence::User;

/// Who is logged in is visible to everybody; what they do, from where and since when needs `pg_read_all_stats`, and is
/// not asked. Parallel workers bear their leader's name, so there may be more rows than sessions, never fewer.
pub(super) const COUNT: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = ANY ($1)";

/// The function stands in the select list. In the condition, the planner may call it for rows that the rest of the
/// condition excludes, and so end every session there is. The label is compared in the same statement: a role that
/// serves another generation by now is left alone.
const END: &str = "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a \
                   WHERE a.usename = $1 AND strpos(shobj_description(a.usesysid, 'pg_authid'), $2) > 0";

/// Counts sessions. A server that cannot be asked makes *none* unknown; what was seen elsewhere was seen.
pub(super) async fn count(target: &Postgres, of: &[Occupant]) -> Result<Tally, Fault> {
    let roles = of.iter().map(|who| target.user(who.slot).map(|user| user.role)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = 0_i64;
    let mut blind = false;
    for endpoint in target.config.servers() {
        match count_at(target, endpoint, &roles).await {
            Some(sessions) => seen = seen.saturating_add(sessions),
            None => blind = true,
        }
    }
    Ok(match (u32::try_from(seen), blind) {
        (Ok(0), false) => Tally::None,
        (Ok(0), true) => Tally::Unknown,
        (Ok(sessions), _) => Tally::Some(sessions),
        (Err(_), _) => Tally::Some(u32::MAX),
    })
}

/// Ends sessions, at every server.
pub(super) async fn end(target: &Postgres, of: &[Occupant]) -> Result<(), Fault> {
    for endpoint in target.config.servers() {
        let session = target.admin(endpoint).await?;
        for who in of {
            end_at(&session, endpoint, &target.user(who.slot)?, *who).await?;
        }
        session.keep();
    }
    Ok(())
}

async fn count_at(target: &Postgres, endpoint: &Endpoint, roles: &[String]) -> Option<i64> {
    let session = target.admin(endpoint).await.ok()?;
    let rows = session.query_typed(COUNT, &[(&roles, Type::TEXT_ARRAY)]).await.ok()?;
    session.keep();
    rows.first()?.try_get(0).ok()
}

async fn end_at(session: &Session, endpoint: &Endpoint, user: &User<'_>, who: Occupant) -> Result<(), Fault> {
    let Some(standing) = user.read(session).await? else {
        return Ok(());
    };
    let Some(label) = &standing.comment.label else {
        return Err(user.unlabelled());
    };
    user.owns(label)?;
    if label.generation != who.generation {
        return Ok(());
    }
    let ended = session.query_typed(END, &[(&user.role, Type::TEXT), (&label.render(), Type::TEXT)]).await;
    match ended {
        Ok(_) => Ok(()),
        Err(error) => {
            let doing = format!("ending sessions of {} at endpoint {}", user.role, endpoint.name);
            let mut fault = fault(&error, Touched::Unknown, &doing);
            if fault.kind == FaultKind::NotPermitted {
                fault.detail = format!(
                    "our user may not end sessions of {}. Run as a superuser: GRANT pg_signal_backend TO {};",
                    user.role,
                    escape_identifier(user.admin)
                );
            }
            Err(fault)
        }
    }
}
