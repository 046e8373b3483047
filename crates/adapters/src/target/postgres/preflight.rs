//! What would make a rotation fail, with the next step for each.

use handover_core::port::State;
use handover_core::{Fault, FaultKind, Slot, Touched};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::types::Type;

use super::config::Endpoint;
use super::connect::Session;
use super::fault::fault;
use super::fence::{BEGIN, Change, Kind, Standing, User, writable};
use super::users::Users;
use super::{Postgres, observe, pooler, replica, versioned};

/// Catalogs that the comparison of rights reads exist from this version on.
const VERSION_MIN: i32 = 150_000;

/// A verifier of nothing: no password has this stored key. It is only offered in transactions that are rolled back.
///
/// One iteration, because the server compares each verifier with that of the empty password: with as many as ours have,
/// that is most of what a rehearsal takes.
const VERIFIER_OF_NOTHING: &str = "SCRAM-SHA-256$1:AAAAAAAAAAAAAAAAAAAAAA==$\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Looks at everything and changes nothing. What it could not look at is an error.
pub(super) async fn look(target: &Postgres) -> Result<Vec<Fault>, Fault> {
    let main = target.config.main()?;
    let session = target.admin_afresh(main).await?;
    // What does not follow from another answer is asked at once, here and below: the server answers in one go.
    let (writable, version, owner) =
        tokio::join!(biased; writable(&session), version(&session), owner(target, &session));
    match writable {
        Ok(()) => {}
        // Nothing else that is found at a replica would help.
        Err(fault) if fault.kind == FaultKind::ReadOnly => return Ok(vec![fault]),
        Err(fault) => return Err(fault),
    }
    if let Some(too_old) = version? {
        return Ok(vec![too_old]);
    }
    let owner = owner?;
    let has_owner = owner.is_none();
    let mut findings = Vec::from_iter(owner);
    let users = target.there(&session).await?;
    let mut found = Vec::with_capacity(users.len());
    for user in &users {
        found.extend(look_at_user(target, &session, user, &mut findings).await?.map(|standing| (user, standing)));
    }
    findings.extend(blind(target, main, &session).await);
    for (user, standing) in &found {
        findings.extend(rehearse(&session, user, standing).await?);
    }
    if has_owner {
        findings.extend(rehearse_creation(target, &session, &users).await?);
    }
    session.keep();
    let names: Vec<&str> = users.iter().map(|user| user.role.as_str()).collect();
    for endpoint in target.config.endpoints.iter().skip(1).filter(|endpoint| endpoint.required) {
        if endpoint.is_pooler() {
            findings.extend(pooler::reach(target, endpoint, &names).await);
            continue;
        }
        match target.admin_afresh(endpoint).await {
            Ok(session) => {
                findings.extend(replica::misnamed(endpoint, &session).await?);
                findings.extend(blind(target, endpoint, &session).await);
                session.keep();
            }
            Err(fault) => findings.push(fault),
        }
    }
    Ok(findings)
}

async fn version(session: &Session) -> Result<Option<Fault>, Fault> {
    let version: i32 = ask(session, "SELECT current_setting('server_version_num')::int", &[]).await?.unwrap_or(0);
    Ok((version < VERSION_MIN).then(|| {
        Fault::untouched(
            FaultKind::Unsupported,
            "the server is older than PostgreSQL 15, which is the oldest supported",
        )
    }))
}

async fn owner(target: &Postgres, session: &Session) -> Result<Option<Fault>, Fault> {
    let owner = &target.config.owner;
    let quoted = escape_identifier(owner);
    let may_log_in: Option<bool> =
        ask(session, "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", &[owner.as_str()]).await?;
    Ok(match may_log_in {
        Some(false) => None,
        Some(true) => Some(Fault::untouched(
            FaultKind::Misconfigured,
            format!("the owner {owner} may log in. Run as a superuser: ALTER ROLE {quoted} NOLOGIN;"),
        )),
        None => Some(Fault::untouched(
            FaultKind::Missing,
            format!("the owner {owner} does not exist. Run as a superuser: CREATE ROLE {quoted} NOLOGIN;"),
        )),
    })
}

/// What it is, if it is there and can be read.
async fn look_at_user(
    target: &Postgres,
    session: &Session,
    user: &User<'_>,
    findings: &mut Vec<Fault>,
) -> Result<Option<Standing>, Fault> {
    let (standing, role) = tokio::join!(biased; user.read(session), look_at_role(target, session, user));
    let standing = match standing {
        Ok(Some(standing)) => standing,
        Ok(None) => {
            match user.kind {
                Kind::Twin => findings.push(absent(target, user)),
                // Dropped in this moment.
                Kind::Versioned => {}
            }
            return Ok(None);
        }
        Err(fault) if fault.kind == FaultKind::Corrupt => {
            findings.push(fault);
            return Ok(None);
        }
        Err(fault) => return Err(fault),
    };
    match &standing.comment.label {
        Some(label) => {
            findings.extend(user.owns(label).err().map(|fault| foreign(user, fault)));
            if standing.may_log_in && label.state != State::Accepting {
                let detail = format!(
                    "the role {} may log in, though it was disabled here: somebody else enabled it. Run: ALTER ROLE {} \
                     NOLOGIN;",
                    user.role,
                    escape_identifier(&user.role)
                );
                findings.push(Fault::untouched(FaultKind::Foreign, detail));
            }
        }
        None => match user.kind {
            Kind::Twin if standing.may_log_in => findings.push(unlabelled(user)),
            Kind::Twin => {}
            Kind::Versioned => {
                findings.push(in_the_way(user));
                return Ok(Some(standing));
            }
        },
    }
    if user.kind == Kind::Twin || !is_forgotten(&standing) {
        findings.extend(role?);
    }
    Ok(Some(standing))
}

