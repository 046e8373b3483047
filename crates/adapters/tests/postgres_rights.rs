//! What the PostgreSQL target finds out about roles and rights, on a real server.
#![cfg(feature = "target-postgres")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use handover_core::port::{Intent, Target, Verdict};
use handover_core::{Candidate, Effect, FaultKind, Generation, Mark, Occupant, RowVersion, Slot, Touched};
use handover_secret::Secret;
use support::{Group, with_server};

const FIRST: Occupant = Occupant { generation: Generation(1), slot: Slot(0), candidate: Candidate(1) };
const SECOND: Occupant = Occupant { generation: Generation(2), slot: Slot(1), candidate: Candidate(1) };

fn accept(group: &Group, who: Occupant, version: u64) -> Intent {
    let mark = Mark { generation: who.generation, version: RowVersion(version) };
    Intent { id: Effect::EnsureAccepted { who, mark }.id(&group.id, who), who, mark }
}

fn value(text: &str) -> Secret {
    Secret::from_text(format!("canary-{text}"))
}

/// Two generations, in both slots.
async fn two_generations(group: &Group) -> (Secret, Secret) {
    let (first, second) = (value("first"), value("second"));
    group.target.create(&accept(group, FIRST, 1), &first).await.unwrap();
    group.target.create(&accept(group, SECOND, 2), &second).await.unwrap();
    (first, second)
}

/// Each breaks the second twin, or favours the first, and names what must be told.
const BREAKS: &[(&str, &str)] = &[
    (
        "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {a}, {admin}",
        "may not connect to database",
    ),
    ("REVOKE {owner} FROM {b}", "may not take on the role"),
    ("CREATE TABLE t (n int); GRANT SELECT ON t TO {a}", "SELECT on table public.t"),
    ("CREATE TABLE t (n int); GRANT SELECT, INSERT ON t TO {a}; GRANT SELECT ON t TO {b}", "INSERT on table public.t"),
    ("CREATE TABLE t (n int); GRANT UPDATE (n) ON t TO {a}", "UPDATE on column n of table public.t"),
    (
        "CREATE TABLE t (n int); GRANT SELECT ON t TO {a} WITH GRANT OPTION; GRANT SELECT ON t TO {b}",
        "SELECT with grant option on table public.t",
    ),
    ("CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO {a}", "USAGE on schema s"),
    ("CREATE SEQUENCE q; GRANT USAGE ON SEQUENCE q TO {a}", "USAGE on sequence public.q"),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION f FROM PUBLIC;
         GRANT EXECUTE ON FUNCTION f TO {a}",
        "EXECUTE on function public.f()",
    ),
    ("GRANT CREATE ON DATABASE {database} TO {a}", "CREATE on database"),
    ("GRANT SET ON PARAMETER log_statement TO {a}", "SET on parameter log_statement"),
    ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {a}", "SELECT on default privileges"),
    ("CREATE TABLE t (n int); ALTER TABLE t OWNER TO {a}", "ownership of table public.t"),
    (
        "CREATE TABLE t (n int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO {a} USING (true)",
        "mention in policy p on table public.t",
    ),
    ("GRANT pg_read_all_data TO {a}", "not a member of role pg_read_all_data"),
    ("ALTER ROLE {a} CREATEDB", "attribute CREATEDB"),
    ("ALTER ROLE {a} BYPASSRLS", "attribute BYPASSRLS"),
    ("ALTER ROLE {b} NOINHERIT", "attribute INHERIT"),
    ("ALTER ROLE {b} CONNECTION LIMIT 50", "CONNECTION LIMIT -1"),
    ("ALTER ROLE {b} VALID UNTIL '2999-01-01'", "VALID UNTIL infinity"),
    ("ALTER ROLE {a} SET work_mem = '8MB'", "the setting work_mem"),
    ("ALTER ROLE {b} SET statement_timeout = '1ms'", "the setting statement_timeout"),
    ("ALTER ROLE {a} IN DATABASE {database} SET work_mem = '9MB'", "the setting work_mem in database"),
];

