//! Who may do what. Every route names its rule; whatever no rule allows is refused.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use handover_core::GroupId;
use handover_secret::Secret;

use super::App;
use super::refusal::Refused;
use crate::tokens::{Caller, Certificate, Grant, Verb};

/// Who may use a route. On routes with `{group}`, the token must cover the group as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// Everybody, without a token.
    Public,
    /// Whoever presents the one-time code, which the handler checks.
    Code,
    /// Whoever signs the message with a key of a configured hook, which the handler checks.
    Signed,
    /// Consumers.
    Consumer,
    /// Those whose role includes the verb, and whose token was not narrowed to others.
    May(Verb),
    /// The same, for what concerns every group: only tokens that cover them all.
    MayAll(Verb),
    /// Holders of any token.
    Anyone,
}

impl Rule {
    /// Whether the rule lets this caller in.
    fn allows(self, caller: &Caller) -> bool {
        match self {
            Self::Public | Self::Code | Self::Signed | Self::Anyone => true,
            Self::Consumer => caller.grant == Grant::Consumer,
            Self::May(verb) => caller.may(verb),
            Self::MayAll(verb) => caller.may(verb) && caller.covers_every(),
        }
    }
}

/// What a connection says of its client, beside what its requests say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Peer {
    /// The client's certificate, which chains to the configured CA.
    pub(crate) certificate: Option<Certificate>,
}

/// The layer in front of every route.
pub(crate) async fn guard(State((app, rule)): State<(Arc<App>, Rule)>, mut request: Request, next: Next) -> Response {
    match rule {
        Rule::Public | Rule::Code | Rule::Signed => return next.run(request).await,
        Rule::Consumer | Rule::May(_) | Rule::MayAll(_) | Rule::Anyone => {}
    }
    let caller = match who(&app, &request) {
        Ok(caller) => caller,
        Err(refused) => {
            let mut answer = refused.into_response();
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return answer;
        }
    };
    if !rule.allows(&caller) {
        return Refused::not_permitted(rule, caller.grant).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Who asks: by the token, or without one by the certificate.
///
/// A certificate that stands for one identity and a token of another are refused together. One of the two is not where
/// it belongs, and the history would name whichever of them we had picked. Where both are of one identity, the token
/// says what it may: it is what the request chose to present. A certificate that stands for nobody decides nothing.
fn who(app: &App, request: &Request) -> Result<Caller, Refused> {
    let certificate = request.extensions().get::<Peer>().and_then(|peer| peer.certificate.as_ref());
    let certified = certificate.and_then(|certificate| app.tokens.holder(certificate));
    if !request.headers().contains_key(AUTHORIZATION) {
        return certified.ok_or_else(Refused::unauthenticated);
    }
    // A token that is not valid is refused, also beside a certificate that is: whoever sends it means to be its holder.
    let token = bearer(request.headers()).and_then(|token| app.tokens.caller(&token));
    let caller = token.ok_or_else(Refused::unauthenticated)?;
    match certified {
        Some(certified) if certified.identity != caller.identity => Err(Refused::two_identities()),
        Some(_) | None => Ok(caller),
    }
}

/// The one who asks, on routes whose rule is not public.
pub(crate) struct Asking(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for Asking {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Refused> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(Refused::unauthenticated)
    }
}

/// The group in the path, of a caller whose token covers it, and which is configured.
///
/// A group that the token does not cover and one that does not exist are answered alike, after the same work: what is
/// configured is looked at only for groups that the token names, so that no answer and no time tells which groups there
/// are.
pub(crate) struct Covered {
    /// Who asks.
    pub(crate) caller: Caller,
    /// For which group.
    pub(crate) group: GroupId,
}

impl FromRequestParts<Arc<App>> for Covered {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let Asking(caller) = Asking::from_request_parts(parts, app).await?;
        let path = axum::extract::Path::<String>::from_request_parts(parts, app).await;
        let group = path.ok().and_then(|path| GroupId::parse(&path.0).ok());
        group
            .filter(|group| caller.covers(group) && app.configured.get(group).is_some())
            .map(|group| Self { caller, group })
            .ok_or_else(Refused::no_such_group)
    }
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<Secret> {
    // Two of them are none: an intermediary could look at one and we at the other.
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::from_text(token.trim().to_owned()))
}
