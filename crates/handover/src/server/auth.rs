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
use crate::tokens::{Caller, Grant};

/// Who may use a route. On routes with `{group}`, the token must cover the group as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// Everybody, without a token.
    Public,
    /// Holders of a consumer's token.
    Consumer,
    /// Holders of an operator's token.
    Operator,
    /// Holders of any token.
    Anyone,
}

impl Rule {
    const fn allows(self, grant: Grant) -> bool {
        match (self, grant) {
            (Self::Public | Self::Anyone, Grant::Consumer | Grant::Operator)
            | (Self::Consumer, Grant::Consumer)
            | (Self::Operator, Grant::Operator) => true,
            (Self::Consumer, Grant::Operator) | (Self::Operator, Grant::Consumer) => false,
        }
    }
}

/// The layer in front of every route.
pub(crate) async fn guard(State((app, rule)): State<(Arc<App>, Rule)>, mut request: Request, next: Next) -> Response {
    if rule == Rule::Public {
        return next.run(request).await;
    }
    let Some(caller) = bearer(request.headers()).and_then(|token| app.tokens.caller(&token)) else {
        let mut answer = Refused::unauthenticated().into_response();
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return answer;
    };
    if !rule.allows(caller.grant) {
        return Refused::not_permitted(caller.grant).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
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
/// A group that the token does not cover and one that does not exist are answered alike: nobody learns which groups
/// there are by asking.
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
            .filter(|group| app.groups.contains_key(group) && caller.covers(group))
            .map(|group| Self { caller, group })
            .ok_or_else(Refused::no_such_group)
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::from_text(token.trim().to_owned()))
}