/// F14: the right is named.
#[test]
fn a_right_that_only_the_current_twin_has_makes_the_candidate_unfit() {
    with_server(|harness| async move {
        let mut untold = Vec::new();
        for (statements, told) in BREAKS {
            let group = harness.group().await;
            let (first, second) = two_generations(&group).await;
            let statements = statements
                .replace("{a}", &group.roles.twins[0])
                .replace("{b}", &group.roles.twins[1])
                .replace("{owner}", &group.roles.owner)
                .replace("{admin}", &group.roles.admin)
                .replace("{database}", &group.database);
            group.sql(&statements).await;
            let verdict = group.target.verify(SECOND, &second, Some((FIRST, &first))).await.unwrap();
            match &verdict {
                Verdict::Unfit { missing } if missing.iter().any(|word| word.contains(told)) => {}
                Verdict::Unfit { .. } | Verdict::Passed | Verdict::Refused { .. } => {
                    untold.push(format!("{statements}: must say {told:?}, said {verdict:?}"));
                }
            }
        }
        assert!(untold.is_empty(), "{}", untold.join("\n"));
    });
}

#[test]
fn rights_that_both_have_by_different_ways_are_no_difference() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let (first, second) = two_generations(&group).await;
        let (a, b, owner) = (&group.roles.twins[0], &group.roles.twins[1], &group.roles.owner);
        group
            .sql(&format!(
                "CREATE TABLE by_owner (n int); GRANT SELECT ON by_owner TO {a}; GRANT SELECT ON by_owner TO {owner};
                 CREATE TABLE by_all (n int); GRANT SELECT ON by_all TO {a}; GRANT SELECT ON by_all TO PUBLIC;
                 CREATE TABLE twice (n int); GRANT SELECT ON twice TO {a}, {b};
                 CREATE TABLE only_candidate (n int); GRANT SELECT ON only_candidate TO {b};
                 ALTER ROLE {a} SET work_mem = '8MB'; ALTER ROLE {b} SET work_mem = '8MB'"
            ))
            .await;
        let session = group.consumer(FIRST.slot, &first).await.unwrap();
        session.batch_execute("RESET ROLE; CREATE TEMPORARY TABLE passing (n int)").await.unwrap();
        let verdict = group.target.verify(SECOND, &second, Some((FIRST, &first))).await;
        assert_eq!(verdict, Ok(Verdict::Passed));
    });
}

#[test]
fn what_belongs_to_one_twin_in_another_database_is_found() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let other = harness.group().await;
        let (first, second) = two_generations(&group).await;
        other.sql(&format!("CREATE TABLE t (n int); GRANT SELECT ON t TO {}", group.roles.twins[0])).await;
        let verdict = group.target.verify(SECOND, &second, Some((FIRST, &first))).await.unwrap();
        let Verdict::Unfit { missing } = verdict else { panic!("{verdict:?}") };
        let told = format!("a grant on an object in database {}", other.database);
        assert!(missing.iter().any(|word| word.contains(&told)), "{missing:?}");
    });
}

#[test]
fn a_first_generation_without_its_owner_is_unfit() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let first = value("first");
        group.target.create(&accept(&group, FIRST, 1), &first).await.unwrap();
        group.sql(&format!("REVOKE {} FROM {}", group.roles.owner, group.roles.twins[0])).await;
        let verdict = group.target.verify(FIRST, &first, None).await.unwrap();
        let Verdict::Unfit { missing } = verdict else { panic!("{verdict:?}") };
        let (_, grant) = missing[0].split_once("run: ").unwrap();
        group.sql(grant).await;
        assert_eq!(group.target.verify(FIRST, &first, None).await, Ok(Verdict::Passed), "the printed grant mends it");
    });
}

#[test]
fn many_missing_rights_are_told_up_to_a_limit() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let (first, second) = two_generations(&group).await;
        let tables: String = (0..50)
            .map(|n| format!("CREATE TABLE t{n} (n int); GRANT SELECT ON t{n} TO {};", group.roles.twins[0]))
            .collect();
        group.sql(&tables).await;
        let verdict = group.target.verify(SECOND, &second, Some((FIRST, &first))).await.unwrap();
        let Verdict::Unfit { missing } = verdict else { panic!("{verdict:?}") };
        assert_eq!(missing.len(), 21);
        assert_eq!(missing[20], "and 30 more");
    });
}

