//! Changes of a user: each is one transaction that compares the mark, changes the role and leaves its own mark (R6).

use handover_core::port::{Intent, State};
use handover_core::{Fault, FaultKind, Slot, Touched};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::types::Type;

use super::connect::Session;
use super::fault::fault;
use super::label::{Comment, Label};
use super::versioned;
use crate::fences::{Fence, is_on};

/// What is done to a user.
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
    /// As forgotten, and there is no user any more unless something depends on it. Of versioned ones alone.
    Drop,
    /// It may log in already, and gets its first label.
    Adopt,
}

/// Begins the transaction. A server whose commits do not wait for its disk is made to wait for this one.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// How long a user stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For ever; made by hand.
    Twin,
    /// From its generation's Apply to its end; made and dropped here.
    Versioned,
}

/// A user of a group.
#[derive(Clone)]
pub(super) struct User<'a> {
    /// How long it stays.
    pub(super) kind: Kind,
    /// The user that changes it.
    pub(super) admin: &'a str,
    /// The role that owns the objects.
    pub(super) owner: &'a str,
    /// Whose it is.
    pub(super) group: &'a str,
    /// Which slot it is.
    pub(super) slot: Slot,
    /// The role's name.
    pub(super) role: String,
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
    user: &User<'_>,
    intent: &Intent,
    change: Change<'_>,
) -> Result<(), Fault> {
    match user.kind {
        Kind::Twin => change_twin(session, user, intent, change).await,
        Kind::Versioned => versioned::change(session, user, intent, change).await,
    }
}

async fn change_twin(session: &Session, twin: &User<'_>, intent: &Intent, change: Change<'_>) -> Result<(), Fault> {
    let failed = |error: tokio_postgres::Error| twin.denied(&error, change);
    // What is only read is asked together with what it follows: the server answers in one go.
    let (begun, writable, found) =
        tokio::join!(biased; session.batch_execute(BEGIN), writable(session), twin.read(session));
    begun.map_err(failed)?;
    writable?;
    let found = found?;
    match (&found, change) {
        (Some(standing), _) => twin.judge(standing, intent, change)?,
        (None, Change::Forget | Change::Drop) => {}
        (None, Change::Accept { .. } | Change::Disable | Change::Enable | Change::Adopt) => return Err(twin.absent()),
    }
    let statements = change.statements(&twin.role, found.is_some());
    let (changed, after) = tokio::join!(biased; session.batch_execute(&statements), twin.read(session));
    changed.map_err(failed)?;
    // The advisory lock holds only among sessions of one database. The change itself holds everywhere: another one of
    // the same role waits for it or fails, and the comment read after it is the last that was committed.
    let Some(Standing { comment, .. }) = after? else {
        return Err(Fault::untouched(FaultKind::Busy, format!("the role {} was dropped meanwhile", twin.role)));
    };
    twin.judge_label(&comment, intent, change)?;
    let role = escape_identifier(&twin.role);
    let words = escape_literal(&comment.with(&twin.label(intent, change.state())));
    session.batch_execute(&format!("COMMENT ON ROLE {role} IS {words}")).await.map_err(failed)?;
    commit(session, twin).await
}

