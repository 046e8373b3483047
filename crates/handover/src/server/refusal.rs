//! Refusals: one problem body for each, with a stable code and a next step.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use handover_api::{MEDIA_TYPE, Problem};
use handover_core::{Breakage, ConsumerId, Fault, FaultKind, GroupId, Refusal};
use handover_engine::{CampaignRefused, OrderRefused, RemoveRefused, StartRefused};

use super::auth::Rule;
use crate::tokens::Grant;
use crate::words::{self, Denial};

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Refused(Box<Problem>);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = (status, Json(&self.0)).into_response();
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body is not read, so that no other request can follow it.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer.extensions_mut().insert(Arc::new(self.0));
        answer
    }
}

/// The layer that adds to a refusal about a group where it is explained how the group stands. Only where the caller may
/// know that there is such a group, and may look at it.
pub(crate) async fn link(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let group = path.strip_prefix("/v1/groups/").and_then(|rest| rest.split_once('/'));
    let explain = group
        .filter(|(_, verb)| !["secret", "ack", "explain"].contains(verb))
        .map(|(group, _)| format!("/v1/groups/{group}/explain"));
    let answer = next.run(request).await;
    let Some(explain) = explain else { return answer };
    match answer.extensions().get::<Arc<Box<Problem>>>() {
        Some(problem) if [409, 422, 500, 502, 503].contains(&problem.status) => {
            let problem = Problem { explain: Some(explain), ..Problem::clone(problem) };
            Refused(Box::new(problem)).into_response()
        }
        Some(_) | None => answer,
    }
}

