//! Changes of a versioned user: as those of a twin, but that the user comes and goes, and its mark stays (R6).
//!
//! The mark of a user that is gone stands in the owner's comment, one line for each group. Marks of a group rise with
//! every commit, so the highest of them refuses whatever comes late for any of its users that are gone.

use handover_core::port::{Intent, Standing, State};
use handover_core::{Fault, FaultKind, Slot, Touched};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::types::Type;

use super::Postgres;
use super::connect::Session;
use super::fault::fault;
use super::fence::{BEGIN, Change, User, commit, lock, writable};
use super::label::{Comment, Label};
use super::users::slot_of;

/// Makes the change in one transaction, or none of it.
pub(super) async fn change(
    session: &Session,
    user: &User<'_>,
    intent: &Intent,
    change: Change<'_>,
) -> Result<(), Fault> {
    let failed = |error: tokio_postgres::Error| user.denied(&error, change);
    session.batch_execute(BEGIN).await.map_err(failed)?;
    writable(session).await?;
    session.batch_execute(&exclude_others(user.owner)).await.map_err(failed)?;
    let grave = Grave::read(session, user.owner, user.group).await?;
    let found = user.read(session).await?;
    let stays = match (&found, change) {
        (Some(standing), Change::Drop) => {
            user.judge(standing, intent, change)?;
            !drop_role(session, user).await?
        }
        (Some(standing), _) => {
            user.judge(standing, intent, change)?;
            true
        }
        (None, Change::Accept { .. }) => {
            grave.judge(user, intent)?;
            true
        }
        // It refuses logins already. Its mark says so to whoever comes late.
        (None, Change::Disable | Change::Forget | Change::Drop) => {
            grave.judge(user, intent)?;
            false
        }
        (None, Change::Enable | Change::Adopt) => {
            grave.judge(user, intent)?;
            return Err(user.absent());
        }
    };
    let state = if stays { change.state() } else { State::Forgotten };
    let label = user.label(intent, state);
    let mut statements = Vec::new();
    if stays {
        let comment = found.as_ref().map(|standing| standing.comment.clone()).unwrap_or_default();
        let role = escape_identifier(&user.role);
        statements.push(if let (None, Change::Accept { verifier }) = (&found, change) {
            creation(&role, user.owner, verifier)
        } else {
            change.statement(&role, true)
        });
        statements.push(format!("COMMENT ON ROLE {role} IS {}", escape_literal(&comment.with(&label))));
    }
    // Also of a user that stays as it is left: a person may drop it later.
    if state == State::Forgotten {
        let words = escape_literal(&grave.with(&label));
        statements.push(format!("COMMENT ON ROLE {} IS {words}", escape_identifier(user.owner)));
    }
    session.batch_execute(&statements.join("; ")).await.map_err(failed)?;
    commit(session, user).await
}

/// All users of the group that there are, and others with such a name.
pub(super) async fn there(target: &Postgres, session: &Session, stem: &str) -> Result<Vec<Slot>, Fault> {
    let statement = "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname::text, $1) ORDER BY oid";
    let failed = |error| fault(&error, Touched::Nothing, &format!("looking for users of group {}", target.group));
    let rows = session.query_typed(statement, &[(&stem, Type::TEXT)]).await.map_err(failed)?;
    let names = rows.iter().map(|row| row.try_get::<_, &str>(0)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(names.into_iter().filter_map(|name| slot_of(stem, name)).collect())
}

/// What is known of the last one that is gone, unless its user is there after all.
pub(super) async fn gone(
    target: &Postgres,
    session: &Session,
    standings: &[Standing],
) -> Result<Option<Standing>, Fault> {
    let grave = Grave::read(session, &target.config.owner, target.group.as_str()).await?;
    let absent = |label: &Label| standings.iter().all(|standing| standing.slot != Slot(label.slot));
    Ok(grave.comment.label.filter(absent).map(|label| Standing {
        slot: Slot(label.slot),
        generation: Some(label.generation),
        mark: Some(label.mark),
        state: label.state,
    }))
}

/// Excludes everybody else who changes users of the group, until the transaction ends. The advisory lock makes them queue
/// up, among sessions of one database. The change of the owner, which changes nothing of it, excludes those of other
/// databases: they fail, and are tried again.
pub(super) fn exclude_others(owner: &str) -> String {
    format!("{}; ALTER ROLE {}", lock(owner), escape_identifier(owner))
}

/// Makes a user as a twin is made by hand: a member of the owner, whose sessions start as the owner.
pub(super) fn creation(role: &str, owner: &str, verifier: &str) -> String {
    let (owner, verifier) = (escape_identifier(owner), escape_literal(verifier));
    format!("CREATE ROLE {role} LOGIN PASSWORD {verifier} IN ROLE {owner}; ALTER ROLE {role} SET role = {owner}")
}

/// Whether it could be dropped. What depends on it, and a right that is missing, is a reason to leave it there.
async fn drop_role(session: &Session, user: &User<'_>) -> Result<bool, Fault> {
    let failed = |error: tokio_postgres::Error| user.denied(&error, Change::Drop);
    let attempt = format!("SAVEPOINT handover_drop; DROP ROLE {}", escape_identifier(&user.role));
    match session.batch_execute(&attempt).await {
        Ok(()) => return Ok(true),
        Err(error) if leaves_it(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    session.batch_execute("ROLLBACK TO SAVEPOINT handover_drop").await.map_err(failed)?;
    Ok(false)
}

fn leaves_it(error: &tokio_postgres::Error) -> bool {
    // Objects depend on it; it is in use as a session's own; we may not.
    matches!(error.code().map(tokio_postgres::error::SqlState::code), Some("2BP01" | "55006" | "42501"))
}

/// The owner's comment: where marks stay.
struct Grave {
    comment: Comment,
}

impl Grave {
    async fn read(session: &Session, owner: &str, group: &str) -> Result<Self, Fault> {
        let failed = |error| fault(&error, Touched::Nothing, &format!("reading the owner {owner}"));
        let statement = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1";
        let rows = session.query_typed(statement, &[(&owner, Type::TEXT)]).await.map_err(failed)?;
        let text = rows.first().map_or(Ok(None), |row| row.try_get::<_, Option<&str>>(0)).map_err(failed)?;
        let comment = Comment::of_group(text, group).map_err(|_| super::fence::unreadable(owner))?;
        Ok(Self { comment })
    }

    /// Whether what comes for a user that is not there comes too late.
    fn judge(&self, user: &User<'_>, intent: &Intent) -> Result<(), Fault> {
        match &self.comment.label {
            Some(label) if label.mark > intent.mark => {
                let detail = format!(
                    "the user {} is gone, and the owner {} bears mark {}.{} for group {}; this change has mark {}.{}",
                    user.role,
                    user.owner,
                    label.mark.generation,
                    label.mark.version,
                    user.group,
                    intent.mark.generation,
                    intent.mark.version
                );
                Err(Fault::untouched(FaultKind::Fenced, detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The comment with this label, unless it bears a higher mark already.
    fn with(&self, label: &Label) -> String {
        let stands = self.comment.label.as_ref().filter(|stands| stands.mark > label.mark);
        self.comment.with(stands.unwrap_or(label))
    }
}
