//! One round of verification: every node lets the candidate in, with the rights of the generation in use.

use handover_core::port::Verdict;
use handover_core::{Fault, Occupant};
use handover_secret::Secret;

use super::config::Endpoint;
use super::connect::Denied;
use super::{Redis, rights};
use crate::target::verdict::of_missing;

pub(super) async fn round(
    target: &Redis,
    who: Occupant,
    value: &Secret,
    control: Option<(Occupant, &Secret)>,
) -> Result<Verdict, Fault> {
    let mut missing = Vec::new();
    for endpoint in target.config.endpoints.iter() {
        match target.login(endpoint, who, value).await {
            Ok(_) => {}
            Err(Denied::Refused) => return refused(target, endpoint, control).await,
            Err(Denied::Fault(fault)) => return Err(fault),
        }
        for word in lacking(target, endpoint, who, control.map(|(who, _)| who)).await? {
            if !missing.contains(&word) {
                missing.push(word);
            }
        }
    }
    Ok(of_missing(missing))
}

/// A refusal counts only where somebody else is let in by the same node. A node whose users were loaded from an older file
/// refuses the generation in use as well; there our own user is the control, and the change is made again.
async fn refused(target: &Redis, endpoint: &Endpoint, control: Option<(Occupant, &Secret)>) -> Result<Verdict, Fault> {
    if let Some((who, value)) = control {
        match target.login(endpoint, who, value).await {
            Ok(_) => return Ok(Verdict::Refused { endpoint: endpoint.name.clone() }),
            Err(Denied::Refused) => {}
            Err(Denied::Fault(fault)) => return Err(fault),
        }
    }
    target.admin(endpoint).await?;
    Ok(Verdict::Refused { endpoint: endpoint.name.clone() })
}

/// What the candidate may not do at this node that the twin in use may.
async fn lacking(
    target: &Redis,
    endpoint: &Endpoint,
    who: Occupant,
    control: Option<Occupant>,
) -> Result<Vec<String>, Fault> {
    let Some(control) = control.filter(|control| control.slot != who.slot) else { return Ok(Vec::new()) };
    let (candidate, control) = (target.twin(who.slot)?, target.twin(control.slot)?);
    let mut session = target.admin(endpoint).await?;
    let (Some(has), Some(had)) =
        (target.read(&mut session, candidate.user).await?, target.read(&mut session, control.user).await?)
    else {
        return Ok(Vec::new());
    };
    let missing = rights::missing((candidate.user, &has.rules), (control.user, &had.rules));
    Ok(missing.into_iter().map(|word| format!("at endpoint {}: {word}", endpoint.name)).collect())
}
