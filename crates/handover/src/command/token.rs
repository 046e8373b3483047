//! `handover token create`: works on the token file itself; a running server sees the change at once.

use std::collections::BTreeSet;

use handover_core::{ConsumerId, GroupId};

use crate::cli::{Token, TokenCreate};
use crate::config::Config;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::tokens::{self, EVERY_GROUP, Grant};

pub(crate) fn run(arguments: &Token, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        Token::Create(arguments) => create(arguments, printer),
    }
}

fn create(arguments: &TokenCreate, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&arguments.config.config)?;
    let identity =
        ConsumerId::parse(&arguments.identity).map_err(|bad| Failure::error(format!("this is no identity: {bad}")))?;
    let mut groups = BTreeSet::new();
    for group in &arguments.groups {
        let every = group == EVERY_GROUP;
        if every && arguments.role == Grant::Consumer {
            return Err(Failure::error("a consumer's token names its groups").hint("repeat --group for each of them"));
        }
        if !every {
            check(&config, group)?;
        }
        groups.insert(group.clone());
    }
    let token = tokens::create(&config.tokens, &identity, arguments.role, groups)?;
    printer.secret(&token)?;
    printer.say("The token is on standard output, this once. Keep it in a file with mode 0600.");
    Ok(())
}

fn check(config: &Config, group: &str) -> Result<(), Failure> {
    let name = GroupId::parse(group).map_err(|bad| Failure::error(format!("this is no group's name: {bad}")))?;
    if config.groups.iter().any(|group| group.name == name) {
        return Ok(());
    }
    Err(Failure::refused(format!("the configuration has no group {name}")).hint("describe the group first"))
}
