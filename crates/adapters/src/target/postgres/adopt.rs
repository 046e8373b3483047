//! Adopting a user that is in use: an owner takes over what it owns and may do, and it becomes one of two twins.
//!
//! What is to be done is derived from the catalogs each time, as statements; none left means done. So it makes no
//! difference who runs them, how often, and how far they got: the same look verifies the effect.

use std::fmt::Write as _;
use std::time::Duration;

use handover_core::port::Verdict;
use handover_core::{Candidate, Fault, FaultKind, Generation, Occupant, Slot, Touched};
use handover_secret::Secret;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::adopt_sql::{CONTENTS, DATABASES, HAS_OWN_SCHEMA, MAPPINGS, OBSTACLES, ROLES, SETTINGS};
use super::connect::{Denied, Session};
use super::fault::fault;
use super::fence::{BEGIN, Change, User, writable};
use super::users::Users;
use super::{Config, Postgres, preflight, verify};

/// How long a change of hands may wait for a lock, and take in all. Everybody else who uses the object waits behind it.
///
/// A change of hands takes several locks, and so does an application, in another order. The server ends one of those who
/// wait for each other after its `deadlock_timeout`, 1s unless somebody changed it: the change gives up before, so that
/// it is never the application.
const PATIENCE: &str = "SET LOCAL lock_timeout = '300ms'; SET LOCAL statement_timeout = '700ms'";

/// How often a step is tried that gave up, and the pause in between.
const TRIES_MAX: u32 = 20;
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// Looks after the adoption of one user.
pub struct Adoption {
    target: Postgres,
    user: String,
    slot: Slot,
}

/// What an adoption would do, and what stands in its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// How many objects the user owns, by database.
    pub owned: Vec<(String, i64)>,
    /// What is still to be done, in order.
    pub steps: Vec<Step>,
    /// What a person must decide first.
    pub obstacles: Vec<Fault>,
}

/// A statement that is still to be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// In which database.
    pub database: String,
    /// The statement, without a semicolon.
    pub statement: String,
    /// The role that it makes, if it makes one.
    pub makes: Option<String>,
}

/// The steps as a script for `psql`, to be run by a superuser. It may be run again.
pub fn script(steps: &[Step]) -> String {
    let mut text = "-- Run with psql, as a superuser. It may be run again, and must be if it gave up on a lock.\n\\set ON_ERROR_STOP on\n".to_owned();
    for group in steps.chunk_by(|one, other| one.database == other.database) {
        let database = group.first().map_or("", |step| step.database.as_str());
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n\\connect {}", escape_identifier(database));
        for Step { statement, makes, .. } in group {
            let _ = writeln!(text, "BEGIN; {PATIENCE};");
            let _ = match makes {
                Some(role) => writeln!(
                    text,
                    "SELECT {} WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) \\gexec",
                    escape_literal(statement).trim_start(),
                    escape_literal(role).trim_start()
                ),
                None => writeln!(text, "{statement};"),
            };
            text.push_str("COMMIT;\n");
        }
    }
    text
}

impl Adoption {
    /// Takes the group's target and the user that is to become one of its twins.
    pub fn new(target: Postgres, user: &str) -> Result<Self, Fault> {
        let twins = match &target.users {
            Users::Twins(twins) => twins,
            Users::Versioned(_) => return Err(only_twins(&target.config.owner)),
        };
        let slot = (0_u32..).map(Slot).zip(twins).find(|(_, twin)| twin.as_str() == user).map(|(slot, _)| slot);
        let slot = slot.ok_or_else(|| {
            let detail = format!(
                "the configuration does not name {user} as one of the group's twins. It keeps its name: put it first in \
                 `twins`, and a name that is free second"
            );
            Fault::untouched(FaultKind::Misconfigured, detail)
        })?;
        Ok(Self { target, user: user.to_owned(), slot })
    }

    /// The slot that the user is.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Logs in as the user. An error says why it cannot.
    pub async fn login(&self, password: &Secret) -> Result<(), Fault> {
        let main = self.target.config.main()?;
        match self.target.connector.login(&self.target.config, main, &self.user, password).await {
            Ok(_) => Ok(()),
            Err(Denied::Refused) => {
                let detail = format!(
                    "endpoint {} refused user {} with this password. If it is the one in use, it is stored as MD5, or \
                     the role may not log in: set it again with password_encryption = 'scram-sha-256'",
                    main.name, self.user
                );
                Err(Fault::untouched(FaultKind::Unauthenticated, detail))
            }
            Err(Denied::Fault(fault)) => Err(fault),
        }
    }

