//! What the verbs do: one file for each, the five orders in one.

mod adopt;
mod approve;
mod audit;
mod backup;
mod bootstrap;
mod campaign;
pub(crate) mod check;
mod completions;
mod emergency;
mod explain;
mod get;
mod group;
mod history;
mod init;
mod notify;
mod order;
mod plan;
mod recover;
mod reload;
mod restore;
mod rotate;
mod schedule;
mod serve;
mod sim;
mod statistics;
mod status;
mod supersede;
mod token;
mod watch;

use std::future::Future;

use handover_core::{GroupId, Order};

use crate::cli::Verb;
use crate::failure::Failure;
use crate::printer::Printer;

/// Does what was asked for.
pub(crate) fn run(verb: Verb, printer: &Printer) -> Result<(), Failure> {
    match verb {
        Verb::Init(arguments) => init::run(&arguments, printer),
        Verb::Check(arguments) => wait(check::run(&arguments, printer)),
        Verb::Serve(arguments) => wait(serve::run(&arguments)),
        Verb::Adopt(arguments) => wait(adopt::run(&arguments, printer)),
        Verb::Token(arguments) => token::run(&arguments, printer),
        Verb::Bootstrap(arguments) => wait(bootstrap::run(&arguments, printer)),
        Verb::Plan(arguments) => wait(plan::run(&arguments, printer)),
        Verb::Rotate(arguments) => wait(rotate::run(&arguments, printer)),
        Verb::Status(arguments) => wait(status::run(&arguments, printer)),
        Verb::Explain(arguments) => wait(explain::run(&arguments, printer)),
        Verb::Watch(arguments) => wait(watch::run(&arguments, printer)),
        Verb::History(arguments) => wait(history::run(&arguments, printer)),
        Verb::Statistics(arguments) => wait(statistics::run(&arguments, printer)),
        Verb::Get(arguments) => wait(get::run(&arguments, printer)),
        Verb::Group(arguments) => wait(group::run(&arguments, printer)),
        Verb::Rollback(arguments) => wait(order::run(Order::Rollback, arguments.into(), printer)),
        Verb::Hold(arguments) => wait(order::run(Order::Hold, arguments.into(), printer)),
        Verb::Resume(arguments) => wait(order::run(Order::Resume, arguments.into(), printer)),
        Verb::Abandon(arguments) => wait(order::run(Order::Abandon, arguments.into(), printer)),
        Verb::Force(arguments) => wait(order::run(Order::Force, arguments.into(), printer)),
        Verb::Supersede(arguments) => wait(supersede::run(&arguments, printer)),
        Verb::Emergency(arguments) => wait(emergency::run(&arguments, printer)),
        Verb::Approvals(arguments) => wait(approve::list(&arguments, printer)),
        Verb::Approve(arguments) => wait(approve::approve(&arguments, printer)),
        Verb::Recover(arguments) => wait(recover::run(&arguments, printer)),
        Verb::Reload(arguments) => wait(reload::run(&arguments, printer)),
        Verb::Backup(arguments) => wait(backup::run(&arguments, printer)),
        Verb::Restore(arguments) => wait(restore::run(&arguments, printer)),
        Verb::Schedule(arguments) => wait(schedule::run(arguments, printer)),
        Verb::Campaign(arguments) => wait(campaign::run(arguments, printer)),
        Verb::Audit(arguments) => wait(audit::run(&arguments, printer)),
        Verb::Notify(arguments) => wait(notify::run(&arguments, printer)),
        Verb::Sim(arguments) => sim::run(&arguments, printer),
        Verb::Completions(arguments) => completions::run(&arguments, printer),
    }
}

fn wait(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|_| Failure::error("the operating system gave no threads"))?;
    runtime.block_on(work)
}

/// A group's name, before it becomes part of a path.
fn group(text: &str) -> Result<GroupId, Failure> {
    GroupId::parse(text).map_err(|bad| Failure::error(format!("this is no group's name: {bad}")))
}
