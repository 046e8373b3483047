#![doc = include_str!("README.md")]

mod account;
mod config;
mod connect;
mod fault;
mod fence;
mod label;
mod nodes;
mod observe;
mod persist;
mod preflight;
mod rights;
mod verify;

pub(super) use config::Common;
pub use config::{Admin, Config, Endpoint};

use std::sync::Arc;

use handover_core::port::{Answer, Intent, Probe, Source, Standing, State, Target, Verdict};
use handover_core::{Fault, FaultKind, GroupId, Minter, Occupant, SeesUse, Slot, Slots, Tally, TargetCapability};
use handover_secret::Secret;

use account::Account;
use connect::{Connector, Denied, Session};
use fence::Change;
use label::Owner;

use crate::shared::Shared;

/// The twins of one group, at all nodes of one Redis.
pub struct Redis {
    config: Shared<Config>,
    group: GroupId,
    owner: Owner,
    admin_password: Arc<Secret>,
    connector: Connector,
}

/// A user of a group.
struct Twin<'a> {
    /// The user that changes it.
    admin: &'a str,
    /// Whose it is.
    group: &'a str,
    owner: Owner,
    /// Which slot it is.
    slot: u8,
    /// Its name.
    user: &'a str,
}

impl Redis {
    /// Checks the configuration. Nothing is connected to before a method of the port is called.
    pub fn new(
        config: impl Into<Shared<Config>>,
        group: GroupId,
        admin_password: impl Into<Arc<Secret>>,
        ca_pem: &[u8],
    ) -> Result<Self, Fault> {
        let (config, admin_password) = (config.into(), admin_password.into());
        config.check()?;
        let (owner, connector) = (Owner::of(&group), Connector::new(ca_pem)?);
        Ok(Self { config, group, owner, admin_password, connector })
    }

    /// A session of our own user at `endpoint`.
    async fn admin(&self, endpoint: &Endpoint) -> Result<Session, Fault> {
        let user = &self.config.admin.user;
        match self.connector.login(&self.config, endpoint, user, &self.admin_password).await {
            Ok(session) => Ok(session),
            Err(Denied::Refused) => {
                let Endpoint { name, host, port } = endpoint;
                let detail = format!(
                    "endpoint {name} ({host}:{port}) refused our own user {user}: there is none, it is off, or its password is \
                     not what admin.password_file holds; see the connector's page for the lines that make it"
                );
                Err(Fault::untouched(FaultKind::Unauthenticated, detail))
            }
            Err(Denied::Fault(fault)) => Err(fault),
        }
    }

    async fn login(&self, endpoint: &Endpoint, who: Occupant, value: &Secret) -> Result<Session, Denied> {
        let twin = self.twin(who.slot).map_err(Denied::Fault)?;
        self.connector.login(&self.config, endpoint, twin.user, value).await
    }

    fn twin(&self, slot: Slot) -> Result<Twin<'_>, Fault> {
        let known = self.config.user(slot).zip(u8::try_from(slot.0).ok());
        let Some((user, slot)) = known else {
            let detail = format!("there is no slot {slot}: this Redis target has two twins");
            return Err(Fault::untouched(FaultKind::Misconfigured, detail));
        };
        let (admin, group) = (self.config.admin.user.as_str(), self.group.as_str());
        Ok(Twin { admin, group, owner: self.owner, slot, user })
    }

    async fn change(&self, intent: &Intent, change: Change<'_>) -> Result<(), Fault> {
        fence::change(self, &self.twin(intent.who.slot)?, intent, change).await
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
        let Some((other, others_value)) = control else {
            return Ok(Probe::Unknown);
        };
        match self.login(main, other, others_value).await {
            Ok(_) => self.elsewhere(who, value).await,
            Err(Denied::Refused | Denied::Fault(_)) => Ok(Probe::Unknown),
        }
    }

    /// What the first node refuses, another one may let in. It is looked up there, so that no login fails.
    async fn elsewhere(&self, who: Occupant, value: &Secret) -> Result<Probe, Fault> {
        let (twin, hash) = (self.twin(who.slot)?, hash(value)?);
        for endpoint in self.config.endpoints.iter().skip(1) {
            let Ok(mut session) = self.admin(endpoint).await else { return Ok(Probe::Unknown) };
            match self.read(&mut session, twin.user).await {
                Ok(Some(found)) if found.accepts && (found.is_open || found.hashes.contains(&hash)) => {
                    return Ok(Probe::Accepted);
                }
                Ok(Some(_) | None) => {}
                Err(_) => return Ok(Probe::Unknown),
            }
        }
        Ok(Probe::Refused)
    }

    /// Of each twin what the node says that is furthest behind: what is not in force everywhere is not in force.
    async fn read_labels(&self) -> Result<Vec<Standing>, Fault> {
        let mut standings: Vec<Standing> = Vec::new();
        for endpoint in self.config.endpoints.iter() {
            let mut session = self.admin(endpoint).await?;
            for slot in [Slot(0), Slot(1)] {
                let twin = self.twin(slot)?;
                let here = match self.read(&mut session, twin.user).await? {
                    Some(found) => {
                        twin.owns(&found, session.endpoint())?;
                        standing(slot, &found)
                    }
                    None => Standing { slot, generation: None, mark: None, state: State::Absent },
                };
                match standings.iter_mut().find(|known| known.slot == slot) {
                    Some(known) if here.mark < known.mark => *known = here,
                    Some(_) => {}
                    None => standings.push(here),
                }
            }
        }
        Ok(standings)
    }
}

impl Target for Redis {
    fn capability(&self) -> TargetCapability {
        TargetCapability {
            slots: Slots::Fixed(2),
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
            let hash = hash(value)?;
            self.change(intent, Change::Accept { hash: &hash }).await
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
        Box::pin(observe::sources(self, of))
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
        Box::pin(self.change(intent, Change::Forget))
    }

    fn census(&self) -> Answer<'_, Vec<Standing>> {
        Box::pin(self.read_labels())
    }
}

/// What the user does counts, not what the label says it should do: somebody may have changed it since.
fn standing(slot: Slot, found: &Account) -> Standing {
    let label = found.label.as_ref();
    let state = match (found.accepts, label.map(|label| label.state)) {
        (true, _) => State::Accepting,
        (false, Some(State::Forgotten)) => State::Forgotten,
        (false, Some(State::Accepting | State::Disabled | State::Absent) | None) => State::Disabled,
    };
    Standing { slot, generation: label.map(|label| label.generation), mark: label.map(|label| label.mark), state }
}

/// The longest password. Redis itself has no limit before 16 KiB.
const VALUE_BYTES_MAX: usize = 512;

/// What the server is given instead of the value. It is the plain SHA-256, which is all that Redis knows: a value that could
/// be guessed could be found from it.
fn hash(value: &Secret) -> Result<String, Fault> {
    let rejected = |why| Err(Fault::untouched(FaultKind::Rejected, why));
    #[expect(clippy::disallowed_methods, reason = "its hash is computed, so that the server never sees it")]
    let Some(text) = value.expose_text() else {
        return rejected("a password for Redis must be UTF-8: clients take it as text");
    };
    if text.is_empty() || text.len() > VALUE_BYTES_MAX {
        return rejected("a password for Redis has 1 to 512 bytes");
    }
    if text.chars().any(char::is_control) {
        return rejected("a password for Redis has no control characters");
    }
    let hash = label::hash(text.as_bytes());
    if label::looks_like_ours(&hash) {
        return rejected("the hash of this password begins as our labels do");
    }
    Ok(hex::encode(hash))
}
