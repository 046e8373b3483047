//! One round of verification: at every required server log in, take on the owner's role, compare rights; and through every
//! required pooler log in.

use handover_core::port::Verdict;
use handover_core::{Fault, FaultKind, Occupant, Touched};
use handover_secret::Secret;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::types::Type;

use super::config::Endpoint;
use super::connect::{Denied, Session};
use super::fault::fault;
use super::{Postgres, pooler, replica};
use crate::target::verdict::of_missing;

pub(super) async fn round(
    target: &Postgres,
    who: Occupant,
    value: &Secret,
    control: Option<(Occupant, &Secret)>,
) -> Result<Verdict, Fault> {
    let mut missing = Vec::new();
    for endpoint in target.config.endpoints.iter().filter(|endpoint| endpoint.required) {
        if endpoint.is_pooler() {
            pooler::look(target, endpoint, who, value, control).await?;
            continue;
        }
        replica::followed(target, endpoint, who).await?;
        let session = match target.login(endpoint, who, value).await {
            Ok(session) => session,
            Err(Denied::Refused) => return refused(target, endpoint, control).await,
            // Its credential is good, and then it may not enter the database.
            Err(Denied::Fault(fault)) if fault.kind == FaultKind::NotPermitted => {
                missing.push(no_entry(target, who)?);
                break;
            }
            Err(Denied::Fault(fault)) => return Err(fault),
        };
        for word in rights(target, endpoint, &session, who, control.map(|(who, _)| who)).await? {
            if !missing.contains(&word) {
                missing.push(word);
            }
        }
    }
    Ok(of_missing(missing))
}

fn no_entry(target: &Postgres, who: Occupant) -> Result<String, Fault> {
    let (database, owner) = (&target.config.database, &target.config.owner);
    Ok(format!(
        "{} may not connect to database {database}; run: GRANT CONNECT ON DATABASE {} TO {};",
        target.user(who.slot)?.role,
        escape_identifier(database),
        escape_identifier(owner)
    ))
}

/// A refusal counts only where somebody else is let in by the same endpoint. For a group's first generation that is our
/// own user: it proves less (`pg_hba.conf` may tell users apart), and nothing worse follows than one more change.
async fn refused(
    target: &Postgres,
    endpoint: &Endpoint,
    control: Option<(Occupant, &Secret)>,
) -> Result<Verdict, Fault> {
    let let_in = match control {
        Some((who, value)) => target.login(endpoint, who, value).await,
        None => target.admin_afresh(endpoint).await.map_err(Denied::Fault),
    };
    match let_in {
        Ok(_) => Ok(Verdict::Refused { endpoint: endpoint.name.clone() }),
        Err(Denied::Fault(fault)) => Err(fault),
        Err(Denied::Refused) => {
            let detail = format!("endpoint {} refused both the candidate and the current generation", endpoint.name);
            Err(Fault::untouched(FaultKind::Unauthenticated, detail))
        }
    }
}

/// What the candidate lacks, as seen from its own session.
async fn rights(
    target: &Postgres,
    endpoint: &Endpoint,
    session: &Session,
    who: Occupant,
    control: Option<Occupant>,
) -> Result<Vec<String>, Fault> {
    let candidate = target.user(who.slot)?.role;
    let candidate = candidate.as_str();
    let owner = &target.config.owner;
    let doing = || format!("comparing rights at endpoint {}", endpoint.name);
    let mut missing = Vec::new();
    if let Err(error) = session.batch_execute(&format!("SET ROLE {}", escape_identifier(owner))).await {
        match error.code().map(tokio_postgres::error::SqlState::code) {
            // The right is missing, or the role is.
            Some("42501" | "22023") => missing.push(format!(
                "{candidate} may not take on the role {owner}; run: GRANT {} TO {};",
                escape_identifier(owner),
                escape_identifier(candidate)
            )),
            _ => return Err(fault(&error, Touched::Nothing, &doing())),
        }
    }
    let Some(control) = control else {
        return Ok(missing);
    };
    let control = target.user(control.slot)?.role;
    let control = control.as_str();
    let there = session.query_typed("SELECT FROM pg_roles WHERE rolname = $1", &[(&control, Type::TEXT)]).await;
    // A versioned user that is gone has no rights to compare with.
    if there.map_err(|error| fault(&error, Touched::Nothing, &doing()))?.is_empty() {
        return Ok(missing);
    }
    for (statement, words) in COMPARISONS {
        let rows = session.query_typed(statement, &[(&candidate, Type::TEXT), (&control, Type::TEXT)]).await;
        for row in rows.map_err(|error| fault(&error, Touched::Nothing, &doing()))? {
            let what: String = row.try_get(0).map_err(|error| fault(&error, Touched::Nothing, &doing()))?;
            missing.push(words.replace("{candidate}", candidate).replace("{control}", control).replace("{}", &what));
        }
    }
    Ok(missing)
}

