//! What stays behind of versioned users that could not be dropped: in every database of the cluster, what depends on them.

use handover_core::port::{Remains, State};
use handover_core::{Fault, FaultKind, Touched};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::types::Type;

use super::Postgres;
use super::connect::Session;
use super::fault::fault;
use super::fence::User;
use super::users::Users;

/// How many objects of one user are told.
const OBJECTS_MAX: usize = 20;

/// Databases in which something depends on the user, and how much. What belongs to no database counts for the present one.
const DATABASES: &str = "
    SELECT coalesce(d.datname, current_database())::text, count(*)
    FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid AND r.rolname = $1 LEFT JOIN pg_database d ON d.oid = s.dbid
    WHERE s.refclassid = 'pg_authid'::regclass GROUP BY 1 ORDER BY 1";

/// What depends on the user in the present database, in words. Owned objects are foreign servers' mappings and
/// subscriptions as well; a default privilege is owned by whose objects it is for.
const OBJECTS: &str = "
    SELECT DISTINCT CASE s.deptype WHEN 'o' THEN 'it owns ' WHEN 'r' THEN 'it is named in ' ELSE 'it has a grant on ' END
        || pg_describe_object(s.classid, s.objid, s.objsubid)
    FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid AND r.rolname = $1
    WHERE s.refclassid = 'pg_authid'::regclass
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY 1";

/// One finding for each user that stays behind.
pub(super) async fn look(target: &Postgres) -> Result<Vec<Remains>, Fault> {
    let Users::Versioned(_) = target.users else {
        return Ok(Vec::new());
    };
    let session = target.admin(target.config.main()?).await?;
    let mut all = Vec::new();
    for user in target.there(&session).await? {
        let Some(label) = user.read(&session).await?.and_then(|standing| standing.comment.label) else { continue };
        if label.state == State::Forgotten && user.owns(&label).is_ok() {
            let fault = Fault::untouched(FaultKind::Foreign, words(target, &session, &user).await?);
            all.push(Remains { generation: label.generation, fault });
        }
    }
    session.keep();
    Ok(all)
}

async fn words(target: &Postgres, session: &Session, user: &User<'_>) -> Result<String, Fault> {
    let failed = |error| fault(&error, Touched::Nothing, &format!("looking at what depends on user {}", user.role));
    let (mut objects, mut reassign) = (Vec::new(), Vec::new());
    for row in session.query_typed(DATABASES, &[(&user.role, Type::TEXT)]).await.map_err(failed)? {
        let database: String = row.try_get(0).map_err(failed)?;
        let count: i64 = row.try_get(1).map_err(failed)?;
        match target.admin_in(&database).await {
            Ok(there) => {
                for object in there.query_typed(OBJECTS, &[(&user.role, Type::TEXT)]).await.map_err(failed)? {
                    objects.push(format!("{} in database {database}", object.try_get::<_, &str>(0).map_err(failed)?));
                }
            }
            // Where we cannot look, the number is known.
            Err(_) => objects.push(format!("{count} objects in database {database}, which our user cannot enter")),
        }
        reassign.push(database);
    }
    let more = objects.len().saturating_sub(OBJECTS_MAX);
    objects.truncate(OBJECTS_MAX);
    if more > 0 {
        objects.push(format!("and {more} more"));
    }
    let (role, owner) = (escape_identifier(&user.role), escape_identifier(user.owner));
    let left = format!("the user {} may not log in and has no password, and was not dropped", user.role);
    Ok(if objects.is_empty() {
        format!("{left}: it was in use, or our user had no right to. Run as a superuser: DROP ROLE {role};")
    } else {
        format!(
            "{left}: {}. Run as a superuser, in {}: REASSIGN OWNED BY {role} TO {owner}; DROP OWNED BY {role}; and then: \
             DROP ROLE {role};",
            objects.join(", "),
            if reassign.len() == 1 {
                format!("database {}", reassign.concat())
            } else {
                format!("each of {}", reassign.join(", "))
            }
        )
    })
}