/// The twin with all that it needs. Where its owner is missing too, that is told before.
fn absent(target: &Postgres, twin: &User<'_>) -> Fault {
    let (owner, role) = (escape_identifier(&target.config.owner), escape_identifier(&twin.role));
    let detail = format!(
        "the role {} does not exist. Run as a superuser: CREATE ROLE {role} NOLOGIN IN ROLE {owner}; ALTER ROLE {role} SET \
         role = {owner}; and from PostgreSQL 16 on: GRANT {role} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;",
        twin.role,
        escape_identifier(twin.admin)
    );
    Fault { detail, ..twin.absent() }
}

/// What stays behind of a versioned user is nobody's way in, and does not stand in the way.
fn is_forgotten(standing: &Standing) -> bool {
    standing.comment.label.as_ref().is_some_and(|label| label.state == State::Forgotten)
}

/// A generation will want this name.
fn in_the_way(user: &User<'_>) -> Fault {
    let fault = user.unlabelled();
    let detail = format!(
        "{}. Give `versioned` another name, or, if nobody needs the role, run as a superuser: DROP ROLE {};",
        fault.detail,
        escape_identifier(&user.role)
    );
    Fault { detail, ..fault }
}

fn foreign(user: &User<'_>, fault: Fault) -> Fault {
    if fault.kind == FaultKind::Foreign {
        let option = match user.kind {
            Kind::Twin => "name roles in `twins` that no other group has",
            Kind::Versioned => "give `versioned` a name that no other group has",
        };
        let detail = format!("{}; {option}", fault.detail);
        return Fault { detail, ..fault };
    }
    fault
}

/// Only a person knows whether somebody uses it.
pub(super) fn unlabelled(twin: &User<'_>) -> Fault {
    let fault = twin.unlabelled();
    let detail = format!(
        "{}. Run, if applications log in as it: handover adopt {} --user {} --password-file FILE; if nobody does, as a \
         superuser: ALTER ROLE {} NOLOGIN;",
        fault.detail,
        twin.group,
        shell_word(&twin.role),
        escape_identifier(&twin.role)
    );
    Fault { detail, ..fault }
}

/// A name as a shell takes it.
fn shell_word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

async fn look_at_role(target: &Postgres, session: &Session, user: &User<'_>) -> Result<Vec<Fault>, Fault> {
    let owner = &target.config.owner;
    let (quoted_owner, quoted) = (escape_identifier(owner), escape_identifier(&user.role));
    let (name, names) = ([user.role.as_str()], [user.role.as_str(), owner.as_str()]);
    let (may_take_on_owner, starts_as_owner, will_expire, is_superuser) = tokio::try_join!(biased;
        ask::<bool>(session, MAY_TAKE_ON_OWNER, &names),
        ask::<bool>(session, STARTS_AS_OWNER, &names),
        ask::<bool>(session, WILL_EXPIRE, &name),
        ask::<bool>(session, IS_SUPERUSER, &name),
    )?;
    let mut findings = Vec::new();
    let mut find = |detail| findings.push(Fault::untouched(FaultKind::Misconfigured, detail));
    // If the owner is missing, that is a finding of its own.
    if may_take_on_owner == Some(false) {
        find(format!(
            "{} may not take on the role {owner}. Run as a superuser: GRANT {quoted_owner} TO {quoted};",
            user.role
        ));
    }
    if starts_as_owner == Some(false) {
        find(format!(
            "sessions of {} do not start as {owner}, so that what they create would belong to one user alone. Run as a \
             superuser: ALTER ROLE {quoted} SET role = {quoted_owner};",
            user.role
        ));
    }
    if will_expire == Some(true) {
        find(format!(
            "the role {} has an end of validity, after which it is refused. Run as a superuser: ALTER ROLE {quoted} VALID \
             UNTIL 'infinity';",
            user.role
        ));
    }
    if is_superuser == Some(true) {
        find(format!(
            "the role {} is a superuser; a user has no rights but its owner's. Run as a superuser: ALTER ROLE {quoted} \
             NOSUPERUSER;",
            user.role
        ));
    }
    Ok(findings)
}

