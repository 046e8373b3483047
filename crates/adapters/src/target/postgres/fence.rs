//! Changes of a twin: each is one transaction that compares the mark, changes the role and leaves its own mark (R6).

use handover_core::port::{Intent, State};
use handover_core::{Fault, FaultKind, Slot, Touched};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::types::Type;

use super::connect::Session;
use super::fault::fault;
use super::label::{Comment, Label};

/// What is done to a twin.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// It gets this verifier, and may log in.
    Accept {
        /// A SCRAM-SHA-256 verifier, computed here.
        verifier: &'a str,
    },
    /// It may not log in; its verifier stays.
    Disable,
    /// It may log in again.
    Enable,
    /// It may not log in, and has no verifier.
    Forget,
    /// It may log in already, and gets its first label.
    Adopt,
}

/// Begins the transaction. A server whose commits do not wait for its disk is made to wait for this one.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// A twin of a group.
#[derive(Clone, Copy)]
pub(super) struct Twin<'a> {
    /// The user that changes it.
    pub(super) admin: &'a str,
    /// Whose it is.
    pub(super) group: &'a str,
    /// Which slot it is.
    pub(super) slot: Slot,
    /// The role's name.
    pub(super) role: &'a str,
}

/// A role as it stands.
pub(super) struct Standing {
    /// Whether it may log in.
    pub(super) may_log_in: bool,
    /// Its comment.
    pub(super) comment: Comment,
}

/// Makes the change in one transaction, or none of it. Until the commit is sent, nothing was touched for certain:
/// closing the session rolls back.
pub(super) async fn change(
    session: &Session,
    twin: Twin<'_>,
    intent: &Intent,
    change: Change<'_>,
) -> Result<(), Fault> {
    let failed = |error: tokio_postgres::Error| twin.denied(&error, change);
    session.batch_execute(BEGIN).await.map_err(failed)?;
    writable(session).await?;
    let found = twin.read(session).await?;
    match (&found, change) {
        (Some(standing), _) => twin.judge(standing, intent, change)?,
        (None, Change::Forget) => {}
        (None, Change::Accept { .. } | Change::Disable | Change::Enable | Change::Adopt) => return Err(twin.absent()),
    }
    session.batch_execute(&change.statements(twin.role, found.is_some())).await.map_err(failed)?;
    // The advisory lock holds only among sessions of one database. The change itself holds everywhere: another one of
    // the same role waits for it or fails, and the comment read after it is the last that was committed.
    let Some(Standing { comment, .. }) = twin.read(session).await? else {
        return Err(Fault::untouched(FaultKind::Busy, format!("the role {} was dropped meanwhile", twin.role)));
    };
    twin.judge_label(&comment, intent, change)?;
    let label = Label {
        group: twin.group.to_owned(),
        slot: twin.slot.0,
        generation: intent.who.generation,
        mark: intent.mark,
        state: change.state(),
        effect: intent.id.as_str().to_owned(),
    };
    let role = escape_identifier(twin.role);
    let words = escape_literal(&comment.with(&label));
    session.batch_execute(&format!("COMMENT ON ROLE {role} IS {words}")).await.map_err(failed)?;
    session.batch_execute("COMMIT").await.map_err(|error| {
        let doing = format!("committing a change of role {} (it may have been made)", twin.role);
        fault(&error, Touched::Unknown, &doing)
    })
}

/// Refuses an endpoint that cannot write, before a statement that would fail there.
pub(super) async fn writable(session: &Session) -> Result<(), Fault> {
    let looked = session
        .query_typed("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'", &[])
        .await
        .and_then(|rows| rows.first().map_or(Ok(false), |row| row.try_get(0)));
    match looked {
        Ok(false) => Ok(()),
        Ok(true) => {
            let detail = "the first endpoint is a replica or read-only; name the primary first";
            Err(Fault::untouched(FaultKind::ReadOnly, detail))
        }
        Err(error) => Err(fault(&error, Touched::Nothing, "asking whether the endpoint can write")),
    }
}