/// Statements that list what `$1` lacks and `$2` has, and how to say it. All of these catalogs are open to everybody.
const COMPARISONS: &[(&str, &str)] = &[
    (ATTRIBUTES, "{candidate} lacks the attribute {}, which {control} has"),
    (MEMBERSHIPS, "{candidate} is not a member of role {}, as {control} is"),
    (INHERITED, "{candidate} does not inherit the rights of role {}, as {control} does"),
    (SETTINGS, "{candidate} and {control} differ in the setting {}"),
    (GRANTS, "{candidate} lacks {}, which was granted to {control}"),
    (DEPENDENCIES, "{candidate} lacks {}, which {control} has"),
];

const ATTRIBUTES: &str = "
    SELECT x.name FROM pg_roles a, pg_roles b, LATERAL (VALUES
        ('SUPERUSER', a.rolsuper, b.rolsuper), ('CREATEDB', a.rolcreatedb, b.rolcreatedb),
        ('CREATEROLE', a.rolcreaterole, b.rolcreaterole), ('INHERIT', a.rolinherit, b.rolinherit),
        ('REPLICATION', a.rolreplication, b.rolreplication), ('BYPASSRLS', a.rolbypassrls, b.rolbypassrls),
        ('CONNECTION LIMIT ' || b.rolconnlimit,
            a.rolconnlimit = -1 OR (b.rolconnlimit <> -1 AND a.rolconnlimit >= b.rolconnlimit), true),
        ('VALID UNTIL ' || coalesce(b.rolvaliduntil, 'infinity'),
            coalesce(a.rolvaliduntil, 'infinity') >= coalesce(b.rolvaliduntil, 'infinity'), true)
    ) AS x (name, candidate, control)
    WHERE a.rolname = $1 AND b.rolname = $2 AND x.control AND NOT x.candidate";

const MEMBERSHIPS: &str = "
    SELECT r.rolname::text FROM pg_roles r
    WHERE r.rolname <> $2 AND pg_has_role($2::name, r.oid, 'MEMBER') AND NOT pg_has_role($1::name, r.oid, 'MEMBER')";

/// From version 16 on, being a member, inheriting and being allowed `SET ROLE` are three things.
const INHERITED: &str = "
    SELECT r.rolname::text FROM pg_roles r
    WHERE r.rolname <> $2 AND pg_has_role($1::name, r.oid, 'MEMBER')
      AND (pg_has_role($2::name, r.oid, 'USAGE') AND NOT pg_has_role($1::name, r.oid, 'USAGE')
        OR CASE WHEN current_setting('server_version_num')::int >= 160000
                THEN pg_has_role($2::name, r.oid, 'SET') AND NOT pg_has_role($1::name, r.oid, 'SET') END)";

/// The setting's name alone is told: values may be anything. One that only the candidate has can break it as well.
const SETTINGS: &str = "
    WITH s AS (
        SELECT r.rolname, s.setdatabase, split_part(c.setting, '=', 1) AS name, c.setting
        FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS c (setting)
        WHERE r.rolname IN ($1, $2)),
    d AS (
        SELECT setdatabase, name FROM (
            (SELECT setdatabase, name, setting FROM s WHERE rolname = $1
             EXCEPT SELECT setdatabase, name, setting FROM s WHERE rolname = $2)
            UNION ALL
            (SELECT setdatabase, name, setting FROM s WHERE rolname = $2
             EXCEPT SELECT setdatabase, name, setting FROM s WHERE rolname = $1)) AS e)
    SELECT DISTINCT d.name || coalesce(' in database ' || b.datname, '')
    FROM d LEFT JOIN pg_database b ON b.oid = d.setdatabase";

