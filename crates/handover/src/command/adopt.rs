//! `handover adopt`: a user that is in use becomes generation 1, without a change that anybody notices.
//!
//! The server must not run: an adoption takes the lease, as a server does. `--check` and `--print-sql` only look.

use std::io::{IsTerminal as _, Read as _};

use handover_adapters::target::postgres::{Adoption, Outlook, Step, script};
use handover_core::{AdoptionRefusal, Fault, FaultKind, Occupant};
use handover_engine::{AdoptRefused, Handle, fault};
use handover_secret::Secret;
use serde::Serialize;

use super::group;
use crate::assembly::{Assembly, assemble};
use crate::cli::Adopt;
use crate::config::{Config, Group};
use crate::failure::Failure;
use crate::file;
use crate::printer::Printer;

/// The longest password that is read from standard input, in bytes.
const PASSWORD_BYTES_MAX: usize = 4 * 1024;

/// Who adopts, in the history.
const ACTOR: &str = "handover adopt";

/// What was adopted.
#[derive(Serialize)]
struct Adopted {
    group: String,
    user: String,
    generation: u64,
    slot: u32,
}

/// What would be done.
#[derive(Serialize)]
struct Prospect<'a> {
    group: &'a str,
    user: &'a str,
    owned: Vec<Owned<'a>>,
    steps: Vec<Statement<'a>>,
    obstacles: Vec<&'a str>,
}

#[derive(Serialize)]
struct Owned<'a> {
    database: &'a str,
    objects: i64,
}

#[derive(Serialize)]
struct Statement<'a> {
    database: &'a str,
    statement: &'a str,
}

pub(crate) async fn run(arguments: &Adopt, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config.config)?;
    let name = group(&arguments.group)?;
    let group = config.groups.iter().find(|group| group.name == name).ok_or_else(|| {
        Failure::refused(format!("the configuration has no group {name}")).hint("describe the group first")
    })?;
    let password = password(arguments)?;
    let adoption = adoption(group, &arguments.user)?;
    if arguments.check || arguments.print_sql {
        adoption.login(&password).await.map_err(refused)?;
        let outlook = adoption.look(&password).await?;
        return if arguments.check { show(group, arguments, &outlook, printer) } else { print_sql(&outlook, printer) };
    }
    // The service is dropped without having run: nothing but the adoption happens.
    let Assembly { engine, .. } = assemble(&config).await?;
    engine.adoption(&name, adoption.slot()).await.map_err(|refusal| not_adopted(refusal, group))?;
    adoption.login(&password).await.map_err(refused)?;
    prepare(&engine, group, &adoption, &password, printer).await?;
    let findings = adoption.verify(&password).await?;
    if !findings.is_empty() {
        return Err(stands_in_the_way(group, &findings));
    }
    let adopted = engine.adopt(&name, adoption.slot(), &password, ACTOR).await;
    let Occupant { generation, slot, .. } = adopted.map_err(|refusal| not_adopted(refusal, group))?;
    let user = arguments.user.clone();
    let adopted = Adopted { group: name.to_string(), user, generation: generation.0, slot: slot.0 };
    printer.data(&adopted, |adopted| {
        format!("{}: {} is generation {} in slot {}", adopted.group, adopted.user, adopted.generation, adopted.slot)
    })?;
    printer.say(&format!(
        "The password is sealed and published, and did not change.\n\
         Next: start the server with `handover serve`, then `handover plan {name}`."
    ));
    Ok(())
}

/// Has the owner take over, or says who must do it.
async fn prepare(
    engine: &Handle,
    group: &Group,
    adoption: &Adoption,
    password: &Secret,
    printer: &Printer,
) -> Result<(), Failure> {
    let outlook = adoption.look(password).await?;
    if !outlook.obstacles.is_empty() {
        return Err(stands_in_the_way(group, &outlook.obstacles));
    }
    if outlook.steps.is_empty() {
        return Ok(());
    }
    for (database, objects) in &outlook.owned {
        printer.say(&format!("{objects} objects in database {database} go to the owner"));
    }
    engine.adopting(&group.name, adoption.slot(), ACTOR).await.map_err(|refusal| not_adopted(refusal, group))?;
    fault::point(fault::BEFORE, "prepare");
    let done = adoption.carry_out(&outlook.steps).await;
    fault::point(fault::AFTER, "prepare");
    match done {
        Ok(()) => {}
        Err(fault) if fault.kind == FaultKind::NotPermitted => {
            let left = adoption.look(password).await?;
            printer.raw(script(&left.steps).as_bytes())?;
            return Err(Failure::refused("our user may not prepare the roles; a superuser must")
                .hint("run what is on standard output with psql as a superuser, then run this again"));
        }
        Err(fault) => {
            return Err(Failure::from(fault).hint(
                "run this again: it goes on where it was. A lock that is not free soon is left to who holds it",
            ));
        }
    }
    let left = adoption.look(password).await?.steps;
    match left.first() {
        None => Ok(()),
        Some(Step { database, .. }) => Err(Failure::refused(format!(
            "{} statements are still to be run, the first in database {database}",
            left.len()
        ))
        .hint("run this again, or see them with --print-sql")),
    }
}

