//! Logging in, and staying logged in. There is no timer: a token is renewed when it is used late in its life, and what
//! expired meanwhile is replaced by a new login.

use std::time::{Duration, Instant};

use handover_core::{Fault, FaultKind, Touched};
use handover_secret::Secret;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::client::{Client, Reply, Request};
use super::config::Auth;

/// A token in use.
pub(super) struct Session {
    pub(super) token: Secret,
    /// How far the server was when it gave the token out: a node that lags would not know it.
    pub(super) index: Option<HeaderValue>,
    since: Instant,
    /// How long it lives; `None`: without end.
    life: Option<Duration>,
    renewable: bool,
}

impl Session {
    fn duplicate(&self) -> Self {
        Self {
            token: self.token.duplicate(),
            index: self.index.clone(),
            since: self.since,
            life: self.life,
            renewable: self.renewable,
        }
    }

    /// Whether two thirds of its life are over.
    fn is_late(&self) -> bool {
        self.life.is_some_and(|life| self.since.elapsed() > life * 2 / 3)
    }
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Token,
}

#[derive(Deserialize)]
struct Token {
    client_token: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct LookedUp {
    data: Known,
}

#[derive(Deserialize)]
struct Known {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Mounts {
    data: Mount,
}

#[derive(Deserialize)]
struct Mount {
    #[serde(rename = "type")]
    kind: String,
    options: Option<MountOptions>,
}

#[derive(Deserialize)]
struct MountOptions {
    version: Option<String>,
}

impl Client {
    /// The session in force; a new one if there is none, or `refused` is still it. One at a time logs in.
    pub(super) async fn session(&self, refused: Option<&Session>) -> Result<Session, Fault> {
        let mut kept = self.session.lock().await;
        let usable = kept.as_ref().filter(|kept| refused.is_none_or(|refused| !kept.token.matches(&refused.token)));
        if let Some(session) = usable {
            if !session.is_late() {
                return Ok(session.duplicate());
            }
            if session.renewable
                && let Some(renewed) = self.renewed(session).await
            {
                let copy = renewed.duplicate();
                *kept = Some(renewed);
                return Ok(copy);
            }
        }
        *kept = None;
        let session = self.log_in().await?;
        let copy = session.duplicate();
        *kept = Some(session);
        Ok(copy)
    }

    /// The session with a longer life; `None` if there is none to be had. One that the server cannot be asked about is
    /// used as it is.
    async fn renewed(&self, session: &Session) -> Option<Session> {
        let request = Request::post(segments(&["auth", "token", "renew-self"]), b"{}".to_vec());
        match self.send(&request, Some(session)).await {
            Ok(reply) if reply.is_success() => {
                let LoggedIn { auth } = reply.json()?;
                drop(Zeroizing::new(auth.client_token));
                let (life, renewable) = (life(auth.lease_duration), auth.renewable);
                let renewed = Session { since: Instant::now(), life, renewable, ..session.duplicate() };
                // What has reached its longest life is given no more.
                (auth.lease_duration > 0).then_some(renewed)
            }
            Ok(_) => None,
            Err(_) => Some(session.duplicate()),
        }
    }

    async fn log_in(&self) -> Result<Session, Fault> {
        let presented = (self.credential)()?;
        let session = match &self.config.auth {
            Auth::Token { .. } => self.look_up(presented).await?,
            Auth::AppRole { mount, role_id, .. } => {
                self.present(mount, ("role_id", role_id), ("secret_id", &presented)).await?
            }
            Auth::Jwt { mount, role, .. } => self.present(mount, ("role", role), ("jwt", &presented)).await?,
        };
        self.look_at_mount(&session).await?;
        Ok(session)
    }

    async fn look_up(&self, token: Secret) -> Result<Session, Fault> {
        let since = Instant::now();
        let session = Session { token, index: None, since, life: None, renewable: false };
        let reply = self.send(&Request::get(segments(&["auth", "token", "lookup-self"])), Some(&session)).await?;
        match reply.json::<LookedUp>() {
            Some(LookedUp { data }) if reply.is_success() => {
                Ok(Session { life: life(data.ttl), renewable: data.renewable, index: reply.index, ..session })
            }
            _ => Err(self.not_let_in(&reply, "the token in token_file: it expired, or was revoked")),
        }
    }

    async fn present(
        &self,
        mount: &str,
        (role, name): (&str, &str),
        (field, secret): (&str, &Secret),
    ) -> Result<Session, Fault> {
        let mount = self.config.segments("auth.mount", mount)?;
        let path = std::iter::once("auth".to_owned()).chain(mount).chain(["login".to_owned()]).collect();
        #[expect(clippy::disallowed_methods, reason = "a login presents it")]
        let text = secret.expose_text().ok_or_else(|| self.config.misconfigured("what it logs in with is no text"))?;
        let body = serde_json::json!({ role: name, field: text }).to_string().into_bytes();
        let since = Instant::now();
        let reply = self.send(&Request::post(path, body), None).await?;
        match reply.json::<LoggedIn>() {
            Some(LoggedIn { auth }) if reply.is_success() => Ok(Session {
                token: Secret::from_text(auth.client_token),
                index: reply.index,
                since,
                life: life(auth.lease_duration),
                renewable: auth.renewable,
            }),
            _ => Err(self.not_let_in(&reply, "what auth presents: it expired, was revoked, or is another role's")),
        }
    }

    /// A write to a KV version 1 would be taken, and be something else than what it says.
    async fn look_at_mount(&self, session: &Session) -> Result<(), Fault> {
        let mount = self.config.mount_segments()?;
        let path = segments(&["sys", "internal", "ui", "mounts"]).into_iter().chain(mount).collect();
        let reply = self.send(&Request::get(path), Some(session)).await?;
        if !reply.is_success() {
            return Err(match reply.status {
                403 => self.fault(
                    FaultKind::NotPermitted,
                    Touched::Nothing,
                    "there is no such mount, or our login may do nothing in it: give it the policy in \
                     docs/connectors/vault.md",
                ),
                _ => self.refusal(&reply, false),
            });
        }
        let version = reply.json::<Mounts>().map(|Mounts { data }| (data.kind, data.options.and_then(|of| of.version)));
        match version {
            Some((kind, Some(version))) if kind == "kv" && version == "2" => Ok(()),
            _ => Err(self.config.misconfigured("what is at mount is no KV version 2")),
        }
    }

    fn not_let_in(&self, reply: &Reply, what: &str) -> Fault {
        match reply.status {
            400 | 401 | 403 => {
                let words = format!("it does not accept {what}");
                self.fault(FaultKind::Unauthenticated, Touched::Nothing, &words)
            }
            404 => self.fault(FaultKind::Misconfigured, Touched::Nothing, "there is no such login: set auth.mount"),
            _ => self.refusal(reply, false),
        }
    }
}

fn segments(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

const fn life(seconds: u64) -> Option<Duration> {
    if seconds == 0 { None } else { Some(Duration::from_secs(seconds)) }
}