    /// Looks at everything and changes nothing. What it could not look at is an error.
    pub async fn look(&self, password: &Secret) -> Result<Outlook, Fault> {
        let config = &self.target.config;
        let session = self.target.admin(config.main()?).await?;
        writable(&session).await?;
        let mut outlook = Outlook { owned: Vec::new(), steps: Vec::new(), obstacles: self.foreign(&session).await? };
        for row in self.ask(&session, OBSTACLES).await? {
            let (words, run): (String, String) = (column(&row, 0)?, column(&row, 1)?);
            outlook.obstacles.push(misconfigured(format!("the user {} {words}. Decide, and run: {run}", self.user)));
        }
        for row in self.ask(&session, ROLES).await? {
            outlook.steps.push(Step { makes: column(&row, 1)?, ..self.step(column(&row, 0)?) });
        }
        let mut paths = Vec::new();
        for row in self.ask(&session, DATABASES).await? {
            let (name, open, owned): (String, bool, i64) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
            if !open || name.chars().any(char::is_control) {
                let detail =
                    format!("something of user {} is in database {name:?}, which cannot be entered", self.user);
                outlook.obstacles.push(misconfigured(detail));
                continue;
            }
            if owned > 0 {
                outlook.owned.push((name.clone(), owned));
            }
            self.look_into(&name, password, &mut outlook, &mut paths).await?;
        }
        outlook.steps.extend(paths);
        for row in self.ask(&session, SETTINGS).await? {
            outlook.steps.push(self.step(column(&row, 0)?));
        }
        Ok(outlook)
    }

    /// Runs the steps, each in a transaction of its own, so that no lock is held longer than it must be. What was done
    /// stays when a later step fails, and the next look does not list it any more.
    pub async fn carry_out(&self, steps: &[Step]) -> Result<(), Fault> {
        for group in steps.chunk_by(|one, other| one.database == other.database) {
            let Some(first) = group.first() else { continue };
            let session = self.enter(&first.database).await?;
            writable(&session).await?;
            for step in group {
                self.run(&session, step).await?;
            }
        }
        Ok(())
    }

    async fn run(&self, session: &Session, step: &Step) -> Result<(), Fault> {
        let doing = format!("preparing the adoption of {} in database {}", self.user, step.database);
        for tried in 1.. {
            let begun = session.batch_execute(&format!("{BEGIN}; {PATIENCE}; {}", step.statement)).await;
            let Err(error) = begun else { break };
            let found = fault(&error, Touched::Nothing, &doing);
            if !matches!(found.kind, FaultKind::Busy | FaultKind::TimedOut) || tried == TRIES_MAX {
                return Err(found);
            }
            let undone = session.batch_execute("ROLLBACK").await;
            undone.map_err(|error| fault(&error, Touched::Nothing, &doing))?;
            tokio::time::sleep(TRY_PAUSE).await;
        }
        session
            .batch_execute("COMMIT")
            .await
            .map_err(|error| fault(&error, Touched::Unknown, &format!("{doing} (the commit may have been made)")))
    }

    /// What is still wrong once no step is left: what a rotation would find, and what the user itself can see.
    pub async fn verify(&self, password: &Secret) -> Result<Vec<Fault>, Fault> {
        let twin = &self.target.user(self.slot)?;
        // That it bears no label is what the adoption is about.
        let expected = preflight::unlabelled(twin);
        let mut findings = preflight::look(&self.target).await?;
        findings.retain(|finding| *finding != expected);
        findings.extend(self.rehearse(twin).await?);
        let who = Occupant { generation: Generation(1), slot: self.slot, candidate: Candidate(1) };
        match verify::round(&self.target, who, password, None).await? {
            Verdict::Passed => {}
            Verdict::Refused { endpoint } => findings.push(Fault::untouched(
                FaultKind::Unauthenticated,
                format!("endpoint {endpoint} refused user {} with this password", self.user),
            )),
            Verdict::Unfit { missing } => {
                findings.extend(missing.into_iter().map(|words| Fault::untouched(FaultKind::Unfit, words)));
            }
        }
        Ok(findings)
    }