/// Each breaks a group, and says of which kind the finding is.
const FINDINGS: &[(&str, FaultKind)] = &[
    ("ALTER ROLE {owner} LOGIN", FaultKind::Misconfigured),
    ("REVOKE {owner} FROM {b}", FaultKind::Misconfigured),
    ("ALTER ROLE {a} RESET role", FaultKind::Misconfigured),
    ("ALTER ROLE {a} VALID UNTIL '2020-01-01'", FaultKind::Misconfigured),
    ("ALTER ROLE {admin} NOCREATEROLE", FaultKind::NotPermitted),
    ("REVOKE SELECT ON pg_stat_activity FROM PUBLIC", FaultKind::NotPermitted),
];

#[test]
fn each_finding_of_the_preflight_prints_what_mends_it() {
    with_server(|harness| async move {
        for (statements, kind) in FINDINGS {
            let group = harness.group().await;
            let statements = statements
                .replace("{a}", &group.roles.twins[0])
                .replace("{b}", &group.roles.twins[1])
                .replace("{owner}", &group.roles.owner)
                .replace("{admin}", &group.roles.admin);
            group.sql(&statements).await;
            let findings = group.target.preflight().await.unwrap();
            let finding = findings.iter().find(|finding| finding.kind == *kind);
            let finding = finding.unwrap_or_else(|| panic!("{statements}: {findings:?}"));
            let (_, mend) = finding.detail.split_once("Run as a superuser").unwrap();
            let (_, mend) = mend.split_once(": ").unwrap();
            // The grant for version 16 is a part of the words that 15 does not know.
            let mend = mend.split("; and from PostgreSQL 16 on").next().unwrap();
            group.sql(mend).await;
            assert_eq!(group.target.preflight().await, Ok(vec![]), "{statements}: {mend}");
        }
    });
}

/// F08: found before anything is changed.
#[test]
fn a_user_without_createrole_is_found_before_anything_is_changed() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let (a, admin) = (&group.roles.twins[0], &group.roles.admin);
        group.sql(&format!("ALTER ROLE {admin} NOCREATEROLE")).await;
        let findings = group.target.preflight().await.unwrap();
        assert_eq!(findings.len(), 2, "one for each twin: {findings:?}");
        let expected = format!("GRANT \"{a}\" TO \"{admin}\" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;");
        assert!(findings[0].detail.contains(&expected), "{}", findings[0].detail);
        assert!(findings[0].detail.contains(&format!("ALTER ROLE \"{admin}\" CREATEROLE")), "{}", findings[0].detail);
        let fault = group.target.create(&accept(&group, FIRST, 1), &value("never")).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::NotPermitted, Touched::Nothing), "{fault}");
    });
}

#[test]
fn a_preflight_that_meets_a_change_is_an_error_and_no_finding() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let mut impatient = support::config(&group.roles, &group.database, &[group.server.port()]);
        impatient.statement_timeout_ms = 200;
        let target = support::build(&group.server, &group.id, &group.roles, impatient);
        let superuser = group.server.superuser(&group.database).await.unwrap();
        superuser.batch_execute(&format!("BEGIN; ALTER ROLE {} NOLOGIN", group.roles.twins[0])).await.unwrap();
        let fault = target.preflight().await.unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Busy | FaultKind::TimedOut), "{fault}");
        superuser.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(target.preflight().await, Ok(vec![]));
    });
}