impl Twin<'_> {
    /// Reads the role; `None` if there is none.
    pub(super) async fn read(&self, session: &Session) -> Result<Option<Standing>, Fault> {
        let doing = || format!("reading role {}", self.role);
        let rows = session
            .query_typed(
                "SELECT r.rolcanlogin, shobj_description(r.oid, 'pg_authid') FROM pg_roles r WHERE r.rolname = $1",
                &[(&self.role, Type::TEXT)],
            )
            .await
            .map_err(|error| fault(&error, Touched::Nothing, &doing()))?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let columns = row.try_get(0).and_then(|may_log_in| Ok((may_log_in, row.try_get::<_, Option<&str>>(1)?)));
        let (may_log_in, text) = columns.map_err(|error| fault(&error, Touched::Nothing, &doing()))?;
        let comment = Comment::parse(text).map_err(|_| {
            let detail = format!(
                "the comment on role {} has a line that begins with handover:v and cannot be read; somebody edited it, \
                 or a newer version wrote it",
                self.role
            );
            Fault::untouched(FaultKind::Corrupt, detail)
        })?;
        Ok(Some(Standing { may_log_in, comment }))
    }

    /// Whether the label, if there is one, is this twin's.
    pub(super) fn owns(&self, label: &Label) -> Result<(), Fault> {
        if label.group != self.group {
            let detail = format!("the role {} belongs to group {}, not to {}", self.role, label.group, self.group);
            return Err(Fault::untouched(FaultKind::Foreign, detail));
        }
        if label.slot != self.slot.0 {
            let detail = format!(
                "the role {} is labelled as slot {} and configured as slot {}; the order of twins must not change",
                self.role, label.slot, self.slot
            );
            return Err(Fault::untouched(FaultKind::Misconfigured, detail));
        }
        Ok(())
    }

    fn judge(&self, standing: &Standing, intent: &Intent, change: Change<'_>) -> Result<(), Fault> {
        // Whom it serves is not known, unless a person says so, which is what an adoption is.
        if standing.may_log_in && standing.comment.label.is_none() && !matches!(change, Change::Adopt) {
            return Err(self.unlabelled());
        }
        self.judge_label(&standing.comment, intent, change)
    }

    /// Whom a role without a label serves is not known.
    pub(super) fn unlabelled(&self) -> Fault {
        let detail = format!(
            "the role {} bears no label of ours: it is in use by somebody else, or its comment was deleted; it is left \
             alone",
            self.role
        );
        Fault::untouched(FaultKind::Foreign, detail)
    }

    /// It has to be made by somebody who may grant it what it needs.
    pub(super) fn absent(&self) -> Fault {
        let detail = format!("the role {} does not exist; create it as the connector's page shows", self.role);
        Fault::untouched(FaultKind::Missing, detail)
    }

    /// What stands in the way of a change, with the grant that is missing. The transaction is not committed.
    pub(super) fn denied(&self, error: &tokio_postgres::Error, change: Change<'_>) -> Fault {
        let role = self.role;
        let fault = fault(error, Touched::Nothing, &format!("changing role {role}"));
        if fault.kind == FaultKind::NotPermitted {
            let (role, admin) = (escape_identifier(role), escape_identifier(self.admin));
            let detail = format!(
                "our user may not change role {role}. Run as a superuser: ALTER ROLE {admin} CREATEROLE; and from \
                 PostgreSQL 16 on: GRANT {role} TO {admin} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;"
            );
            return Fault { detail, ..fault };
        }
        // A hook that checks passwords judges the verifier or the name; it has its own codes.
        if fault.kind == FaultKind::Unsupported && matches!(change, Change::Accept { .. }) {
            let detail = format!("the server rejected a ready-made SCRAM verifier for role {role}");
            return Fault { kind: FaultKind::Rejected, detail, ..fault };
        }
        fault
    }

    fn judge_label(&self, comment: &Comment, intent: &Intent, change: Change<'_>) -> Result<(), Fault> {
        let Some(label) = &comment.label else {
            return Ok(());
        };
        self.owns(label)?;
        // A slot that has gone to a later generation is not changed for an earlier one, whatever the mark.
        if label.mark > intent.mark || label.generation > intent.who.generation {
            let detail = format!(
                "the role {} bears mark {}.{} for generation {}; this change has mark {}.{} for generation {}",
                self.role,
                label.mark.generation,
                label.mark.version,
                label.generation,
                intent.mark.generation,
                intent.mark.version,
                intent.who.generation
            );
            return Err(Fault::untouched(FaultKind::Fenced, detail));
        }
        match change {
            Change::Enable if label.generation != intent.who.generation || label.state == State::Forgotten => {
                let detail = format!(
                    "the role {} does not hold the value of generation {} any more, so it cannot be enabled",
                    self.role, intent.who.generation
                );
                Err(Fault::untouched(FaultKind::Missing, detail))
            }
            Change::Accept { .. } | Change::Disable | Change::Enable | Change::Forget | Change::Adopt => Ok(()),
        }
    }
}

impl Change<'_> {
    /// The statements that lock the role and change it. Only the tombstone of an absent role creates one.
    ///
    /// The lock makes changes of one role queue up instead of colliding. It is per role, not per cluster: PostgreSQL
    /// changes different roles side by side, and one executor that stopped in the middle must not delay the others.
    pub(super) fn statements(self, role: &str, exists: bool) -> String {
        let key = escape_literal(&format!("handover role {role}"));
        let role = escape_identifier(role);
        let change = match self {
            Self::Accept { verifier } => format!("ALTER ROLE {role} LOGIN PASSWORD {}", escape_literal(verifier)),
            Self::Disable => format!("ALTER ROLE {role} NOLOGIN"),
            // Nothing changes, and everybody else who changes the role is excluded until the label is written.
            Self::Enable | Self::Adopt => format!("ALTER ROLE {role} LOGIN"),
            Self::Forget if exists => format!("ALTER ROLE {role} NOLOGIN PASSWORD NULL"),
            Self::Forget => format!("CREATE ROLE {role} NOLOGIN"),
        };
        format!("SELECT pg_advisory_xact_lock(hashtextextended({key}, 0)); {change}")
    }

    const fn state(self) -> State {
        match self {
            Self::Accept { .. } | Self::Enable | Self::Adopt => State::Accepting,
            Self::Disable => State::Disabled,
            Self::Forget => State::Forgotten,
        }
    }
}