    /// What the comment says of somebody else.
    async fn foreign(&self, session: &Session) -> Result<Vec<Fault>, Fault> {
        let twin = self.target.user(self.slot)?;
        match twin.read(session).await? {
            None => {
                let detail = format!("there is no user {}: name the one that is in use", self.user);
                Ok(vec![Fault::untouched(FaultKind::Missing, detail)])
            }
            Some(standing) => {
                Ok(standing.comment.label.and_then(|label| twin.owns(&label).err()).into_iter().collect())
            }
        }
    }

    async fn look_into(
        &self,
        database: &str,
        password: &Secret,
        outlook: &mut Outlook,
        paths: &mut Vec<Step>,
    ) -> Result<(), Fault> {
        let session = self.enter(database).await?;
        let step = |statement| Step { database: database.to_owned(), statement, makes: None };
        for row in self.ask(&session, CONTENTS).await? {
            outlook.steps.push(step(column(&row, 0)?));
        }
        for row in self.ask(&session, MAPPINGS).await? {
            let server: String = column(&row, 0)?;
            outlook.obstacles.push(misconfigured(format!(
                "the user {user} has a mapping at foreign server {server} in database {database}, which sessions of the \
                 owner would not find. Make one for {owner}, and drop that of {user}",
                user = self.user,
                owner = self.target.config.owner
            )));
        }
        if self.ask(&session, HAS_OWN_SCHEMA).await?.is_empty() {
            return Ok(());
        }
        let Some(path) = self.search_path(database, password).await? else { return Ok(()) };
        let Some(path) = without_user(&path, &self.user) else { return Ok(()) };
        for twin in self.twins() {
            paths.push(self.step(format!(
                "ALTER ROLE {} IN DATABASE {} SET search_path TO {path}",
                escape_identifier(&twin),
                escape_identifier(database)
            )));
        }
        Ok(())
    }

    /// The user's search path in a database, if it may enter it.
    async fn search_path(&self, database: &str, password: &Secret) -> Result<Option<String>, Fault> {
        let config = Config { database: database.into(), ..Config::clone(&self.target.config) };
        let session = match self.target.connector.login_with(&config, config.main()?, &self.user, password, "").await {
            Ok(session) => session,
            Err(Denied::Fault(fault)) if fault.kind == FaultKind::NotPermitted => return Ok(None),
            Err(Denied::Fault(fault)) => return Err(fault),
            Err(Denied::Refused) => {
                let detail = format!("user {} was refused in database {database}; look at pg_hba.conf", self.user);
                return Err(Fault::untouched(FaultKind::Unauthenticated, detail));
            }
        };
        let rows = session.query_typed("SELECT pg_catalog.current_setting('search_path')", &[]).await;
        let rows = rows.map_err(|error| fault(&error, Touched::Nothing, "reading the user's search path"))?;
        rows.first().map(|row| column(row, 0)).transpose()
    }

    /// Writes the label and takes it back: what may refuse it is known before anything is committed.
    async fn rehearse(&self, twin: &User<'_>) -> Result<Option<Fault>, Fault> {
        let session = self.target.admin(self.target.config.main()?).await?;
        let role = escape_identifier(&twin.role);
        let statements = format!(
            "{BEGIN}; {}; COMMENT ON ROLE {role} IS NULL; ROLLBACK",
            Change::Adopt.statements(&twin.role, true)
        );
        match session.batch_execute(&statements).await {
            Ok(()) => Ok(None),
            Err(error) => Ok(Some(twin.denied(&error, Change::Adopt))),
        }
    }

    /// A session of our own user in another database.
    async fn enter(&self, database: &str) -> Result<Session, Fault> {
        let user = &self.target.config.admin.user;
        match self.target.admin_in(database).await {
            Ok(session) => Ok(session),
            Err(Denied::Fault(fault)) if fault.kind == FaultKind::NotPermitted => {
                let detail = format!(
                    "our user may not enter database {database}, where something of user {} is. Run as a superuser: \
                     GRANT CONNECT ON DATABASE {} TO {};",
                    self.user,
                    escape_identifier(database),
                    escape_identifier(user)
                );
                Err(Fault { detail, ..fault })
            }
            Err(Denied::Fault(fault)) => Err(fault),
            Err(Denied::Refused) => {
                let detail = format!("our user {user} was refused in database {database}; look at pg_hba.conf");
                Err(Fault::untouched(FaultKind::Unauthenticated, detail))
            }
        }
    }