impl Refused {
    pub(crate) fn new(status: u16, code: &str, title: &str, detail: impl Into<String>, hint: &str) -> Self {
        Self(Box::new(Problem::new(status, code, title, detail).hint(hint)))
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            401,
            "unauthenticated",
            "No valid token",
            "this needs a token that the server knows and that has not expired",
            "make one with `handover token create`, and send it as a bearer token",
        )
    }

    pub(crate) fn not_permitted(rule: Rule, grant: Grant) -> Self {
        let (detail, hint) = match (rule, grant) {
            (Rule::May(verb), Grant::Operator) if Grant::Operator.includes(verb) => (
                format!("this token was narrowed to other verbs than `{verb}`"),
                format!(
                    "use a token with `--verb {verb}`, or one that is not narrowed; see `handover token create --help`"
                ),
            ),
            (Rule::MayAll(verb), Grant::Operator) => (
                format!("`{verb}` is for a token that covers every group and was not narrowed to other verbs"),
                "use a token made with `--group '*'`; see `handover token create --help`".to_owned(),
            ),
            (Rule::May(verb) | Rule::MayAll(verb), _) => {
                let whose = if Grant::Viewer.includes(verb) {
                    "a viewer's or an operator's"
                } else if Grant::Operator.includes(verb) {
                    "an operator's"
                } else {
                    "an approver's"
                };
                (
                    format!("`{verb}` is not for a {grant}'s token"),
                    format!("use {whose} token; see `handover token create --help`"),
                )
            }
            (Rule::Public | Rule::Code | Rule::Signed | Rule::Consumer | Rule::Anyone, _) => (
                format!("this is not for a token of the role {grant}"),
                "use a consumer's token; see `handover token create --help`".to_owned(),
            ),
        };
        Self::new(403, "not_permitted", "Not permitted", detail, &hint)
    }

    pub(crate) fn two_identities() -> Self {
        Self::new(
            401,
            "two_identities",
            "Two identities",
            "the client certificate stands for one identity, and the token is of another",
            "send the token of the certificate's identity, or one of the two alone",
        )
    }

    pub(crate) fn no_such_group() -> Self {
        Self::new(
            404,
            "no_such_group",
            "No such group",
            "there is no such group, or the token does not cover it",
            "`handover status` lists the groups that a token covers",
        )
    }

    pub(crate) fn no_such_campaign() -> Self {
        Self::new(
            404,
            "no_such_campaign",
            "No such campaign",
            "there is no such campaign, or the token does not cover all of its groups",
            "`handover campaign list` lists the campaigns that a token covers",
        )
    }

    pub(crate) fn no_schedule(group: &GroupId) -> Self {
        let detail = format!("group {group} has no schedule that could be paused or resumed");
        Self::new(409, "no_schedule", "No schedule", detail, "give it one with [group.schedule] in the configuration")
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "no_such_path", "No such path", "nothing is served here", "see the paths in the API's reference")
    }

    pub(crate) fn wrong_method() -> Self {
        Self::new(405, "wrong_method", "Wrong method", "this path takes another method", "see the API's reference")
    }

    pub(crate) fn not_published(group: &GroupId) -> Self {
        Self::new(
            409,
            "not_published",
            "Nothing is published",
            format!("group {group} has no value yet"),
            "start its first rotation with `handover rotate`",
        )
    }

    /// An older value may still be in the embedded store, of the time when it was one of the group's stores.
    pub(crate) fn published_elsewhere(group: &GroupId, stores: &[String]) -> Self {
        Self::new(
            409,
            "not_published",
            "Nothing is published here",
            format!("group {group} is published in {} alone, not in the embedded store", stores.join(", ")),
            "read it there, or add \"embedded\" to the group's `stores` and rotate",
        )
    }

    pub(crate) fn not_expected(group: &GroupId, consumer: &ConsumerId) -> Self {
        Self::new(
            409,
            "not_expected",
            "Nobody waits for this consumer",
            format!("`{consumer}` is not waited for in rotations of {group}: a value in its hands could be disabled"),
            "`handover get --join` has it waited for from now on; `--peek` only looks",
        )
    }

    pub(crate) fn still_configured(group: &GroupId) -> Self {
        Self::new(
            409,
            "configured",
            "The group is configured",
            format!("group {group} is in the configuration"),
            "take it out of the configuration, `handover reload`, then remove it",
        )
    }

    pub(crate) fn unknown_delivery() -> Self {
        Self::new(
            409,
            "unknown_delivery",
            "Unknown delivery",
            "no such delivery was made to this consumer, or its value is gone",
            "fetch the value again and acknowledge that delivery",
        )
    }

    pub(crate) fn proof_does_not_fit() -> Self {
        Self::new(
            422,
            "proof",
            "The proof does not fit",
            "the proof is not that of a holder of the delivered value",
            "acknowledge what was delivered, under the identity that the delivery names",
        )
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "bad_request", "Bad request", detail, "see the API's reference")
    }

    /// The server knows the group and the engine does not: they were wired from one configuration.
    pub(super) fn not_bound(group: &GroupId) -> Self {
        Fault::untouched(FaultKind::Bug, format!("group {group} is configured, and the engine does not know it")).into()
    }

    /// The same for every reason: whoever cannot sign learns nothing of why.
    pub(crate) fn signature_refused() -> Self {
        Self::new(
            401,
            "signature_refused",
            "The message is not proved",
            "the message is not signed by a hook that counts, or not a short while ago",
            "see docs/emergency.md for what is signed and how; the server's log has the reason",
        )
    }

    pub(crate) fn replayed() -> Self {
        Self::new(
            409,
            "replayed",
            "The message was carried out",
            "this message was carried out already; nothing was done again",
            "send a fresh id with each message, and the same id with a repeat only",
        )
    }

    pub(crate) fn too_many_groups(selected: usize, ceiling: usize) -> Self {
        Self::new(
            409,
            "too_many_groups",
            "Too many groups",
            format!("{selected} groups are selected, and this hook may take {ceiling} at once; nothing was ordered"),
            "name fewer, or raise `ceiling` of the hook",
        )
    }

    /// Its code and its words.
    pub(crate) fn told(self) -> (String, String) {
        (self.0.code, self.0.detail)
    }

    pub(crate) fn would_break(breakage: &Breakage) -> Self {
        Self::new(
            409,
            "would_break",
            "Somebody would be left behind",
            format!("{}; nothing was changed", words::breakage(breakage)),
            "`handover emergency plan` shows them; --accept-breakage goes on once they had the policy's ceiling to load it",
        )
    }

    pub(crate) fn idempotency_mismatch() -> Self {
        Self::new(
            422,
            "idempotency_mismatch",
            "The key is that of another request",
            "another request was carried out under this idempotency key; this one was not",
            "send a fresh key with each order, and the same key with a repeat only",
        )
    }

    pub(super) fn reason_too_long() -> Self {
        Self::new(
            400,
            "reason_too_long",
            "The reason is too long",
            format!("a reason has at most {} characters", handover_api::REASON_CHARS_MAX),
            "say it shorter",
        )
    }

    pub(crate) fn too_long() -> Self {
        Self::new(
            413,
            "too_long",
            "The body is too long",
            "a body has at most 64 KiB",
            "send less; a reason is one line",
        )
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(503, "too_slow", "No answer in time", "the server could not answer in time", "try again later")
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        let status = match fault.kind {
            FaultKind::Unreachable | FaultKind::TimedOut | FaultKind::Busy | FaultKind::Fenced => 503,
            FaultKind::Unauthenticated
            | FaultKind::NotPermitted
            | FaultKind::ReadOnly
            | FaultKind::Rejected
            | FaultKind::Unfit
            | FaultKind::Conflict
            | FaultKind::Foreign
            | FaultKind::Missing
            | FaultKind::Misconfigured
            | FaultKind::Unsupported => 502,
            FaultKind::Corrupt | FaultKind::Storage | FaultKind::Bug => 500,
        };
        let code = fault.kind.code();
        Self::new(status, code, "Something failed", fault.detail, &format!("see docs/errors/{code}.md"))
    }
}

