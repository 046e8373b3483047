//! Sessions of our own user between two uses. A login costs the server more than most of what is then asked of it.
//!
//! All groups share them. One is taken up again only for the same endpoint, database, user, password and trust, and only
//! if whoever had it gave it back: after an error, or when a call was cut off, it is closed, so that none is ever found in
//! the middle of a transaction.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_secret::Secret;
use tokio::time::Instant;

use super::config::{Config, Endpoint};
use super::connect::{Session, Trust};
use crate::shared::Text;

/// How long one waits for its next use. Long enough to last from one look to the next, short enough that nobody who
/// stops a server or drops a database has to wait for it.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How long after its login one is still used again: from then on a changed password, or a right to log in that was
/// taken away, is noticed.
const AGE_MAX: Duration = Duration::from_secs(60);

/// How many wait at one endpoint. As many as the engine works on one target at once by default.
const ALIKE_MAX: usize = 8;

/// How many wait in all.
const KEPT_MAX: usize = 64;

static KEPT: Mutex<Vec<(Session, Instant)>> = Mutex::new(Vec::new());

/// For what a session can be used again.
#[derive(Clone)]
pub(super) struct Home {
    trust: Arc<Trust>,
    endpoint: Endpoint,
    database: Text,
    user: String,
    password: Arc<Secret>,
    statement_timeout_ms: u64,
    opened: Instant,
}

impl Home {
    /// Of a session of our own user that is opened now.
    pub(super) fn new(trust: &Arc<Trust>, config: &Config, endpoint: &Endpoint, password: &Arc<Secret>) -> Self {
        Self {
            trust: Arc::clone(trust),
            endpoint: endpoint.clone(),
            database: config.database.clone(),
            user: config.admin.user.clone(),
            password: Arc::clone(password),
            statement_timeout_ms: config.statement_timeout_ms,
            opened: Instant::now(),
        }
    }

    fn is_alike(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.trust, &other.trust)
            && (&self.endpoint.host, self.endpoint.port) == (&other.endpoint.host, other.endpoint.port)
            && self.endpoint.channel_binding == other.endpoint.channel_binding
            && self.database == other.database
            && self.user == other.user
            && self.statement_timeout_ms == other.statement_timeout_ms
            && self.password.matches(&other.password)
    }
}

/// One that waits for this use.
pub(super) fn take(home: &Home) -> Option<Session> {
    let now = Instant::now();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    clear(&mut kept, now);
    // The one that was used last: the others come of age.
    let at = kept.iter().rposition(|(session, _)| session.home().is_some_and(|other| other.is_alike(home)))?;
    Some(kept.remove(at).0)
}

/// Keeps one that is in no transaction. Closes it where there is no use for it.
pub(super) fn keep(session: Session) {
    let now = Instant::now();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    clear(&mut kept, now);
    let Some(home) = session.home() else { return };
    let alike = kept.iter().filter(|(other, _)| other.home().is_some_and(|other| other.is_alike(home))).count();
    if !is_fit(&session, now) || alike >= ALIKE_MAX || kept.len() >= KEPT_MAX {
        return;
    }
    kept.push((session, now));
    drop(kept);
    tokio::spawn(async {
        tokio::time::sleep(IDLE_MAX).await;
        clear(&mut KEPT.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
    });
}

/// Closes those that wait for this use.
pub(super) fn forget(home: &Home) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|(session, _)| session.home().is_none_or(|other| !other.is_alike(home)));
}

/// Closes all sessions of our own users that wait for their next use, for who wants to see the server without us. Those in
/// use are left alone.
pub fn close_idle_sessions() {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn clear(kept: &mut Vec<(Session, Instant)>, now: Instant) {
    kept.retain(|(session, since)| now.duration_since(*since) < IDLE_MAX && is_fit(session, now));
}

fn is_fit(session: &Session, now: Instant) -> bool {
    !session.is_closed() && session.home().is_some_and(|home| now.duration_since(home.opened) < AGE_MAX)
}