const MAY_TAKE_ON_OWNER: &str = "
    SELECT pg_has_role(a.oid, o.oid,
        CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
    FROM pg_roles a, pg_roles o WHERE a.rolname = $1 AND o.rolname = $2";

/// The setting holds the name as it was written, quoted or not.
const STARTS_AS_OWNER: &str = "
    SELECT coalesce(bool_or(c.setting IN ('role=' || $2, 'role=' || quote_ident($2))), false)
    FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid
        LEFT JOIN pg_database d ON d.oid = s.setdatabase
        LEFT JOIN LATERAL unnest(s.setconfig) AS c (setting) ON s.setdatabase = 0 OR d.datname = current_database()
    WHERE r.rolname = $1";

const IS_SUPERUSER: &str = "SELECT rolsuper FROM pg_roles WHERE rolname = $1";

const WILL_EXPIRE: &str = "SELECT coalesce(rolvaliduntil, 'infinity') < 'infinity' FROM pg_roles WHERE rolname = $1";

/// Whether sessions can be counted here: without it no old generation is ever known to be out of use.
async fn blind(target: &Postgres, endpoint: &Endpoint, session: &Session) -> Option<Fault> {
    let nobody: Vec<&str> = Vec::new();
    let error = session.query_typed(observe::COUNT, &[(&nobody, Type::TEXT_ARRAY)]).await.err()?;
    let mut found = fault(&error, Touched::Nothing, &format!("counting sessions at endpoint {}", endpoint.name));
    if found.kind == FaultKind::NotPermitted {
        found.detail = format!(
            "our user may not read pg_stat_activity at endpoint {}. Run as a superuser in database {}: GRANT SELECT ON \
             pg_stat_activity TO {};",
            endpoint.name,
            target.config.database,
            escape_identifier(&target.config.admin.user)
        );
    }
    Some(found)
}

/// Makes the change and rolls it back. No reading of catalogs knows all that may refuse it: versions differ in who may
/// change a role, and hooks judge passwords.
async fn rehearse(session: &Session, user: &User<'_>, standing: &Standing) -> Result<Option<Fault>, Fault> {
    let foreign = standing.comment.label.as_ref().is_none_or(|label| user.owns(label).is_err());
    let left_alone = match user.kind {
        Kind::Twin => standing.may_log_in && foreign,
        Kind::Versioned => foreign || is_forgotten(standing),
    };
    if left_alone {
        return Ok(None);
    }
    let change = Change::Accept { verifier: VERIFIER_OF_NOTHING };
    let role = escape_identifier(&user.role);
    try_out(session, user, &format!("{}; COMMENT ON ROLE {role} IS NULL", change.statements(&user.role, true))).await
}

/// The same with a versioned user that is not there: all that its generation will need, from its making to its end.
async fn rehearse_creation(target: &Postgres, session: &Session, there: &[User<'_>]) -> Result<Option<Fault>, Fault> {
    let next = there.iter().map(|user| user.slot.0).max().unwrap_or_default().checked_add(1);
    let (Users::Versioned(_), Some(next)) = (&target.users, next) else {
        return Ok(None);
    };
    let user = target.user(Slot(next))?;
    let (role, owner) = (escape_identifier(&user.role), escape_identifier(user.owner));
    let statements = format!(
        "{}; {}; COMMENT ON ROLE {role} IS NULL; COMMENT ON ROLE {owner} IS NULL; DROP ROLE {role}",
        versioned::exclude_others(user.owner),
        versioned::creation(&role, user.owner, VERIFIER_OF_NOTHING)
    );
    try_out(session, &user, &statements).await
}

async fn try_out(session: &Session, user: &User<'_>, statements: &str) -> Result<Option<Fault>, Fault> {
    let Err(error) = session.batch_execute(&format!("{BEGIN}; {statements}; ROLLBACK")).await else {
        return Ok(None);
    };
    session
        .batch_execute("ROLLBACK")
        .await
        .map_err(|error| fault(&error, Touched::Nothing, "rolling a rehearsal back"))?;
    let found = user.denied(&error, Change::Accept { verifier: VERIFIER_OF_NOTHING });
    // What passes is no property of the group: it could not be looked at.
    if matches!(found.kind, FaultKind::Busy | FaultKind::TimedOut | FaultKind::Unreachable) {
        return Err(found);
    }
    Ok(Some(if found.kind == FaultKind::Rejected {
        let detail = "the server refuses ready-made SCRAM verifiers; Handover never sends a password in clear";
        Fault::untouched(FaultKind::Unsupported, detail)
    } else {
        found
    }))
}

/// The first column of the first row; `None` if there is no row, or nothing in it.
async fn ask<T>(session: &Session, statement: &str, names: &[&str]) -> Result<Option<T>, Fault>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let failed = |error| fault(&error, Touched::Nothing, "looking at roles");
    let parameters: Vec<_> =
        names.iter().map(|name| (name as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT)).collect();
    let rows = session.query_typed(statement, &parameters).await.map_err(failed)?;
    rows.first().map_or(Ok(None), |row| row.try_get(0)).map_err(failed)
}
