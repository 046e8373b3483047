//! Versioned users on a real PostgreSQL: what only they have, beside what every target does.
#![cfg(feature = "target-postgres")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod support;

use handover_core::port::{Intent, State, Target as _};
use handover_core::{Candidate, Effect, FaultKind, Generation, GroupId, Mark, Occupant, RowVersion, Slot, Touched};
use handover_secret::Secret;

use crate::support::{Group, with_server};

fn who(generation: u32) -> Occupant {
    Occupant { generation: Generation(generation.into()), slot: Slot(generation), candidate: Candidate(1) }
}

fn intent(group: &GroupId, who: Occupant, mark: (u64, u64)) -> Intent {
    let mark = Mark { generation: Generation(mark.0), version: RowVersion(mark.1) };
    Intent { id: Effect::EnsureAccepted { who, mark }.id(group, who), who, mark }
}

async fn roles(group: &Group) -> String {
    let stem = group.roles.owner.replace("_owner", "_v");
    group
        .ask(&format!("SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^{stem}'"))
        .await
}

/// Another user's name is not taken, whether it may log in or not, and preflight says so before.
#[test]
fn a_role_that_is_not_ours_is_left_alone() {
    with_server(|harness| async move {
        let group = harness.versioned().group().await;
        let name = group.roles.owner.replace("_owner", "_v1");
        group.sql(&format!("CREATE ROLE {name} NOLOGIN")).await;
        let value = Secret::from_text("canary-versioned".to_owned());
        let fault = group.target.create(&intent(&group.id, who(1), (1, 2)), &value).await.unwrap_err();
        assert_eq!((fault.kind, fault.touched), (FaultKind::Foreign, Touched::Nothing), "{fault}");
        let findings = group.target.preflight().await.unwrap();
        assert!(findings.iter().any(|found| found.detail.contains(&format!("DROP ROLE \"{name}\""))), "{findings:?}");
        assert_eq!(roles(&group).await, name);
    });
}

/// The mark of a user that is gone refuses what comes late, also where a person dropped what stayed behind, and also for
/// another user of the group; a group that shares the owner has a mark of its own.
#[test]
fn marks_outlive_users_in_the_owners_comment() {
    with_server(|harness| async move {
        let group = harness.versioned().group().await;
        let value = Secret::from_text("canary-versioned".to_owned());
        let target = &group.target;
        group.sql(&format!("COMMENT ON ROLE {} IS 'the application'", group.roles.owner)).await;
        target.create(&intent(&group.id, who(1), (1, 2)), &value).await.unwrap();
        target.create(&intent(&group.id, who(2), (2, 8)), &value).await.unwrap();
        let name = group.roles.owner.replace("_owner", "_v1");
        group.sql(&format!("CREATE TABLE kept (n int); ALTER TABLE kept OWNER TO {name}")).await;
        target.destroy(&intent(&group.id, who(1), (2, 12))).await.unwrap();
        let remains = target.remains().await.unwrap();
        assert_eq!(remains.len(), 1);
        assert_eq!(remains[0].generation, Generation(1));
        assert!(remains[0].fault.detail.contains("it owns table public.kept"), "{}", remains[0].fault);
        group.sql(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).await;
        assert_eq!(target.remains().await, Ok(vec![]));
        for late in [who(1), who(3)] {
            let fault = target.create(&intent(&group.id, late, (2, 11)), &value).await.unwrap_err();
            assert_eq!((fault.kind, fault.touched), (FaultKind::Fenced, Touched::Nothing), "{fault}");
        }
        let census = target.census().await.unwrap();
        let of = |slot| census.iter().find(|standing| standing.slot == Slot(slot)).map(|standing| standing.state);
        assert_eq!((of(1), of(2)), (Some(State::Forgotten), Some(State::Accepting)));
        let comment = format!("SELECT shobj_description('{}'::regrole, 'pg_authid')", group.roles.owner);
        let comment = group.ask(&comment).await;
        assert!(comment.starts_with("the application\nhandover:v1 group="), "what others wrote stays: {comment}");
        target.create(&intent(&group.id, who(3), (3, 14)), &value).await.unwrap();
        assert_eq!(roles(&group).await.split(' ').count(), 2, "the second and the third");
    });
}

/// The right to make users is looked for before anything is done, and the grant is named.
#[test]
fn the_right_to_make_users_is_asked_for() {
    with_server(|harness| async move {
        let group = harness.versioned().group().await;
        assert_eq!(group.target.preflight().await, Ok(vec![]));
        let admin = &group.roles.admin;
        group.sql(&format!("ALTER ROLE {admin} NOCREATEROLE")).await;
        let findings = group.target.preflight().await.unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].kind, FaultKind::NotPermitted);
        assert!(findings[0].detail.contains(&format!("ALTER ROLE \"{admin}\" CREATEROLE")), "{}", findings[0]);
    });
}
