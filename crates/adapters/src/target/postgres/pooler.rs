//! Poolers: a candidate is let in by the pooler, and through it by a server.

use handover_core::{Fault, FaultKind, Occupant, Touched};
use handover_secret::Secret;
use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

use super::Postgres;
use super::config::Endpoint;
use super::connect::Denied;
use super::fault::{fault, refuses};

/// Lets the candidate in, in a session at a server that is the candidate's own. The server itself has done so before in
/// the same round: what is refused here is no change that was lost, and is never made again. A new verifier would have a
/// new salt, and leave the pooler further behind.
pub(super) async fn look(
    target: &Postgres,
    endpoint: &Endpoint,
    who: Occupant,
    value: &Secret,
    control: Option<(Occupant, &Secret)>,
) -> Result<(), Fault> {
    let name = &endpoint.name;
    let candidate = target.user(who.slot)?.role;
    match enter(target, endpoint, who, value).await {
        Ok(user) if user == candidate => return Ok(()),
        Ok(user) => {
            let detail = format!(
                "pooler {name} lets {candidate} in and logs in at the server as {user}: sessions could not be told apart. \
                 Take `user` and `password` out of its [databases], so that it passes on who logged in"
            );
            return Err(Fault::untouched(FaultKind::Misconfigured, detail));
        }
        Err(Denied::Fault(fault)) => return Err(fault),
        Err(Denied::Refused) => {}
    }
    let control = match control {
        Some((who, value)) => Some(enter(target, endpoint, who, value).await),
        None => None,
    };
    let detail = match control {
        Some(Ok(_)) => format!(
            "pooler {name} refused generation {} of {candidate}, which the server lets in, and let in the current \
             generation: it works with an older copy of the users. Renew its auth_file and reload it, or have it ask the \
             server (auth_query)",
            who.generation
        ),
        Some(Err(Denied::Refused)) => format!(
            "pooler {name} refused generation {} of {candidate}, which the server lets in, and the current generation as \
             well: it does not know them, cannot log in at the server, or has no connection free. Look at its log, auth_file \
             and auth_query",
            who.generation
        ),
        Some(Err(Denied::Fault(fault))) => return Err(fault),
        None => format!(
            "pooler {name} refused generation {} of {candidate}, which the server lets in; there is no other generation to \
             compare with. Look at its log, auth_file and auth_query",
            who.generation
        ),
    };
    Err(Fault::untouched(FaultKind::Missing, detail))
}

/// What can be found out before there is a candidate: that it is there, and asks as it should. Some ask only users that
/// they know, and our own need not be among them.
pub(super) async fn reach(target: &Postgres, endpoint: &Endpoint, users: &[&str]) -> Option<Fault> {
    for user in users {
        match target.connector.ask(&target.config, endpoint, user).await {
            Ok(()) => return None,
            Err(Denied::Refused) => {}
            Err(Denied::Fault(fault)) => return Some(fault),
        }
    }
    None
}

/// Logs in, and asks for the server's word on who is logged in: a pooler may let in whom it has no session for. Who that
/// is stands outside of any schema, so that nothing can be slipped under the question; and it is asked in one message, as
/// every mode of pooling takes it.
async fn enter(target: &Postgres, endpoint: &Endpoint, who: Occupant, value: &Secret) -> Result<String, Denied> {
    let session = target.login(endpoint, who, value).await?;
    let answer = timeout(target.config.statement_timeout(), session.simple_query("SELECT session_user")).await;
    let unanswered = |why: &str| {
        let detail = format!("pooler {} let in {who:?}, and {why}", endpoint.name, who = who.generation);
        Denied::Fault(Fault::untouched(FaultKind::TimedOut, detail))
    };
    let messages = match answer {
        Ok(Ok(messages)) => messages,
        Ok(Err(error)) if refuses(endpoint, &error) => return Err(Denied::Refused),
        Ok(Err(error)) => {
            let doing = format!("asking the server behind pooler {}", endpoint.name);
            return Err(Denied::Fault(fault(&error, Touched::Nothing, &doing)));
        }
        Err(_) => {
            return Err(unanswered(
                "no server answered through it within statement_timeout_ms; look at its log for its own login at the server",
            ));
        }
    };
    let row = messages.iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        row.get(0)
    });
    row.map(str::to_owned).ok_or_else(|| unanswered("its answer names nobody"))
}
