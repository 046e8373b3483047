//! `handover reload`: has the running server read its configuration again.

use std::fmt::Write as _;

use handover_api::{ReloadRequest, Reloaded, path};

use crate::cli::Reload;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

pub(crate) async fn run(arguments: &Reload, printer: &Printer) -> Result<(), Failure> {
    let check = arguments.check;
    let remote = Remote::new(&arguments.server)?;
    let reloaded: Reloaded = remote.post(path::RELOAD, &ReloadRequest { check }).await?;
    if check {
        printer.say("Nothing was changed: without --check it is.");
    }
    printer.data(&reloaded, text)
}

fn text(reloaded: &Reloaded) -> String {
    if reloaded.is_nothing() {
        return "nothing is another than before".to_owned();
    }
    let mut text = String::new();
    for (what, changes) in [("group", &reloaded.groups), ("sink", &reloaded.sinks)] {
        for (how, names) in [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)] {
            for name in names {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{what} {name}: {how}");
            }
        }
    }
    for key in &reloaded.restart_needed {
        let _ = writeln!(text, "{key}: takes effect with a restart only");
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use handover_api::Changes;

    use super::*;

    #[test]
    fn each_change_is_a_line() {
        assert_eq!(text(&Reloaded::default()), "nothing is another than before");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let reloaded = Reloaded {
            groups: Changes { added: names(&["orders"]), changed: names(&["billing"]), removed: Vec::new() },
            sinks: Changes { removed: names(&["siem"]), ..Changes::default() },
            restart_needed: names(&["listen"]),
        };
        let told =
            "group orders: added\ngroup billing: changed\nsink siem: removed\nlisten: takes effect with a restart only";
        assert_eq!(text(&reloaded), told);
    }
}
