//! The signed message that orders an emergency: who sent it, whether it is of now, and whether it was carried out before.
//!
//! Nothing is believed before its signature: names and numbers in headers choose a key, and the key decides. Every refusal
//! of an unproved message has the same words; the log has the reason.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use handover_api::{EmergencySelect, HookOrder, HookOrders, HookRequest};
use handover_core::{GroupId, Timestamp, Wish};
use handover_engine::{Asker, REQUEST_KEY_CHARS_MAX, RequestKey};
use sha2::{Digest as _, Sha256};

use super::App;
use super::body::{bytes, parse};
use super::emergency::selected;
use super::orders::one_line;
use super::refusal::Refused;
use crate::config::HookConfig;

/// Names the sender, as `[[hook]]` does.
const NAME: &str = "handover-hook";
/// The version of the key that signed; absent: the latest.
const KEY: &str = "handover-key";
const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// The longest id of a message: with a group's name it is the key of an order.
const ID_CHARS_MAX: usize = REQUEST_KEY_CHARS_MAX - handover_core::NAME_BYTES_MAX - 1;

pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, Json<HookOrders>), Refused> {
    let headers = request.headers().clone();
    let body = bytes(request, &app).await?;
    let (hook, id) = proved(&app, &headers, &body).await.map_err(|why| {
        tracing::warn!(why, "a signed message was refused");
        Refused::signature_refused()
    })?;
    carry_out(&app, &hook, &id, &body).await
}

/// The sender and the id of a message that it signed a short while ago; else why not, for the log.
async fn proved(app: &App, headers: &HeaderMap, body: &Bytes) -> Result<(Arc<HookConfig>, String), &'static str> {
    let name = only(headers, NAME).ok_or("it names no hook, or two")?;
    let hook = app.configured.hook(name).ok_or("no such hook is configured")?;
    let id = only(headers, ID).filter(|id| is_id(id)).ok_or("it has no id that could be one")?;
    let timestamp = only(headers, TIMESTAMP).ok_or("it has no time, or two")?;
    let now = app.engine.now();
    if !is_of_now(timestamp, now, &hook) {
        return Err("its time is too far from ours");
    }
    let signatures = only(headers, SIGNATURE).ok_or("it has no list of signatures, or two")?;
    let version = match headers.contains_key(KEY) {
        true => Some(only(headers, KEY).and_then(|text| text.parse().ok()).ok_or("it names no version of a key")?),
        false => None,
    };
    let key = hook.key(version, now).ok_or("its key does not count, or not any more")?.clone();
    let of = Arc::clone(&hook);
    let read = tokio::task::spawn_blocking(move || of.verifier(&key)).await;
    let verifier = read.ok().and_then(Result::ok).ok_or("its key could not be read; see `handover check`")?;
    if !verifier.accepts(id, timestamp, body, signatures) {
        return Err("no signature of it is ours");
    }
    let id = id.to_owned();
    Ok((hook, id))
}

/// The one value of a header.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    only.to_str().ok()
}

fn is_id(text: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

/// Whole seconds since the Unix epoch, in digits alone, not further from our clock than the hook tolerates.
fn is_of_now(text: &str, now: Timestamp, hook: &HookConfig) -> bool {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(at) = text.parse::<i64>().ok().filter(|_| digits).map(|seconds| Timestamp(seconds * 1_000)) else {
        return false;
    };
    now.since(at) <= hook.tolerance.0 && at.since(now) <= hook.tolerance.0
}

async fn carry_out(
    app: &App,
    hook: &HookConfig,
    id: &str,
    body: &Bytes,
) -> Result<(StatusCode, Json<HookOrders>), Refused> {
    let HookRequest { labels, groups, reason } = parse(body)?;
    let reason = one_line(reason)?.filter(|reason| !reason.trim().is_empty());
    let reason = reason.ok_or_else(|| Refused::from(handover_engine::OrderRefused::ReasonMissing))?;
    if labels.is_empty() && groups.is_empty() {
        return Err(Refused::bad_request("name groups, or labels that they have"));
    }
    let configured = app.configured.groups();
    let covers = |group: &GroupId| {
        configured.get(group).is_some_and(|configured| hook.covers(group.as_str(), &configured.labels))
    };
    // A group that it may not name and one that is not there are answered alike.
    if groups.iter().any(|name| GroupId::parse(name).map_or(true, |group| !covers(&group))) {
        return Err(Refused::no_such_group());
    }
    let select = EmergencySelect { labels, groups, ..EmergencySelect::default() };
    let taken = selected(app, &select, covers).await?;
    if taken.len() > hook.ceiling {
        return Err(Refused::too_many_groups(taken.len(), hook.ceiling));
    }
    let actor = format!("hook.{}", hook.name);
    let digest: [u8; 32] = Sha256::digest(body).into();
    let keys: Vec<(GroupId, RequestKey)> = taken
        .into_iter()
        .filter_map(|group| RequestKey::parse(&format!("{id}/{group}"), digest).map(|key| (group, key)))
        .collect();
    let mut open = keys.is_empty();
    for (_, key) in &keys {
        open |= !app.engine.is_carried_out(Asker { actor: &actor, key: Some(key) }).await?;
    }
    if !open {
        return Err(Refused::replayed());
    }
    let wish = Wish { accept_breakage: hook.accept_breakage, end_sessions: hook.end_sessions };
    let mut orders = Vec::new();
    for (group, key) in &keys {
        let asker = Asker { actor: &actor, key: Some(key) };
        let ordered = app.engine.emergency(group, wish, &reason, asker).await;
        let group = group.to_string();
        orders.push(match ordered {
            Ok(generation) => HookOrder { group, generation: Some(generation.0), code: None, detail: None },
            Err(refused) => {
                let (code, detail) = Refused::from(refused).told();
                HookOrder { group, generation: None, code: Some(code), detail: Some(detail) }
            }
        });
    }
    Ok((StatusCode::ACCEPTED, Json(HookOrders { orders })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_of_now_or_refused() {
        let text = "name = \"siem\"\ngroups = [\"*\"]\n[[key]]\nversion = 1\nfile = \"a\"";
        let hook: HookConfig = toml::from_str(text).unwrap();
        let now = Timestamp(1_700_000_000_000);
        for (text, is) in [
            ("1700000000", true),
            ("1699999700", true),
            ("1700000300", true),
            ("1699999699", false),
            ("1700000301", false),
            ("0", false),
            ("", false),
            ("-1700000000", false),
            ("+1700000000", false),
            ("1700000000.0", false),
            ("1700000000000", false),
            ("99999999999999999999", false),
        ] {
            assert_eq!(is_of_now(text, now, &hook), is, "{text}");
        }
    }

    #[test]
    fn an_id_leaves_room_for_a_groups_name() {
        assert!(is_id("msg_1") && !is_id("") && !is_id("a b") && !is_id("a/b"));
        assert!(!is_id(&"x".repeat(ID_CHARS_MAX + 1)));
        let longest = format!("{}/{}", "x".repeat(ID_CHARS_MAX), "g".repeat(handover_core::NAME_BYTES_MAX));
        assert!(RequestKey::parse(&longest, [0; 32]).is_some());
    }
}