pub(super) async fn commit(session: &Session, user: &User<'_>) -> Result<(), Fault> {
    session.batch_execute("COMMIT").await.map_err(|error| {
        let doing = format!("committing a change of role {} (it may have been made)", user.role);
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

impl User<'_> {
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
        let comment = Comment::parse(text).map_err(|_| unreadable(&self.role))?;
        Ok(Some(Standing { may_log_in, comment }))
    }

    /// The label that a change leaves.
    pub(super) fn label(&self, intent: &Intent, state: State) -> Label {
        Label {
            group: self.group.to_owned(),
            slot: self.slot.0,
            generation: intent.who.generation,
            mark: intent.mark,
            state,
            effect: intent.id.as_str().to_owned(),
        }
    }

    /// Whether the label, if there is one, is this user's.
    pub(super) fn owns(&self, label: &Label) -> Result<(), Fault> {
        if label.group != self.group {
            let detail = format!("the role {} belongs to group {}, not to {}", self.role, label.group, self.group);
            return Err(Fault::untouched(FaultKind::Foreign, detail));
        }
        if label.slot != self.slot.0 {
            let must_not = match self.kind {
                Kind::Twin => "the order of twins must not change",
                Kind::Versioned => "it must not be renamed",
            };
            let detail = format!(
                "the role {} is labelled as slot {} and configured as slot {}; {must_not}",
                self.role, label.slot, self.slot
            );
            return Err(Fault::untouched(FaultKind::Misconfigured, detail));
        }
        Ok(())
    }

    pub(super) fn judge(&self, standing: &Standing, intent: &Intent, change: Change<'_>) -> Result<(), Fault> {
        // Whom it serves is not known, unless a person says so, which is what an adoption is. A versioned user that we
        // made has a label from its first moment on.
        let ours = standing.comment.label.is_some() || matches!(change, Change::Adopt);
        if !ours && (standing.may_log_in || self.kind == Kind::Versioned) {
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

    /// A twin has to be made by somebody who may grant it what it needs.
    pub(super) fn absent(&self) -> Fault {
        let why = match self.kind {
            Kind::Twin => "does not exist; create it as the connector's page shows",
            Kind::Versioned => "does not exist any more: somebody dropped it, and its password is gone with it",
        };
        Fault::untouched(FaultKind::Missing, format!("the role {} {why}", self.role))
    }

    /// What stands in the way of a change, with the grant that is missing. The transaction is not committed.
    pub(super) fn denied(&self, error: &tokio_postgres::Error, change: Change<'_>) -> Fault {
        let role = &self.role;
        let fault = fault(error, Touched::Nothing, &format!("changing role {role}"));
        if fault.kind == FaultKind::NotPermitted {
            let (role, admin) = (escape_identifier(role), escape_identifier(self.admin));
            let detail = match self.kind {
                Kind::Twin => format!(
                    "our user may not change role {role}. Run as a superuser: ALTER ROLE {admin} CREATEROLE; and from \
                     PostgreSQL 16 on: GRANT {role} TO {admin} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;"
                ),
                Kind::Versioned => format!(
                    "our user may not make and change users such as {role}. Run as a superuser: ALTER ROLE {admin} \
                     CREATEROLE; and from PostgreSQL 16 on: GRANT {} TO {admin} WITH ADMIN TRUE, INHERIT FALSE, SET \
                     FALSE; and the same for {role} if it is there already",
                    escape_identifier(self.owner)
                ),
            };
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
        // A slot that has gone to a later generation is not changed for an earlier one, whatever the mark; but the earlier
        // one's value may be put back over the later one's, which takes a mark above it.
        let puts_back = matches!(change, Change::Accept { .. }) && intent.mark > label.mark;
        let later = label.mark > intent.mark || (label.generation > intent.who.generation && !puts_back);
        if later && is_on(Fence::Slot) {
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
            Change::Accept { .. }
            | Change::Disable
            | Change::Enable
            | Change::Forget
            | Change::Drop
            | Change::Adopt => Ok(()),
        }
    }
}

pub(super) fn unreadable(role: &str) -> Fault {
    let detail = format!(
        "the comment on role {role} has a line that begins with handover:v and cannot be read; somebody edited it, or a \
         newer version wrote it"
    );
    Fault::untouched(FaultKind::Corrupt, detail)
}

/// Makes changes of one role queue up instead of colliding. It is per role, not per cluster: PostgreSQL changes different
/// roles side by side, and one executor that stopped in the middle must not delay the others.
pub(super) fn lock(role: &str) -> String {
    let key = escape_literal(&format!("handover role {role}"));
    format!("SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))")
}

impl Change<'_> {
    /// The statements that lock the role and change it.
    pub(super) fn statements(self, role: &str, exists: bool) -> String {
        format!("{}; {}", lock(role), self.statement(&escape_identifier(role), exists))
    }

    /// The statement that changes the role. Only the tombstone of an absent role creates one.
    pub(super) fn statement(self, role: &str, exists: bool) -> String {
        match self {
            Self::Accept { verifier } => format!("ALTER ROLE {role} LOGIN PASSWORD {}", escape_literal(verifier)),
            Self::Disable => format!("ALTER ROLE {role} NOLOGIN"),
            // Nothing changes, and everybody else who changes the role is excluded until the label is written.
            Self::Enable | Self::Adopt => format!("ALTER ROLE {role} LOGIN"),
            Self::Forget | Self::Drop if exists => format!("ALTER ROLE {role} NOLOGIN PASSWORD NULL"),
            Self::Forget | Self::Drop => format!("CREATE ROLE {role} NOLOGIN"),
        }
    }

    pub(super) const fn state(self) -> State {
        match self {
            Self::Accept { .. } | Self::Enable | Self::Adopt => State::Accepting,
            Self::Disable => State::Disabled,
            Self::Forget | Self::Drop => State::Forgotten,
        }
    }
}