    fn twins(&self) -> impl Iterator<Item = String> {
        [Slot(0), Slot(1)].into_iter().filter_map(|slot| self.target.users.name(slot))
    }

    fn step(&self, statement: String) -> Step {
        Step { database: self.target.config.database.to_string(), statement, makes: None }
    }

    /// The answer of one of our queries. The server wants to know of each parameter that is sent what it is for.
    async fn ask(&self, session: &Session, statement: &str) -> Result<Vec<Row>, Fault> {
        let other = self.twins().find(|twin| *twin != self.user).unwrap_or_default();
        let config = &self.target.config;
        let names = [self.user.as_str(), &config.owner, &other, &config.admin.user];
        let used = (1..=names.len()).filter(|number| statement.contains(&format!("${number}"))).max().unwrap_or(0);
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            names.iter().take(used).map(|name| (name as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let answer = session.query_typed(statement, &parameters).await;
        answer.map_err(|error| fault(&error, Touched::Nothing, "looking at what is to be adopted"))
    }
}

/// A versioned user is made anew for each generation: one that is in use keeps the name that its applications log in with.
pub(super) fn only_twins(owner: &str) -> Fault {
    let detail = format!(
        "versioned users are made here, so a user that is in use cannot become one. Either name it in `twins` instead of \
         `versioned`, and adopt it; or have {owner} own what it owns (REASSIGN OWNED), rotate, which makes the first \
         versioned user, and disable the old user once nobody logs in as it"
    );
    Fault::untouched(FaultKind::Unsupported, detail)
}

fn column<T: for<'a> tokio_postgres::types::FromSql<'a>>(row: &Row, index: usize) -> Result<T, Fault> {
    row.try_get(index).map_err(|error| fault(&error, Touched::Nothing, "looking at what is to be adopted"))
}

fn misconfigured(detail: String) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, detail)
}

/// The search path with the user's own name in the place of `"$user"`, which means another schema once sessions have
/// taken on the owner. `None` if it does not name `"$user"`.
fn without_user(path: &str, user: &str) -> Option<String> {
    let mut names = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        names.push(name.trim());
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    names.contains(&"$user").then(|| {
        let names: Vec<String> =
            names.into_iter().map(|name| escape_identifier(if name == "$user" { user } else { name })).collect();
        names.join(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_schema_stays_in_the_search_path() {
        assert_eq!(without_user("\"$user\", public", "App").as_deref(), Some("\"App\", \"public\""));
        assert_eq!(without_user("a,\"$user\"", "app").as_deref(), Some("\"a\", \"app\""));
        assert_eq!(without_user("public", "app"), None);
        assert_eq!(without_user("", "app"), None);
        let hostile = without_user("a;DROP, \"$user\"", "app").unwrap();
        assert_eq!(hostile, "\"a;DROP\", \"app\"", "what the user may set is never more than a name");
    }

    #[test]
    fn a_script_makes_roles_once_and_enters_each_database() {
        let step = |database: &str, statement: &str| Step {
            database: database.to_owned(),
            statement: statement.to_owned(),
            makes: None,
        };
        let make = Step { makes: Some("o'r".to_owned()), ..step("d1", "CREATE ROLE \"o'r\" NOLOGIN") };
        let text = script(&[make, step("d1", "X"), step("d\"2", "Y"), step("d1", "Z")]);
        let begin = format!("BEGIN; {PATIENCE};\n");
        let wanted = format!(
            "\n\\connect \"d1\"\n{begin}SELECT 'CREATE ROLE \"o''r\" NOLOGIN' WHERE NOT EXISTS (SELECT FROM \
             pg_catalog.pg_roles WHERE rolname = 'o''r') \\gexec\nCOMMIT;\n{begin}X;\nCOMMIT;\n\
             \n\\connect \"d\"\"2\"\n{begin}Y;\nCOMMIT;\n\n\\connect \"d1\"\n{begin}Z;\nCOMMIT;\n"
        );
        assert!(text.ends_with(&wanted), "{text}");
    }
}
