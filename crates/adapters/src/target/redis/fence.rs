//! Changes of a twin: at each node one command that compares the label, changes the user and leaves its own label (R6).
//!
//! `ACL SETUSER app_a !OLD #NEW …` takes the old label out and puts the new one in. Where the old one is not there any
//! more, Redis refuses the command and does none of it. A user without a label gets a claim first, an entry of random
//! bytes that only its author knows: two who both find no label cannot both take out the other's.

use handover_core::port::{Intent, State};
use handover_core::{Fault, FaultKind, Touched};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use super::account::Account;
use super::connect::Session;
use super::fault::{Answered, answered, fault};
use super::label::{self, Label};
use super::persist::Persistence;
use super::{Redis, Twin};
use crate::fences::{Fence, is_on};

/// What is done to a twin.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// It gets this hash alone, and may log in.
    Accept {
        /// SHA-256 of the value, in hexadecimal.
        hash: &'a str,
    },
    /// It may not log in; its hash stays.
    Disable,
    /// It may log in again.
    Enable,
    /// It may not log in, and has no hash.
    Forget,
}

/// A node that is about to be changed.
struct Node {
    session: Session,
    persistence: Persistence,
    /// Entries to take out.
    ours: Vec<String>,
}

/// Makes the change at every node. No node is touched before all of them were looked at.
pub(super) async fn change(target: &Redis, twin: &Twin<'_>, intent: &Intent, change: Change<'_>) -> Result<(), Fault> {
    let label = twin.label(intent, change)?;
    let mut nodes = Vec::new();
    for endpoint in target.config.endpoints.iter() {
        let mut session = target.admin(endpoint).await?;
        let persistence = Persistence::of(&mut session).await?;
        let found = target.read(&mut session, twin.user).await?;
        twin.judge(found.as_ref(), intent, change, session.endpoint())?;
        let ours = found.map(|found| found.ours).unwrap_or_default();
        nodes.push(Node { session, persistence, ours });
    }
    let mut touched = Touched::Nothing;
    for node in nodes {
        let changed = change_at(target, twin, intent, change, &label, node).await;
        changed.map_err(|fault| match touched {
            Touched::Nothing => fault,
            Touched::Unknown => Fault { touched, ..fault },
        })?;
        touched = Touched::Unknown;
    }
    Ok(())
}

async fn change_at(
    target: &Redis,
    twin: &Twin<'_>,
    intent: &Intent,
    change: Change<'_>,
    label: &str,
    mut node: Node,
) -> Result<(), Fault> {
    if node.ours.is_empty() {
        node.ours = claim(target, twin, intent, change, &mut node.session).await?;
    }
    let out: Vec<String> = node.ours.iter().map(|entry| format!("!{entry}")).collect();
    let mut words = vec!["ACL", "SETUSER", twin.user];
    words.extend(out.iter().map(String::as_str));
    let new = format!("#{label}");
    let hash;
    match change {
        Change::Accept { hash: of_value } => {
            hash = format!("#{of_value}");
            words.extend(["resetpass", &new, &hash, "on"]);
        }
        Change::Disable => words.extend([&new, "off"]),
        Change::Enable => words.extend([&new, "on"]),
        Change::Forget => words.extend(["resetpass", &new, "off"]),
    }
    if let Err(error) = node.session.ask(&words).await {
        return Err(match answered(&error) {
            Some(Answered::Refused) => overtaken(target, twin, intent, change, &mut node).await?,
            Some(Answered::NoPermission) => twin.may_not_change(node.session.endpoint()),
            Some(Answered::WrongPassword | Answered::Other) | None => {
                let doing = format!("changing user {} at endpoint {}", twin.user, node.session.endpoint());
                fault(&error, Touched::Unknown, &doing)
            }
        });
    }
    node.persistence.write(&mut node.session).await
}

/// Makes a first change possible: what it takes out afterwards is this entry, which nobody else can bring back. Logins are
/// as they were.
async fn claim(
    target: &Redis,
    twin: &Twin<'_>,
    intent: &Intent,
    change: Change<'_>,
    session: &mut Session,
) -> Result<Vec<String>, Fault> {
    let mut random = [0; 16];
    let drawn = OsRng.try_fill_bytes(&mut random);
    drawn.map_err(|_| Fault::untouched(FaultKind::Storage, "the operating system gave no random bytes"))?;
    let claim = label::claim(target.owner, twin.slot, random);
    let entry = format!("#{claim}");
    if let Err(error) = session.ask(&["ACL", "SETUSER", twin.user, &entry]).await {
        return Err(match answered(&error) {
            Some(Answered::NoPermission) => twin.may_not_change(session.endpoint()),
            Some(Answered::Refused | Answered::WrongPassword | Answered::Other) | None => {
                // A claim that is left behind lets nobody in, and goes with the next change.
                fault(&error, Touched::Nothing, &format!("claiming user {}", twin.user))
            }
        });
    }
    let found = target.read(session, twin.user).await?;
    if let Err(fault) = twin.judge(found.as_ref(), intent, change, session.endpoint()) {
        // Whether it is taken out here or by the next change makes no difference.
        let _ = session.ask(&["ACL", "SETUSER", twin.user, &format!("!{claim}")]).await;
        return Err(fault);
    }
    let ours = found.map(|found| found.ours).unwrap_or_default();
    if ours.contains(&claim) { Ok(ours) } else { Err(twin.busy(session.endpoint())) }
}

