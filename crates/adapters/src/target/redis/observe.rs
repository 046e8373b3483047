//! Connections of the twins, at every node.

use std::collections::BTreeMap;

use handover_core::port::Source;
use handover_core::{Fault, FaultKind, Occupant, Tally, Touched};

use super::Redis;
use super::account::text;
use super::connect::Session;
use super::fault::{Answered, answered, fault};

/// A connection, as far as it matters.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Client {
    /// The node's number for it, which never comes again until the node starts anew.
    id: String,
    /// Where it comes from, without the port.
    address: Option<String>,
    /// Whom it is logged in as.
    user: String,
}

/// Counts connections. A node that cannot be asked makes *none* unknown; what was seen elsewhere was seen.
pub(super) async fn count(target: &Redis, of: &[Occupant]) -> Result<Tally, Fault> {
    let users = users(target, of)?;
    let (mut seen, mut blind) = (0_usize, false);
    for endpoint in target.config.endpoints.iter() {
        let clients = match target.admin(endpoint).await {
            Ok(mut session) => clients(&mut session).await,
            Err(fault) => Err(fault),
        };
        match clients {
            Ok(clients) => seen += clients.iter().filter(|client| users.contains(&client.user.as_str())).count(),
            Err(_) => blind = true,
        }
    }
    Ok(match (seen, blind) {
        (0, false) => Tally::None,
        (0, true) => Tally::Unknown,
        (seen, _) => Tally::Some(u32::try_from(seen).unwrap_or(u32::MAX)),
    })
}

/// Each address with its connections.
pub(super) async fn sources(target: &Redis, of: &[Occupant]) -> Result<Vec<Source>, Fault> {
    let users = users(target, of)?;
    let mut found: BTreeMap<Option<String>, u32> = BTreeMap::new();
    for endpoint in target.config.endpoints.iter() {
        let mut session = target.admin(endpoint).await?;
        for client in clients(&mut session).await? {
            if users.contains(&client.user.as_str()) {
                let uses = found.entry(client.address).or_default();
                *uses = uses.saturating_add(1);
            }
        }
    }
    Ok(found.into_iter().map(|(address, uses)| Source { address, uses }).collect())
}

/// Ends connections, at every node: those that were there before it was seen whom the twin serves. One that comes with a
/// later generation has a number that is not among them.
pub(super) async fn end(target: &Redis, of: &[Occupant]) -> Result<(), Fault> {
    for endpoint in target.config.endpoints.iter() {
        let mut session = target.admin(endpoint).await?;
        let clients = clients(&mut session).await?;
        for who in of {
            let twin = target.twin(who.slot)?;
            let Some(found) = target.read(&mut session, twin.user).await? else { continue };
            twin.owns(&found, session.endpoint())?;
            let Some(label) = found.label else { return Err(twin.unlabelled(session.endpoint())) };
            if label.generation != who.generation {
                continue;
            }
            for client in clients.iter().filter(|client| client.user == twin.user) {
                let end = ["CLIENT", "KILL", "ID", &client.id, "USER", twin.user];
                session.ask(&end).await.map_err(|error| match answered(&error) {
                    Some(Answered::NoPermission) => {
                        let detail = format!(
                            "our user may not end connections at endpoint {}. Run there: ACL SETUSER {} +client|kill",
                            session.endpoint(),
                            twin.admin
                        );
                        Fault::untouched(FaultKind::NotPermitted, detail)
                    }
                    Some(Answered::Refused | Answered::WrongPassword | Answered::Other) | None => {
                        let doing = format!("ending connections of {} at endpoint {}", twin.user, session.endpoint());
                        fault(&error, Touched::Unknown, &doing)
                    }
                })?;
            }
        }
    }
    Ok(())
}

fn users<'a>(target: &'a Redis, of: &[Occupant]) -> Result<Vec<&'a str>, Fault> {
    of.iter().map(|who| Ok(target.twin(who.slot)?.user)).collect()
}

async fn clients(session: &mut Session) -> Result<Vec<Client>, Fault> {
    let answer = session.look(&["CLIENT", "LIST"], "listing connections").await?;
    let lines = text(&answer);
    let clients = lines.as_deref().and_then(|lines| lines.lines().map(parse).collect());
    clients.ok_or_else(|| {
        let detail = format!("endpoint {} listed a connection without its user", session.endpoint());
        Fault::untouched(FaultKind::Unsupported, detail)
    })
}

/// A line of `name=value` words. Names that clients give themselves hold no spaces.
fn parse(line: &str) -> Option<Client> {
    let word = |name: &str| {
        line.split(' ')
            .find_map(|word| word.split_once('=').filter(|(found, _)| *found == name))
            .map(|(_, value)| value)
    };
    let address = word("addr").and_then(|address| Some(address.rsplit_once(':')?.0)).filter(|host| !host.is_empty());
    Some(Client { id: word("id")?.to_owned(), address: address.map(str::to_owned), user: word("user")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_is_read() {
        let line = "id=7 addr=127.0.0.1:40112 laddr=127.0.0.1:26380 fd=9 name= age=0 idle=0 flags=N db=0 sub=0 user=app_a \
                    redir=-1 resp=2";
        let client = Client { id: "7".to_owned(), address: Some("127.0.0.1".to_owned()), user: "app_a".to_owned() };
        assert_eq!(parse(line), Some(client));
        assert_eq!(parse("id=7 addr=[::1]:9 user=a").unwrap().address.as_deref(), Some("[::1]"));
        assert_eq!(parse("id=7 addr=127.0.0.1:1"), None, "whoever it is, it is not nobody");
        assert_eq!(parse("id=7 name=user=x user=app_b").unwrap().user, "app_b", "a client's own name is not its user");
    }
}
