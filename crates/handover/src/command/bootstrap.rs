//! `handover bootstrap`: the first operator's token, for the one-time code.

use handover_api::{BootstrapRequest, Bootstrapped, path};

use super::token::{identity, show};
use crate::cli::{Bootstrap, Server};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

pub(crate) async fn run(arguments: &Bootstrap, printer: &Printer) -> Result<(), Failure> {
    let identity = identity(&arguments.identity)?;
    let code = Some(arguments.code_file.clone());
    let remote = Remote::new(&Server { token_file: code, ..arguments.server.clone() })?;
    let request = BootstrapRequest { identity: identity.to_string() };
    let answer: Bootstrapped = remote.post(path::BOOTSTRAP, &request).await?;
    show(answer, printer)
}
