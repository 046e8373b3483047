//! Handing out values, and taking acknowledgements. The only routes that touch a value.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::response::{IntoResponse as _, Response};
use handover_adapters::store::embedded::Current;
use handover_api::proof::Claim;
use handover_api::{Ack, Delivered, ITEM_VALUE, NONCE_BYTES, Nonce};
use handover_core::port::{Delivery, SecretStore as _};
use handover_core::{ConsumerId, Fault, FaultKind, Generation, GroupId, Publication, Role, Withheld};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::Deserialize;

use super::App;
use super::auth::Covered;
use super::body::Body;
use super::refusal::Refused;
use super::view;
use crate::config::AuditReads;

/// What a fetch may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetch {
    /// Only a publication above this one is wanted.
    after: Option<u64>,
    /// Whether the reader is waited for from now on.
    #[serde(default)]
    count: Count,
}

/// Whether whoever fetches is waited for in each rotation from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Count {
    /// Yes. What programs that follow a group want, and the safe answer where nothing was said: a value that somebody
    /// holds is not disabled before they have the next one.
    #[default]
    Join,
    /// Only one who is waited for already gets the value.
    Expected,
    /// No. It is in the history as any read; nothing promises that the value stays valid.
    Peek,
}

/// The answer holds a value: nobody on the way may keep it.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