fn print_sql(outlook: &Outlook, printer: &Printer) -> Result<(), Failure> {
    if outlook.steps.is_empty() {
        printer.say("Nothing is left to be run.");
        return Ok(());
    }
    for obstacle in &outlook.obstacles {
        printer.say(&format!("first: {}", obstacle.detail));
    }
    printer.raw(script(&outlook.steps).as_bytes())
}

fn show(group: &Group, arguments: &Adopt, outlook: &Outlook, printer: &Printer) -> Result<(), Failure> {
    let prospect = Prospect {
        group: group.name.as_str(),
        user: &arguments.user,
        owned: outlook.owned.iter().map(|(database, objects)| Owned { database, objects: *objects }).collect(),
        steps: outlook.steps.iter().map(|Step { database, statement, .. }| Statement { database, statement }).collect(),
        obstacles: outlook.obstacles.iter().map(|fault| fault.detail.as_str()).collect(),
    };
    printer.data(&prospect, text)?;
    if outlook.obstacles.is_empty() {
        return Ok(());
    }
    Err(stands_in_the_way(group, &outlook.obstacles))
}

fn text(prospect: &Prospect<'_>) -> String {
    let mut lines = vec![format!("{}: {} logs in with this password", prospect.group, prospect.user)];
    for Owned { database, objects } in &prospect.owned {
        lines.push(format!("it owns {objects} objects in database {database}"));
    }
    if prospect.steps.is_empty() {
        lines.push("the roles are ready".to_owned());
    } else {
        lines.push("to be run first, by a user with the right to:".to_owned());
        lines.extend(prospect.steps.iter().map(|step| format!("  {}: {};", step.database, step.statement)));
    }
    lines.push("then its role is labelled, and its password sealed and published as it is".to_owned());
    lines.join("\n")
}

fn adoption(group: &Group, user: &str) -> Result<Adoption, Failure> {
    let (Some(password), Some(ca)) = (group.target.admin_password_file(), group.target.ca_file()) else {
        let words = format!("group {} has no target: there is no user to adopt", group.name);
        return Err(Failure::refused(words).hint("begin with a rotation"));
    };
    let password = file::secret(password, "the password file")?;
    let ca_pem = file::public(ca, "the CA file")?;
    group
        .target
        .clone()
        .adoption(group.name.clone(), password, &ca_pem, user)
        .map_err(|fault| Failure::refused(format!("group {}: {}", group.name, fault.detail)))
}

fn password(arguments: &Adopt) -> Result<Secret, Failure> {
    if let Some(file) = &arguments.password_file {
        return file::secret(file, "the password file");
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::error("a password that is typed here would be shown")
            .hint("name a file with --password-file, or send the password by a pipe"));
    }
    // Never longer than its first allocation, so that nothing of it stays behind in memory that was given back.
    let mut bytes = vec![0; PASSWORD_BYTES_MAX + 1];
    let mut length = 0;
    while length < bytes.len() {
        let rest = bytes.get_mut(length..).unwrap_or_default();
        match stdin.lock().read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(_) => return Err(Failure::error("standard input cannot be read")),
        }
    }
    bytes.truncate(length);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    match bytes.len() {
        0 => Err(Failure::error("there is no password on standard input")),
        1..=PASSWORD_BYTES_MAX => Ok(Secret::from_bytes(bytes)),
        _ => Err(Failure::error("the password on standard input is too long")),
    }
}

fn stands_in_the_way(group: &Group, findings: &[Fault]) -> Failure {
    let words: Vec<String> = findings.iter().map(|fault| format!("\n  - {}", fault.detail)).collect();
    Failure::refused(format!("the adoption for group {} cannot go on:{}", group.name, words.concat()))
        .hint("clear what stands in the way, then run this again")
}

/// A wrong password is something that the user can change.
fn refused(fault: Fault) -> Failure {
    if fault.kind == FaultKind::Unauthenticated {
        return Failure::refused(fault.detail).hint("nothing was changed");
    }
    fault.into()
}

fn not_adopted(refusal: AdoptRefused, group: &Group) -> Failure {
    let name = &group.name;
    match refusal {
        AdoptRefused::UnknownGroup(group) => Failure::error(format!("the engine does not know group {group}")),
        AdoptRefused::Fault(fault) => {
            let hint = format!("run this again: it goes on where it was; see docs/errors/{}.md", fault.kind.code());
            Failure::from(fault).hint(hint)
        }
        AdoptRefused::Refused(AdoptionRefusal::Doubted) => {
            Failure::refused(format!("the record of {name} may not be what the world is at"))
                .hint(format!("compare them first: handover recover {name}"))
        }
        AdoptRefused::Refused(AdoptionRefusal::Live) => Failure::refused(format!("a rotation of {name} is live"))
            .hint("a group that rotates has its credential already; let the rotation end, or roll it back"),
        AdoptRefused::Refused(AdoptionRefusal::InForce(current)) => Failure::refused(format!(
            "group {name} has a credential in force already: generation {} in slot {}",
            current.generation, current.slot
        ))
        .hint("nothing is left to adopt; `handover rotate` replaces it"),
        AdoptRefused::Refused(AdoptionRefusal::OtherSlot(current)) => {
            Failure::refused(format!("an adoption of the user in slot {} has begun for group {name}", current.slot))
                .hint("finish that one: name that user")
        }
    }
}
