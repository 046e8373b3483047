#![doc = include_str!("README.md")]

mod adopt;
mod adopt_sql;
#[cfg(feature = "check")]
mod ask;
mod config;
mod connect;
mod fault;
mod fence;
mod kept;
mod label;
mod observe;
mod pooler;
mod preflight;
mod remains;
mod replica;
mod sources;
mod users;
mod verify;
mod versioned;

pub use adopt::{Adoption, Outlook, Step, script};
#[cfg(feature = "check")]
pub(crate) use ask::Asked;
pub(super) use config::Common;
pub use config::{Admin, ChannelBinding, Config, Endpoint, EndpointKind};
pub use kept::close_idle_sessions;

use std::sync::Arc;

use handover_core::port::{Answer, Intent, Probe, Remains, Source, Standing, State, Target, Verdict};
use handover_core::{Fault, FaultKind, GroupId, Minter, Occupant, SeesUse, Slot, Tally, TargetCapability};
use handover_secret::Secret;

use connect::{Connector, Denied, Session};
use fence::{Change, Kind, User};
use users::Users;

use crate::shared::Shared;

/// The users of one group in one cluster.
pub struct Postgres {
    config: Shared<Config>,
    users: Users,
    group: GroupId,
    admin_password: Arc<Secret>,
    connector: Connector,
}

impl Postgres {
    /// Checks the configuration. Nothing is connected to before a method of the port is called.
    pub fn new(
        config: impl Into<Shared<Config>>,
        group: GroupId,
        admin_password: impl Into<Arc<Secret>>,
        ca_pem: &[u8],
    ) -> Result<Self, Fault> {
        let (config, admin_password) = (config.into(), admin_password.into());
        config.check()?;
        let users = config.users()?;
        let connector = Connector::new(ca_pem)?;
        Ok(Self { config, users, group, admin_password, connector })
    }

    /// A session of our own user at `endpoint`, perhaps one that was used before.
    async fn admin(&self, endpoint: &Endpoint) -> Result<Session, Fault> {
        let session = self.connector.own(&self.config, endpoint, &self.admin_password).await;
        session.map_err(|denied| self.admin_denied(endpoint, denied))
    }

    /// The same by a login that is made now: for whom the login says something about the endpoint.
    async fn admin_afresh(&self, endpoint: &Endpoint) -> Result<Session, Fault> {
        let session = self.connector.own_afresh(&self.config, endpoint, &self.admin_password).await;
        session.map_err(|denied| self.admin_denied(endpoint, denied))
    }

    fn admin_denied(&self, endpoint: &Endpoint, denied: Denied) -> Fault {
        match denied {
            Denied::Refused => {
                let user = &self.config.admin.user;
                let Endpoint { name, host, port, .. } = endpoint;
                let quoted = postgres_protocol::escape::escape_identifier(user);
                let detail = format!(
                    "endpoint {name} ({host}:{port}) refused our own user {user}: there is none, its password is not what \
                     admin.password_file holds, or pg_hba.conf has no line for it. Run in psql as a superuser: \\password \
                     {quoted} or, if there is none, first: CREATE ROLE {quoted} LOGIN CREATEROLE;"
                );
                Fault::untouched(FaultKind::Unauthenticated, detail)
            }
            Denied::Fault(fault) => fault,
        }
    }

    /// The same in another database, at the endpoint where changes are made.
    async fn admin_in(&self, database: &str) -> Result<Session, Denied> {
        let config = Config { database: database.into(), ..Config::clone(&self.config) };
        let main = config.main().map_err(Denied::Fault)?;
        self.connector.login(&config, main, &config.admin.user, &self.admin_password).await
    }

    async fn login(&self, endpoint: &Endpoint, who: Occupant, value: &Secret) -> Result<Session, Denied> {
        let user = self.user(who.slot).map_err(Denied::Fault)?;
        self.connector.login(&self.config, endpoint, &user.role, value).await
    }

