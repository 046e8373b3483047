//! `handover group list` and `group remove`.

use handover_api::{Groups, OrderRequest, path};
use serde::Serialize;

use super::{group, status};
use crate::cli::{Forced, Group, GroupList};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

pub(crate) async fn run(arguments: &Group, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        Group::List(arguments) => list(arguments, printer).await,
        Group::Remove(arguments) => remove(arguments, printer).await,
    }
}

async fn list(arguments: &GroupList, printer: &Printer) -> Result<(), Failure> {
    let groups: Groups = Remote::new(&arguments.server)?.groups().await?;
    printer.data(&groups, |groups| {
        let configured = groups.groups.iter().map(status::summary);
        let left =
            groups.unconfigured.iter().map(|name| format!("{name:<32} not configured; the state still knows it"));
        let unreadable = groups.unreadable.iter().map(status::unreadable);
        let lines: Vec<String> = configured.chain(unreadable).chain(left).collect();
        if lines.is_empty() { "no group".to_owned() } else { lines.join("\n") }
    })
}

/// What was forgotten.
#[derive(Serialize)]
struct Removed {
    group: String,
}

async fn remove(arguments: &Forced, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    let body = OrderRequest { reason: Some(arguments.reason.clone()) };
    remote.delete(&path::group(path::GROUP, group.as_str()), &body).await?;
    printer.say(
        "Its history stays. Nothing was touched at its target: users, passwords and our labels stand as they did.",
    );
    printer.data(&Removed { group: group.to_string() }, |removed| format!("{}: forgotten", removed.group))
}