pub(crate) async fn fetch(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    query: Result<Query<Fetch>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refused> {
    let Query(fetch) = query.map_err(|_| {
        Refused::bad_request("the query takes `after=<number>`, `count=join|expected|peek` and nothing else")
    })?;
    let configured = app.configured.get(&group).ok_or_else(Refused::no_such_group)?;
    if !configured.is_embedded() {
        return Err(Refused::published_elsewhere(&group, &configured.stores));
    }
    let roles = match fetch.count {
        Count::Join => configured.roles(&caller.identity),
        Count::Expected => expected(&app, &group, &caller.identity, configured.roles(&caller.identity)).await?,
        Count::Peek => Vec::new(),
    };
    let Some((current, delivery)) = take(&app, &group, &caller.identity, &roles, fetch.after).await? else {
        return Ok((StatusCode::NO_CONTENT, NO_STORE).into_response());
    };
    if let Err(fault) = app.engine.read(&group, &caller.identity, &delivery, fetch.count != Count::Peek).await {
        match configured.audit_reads {
            AuditReads::Closed => return Err(fault.into()),
            AuditReads::Open => {
                tracing::error!(%group, code = fault.kind.code(), detail = %fault.detail, "a read is not in the history");
            }
        }
    }
    tracing::info!(
        %group,
        consumer = %caller.identity,
        publication = current.publication.0,
        generation = current.generation.0,
        "value delivered"
    );
    let nonce = as_sent(&delivery)?;
    let delivered = Delivered {
        group: group.to_string(),
        consumer: caller.identity.to_string(),
        roles: roles.into_iter().map(view::role).collect(),
        publication: current.publication.0,
        generation: current.generation.0,
        fields: current.fields.into_iter().collect(),
        value: current.secret,
        nonce,
    };
    Ok((NO_STORE, Json(delivered)).into_response())
}

/// Refuses one who is on no roll: whoever joins one, and is waited for ever after, should know.
async fn expected(app: &App, group: &GroupId, consumer: &ConsumerId, roles: Vec<Role>) -> Result<Vec<Role>, Refused> {
    for role in &roles {
        if app.engine.handed(group, consumer, &[*role]).is_some() {
            return Ok(roles);
        }
        let call = app.engine.roll_call(group, *role).await?;
        if call.members.iter().any(|member| member.consumer == *consumer) {
            return Ok(roles);
        }
    }
    Err(Refused::not_expected(group, consumer))
}

/// How often a value is read anew because the pointer moved meanwhile.
const TAKES_MAX: u32 = 8;

/// Reads what is published and records, before the value leaves, that this consumer is expected to acknowledge it.
///
/// Then the pointer is looked at again. Had it moved between the read and the record, a roll could have been called
/// without this consumer, and the value in hand could be disabled before anybody waited for it.
///
/// Where a delivery of this publication to this consumer stands already, a repeat of it is no news: it has the same nonce,
/// and nothing is recorded. A wave that opened meanwhile is as a pointer that moved. That it stands is asked before the value is read, so that the pointer cannot have moved
/// between the record and the read either.
async fn take(
    app: &App,
    group: &GroupId,
    consumer: &ConsumerId,
    roles: &[Role],
    after: Option<u64>,
) -> Result<Option<(Current, Delivery)>, Refused> {
    for _ in 0..TAKES_MAX {
        let handed = app.engine.handed(group, consumer, roles);
        let current = app.store.read(group).await?.ok_or_else(|| Refused::not_published(group))?;
        let (published, withheld) = (current.generation, app.engine.withheld(group).await?);
        let kept = |withheld: Option<&Withheld>| withheld.is_some_and(|all| all.keeps(published, Some(consumer)));
        let own = app.store.own(group, Some(consumer), current, withheld.as_deref()).await?;
        let Some(current) = own else { continue };
        if after.is_some_and(|after| current.publication.0 <= after) {
            return Ok(None);
        }
        if let Some(handed) = handed
            && (handed.publication, handed.generation) == (current.publication, current.generation)
        {
            app.engine.handed_again(group);
            return Ok(Some((current, handed)));
        }
        let nonce = nonce()?.0.to_vec();
        let delivery = Delivery { publication: current.publication, generation: current.generation, nonce };
        if roles.is_empty() {
            // Nobody waits for whoever peeks.
            return Ok(Some((current, delivery)));
        }
        for role in roles {
            if let Err(fault) = app.engine.delivered(group, consumer, *role, &delivery).await {
                waited_for_anyway(app, group, consumer, *role, fault).await?;
            }
        }
        let head = app.store.head(group).await?;
        let stands = head.is_some_and(|head| head.version == current.version);
        if stands && kept(app.engine.withheld(group).await?.as_deref()) == kept(withheld.as_deref()) {
            return Ok(Some((current, delivery)));
        }
    }
    let detail = format!("what {group} publishes changed again and again while it was read; fetch again");
    Err(Fault::untouched(FaultKind::Busy, detail).into())
}

/// A controller that cannot write still hands out what is published, or those who restart meanwhile would stop with it.
/// Only to those who are on the roll: they are waited for whether or not this delivery is recorded. Its nonce is not
/// known later, so that the acknowledgement is refused and the consumer fetches again.
async fn waited_for_anyway(
    app: &App,
    group: &GroupId,
    consumer: &ConsumerId,
    role: Role,
    fault: Fault,
) -> Result<(), Fault> {
    if fault.kind != FaultKind::Storage {
        return Err(fault);
    }
    let Ok(call) = app.engine.roll_call(group, role).await else { return Err(fault) };
    if call.members.iter().all(|member| member.consumer != *consumer) {
        return Err(fault);
    }
    tracing::warn!(%group, %consumer, code = fault.kind.code(), detail = %fault.detail, "a delivery could not be recorded");
    Ok(())
}

pub(crate) async fn acknowledge(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Body(ack): Body<Ack>,
) -> Result<StatusCode, Refused> {
    let Some(reach) = view::core_reach(ack.reach) else {
        return Err(Refused::bad_request("reach is delivered, loaded or used"));
    };
    if ack.item != ITEM_VALUE {
        return Err(Refused::bad_request("this group has one item, `value`"));
    }
    let role = view::core_role(ack.role);
    let configured = app.configured.get(&group).ok_or_else(Refused::no_such_group)?;
    if !configured.roles(&caller.identity).contains(&role) {
        return Err(Refused::bad_request("this consumer is not declared in this role"));
    }
    let delivery = app.engine.delivery(&group, &caller.identity, &ack.nonce.0).await?;
    let fits = |delivery: &Delivery| {
        delivery.publication == Publication(ack.publication) && delivery.generation == Generation(ack.generation)
    };
    let delivery = delivery.filter(fits).ok_or_else(Refused::unknown_delivery)?;
    let kept = app.store.read_generation(&group, delivery.generation).await?.ok_or_else(Refused::unknown_delivery)?;
    let claim = Claim {
        identity: caller.identity.as_str(),
        group: group.as_str(),
        publication: delivery.publication.0,
        generation: delivery.generation.0,
        item: ITEM_VALUE,
        reach: ack.reach,
        nonce: &ack.nonce,
    };
    if !claim.verify(&kept.secret, &ack.proof) {
        tracing::warn!(%group, consumer = %caller.identity, "an acknowledgement with a wrong proof");
        app.meter.proof_refused();
        return Err(Refused::proof_does_not_fit());
    }
    app.engine.acknowledged(&group, &caller.identity, role, delivery.publication, reach).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The nonce of a delivery, which has the length that all have that were ever made here.
fn as_sent(delivery: &Delivery) -> Result<Nonce, Fault> {
    let bytes = delivery.nonce.as_slice().try_into();
    bytes
        .map(Nonce)
        .map_err(|_| Fault::untouched(FaultKind::Bug, "a delivery stands under a nonce that was not made here"))
}

fn nonce() -> Result<Nonce, Fault> {
    let mut bytes = [0; NONCE_BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| {
        Fault::untouched(FaultKind::Bug, "the operating system gave no randomness; nothing was delivered")
    })?;
    Ok(Nonce(bytes))
}