/// F08: the grant is printed.
///
/// Before version 16, `CREATEROLE` alone may change any role; from then on, `ADMIN OPTION` on each is needed too.
#[test]
fn the_admin_option_is_asked_for_where_it_is_needed() {
    with_server(|harness| async move {
        let version = harness.version().await;
        let group = harness.group().await;
        let (a, b, admin) = (&group.roles.twins[0], &group.roles.twins[1], &group.roles.admin);
        let held = group.ask(&format!("SELECT pg_has_role('{admin}', '{a}', 'MEMBER WITH ADMIN OPTION')::text")).await;
        assert_eq!(held, if version >= 16 { "true" } else { "false" }, "the script grants what is needed and no more");
        if version < 16 {
            return;
        }
        group.sql(&format!("REVOKE {a}, {b} FROM {admin}")).await;
        let findings = group.target.preflight().await.unwrap();
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FaultKind::NotPermitted; 2]);
        for finding in findings {
            let (_, grant) = finding.detail.split_once("and from PostgreSQL 16 on: ").unwrap();
            group.sql(grant).await;
        }
        assert_eq!(group.target.preflight().await, Ok(vec![]), "the printed grants mend it");
    });
}

#[test]
fn roles_that_are_missing_or_in_use_are_found_and_left_alone() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let (a, b, owner) = (&group.roles.twins[0], &group.roles.twins[1], &group.roles.owner);
        group.sql(&format!("ALTER ROLE {a} LOGIN PASSWORD 'somebody-uses-it'; DROP ROLE {b}")).await;
        let kinds: Vec<_> = group.target.preflight().await.unwrap().iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FaultKind::Foreign, FaultKind::Missing]);
        let fault = group.target.create(&accept(&group, FIRST, 1), &value("never")).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing), "{fault}");
        assert!(group.server.connect(a, "somebody-uses-it", &group.database).await.is_ok(), "its user is let in");
        let fault = group.target.create(&accept(&group, SECOND, 2), &value("never")).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Missing, Touched::Nothing), "{fault}");

        group.sql(&format!("ALTER ROLE {a} NOLOGIN; DROP ROLE {owner}")).await;
        let findings = group.target.preflight().await.unwrap();
        assert!(findings.iter().any(|finding| finding.detail.contains("CREATE ROLE")), "{findings:?}");
    });
}

#[test]
fn a_revoked_principal_that_never_was_leaves_a_tombstone() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let b = &group.roles.twins[1];
        group.sql(&format!("DROP ROLE {b}")).await;
        let intent = accept(&group, SECOND, 7);
        group.target.destroy(&intent).await.unwrap();
        let may = group.ask(&format!("SELECT rolcanlogin::text FROM pg_roles WHERE rolname = '{b}'")).await;
        assert_eq!(may, "false");
        let fault = group.target.create(&accept(&group, SECOND, 6), &value("late")).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "{fault}");
    });
}

#[test]
fn other_peoples_comments_stay() {
    with_server(|harness| async move {
        let group = harness.group().await;
        let a = &group.roles.twins[0];
        group.sql(&format!("COMMENT ON ROLE {a} IS E'it''s the \\\\orders\\\\ app\\n\"second\" line'")).await;
        group.target.create(&accept(&group, FIRST, 1), &value("first")).await.unwrap();
        group.target.destroy(&accept(&group, FIRST, 2)).await.unwrap();
        let comment = group.ask(&format!("SELECT shobj_description('{a}'::regrole, 'pg_authid')")).await;
        let expected = format!(
            "it's the \\orders\\ app\n\"second\" line\nhandover:v1 group={} slot=0 generation=1 mark=1.2 \
             state=forgotten effect={}",
            group.id,
            accept(&group, FIRST, 2).id
        );
        assert_eq!(comment, expected);
    });
}

#[test]
fn a_label_that_cannot_be_read_stops_everything() {
    with_server(|harness| async move {
        let group = harness.group().await;
        group.sql(&format!("COMMENT ON ROLE {} IS 'handover:v9 from the future'", group.roles.twins[0])).await;
        let fault = group.target.create(&accept(&group, FIRST, 1), &value("never")).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Corrupt, Touched::Nothing), "{fault}");
        assert_eq!(group.target.census().await.map_err(|fault| fault.kind), Err(FaultKind::Corrupt));
        let findings = group.target.preflight().await.unwrap();
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FaultKind::Corrupt]);
    });
}
