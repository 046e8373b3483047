//! `handover sim`: a scenario on the core, without a server.

use crate::cli::Sim;
use crate::failure::Failure;
use crate::file;
use crate::printer::Printer;

pub(crate) fn run(arguments: &Sim, _printer: &Printer) -> Result<(), Failure> {
    file::public(&arguments.file, "the scenario")?;
    Err(Failure::error("scenarios cannot be run by this version yet").hint("`handover plan` looks at a real group"))
}