impl From<StartRefused> for Refused {
    fn from(refused: StartRefused) -> Self {
        match refused {
            StartRefused::UnknownGroup(group) => Self::not_bound(&group),
            StartRefused::Obstacles(obstacles) => {
                let words: Vec<String> = obstacles.iter().map(words::obstacle).collect();
                Self::new(
                    409,
                    "obstacles",
                    "The rotation would not end well",
                    words.join("; "),
                    "`handover plan` shows what stands in the way; clear it and try again",
                )
            }
            StartRefused::Waits => Self::new(
                409,
                "live",
                "A rollback waits",
                "a rotation of this group is on its way back, and waits",
                "let it end (`handover explain` says what it waits for), or start over it with `handover supersede`",
            ),
            StartRefused::NothingWaits => Self::new(
                409,
                "nothing_to_supersede",
                "There is nothing to supersede",
                "only a rollback that waits for consumers, or for use to end, can be superseded",
                "`handover explain` says what can be done now",
            ),
            StartRefused::Breaks(breakage) => Self::would_break(&breakage),
            StartRefused::ReasonMissing => OrderRefused::ReasonMissing.into(),
            StartRefused::ReasonTooLong => OrderRefused::ReasonTooLong.into(),
            StartRefused::OtherRequest => Self::idempotency_mismatch(),
            StartRefused::Refused(refusal) => refusal.into(),
            StartRefused::Fault(fault) => fault.into(),
        }
    }
}

impl From<CampaignRefused> for Refused {
    fn from(refused: CampaignRefused) -> Self {
        let words = refused.to_string();
        match refused {
            CampaignRefused::UnknownGroup(group) => Self::not_bound(&group),
            CampaignRefused::Unknown => Self::no_such_campaign(),
            CampaignRefused::Empty | CampaignRefused::TooMany | CampaignRefused::Cycle(_) | CampaignRefused::NoName => {
                Self::bad_request(words)
            }
            CampaignRefused::Taken { .. } => Self::new(
                409,
                "in_campaign",
                "In another campaign",
                words,
                "let that campaign end, or cancel it with `handover campaign cancel`, then begin this one",
            ),
            CampaignRefused::ReasonTooLong => OrderRefused::ReasonTooLong.into(),
            CampaignRefused::OtherRequest => Self::idempotency_mismatch(),
            CampaignRefused::Refused(refusal) => {
                let (detail, hint) = words::campaign::refusal(&refusal);
                Self::new(409, "campaign_state", "The campaign's state does not allow it", detail, hint)
            }
            CampaignRefused::Fault(fault) => fault.into(),
        }
    }
}

impl From<RemoveRefused> for Refused {
    fn from(refused: RemoveRefused) -> Self {
        match refused {
            RemoveRefused::Configured(group) => Self::still_configured(&group),
            RemoveRefused::Unknown => Self::no_such_group(),
            RemoveRefused::Live => Self::new(
                409,
                "live",
                "A rotation is live",
                "a rotation of this group is live: what it did at the target would be left half done",
                "put the group back into the configuration, let its rotation end or abandon it, then remove the group",
            ),
            RemoveRefused::ReasonMissing => OrderRefused::ReasonMissing.into(),
            RemoveRefused::ReasonTooLong => OrderRefused::ReasonTooLong.into(),
            RemoveRefused::Fault(fault) => fault.into(),
        }
    }
}

impl From<OrderRefused> for Refused {
    fn from(refused: OrderRefused) -> Self {
        match refused {
            OrderRefused::UnknownGroup(group) => Self::not_bound(&group),
            OrderRefused::ReasonMissing => Self::new(
                400,
                "reason_missing",
                "A reason is missing",
                "this order wants a reason",
                "give one with --reason",
            ),
            OrderRefused::ReasonTooLong => Self::reason_too_long(),
            OrderRefused::OtherPlan => Self::new(
                409,
                "other_plan",
                "Another plan waits",
                "what was approved is not what waits now: another rotation, or another plan; nothing was approved",
                "look again with `handover approvals`, and approve that",
            ),
            OrderRefused::OtherRequest => Self::idempotency_mismatch(),
            OrderRefused::Refused(refusal) => refusal.into(),
            OrderRefused::Fault(fault) => fault.into(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Denial { code, detail, hint } = words::refusal(refusal);
        let (status, title) = match refusal {
            Refusal::OwnRequest | Refusal::NotAnApprover => (403, "Not for you to approve"),
            Refusal::NotLive
            | Refusal::Live
            | Refusal::NoFreeSlot
            | Refusal::Held
            | Refusal::NotHeld
            | Refusal::Stale
            | Refusal::Touched
            | Refusal::PastReturn
            | Refusal::AlreadyBack
            | Refusal::NothingToReturnTo
            | Refusal::NotForceable
            | Refusal::Doubted
            | Refusal::ApprovalNotWanted
            | Refusal::Unapproved => (409, "The rotation's state does not allow it"),
        };
        Self::new(status, code, title, detail, hint)
    }
}