/// The label was not there any more: by now there is a later one, or the same change is being made by another.
async fn overtaken(
    target: &Redis,
    twin: &Twin<'_>,
    intent: &Intent,
    change: Change<'_>,
    node: &mut Node,
) -> Result<Fault, Fault> {
    let found = target.read(&mut node.session, twin.user).await?;
    twin.judge(found.as_ref(), intent, change, node.session.endpoint())?;
    let stands = found.map(|found| found.ours).unwrap_or_default();
    if node.ours.iter().all(|entry| stands.contains(entry)) {
        let detail = format!(
            "endpoint {} refused a change of user {} that Redis 7.0 takes; look at its version",
            node.session.endpoint(),
            twin.user
        );
        return Ok(Fault::untouched(FaultKind::Unsupported, detail));
    }
    Ok(twin.busy(node.session.endpoint()))
}

impl Twin<'_> {
    /// The label that a change leaves.
    fn label(&self, intent: &Intent, change: Change<'_>) -> Result<String, Fault> {
        let label = Label {
            owner: self.owner,
            slot: self.slot,
            generation: intent.who.generation,
            mark: intent.mark,
            state: change.state(),
        };
        label.render().map_err(|_| {
            let detail = format!("a label of user {} has no room for mark {:?}", self.user, intent.mark);
            Fault::untouched(FaultKind::Unsupported, detail)
        })
    }

    /// Whether the entries are this twin's.
    pub(super) fn owns(&self, account: &Account, endpoint: &str) -> Result<(), Fault> {
        if account.is_foreign {
            let detail =
                format!("user {} at endpoint {endpoint} has a label of another group than {}", self.user, self.group);
            return Err(Fault::untouched(FaultKind::Foreign, detail));
        }
        match &account.label {
            Some(label) if label.slot != self.slot => {
                let detail = format!(
                    "user {} is labelled as slot {} and configured as slot {}; the order of twins must not change",
                    self.user, label.slot, self.slot
                );
                Err(Fault::untouched(FaultKind::Misconfigured, detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whom a user without a label serves is not known.
    pub(super) fn unlabelled(&self, endpoint: &str) -> Fault {
        let detail = format!(
            "user {} at endpoint {endpoint} lets somebody in and bears no label of ours: it is in use by somebody else, or \
             its passwords were reset by hand; it is left alone. If nobody uses it, run there: ACL SETUSER {} off resetpass",
            self.user, self.user
        );
        Fault::untouched(FaultKind::Foreign, detail)
    }

    /// A twin has to be made by somebody who knows what it may do.
    pub(super) fn absent(&self, endpoint: &str) -> Fault {
        let detail = format!(
            "user {} does not exist at endpoint {endpoint}; make it there as the connector's page shows, with the rules that \
             the other twin has",
            self.user
        );
        Fault::untouched(FaultKind::Missing, detail)
    }

    fn busy(&self, endpoint: &str) -> Fault {
        let detail = format!("user {} at endpoint {endpoint} was changed in the same moment; it passes", self.user);
        Fault::untouched(FaultKind::Busy, detail)
    }

    fn may_not_change(&self, endpoint: &str) -> Fault {
        let detail = format!(
            "our user may not change users at endpoint {endpoint}. Run there: ACL SETUSER {} +acl|setuser",
            self.admin
        );
        Fault::untouched(FaultKind::NotPermitted, detail)
    }

    fn judge(&self, found: Option<&Account>, intent: &Intent, change: Change<'_>, endpoint: &str) -> Result<(), Fault> {
        let Some(found) = found else {
            return match change {
                // What is made then has no password and no rights: it only bears the label.
                Change::Forget => Ok(()),
                Change::Accept { .. } | Change::Disable | Change::Enable => Err(self.absent(endpoint)),
            };
        };
        self.owns(found, endpoint)?;
        let Some(label) = &found.label else {
            return if found.accepts { Err(self.unlabelled(endpoint)) } else { Ok(()) };
        };
        // A slot that has gone to a later generation is not changed for an earlier one, whatever the mark; but the earlier
        // one's value may be put back over the later one's, which takes a mark above it.
        let puts_back = matches!(change, Change::Accept { .. }) && intent.mark > label.mark;
        let later = label.mark > intent.mark || (label.generation > intent.who.generation && !puts_back);
        if later && is_on(Fence::Slot) {
            let detail = format!(
                "user {} at endpoint {endpoint} bears mark {}.{} for generation {}; this change has mark {}.{} for generation \
                 {}",
                self.user,
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
                    "user {} at endpoint {endpoint} does not hold the value of generation {} any more, so it cannot be \
                     enabled",
                    self.user, intent.who.generation
                );
                Err(Fault::untouched(FaultKind::Missing, detail))
            }
            Change::Accept { .. } | Change::Disable | Change::Enable | Change::Forget => Ok(()),
        }
    }
}

impl Change<'_> {
    const fn state(self) -> State {
        match self {
            Self::Accept { .. } | Self::Enable => State::Accepting,
            Self::Disable => State::Disabled,
            Self::Forget => State::Forgotten,
        }
    }
}