/// Rights in this database and on shared objects that were granted to the control itself, unless the candidate has them
/// by itself, by a role that it is a member of, or because everybody has.
const GRANTS: &str = "
    WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
    on_what AS (
        SELECT DISTINCT d.classid, d.objid FROM pg_shdepend d, pg_roles r, here
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND r.rolname = $2
          AND d.deptype = 'a' AND d.dbid IN (0, here.oid)),
    lists AS (
        SELECT w.classid, w.objid, 0 AS part, c.relacl AS acl FROM on_what w JOIN pg_class c
            ON w.classid = 'pg_class'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, c.attnum, c.attacl FROM on_what w JOIN pg_attribute c
            ON w.classid = 'pg_class'::regclass AND c.attrelid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.nspacl FROM on_what w JOIN pg_namespace c
            ON w.classid = 'pg_namespace'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.datacl FROM on_what w JOIN pg_database c
            ON w.classid = 'pg_database'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.proacl FROM on_what w JOIN pg_proc c
            ON w.classid = 'pg_proc'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.typacl FROM on_what w JOIN pg_type c
            ON w.classid = 'pg_type'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.lanacl FROM on_what w JOIN pg_language c
            ON w.classid = 'pg_language'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.srvacl FROM on_what w JOIN pg_foreign_server c
            ON w.classid = 'pg_foreign_server'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.fdwacl FROM on_what w JOIN pg_foreign_data_wrapper c
            ON w.classid = 'pg_foreign_data_wrapper'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.spcacl FROM on_what w JOIN pg_tablespace c
            ON w.classid = 'pg_tablespace'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.lomacl FROM on_what w JOIN pg_largeobject_metadata c
            ON w.classid = 'pg_largeobject'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.defaclacl FROM on_what w JOIN pg_default_acl c
            ON w.classid = 'pg_default_acl'::regclass AND c.oid = w.objid
        UNION ALL SELECT w.classid, w.objid, 0, c.paracl FROM on_what w JOIN pg_parameter_acl c
            ON w.classid = 'pg_parameter_acl'::regclass AND c.oid = w.objid),
    grants AS (
        SELECT l.classid, l.objid, l.part, g.grantee, g.privilege_type AS what, g.is_grantable AS further
        FROM lists l, aclexplode(l.acl) g)
    SELECT g.what || CASE WHEN g.further THEN ' with grant option' ELSE '' END || ' on '
           || pg_describe_object(g.classid, g.objid, g.part)
    FROM grants g JOIN pg_roles r ON r.oid = g.grantee AND r.rolname = $2
    WHERE NOT EXISTS (
        SELECT FROM grants o
        WHERE (o.classid, o.objid, o.part, o.what) = (g.classid, g.objid, g.part, g.what)
          AND (o.further OR NOT g.further) AND (o.grantee = 0 OR pg_has_role($1::name, o.grantee, 'MEMBER')))
    ORDER BY 1";

/// What is recorded of the control: objects it owns, policies that name it, and grants in other databases, where only
/// that there is one can be seen. Temporary tables are nobody's loss.
const DEPENDENCIES: &str = "
    WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database())
    SELECT DISTINCT CASE d.deptype WHEN 'o' THEN 'ownership of ' WHEN 'r' THEN 'mention in ' ELSE 'a grant on ' END
           || CASE WHEN d.dbid IN (0, here.oid) THEN pg_describe_object(d.classid, d.objid, d.objsubid)
                   ELSE 'an object in database ' || coalesce(b.datname, '?') END
    FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid AND r.rolname = $2
    CROSS JOIN here LEFT JOIN pg_database b ON b.oid = d.dbid
    WHERE d.refclassid = 'pg_authid'::regclass
      AND (d.deptype IN ('o', 'r') OR d.deptype = 'a' AND d.dbid NOT IN (0, here.oid))
      AND NOT EXISTS (
          SELECT FROM pg_class c
          WHERE d.dbid = here.oid AND d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't')
      AND NOT EXISTS (
          SELECT FROM pg_shdepend o
          WHERE o.refclassid = d.refclassid AND (o.dbid, o.classid, o.objid, o.deptype)
                = (d.dbid, d.classid, d.objid, d.deptype) AND pg_has_role($1::name, o.refobjid, 'MEMBER'))
    ORDER BY 1";