    fn user(&self, slot: Slot) -> Result<User<'_>, Fault> {
        let Some(role) = self.users.name(slot) else {
            let detail = format!("there is no slot {slot}: this PostgreSQL target has two twins");
            return Err(Fault::untouched(FaultKind::Misconfigured, detail));
        };
        let kind = match self.users {
            Users::Twins(_) => Kind::Twin,
            Users::Versioned(_) => Kind::Versioned,
        };
        let (admin, owner) = (self.config.admin.user.as_str(), self.config.owner.as_str());
        Ok(User { kind, admin, owner, group: self.group.as_str(), slot, role })
    }

    /// The twins; of versioned users those that there are, and others with such a name.
    async fn there(&self, session: &Session) -> Result<Vec<User<'_>>, Fault> {
        let slots = match &self.users {
            Users::Twins(_) => vec![Slot(0), Slot(1)],
            Users::Versioned(stem) => versioned::there(self, session, stem).await?,
        };
        slots.into_iter().map(|slot| self.user(slot)).collect()
    }

    async fn change(&self, intent: &Intent, change: Change<'_>) -> Result<(), Fault> {
        let user = self.user(intent.who.slot)?;
        let session = self.admin(self.config.main()?).await?;
        fence::change(&session, &user, intent, change).await?;
        session.keep();
        Ok(())
    }

    /// A session would outlive its user, and nobody could count or end it any more: such a user is left there.
    async fn forget(&self, intent: &Intent) -> Result<(), Fault> {
        if let Users::Twins(_) = self.users {
            return self.change(intent, Change::Forget).await;
        }
        // Whoever may still log in could do so between the count and the drop.
        let session = self.admin(self.config.main()?).await?;
        let found = self.user(intent.who.slot)?.read(&session).await?;
        session.keep();
        if found.is_some_and(|found| found.may_log_in) {
            self.change(intent, Change::Forget).await?;
        }
        let unused = matches!(observe::count(self, &[intent.who]).await, Ok(Tally::None));
        self.change(intent, if unused { Change::Drop } else { Change::Forget }).await
    }

    async fn try_login(
        &self,
        who: Occupant,
        value: &Secret,
        control: Option<(Occupant, &Secret)>,
    ) -> Result<Probe, Fault> {
        let main = self.config.main()?;
        match self.login(main, who, value).await {
            Ok(_) => return Ok(Probe::Accepted),
            Err(Denied::Fault(_)) => return Ok(Probe::Unknown),
            Err(Denied::Refused) => {}
        }
        let Some((who, value)) = control else {
            return Ok(Probe::Unknown);
        };
        match self.login(main, who, value).await {
            Ok(_) => Ok(Probe::Refused),
            Err(Denied::Refused | Denied::Fault(_)) => Ok(Probe::Unknown),
        }
    }

    async fn read_labels(&self) -> Result<Vec<Standing>, Fault> {
        let session = self.admin(self.config.main()?).await?;
        let mut standings = Vec::new();
        for user in self.there(&session).await? {
            standings.push(match user.read(&session).await? {
                Some(found) => standing(&user, &found)?,
                None => Standing { slot: user.slot, generation: None, mark: None, state: State::Absent },
            });
        }
        if let Users::Versioned(_) = self.users {
            standings.extend(versioned::gone(self, &session, &standings).await?);
        }
        session.keep();
        Ok(standings)
    }
}

impl Target for Postgres {
    fn capability(&self) -> TargetCapability {
        TargetCapability {
            slots: self.users.slots(),
            sees_use: SeesUse::Sampled,
            fences: true,
            verifies_rights: true,
            minter: Minter::Us,
        }
    }

    fn preflight(&self) -> Answer<'_, Vec<Fault>> {
        Box::pin(preflight::look(self))
    }

    fn create<'a>(&'a self, intent: &'a Intent, value: &'a Secret) -> Answer<'a, ()> {
        Box::pin(async move {
            let verifier = verifier(value)?;
            self.change(intent, Change::Accept { verifier: &verifier }).await
        })
    }

    fn adopt<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.users {
                Users::Twins(_) => self.change(intent, Change::Adopt).await,
                Users::Versioned(_) => Err(adopt::only_twins(&self.config.owner)),
            }
        })
    }

    fn probe<'a>(
        &'a self,
        who: Occupant,
        value: &'a Secret,
        control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Probe> {
        Box::pin(self.try_login(who, value, control))
    }

    fn verify<'a>(
        &'a self,
        who: Occupant,
        value: &'a Secret,
        control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Verdict> {
        Box::pin(verify::round(self, who, value, control))
    }

    fn observe<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, Tally> {
        Box::pin(observe::count(self, of))
    }

    fn sources<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, Vec<Source>> {
        Box::pin(sources::sources(self, of))
    }

    fn end_sessions<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, ()> {
        Box::pin(observe::end(self, of))
    }

    fn disable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        Box::pin(self.change(intent, Change::Disable))
    }

    fn enable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        Box::pin(self.change(intent, Change::Enable))
    }

    fn destroy<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        Box::pin(self.forget(intent))
    }

    fn remains(&self) -> Answer<'_, Vec<Remains>> {
        Box::pin(remains::look(self))
    }

    fn census(&self) -> Answer<'_, Vec<Standing>> {
        Box::pin(self.read_labels())
    }
}

/// What the role does counts, not what the label says it should do: somebody may have changed it since.
fn standing(user: &User<'_>, found: &fence::Standing) -> Result<Standing, Fault> {
    let label = found.comment.label.as_ref();
    if let Some(label) = label {
        user.owns(label)?;
    }
    let state = match (found.may_log_in, label.map(|label| label.state)) {
        (true, _) => State::Accepting,
        (false, Some(State::Forgotten)) => State::Forgotten,
        (false, Some(State::Accepting | State::Disabled | State::Absent) | None) => State::Disabled,
    };
    Ok(Standing {
        slot: user.slot,
        generation: label.map(|label| label.generation),
        mark: label.map(|label| label.mark),
        state,
    })
}

/// The longest password. Clients exist that cut or refuse longer ones.
const VALUE_BYTES_MAX: usize = 256;

/// What the server is given instead of the value: a SCRAM-SHA-256 verifier with a fresh salt.
fn verifier(value: &Secret) -> Result<String, Fault> {
    let rejected = |why| Err(Fault::untouched(FaultKind::Rejected, why));
    #[expect(clippy::disallowed_methods, reason = "the verifier is computed from it, so that the server never sees it")]
    let Some(text) = value.expose_text() else {
        return rejected("a password for PostgreSQL must be UTF-8");
    };
    if text.is_empty() || text.len() > VALUE_BYTES_MAX {
        return rejected("a password for PostgreSQL has 1 to 256 bytes");
    }
    if text.chars().any(char::is_control) {
        return rejected("a password for PostgreSQL has no control characters");
    }
    Ok(postgres_protocol::password::scram_sha_256(text.as_bytes()))
}
