//! `handover supersede`: a new rotation over a rollback that waits.

use handover_api::{OrderRequest, Started, path};

use super::group;
use crate::cli::Forced;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

pub(crate) async fn run(arguments: &Forced, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    let body = OrderRequest { reason: Some(arguments.reason.clone()) };
    let started: Started = remote.post(&path::group(path::SUPERSEDE, group.as_str()), &body).await?;
    printer.say(&format!("`handover explain {group}` shows how it goes."));
    printer.data(&started, |started| {
        format!("{}: rotation to generation {} started, over the rollback", started.group, started.generation)
    })
}
