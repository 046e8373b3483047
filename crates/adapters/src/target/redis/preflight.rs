//! What would make a rotation fail, with the next step for each.

use handover_core::port::State;
use handover_core::{Fault, FaultKind, Generation, Slot};

use super::account::{Account, text};
use super::connect::Session;
use super::nodes::{Node, left_out, left_out_of_cluster};
use super::persist::Persistence;
use super::{Redis, Twin, rights};

/// What is needed exists from this version on: rules of subcommands, and asking whether one applies.
const MAJOR_MIN: u32 = 7;

/// What a node has of the twins.
struct Seen {
    endpoint: String,
    /// By slot: the generation that is let in.
    serves: Vec<Option<Generation>>,
}

/// Looks at everything and changes nothing. What it could not look at is an error.
pub(super) async fn look(target: &Redis) -> Result<Vec<Fault>, Fault> {
    let (mut findings, mut nodes, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for (index, endpoint) in target.config.endpoints.iter().enumerate() {
        let mut session = match target.admin(endpoint).await {
            Ok(session) => session,
            Err(fault) if index > 0 => {
                findings.push(fault);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        match look_at_node(target, &mut session, &mut findings).await {
            Ok(Some((node, has))) => {
                nodes.push(node);
                seen.extend(has);
            }
            Ok(None) => {}
            // What is missing is in its words.
            Err(fault) if matches!(fault.kind, FaultKind::NotPermitted | FaultKind::Corrupt) => findings.push(fault),
            Err(fault) => return Err(fault),
        }
    }
    findings.extend(left_out(&nodes));
    findings.extend(apart(target, &seen));
    Ok(findings)
}

async fn look_at_node(
    target: &Redis,
    session: &mut Session,
    findings: &mut Vec<Fault>,
) -> Result<Option<(Node, Option<Seen>)>, Fault> {
    let node = Node::of(session).await?;
    if node.major() < MAJOR_MIN {
        let detail = format!(
            "endpoint {} runs version {:?}, which is older than Redis 7.0, the oldest supported",
            node.endpoint, node.version
        );
        findings.push(Fault::untouched(FaultKind::Unsupported, detail));
        return Ok(None);
    }
    let persistence = Persistence::of(session).await?;
    if persistence == Persistence::Configuration && !node.has_configuration {
        let detail = format!(
            "endpoint {} keeps its users in memory alone, and loses them when it starts again; set aclfile in its \
             configuration",
            node.endpoint
        );
        findings.push(Fault::untouched(FaultKind::Misconfigured, detail));
    }
    let denied = denied(target, session, persistence).await?;
    findings.extend(denied);
    findings.extend(left_out_of_cluster(&node, session, target.config.endpoints.len()).await?);
    let mut accounts = Vec::new();
    for slot in [Slot(0), Slot(1)] {
        let twin = target.twin(slot)?;
        let found = target.read(session, twin.user).await?;
        findings.extend(wrong_with(&twin, found.as_ref(), &node.endpoint));
        accounts.extend(found.map(|found| (twin, found)));
    }
    let [(a, has), (b, had)] = accounts.as_slice() else { return Ok(Some((node, None))) };
    for (one, other) in [((a, has), (b, had)), ((b, had), (a, has))] {
        let missing = rights::missing((one.0.user, &one.1.rules), (other.0.user, &other.1.rules));
        if !missing.is_empty() {
            let detail = format!(
                "at endpoint {}: {}; give both twins the same rules, with ACL SETUSER",
                node.endpoint,
                missing.join("; ")
            );
            findings.push(Fault::untouched(FaultKind::Misconfigured, detail));
            // The other way round it is the same.
            break;
        }
    }
    let serves = |account: &Account| account.label.filter(|_| account.accepts).map(|label| label.generation);
    let seen = Seen { endpoint: node.endpoint.clone(), serves: vec![serves(has), serves(had)] };
    Ok(Some((node, Some(seen))))
}

/// What our own user may not do there, all of it in one line.
async fn denied(target: &Redis, session: &mut Session, persistence: Persistence) -> Result<Option<Fault>, Fault> {
    let admin = target.config.admin.user.as_str();
    let needed: [(&str, &[&str]); 4] = [
        ("+acl|getuser", &["ACL", "GETUSER", "x"]),
        ("+acl|setuser", &["ACL", "SETUSER", "x"]),
        ("+client|list", &["CLIENT", "LIST"]),
        (persistence.right(), &persistence.command()),
    ];
    let mut missing = Vec::new();
    for (right, command) in needed {
        let words: Vec<&str> = ["ACL", "DRYRUN", admin].iter().chain(command).copied().collect();
        match session.look(&words, "asking what our user may do").await {
            Ok(answer) if text(&answer).as_deref() == Some("OK") => {}
            Ok(_) => missing.push(right),
            Err(fault) if fault.kind == FaultKind::NotPermitted => {
                missing = vec!["+acl|dryrun"];
                break;
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok((!missing.is_empty()).then(|| {
        let detail = format!(
            "our user may not do all that it must at endpoint {}. Run there: ACL SETUSER {admin} {}",
            session.endpoint(),
            missing.join(" ")
        );
        Fault::untouched(FaultKind::NotPermitted, detail)
    }))
}

fn wrong_with(twin: &Twin<'_>, found: Option<&Account>, endpoint: &str) -> Option<Fault> {
    let Some(found) = found else { return Some(twin.absent(endpoint)) };
    if let Err(fault) = twin.owns(found, endpoint) {
        return Some(fault);
    }
    if found.is_open {
        let detail = format!(
            "user {} at endpoint {endpoint} lets everybody in without a password (nopass). Run there: ACL SETUSER {} off \
             resetpass",
            twin.user, twin.user
        );
        return Some(Fault::untouched(FaultKind::Foreign, detail));
    }
    match &found.label {
        None if found.accepts => Some(twin.unlabelled(endpoint)),
        Some(label) if found.accepts && label.state != State::Accepting => {
            let detail = format!(
                "user {} at endpoint {endpoint} lets somebody in, though it was disabled here: somebody else enabled it. Run \
                 there: ACL SETUSER {} off",
                twin.user, twin.user
            );
            Some(Fault::untouched(FaultKind::Foreign, detail))
        }
        Some(_) | None => None,
    }
}

/// Nodes that do not let in whom the first lets in, or let in somebody else.
fn apart(target: &Redis, seen: &[Seen]) -> Vec<Fault> {
    let Some((first, others)) = seen.split_first() else { return Vec::new() };
    let mut findings = Vec::new();
    for other in others {
        for (user, (here, there)) in target.config.twins.iter().zip(first.serves.iter().zip(&other.serves)) {
            if here == there {
                continue;
            }
            let words = |generation: &Option<Generation>| {
                generation.map_or_else(|| "nobody".to_owned(), |generation| format!("generation {generation}"))
            };
            let detail = format!(
                "user {user} lets {} in at endpoint {} and {} at endpoint {}: a node was added, or its users were loaded from \
                 an older file. Run: handover recover {}",
                words(here),
                first.endpoint,
                words(there),
                other.endpoint,
                target.group
            );
            findings.push(Fault::untouched(FaultKind::Missing, detail));
        }
    }
    findings
}
